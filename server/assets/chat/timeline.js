// What is to be seen, in order and each once. Knows no document.

const SHOWN_AT_MOST = 2_000;

/** A time that a date can be made of, whatever was sent: one bad notice must not stop the page. */
function timeOf({ createdTime }) {
  return Number.isNaN(new Date(createdTime ?? NaN).getTime()) ? Date.now() : Number(new Date(createdTime));
}

/** A notice of the wire as something to show. Its own receiver may have written it, at another window. */
function fromNotice(notice) {
  const mine = notice.senderId != null && notice.senderId === notice.receiverId;
  return {
    key: `n:${notice.id}`, id: notice.id, mine, state: mine ? 'sent' : undefined,
    from: notice.senderId ?? null, to: notice.receiverId ?? null,
    text: String(notice.message ?? ''), time: timeOf(notice),
    type: notice.type, data: notice.data, collapseKey: notice.collapseKey,
  };
}

/** From a service, not from a person. */
export function isSystem(message) { return !message.mine && !message.from; }

function sortsAfter(a, b) {
  return a.time !== b.time ? a.time > b.time : String(a.id ?? a.key) > String(b.id ?? b.key);
}

/**
 * All messages to be seen, in order of time, each once. Own messages are known by their idempotency
 * key, and once confirmed by their id too; what was received is known by its id.
 */
export class Timeline {
  messages = [];
  #byId = new Map();
  #recalled = new Set(); // also of notices that are still on their way in the history's answer

  byKey(key) { return this.messages.find((message) => message.key === key); }

  /** Takes a notice in and gives the message that shows it, or null if it was recalled. */
  take(notice) {
    const known = this.#byId.get(notice.id);
    if (known) return known;
    if (this.#recalled.has(notice.id)) return null;
    const message = fromNotice(notice);
    this.#insert(message);
    this.#dropReplaced();
    return message;
  }

  /** Takes an own message in, unless it is there. */
  takeOwn(message) {
    if (this.byKey(message.key)) return;
    if (message.id) this.#giveWay(message.id, message);
    this.#insert(message);
  }

  confirm(message, id) {
    this.#giveWay(id, message);
    message.id = id;
    this.#byId.set(id, message);
  }

  recall(ids) {
    for (const id of ids) {
      this.#recalled.add(id);
      const message = this.#byId.get(id);
      if (message) message.recalled = true;
    }
    this.#dropReplaced();
  }

  remove(message) {
    this.messages = this.messages.filter((other) => other !== message);
    if (message.id) this.#byId.delete(message.id);
  }

  clear() {
    this.messages = [];
    this.#byId.clear();
  }

  /** Who writes to themselves also receives it: the message as sent stays, the received one goes. */
  #giveWay(id, message) {
    const received = this.#byId.get(id);
    if (received && received !== message) this.remove(received);
  }

  #insert(message) {
    let at = this.messages.length;
    while (at > 0 && sortsAfter(this.messages[at - 1], message)) at -= 1;
    this.messages.splice(at, 0, message);
    if (message.id) this.#byId.set(message.id, message);
    if (this.messages.length > SHOWN_AT_MOST) this.remove(this.messages[0]);
  }

  /** "The driver is 3 minutes away" is not withdrawn by "2 minutes away", but replaced. */
  #dropReplaced() {
    const isReplaced = (old) => old.recalled && old.collapseKey && this.messages.some((other) =>
      other !== old && !other.recalled && other.collapseKey === old.collapseKey && other.from === old.from);
    this.messages.filter(isReplaced).forEach((message) => this.remove(message));
  }
}
