// The chat page: one person's window, on the browser client that every program can import.
//
// `client.js` keeps the connection and loses nothing; `timeline.js` is what is to be seen, `view.js` the document.
// This file ties them together, and remembers what was not yet sent over a reload.

import { connect } from '../client.js';
import { BASE, browser, Drawer, randomKey, RecentIds, tab, takeLink } from './storage.js';
import { Timeline } from './timeline.js';
import { View } from './view.js';
import { LATE_AFTER_MS, lagWords, spanWords, TRANSPORTS } from './words.js';

const HISTORY_PAGE = 50;
const REMEMBERED_SENT = 200;
const REMEMBERED_LAGS = 101;
const COMPLAIN_AFTER_MS = 5_000;

const SEND_PROBLEMS = {
  INBOX_FULL: 'their inbox is full',
  TOO_LARGE: 'it is too long',
  QUEUE_FULL: 'too much waits already',
};

/** Asks for a token that is not the client's: whose it is, and what time it is there. */
async function askSession(token) {
  const response = await fetch(`${BASE}session`, {
    headers: { Authorization: `Bearer ${token}` }, cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(8_000),
  });
  const { accountId } = await response.json();
  return { status: response.status, accountId, date: Date.parse(response.headers.get('Date') ?? '') };
}

class Chat {
  #view = new View(this);
  #client = null;
  #timeline = new Timeline();
  #token = ''; #account = null; #peer = '';
  #seen = new RecentIds('seen');
  #transport = '';    // chosen by a person; empty: the client's choice
  #state = null; #offlineSince = 0;
  #asked = null;      // the client waits for a newer token: resolves its question
  #underway = new Set(); // keys of what the client has been given to send
  #skewMs = 0;
  #lags = []; #sent = 0;
  #complaint = '';
  #drawing = null; #fresh = 0; #stay = false;
  #unread = 0;
  #historyDone = false; #historyAsked = false;

  // ---- beginning and leaving

  begin() {
    const link = takeLink();
    if (link.peer) tab.set('peer', link.peer);
    if (link.token) return this.open(link);
    const token = tab.get('token');
    if (token) this.#run(token, tab.get('peer', ''), tab.get('account'), link.transport || tab.get('transport', ''));
    else this.#view.showStart();
  }

  open({ token, peer, transport = '' }) {
    const same = token === tab.get('token');
    tab.set('token', token);
    tab.set('peer', peer);
    if (!same) tab.remove('account');
    this.#run(token, peer, same ? tab.get('account') : null, transport);
  }

  /** Forgets this person in this browser, messages too. */
  leave() {
    this.#endClient();
    if (this.#account) {
      tab.remove(`outbox:${this.#account}`);
      tab.remove(`seen:${this.#account}`);
      browser.remove(`sent:${this.#account}`);
    }
    ['token', 'peer', 'account', 'transport'].forEach((name) => tab.remove(name));
    this.#token = '';
    this.#reset();
    this.#view.showStart();
  }

  /** Another transport is another client: what it was given to send, the next one gets. */
  chooseTransport(name) {
    if (name === this.#transport) return;
    this.#begin(name);
    this.#draw();
  }

  #run(token, peer, account, transport) {
    this.#endClient();
    this.#reset();
    this.#token = token;
    this.#peer = peer;
    this.#view.showPeer(peer);
    this.#view.showChat();
    this.#enter(account);
    this.#begin(transport);
    this.#draw();
  }

