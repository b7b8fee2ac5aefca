// The whole client on a network of our own and a clock of our own: what it does after each thing that can happen.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { connect } from '../src/index.js';

const BASE = 'http://push.example/notice/';
const settle = async () => { for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve)); };

/** A socket whose server the test is. */
class FakeSocket {
  static all = [];
  readyState = 0;
  frames = [];

  constructor(address, protocols) {
    Object.assign(this, { address, protocols });
    FakeSocket.all.push(this);
  }

  send(text) { this.frames.push(JSON.parse(text)); }

  close(code) {
    this.readyState = 3;
    this.closedBy = code;
  }

  welcome() {
    this.readyState = 1;
    this.says({ type: 'welcome', session: 's', account: 'bob', node: 'n', pingSeconds: 25, window: 128 });
  }

  says(frame) { this.onmessage({ data: JSON.stringify(frame) }); }

  ends(code = 1006) {
    this.readyState = 3;
    this.onclose({ code });
  }

  get token() { return Buffer.from(this.protocols[1].slice('token.'.length), 'base64url').toString(); }
}

let http; // path -> answer
let calls;
let page;
let client;
const socket = () => FakeSocket.all.at(-1);
const real = { WebSocket: globalThis.WebSocket, fetch: globalThis.fetch };

function answer(status, body = {}, headers = {}) {
  return () => new Response(status === 204 ? null : JSON.stringify(body), { status, headers });
}

const unreachable = () => { throw new TypeError('fetch failed'); };

beforeEach(() => {
  FakeSocket.all = [];
  http = { session: answer(200, { accountId: 'bob' }), sse: answer(404), poll: answer(404) };
  calls = [];
  page = Object.assign(new EventTarget(), { hidden: false, baseURI: BASE });
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  mock.method(Math, 'random', () => 0.999);
  Object.assign(globalThis, {
    WebSocket: FakeSocket, document: page, window: new EventTarget(),
    fetch: async (address, init) => {
      const path = address.slice(BASE.length).replace(/\?.*/, '');
      calls.push({ path, address, token: init.headers.Authorization?.slice('Bearer '.length) });
      return http[path]();
    },
  });
});

afterEach(() => {
  client?.close();
  mock.timers.reset();
  mock.restoreAll();
  Object.assign(globalThis, real);
  delete globalThis.document;
  delete globalThis.window;
});

async function start(options = {}) {
  const seen = { notices: [], errors: [], states: [] };
  client = connect({
    url: BASE, token: 't', onNotice: ({ id }) => { seen.notices.push(id); },
    onError: (error) => seen.errors.push(error), onState: (state) => seen.states.push(state), ...options,
  });
  await settle();
  return seen;
}

async function after(ms) {
  mock.timers.tick(ms);
  await settle();
}

const notice = (id) => ({ type: 'notice', notice: { id, receiverId: 'bob', message: id, createdTime: 1, read: false } });
const told = () => [client.state.state, client.state.reason];

test('it goes online by WebSocket with the token in the subprotocol, and acknowledges what was handled', async () => {
  const seen = await start();
  assert.equal(socket().address, 'ws://push.example/notice/ws/socket');
  assert.deepEqual([socket().protocols[0], socket().token], ['notice.v1', 't']);
  assert.deepEqual(told(), ['offline', 'starting']);
  socket().welcome();
  assert.deepEqual([client.state.state, client.state.account, client.state.node, client.state.transport], ['online', 'bob', 'n', 'websocket']);
  socket().says(notice('a'));
  socket().says(notice('b'));
  await settle();
  assert.deepEqual([seen.notices, socket().frames], [['a', 'b'], [{ type: 'ack', ids: ['a', 'b'] }]]);
});

test('a lost connection comes back, what comes twice is handled once and acknowledged twice', async () => {
  const seen = await start();
  const first = socket();
  first.welcome();
  first.says(notice('a'));
  await settle();
  first.ends(1006);
  assert.deepEqual(told(), ['offline', 'network']);
  await after(300);
  assert.notEqual(socket(), first);
  socket().welcome();
  socket().says(notice('a'));
  await settle();
  assert.deepEqual([seen.notices, socket().frames], [['a'], [{ type: 'ack', ids: ['a'] }]]);
});

