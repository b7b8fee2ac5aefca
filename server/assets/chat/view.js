// The document: draws what it is given and reports what a person does; decides nothing. All text from outside reaches
// it by `textContent`.

import { BASE, readPasted } from './storage.js';
import { isSystem } from './timeline.js';
import { clockFormat, dayWords, fullFormat, lagWords, STATES, TRANSPORTS } from './words.js';

const GROUP_WITHIN_MS = 5 * 60_000;

const $ = (id) => document.getElementById(id);

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function shortened(letters, count) {
  return count < letters.length ? `${letters.slice(0, count).join('')}…` : letters.join('');
}

function fromTemplate(id) { return $(id).content.firstElementChild.cloneNode(true); }

function paintAvatar(element, name) {
  setText(element, Array.from(name ?? '')[0]?.toUpperCase() ?? '');
  let hash = 7;
  for (const letter of name ?? '') hash = (hash * 31 + letter.codePointAt(0)) % 9973;
  element.style.setProperty('--hue', String((hash * 47) % 360));
}

/** Draws what it is given and reports what a person does; decides nothing. */
export class View {
  #rows = new Map(); // a message's key -> its list item
  #atEnd = true;
  #newer = 0;

  constructor(actions) {
    this.actions = actions;
    this.#listenStart();
    this.#listenChat();
    this.#listenRefresh();
    this.#listenConnection();
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
    const words = peer ? `Message ${peer}` : 'Choose who to write to';
    $('text').setAttribute('aria-label', words);
    this.#fitPlaceholder();
    $('text').disabled = $('send').disabled = !peer;
  }

  showStatus(state, words, detail) {
    $('status').dataset.state = state;
    setText($('status-words'), words);
    setText($('status-detail'), detail);
    setText($('status-live'), detail ? `${words}, ${detail}` : words);
    setText($('connection-state'), detail ? `${words} by ${detail}` : words);
  }

  showConnection({ chosen, node, waiting, sent, received, lag }) {
    $('transport').value = chosen;
    setText($('connection-node'), node || 'not told by this transport');
    setText($('connection-waiting'), String(waiting));
    setText($('connection-sent'), String(sent));
    setText($('connection-received'), received);
    setText($('connection-lag'), lag);
  }

  showPageLink(address) { $('page-link').href = address; }

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
      this.actions.open({ ...pasted, peer: $('start-peer').value.trim() || pasted.peer });
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

  #listenConnection() {
    for (const [value, words] of Object.entries(TRANSPORTS)) $('transport').append(new Option(words, value));
    $('transport').addEventListener('change', ({ target }) => this.actions.chooseTransport(target.value));
    $('connection-close').addEventListener('click', () => $('connection').hidePopover());
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

  /** In one line, whatever the name: browsers break it, or cut it off without a sign. */
  #fitPlaceholder() {
    const { font, paddingInline } = getComputedStyle($('text'));
    const pen = document.createElement('canvas').getContext('2d');
    pen.font = font;
    const room = $('text').clientWidth - 2 * parseFloat(paddingInline);
    const words = Array.from($('text').getAttribute('aria-label') ?? '');
    const fits = (count) => pen.measureText(shortened(words, count)).width <= room;
    let count = words.length;
    while (count > 1 && room > 0 && !fits(count)) count -= 1;
    $('text').placeholder = shortened(words, count);
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
    new ResizeObserver(() => this.#fitPlaceholder()).observe($('composer'));
  }
}
