// The charts on a real API server, of the version that NOTICE_KUBERNETES_VERSION says: its own
// schemas, its admission, its authorizer, and Helm 3 and 4 installing, upgrading and uninstalling.
// There are no nodes, so nothing waits for pods.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  chart, eachRendering, eventually, helms, objectsOf, ofKind, output, podsOf, read, render, run, startPlane, title,
  tool, valueSets,
} from './harness.mjs';
import { location, writeSchemas } from './schemas.mjs';

const crd = 'noticeclusters.noticecluster.dev';
const operatorAccount = 'system:serviceaccount:notice-system:notice-operator';
const namespaces = ['notice-system', 'rides', 'meals', 'other'];
let plane;
let folder;

const list = (items) => JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
const apply = (items, ...flags) => plane.kubectl(
  ['apply', '--server-side', '--force-conflicts', '-f', '-', ...flags], { input: list(items) },
);

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'notice-charts-'));
  plane = startPlane();
  plane.crds();
  apply(objectsOf(read('crds/noticeclusters.yaml')));
  apply(namespaces.map((name) => ({
    apiVersion: 'v1', kind: 'Namespace',
    metadata: { name, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
  })));
  plane.kubectl(['wait', '--for=condition=Established', '--timeout=30s', `crd/${crd}`]);
});

after(() => {
  plane?.stop();
  if (folder) rmSync(folder, { recursive: true });
});

test('kubeconform finds nothing wrong, by this API server\'s own schemas', async () => {
  const openapi = await eventually('the schema of NoticeCluster', () => {
    const document = JSON.parse(plane.kubectl(['get', '--raw', '/openapi/v2']));
    const text = JSON.stringify(Object.keys(document.definitions));
    return ['NoticeCluster', 'ServiceMonitor', 'PrometheusRule'].every((kind) => text.includes(`.${kind}"`)) && document;
  });
  const schemas = join(folder, 'schemas');
  assert.ok(writeSchemas(openapi, schemas) > 100);
  const kubeconform = (objects) => run(
    tool('kubeconform'), ['-strict', '-summary', '-schema-location', location(schemas)], { input: list(objects) },
  );
  eachRendering((_, what, __, objects) => {
    const { status, said } = kubeconform(objects);
    assert.equal(status, 0, `${what}: ${said}`);
    assert.match(said, new RegExp(`Valid: ${objects.length}, Invalid: 0, Errors: 0, Skipped: 0`), what);
  });
  const [broken] = render('helm', 'notice-operator', {}).filter(({ kind }) => kind === 'Deployment');
  broken.spec.replica = 1;
  assert.match(kubeconform([broken]).said, /additional.*replica/, 'it can find something');
});

test('the API server takes every object of every value set', () => {
  eachRendering((_, what, __, objects) => {
    const said = apply(objects, '--dry-run=server');
    assert.equal(said.match(/serverside-applied \(server dry run\)/g)?.length, objects.length, `${what}: ${said}`);
  });
});

test('every pod is admitted where Pod Security is restricted', () => {
  apply([{ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'there-already', namespace: 'rides' } }]);
  const pods = [];
  eachRendering((_, what, __, objects) => {
    for (const [from, spec, labels] of podsOf(objects)) {
      pods.push({
        apiVersion: 'v1', kind: 'Pod',
        metadata: { name: `pod-${pods.length}`, namespace: 'rides', labels, annotations: { from: `${what}: ${from}` } },
        spec: { ...spec, serviceAccountName: undefined },
      });
    }
  });
  assert.ok(pods.length > 10);
  plane.kubectl(['create', '--dry-run=server', '-f', '-'], { input: list(pods) });
  const loose = { ...pods[0], spec: { ...pods[0].spec, securityContext: {} } };
  assert.match(plane.tries(['create', '--dry-run=server', '-f', '-'], { input: list([loose]) }).said, /violates PodSecurity/);
});

// --- permissions ----------------------------------------------------------------------------