test('a move makes the new connection before it breaks the old one', async () => {
  const seen = await start();
  const first = socket();
  first.welcome();
  first.says({ type: 'move', afterMs: 120, reason: 'drain' });
  await after(119);
  assert.equal(FakeSocket.all.length, 1);
  await after(1);
  assert.equal(FakeSocket.all.length, 2);
  assert.equal(first.readyState, 1, 'the old one serves until the new one does');
  first.says(notice('a'));
  await settle();
  socket().welcome();
  assert.equal(first.closedBy, 1000);
  socket().says(notice('a'));
  await settle();
  assert.deepEqual(seen.notices, ['a']);
  assert.ok(seen.states.every(({ state, reason }) => state !== 'offline' || reason === 'starting'), 'never offline meanwhile');
});

test('a WebSocket that is barred gives way to the event stream at once, and is tried again later', async () => {
  const stream = new TransformStream();
  const writer = stream.writable.getWriter();
  const write = (text) => writer.write(new TextEncoder().encode(text));
  http.sse = () => new Response(stream.readable, { status: 200, headers: { 'Content-Type': 'text/event-stream' } });
  http.ack = answer(200, { read: 1 });
  const seen = await start();
  socket().ends(1006);
  await settle();
  assert.deepEqual(calls.map(({ path }) => path), ['session', 'sse']);
  assert.equal(client.state.state, 'offline', 'not before bytes came');
  write('retry: 300\n\n');
  await settle();
  assert.deepEqual([client.state.state, client.state.transport], ['degraded', 'sse']);
  write('id: a\nevent: notice\ndata: {"id":"a","type":"ride"}\n\n');
  await settle();
  assert.deepEqual([seen.notices, calls.at(-1).path], [['a'], 'ack']);

  await after(45_000);
  assert.equal(FakeSocket.all.length, 2);
  socket().welcome();
  await settle();
  assert.deepEqual([client.state.state, client.state.transport], ['online', 'websocket']);
});

test('a stream that ended for good by 204 asks whether the token or the session did', async () => {
  const asked = [];
  http.sse = answer(204);
  http.session = answer(401);
  await start({ transports: ['sse'], token: (why) => { asked.push(why); return asked.length < 3 ? 't' : null; } });
  await after(0);
  await after(2_400);
  assert.deepEqual([asked, told()], [['start', 'expired', 'expired'], ['offline', 'expired']]);
  client.close();
  http.session = answer(200);
  await start({ transports: ['sse'] });
  assert.deepEqual([told(), client.state.final], [['offline', 'removed'], true]);
});

test('after stream and WebSocket come long polls, each acknowledging what the last one brought', async () => {
  const polls = [];
  http.poll = () => new Promise((resolve) => polls.push(resolve));
  const seen = await start();
  socket().ends(1006);
  await settle();
  assert.match(calls.at(-1).address, /poll\?wait=0&limit=100&session=[0-9a-f]{32}$/);
  polls[0](answer(200, { notices: [notice('a').notice, notice('b').notice] })());
  await settle();
  assert.deepEqual([client.state.state, client.state.transport, seen.notices], ['degraded', 'longpoll', ['a', 'b']]);
  assert.match(calls.at(-1).address, /poll\?wait=25&.*&ack=a,b$/);
  polls[1](answer(200, { notices: [], recalled: ['x'] })());
  await settle();
  assert.doesNotMatch(calls.at(-1).address, /ack/);
});

test('a poll that brings only what a handler can not take does not ask again at once', async () => {
  http.poll = answer(200, { notices: [notice('a').notice] });
  await start({ transports: ['longpoll'], onNotice: () => { throw new Error('no'); } });
  const before = calls.length;
  await settle();
  assert.equal(calls.length, before);
});

test('a server that is away is not taken for a barred WebSocket', async () => {
  http.session = unreachable;
  await start();
  for (let round = 0; round < 8; round += 1) {
    socket().ends(1006);
    await settle();
    assert.deepEqual([told(), client.state.transport], [['offline', 'network'], 'websocket']);
    await after(30_000);
  }
  assert.equal(FakeSocket.all.length, 9);
});

test('a WebSocket that has worked before is not given up for one failure', async () => {
  await start();
  socket().welcome();
  await after(6_000);
  socket().ends(1006);
  await after(300);
  socket().ends(1006);
  await settle();
  await after(700);
  assert.deepEqual([FakeSocket.all.length, calls.map(({ path }) => path)], [3, ['session']]);
});

