// What was staged and what came, and whether that is what was promised: each notice that a stage call
// confirmed is offered to its account, one session gets it once, and however often it comes, it has one
// id, so that a client that drops repeated ids shows it once. Pure.

export class Ledger {
  /** For each text: the account, the ids that it was seen with, and whether staging was confirmed. */
  #notices = new Map();
  /** `session id` of everything that was offered. */
  #offers = new Set();
  #repeats = [];
  #strangers = [];

  /** Before the call: from here on it may come. */
  intend(account, text) { this.#notices.set(text, { account, ids: new Set(), taken: false, confirmed: false }); }

  confirm(text, id) {
    const notice = this.#notices.get(text);
    notice.confirmed = true;
    notice.ids.add(id);
  }

  offered(account, session, { id, message }) {
    const notice = this.#notices.get(message);
    if (notice?.account !== account) {
      this.#strangers.push(`${id} came to ${account}`);
      return;
    }
    const offer = `${session} ${id}`;
    if (this.#offers.has(offer)) this.#repeats.push(`${id} came twice in ${session}`);
    this.#offers.add(offer);
    notice.ids.add(id);
    notice.taken = true;
  }

  get waiting() { return this.#confirmed().filter((notice) => !notice.taken).length; }

  verdict() {
    const notices = [...this.#notices];
    return {
      staged: this.#confirmed().length,
      lost: notices.filter(([, notice]) => notice.confirmed && !notice.taken).map(([text]) => text),
      doubled: notices.filter(([, notice]) => notice.ids.size > 1).map(([text]) => text),
      repeated: this.#repeats,
      misdirected: this.#strangers,
    };
  }

  #confirmed() { return [...this.#notices.values()].filter((notice) => notice.confirmed); }
}
