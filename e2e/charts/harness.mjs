// What the tests of the charts share: calling Helm and kubectl, value sets, and walking objects.

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { root } from './generate.mjs';

export { root };

/** Helm 4 and Helm 3, by the name of the tool. */
export const helms = ['helm', 'helm3'];

const tools = new Map();
export function tool(name) {
  if (!tools.has(name)) tools.set(name, output(join(root, 'scripts/tool'), [name]).trim());
  return tools.get(name);
}

export const chart = (name) => join(root, 'charts', name);

/** Runs a program; what it said comes back, also when it failed. */
export function run(program, args, { input, env } = {}) {
  const done = spawnSync(program, args, {
    input, encoding: 'utf8', maxBuffer: 1 << 28, timeout: 300_000, env: { ...process.env, ...env },
  });
  if (done.error) throw done.error;
  return { status: done.status, out: done.stdout, said: `${done.stdout}${done.stderr}` };
}

export function output(program, args, options) {
  const { status, out, said } = run(program, args, options);
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${said}`);
  return out;
}

/** The objects of a chart for some values. */
export function render(helm, name, values, { release = 'notice-operator', namespace = 'notice-system' } = {}) {
  const text = output(tool(helm), [
    'template', release, chart(name), '--namespace', namespace, '--values', '-',
  ], { input: JSON.stringify(values) });
  return objectsOf(text);
}

/** How Helm refuses some values. */
export function refusal(helm, name, values) {
  const { status, said } = run(tool(helm), ['template', 'x', chart(name), '--values', '-'], {
    input: JSON.stringify(values),
  });
  if (status === 0) throw new Error(`${helm} takes ${JSON.stringify(values)}`);
  return said;
}

export function objectsOf(text) {
  return parseAllDocuments(text).map((document) => {
    if (document.errors.length > 0) throw document.errors[0];
    return document.toJS();
  }).filter(Boolean);
}

export const title = ({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`;
export const ofKind = (objects, kind) => objects.filter((object) => object.kind === kind);

/** The pods that objects make: [title, spec, labels]. */
export function podsOf(objects) {
  return objects.flatMap((object) => {
    if (object.kind === 'Pod') return [[title(object), object.spec, object.metadata.labels]];
    const template = object.spec?.template;
    return template?.spec?.containers ? [[title(object), template.spec, template.metadata.labels]] : [];
  });
}

/** Every value set of a chart that the tests render, each with all that it switches on. */
export const valueSets = {
  'notice-operator': {
    default: {},
    'one replica': { replicas: 1 },
    'two namespaces': { watchNamespaces: ['rides', 'meals'] },
    'two namespaces and their Secrets': { watchNamespaces: ['rides', 'meals'], secretAccess: 'namespaces' },
    'all Secrets': { secretAccess: 'cluster' },
    'nothing optional': {
      rbac: { create: false }, crds: { install: false }, podDisruptionBudget: { enabled: false },
      serviceAccount: { create: false, name: 'there-already' },
    },
    everything: {
      nameOverride: 'pushes', fullnameOverride: 'our-operator',
      commonLabels: { team: 'platform', 'app.kubernetes.io/name': 'never-wins' }, replicas: 3,
      image: { registry: 'registry.example/team/', digest: `sha256:${'a'.repeat(64)}`, pullPolicy: 'Always' },
      serverImage: { repository: 'their-server', tag: '1.2.3' },
      imagePullSecrets: [{ name: 'pull' }],
      serviceAccount: { annotations: { 'example.com/a': 'b' } },
      logFormat: 'text', extraEnv: [{ name: 'HTTPS_PROXY', value: 'http://proxy.example:3128' }],
      podLabels: { extra: 'label' }, podAnnotations: { 'example.com/c': 'd' },
      nodeSelector: { 'kubernetes.io/os': 'linux' },
      tolerations: [{ key: 'spot', operator: 'Exists', effect: 'NoSchedule' }],
      affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'In', values: ['a'] }] }],
      } } },
      priorityClassName: 'system-cluster-critical',
      topologySpreadConstraints: [
        { maxSkew: 1, topologyKey: 'topology.kubernetes.io/zone', whenUnsatisfiable: 'DoNotSchedule' },
      ],
      podDisruptionBudget: { maxUnavailable: '50%' },
      networkPolicy: { enabled: true, metricsFrom: [{ namespaceSelector: { matchLabels: { name: 'monitoring' } } }] },
      monitoring: {
        serviceMonitor: { enabled: true, interval: '15s', labels: { release: 'prometheus' } },
        prometheusRule: { enabled: true, labels: { release: 'prometheus' } },
        dashboard: { enabled: true },
      },
    },
  },
  'notice-cluster': {
    embedded: { spec: { storage: { size: '1Gi' } }, trial: { apiKeys: { enabled: true } } },
    'own services': {
      annotations: { 'example.com/a': 'b' }, commonLabels: { team: 'rides' },
      spec: {
        replicas: 2,
        mongodb: { uriSecretRef: { name: 'rides-mongo', key: 'uri' }, database: 'notice' },
        redis: { uriSecretRef: { name: 'rides-redis', key: 'uri' } },
        auth: {
          apiKeysSecretRef: { name: 'rides-keys', key: 'keys' },
          jwt: {
            keySecretRef: { name: 'rides-jwt', key: 'key' }, issuer: 'https://id.example.com',
            audience: ['rides'], algorithms: ['RS256'],
          },
        },
        ingress: { className: 'nginx', host: 'im.example.com', path: '/notice', tls: { secretName: 'im-tls' } },
        resources: { requests: { cpu: '500m' }, limits: { memory: '1Gi' } },
      },
    },
    'a trial of everything': {
      nameOverride: 'hello', commonLabels: { team: 'rides' },
      spec: {
        mongodb: { uriSecretRef: { name: 'hello-mongo', key: 'uri' } }, networkPolicy: { enabled: true },
      },
      trial: { apiKeys: { enabled: true }, redis: { enabled: true, image: { registry: 'registry.example' } } },
    },
    'without a Role': {
      spec: { mongodb: { uriSecretRef: { name: 'm', key: 'uri' } } }, secretRole: { create: false },
    },
  },
};