test('Retry-After is kept, even when a person looks again', async () => {
  http.session = answer(503, { code: 'OVERLOADED' }, { 'Retry-After': '20' });
  await start();
  socket().ends(1006);
  await settle();
  assert.deepEqual(told(), ['offline', 'overloaded']);
  await after(19_000);
  page.dispatchEvent(new Event('visibilitychange'));
  await settle();
  assert.equal(FakeSocket.all.length, 1);
  await after(1_700);
  assert.equal(FakeSocket.all.length, 2);
});

test('after 4403 and 4409 it stays away until a person says otherwise', async () => {
  for (const [code, reason] of [[4403, 'removed'], [4409, 'replaced']]) {
    await start();
    socket().welcome();
    socket().ends(code);
    await after(600_000);
    assert.deepEqual([told(), client.state.final, FakeSocket.all.length], [['offline', reason], true, 1]);
    client.connect();
    await settle();
    assert.equal(FakeSocket.all.length, 2);
    socket().welcome();
    assert.equal(client.state.state, 'online');
    client.close();
    FakeSocket.all = [];
  }
});

test('1013 asks for patience, 1012 for none', async () => {
  await start();
  socket().welcome();
  await after(6_000);
  socket().ends(1012);
  await after(300);
  assert.equal(FakeSocket.all.length, 2);
  socket().welcome();
  await after(6_000);
  socket().ends(1013);
  await after(5_000);
  assert.equal(FakeSocket.all.length, 2);
  await after(300);
  assert.equal(FakeSocket.all.length, 3);
});

test('a token that ended is asked for anew, on 4401 and on 401', async () => {
  const asked = [];
  await start({ token: async (why) => { asked.push(why); return `t${asked.length}`; } });
  assert.equal(socket().token, 't1');
  socket().welcome();
  socket().ends(4401);
  await after(0);
  assert.deepEqual([asked, socket().token], [['start', 'expired'], 't2']);
  http.session = answer(401);
  socket().ends(1006);
  await settle();
  await after(1_200);
  assert.deepEqual([asked.length, socket().token], [3, 't3']);
});

test('a callback that always gives the same ended token is not asked at full speed', async () => {
  let asked = 0;
  http.session = answer(401);
  await start({ token: () => { asked += 1; return 't'; } });
  for (let ms = 0; ms < 60_000; ms += 100) {
    if (socket().readyState !== 3) socket().ends(1006);
    await settle();
    mock.timers.tick(100);
  }
  assert.ok(asked > 3 && asked < 12, `${asked} times in a minute`);
});

test('without a newer token it is over, and with one it goes on', async () => {
  await start();
  socket().welcome();
  socket().ends(4401);
  await after(0);
  assert.deepEqual([told(), client.state.final], [['offline', 'expired'], true]);
});

test('a token that ends soon is replaced on the connection, and used from then on', async () => {
  await start({ token: (why) => (why === 'expiring' ? 'newer' : 'first') });
  const first = socket();
  first.welcome();
  first.says({ type: 'expiring', inSeconds: 60 });
  await settle();
  assert.deepEqual(first.frames, [{ type: 'refresh', token: 'newer' }]);
  first.says({ type: 'refreshed', expireTime: 1 });
  first.ends(1012);
  await after(700);
  assert.equal(socket().token, 'newer');
});

test('a newer token that the server refuses is told, and the old one stays', async () => {
  const seen = await start({ token: (why) => (why === 'expiring' ? 'of somebody else' : 'first') });
  socket().welcome();
  socket().says({ type: 'expiring', inSeconds: 60 });
  await settle();
  socket().says({ type: 'error', code: 'INVALID_ARGUMENT', message: 'another account' });
  assert.equal(seen.errors[0].code, 'INVALID_ARGUMENT');
  socket().ends(1012);
  await after(700);
  assert.equal(socket().token, 'first');
});

test('a connection without a welcome is given up', async () => {
  http.session = unreachable;
  await start();
  await after(10_000);
  assert.equal(socket().readyState, 3);
  assert.deepEqual(told(), ['offline', 'network']);
});

test('a connection that has been silent long is asked for a sign of life, and left without one', async () => {
  await start();
  const first = socket();
  first.welcome();
  await after(50_000);
  assert.deepEqual(first.frames, [{ type: 'ping', ref: 'ping' }]);
  first.says({ type: 'error', ref: 'ping', code: 'INVALID_ARGUMENT', message: 'no such frame' });
  await after(49_000);
  assert.equal(client.state.state, 'online');
  await after(1_000);
  await after(8_000);
  assert.deepEqual(told(), ['offline', 'network']);
  assert.equal(first.readyState, 3);
});