/** Asks the authorizer: [account, verb, resource (group/name/subresource), namespace, name]. */
function allowed(account, questions) {
  const reviews = questions.map(([verb, resource, namespace, name]) => {
    const [group, plural, subresource] = resource.split('/');
    return {
      apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview',
      spec: {
        user: account, groups: ['system:serviceaccounts', 'system:authenticated'],
        resourceAttributes: { verb, group, resource: plural, subresource, namespace, name },
      },
    };
  });
  const said = plane.kubectl(['create', '-o', 'jsonpath={.status.allowed}{"\\n"}', '-f', '-'], {
    input: list(reviews),
  });
  const answers = said.trim().split('\n').map((answer) => answer === 'true');
  assert.equal(answers.length, questions.length, said);
  return answers;
}

function mayOnly(account, may, mayNot) {
  const questions = [...may, ...mayNot];
  const answers = allowed(account, questions);
  const wrong = questions.filter((_, n) => answers[n] !== n < may.length);
  assert.deepEqual(wrong, [], `${account}: the answer to these is ${may.length > 0 ? 'not as wanted' : 'yes'}`);
}

const children = [
  'apps/deployments', '/services', '/configmaps', '/serviceaccounts', 'networking.k8s.io/ingresses',
  'networking.k8s.io/networkpolicies', 'policy/poddisruptionbudgets', 'autoscaling/horizontalpodautoscalers',
  'gateway.networking.k8s.io/httproutes', 'monitoring.coreos.com/servicemonitors',
  'monitoring.coreos.com/prometheusrules',
];
const every = (verbs, resources, ...where) => resources.flatMap((it) => verbs.map((verb) => [verb, it, ...where]));
const workIn = (namespace) => [
  ...every(['get', 'list', 'watch', 'create', 'patch', 'delete'], children, namespace),
  ...every(['get', 'list', 'watch', 'create', 'patch'], ['/persistentvolumeclaims'], namespace),
  ...every(['get', 'list', 'watch', 'patch'], ['/pods'], namespace),
  ...every(['get', 'list', 'watch'], ['noticecluster.dev/noticeclusters'], namespace),
  ['patch', 'noticecluster.dev/noticeclusters/status', namespace],
  ...every(['create', 'patch'], ['events.k8s.io/events'], namespace),
];
const own = [
  ...every(['get', 'update'], ['coordination.k8s.io/leases'], 'notice-system', 'notice-operator'),
  ['create', 'coordination.k8s.io/leases', 'notice-system'],
  ...every(['get', 'update'], ['/secrets'], 'notice-system', 'notice-operator-drain-key'),
  ...every(['list', 'watch'], ['apiextensions.k8s.io/customresourcedefinitions'], undefined, 'httproutes.gateway.networking.k8s.io'),
  ['create', '/secrets', 'notice-system'],
  ...every(['get', 'list', 'watch'], ['networking.k8s.io/ingressclasses']),
];
const neverIn = (namespace) => [
  ...every(['update', 'patch', 'delete', 'create'], ['noticecluster.dev/noticeclusters'], namespace),
  ...every(['delete', 'create'], ['/pods', '/pods/eviction', '/pods/exec'], namespace),
  ['get', '/pods/log', namespace], ['delete', '/persistentvolumeclaims', namespace],
  ...every(['deletecollection', 'update'], children, namespace),
  ...every(['get', 'create', 'patch', 'bind', 'escalate'], [
    'rbac.authorization.k8s.io/roles', 'rbac.authorization.k8s.io/rolebindings',
  ], namespace),
  ['create', '/serviceaccounts/token', namespace], ['impersonate', '/serviceaccounts', namespace],
];
const secretsOf = (namespace) => every(['get', 'list', 'watch', 'create', 'delete'], ['/secrets'], namespace, 'any');
const never = [
  ...every(['get', 'list'], ['/nodes', '/namespaces']),
  ['delete', 'coordination.k8s.io/leases', 'notice-system', 'notice-operator'],
  ['get', 'coordination.k8s.io/leases', 'kube-system', 'notice-operator'],
  ['get', '/secrets', 'notice-system', 'another'], ['list', '/secrets', 'notice-system'],
  ...every(['list', 'patch', 'create'], ['apiextensions.k8s.io/customresourcedefinitions']),
];

