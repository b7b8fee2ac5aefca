// What the page remembers, of this window and in this browser, and the links that open it.

export const BASE = location.pathname.replace(/[^/]*$/, '');

const RECENT_IDS = 5_000;

/** Not `crypto.randomUUID`: that is missing on plain http from another machine. */
export function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** JSON in web storage; where that is blocked or full, in memory. */
export class Drawer {
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
export const tab = new Drawer(() => sessionStorage);
export const browser = new Drawer(() => localStorage);

/** Reads `token=...&peer=...&transport=...` as a form is encoded, but for tokens: a bare `+` in one is a plus. */
export function readLink(fragment) {
  const token = new URLSearchParams(fragment.replaceAll('+', '%2B')).get('token');
  const others = new URLSearchParams(fragment);
  const [peer, transport] = ['peer', 'transport'].map((name) => others.get(name)?.trim() ?? '');
  return { token: token?.trim() ?? '', peer, transport };
}

/** Takes the credentials out of the address bar, and so out of what is copied or bookmarked. */
export function takeLink() {
  const link = readLink(location.hash.slice(1));
  if (location.hash) history.replaceState(null, '', location.pathname + location.search);
  return link;
}

/** A pasted token, or a pasted link that holds one. */
export function readPasted(text) {
  const at = text.indexOf('#');
  return at < 0 ? { token: text.trim(), peer: '', transport: '' } : readLink(text.slice(at + 1).trim());
}

/** The newest `limit` ids that this window has shown, kept over a reload. */
export class RecentIds {
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
