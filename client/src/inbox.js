// Notices on their way into the program: one after the other, each once, acknowledged when the handler is done.

import { Seen } from './seen.js';

/** Acknowledgements wait for each other so long, so that a burst needs few of them. */
const GATHER_MS = 100;
const GATHER_IDS = 100;
const RETRY_FIRST_MS = 1_000;
const RETRY_LAST_MS = 60_000;

/** How many notices may be in a client that were not handled yet is bounded by the server's window. */
export class Inbox {
  #handle; #acknowledge; #complain; #seen;
  #queue = [];
  #tries = new Map(); // id -> failed tries, of all that were taken and not handled
  #acks = []; #ackSince = 0;
  #running = null;
  #closed = false;

  /** `acknowledge(ids)` sends; `complain(error, notice)` hears what a handler threw. */
  constructor({ handle, acknowledge, complain, seen = new Seen() }) {
    this.#handle = handle;
    this.#acknowledge = acknowledge;
    this.#complain = complain;
    this.#seen = seen;
  }

  take(notice) {
    if (this.#tries.has(notice.id)) return;
    // Its acknowledgement was lost, or crossed another connection: without one it stays in the inbox.
    if (!this.#seen.has(notice.id)) this.#tries.set(notice.id, 0);
    this.#put(notice);
  }

  /** Recalled, or read by another session: it need not be handled any more. */
  drop(ids) {
    for (const id of ids) this.#tries.delete(id);
    this.#queue = this.#queue.filter(({ id }) => !ids.includes(id));
  }

  /** Resolves when everything taken so far was handled, or has failed and waits for its next try. */
  async settled() { await this.#running; }

  close() {
    this.#closed = true;
    this.#queue = [];
  }

  #put(notice) {
    this.#queue.push(notice);
    this.#running ??= this.#run();
  }

  async #run() {
    await null; // what one frame or answer brought comes in together
    while (this.#queue.length) {
      const notice = this.#queue.shift();
      if (await this.#done(notice)) this.#gather(notice.id);
      if (!this.#queue.length || this.#acks.length >= GATHER_IDS || Date.now() - this.#ackSince >= GATHER_MS) this.#flush();
    }
    this.#running = null;
  }

  async #done(notice) {
    const { id } = notice;
    if (this.#seen.has(id)) return true;
    try {
      await this.#handle(notice);
    } catch (error) {
      if (!this.#closed) this.#again(notice, error);
      return false;
    }
    this.#seen.add(id);
    this.#tries.delete(id);
    return true;
  }

  /** A handler that failed is asked again, later and later; others do not wait for it. */
  #again(notice, error) {
    this.#complain(error, notice);
    const tries = this.#tries.get(notice.id) ?? 0;
    this.#tries.set(notice.id, tries + 1);
    setTimeout(() => {
      if (!this.#closed && this.#tries.has(notice.id)) this.#put(notice);
    }, Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** tries));
  }

  #gather(id) {
    if (!this.#acks.length) this.#ackSince = Date.now();
    this.#acks.push(id);
  }

  #flush() {
    if (this.#acks.length) this.#acknowledge(this.#acks.splice(0));
  }
}