describe('permissions', () => {
  const roles = (values) => render('helm', 'notice-operator', values)
    .filter(({ kind }) => /^(Cluster)?Role(Binding)?$|^ServiceAccount$/.test(kind));
  const withRoles = async (values, check) => {
    const made = roles(values);
    apply(made);
    try {
      // The authorizer learns of new Roles a moment later.
      await eventually('the Roles count', () => allowed(operatorAccount, [own[0]])[0]);
      await check();
    } finally {
      plane.kubectl(['delete', '-f', '-'], { input: list(made) });
      await eventually('the Roles are gone', () => !allowed(operatorAccount, [own[0]])[0]);
    }
  };

  test('an operator for all namespaces may do its work everywhere, and reads no Secret', () => withRoles({}, () => {
    mayOnly(operatorAccount, [...workIn('rides'), ...workIn('other'), ...own], [
      ...neverIn('rides'), ...secretsOf('rides'), ...never, ['list', '/secrets'],
    ]);
  }));

  test('an operator for two namespaces may do nothing in a third', () => {
    const values = { watchNamespaces: ['rides', 'meals'] };
    return withRoles(values, () => mayOnly(operatorAccount, [...workIn('rides'), ...workIn('meals'), ...own], [
      ...workIn('other'), ...neverIn('rides'), ...secretsOf('rides'), ...never,
      ['list', 'noticecluster.dev/noticeclusters'], ['list', '/pods'],
    ]));
  });

  test('secretAccess "namespaces" reads Secrets there, and "cluster" everywhere; neither changes any', async () => {
    const reads = (namespace) => every(['get', 'list', 'watch'], ['/secrets'], namespace, 'any');
    const writes = every(['create', 'patch', 'update', 'delete'], ['/secrets'], 'rides', 'any');
    await withRoles({ watchNamespaces: ['rides'], secretAccess: 'namespaces' }, () => {
      mayOnly(operatorAccount, reads('rides'), [...reads('other'), ...writes]);
    });
    await withRoles({ secretAccess: 'cluster' }, () => {
      mayOnly(operatorAccount, [...reads('rides'), ...reads('other')], writes);
    });
  });

  test('the Role of a NoticeCluster opens its Secrets to the operator, and no others', async () => {
    const values = valueSets['notice-cluster']['own services'];
    const made = render('helm', 'notice-cluster', values, { release: 'rides', namespace: 'rides' });
    const reads = (name) => every(['get', 'list', 'watch'], ['/secrets'], 'rides', name);
    apply(made);
    await eventually('the Role counts', () => allowed(operatorAccount, reads('rides-mongo'))[0]);
    mayOnly(operatorAccount, ['rides-mongo', 'rides-redis', 'rides-keys', 'rides-jwt'].flatMap(reads), [
      ...reads('another'), ['list', '/secrets', 'rides'], ['patch', '/secrets', 'rides', 'rides-mongo'],
      ...every(['get'], ['/secrets'], 'meals', 'rides-mongo'),
    ]);
    // That is how the operator asks: a list of one, by its name.
    plane.kubectl(['-n', 'rides', 'create', 'secret', 'generic', 'rides-mongo', '--from-literal=uri=mongodb://m']);
    const asked = ['-n', 'rides', 'get', 'secrets', '--field-selector=metadata.name=rides-mongo', '-o', 'name'];
    assert.equal(plane.kubectl([...asked, '--as', operatorAccount]).trim(), 'secret/rides-mongo');
    assert.match(plane.tries(['-n', 'rides', 'get', 'secrets', '--as', operatorAccount]).said, /forbidden/);
    plane.kubectl(['delete', '-f', '-'], { input: list(made) });
  });

  test('those who may view or edit a namespace may view or edit its NoticeClusters', () => withRoles({}, async () => {
    const people = ['view', 'edit', 'admin'];
    apply(people.map((role) => ({
      apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata: { name: role, namespace: 'rides' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: `${role}-person` }],
    })));
    const clusters = 'noticecluster.dev/noticeclusters';
    const look = every(['get', 'list', 'watch'], [clusters], 'rides');
    const change = [
      ...every(['create', 'update', 'patch', 'delete'], [clusters], 'rides'),
      ...every(['update', 'patch'], [`${clusters}/scale`], 'rides'),
    ];
    const status = every(['update', 'patch'], [`${clusters}/status`], 'rides');
    await eventually('view is aggregated', () => allowed('view-person', look).every(Boolean));
    await eventually('admin is aggregated', () => allowed('admin-person', change).every(Boolean));
    mayOnly('view-person', look, [...change, ...status]);
    for (const role of ['edit', 'admin']) mayOnly(`${role}-person`, [...look, ...change], status);
  }));
});

