// The chat page: one person's window, over the WebSocket protocol `notice.v1`.
//
// From top to bottom: addresses and storage; `Connection`, which keeps a socket up and knows nothing
// of chat; `Timeline`, what is to be seen, without a document; `View`, the document, without a rule;
// `Chat`, which ties them together. All text from outside reaches the document by `textContent`.

const BASE = location.pathname.replace(/[^/]*$/, '');
const SOCKET_ADDRESS = `${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}${BASE}ws/socket`;

const WELCOME_WITHIN_MS = 10_000;
const CONFIRM_WITHIN_MS = 10_000;
const STABLE_AFTER_MS = 5_000;
const BACKOFF_FIRST_MS = 300;
const BACKOFF_LAST_MS = 15_000;
const COME_BACK_LATER_MS = 5_000;
/** A connection whose page was hidden this long may have died in its sleep. */
const STALE_AFTER_HIDDEN_MS = 60_000;
const LATE_AFTER_MS = 10_000;
const GROUP_WITHIN_MS = 5 * 60_000;
const HISTORY_PAGE = 50;
const RECENT_IDS = 5_000;
const REMEMBERED_SENT = 200;
const SHOWN_AT_MOST = 2_000;

/** Close codes after which a client does not come back by itself. */
const FINAL_CLOSE = { 4401: 'expired', 4403: 'removed', 4409: 'replaced' };

const SEND_PROBLEMS = {
  INBOX_FULL: 'their inbox is full',
  TOO_LARGE: 'it is too long',
  RATE_LIMITED: 'too many at once',
  OVERLOADED: 'the server is busy',
  STORE_UNAVAILABLE: 'the server cannot store it just now',
};

// ---------------------------------------------------------------- addresses, storage, small things

function base64url(text) {
  const bytes = Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte));
  return btoa(bytes.join('')).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** Not `crypto.randomUUID`: that is missing on plain http from another machine. */
function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** JSON in web storage; where that is blocked or full, in memory. */
class Drawer {
  #area = null;
  #memory = new Map();

