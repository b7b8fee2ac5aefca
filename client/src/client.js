// The client: keeps one connection up over the best transport that works here, and ties it to inbox and outbox.
//
// A new connection takes the place of the old one only when it has begun (make before break), so a move loses
// nothing; what both bring is told apart by id.

import { backoffMs } from './backoff.js';
import { call, endOf } from './http.js';
import { Inbox } from './inbox.js';
import { NoticeError, Outbox, randomKey } from './outbox.js';
import { hidden, listen } from './page.js';
import { openPoll } from './poll.js';
import { openSse } from './sse.js';
import { Tokens } from './tokens.js';
import { verdict } from './verdict.js';
import { openWebSocket } from './websocket.js';

const OPEN = { websocket: openWebSocket, sse: openSse, longpoll: openPoll, shortpoll: openPoll };
const LADDER = ['websocket', 'sse', 'longpoll'];

/** A connection that held so long was a good one: failures are counted anew. */
const STABLE_MS = 5_000;
/** A transport that has worked gets so many tries before a lower one is taken; one that never has, one. */
const TRIES = 3;
const PROBE_FIRST_MS = 30_000;
const PROBE_LAST_MS = 10 * 60_000;
const SHORT_POLL_MS = 3_000;
/** A page that nobody sees comes back, and polls, at leisure, and after a while not at all. */
const HIDDEN_RETRY_MS = 10_000;
const HIDDEN_POLL_MS = 60_000;
const PAUSE_AFTER_MS = 10 * 60_000;
/** A page that was hidden so long may have slept, and its connection died. */
const STALE_AFTER_MS = 10_000;

/** What the end of a way says that can't even begin. */
const UNUSABLE = { status: 400 };

const nothing = () => {};
const DEFAULTS = { transports: LADDER, pauseAfterMs: PAUSE_AFTER_MS, onState: nothing, onRead: nothing, onRecall: nothing, onError: nothing };

export class NoticeClient {
  #options; #base; #tokens; #inbox; #stopListening;
  #outbox = new Outbox();
  #session = randomKey();
  #way = null;      // the connection that works: {level, link, since}
  #opening = null;  // one on its way
  #level = 0;       // the place on the ladder
  #failures = 0;
  #shaky = 0;       // good connections in a row that broke at once
  #tries = [];      // of each level since it last worked
  #worked = new Set();
  #timer = 0; #notBefore = 0;
  #probeTimer = 0; #probeMs = PROBE_FIRST_MS;
  #suspect = 0;     // 1: the connection may be dead, so a probe that fails ends by a new one of the same kind
  #hiddenSince = 0; #pauseTimer = 0;
  #stopped = null;  // why nothing is tried: `hidden`, or for good
  #account = null; #node = null;
  #state = {};

