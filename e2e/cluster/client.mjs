// A client of `notice.v1` as docs/PROTOCOL.md wants one: it comes back when it is closed, moves when it is
// asked to, acknowledges what it takes, and gives a connection up that has gone silent. It counts all of
// that. No mercy: what the server does to it is in its counts.

import WebSocket from 'ws';

/** Beyond the server's own pings: the wait for one that is late. */
const SILENCE_MARGIN_MS = 10_000;
/** Longer than the ingress may need to find a pod out that does not answer. */
const HANDSHAKE_MS = 15_000;
const BACKOFF_MS = { first: 50, most: 2_000 };

export class Client {
  closes = new Map();
  refusals = new Map();
  /** When it was asked to move, and why: [{ at (ms), reason }]. */
  asked = [];
  silences = 0;
  #current = null;
  #ended = false;
  #failures = 0;

  /** `site`: {url, host} of the ingress; `taken(account, session, notice)` is told of each notice. */
  constructor(site, account, token, taken) {
    Object.assign(this, { site, account, taken });
    this.protocols = ['notice.v1', `token.${Buffer.from(token).toString('base64url')}`];
  }

  get isOnline() { return this.#current !== null; }
  get moves() { return this.asked.length; }
  get node() { return this.#current?.node; }

  start() { this.#connect(); }

  end() {
    this.#ended = true;
    this.#current?.socket.close(1000);
  }

  /** One connection; `previous` is closed once this one is welcome. */
  #connect(previous = null) {
    if (this.#ended) return;
    const socket = new WebSocket(`${this.site.url.replace(/^http/, 'ws')}/notice/ws/socket`, this.protocols, {
      headers: { Host: this.site.host }, handshakeTimeout: HANDSHAKE_MS, perMessageDeflate: false,
    });
    const link = { socket, previous, welcome: false, moving: false, node: null, session: null, pingMs: 30_000, watch: null };
    socket.on('unexpected-response', (_, response) => { this.#refused(link, response.statusCode); response.resume(); });
    socket.on('error', (error) => this.#refused(link, error.code ?? 'error'));
    socket.on('ping', () => this.#heard(link));
    socket.on('message', (data) => { this.#heard(link); this.#frame(link, JSON.parse(data)); });
    socket.on('close', (code) => this.#closed(link, code));
  }

  /** Only before it was welcome: later troubles end in a close. */
  #refused(link, why) {
    if (link.welcome || link.over) return;
    link.over = true;
    this.refusals.set(why, (this.refusals.get(why) ?? 0) + 1);
    link.socket.terminate();
    this.#again(link.previous);
  }

  #again(previous) {
    const pause = Math.min(BACKOFF_MS.first * 2 ** this.#failures, BACKOFF_MS.most) * (0.5 + Math.random() / 2);
    this.#failures += 1;
    setTimeout(() => this.#connect(previous?.socket.readyState === WebSocket.OPEN ? previous : null), pause);
  }

  #heard(link) {
    clearTimeout(link.watch);
    link.watch = setTimeout(() => {
      this.silences += 1;
      link.silent = true;
      link.socket.terminate();
    }, link.pingMs + SILENCE_MARGIN_MS);
  }

  #frame(link, frame) {
    switch (frame.type) {
      case 'welcome': return this.#welcomed(link, frame);
      case 'notice':
        this.taken(this.account, link.session, frame.notice);
        return link.socket.send(JSON.stringify({ type: 'ack', ids: [frame.notice.id] }));
      case 'move':
        this.asked.push({ at: Date.now(), reason: frame.reason });
        link.moving = true;
        return setTimeout(() => this.#connect(link), frame.afterMs);
      default:
    }
  }

  #welcomed(link, { session, node, pingSeconds }) {
    Object.assign(link, { welcome: true, session, node, pingMs: pingSeconds * 1000 });
    this.#failures = 0;
    this.#current = link;
    link.previous?.socket.close(1000);
    link.previous = null;
    if (this.#ended) link.socket.close(1000);
  }

  #closed(link, code) {
    clearTimeout(link.watch);
    if (!link.welcome) return this.#refused(link, `closed ${code}`);
    const isCurrent = this.#current === link;
    if (isCurrent) this.#current = null;
    if (this.#ended || (!isCurrent && code === 1000)) return undefined;
    // Giving up a silent one is our own doing: it is counted as a silence.
    if (!link.silent) this.closes.set(code, (this.closes.get(code) ?? 0) + 1);
    // One that is to move has its next connection on the way.
    if (isCurrent && !link.moving) this.#connect();
    return undefined;
  }
}

/** Adds up one of the clients' counts, by code. */
export function sum(clients, count) {
  const all = {};
  for (const client of clients) {
    for (const [code, times] of client[count]) all[code] = (all[code] ?? 0) + times;
  }
  return all;
}
