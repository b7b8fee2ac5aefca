// Live sockets through the ingress and a service that stages notices for them without a pause, while
// something happens to the cluster; then the verdict.

import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Client, sum } from './client.mjs';
import { eventually } from './cluster.mjs';
import { Ledger } from './ledger.mjs';

/** A stage call that got no answer may have stored: the same key is safe, for as long as it takes. */
const RETRY_MS = 200;
const CALL_MS = 10_000;

export class Traffic {
  /** In each text, and so in each key: what an earlier run staged is nothing of ours. */
  #run = randomBytes(4).toString('hex');
  #ledger = new Ledger();
  #clients = [];
  #crowd = [];
  #staging = null;
  #stop = false;
  #unconfirmed = 0;
  #retries = 0;
  #staged = 0;
  /** Names of the crowd so far. */
  #met = 0;

  /** `api(path, body)` speaks to the service API; `site` is the ingress. */
  static async start({ api, site, clients = 100, perSecond = 50 }) {
    const traffic = new Traffic();
    Object.assign(traffic, { api, site });
    const taken = (...offer) => traffic.#ledger.offered(...offer);
    for (let n = 0; n < clients; n += 1) {
      const account = `client-${n}`;
      // A service tries again, as it does when it stages.
      const { token } = await eventually('a session token', () => api('sessions', { accountId: account, ttlSeconds: 7200 }));
      traffic.#clients.push(new Client(site, account, token, taken));
    }
    for (const client of traffic.#clients) client.start();
    await traffic.isOnline();
    traffic.#staging = traffic.#stage(1000 / perSecond);
    await eventually('the first notices come', () => traffic.#staged > 20 && traffic.#ledger.verdict().lost.length < traffic.#staged);
    return traffic;
  }

  isOnline(withinMs = 120_000) {
    return eventually('every client is online', () => this.everybody.every((client) => client.isOnline), withinMs);
  }

  /** Those whom notices are staged for, and the crowd. */
  get everybody() { return [...this.#clients, ...this.#crowd]; }

  /** So many more clients besides, who come within `overMs` or go at once. They only listen. */
  async crowd(count, overMs = 0) {
    while (this.#crowd.length > count) this.#crowd.pop().end();
    const missing = count - this.#crowd.length;
    for (let n = 0; n < missing; n += 1) {
      const account = `crowd-${this.#run}-${this.#met}`;
      this.#met += 1;
      const { token } = await this.api('sessions', { accountId: account, ttlSeconds: 7200 });
      const client = new Client(this.site, account, token, () => {});
      client.start();
      this.#crowd.push(client);
      await pause(overMs / missing);
    }
  }

  /** How many clients each node has. */
  nodes() {
    const nodes = {};
    for (const { node } of this.everybody.filter(({ isOnline }) => isOnline)) nodes[node] = (nodes[node] ?? 0) + 1;
    return nodes;
  }

  /** Goes on a little, lets everything arrive, and judges. */
  async end(settleMs = 60_000) {
    await pause(2_000);
    this.#stop = true;
    await this.#staging;
    const late = await eventually('all has arrived', () => this.#ledger.waiting === 0, settleMs).then(() => false, () => true);
    const report = {
      ...this.#ledger.verdict(), late, unconfirmed: this.#unconfirmed, retries: this.#retries,
      clients: this.#clients.length, moves: this.#clients.reduce((all, { moves }) => all + moves, 0),
      silences: this.#clients.reduce((all, { silences }) => all + silences, 0),
      closes: sum(this.#clients, 'closes'), refusals: sum(this.#clients, 'refusals'),
    };
    this.close();
    return report;
  }

  close() {
    this.#stop = true;
    for (const client of this.everybody) client.end();
  }

  async #stage(everyMs) {
    const calls = new Set();
    for (let n = 0; !this.#stop; n += 1) {
      const account = `client-${n % this.#clients.length}`;
      const call = this.#stageOne(account, `${this.#run} ${n} for ${account}`).finally(() => calls.delete(call));
      calls.add(call);
      await pause(everyMs);
    }
    await Promise.all(calls);
  }

  async #stageOne(account, text) {
    this.#ledger.intend(account, text);
    const deadline = Date.now() + 120_000;
    while (Date.now() < deadline) {
      try {
        const { id } = await this.api('notices', { receiverId: account, message: text, idempotencyKey: text }, CALL_MS);
        this.#ledger.confirm(text, id);
        this.#staged += 1;
        return;
      } catch (error) {
        if (error.isFinal) throw error;
        this.#retries += 1;
        await pause(RETRY_MS);
      }
    }
    this.#unconfirmed += 1;
  }
}