/** Calls check(helm, name of the set, values, objects) for every chart, set and Helm. */
export function eachRendering(check) {
  for (const [name, sets] of Object.entries(valueSets)) {
    for (const [set, values] of Object.entries(sets)) {
      for (const helm of helms) check(name, `${name}, ${set}, ${helm}`, values, render(helm, name, values));
    }
  }
}

export const read = (path) => readFileSync(join(root, path), 'utf8');
export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** Waits until `look` returns something true, and returns it. */
export async function eventually(what, look, seconds = 60) {
  const deadline = Date.now() + seconds * 1000;
  let last;
  do {
    last = await look();
    if (last) return last;
    await sleep(100);
  } while (Date.now() < deadline);
  throw new Error(`${what}: not within ${seconds} s`);
}

/** A control plane of the tests' own, on the version that NOTICE_KUBERNETES_VERSION says. */
export function startPlane() {
  const name = `charts-${process.pid}`;
  const version = process.env.NOTICE_KUBERNETES_VERSION ?? '1.36.3';
  const script = join(root, 'scripts/kubernetes');
  const said = execFileSync(script, ['start', name, '--version', version], { encoding: 'utf8' });
  const env = Object.fromEntries([...said.matchAll(/^export (\w+)=(.*)$/gm)].map(([, key, value]) => [key, value]));
  const kubectl = (args, options = {}) => output(join(env.NOTICE_KUBERNETES_DIR, 'kubectl'), args, { ...options, env });
  return {
    env, version, kubectl,
    helm: (which, args, options = {}) => run(tool(which), args, { ...options, env }),
    get: (args) => JSON.parse(kubectl(['get', '-o', 'json', ...args])),
    tries: (args, options = {}) => run(join(env.NOTICE_KUBERNETES_DIR, 'kubectl'), args, { ...options, env }),
    crds: () => output(script, ['crds', name]),
    stop: () => output(script, ['stop', name]),
  };
}