  constructor(options) {
    this.#options = { ...DEFAULTS, ...Object.fromEntries(Object.entries(options).filter(([, value]) => value != null)) };
    this.#validate();
    this.#base = baseOf(options.url);
    this.#tokens = new Tokens(options.token);
    this.#inbox = new Inbox({
      handle: options.onNotice,
      seen: options.seen,
      acknowledge: (ids) => this.#way?.link.acknowledge(ids),
      complain: this.#options.onError,
    });
    this.#stopListening = this.#listen();
    this.#open();
  }

  get state() { return this.#state; }

  /** Resolves when the server has stored it. It waits while there is no connection. */
  async send(notice) {
    if (this.#stopped === 'closed') throw new NoticeError('CLOSED', 'the client was closed');
    return this.#outbox.add(notice);
  }

  /** What was received, newest first. */
  async history(options = {}) {
    const query = new URLSearchParams(Object.entries(options).filter(([, value]) => value != null));
    await this.#tokens.ready();
    const response = await call(this.#context(), `inbox?${query}`);
    const body = await response.json();
    if (!response.ok) throw new NoticeError(body.code, body.detail);
    return body.notices;
  }

  /** Tries at once. Also the way back after the end: a person asked for it. */
  connect() {
    if (this.#stopped === 'closed') return;
    if (this.#stopped === 'expired') this.#tokens.retry();
    this.#stopped = null;
    this.#notBefore = 0;
    this.#wake(true);
  }

  close() {
    this.#stopListening();
    this.#inbox.close();
    this.#stop('closed');
    this.#outbox.close();
  }

  #validate() {
    const { transports, onNotice } = this.#options;
    if (typeof onNotice !== 'function') throw new TypeError('onNotice: a function is needed');
    for (const name of transports) if (!OPEN[name]) throw new TypeError(`transports: ${name} is none of ${Object.keys(OPEN)}`);
  }

  // ---- opening

  async #open(level = this.#level) {
    if (this.#opening || this.#stopped) return;
    clearTimeout(this.#timer);
    const way = { level, since: 0, link: null };
    this.#opening = way;
    if (!this.#way) this.#level = level;
    this.#tell(this.#state.reason ?? 'starting');
    if (!await this.#haveToken(way)) return;
    try {
      way.link = OPEN[this.#options.transports[level]](this.#context(level), {
        opened: (welcome) => this.#opened(way, welcome),
        frame: (frame) => this.#take(way, frame),
        ended: (end) => this.#ended(way, end),
        settled: () => this.#inbox.settled(),
      });
    } catch { this.#ended(way, UNUSABLE); } // no such thing in this browser, or forbidden to this page
  }

  /** False when it may not go on: there is no token, or this way was given up meanwhile. */
  async #haveToken(way) {
    let ready = null;
    try { ready = await this.#tokens.ready(); } catch (error) { this.#options.onError(error); }
    if (way !== this.#opening) return false;
    if (ready) return true;
    this.#opening = null;
    if (ready === null) this.#openIn(backoffMs(this.#failures++), 'token');
    else this.#stop('expired');
    return false;
  }

  #context(level) {
    const pauseMs = () => (hidden() ? HIDDEN_POLL_MS : SHORT_POLL_MS) * (0.8 + 0.4 * Math.random());
    return {
      base: this.#base, token: this.#tokens.token, session: this.#session,
      pauseMs: this.#options.transports[level] === 'shortpoll' ? pauseMs : null,
    };
  }

  #opened(way, { account, node }) {
    const old = this.#way;
    this.#opening = null;
    this.#way = way;
    way.since = Date.now();
    this.#level = way.level;
    this.#suspect = 0;
    this.#tries[way.level] = 0;
    this.#worked.add(way.level);
    this.#account = account ?? this.#account;
    this.#node = node ?? null;
    old?.link.close();
    this.#tell(null);
    this.#outbox.use(way.link);
    this.#planProbe();
    if (!this.#account) this.#learnAccount();
  }

  /** Streams and polls have no welcome that says whose they are. */
  async #learnAccount() {
    const session = await call(this.#context(), 'session').then((response) => response.json()).catch(nothing);
    this.#account ??= session?.accountId ?? null;
    if (this.#way) this.#tell(null);
  }

  // ---- what comes

  #take(way, frame) {
    const { type, ids, notice } = frame;
    if (type === 'notice') this.#inbox.take(notice);
    else if (type === 'read' || type === 'recall') this.#withdrawn(type, ids);
    else if (type === 'move') setTimeout(() => { if (way === this.#way) this.#open(way.level); }, frame.afterMs || 0);
    else if (type === 'expiring') this.#renew(way);
    else if (type === 'refreshed') this.#tokens.use(way.offered ?? this.#tokens.token);
    else if (!this.#outbox.answered(frame) && type === 'error') this.#options.onError(new NoticeError(frame.code, frame.message));
  }

  #withdrawn(type, ids) {
    this.#inbox.drop(ids);
    this.#options[type === 'read' ? 'onRead' : 'onRecall'](ids);
  }

  /** The token ends soon: a newer one goes over the connection, which stays. */
  async #renew(way) {
    try {
      way.offered = await this.#tokens.renew('expiring');
    } catch (error) { this.#options.onError(error); }
    if (way.offered && way === this.#way) way.link.send({ type: 'refresh', token: way.offered });
  }

  // ---- ends

  #ended(way, end) {
    if (way === this.#opening) {
      this.#opening = null;
      this.#refused(way, end);
    } else if (way === this.#way) {
      this.#way = null;
      this.#outbox.use(null);
      this.#lost(way, end);
    }
  }

  /** It did not come up. */
  async #refused({ level }, end) {
    let next = verdict(end);
    if (next.then === 'ask') next = await this.#askWhy(end);
    if (this.#opening || this.#stopped) return;
    this.#failures += 1;
    if (this.#way && level < this.#way.level) this.#probeFailed(level);
    else if (next.then === 'again' && !this.#worked.has(level)) this.#follow(next, 0); // nobody is let in just now
    else if (next.then === 'lower') this.#lower(level);
    else this.#follow(next, level);
  }

  /** A browser does not say why an upgrade failed, so the session is asked after by HTTP. */
  async #askWhy({ status }) {
    const response = await call(this.#context(), 'session').catch(nothing);
    if (response?.ok) return status ? { then: 'never', reason: 'removed' } : { then: 'lower' };
    const next = verdict(response ? endOf(response) : {});
    return next.then === 'token' || next.waitMs ? next : { then: 'again', waitMs: 0, reason: 'network' };
  }

  #lost(way, end) {
    const held = Date.now() - way.since > STABLE_MS;
    const next = verdict(end);
    if (end.code === 1009) this.#outbox.blameLargest();
    this.#shaky = held || next.then !== 'ask' ? 0 : this.#shaky + 1;
    if (held) this.#failures = 0;
    if (this.#shaky >= TRIES) this.#lower(way.level, TRIES);
    else this.#follow(next, way.level);
    // A server that takes a connection and drops it at once must not be asked again at full speed.
    if (!held) this.#failures += 1;
  }

  #follow({ then, waitMs = 0, reason = 'network' }, level) {
    if (then === 'never') return this.#stop(reason);
    if (then === 'token') this.#tokens.end();
    this.#notBefore = Date.now() + waitMs;
    const wait = then === 'token' && this.#failures < 2 ? 0 : backoffMs(this.#failures);
    this.#openIn(waitMs + wait, then === 'token' ? 'expired' : reason, level);
  }

  /** The way that the server would have it is barred: the next transport, or after the last the first again. */
  #lower(level, failed = 1) {
    this.#shaky = 0;
    this.#tries[level] = (this.#tries[level] ?? 0) + failed;
    if (this.#worked.has(level) && this.#tries[level] < TRIES) return this.#openIn(backoffMs(this.#failures), 'network', level);
    if (level + 1 < this.#options.transports.length) return this.#open(level + 1);
    this.#openIn(backoffMs(this.#failures), 'network', 0);
  }

  #openIn(ms, reason, level = this.#level) {
    if (this.#opening || this.#stopped) return this.#tell(reason);
    const leisure = hidden() ? HIDDEN_RETRY_MS * (0.5 + Math.random()) : 0;
    const wait = Math.max(ms, leisure, this.#notBefore - Date.now());
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(level), wait);
    this.#tell(reason, Date.now() + wait);
  }

  /** Nothing is tried any more: for good, or while hidden. */
  #stop(reason) {
    this.#stopped = reason;
    for (const timer of [this.#timer, this.#probeTimer, this.#pauseTimer]) clearTimeout(timer);
    const ways = [this.#way, this.#opening];
    this.#way = this.#opening = null;
    this.#outbox.use(null);
    for (const way of ways) way?.link?.close();
    this.#tell(reason);
  }

  // ---- back up the ladder

  #planProbe() {
    clearTimeout(this.#probeTimer);
    if (!this.#level) {
      this.#probeMs = PROBE_FIRST_MS;
      return;
    }
    this.#probeTimer = setTimeout(() => this.#open(0), this.#probeMs * (0.5 + Math.random()));
  }

  #probeFailed(level) {
    if (level + 1 < this.#way.level + this.#suspect) return this.#open(level + 1);
    this.#probeMs = Math.min(PROBE_LAST_MS, 2 * this.#probeMs);
    this.#planProbe();
  }

  // ---- the page

  #listen() {
    const { document, window } = globalThis;
    return listen([
      [document, 'visibilitychange', () => (hidden() ? this.#onHidden() : this.#onShown())],
      [window, 'online', () => this.#wake(true)],
      [window, 'offline', () => this.#way?.link.check?.()],
      // A page that goes into the back-forward cache must not hold a connection.
      [window, 'pagehide', () => this.#pause()],
      [window, 'pageshow', () => this.#onShown()],
    ]);
  }

  #onHidden() {
    this.#hiddenSince = Date.now();
    clearTimeout(this.#pauseTimer);
    if (Number.isFinite(this.#options.pauseAfterMs)) this.#pauseTimer = setTimeout(() => this.#pause(), this.#options.pauseAfterMs);
  }

  #onShown() {
    clearTimeout(this.#pauseTimer);
    const stale = this.#hiddenSince > 0 && Date.now() - this.#hiddenSince > STALE_AFTER_MS;
    this.#hiddenSince = 0;
    if (this.#stopped === 'hidden') this.#stopped = null;
    this.#wake(stale);
  }

  #pause() { if (!this.#stopped) this.#stop('hidden'); }

  /** The network may be back, or somebody looks: no use in waiting on, but for what the server asked for. */
  #wake(stale) {
    if (this.#stopped || this.#opening || Date.now() < this.#notBefore) return;
    if (!this.#way) {
      this.#failures = 0;
      this.#open();
    } else if (stale && this.#way.link.check) this.#way.link.check();
    else if (stale) {
      this.#suspect = 1;
      this.#open(0);
    }
  }

  // ---- telling

  #tell(reason, retryAt = null) {
    const way = this.#way;
    const state = {
      state: !way ? 'offline' : this.#level ? 'degraded' : 'online',
      transport: this.#options.transports[this.#level],
      reason: way ? null : reason,
      retryAt: way ? null : retryAt,
      final: Boolean(this.#stopped) && this.#stopped !== 'hidden',
      account: this.#account,
      node: way ? this.#node : null,
    };
    if (Object.keys(state).every((name) => state[name] === this.#state[name])) return;
    this.#state = state;
    this.#options.onState(state);
  }
}

/** Where the client API is: given, or where this module came from. */
function baseOf(url) {
  const from = globalThis.document?.baseURI ?? import.meta.url;
  return url ? new URL(url, from).href.replace(/\/*$/, '/') : new URL('.', import.meta.url).href;
}