// --- Helm's whole way -----------------------------------------------------------------------

function helmed(helm, args, input) {
  const { status, said } = plane.helm(helm, args, { input: input && JSON.stringify(input) });
  assert.equal(status, 0, `${helm} ${args.join(' ')}: ${said}`);
  return said;
}

const installs = (helm, release, name, namespace, values) => helmed(helm, [
  'upgrade', '--install', release, chart(name), '--namespace', namespace, '--values', '-',
], values);

for (const helm of helms) {
  test(`${helm} installs, upgrades and uninstalls the operator; CRD and NoticeClusters outlive it`, async () => {
    plane.tries(['delete', 'crd', crd]);
    const notes = installs(helm, 'notice-operator', 'notice-operator', 'notice-system', {});
    assert.match(notes, /kubectl -n notice-system rollout status deployment notice-operator/);
    assert.match(notes, /helm test notice-operator -n notice-system/);
    await madeByHelm();
    plane.kubectl(['wait', '--for=condition=Established', '--timeout=30s', `crd/${crd}`]);
    const embedded = installs(helm, 'hello', 'notice-cluster', 'rides', valueSets['notice-cluster'].embedded);
    assert.match(embedded, /wait --for=condition=Ready --timeout=2m noticecluster\/hello/);
    const { metadata } = plane.get(['-n', 'rides', 'noticecluster', 'hello']);

    const values = { watchNamespaces: ['rides', 'meals'], replicas: 1, image: { tag: '9.9.9' } };
    const upgraded = installs(helm, 'notice-operator', 'notice-operator', 'notice-system', values);
    assert.match(upgraded, /the namespaces rides, meals/);
    const deployment = plane.get(['-n', 'notice-system', 'deployment', 'notice-operator']);
    assert.equal(deployment.spec.template.spec.containers[0].image, 'notice-operator:9.9.9');
    assert.equal(plane.get(['-n', 'notice-system', 'poddisruptionbudgets']).items.length, 0);
    assert.equal(plane.get(['-n', 'meals', 'roles']).items.length, 1);

    helmed(helm, ['uninstall', 'notice-operator', '--namespace', 'notice-system']);
    await eventually('nothing is left of the operator', () => leftOf('notice-operator').length === 0);
    assert.equal(plane.get(['-n', 'rides', 'noticecluster', 'hello']).metadata.uid, metadata.uid, 'it outlives');

    installs(helm, 'notice-operator', 'notice-operator', 'notice-system', {});
    assert.equal(plane.get(['-n', 'rides', 'noticecluster', 'hello']).metadata.uid, metadata.uid, 'and is taken up');
    helmed(helm, ['uninstall', 'notice-operator', '--namespace', 'notice-system']);
    helmed(helm, ['uninstall', 'hello', '--namespace', 'rides']);
    await eventually('the NoticeCluster is gone', () => plane.get(['-n', 'rides', 'noticeclusters']).items.length === 0);
  });
}

