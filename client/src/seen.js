// The ids of the notices that were handled, so that each counts once. Bounded: the oldest is forgotten.

export class Seen {
  #ids = new Set();
  #most;

  constructor(most = 5_000) { this.#most = most; }

  has(id) { return this.#ids.has(id); }

  add(id) {
    this.#ids.add(id);
    if (this.#ids.size > this.#most) this.#ids.delete(this.#ids.values().next().value);
  }
}
