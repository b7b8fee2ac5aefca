// The operator itself under the permissions that its chart grants, on a real API server whose audit
// log is the judge: nothing that it asks for is refused, and nothing that is granted goes unused.
//
// NOTICE_OPERATOR_BIN names the program.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chart, eventually, output, startPlane } from './harness.mjs';
import { auditLog, rightsOf, rightsUsed, rulesOfChart } from './rights.mjs';

const program = process.env.NOTICE_OPERATOR_BIN;
const account = 'system:serviceaccount:notice-system:notice-operator';
// Granted and not asked for here, each with its reason.
const unused = {
  'noticecluster.dev/noticeclusters/finalizers update': 'asked by an admission plugin that guards owners',
  '/pods patch': 'the order of scale-in, once pods have sessions',
  '/secrets update': 'an entry of its own Secret that somebody has removed',
  'events.k8s.io/events patch': 'an event that comes again',
};

let plane;
let folder;
let operator;
let log = '';

before(async () => {
  assert.ok(program, 'NOTICE_OPERATOR_BIN is not set');
  folder = mkdtempSync(join(tmpdir(), 'notice-operator-'));
  plane = startPlane();
  plane.crds();
  for (const namespace of ['notice-system', 'rides', 'embedded']) plane.kubectl(['create', 'namespace', namespace]);
  apply([
    { apiVersion: 'networking.k8s.io/v1', kind: 'IngressClass', metadata: { name: 'traefik' },
      spec: { controller: 'traefik.io/ingress-controller' } },
    ...['mongo', 'redis', 'keys'].map((name) => ({
      apiVersion: 'v1', kind: 'Secret', metadata: { name: `rides-${name}`, namespace: 'rides' },
      stringData: { uri: `${name}://${name}.example`, keys: 'rides:0123456789abcdef0123' },
    })),
  ]);
  helm('notice-operator', 'notice-operator', 'notice-system', {});
  await startOperator();
});

after(async () => {
  if (operator && operator.exitCode === null) {
    operator.kill('SIGTERM');
    await once(operator, 'exit');
  }
  plane?.stop();
  if (folder) rmSync(folder, { recursive: true });
});

function apply(items) {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  plane.kubectl(['apply', '--server-side', '-f', '-'], { input });
}

function helm(release, name, namespace, values) {
  const args = ['upgrade', '--install', release, chart(name), '--namespace', namespace, '--values', '-'];
  const { status, said } = plane.helm('helm', args, { input: JSON.stringify(values) });
  assert.equal(status, 0, said);
}

async function startOperator() {
  const token = plane.kubectl(['-n', 'notice-system', 'create', 'token', 'notice-operator', '--duration=2h']).trim();
  const config = JSON.parse(plane.kubectl(['config', 'view', '--raw', '-o', 'json']));
  config.users[0].user = { token };
  const file = join(folder, 'kubeconfig');
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  const port = await freePort();
  operator = spawn(program, ['run'], {
    env: {
      KUBECONFIG: file, POD_NAME: 'notice-operator-0', POD_NAMESPACE: 'notice-system',
      NOTICE_OPERATOR_LISTEN: `127.0.0.1:${port}`,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [operator.stdout, operator.stderr]) stream.on('data', (text) => { log += text; });
  output(program, ['check', '--within-seconds=60', `http://127.0.0.1:${port}/readyz`]);
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

const everyPart = {
  replicas: 2,
  mongodb: { uriSecretRef: { name: 'rides-mongo', key: 'uri' } },
  redis: { uriSecretRef: { name: 'rides-redis', key: 'uri' } },
  auth: { apiKeysSecretRef: { name: 'rides-keys', key: 'keys' } },
  ingress: { className: 'traefik', host: 'im.example.com' },
  gateway: { parentRefs: [{ name: 'edge' }], hostnames: ['im.example.com'] },
  autoscaling: { minReplicas: 2, maxReplicas: 4, targetSessionsPerPod: 1000, mode: 'HorizontalPodAutoscaler' },
  monitoring: { serviceMonitor: { enabled: true }, prometheusRule: { enabled: true }, dashboard: { enabled: true } },
  networkPolicy: { enabled: true },
};
const { mongodb, redis, auth } = everyPart;
const optional = [
  'ingresses', 'httproutes', 'horizontalpodautoscalers', 'servicemonitors', 'prometheusrules', 'networkpolicies',
];
const names = (kind, namespace) => plane.get(['-n', namespace, kind]).items.map(({ metadata }) => metadata.name);

test('under its chart\'s Roles the operator makes every child of two NoticeClusters', async () => {
  helm('rides', 'notice-cluster', 'rides', { spec: everyPart });
  helm('embedded', 'notice-cluster', 'embedded', { spec: { storage: { size: '1Gi' } }, trial: { apiKeys: { enabled: true } } });
  for (const kind of ['deployments', 'services', 'poddisruptionbudgets', ...optional]) {
    await eventually(`rides of ${kind}`, () => names(kind, 'rides').includes('rides'));
  }
  await eventually('the dashboard', () => names('configmaps', 'rides').includes('rides-dashboard'));
  await eventually('the volume claim', () => names('persistentvolumeclaims', 'embedded').includes('embedded'));
  await eventually('the Deployment', () => names('deployments', 'embedded').includes('embedded'));
  const { status } = await eventually('its status', () => {
    const cluster = plane.get(['-n', 'rides', 'noticecluster', 'rides']);
    return cluster.status?.conditions?.some(({ type, status: is }) => type === 'DependenciesReady' && is === 'True') && cluster;
  });
  assert.ok(status.observedGeneration >= 1);
});

test('and takes away what is turned off', async () => {
  helm('rides', 'notice-cluster', 'rides', { spec: { replicas: 1, mongodb, redis, auth } });
  for (const kind of [...optional, 'poddisruptionbudgets']) {
    await eventually(`no ${kind} of rides`, () => !names(kind, 'rides').includes('rides'));
  }
  await eventually('no dashboard', () => !names('configmaps', 'rides').includes('rides-dashboard'));
});

test('by the audit log nothing that it asked for was refused, and nothing that it may do is of no use', async () => {
  // The Lease is written again every few seconds: then all that happens at rest has happened.
  await eventually('the Lease is renewed', () => asked().some(({ verb, objectRef }) => (
    verb === 'update' && objectRef?.resource === 'leases')));
  const refused = asked().filter(({ annotations }) => annotations?.['authorization.k8s.io/decision'] === 'forbid');
  assert.deepEqual(refused.map(({ verb, requestURI }) => `${verb} ${requestURI}`), [], log.slice(-2000));
  const used = rightsUsed(asked().filter(({ objectRef }) => objectRef));
  const idle = rightsOf(rulesOfChart()).filter((right) => !used.has(right) && !unused[right]);
  assert.deepEqual(idle, [], 'granted, and never asked for');
});

function asked() {
  return auditLog(plane.env.NOTICE_KUBERNETES_DIR).filter(({ user }) => user.username === account);
}