test('the network coming back is a reason to look at once', async () => {
  http.session = unreachable;
  await start();
  socket().welcome();
  window.dispatchEvent(new Event('online'));
  assert.deepEqual(socket().frames, [{ type: 'ping', ref: 'ping' }]);
  await after(8_000);
  for (let round = 0; round < 8; round += 1) {
    await after(30_000);
    socket().ends(1006);
    await settle();
  }
  const many = FakeSocket.all.length;
  window.dispatchEvent(new Event('online'));
  await settle();
  assert.equal(FakeSocket.all.length, many + 1);
});

test('a page that nobody looks at disconnects after a while, and comes back when somebody does', async () => {
  await start({ pauseAfterMs: 60_000 });
  socket().welcome();
  page.hidden = true;
  page.dispatchEvent(new Event('visibilitychange'));
  await after(59_000);
  assert.equal(client.state.state, 'online');
  await after(1_000);
  assert.deepEqual([told(), client.state.final, socket().closedBy], [['offline', 'hidden'], false, 1000]);
  await after(600_000);
  assert.equal(FakeSocket.all.length, 1);
  page.hidden = false;
  page.dispatchEvent(new Event('visibilitychange'));
  await settle();
  socket().welcome();
  assert.deepEqual([FakeSocket.all.length, client.state.state], [2, 'online']);
});

test('a hidden page comes back at leisure', async () => {
  await start();
  socket().welcome();
  page.hidden = true;
  page.dispatchEvent(new Event('visibilitychange'));
  socket().ends(1006);
  await after(5_000);
  assert.equal(FakeSocket.all.length, 1);
  await after(10_000);
  assert.equal(FakeSocket.all.length, 2);
});

test('what is sent while offline goes when the connection is there, and again after a break', async () => {
  await start();
  const sent = client.send({ receiverId: 'alice', message: 'hi' });
  const first = socket();
  first.welcome();
  const [{ ref, idempotencyKey }] = first.frames;
  assert.equal(ref, idempotencyKey);
  first.ends(1012);
  await after(700);
  socket().welcome();
  assert.deepEqual(socket().frames, first.frames);
  socket().says({ type: 'sent', ref, id: '1', duplicate: true });
  assert.deepEqual(await sent, { id: '1', duplicate: true });
});

test('a frame that is too large is blamed, and the others go on', async () => {
  await start();
  socket().welcome();
  const small = client.send({ receiverId: 'alice', message: 'hi' });
  const large = client.send({ receiverId: 'alice', message: 'x'.repeat(999) });
  socket().ends(1009);
  await assert.rejects(large, { code: 'TOO_LARGE' });
  await after(700);
  socket().welcome();
  socket().says({ type: 'sent', ref: socket().frames[0].ref, id: '1' });
  assert.equal((await small).id, '1');
});

test('after close nothing is tried, and what was not sent says so', async () => {
  await start();
  socket().welcome();
  const sent = client.send({ receiverId: 'alice', message: 'hi' });
  client.close();
  await assert.rejects(sent, { code: 'CLOSED' });
  await assert.rejects(client.send({ receiverId: 'alice', message: 'hi' }), { code: 'CLOSED' });
  client.connect();
  window.dispatchEvent(new Event('online'));
  await after(600_000);
  assert.deepEqual([told(), FakeSocket.all.length, socket().closedBy], [['offline', 'closed'], 1, 1000]);
});

test('what was recalled or read elsewhere is told', async () => {
  const told = [];
  await start({ onRead: (ids) => told.push(['read', ids]), onRecall: (ids) => told.push(['recall', ids]) });
  socket().welcome();
  socket().says({ type: 'read', ids: ['a'] });
  socket().says({ type: 'recall', ids: ['b'] });
  socket().says({ type: 'of a later release', ids: ['c'] });
  assert.deepEqual(told, [['read', ['a']], ['recall', ['b']]]);
});

test('options that can not work are told at once', () => {
  assert.throws(() => connect({ url: BASE }), /onNotice/);
  assert.throws(() => connect({ url: BASE, onNotice() {}, transports: ['pigeon'] }), /pigeon/);
});
