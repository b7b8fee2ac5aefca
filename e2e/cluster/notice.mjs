// Notice in the cluster: the operator and a NoticeCluster, installed by Helm as people install them, and
// what tests ask of these. Nothing here breaks anything.

import { randomBytes } from 'node:crypto';
import { apply, eventually, get, helm, kubectl, secret, service, settings } from './cluster.mjs';

export const OPERATOR = { release: 'notice-operator', namespace: 'notice-system' };
const READY = '--for=condition=Ready';

export function installOperator(...more) {
  return helm('upgrade', '--install', OPERATOR.release, 'charts/notice-operator', '--namespace', OPERATOR.namespace,
    // What an earlier upgrade has set does not stay.
    '--create-namespace', '--reset-values', '--wait', '--timeout', '3m', ...more);
}

/** A NoticeCluster called `rides` in a namespace of its own, on a database of its own. */
export class Notice {
  name = 'rides';
  #key = randomBytes(24).toString('hex');
  #service = null;

  static async install(spec = {}) {
    const notice = new Notice();
    notice.namespace = `e2e-${randomBytes(4).toString('hex')}`;
    notice.host = `${notice.namespace}.notice.test`;
    notice.spec = {
      replicas: 2,
      mongodb: { uriSecretRef: { name: 'mongo', key: 'uri' }, database: notice.namespace.replace('-', '_') },
      redis: { uriSecretRef: { name: 'redis', key: 'uri' } },
      auth: { apiKeysSecretRef: { name: 'keys', key: 'keys' } },
      ingress: { className: settings.ingressClass, host: notice.host },
      drain: { windowSeconds: 10 },
      ...spec,
    };
    await apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: notice.namespace } });
    await secret(notice.namespace, 'mongo', { uri: settings.mongodb });
    await secret(notice.namespace, 'redis', { uri: settings.redis });
    await secret(notice.namespace, 'keys', { keys: entry(notice.#key) });
    await notice.upgrade();
    await notice.isReady();
    notice.#service = await service(notice.namespace, notice.name);
    return notice;
  }

  /** By the chart; `spec` is what a person would have in a values file. */
  async upgrade(change = {}) {
    this.spec = { ...this.spec, ...change };
    await helm('upgrade', '--install', this.name, 'charts/notice-cluster', '--namespace', this.namespace,
      '--set', `operator.namespace=${OPERATOR.namespace}`, '--set-json', `spec=${JSON.stringify(this.spec)}`);
  }

  async remove() {
    this.#service?.close();
    await helm('uninstall', this.name, '--namespace', this.namespace, '--ignore-not-found', '--wait').catch(() => {});
    await kubectl('delete', 'namespace', this.namespace, '--ignore-not-found', '--wait=false');
  }

  kubectl(...args) { return kubectl('-n', this.namespace, ...args); }

  get(...args) { return get('-n', this.namespace, ...args); }

  /** As a person waits for it; and what is said must be said of the spec that is there now. */
  async isReady(seconds = 180) {
    await eventually('the operator has seen the spec', async () => {
      const { metadata, status } = await this.get('noticecluster', this.name);
      return status?.observedGeneration === metadata.generation;
    }, seconds * 1000);
    await this.kubectl('wait', READY, `--timeout=${seconds}s`, `noticecluster/${this.name}`);
  }

  get site() { return { url: settings.ingress, host: this.host }; }

  /** The chat page's address, as a browser that finds the host in its own way has it. */
  get page() { return `http://${this.host}/notice/`; }

  async pods() {
    const { items } = await this.get('pods', '-l', `app.kubernetes.io/instance=${this.name}`);
    return items.filter((pod) => !pod.metadata.deletionTimestamp && pod.status.phase === 'Running');
  }

  /** Every pod is of the newest template, ready, and none of the older ones is left. */
  async isRolledOut(before, withinMs = 240_000) {
    const old = new Set(before.map((pod) => pod.metadata.uid));
    await eventually('only new pods are left', async () => {
      const { items } = await this.get('pods', '-l', `app.kubernetes.io/instance=${this.name}`);
      return items.length >= this.spec.replicas && items.every((pod) => !old.has(pod.metadata.uid) && isReady(pod));
    }, withinMs);
    await this.isReady();
  }

  /** So many pods are ready, and no other is starting or on its way out. */
  async hasReadyPods(count, withinMs = 180_000) {
    await eventually(`there are ${count} pods, all ready`, async () => {
      const { items } = await this.get('pods', '-l', `app.kubernetes.io/instance=${this.name}`);
      return items.length === count && items.every((pod) => !pod.metadata.deletionTimestamp && isReady(pod));
    }, withinMs);
  }

  async conditions() {
    const { status } = await this.get('noticecluster', this.name);
    return Object.fromEntries(status.conditions.map((condition) => [condition.type, condition]));
  }

  // --- the service API --------------------------------------------------------------------------

  /** A call as a service in the cluster makes it, through the Service. */
  api = async (path, body, withinMs = 10_000) => this.as(this.#key)(path, body, withinMs);

  /** The same with another key. */
  as(key) {
    return async (path, body, withinMs = 10_000) => {
      const response = await fetch(`${this.#service.url}/notice/${path}`, {
        method: body === undefined ? 'GET' : 'POST',
        headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json', Connection: 'close' },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(withinMs),
      }).catch((error) => { throw new Error(`no answer from ${path}: ${error.cause ?? error}`); });
      const text = await response.text();
      if (response.ok) return text ? JSON.parse(text) : null;
      throw Object.assign(new Error(`${response.status} from ${path}: ${text}`), {
        status: response.status, isFinal: response.status >= 400 && response.status < 500 && response.status !== 429,
      });
    };
  }

  async token(accountId) { return (await this.api('sessions', { accountId, ttlSeconds: 3600 })).token; }

  /** A new key beside the one in use. Calls go on with that one until `useKey`. */
  async addKey() {
    const fresh = randomBytes(24).toString('hex');
    await secret(this.namespace, 'keys', { keys: `${entry(this.#key)},${entry(fresh)}` });
    return fresh;
  }

  /** Calls take this key from now on. */
  useKey(key) { this.#key = key; }

  /** The key in use is the only one left. */
  async dropOtherKeys() { await secret(this.namespace, 'keys', { keys: entry(this.#key) }); }

  /** Whether every pod answers a call with this key in this way: each call goes to any of them. */
  async everyPodSays(key, status) {
    const answers = Array.from({ length: 16 }, () => this.as(key)('accounts/nobody').then(() => 200, (error) => error.status));
    return (await Promise.all(answers)).every((answer) => answer === status);
  }

  get key() { return this.#key; }
}

function entry(key) { return `service:${key}`; }

export function isReady(pod) {
  return pod.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
}
