// The Kubernetes that the tests run in: kubectl and Helm for it, and how its Services, its ingress and
// its nodes are reached. Either the one of scripts/cluster (the lab), where nodes can be killed, or a
// person's own, named by NOTICE_CLUSTER_CONTEXT. Nothing here knows what is tested.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OWN = process.env.NOTICE_CLUSTER_CONTEXT ?? '';
const OUTPUT_BYTES = 64 * 1024 * 1024;

/** Asks `probe` again until it gives something true; says what it gave last when time is up. */
export async function eventually(what, probe, withinMs = 60_000) {
  const deadline = Date.now() + withinMs;
  let last;
  do {
    try {
      last = await probe();
      if (last) return last;
    } catch (error) { last = error; }
    await new Promise((resolve) => setTimeout(resolve, 200));
  } while (Date.now() < deadline);
  throw new Error(`not within ${withinMs} ms: ${what}; last: ${last?.stack ?? JSON.stringify(last)}`);
}

/** The lab can be broken where a person's own cluster must not be. */
export const isLab = OWN === '';

/** What a person's own cluster needs to be told; the lab knows it. */
export const settings = {
  ingressClass: process.env.NOTICE_CLUSTER_INGRESS_CLASS ?? 'traefik',
  ingress: process.env.NOTICE_CLUSTER_INGRESS ?? (isLab ? `http://${process.env.NOTICE_CLUSTER_ADDRESS ?? '10.123.0.1'}` : ''),
  mongodb: process.env.MONGODB_URI ?? (isLab ? 'mongodb://mongodb.backing.svc.cluster.local:27017/' : ''),
  prometheus: process.env.NOTICE_CLUSTER_PROMETHEUS ?? (isLab ? `http://${process.env.NOTICE_CLUSTER_ADDRESS ?? '10.123.0.1'}:9090` : ''),
  redis: process.env.REDIS_URI ?? (isLab ? 'redis://redis.backing.svc.cluster.local:6379' : ''),
  /** Images of another version, to roll to. In the lab: the same ones by another name. */
  nextServer: process.env.NOTICE_CLUSTER_NEXT_SERVER_IMAGE ?? (isLab ? 'notice-server:next' : ''),
  nextOperator: process.env.NOTICE_CLUSTER_NEXT_OPERATOR_IMAGE ?? (isLab ? 'notice-operator:next' : ''),
};

for (const [name, value] of Object.entries({ NOTICE_CLUSTER_INGRESS: settings.ingress, MONGODB_URI: settings.mongodb, REDIS_URI: settings.redis })) {
  if (!value) throw new Error(`a cluster of your own needs ${name}: see docs/CLUSTER.md`);
}

/** Runs a program; what it wrote, or an error with what it complained of. */
async function call(program, args, input) {
  const started = run(program, args, { maxBuffer: OUTPUT_BYTES, cwd: ROOT });
  started.child.stdin.end(input ?? '');
  try {
    return (await started).stdout;
  } catch (error) {
    throw new Error(`${program} ${args.slice(0, 6).join(' ')} failed (${error.code}): ${error.stderr?.trim()}`);
  }
}

function command(tool, args) {
  return isLab
    ? ['scripts/cluster', [tool, ...args]]
    : [tool, [tool === 'helm' ? `--kube-context=${OWN}` : `--context=${OWN}`, ...args]];
}

export const kubectl = (...args) => call(...command('kubectl', args));
export const helm = (...args) => call(...command('helm', args));
export const lab = (...args) => call('scripts/cluster', args);

/** Objects by kubectl's own words, parsed. */
export async function get(...args) { return JSON.parse(await kubectl('get', ...args, '-o', 'json')); }

/** Applies an object; a Secret's value passes through no process list. */
export function apply(object) {
  return call(...command('kubectl', ['apply', '--server-side', '--force-conflicts', '-f', '-']), JSON.stringify(object));
}

export function secret(namespace, name, values) {
  return apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData: values });
}

/** Where a Service answers: its own address in the lab, whose network the tests are in; else a way to it by kubectl. */
export async function service(namespace, name) {
  if (isLab) {
    const { spec } = await get('-n', namespace, 'service', name);
    return { url: `http://${spec.clusterIP}:${spec.ports[0].port}`, close() {} };
  }
  return forward(namespace, `service/${name}`, 80);
}

async function forward(namespace, target, port) {
  const local = await freePort();
  const [program, args] = command('kubectl', ['-n', namespace, 'port-forward', target, `${local}:${port}`]);
  let child;
  let over = false;
  // It ends with the pod that it goes to.
  const start = () => {
    child = spawn(program, args, { stdio: 'ignore', cwd: ROOT });
    child.on('exit', () => { if (!over) setTimeout(start, 200); });
  };
  start();
  const url = `http://127.0.0.1:${local}`;
  await eventually(`${target} is forwarded`, async () => (await fetch(url)).status > 0);
  return { url, close() { over = true; child.kill(); } };
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}
