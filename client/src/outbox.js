// What the program sends, kept until the server has confirmed it, under one idempotency key all the time: however
// often a break makes it go again, it is stored once.

import { backoffMs } from './backoff.js';

const CONFIRM_WITHIN_MS = 10_000;
const AT_MOST = 1_000;
const PAUSE_MS = 1_000;

/** The same notice may be taken later, so it stays here and goes again. */
const PASSING = new Set(['RATE_LIMITED', 'OVERLOADED', 'DRAINING', 'STORE_UNAVAILABLE', 'STORE_FULL', 'REQUEST_TIMEOUT', 'INTERNAL']);

/** Why something was not done: `code` as in the server's errors, or `CLOSED`, `QUEUE_FULL`, `UNREADABLE`. */
export class NoticeError extends Error {
  constructor(code, message = code) {
    super(message);
    this.name = 'NoticeError';
    this.code = code;
  }
}

/** Not `crypto.randomUUID`: that is missing on plain http from another machine. */
export function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class Outbox {
  #entries = new Map(); // key -> what is not yet confirmed, in order
  #link = null;
  #posting = false;

  get size() { return this.#entries.size; }

  add(notice) {
    const key = notice.idempotencyKey ?? randomKey();
    const known = this.#entries.get(key);
    if (known) return known.promise;
    if (this.#entries.size >= AT_MOST) return Promise.reject(new NoticeError('QUEUE_FULL', `${AT_MOST} notices wait to be sent`));
    const entry = { notice: { ...notice, idempotencyKey: key }, tries: 0 };
    entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
    this.#entries.set(key, entry);
    this.#transmit(entry);
    return entry.promise;
  }

  /** A new connection: everything unconfirmed goes over it. None: it waits. */
  use(link) {
    this.#link = link;
    if (link?.post) this.#post();
    else for (const entry of link ? [...this.#entries.values()] : []) this.#transmit(entry);
  }

  /** An answer on a connection. False when it is about nothing that was sent here. */
  answered({ type, ref, id, duplicate, code, message }) {
    const entry = this.#entries.get(ref);
    if (!entry) return false;
    if (type === 'sent') this.#settle(ref, entry.resolve, { id, duplicate: Boolean(duplicate) });
    else this.#refused(ref, entry, code, message);
    return true;
  }

  /** The connection was closed for a frame that was too large; without this it would go again, for ever. */
  blameLargest() {
    const size = ({ notice }) => JSON.stringify(notice).length;
    const [largest] = [...this.#entries].sort(([, a], [, b]) => size(b) - size(a));
    if (largest) this.#settle(largest[0], largest[1].reject, new NoticeError('TOO_LARGE'));
  }

  close() {
    this.#link = null;
    for (const [key, { reject }] of this.#entries) this.#settle(key, reject, new NoticeError('CLOSED', 'the client was closed'));
  }

  #settle(key, how, value) {
    this.#entries.delete(key);
    how(value);
  }

  #refused(key, entry, code, message) {
    if (!PASSING.has(code)) return this.#settle(key, entry.reject, new NoticeError(code, message));
    entry.tries += 1;
    setTimeout(() => this.#transmit(entry), PAUSE_MS + backoffMs(entry.tries));
  }

  #transmit(entry) {
    const link = this.#link;
    const { idempotencyKey: ref, type: noticeType, ...notice } = entry.notice;
    if (!link || !this.#entries.has(ref)) return;
    if (link.post) return void this.#post();
    link.send({ ...notice, noticeType, type: 'send', ref, idempotencyKey: ref });
    // Nothing may come back because the connection is dead and nobody has noticed yet.
    setTimeout(() => { if (link === this.#link && this.#entries.has(ref)) link.check(); }, CONFIRM_WITHIN_MS);
  }

  /** Without a way back on the connection: one call after the other, so that the order stays. */
  async #post() {
    if (this.#posting) return;
    this.#posting = true;
    while (this.#link?.post && this.#entries.size) {
      const [[key, entry]] = this.#entries;
      const answer = await this.#link.post(entry.notice);
      if (!this.#entries.has(key)) continue;
      if (answer.id) this.#settle(key, entry.resolve, answer);
      else if (!PASSING.has(answer.code ?? 'INTERNAL')) this.#settle(key, entry.reject, new NoticeError(answer.code, answer.detail));
      else await new Promise((resolve) => setTimeout(resolve, PAUSE_MS + backoffMs(entry.tries++)));
    }
    this.#posting = false;
  }
}
