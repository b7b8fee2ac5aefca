// The session token: given once, or asked for through the program's callback, also anew when it has ended.

export class Tokens {
  #ask = null;
  #token;
  #ended = false;
  #asking = null;

  /** `token`: a text, a function that gives one or a promise of one, or nothing, where a cookie speaks. */
  constructor(token) {
    if (typeof token === 'function') this.#ask = token;
    else this.#token = token;
  }

  get token() { return this.#token; }

  /** The server does not take it any more. */
  end() { this.#ended = true; }

  use(token) {
    this.#token = token;
    this.#ended = false;
  }

  /** Whether there is a token to connect with, after asking for one if need be. Throws what the callback threw. */
  async ready() {
    if (!this.#ask) return !this.#ended;
    if (this.#token !== undefined && !this.#ended) return true;
    const fresh = await this.renew(this.#ended ? 'expired' : 'start');
    if (fresh) this.use(fresh);
    return Boolean(fresh);
  }

  /** A text or a cookie may hold again, since a person says so. */
  retry() { if (!this.#ask) this.#ended = false; }

  /** Asks the program, once at a time. Nothing: there is no newer one. */
  renew(why) {
    this.#asking ??= this.#askNow(why).finally(() => { this.#asking = null; });
    return this.#asking;
  }

  async #askNow(why) { return this.#ask?.(why); }
}