test('Helm 4 goes on with what Helm 3 has installed', async () => {
  installs('helm3', 'notice-operator', 'notice-operator', 'notice-system', {});
  installs('helm', 'notice-operator', 'notice-operator', 'notice-system', { replicas: 3 });
  assert.equal(plane.get(['-n', 'notice-system', 'deployment', 'notice-operator']).spec.replicas, 3);
  helmed('helm', ['uninstall', 'notice-operator', '--namespace', 'notice-system']);
  await eventually('nothing is left of the operator', () => leftOf('notice-operator').length === 0);
});

/** Controllers make a ReplicaSet, so the Deployment is one that the cluster can work with. */
const madeByHelm = () => eventually('a ReplicaSet', () => {
  const { items } = plane.get(['-n', 'notice-system', 'replicasets']);
  return items.length > 0 && items[0].status.replicas === 2;
});

function leftOf(release) {
  const kinds = 'deployments,services,serviceaccounts,roles,rolebindings,poddisruptionbudgets,clusterroles,clusterrolebindings';
  return plane.get([kinds, '-A', '-l', `app.kubernetes.io/instance=${release}`]).items.map(title);
}

for (const helm of helms) {
  test(`${helm}: what the API server refuses of a spec is told to whoever installs`, () => {
    plane.tries(['apply', '--server-side', '-f', join(chart('notice-operator'), 'files/crds/noticeclusters.yaml')]);
    plane.kubectl(['wait', '--for=condition=Established', '--timeout=30s', `crd/${crd}`]);
    const { status, said } = plane.helm(helm, [
      'install', 'bad', chart('notice-cluster'), '--namespace', 'rides',
    ]);
    assert.notEqual(status, 0);
    assert.match(said, /set mongodb\.uriSecretRef, or storage\.size/);
    plane.helm(helm, ['uninstall', 'bad', '--namespace', 'rides']);
  });

  test(`${helm} keeps the passwords of a trial when it is upgraded`, async () => {
    const values = valueSets['notice-cluster']['a trial of everything'];
    const passwords = () => ['hello-redis', 'hello-api-keys'].map((name) => (
      plane.get(['-n', 'meals', 'secret', name]).data));
    installs(helm, 'trial', 'notice-cluster', 'meals', values);
    const before = passwords();
    installs(helm, 'trial', 'notice-cluster', 'meals', { ...values, annotations: { again: 'yes' } });
    assert.deepEqual(passwords(), before);
    assert.match(Buffer.from(before[1].keys, 'base64').toString(), /^trial:[A-Za-z0-9]{40}$/);
    helmed(helm, ['uninstall', 'trial', '--namespace', 'meals']);
    await eventually('the Secrets are gone', () => plane.get(['-n', 'meals', 'secrets']).items
      .every(({ metadata }) => !metadata.name.startsWith('hello-')));
  });
}

test('a real Redis starts with the configuration of a trial, and wants its password', async () => {
  const objects = render('helm', 'notice-cluster', valueSets['notice-cluster']['a trial of everything']);
  const { stringData } = ofKind(objects, 'Secret').find(({ metadata }) => metadata.name === 'hello-redis');
  const port = await freePort();
  const config = stringData['redis.conf'].replace('dir /data', `dir ${folder}`).replace('port 6379', `port ${port}`);
  writeFileSync(join(folder, 'redis.conf'), config);
  const redis = spawn(tool('redis-server'), [join(folder, 'redis.conf')], { stdio: 'ignore' });
  try {
    await eventually('Redis answers', () => ask(port, 'PING\r\n').catch(() => false));
    assert.match(await ask(port, 'PING\r\n'), /NOAUTH/);
    assert.match(await ask(port, `AUTH ${new URL(stringData.uri).password}\r\n`), /\+OK/);
  } finally {
    redis.kill('SIGKILL');
    await once(redis, 'exit');
  }
});

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

async function ask(port, words) {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    socket.write(words);
    const [answer] = await once(socket, 'data');
    return answer.toString();
  } finally {
    socket.destroy();
  }
}