  constructor(pick) {
    try { this.#area = pick(); } catch { /* blocked by the browser's settings */ }
  }

  get(name, otherwise = null) {
    try {
      const text = this.#memory.get(name) ?? this.#area?.getItem(Drawer.key(name));
      return text == null ? otherwise : JSON.parse(text);
    } catch { return otherwise; }
  }

  set(name, value) {
    const text = JSON.stringify(value);
    try {
      this.#area.setItem(Drawer.key(name), text);
      this.#memory.delete(name);
    } catch { this.#memory.set(name, text); }
  }

  remove(name) {
    this.#memory.delete(name);
    try { this.#area?.removeItem(Drawer.key(name)); } catch { /* as above */ }
  }

  static key(name) { return `notice:${BASE}:${name}`; }
}

/** What belongs to this window (so two windows can be two people), and what to the browser. */
const tab = new Drawer(() => sessionStorage);
const browser = new Drawer(() => localStorage);

/** Reads `token=...&peer=...` as a form is encoded, but for tokens: a bare `+` in one is a plus. */
function readLink(fragment) {
  const token = new URLSearchParams(fragment.replaceAll('+', '%2B')).get('token');
  const peer = new URLSearchParams(fragment).get('peer');
  return { token: token?.trim() ?? '', peer: peer?.trim() ?? '' };
}

/** Takes the credentials out of the address bar, and so out of what is copied or bookmarked. */
function takeLink() {
  const link = readLink(location.hash.slice(1));
  if (location.hash) history.replaceState(null, '', location.pathname + location.search);
  return link;
}

/** A pasted token, or a pasted link that holds one. */
function readPasted(text) {
  const at = text.indexOf('#');
  return at < 0 ? { token: text.trim(), peer: '' } : readLink(text.slice(at + 1).trim());
}

/** The newest `limit` ids that this window has shown, kept over a reload. */
class RecentIds {
  #name; #ids; #saving = 0;

  constructor(name) {
    this.#name = name;
    this.#ids = new Set(tab.get(name, []));
  }

  has(id) { return this.#ids.has(id); }

  add(id) {
    this.#ids.add(id);
    if (this.#ids.size > RECENT_IDS) this.#ids.delete(this.#ids.values().next().value);
    this.#saving ||= setTimeout(() => this.save(), 250);
  }

  save() {
    clearTimeout(this.#saving);
    this.#saving = 0;
    tab.set(this.#name, [...this.#ids]);
  }
}

// ---------------------------------------------------------------- HTTP

function ask(path, token) {
  return fetch(BASE + path, {
    headers: { Authorization: `Bearer ${token}` },
    cache: 'no-store',
    credentials: 'omit',
    signal: AbortSignal.timeout(8_000),
  });
}

function retryAfterMs(response) {
  const value = response.headers.get('Retry-After') ?? '';
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Math.min(Math.max(ms || 0, 0), 10 * 60_000);
}

/** Why did an upgrade fail? A browser does not say, so the session is asked after by HTTP. */
async function askWhy(token) {
  try {
    const response = await ask('session', token);
    return { expired: response.status === 401, waitMs: response.ok ? 0 : retryAfterMs(response) };
  } catch { return { expired: false, waitMs: 0 }; }
}

// ---------------------------------------------------------------- the connection

function backoffMs(failures) {
  return Math.random() * Math.min(BACKOFF_LAST_MS, BACKOFF_FIRST_MS * 2 ** failures);
}

/**
 * Keeps one socket up. Calls `status({state, retryAt, reason})` with state `connecting`, `online`,
 * `waiting` or `ended`, `welcome(frame)` for each new session, and `frame(frame)` for all else.
 *
 * A new socket replaces the old one only after its welcome (make before break), so a move loses
 * nothing; what both may bring is told apart by notice id, which is the caller's to do.
 */
class Connection {
  #token; #calls;
  #link = null;    // the welcomed socket
  #opening = null; // one on its way
  #timer = 0;
  #notBefore = 0;  // the server asked for silence until then
  #failures = 0;
  #ended = false;

  constructor(token, calls) {
    this.#token = token;
    this.#calls = calls;
  }

  get online() { return this.#link?.socket.readyState === WebSocket.OPEN; }

  /** For the next sockets; the present one goes on. */
  useToken(token) { this.#token = token; }

  /** Also the way back after the end: a person asked for it. */
  start() {
    this.#ended = false;
    this.#failures = 0;
    this.#notBefore = 0;
    if (!this.#opening) this.#open();
  }

  stop() { this.#end('stopped'); }

  send(frame) {
    if (!this.online) return false;
    this.#link.socket.send(JSON.stringify(frame));
    return true;
  }

  /** The network may be back: no use in waiting on. */
  wake() {
    if (this.#ended || this.#opening || this.#link || Date.now() < this.#notBefore) return;
    this.#failures = 0;
    this.#open();
  }

  /** The present socket may be dead without a word: put a fresh one in its place. */
  renew() {
    if (this.#link && !this.#opening) this.#open();
  }

  #open() {
    clearTimeout(this.#timer);
    const socket = new WebSocket(SOCKET_ADDRESS, ['notice.v1', `token.${base64url(this.#token)}`]);
    const link = { socket, since: 0, deadline: setTimeout(() => this.#abandon(link), WELCOME_WITHIN_MS) };
    socket.onmessage = ({ data }) => this.#receive(link, data);
    socket.onclose = ({ code }) => this.#closed(link, code);
    this.#opening = link;
    if (!this.#link) this.#calls.status({ state: 'connecting', failures: this.#failures });
  }

  #receive(link, data) {
    let frame;
    try { frame = JSON.parse(data); } catch { return; }
    if (frame?.type === 'welcome') this.#settle(link, frame);
    else if (frame?.type === 'move') this.#move(link, frame.afterMs);
    else if (frame) this.#calls.frame(frame);
  }

  #settle(link, welcome) {
    if (link !== this.#opening) return;
    clearTimeout(link.deadline);
    link.since = Date.now();
    const old = this.#link;
    this.#link = link;
    this.#opening = null;
    old?.socket.close(1000);
    this.#calls.status({ state: 'online' });
    this.#calls.welcome(welcome);
  }

  #move(link, afterMs) {
    setTimeout(() => { if (link === this.#link) this.renew(); }, Number(afterMs) || 0);
  }

  /** No welcome in time. The close event of a dead network can take minutes, so it is not waited for. */
  #abandon(link) {
    link.socket.onclose = link.socket.onmessage = null;
    link.socket.close();
    this.#closed(link, 1006);
  }

  #closed(link, code) {
    clearTimeout(link.deadline);
    if (link === this.#opening) {
      this.#opening = null;
      this.#refused(code);
    } else if (link === this.#link) {
      this.#link = null;
      this.#lost(link, code);
    }
  }

  async #refused(code) {
    if (FINAL_CLOSE[code]) return this.#end(FINAL_CLOSE[code]);
    this.#failures += 1;
    if (this.#link) return this.#openIn(backoffMs(this.#failures)); // a move: the old one still serves
    const why = await askWhy(this.#token);
    if (this.#ended || this.#opening || this.#link) return;
    if (why.expired) return this.#end('expired');
    this.#notBefore = Date.now() + why.waitMs;
    this.#openIn(why.waitMs + backoffMs(this.#failures));
  }

  #lost(link, code) {
    if (FINAL_CLOSE[code]) return this.#end(FINAL_CLOSE[code]);
    this.#calls.lost(code);
    if (this.#opening) return this.#calls.status({ state: 'connecting', failures: this.#failures });
    // A server that welcomes and closes at once must not be asked again at full speed.
    if (Date.now() - link.since > STABLE_AFTER_MS) this.#failures = 0;
    const later = code === 1013 ? COME_BACK_LATER_MS : 0;
    this.#openIn(later + backoffMs(this.#failures));
    this.#failures += 1;
  }

  #openIn(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), ms);
    if (!this.#link) this.#calls.status({ state: 'waiting', retryAt: Date.now() + ms, failures: this.#failures });
  }

  #end(reason) {
    this.#ended = true;
    clearTimeout(this.#timer);
    for (const link of [this.#link, this.#opening]) {
      if (!link) continue;
      clearTimeout(link.deadline);
      link.socket.onclose = link.socket.onmessage = null;
      link.socket.close(1000);
    }
    this.#link = this.#opening = null;
    this.#calls.status({ state: 'ended', reason });
  }
}

// ---------------------------------------------------------------- the timeline

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
function isSystem(message) { return !message.mine && !message.from; }

function sortsAfter(a, b) {
  return a.time !== b.time ? a.time > b.time : String(a.id ?? a.key) > String(b.id ?? b.key);
}

/**
 * All messages to be seen, in order of time, each once. Own messages are known by their idempotency
 * key, and once confirmed by their id too; what was received is known by its id.
 */
class Timeline {
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

// ---------------------------------------------------------------- words

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const fullFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

function dayWords(time) {
  const day = (ms) => new Date(ms).toDateString();
  if (day(time) === day(Date.now())) return 'Today';
  if (day(time) === day(Date.now() - 24 * 3_600_000)) return 'Yesterday';
  return dayFormat.format(time);
}

function spanWords(ms) {
  if (ms < 90_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 90 * 60_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 36 * 3_600_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / (24 * 3_600_000))} days`;
}

function lagWords(ms) {
  if (!(ms >= 0)) return '';
  if (ms < 1000) return `${ms} ms`;
  if (ms < LATE_AFTER_MS) return `${(ms / 1000).toFixed(1)} s`;
  return `arrived ${spanWords(ms)} later`;
}

const STATES = {
  waiting: { icon: 'i-clock', words: 'Waiting for the connection' },
  sending: { icon: 'i-clock', words: 'Sending' },
  sent: { icon: 'i-check', words: 'Sent' },
  failed: { icon: 'i-alert', words: 'Not sent' },
};

// ---------------------------------------------------------------- the document

const $ = (id) => document.getElementById(id);

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function fromTemplate(id) { return $(id).content.firstElementChild.cloneNode(true); }

function paintAvatar(element, name) {
  setText(element, Array.from(name ?? '')[0]?.toUpperCase() ?? '');
  let hash = 7;
  for (const letter of name ?? '') hash = (hash * 31 + letter.codePointAt(0)) % 9973;
  element.style.setProperty('--hue', String((hash * 47) % 360));
}

/** Draws what it is given and reports what a person does; decides nothing. */
class View {
  #rows = new Map(); // a message's key -> its list item
  #atEnd = true;
  #newer = 0;

  constructor(actions) {
    this.actions = actions;
    this.#listenStart();
    this.#listenChat();
    this.#listenRefresh();
    this.#followSize();
    setText($('start-command'), [
      `curl ${location.origin}${BASE}sessions \\`,
      "  -H 'Authorization: Bearer API-KEY' \\",
      "  -H 'Content-Type: application/json' \\",
      `  -d '{"accountId":"alice","ttlSeconds":3600}'`,
    ].join('\n'));
  }

  showStart(problem, peer) {
    $('chat').hidden = true;
    $('start').hidden = false;
    this.#problem('start-problem', problem);
    $('start-token').value = '';
    $('start-peer').value = peer ?? '';
    $('start-token').focus();
  }

  showChat() {
    $('start').hidden = true;
    $('chat').hidden = false;
    if (matchMedia('(hover: hover)').matches) $('text').focus(); // a phone's keyboard would hide half
  }

  showSelf(account) {
    setText($('self-name'), account ?? '…');
    setText($('account-name'), account ?? '…');
    paintAvatar($('self-avatar'), account);
  }

  showPeer(peer) {
    setText($('peer-name'), peer || 'Nobody yet');
    paintAvatar($('peer-avatar'), peer);
    $('text').placeholder = peer ? `Message ${peer}` : 'Choose who to write to';
    $('text').setAttribute('aria-label', $('text').placeholder);
    $('text').disabled = $('send').disabled = !peer;
  }

  showStatus(state, words, detail) {
    $('status').dataset.state = state;
    setText($('status-words'), words);
    setText($('status-detail'), detail);
  }

  showCountdown(words) { setText($('status-countdown'), words); }

  showBanner(banner) {
    $('banner').hidden = !banner;
    if (!banner) return;
    $('banner').dataset.kind = banner.kind;
    setText($('banner-words'), banner.words);
    setText($('banner-action'), banner.action);
    $('banner-action').onclick = banner.run;
  }

  showEarlier(is) { $('earlier').hidden = !is; }

  showRefresh(is, problem) {
    this.#problem('refresh-problem', problem);
    if (is && !$('refresh').open) $('refresh').showModal();
    if (!is) {
      $('refresh').close();
      $('refresh-token').value = '';
    }
  }

  announce(words) { setText($('live'), words); }

  /** `stay`: older ones came in above, so what is read must not jump. */
  render({ messages, peer, people, fresh, stay }) {
    const below = $('scroller').scrollHeight - $('scroller').scrollTop;
    this.#renderRows(messages, peer);
    this.#renderPeople(people, peer);
    $('empty').hidden = messages.length > 0;
    setText($('empty'), peer ? `Nothing here yet. Say hello to ${peer}.` : 'Nothing here yet. Choose who to write to.');
    if (stay) $('scroller').scrollTop = $('scroller').scrollHeight - below;
    else if (this.#atEnd) this.scrollToEnd();
    else this.#countNewer(fresh);
  }

  scrollToEnd() {
    $('scroller').scrollTop = $('scroller').scrollHeight;
    this.#atEnd = true;
    this.#newer = 0;
    $('newer').hidden = true;
  }

  #problem(id, words) {
    $(id).hidden = !words;
    setText($(id), words ?? '');
  }

  #countNewer(fresh) {
    this.#newer += fresh;
    $('newer').hidden = this.#newer === 0;
    setText($('newer-words'), this.#newer === 1 ? '1 new message' : `${this.#newer} new messages`);
  }

  #renderRows(messages, peer) {
    const wanted = [];
    let before = null;
    for (const message of messages) {
      if (!before || dayWords(before.time) !== dayWords(message.time)) wanted.push(this.#divider(dayWords(message.time)));
      if (message.late && !before?.late) wanted.push(this.#divider('While you were away', message.key));
      const row = this.#row(message);
      this.#paint(row, message, before, peer);
      wanted.push(row);
      before = message;
    }
    this.#arrange(wanted);
  }

  #row(message) {
    let row = this.#rows.get(message.key);
    if (row) return row;
    row = fromTemplate(isSystem(message) ? 't-system' : 't-message');
    if (!isSystem(message)) this.#listenRow(row, message);
    this.#rows.set(message.key, row);
    return row;
  }

  #divider(words, key = '') {
    const name = `d:${words}:${key}`;
    const row = this.#rows.get(name) ?? fromTemplate('t-divider');
    row.classList.toggle('away', key !== '');
    setText(row.firstElementChild, words);
    this.#rows.set(name, row);
    return row;
  }

  /** Puts the rows in order and moves only what is out of place, so that focus and selection stay. */
  #arrange(wanted) {
    let at = $('timeline').firstElementChild;
    for (const row of wanted) {
      if (row === at) at = at.nextElementSibling;
      else $('timeline').insertBefore(row, at);
    }
    while (at) {
      const next = at.nextElementSibling;
      at.remove();
      at = next;
    }
    const kept = new Set(wanted);
    for (const [key, row] of this.#rows) if (!kept.has(row)) this.#rows.delete(key);
  }

  #paint(row, message, before, peer) {
    if (message.id) row.dataset.id = message.id;
    row.classList.toggle('recalled', Boolean(message.recalled));
    setText(row.querySelector('.text'), message.recalled ? 'This message was withdrawn.' : message.text);
    const time = row.querySelector('time');
    time.dateTime = new Date(message.time).toISOString();
    time.title = fullFormat.format(message.time);
    setText(time, clockFormat.format(message.time));
    setText(row.querySelector('.lag'), message.recalled ? '' : lagWords(message.lag));
    row.querySelector('.lag').title = 'From the server’s taking it to this window’s showing it';
    row.querySelector('.again').hidden = !message.redelivered;
    if (isSystem(message)) this.#paintSystem(row, message);
    else this.#paintMessage(row, message, before, peer);
  }

  #paintMessage(row, message, before, peer) {
    const same = before?.from === message.from && before.to === message.to
      && message.time - before.time < GROUP_WITHIN_MS && Boolean(before.late) === Boolean(message.late);
    const other = message.mine ? message.to : message.from;
    row.classList.toggle('mine', message.mine);
    row.classList.toggle('follows', same);
    row.dataset.state = message.state ?? '';
    paintAvatar(row.querySelector('.avatar'), message.from);
    const sender = row.querySelector('.sender');
    sender.hidden = same || (message.mine && other === peer);
    setText(sender, message.mine ? `to ${other}` : other);
    sender.disabled = other === peer;
    sender.title = other === peer ? '' : `Write to ${other}`;
    row.querySelector('.state').hidden = !message.mine;
    if (message.mine) this.#paintState(row, message);
  }

  #paintState(row, message) {
    const { icon, words } = STATES[message.state];
    row.querySelector('use').setAttribute('href', `#${icon}`);
    setText(row.querySelector('.state .unseen'), words);
    row.querySelector('.state').title = words;
    row.querySelector('.failure').hidden = message.state !== 'failed';
    setText(row.querySelector('.failure-words'), message.problem ? `Not sent: ${message.problem}.` : 'Not sent.');
  }

  #paintSystem(row, message) {
    setText(row.querySelector('.type'), String(message.type ?? 'notice').replace(/[._-]+/g, ' '));
    const details = row.querySelector('.data');
    details.hidden = message.data == null || Boolean(message.recalled);
    if (!details.hidden) setText(details.querySelector('pre'), JSON.stringify(message.data, null, 2));
  }

  #renderPeople(people, peer) {
    const list = $('people-list');
    while (list.children.length < people.length) list.append(this.#personRow());
    while (list.children.length > people.length) list.lastElementChild.remove();
    people.forEach(({ name, last }, at) => {
      const button = list.children[at].firstElementChild;
      button.dataset.name = name;
      button.setAttribute('aria-pressed', String(name === peer));
      paintAvatar(button.querySelector('.avatar'), name);
      setText(button.querySelector('.person-name'), name);
      setText(button.querySelector('.person-last'), last);
    });
  }

  #personRow() {
    const row = fromTemplate('t-person');
    row.firstElementChild.addEventListener('click', ({ currentTarget }) => this.#choose(currentTarget.dataset.name));
    return row;
  }

  #choose(name) {
    this.actions.choosePeer(name);
    if ($('people').matches(':popover-open')) $('people').hidePopover();
    $('text').focus();
  }

  #listenRow(row, message) {
    row.querySelector('.sender').addEventListener('click', () => this.#choose(message.mine ? message.to : message.from));
    row.querySelector('.retry').addEventListener('click', () => this.actions.retry(message.key));
    row.querySelector('.discard').addEventListener('click', () => this.actions.discard(message.key));
  }

  #listenStart() {
    $('start-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const pasted = readPasted($('start-token').value);
      if (!pasted.token) return this.#problem('start-problem', 'There is no token in that link.');
      this.actions.open(pasted.token, $('start-peer').value.trim() || pasted.peer);
    });
    $('leave').addEventListener('click', () => this.actions.leave());
  }

  #listenChat() {
    $('composer').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    $('text').addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    $('text').addEventListener('input', () => this.#fitText());
    $('people-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const name = $('people-name').value.trim();
      $('people-name').value = '';
      if (name) this.#choose(name);
    });
    $('earlier').addEventListener('click', () => this.actions.loadEarlier());
    $('newer').addEventListener('click', () => this.scrollToEnd());
    $('scroller').addEventListener('scroll', () => this.#noteScroll(), { passive: true });
  }

  #listenRefresh() {
    $('refresh-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.actions.refresh(readPasted($('refresh-token').value).token);
    });
    $('refresh-cancel').addEventListener('click', () => this.showRefresh(false));
  }

  #submit() {
    const text = $('text').value;
    if (!text.trim()) return;
    $('text').value = '';
    this.#fitText();
    this.#atEnd = true;
    this.actions.send(text);
  }

  #fitText() {
    $('text').style.height = 'auto';
    $('text').style.height = `${$('text').scrollHeight}px`;
  }

  #noteScroll() {
    const { scrollHeight, scrollTop, clientHeight } = $('scroller');
    this.#atEnd = scrollHeight - scrollTop - clientHeight < 60;
    if (this.#atEnd && this.#newer) this.scrollToEnd();
  }

  /** The phone's keyboard takes height; not every browser tells CSS. The newest stays in sight. */
  #followSize() {
    const follow = () => {
      if (visualViewport.scale !== 1) return;
      document.documentElement.style.setProperty('--height', `${visualViewport.height}px`);
      if (document.activeElement === $('text')) window.scrollTo(0, 0);
    };
    window.visualViewport?.addEventListener('resize', follow);
    new ResizeObserver(() => { if (this.#atEnd) this.scrollToEnd(); }).observe($('scroller'));
  }
}

// ---------------------------------------------------------------- the chat

class Chat {
  #view = new View(this);
  #connection = null;
  #timeline = new Timeline();
  #token = ''; #pendingToken = ''; #account = null; #peer = '';
  #seen = new RecentIds('seen');
  #status = { state: 'connecting' };
  #node = '';
  #skewMs = 0;
  #expiresAt = 0;
  #complaint = '';
  #acks = []; #drawing = false; #fresh = 0; #stay = false;
  #unread = 0; #hiddenSince = 0;
  #historyDone = false; #historyAsked = false;

  // ---- beginning and leaving

  begin() {
    const link = takeLink();
    if (link.peer) tab.set('peer', link.peer);
    if (link.token) return this.open(link.token, link.peer);
    const token = tab.get('token');
    if (token) this.#run(token, tab.get('peer', ''), tab.get('account'));
    else this.#view.showStart();
  }

  open(token, peer) {
    const same = token === tab.get('token');
    tab.set('token', token);
    tab.set('peer', peer);
    if (!same) tab.remove('account');
    this.#run(token, peer, same ? tab.get('account') : null);
  }

  /** Forgets this person in this browser, messages too. */
  leave() {
    this.#connection?.stop();
    if (this.#account) {
      tab.remove(`outbox:${this.#account}`);
      tab.remove(`seen:${this.#account}`);
      browser.remove(`sent:${this.#account}`);
    }
    ['token', 'peer', 'account'].forEach((name) => tab.remove(name));
    this.#token = '';
    this.#reset();
    this.#view.showStart();
  }

  #run(token, peer, account) {
    this.#connection?.stop();
    this.#reset();
    this.#token = token;
    this.#peer = peer;
    this.#view.showPeer(peer);
    this.#view.showChat();
    this.#enter(account);
    this.#connection = this.#connect(token);
    this.#connection.start();
    this.#loadHistory();
    this.#draw();
  }

  #connect(token) {
    const connection = new Connection(token, {
      status: (status) => { if (connection === this.#connection) this.#onStatus(status); },
      welcome: (frame) => this.#onWelcome(frame),
      frame: (frame) => this.#onFrame(frame),
      lost: (code) => { if (code === 1009) this.#blameLargest(); },
    });
    return connection;
  }

  #reset() {
    this.#timeline = new Timeline();
    this.#account = null;
    this.#historyDone = this.#historyAsked = false;
    this.#expiresAt = 0;
    this.#complaint = this.#node = '';
    this.#acks = [];
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

  // ---- the connection's events

  #onStatus(status) {
    this.#status = status;
    if (status.state !== 'online') this.#setWaiting();
    if (status.state === 'ended' && status.reason === 'expired') {
      tab.remove('token');
      this.#view.showStart('This token is no longer valid. Paste a new one to go on.', this.#peer);
    }
    this.#showStatus();
    this.#draw();
  }

  #onWelcome({ account, node }) {
    this.#node = node ?? '';
    this.#expiresAt = 0;
    this.#complaint = '';
    this.#enter(account);
    this.#showStatus();
    for (const message of this.#unconfirmed()) this.#transmit(message);
    if (!this.#historyDone) this.#loadHistory();
    this.#draw();
  }

  #onFrame(frame) {
    if (frame.type === 'notice' && frame.notice) this.#onNotice(frame.notice);
    else if (frame.type === 'recall') this.#timeline.recall(frame.ids ?? []);
    else if (frame.type === 'sent') this.#onSent(frame);
    else if (frame.type === 'error') this.#onError(frame);
    else if (frame.type === 'expiring') this.#expiresAt = Date.now() + frame.inSeconds * 1000;
    else if (frame.type === 'refreshed') this.#onRefreshed();
    else return; // `read` changes nothing in a history; unknown types are for newer clients
    this.#showStatus();
    this.#draw();
  }

  /** Shown first, acknowledged after; an id seen before is acknowledged again, but is not news. */
  #onNotice(notice) {
    const message = this.#timeline.take(notice);
    this.#acks.push(notice.id);
    if (!message || this.#seen.has(notice.id)) return;
    this.#seen.add(notice.id);
    message.lag = this.#now() - message.time;
    message.late = message.lag >= LATE_AFTER_MS;
    message.redelivered = Boolean(notice.redelivered);
    this.#fresh += 1;
    this.#view.announce(`${message.from ?? message.type ?? 'Notice'}: ${message.text}`);
    if (document.hidden) this.#countUnread();
    if (!this.#peer && message.from) this.choosePeer(message.from);
  }

  #onSent({ ref, id }) {
    const message = this.#timeline.byKey(ref);
    if (!message) return;
    this.#timeline.confirm(message, id);
    message.state = 'sent';
    this.#saveOutbox();
    this.#rememberSent(message);
  }

  #onError({ ref, code, message: words }) {
    const message = ref == null ? null : this.#timeline.byKey(ref);
    if (message?.state === 'sending') this.#fail(message, SEND_PROBLEMS[code] ?? words ?? code);
    else if (this.#pendingToken) this.#view.showRefresh(true, words ?? code);
    else if (ref == null) this.#complaint = words ?? code ?? 'The server did not understand this page.';
    this.#pendingToken = '';
  }

  #onRefreshed() {
    this.#expiresAt = 0;
    if (!this.#pendingToken) return;
    this.#token = this.#pendingToken;
    this.#pendingToken = '';
    tab.set('token', this.#token);
    this.#connection.useToken(this.#token);
    this.#view.showRefresh(false);
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

  /** Kept before it is sent: a reload in between sends it again under the same key. */
  #transmit(message) {
    message.state = 'waiting';
    this.#saveOutbox();
    const { key, to, text } = message;
    const gone = this.#connection.send({ type: 'send', ref: key, receiverId: to, message: text, idempotencyKey: key });
    if (!gone) return;
    message.state = 'sending';
    message.askedAt = Date.now();
  }

  #fail(message, problem) {
    message.state = 'failed';
    message.problem = problem;
    this.#saveOutbox();
  }

  /** Closed for a frame that was too large: without this it would be sent, and closed for, for ever. */
  #blameLargest() {
    const suspects = this.#timeline.messages.filter((message) => message.state === 'sending');
    const largest = suspects.sort((a, b) => b.text.length - a.text.length)[0];
    if (largest) this.#fail(largest, SEND_PROBLEMS.TOO_LARGE);
  }

  #setWaiting() {
    for (const message of this.#unconfirmed()) message.state = 'waiting';
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

  // ---- history, people, tokens

  async #loadHistory(before) {
    if (this.#historyAsked) return;
    const token = this.#token;
    this.#historyAsked = true;
    try {
      const response = await ask(`inbox?limit=${HISTORY_PAGE}${before ? `&before=${encodeURIComponent(before)}` : ''}`, token);
      if (!response.ok || token !== this.#token) return;
      this.#noteClock(response);
      const { notices } = await response.json();
      if (token !== this.#token) return;
      notices.forEach((notice) => this.#timeline.take(notice));
      this.#historyDone = true;
      this.#view.showEarlier(notices.length === HISTORY_PAGE);
      this.#stay = Boolean(before);
      this.#draw();
    } catch { /* asked for again at the next welcome */ } finally {
      if (token === this.#token) this.#historyAsked = false;
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

  refresh(token) {
    if (!token) return this.#view.showRefresh(true, 'There is no token in that.');
    this.#pendingToken = token;
    if (!this.#connection.send({ type: 'refresh', token })) this.#view.showRefresh(true, 'There is no connection just now.');
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
  #noteClock(response) {
    const skew = Date.parse(response.headers.get('Date') ?? '') + 500 - Date.now();
    this.#skewMs = Math.abs(skew) > 2_000 ? skew : 0;
  }

  #now() { return Date.now() + this.#skewMs; }

  // ---- showing

  /** Once for all that one event brought: first the document, then the acknowledgement. */
  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    queueMicrotask(() => {
      this.#drawing = false;
      this.#view.render({
        messages: this.#timeline.messages, peer: this.#peer, people: this.#people(), fresh: this.#fresh, stay: this.#stay,
      });
      this.#fresh = 0;
      this.#stay = false;
      const ids = this.#acks.splice(0);
      if (ids.length) this.#connection.send({ type: 'ack', ids });
    });
  }

  #showStatus() {
    const { state, reason } = this.#status;
    const words = {
      online: 'Connected', connecting: 'Connecting…', waiting: 'Offline',
      ended: reason === 'replaced' ? 'Open elsewhere' : 'Disconnected',
    };
    const detail = state === 'online' ? ['WebSocket', this.#node].filter(Boolean).join(' · ') : '';
    this.#view.showStatus(state, words[state], detail);
    this.tick();
  }

  /** What changes with the clock alone. */
  tick() {
    if (!this.#connection) return;
    const seconds = Math.max(0, Math.ceil((this.#status.retryAt - Date.now()) / 1000));
    this.#view.showCountdown(this.#status.state !== 'waiting' ? '' : seconds > 0 ? `again in ${seconds} s` : 'trying now');
    this.#view.showBanner(this.#banner());
    const overdue = this.#timeline.messages.filter((message) =>
      message.state === 'sending' && Date.now() - message.askedAt > CONFIRM_WITHIN_MS);
    overdue.forEach((message) => { message.askedAt = Date.now(); });
    if (overdue.length) this.#connection.renew();
  }

  #banner() {
    const { state, reason, failures } = this.#status;
    const again = () => this.#connection.start();
    if (reason === 'removed') return { kind: 'warn', words: 'The service ended this connection.', action: 'Connect again', run: again };
    if (reason === 'replaced') return { kind: 'warn', words: 'This account was opened in a newer window.', action: 'Use it here', run: again };
    if (state !== 'online' && failures >= 3) {
      return { kind: 'warn', words: 'No connection. What you write is kept and sent later.', action: 'Try now', run: again };
    }
    if (this.#expiresAt) {
      const left = this.#expiresAt - Date.now();
      const words = `Your token expires in ${left < 60_000 ? 'less than a minute' : spanWords(Math.max(left, 90_000))}.`;
      return { kind: 'calm', words, action: 'New token', run: () => this.#view.showRefresh(true) };
    }
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

  onVisibility() {
    if (document.hidden) {
      this.#hiddenSince = Date.now();
      return;
    }
    this.#clearUnread();
    if (this.#hiddenSince && Date.now() - this.#hiddenSince > STALE_AFTER_HIDDEN_MS) this.#connection?.renew();
    this.#connection?.wake();
  }

  onNetwork() {
    this.#connection?.renew();
    this.#connection?.wake();
  }

  /** Another link pasted into this window's address bar. */
  onLink() {
    const { token, peer } = takeLink();
    if (token) this.open(token, peer);
    else if (peer) this.choosePeer(peer);
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
window.addEventListener('online', () => chat.onNetwork());
window.addEventListener('pagehide', () => chat.onHide());
window.addEventListener('storage', ({ key }) => chat.onSentElsewhere(key));
window.addEventListener('hashchange', () => chat.onLink());
setInterval(() => chat.tick(), 500);
chat.begin();
