// What a browser test stands on: a Chromium, windows of people and programs, and a real server to each test. Nothing
// here knows what is tested.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { Proxy } from './proxy.mjs';
import { eventually, Server } from './server.mjs';

export { eventually };

const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
export const SHOTS = process.env.SCREENSHOT_DIR ?? fileURLToPath(new URL('screenshots', import.meta.url));

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
  #proxies = [];

  static async open(browser, settings) {
    const world = new World();
    world.#browser = browser;
    world.server = await Server.start(settings);
    return world;
  }

  /** A window of its own storage, as of another machine. `look`: how wide, how dark, with JavaScript or not. */
  async window(name, address, look = {}) {
    const context = await this.#browser.newContext({ viewport: { width: 640, height: 800 }, locale: 'en-GB', ...look });
    const page = await context.newPage();
    const window = new Window(name, page);
    this.#windows.push(window);
    await page.goto(address);
    return window;
  }

  async chatWindow(account, peer, token, { transport, ...look } = {}) {
    const link = new URLSearchParams({ token: token ?? await this.server.token(account), peer });
    if (transport) link.set('transport', transport);
    const window = await this.window(account, `${this.server.page}#${link}`, look);
    await window.isOnline();
    return window;
  }

  /** A proxy in front of the server. */
  async proxy(mode) {
    const proxy = await Proxy.start(this.server.host, mode);
    this.#proxies.push(proxy);
    return proxy;
  }

  /**
   * A program on the browser client, for this account: a page that keeps what it was handed in `window.got`. Its token
   * callback gives tokens that live for `ttlSeconds`. `proxy`: the way to the server.
   */
  async program(account, { proxy, transports, ttlSeconds = 3600 } = {}) {
    const { page } = await this.window(account, this.server.page.replace(this.server.host, proxy?.host ?? this.server.host));
    await page.exposeFunction('freshToken', async (why) => {
      program.asked.push(why);
      return this.server.token(account, ttlSeconds);
    });
    const program = new Program(account, page);
    await page.evaluate(startProgram, transports);
    return program;
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
    for (const proxy of this.#proxies) proxy.close();
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

  /** By whichever transport. */
  isOnline() {
    return eventually(`${this.name} is online`, async () => ['online', 'degraded'].includes(await this.state()));
  }

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

/** Runs in the page: the client with everything that it hands over kept in `window.got`. */
async function startProgram(transports) {
  const got = { notices: [], states: [], errors: [] };
  window.got = got;
  const { connect } = await import(new URL('client.js', location.href).href);
  window.client = connect({
    token: window.freshToken,
    transports: transports ?? undefined,
    onNotice: ({ message }) => { got.notices.push(message); },
    onState: (state) => { got.states.push(state); },
    onError: (error) => { got.errors.push(String(error)); },
  });
}

/** A page with a program on the browser client, which shows nothing. */
export class Program {
  /** Why its token callback was asked, each time. */
  asked = [];

  constructor(name, page) {
    this.name = name;
    this.page = page;
  }

  state() { return this.page.evaluate(() => window.client.state); }

  states() { return this.page.evaluate(() => window.got.states); }

  notices() { return this.page.evaluate(() => window.got.notices); }

  send(notice) { return this.page.evaluate((given) => window.client.send(given), notice); }

  /** As the browser does when its machine is in a network again. */
  networkIsBack() { return this.page.evaluate(() => { window.dispatchEvent(new Event('online')); }); }

  is(state, transport, withinMs) {
    const wanted = `${state} by ${transport}`;
    return eventually(`${this.name} is ${wanted}`, async () => {
      const now = await this.state();
      return `${now.state} by ${now.transport}` === wanted || Promise.reject(new Error(JSON.stringify(now)));
    }, withinMs);
  }

  /** Each of these once, and nothing else. */
  async has(messages, withinMs) {
    let last = [];
    await eventually(`${this.name} has ${messages.length} notices`, async () => {
      last = await this.notices();
      return last.length >= messages.length;
    }, withinMs).catch((error) => { throw new Error(`${error.message}\nhanded over: ${JSON.stringify(last)}`); });
    assert.deepEqual(last.toSorted(), messages.toSorted());
  }
}

/** A group of tests that share a browser and run side by side. `define` is given what makes one of them. */
export function scenarios(name, define, concurrency = 4) {
  describe(name, { concurrency }, () => {
    let browser;
    before(async () => { browser = await launchBrowser(); });
    after(async () => { await browser?.close(); });
    define((title, run, settings) => test(title, { timeout: 150_000 }, () => inWorld(browser, title, run, settings)));
  });
}

/** Runs `run(world)`, and leaves pictures and the server's log behind where it fails. */
async function inWorld(browser, name, run, settings) {
  const world = await World.open(browser, settings);
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