  #begin(transport) {
    this.#transport = Object.hasOwn(TRANSPORTS, transport) ? transport : '';
    tab.set('transport', this.#transport);
    this.#endClient();
    this.#offlineSince = Date.now();
    // The first state is told while the client is being made.
    let client = null;
    const mine = (run) => (...given) => { if (!client || client === this.#client) return run(...given); };
    client = connect({
      token: mine((why) => this.#tokenFor(why)),
      transports: this.#transport ? [this.#transport] : undefined,
      seen: { has: (id) => this.#seen.has(id), add: (id) => this.#seen.add(id) },
      onNotice: mine((notice) => this.#onNotice(notice)),
      onState: mine((state) => this.#onState(state)),
      onRecall: mine((ids) => this.#onRecall(ids)),
      onError: mine((error, notice) => this.#onError(error, notice)),
    });
    this.#client = client;
    this.#view.showPageLink(`${BASE}page?${new URLSearchParams({ SESSION_TOKEN_KEY: this.#token })}`);
    this.#loadHistory();
    this.#sendWaiting();
  }

  /** What it says from here on is about nobody any more. */
  #endClient() {
    const client = this.#client;
    this.#client = null;
    client?.close();
    this.#underway.clear();
    this.#asked = null;
    this.#historyAsked = false;
  }

  #reset() {
    this.#timeline = new Timeline();
    this.#account = null;
    this.#historyDone = this.#historyAsked = false;
    this.#complaint = '';
    this.#lags = [];
    this.#sent = 0;
    this.#clearUnread();
  }

  /** From here on it is known who this is: what the browser remembers of them comes in. */
  #enter(account) {
    if (account === this.#account) return;
    if (this.#account) this.#timeline.clear();
    this.#account = account;
    this.#view.showSelf(account);
    if (!account) return;
    tab.set('account', account);
    this.#seen = new RecentIds(`seen:${account}`);
    for (const entry of tab.get(`outbox:${account}`, [])) this.#timeline.takeOwn({ ...entry, from: account, mine: true });
    this.#takeSent();
    for (const message of this.#timeline.messages) if (message.mine) message.from = account;
  }

  #takeSent() {
    for (const entry of browser.get(`sent:${this.#account}`, [])) {
      this.#timeline.takeOwn({ ...entry, from: this.#account, mine: true, state: 'sent' });
    }
  }

  // ---- the client's events

  #onState(state) {
    if (state.state !== 'offline') this.#offlineSince = 0;
    else this.#offlineSince ||= Date.now();
    this.#state = state;
    if (state.reason === 'expired') this.#onExpired(state);
    if (state.account) this.#enter(state.account);
    if (state.state !== 'offline') {
      this.#sendWaiting();
      if (!this.#historyDone) this.#loadHistory();
    }
    for (const message of this.#unconfirmed()) message.state = this.#openState();
    this.#showStatus();
    this.#draw();
  }

  #onExpired({ final }) {
    this.#asked?.resolve(null); // too late for a newer one over the old connection
    if (!final) return;
    tab.remove('token');
    this.#view.showStart('This token is no longer valid. Paste a new one to go on.', this.#peer);
  }

  /** Shown first, acknowledged after. */
  #onNotice(notice) {
    const message = this.#timeline.take(notice);
    if (!message) return;
    message.lag = this.#now() - message.time;
    message.late = message.lag >= LATE_AFTER_MS;
    message.redelivered = Boolean(notice.redelivered);
    this.#lags = [...this.#lags, message.lag].slice(-REMEMBERED_LAGS);
    this.#fresh += 1;
    this.#view.announce(`${message.from ?? message.type ?? 'Notice'}: ${message.text}`);
    if (document.hidden) this.#countUnread();
    if (!this.#peer && message.from) this.choosePeer(message.from);
    this.#showStatus();
    return this.#draw();
  }

  #onRecall(ids) {
    this.#timeline.recall(ids);
    this.#draw();
  }

  #onError(error, notice) {
    if (notice) console.error('A notice could not be shown.', error);
    if (this.#asked) return this.#view.showRefresh(true, error.message);
    this.#complaint = error.message || 'The server did not understand this page.';
    this.#showStatus();
  }

  // ---- tokens

  /** The client's question. `expiring`: a person has time to paste a newer one; until then the old one does. */
  #tokenFor(why) {
    if (why === 'start') return this.#token;
    if (why === 'expired') return null;
    return new Promise((resolve) => {
      this.#asked = { resolve: (token) => { this.#asked = null; resolve(token); } };
      this.#showStatus();
    });
  }

  /** A pasted token is looked at first, so that its mistakes are told at once. */
  async refresh(token) {
    if (!token) return this.#view.showRefresh(true, 'There is no token in that.');
    try {
      const { status, accountId } = await askSession(token);
      if (status !== 200) return this.#view.showRefresh(true, 'This token is not valid.');
      if (accountId !== this.#account) return this.#view.showRefresh(true, `This token is ${accountId}’s, not ${this.#account}’s.`);
    } catch { return this.#view.showRefresh(true, 'The server is not reached just now.'); }
    this.#token = token;
    tab.set('token', token);
    this.#asked?.resolve(token);
    this.#view.showRefresh(false);
    this.#showStatus();
  }

  // ---- sending

  send(text) {
    const last = this.#timeline.messages.at(-1)?.time ?? 0;
    const message = {
      key: randomKey(), mine: true, from: this.#account, to: this.#peer, text,
      time: Math.max(this.#now(), last), state: 'waiting',
    };
    this.#timeline.takeOwn(message);
    this.#transmit(message);
    this.#showStatus();
    this.#draw();
  }

  /** The same key as before, so the server knows it if it has it. */
  retry(key) {
    const message = this.#timeline.byKey(key);
    if (!message) return;
    message.problem = '';
    this.#transmit(message);
    this.#draw();
  }

  discard(key) {
    const message = this.#timeline.byKey(key);
    if (!message) return;
    this.#timeline.remove(message);
    this.#saveOutbox();
    this.#draw();
  }

  #unconfirmed() {
    return this.#timeline.messages.filter((message) => message.state === 'sending' || message.state === 'waiting');
  }

  #openState() { return this.#state?.state === 'offline' ? 'waiting' : 'sending'; }

  #sendWaiting() {
    if (!this.#client) return;
    for (const message of this.#unconfirmed()) if (!this.#underway.has(message.key)) this.#transmit(message);
  }

  /** Kept before it is sent: a reload in between sends it again under the same key. */
  async #transmit(message) {
    const { key, to, text } = message;
    const client = this.#client;
    message.state = this.#openState();
    this.#saveOutbox();
    this.#underway.add(key);
    try {
      const { id } = await client.send({ receiverId: to, message: text, idempotencyKey: key });
      this.#confirm(message, id);
    } catch (error) {
      if (client !== this.#client || error.code === 'CLOSED') return; // the next client has it, or it waits for one
      this.#fail(message, SEND_PROBLEMS[error.code] ?? error.message);
    }
    this.#underway.delete(key);
    this.#showStatus();
    this.#draw();
  }

  #confirm(message, id) {
    this.#timeline.confirm(message, id);
    message.state = 'sent';
    this.#sent += 1;
    this.#saveOutbox();
    this.#rememberSent(message);
  }

  #fail(message, problem) {
    message.state = 'failed';
    message.problem = problem;
    this.#saveOutbox();
  }

  #saveOutbox() {
    if (!this.#account) return;
    const open = this.#timeline.messages.filter((message) => message.mine && message.state !== 'sent');
    tab.set(`outbox:${this.#account}`, open.map(({ key, to, text, time, state, problem }) => ({ key, to, text, time, state, problem })));
  }

  /** Read again before it is written: other windows of the same person write there too. */
  #rememberSent({ key, id, to, text, time }) {
    if (!this.#account) return;
    const others = browser.get(`sent:${this.#account}`, []).filter((entry) => entry.key !== key);
    browser.set(`sent:${this.#account}`, [...others, { key, id, to, text, time }].slice(-REMEMBERED_SENT));
  }

  // ---- history, people

  async #loadHistory(before) {
    const client = this.#client;
    if (this.#historyAsked) return;
    this.#historyAsked = true;
    try {
      if (!before) await this.#noteClock();
      const notices = await client.history({ limit: HISTORY_PAGE, before });
      if (client !== this.#client) return;
      notices.forEach((notice) => this.#timeline.take(notice));
      this.#historyDone = true;
      this.#view.showEarlier(notices.length === HISTORY_PAGE);
      this.#stay = Boolean(before);
      this.#draw();
    } catch { /* asked for again at the next connection */ } finally {
      this.#historyAsked = false;
    }
  }

  loadEarlier() {
    const oldest = this.#timeline.messages.find((message) => !message.mine && message.id);
    if (oldest) this.#loadHistory(oldest.id);
  }

  choosePeer(name) {
    this.#peer = name;
    tab.set('peer', name);
    this.#view.showPeer(name);
    this.#draw();
  }

  /** Everyone written to or heard from, the latest first. */
  #people() {
    const last = new Map(this.#peer ? [[this.#peer, '']] : []);
    for (const message of this.#timeline.messages) {
      const other = message.mine ? message.to : message.from;
      if (!other) continue;
      last.delete(other);
      last.set(other, message.recalled ? '' : message.mine ? `You: ${message.text}` : message.text);
    }
    return Array.from(last, ([name, text]) => ({ name, last: text })).reverse();
  }

  /** A clock that is wrong by more than the header can tell apart is put right, for order and lag. */
  async #noteClock() {
    const { date } = await askSession(this.#token);
    const skew = date + 500 - Date.now();
    this.#skewMs = Math.abs(skew) > 2_000 ? skew : 0;
  }

  #now() { return Date.now() + this.#skewMs; }

  // ---- showing

  /** Once for all that one event brought. Resolves when it is in the document. */
  #draw() {
    this.#drawing ??= Promise.resolve().then(() => {
      this.#drawing = null;
      this.#view.render({
        messages: this.#timeline.messages, peer: this.#peer, people: this.#people(), fresh: this.#fresh, stay: this.#stay,
      });
      this.#fresh = 0;
      this.#stay = false;
    });
    return this.#drawing;
  }

  #showStatus() {
    const { state, transport, node } = this.#state;
    this.#view.showStatus(this.#light(), this.#words(), state === 'offline' ? '' : TRANSPORTS[transport]);
    this.#view.showConnection({
      chosen: this.#transport, node: node ?? '', waiting: this.#unconfirmed().length, sent: this.#sent,
      received: this.#lags.length < REMEMBERED_LAGS ? String(this.#lags.length) : `${REMEMBERED_LAGS - 1} and more`,
      lag: this.#lagWords(),
    });
    this.tick();
  }

