// The parts that need no browser, each by itself.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffMs, retryAfterMs } from '../src/backoff.js';
import { eventReader } from '../src/events.js';
import { Inbox } from '../src/inbox.js';
import { NoticeError, Outbox } from '../src/outbox.js';
import { Seen } from '../src/seen.js';
import { Tokens } from '../src/tokens.js';
import { verdict } from '../src/verdict.js';

/** Lets everything run that waits for no timer. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

test('the backoff is anything from nothing to a bound that doubles up to half a minute', () => {
  assert.equal(backoffMs(5, () => 0), 0);
  assert.deepEqual([0, 1, 2, 6, 7, 40].map((failures) => backoffMs(failures, () => 1)), [300, 600, 1_200, 19_200, 30_000, 30_000]);
});

test('Retry-After is seconds or a date, and never more than ten minutes', () => {
  const now = Date.UTC(2026, 0, 1);
  assert.equal(retryAfterMs('7', now), 7_000);
  assert.equal(retryAfterMs(new Date(now + 90_000).toUTCString(), now), 90_000);
  assert.equal(retryAfterMs('86400', now), 600_000);
  for (const nothing of [null, undefined, '', 'soon', '-5', new Date(now - 1_000).toUTCString()]) assert.equal(retryAfterMs(nothing, now), 0);
});

test('each end of a connection asks for what the protocol says', () => {
  const then = (end) => verdict(end).then;
  assert.deepEqual([1001, 1009, 1012, 1013, 1008, 4410].map((code) => then({ code })), Array(6).fill('again'));
  assert.deepEqual([4401, 4403, 4409].map((code) => then({ code })), ['token', 'never', 'never']);
  assert.deepEqual([204, 401, 403, 404, 429, 503].map((status) => then({ status })), ['ask', 'token', 'lower', 'lower', 'again', 'again']);
  assert.equal(then({}), 'ask');
  assert.equal(verdict({ code: 1012 }).waitMs, 0);
  assert.ok(verdict({ code: 1013 }).waitMs >= 5_000);
  assert.equal(verdict({ status: 503, retryAfter: '3' }).waitMs, 3_000);
});

test('the newest ids are remembered, and no more than there may be', () => {
  const seen = new Seen(3);
  ['a', 'b', 'c', 'd'].forEach((id) => seen.add(id));
  assert.deepEqual(['a', 'b', 'c', 'd'].map((id) => seen.has(id)), [false, true, true, true]);
});

test('events are read however the stream is cut', () => {
  const stream = 'retry: 300\n\n:\n\nid: 1\nevent: notice\ndata: {"a":\ndata: 1}\n\n\r\nevent: read\r\ndata:x\r\n\r\ndata: é\r\rid: 9\n\n';
  const expected = [['notice', '{"a":\n1}'], ['read', 'x'], ['message', 'é']];
  for (let size = 1; size <= stream.length; size += 1) {
    const events = [];
    const read = eventReader((type, data) => events.push([type, data]));
    for (let at = 0; at < stream.length; at += size) read(stream.slice(at, at + size));
    assert.deepEqual(events, expected, `pieces of ${size}`);
  }
});

function inboxOf(handle, options = {}) {
  const acks = [];
  const complaints = [];
  const inbox = new Inbox({
    handle, acknowledge: (ids) => acks.push(ids), complain: (error, { id }) => complaints.push([id, error.message]), ...options,
  });
  return { inbox, acks, complaints };
}

test('notices are handled one after the other, and acknowledged when the handler is done', async () => {
  const open = [];
  const handled = [];
  const { inbox, acks } = inboxOf(({ id }) => {
    handled.push(id);
    return new Promise((resolve) => open.push(resolve));
  });
  inbox.take({ id: 'a' });
  inbox.take({ id: 'b' });
  await settle();
  assert.deepEqual([handled, acks], [['a'], []]);
  open.shift()();
  await settle();
  assert.deepEqual([handled, acks], [['a', 'b'], []], 'acknowledgements of a burst go together');
  open.shift()();
  await inbox.settled();
  assert.deepEqual(acks, [['a', 'b']]);
});

test('a notice that comes again is not handled again, but acknowledged again', async () => {
  const handled = [];
  const { inbox, acks } = inboxOf(({ id }) => { handled.push(id); });
  inbox.take({ id: 'a' });
  inbox.take({ id: 'a' });
  await inbox.settled();
  inbox.take({ id: 'a' });
  await inbox.settled();
  assert.deepEqual([handled, acks], [['a'], [['a'], ['a']]]);
});

test('a notice of which a handler threw is not acknowledged, and handled again later', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  let tries = 0;
  const { inbox, acks, complaints } = inboxOf(({ id }) => {
    if (id === 'a' && (tries += 1) < 3) throw new Error('the disk is full');
  });
  inbox.take({ id: 'a' });
  inbox.take({ id: 'b' });
  await inbox.settled();
  assert.deepEqual(acks, [['b']], 'others do not wait for it');
  inbox.take({ id: 'a' });
  await inbox.settled();
  assert.equal(tries, 1, 'offered meanwhile, it is not handled twice at once');
  context.mock.timers.tick(1_000);
  await inbox.settled();
  assert.deepEqual([tries, acks.length], [2, 1]);
  context.mock.timers.tick(2_000);
  await inbox.settled();
  assert.deepEqual([acks, complaints.length], [[['b'], ['a']], 2]);
});

test('what was recalled while it waited is neither handled nor acknowledged', async () => {
  const handled = [];
  const { inbox, acks } = inboxOf(({ id }) => { handled.push(id); });
  ['a', 'b', 'c'].forEach((id) => inbox.take({ id }));
  inbox.drop(['b', 'x']);
  await inbox.settled();
  assert.deepEqual([handled, acks], [['a', 'c'], [['a', 'c']]]);
});

test('ids that the program remembers are not handled', async () => {
  const seen = new Seen();
  seen.add('a');
  const handled = [];
  const { inbox, acks } = inboxOf(({ id }) => { handled.push(id); }, { seen });
  inbox.take({ id: 'a' });
  inbox.take({ id: 'b' });
  await inbox.settled();
  assert.deepEqual([handled, acks, seen.has('b')], [['b'], [['a', 'b']], true]);
});

function fakeLink() {
  const frames = [];
  return { frames, checks: 0, send(frame) { frames.push(frame); }, check() { this.checks += 1; } };
}

test('what is not confirmed goes again over the next connection, under the same key', async () => {
  const outbox = new Outbox();
  const sent = outbox.add({ receiverId: 'bob', message: 'hi', type: 'chat' });
  const [first, second] = [fakeLink(), fakeLink()];
  outbox.use(first);
  outbox.use(null);
  outbox.use(second);
  assert.deepEqual(first.frames, second.frames);
  const [{ ref, ...frame }] = second.frames;
  assert.deepEqual(frame, { type: 'send', noticeType: 'chat', receiverId: 'bob', message: 'hi', idempotencyKey: ref });
  assert.ok(outbox.answered({ type: 'sent', ref, id: '1', duplicate: true }));
  assert.deepEqual(await sent, { id: '1', duplicate: true });
  assert.equal(outbox.answered({ type: 'sent', ref, id: '1' }), false);
  assert.equal(outbox.size, 0);
});

test('a refusal that passes is tried again, one that stays is an error', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const outbox = new Outbox();
  const link = fakeLink();
  outbox.use(link);
  const sent = outbox.add({ receiverId: 'bob', message: 'hi', idempotencyKey: 'k' });
  outbox.answered({ type: 'error', ref: 'k', code: 'STORE_UNAVAILABLE' });
  context.mock.timers.tick(2_000);
  assert.equal(link.frames.length, 2);
  outbox.answered({ type: 'error', ref: 'k', code: 'INBOX_FULL', message: 'full' });
  await assert.rejects(sent, (error) => error instanceof NoticeError && error.code === 'INBOX_FULL' && error.message === 'full');
});

test('a connection that confirms nothing is looked at', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const outbox = new Outbox();
  const link = fakeLink();
  outbox.use(link);
  outbox.add({ receiverId: 'bob', message: 'hi' }).catch(() => {});
  context.mock.timers.tick(10_000);
  assert.equal(link.checks, 1);
});

test('over a transport without a way back calls go one after the other, and again when they broke', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const calls = [];
  const answers = [{}, { id: '1', duplicate: false }, { code: 'TOO_LARGE', detail: 'too large' }];
  const outbox = new Outbox();
  outbox.use({ post: async ({ message }) => { calls.push(message); return answers.shift(); } });
  const one = outbox.add({ receiverId: 'bob', message: 'one' });
  const two = outbox.add({ receiverId: 'bob', message: 'two' });
  two.catch(() => {});
  await settle();
  assert.deepEqual(calls, ['one']);
  context.mock.timers.tick(2_000);
  assert.deepEqual(await one, { id: '1', duplicate: false });
  await assert.rejects(two, { code: 'TOO_LARGE' });
  assert.deepEqual(calls, ['one', 'one', 'two']);
});

test('of a connection that was closed for a frame too large the largest is blamed', async () => {
  const outbox = new Outbox();
  const small = outbox.add({ receiverId: 'bob', message: 'hi' });
  const large = outbox.add({ receiverId: 'bob', message: 'hi'.repeat(99) });
  outbox.blameLargest();
  await assert.rejects(large, { code: 'TOO_LARGE' });
  outbox.close();
  await assert.rejects(small, { code: 'CLOSED' });
});

test('not more is kept to be sent than a thousand', async () => {
  const outbox = new Outbox();
  const kept = Array.from({ length: 1_000 }, () => outbox.add({ receiverId: 'bob', message: '' }));
  await assert.rejects(outbox.add({ receiverId: 'bob', message: '' }), { code: 'QUEUE_FULL' });
  outbox.close();
  assert.equal((await Promise.allSettled(kept)).filter(({ reason }) => reason.code === 'CLOSED').length, 1_000);
});

test('the token callback is asked at the start and at the end, once at a time', async () => {
  const asked = [];
  const tokens = new Tokens(async (why) => { asked.push(why); return `t${asked.length}`; });
  assert.deepEqual(await Promise.all([tokens.ready(), tokens.ready()]), [true, true]);
  assert.equal(tokens.token, 't1');
  tokens.end();
  assert.equal(await tokens.ready(), true);
  assert.deepEqual([asked, tokens.token], [['start', 'expired'], 't2']);
});

test('a token that was given as a text can end, and a callback may have none', async () => {
  const text = new Tokens('t');
  assert.equal(await text.ready(), true);
  text.end();
  assert.equal(await text.ready(), false);
  assert.equal(await new Tokens(() => null).ready(), false);
  await assert.rejects(new Tokens(() => { throw new Error('offline'); }).ready(), /offline/);
});
