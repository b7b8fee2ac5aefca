// A real server in a folder of its own, and waiting for conditions. Knows no browser.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SERVER = process.env.NOTICE_SERVER_BIN
  ?? fileURLToPath(new URL('../../target/debug/notice-server', import.meta.url));
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

export async function freePort() {
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

  /** `settings` are further variables of its environment. */
  static async start(settings = {}) {
    const server = new Server();
    server.settings = settings;
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
        ...this.settings,
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

  async token(accountId, ttlSeconds = 3600) {
    return (await this.#service('POST', 'sessions', { accountId, ttlSeconds })).token;
  }

  async revoke(token) { await this.#service('POST', 'sessions/revoke', { token }); }

  /** Whether the account is online, how much it has not read, and its sessions. */
  account(id) { return this.#service('GET', `accounts/${id}`); }

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
      body: body && JSON.stringify(body),
    }));
  }

  #note(text) { this.#log.push(...text.trimEnd().split('\n')); }
}

async function answer(response) {
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} from ${new URL(response.url).pathname}: ${text}`);
  return text ? JSON.parse(text) : null;
}