  #light() {
    const { state, final, retryAt } = this.#state;
    if (state !== 'offline') return state;
    return final ? 'ended' : retryAt ? 'waiting' : 'connecting';
  }

  #words() {
    const words = { online: 'Connected', degraded: 'Connected', connecting: 'Connecting…', waiting: 'Offline' };
    return words[this.#light()] ?? (this.#state.reason === 'replaced' ? 'Open elsewhere' : 'Disconnected');
  }

  #lagWords() {
    if (!this.#lags.length) return 'nothing came yet';
    const sorted = this.#lags.toSorted((a, b) => a - b);
    return `${lagWords(sorted.at(sorted.length >> 1))} in the middle, ${lagWords(sorted.at(-1))} at most`;
  }

  /** What changes with the clock alone. */
  tick() {
    if (!this.#state) return;
    const { retryAt } = this.#state;
    const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
    const waiting = this.#state.state === 'offline' ? this.#unconfirmed().length : 0;
    this.#view.showCountdown([
      waiting && `${waiting} to send`, retryAt && (seconds > 0 ? `again in ${seconds} s` : 'trying now'),
    ].filter(Boolean).join(', '));
    this.#view.showBanner(this.#banner());
  }

  #banner() {
    const { reason } = this.#state;
    const again = () => this.#client.connect();
    if (reason === 'removed') return { kind: 'warn', words: 'The service ended this connection.', action: 'Connect again', run: again };
    if (reason === 'replaced') return { kind: 'warn', words: 'This account was opened in a newer window.', action: 'Use it here', run: again };
    if (this.#offlineSince && Date.now() - this.#offlineSince > COMPLAIN_AFTER_MS) {
      return { kind: 'warn', words: 'No connection. What you write is kept and sent later.', action: 'Try now', run: again };
    }
    if (this.#asked) return { kind: 'calm', words: 'Your token ends soon.', action: 'New token', run: () => this.#view.showRefresh(true) };
    if (!this.#complaint) return null;
    return { kind: 'warn', words: this.#complaint, action: 'Dismiss', run: () => { this.#complaint = ''; this.#showStatus(); } };
  }

  #countUnread() {
    this.#unread += 1;
    document.title = `(${this.#unread}) Notice`;
  }

  #clearUnread() {
    this.#unread = 0;
    document.title = 'Notice';
  }

  // ---- the window's own events

  onVisibility() { if (!document.hidden) this.#clearUnread(); }

  /** Another link pasted into this window's address bar. */
  onLink() {
    const link = takeLink();
    if (link.token) return this.open(link);
    if (link.peer) this.choosePeer(link.peer);
    if (link.transport) this.chooseTransport(link.transport);
  }

  onHide() { this.#seen.save(); }

  onSentElsewhere(key) {
    if (!this.#account || key !== Drawer.key(`sent:${this.#account}`)) return;
    this.#takeSent();
    this.#draw();
  }
}

const chat = new Chat();
document.addEventListener('visibilitychange', () => chat.onVisibility());
window.addEventListener('pagehide', () => chat.onHide());
window.addEventListener('storage', ({ key }) => chat.onSentElsewhere(key));
window.addEventListener('hashchange', () => chat.onLink());
setInterval(() => chat.tick(), 500);
chat.begin();
