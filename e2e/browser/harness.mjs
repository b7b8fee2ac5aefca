// What a browser test stands on: a real server in a folder of its own, a Chromium, windows of people,
// and waiting for conditions. Nothing here knows what is tested.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const SERVER = process.env.NOTICE_SERVER_BIN
  ?? fileURLToPath(new URL('../../target/debug/notice-server', import.meta.url));
const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
const SHOTS = process.env.SCREENSHOT_DIR ?? fileURLToPath(new URL('screenshots', import.meta.url));
const WITHIN_MS = 30_000;
const LOG_LINES = 60;

/** Asks `probe` again until it gives something true; says what it gave last when time is up. */
export async function eventually(what, probe, withinMs = WITHIN_MS) {
  const deadline = Date.now() + withinMs;
  let last;
  while (Date.now() < deadline) {
    try {
      last = await probe();
      if (last) return last;
    } catch (error) { last = error; }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not within ${withinMs} ms: ${what}; last: ${last?.stack ?? JSON.stringify(last)}`);
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

/** The server binary with an embedded store. It can be killed and started again on the same folder. */
export class Server {
  #child = null;
  #log = [];
  #key = randomBytes(24).toString('hex');

  static async start() {
    const server = new Server();
    server.folder = await mkdtemp(join(tmpdir(), 'notice-browser-'));
    server.host = `127.0.0.1:${await freePort()}`;
    server.admin = `127.0.0.1:${await freePort()}`;
    try {
      await server.run();
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  get page() { return `http://${this.host}/notice/`; }

  async run() {
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('NOTICE_'));
    this.#child = spawn(SERVER, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...Object.fromEntries(inherited),
        NOTICE_LISTEN: this.host,
        NOTICE_ADMIN_LISTEN: this.admin,
        NOTICE_DATA_DIR: this.folder,
        NOTICE_API_KEYS: `test:${this.#key}`,
      },
    });
    this.#child.on('error', (error) => this.#note(`could not start: ${error.message}`));
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream.on('data', (data) => this.#note(String(data)));
    const ready = async () => (await fetch(`http://${this.admin}/readyz`)).ok;
    await eventually('the server is ready', () => this.#gone() || ready());
    if (this.#gone()) throw new Error(`${SERVER} did not stay up:\n${this.log()}`);
  }

  #gone() {
    const { pid, exitCode, signalCode } = this.#child;
    return pid === undefined || exitCode !== null || signalCode !== null;
  }

  /** As a crash: no chance to tidy up. */
  async kill() {
    if (this.#gone()) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }

  async close() {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  log() { return this.#log.slice(-LOG_LINES).join('\n'); }

  async token(accountId) {
    return (await this.#service('POST', 'sessions', { accountId, ttlSeconds: 3600 })).token;
  }

  async stage(notice) { return (await this.#service('POST', 'notices', notice)).id; }

  async unread(token) {
    const response = await fetch(`${this.page}inbox?unread=true&limit=1000`, { headers: { Authorization: `Bearer ${token}` } });
    return (await answer(response)).notices.map((notice) => notice.message);
  }

  async drain(windowSeconds) {
    await answer(await fetch(`http://${this.admin}/drain`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ windowSeconds }),
    }));
  }

  async undrain() { await answer(await fetch(`http://${this.admin}/drain`, { method: 'DELETE' })); }

  async #service(method, path, body) {
    return answer(await fetch(this.page + path, {
      method,
      headers: { Authorization: `Bearer ${this.#key}`, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    }));
  }

  #note(text) { this.#log.push(...text.trimEnd().split('\n')); }
}

async function answer(response) {
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} from ${new URL(response.url).pathname}: ${text}`);
  return text ? JSON.parse(text) : null;
}

/** `more`: further arguments of the browser. */
export function launchBrowser(...more) {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync', ...more],
  });
}

/** One server and the windows opened on it, for one test. */
export class World {
  #browser;
  #windows = [];

  static async open(browser) {
    const world = new World();
    world.#browser = browser;
    world.server = await Server.start();
    return world;
  }

  /** A window of its own storage, as of another machine. */
  async window(name, address) {
    const context = await this.#browser.newContext({ viewport: { width: 640, height: 800 }, locale: 'en-GB' });
    const page = await context.newPage();
    const window = new Window(name, page);
    this.#windows.push(window);
    await page.goto(address);
    return window;
  }

  async chatWindow(account, peer, token) {
    const link = new URLSearchParams({ token: token ?? await this.server.token(account), peer });
    const window = await this.window(account, `${this.server.page}#${link}`);
    await window.isOnline();
    return window;
  }

  async screenshots(test) {
    await mkdir(SHOTS, { recursive: true });
    const stem = test.replaceAll(/[^a-z0-9]+/gi, '-').slice(0, 60);
    for (const window of this.#windows) {
      if (!window.page.isClosed()) await window.page.screenshot({ path: join(SHOTS, `${stem}-${window.name}.png`) });
    }
  }

  async close() {
    for (const window of this.#windows) await window.close();
    await this.server.close();
  }
}

/** A person's window with the chat page. */
export class Window {
  /** What the page must never cause: exceptions, and refusals by its own content policy. */
  faults = [];

  constructor(name, page) {
    this.name = name;
    this.page = page;
    page.on('pageerror', (error) => this.faults.push(String(error)));
    page.on('console', (message) => {
      if (message.text().includes('Content Security Policy')) this.faults.push(message.text());
    });
  }

  close() { return this.page.context().close(); }

  state() { return this.page.locator('#status').getAttribute('data-state'); }

  isOnline() { return eventually(`${this.name} is online`, async () => await this.state() === 'online'); }

  async write(text) {
    await this.page.locator('#text').fill(text);
    await this.page.locator('#text').press('Enter');
  }

  texts() { return this.page.locator('#timeline .text').allTextContents(); }

  /** Each of these is shown, in this order, and nothing else is. */
  async shows(...texts) {
    const wanted = JSON.stringify(texts);
    let last;
    await eventually(`${this.name} sees exactly ${wanted}`, async () => {
      last = JSON.stringify(await this.texts());
      return last === wanted;
    }).catch((error) => { throw new Error(`${error.message}\nshown: ${last}`); });
  }

  /** Own messages that the server has confirmed. */
  sent() { return this.page.locator('#timeline .mine[data-state="sent"] .text').allTextContents(); }

  hasSent(text) {
    return eventually(`${this.name}'s "${text}" is confirmed`, async () => (await this.sent()).includes(text));
  }
}

/** Runs `run(world)`, and leaves pictures and the server's log behind where it fails. */
export async function inWorld(browser, name, run) {
  const world = await World.open(browser);
  try {
    await run(world);
    if (process.env.SCREENSHOT_DIR) await world.screenshots(name);
  } catch (error) {
    await world.screenshots(name).catch(() => {});
    error.message += `\n--- the server's last lines\n${world.server.log()}`;
    throw error;
  } finally {
    await world.close();
  }
}
