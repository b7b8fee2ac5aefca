// The charts as Helm 3 and Helm 4 render them, with no cluster: what the schema refuses, which
// objects come of which values, and that what is generated is up to date.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { generated, leftOver } from './generate.mjs';
import {
  chart, eachRendering, helms, objectsOf, ofKind, podsOf, read, refusal, render, run, title, tool, valueSets,
} from './harness.mjs';

test('what is generated from /crds is up to date (else: npm --prefix e2e/charts run generate)', () => {
  for (const [path, text] of generated()) {
    assert.ok(existsSync(path), `${path} is missing`);
    assert.ok(readFileSync(path, 'utf8') === text, `${path} is not what its original makes of it`);
  }
  assert.deepEqual(leftOver(), [], 'without an original');
});

for (const helm of helms) {
  for (const [name, sets] of Object.entries(valueSets)) {
    test(`${helm} finds nothing to complain about in ${name}`, () => {
      for (const [set, values] of Object.entries(sets)) {
        const { status, said } = run(tool(helm), ['lint', '--strict', chart(name), '--values', '-'], {
          input: JSON.stringify(values),
        });
        assert.equal(status, 0, `${set}: ${said}`);
        assert.doesNotMatch(said, /\[(WARNING|ERROR)\]/, set);
      }
    });
  }

  const unknown = [
    ['notice-operator', 'replicaCount', { replicaCount: 2 }],
    ['notice-operator', 'name', { image: { name: 'x' } }],
    ['notice-operator', 'keep', { crds: { keep: true } }],
    ['notice-operator', 'period', { monitoring: { serviceMonitor: { period: '15s' } } }],
    ['notice-operator', 'clusterWide', { rbac: { clusterWide: true } }],
    ['notice-cluster', 'replicas', { replicas: 2 }],
    ['notice-cluster', 'mongodb', { trial: { mongodb: { enabled: true } } }],
    ['notice-cluster', 'replica', { spec: { replica: 2 } }],
    ['notice-cluster', 'hostname', { spec: { ingress: { hostname: 'im.example.com' } } }],
    ['notice-cluster', 'name', { trial: { redis: { image: { name: 'x' } } } }],
  ];
  test(`${helm} refuses unknown keys at every depth`, () => {
    for (const [name, key, values] of unknown) {
      assert.match(refusal(helm, name, values), new RegExp(`additional properties '${key}' not allowed`));
    }
  });

  test(`${helm} refuses values of the wrong kind or outside of what can work`, () => {
    const wrong = [
      ['notice-operator', { replicas: -1 }, /replicas/],
      ['notice-operator', { replicas: '2' }, /replicas/],
      ['notice-operator', { secretAccess: 'all' }, /secretAccess/],
      ['notice-operator', { image: { digest: 'latest' } }, /digest/],
      ['notice-operator', { watchNamespaces: ['Not_A_Name'] }, /watchNamespaces/],
      ['notice-cluster', { spec: { replicas: 'two' } }, /replicas/],
      ['notice-cluster', { nameOverride: '1abc' }, /nameOverride/],
    ];
    for (const [name, values, about] of wrong) assert.match(refusal(helm, name, values), about);
  });

  test(`${helm} refuses contradictions and says what to change`, () => {
    assert.match(refusal(helm, 'notice-operator', { secretAccess: 'namespaces' }), /list the namespaces, or use "byName"/);
    assert.match(
      refusal(helm, 'notice-operator', { serviceAccount: { create: false } }),
      /set serviceAccount.name to the account that is there/,
    );
    const both = { spec: { redis: { uriSecretRef: { name: 'r', key: 'uri' } } }, trial: { redis: { enabled: true } } };
    assert.match(refusal(helm, 'notice-cluster', both), /spec.redis and trial.redis.enabled are both set/);
    const keys = {
      spec: { auth: { apiKeysSecretRef: { name: 'k', key: 'keys' } } }, trial: { apiKeys: { enabled: true } },
    };
    assert.match(refusal(helm, 'notice-cluster', keys), /both set: remove one/);
  });
}

test('Helm 3 and Helm 4 make the same objects', () => {
  const masked = (objects) => JSON.parse(JSON.stringify(objects).replaceAll(/[A-Za-z0-9]{40}/g, 'PASSWORD'));
  for (const [name, sets] of Object.entries(valueSets)) {
    for (const [set, values] of Object.entries(sets)) {
      const [first, second] = helms.map((helm) => masked(render(helm, name, values)));
      assert.deepEqual(second, first, `${name}, ${set}`);
      assert.ok(first.length > 0);
    }
  }
});

test('no object is made twice, and each of a namespace says which', () => {
  const cluster = new Set(['ClusterRole', 'ClusterRoleBinding', 'CustomResourceDefinition']);
  eachRendering((_, what, __, objects) => {
    const titles = objects.map(title);
    assert.equal(new Set(titles).size, titles.length, what);
    for (const { kind, metadata } of objects) assert.equal(!metadata.namespace, cluster.has(kind), `${what}: ${kind}`);
  });
});

test('commonLabels are on every object, and never change a selector or a label of the chart', () => {
  eachRendering((name, what, values, objects) => {
    for (const object of objects) {
      assert.equal(object.metadata.labels?.team, values.commonLabels?.team, `${what}: ${title(object)}`);
    }
    for (const { spec, metadata } of [...ofKind(objects, 'Deployment'), ...ofKind(objects, 'PodDisruptionBudget')]) {
      assert.deepEqual(Object.keys(spec.selector.matchLabels).filter((key) => !key.startsWith('app.kubernetes.io/')), []);
      assert.notEqual(metadata.labels['app.kubernetes.io/name'], 'never-wins');
    }
  });
});

test('what a Service, a budget or a policy selects is the pods of the same chart', () => {
  const fits = (selector, labels) => Object.entries(selector).every(([key, value]) => labels[key] === value);
  eachRendering((name, what, _, objects) => {
    const pods = podsOf(objects).filter(([pod]) => !pod.startsWith('Pod '));
    const selectors = [
      ...ofKind(objects, 'Service').map(({ spec }) => spec.selector),
      ...ofKind(objects, 'PodDisruptionBudget').map(({ spec }) => spec.selector.matchLabels),
      ...ofKind(objects, 'NetworkPolicy').map(({ spec }) => spec.podSelector.matchLabels),
    ];
    for (const selector of selectors) {
      assert.ok(pods.some(([, , labels]) => fits(selector, labels)), `${what}: ${JSON.stringify(selector)}`);
    }
  });
});

const resourceRules = (objects) => [...ofKind(objects, 'ClusterRole'), ...ofKind(objects, 'Role')]
  .flatMap((role) => role.rules.map((rule) => ({ role, ...rule })));

test('no rule of any value set has a star, and none reaches more than the operator does', () => {
  const never = /^(pods\/(exec|attach|portforward|eviction|ephemeralcontainers)|roles|clusterroles|rolebindings|nodes.*)$/;
  eachRendering((_, what, __, objects) => {
    for (const { role, apiGroups, resources, verbs } of resourceRules(objects)) {
      const words = [...apiGroups, ...resources, ...verbs];
      assert.deepEqual(words.filter((word) => word.includes('*') || never.test(word)), [], `${what}: ${title(role)}`);
      assert.deepEqual(verbs.filter((verb) => ['escalate', 'bind', 'impersonate'].includes(verb)), []);
    }
  });
});

test('Secrets are readable by name only, unless the values ask for more', () => {
  eachRendering((name, what, values, objects) => {
    for (const { role, resources, resourceNames, verbs } of resourceRules(objects)) {
      if (!resources.includes('secrets')) continue;
      const named = resourceNames?.length > 0 || verbs.join() === 'create';
      const where = role.kind === 'ClusterRole' ? 'cluster' : 'namespaces';
      assert.ok(named || values.secretAccess === where, `${what}: ${title(role)}`);
    }
  });
});

test('with watchNamespaces the ClusterRole holds only what has no namespace', () => {
  const objects = render('helm', 'notice-operator', valueSets['notice-operator']['two namespaces']);
  const role = ofKind(objects, 'ClusterRole').find(({ metadata }) => metadata.name === 'notice-operator');
  assert.deepEqual(role.rules.flatMap(({ resources }) => resources), ['ingressclasses', 'customresourcedefinitions']);
  const roles = ofKind(objects, 'Role').map(title).sort();
  assert.deepEqual(roles, [
    'Role meals/notice-operator', 'Role notice-system/notice-operator-self', 'Role rides/notice-operator',
  ]);
  const all = render('helm', 'notice-operator', {});
  const wide = ofKind(all, 'ClusterRole').find(({ metadata }) => metadata.name === 'notice-operator').rules;
  const inOne = ofKind(objects, 'Role').find(({ metadata }) => metadata.namespace === 'rides').rules;
  assert.deepEqual(wide.slice(2), inOne, 'the same rules, elsewhere');
});

test('a budget is made for two replicas or more: with one it would only block nodes', () => {
  const budgets = (values) => ofKind(render('helm', 'notice-operator', values), 'PodDisruptionBudget');
  assert.equal(budgets({ replicas: 1 }).length, 0);
  assert.equal(budgets({ replicas: 2 })[0].spec.maxUnavailable, 1);
  assert.equal(budgets({ podDisruptionBudget: { maxUnavailable: '50%' } })[0].spec.maxUnavailable, '50%');
});

test('images come from where the values say, a digest before a tag', () => {
  const image = (values) => podsOf(render('helm', 'notice-operator', values))
    .map(([, spec]) => spec.containers[0].image);
  const server = (values) => ofKind(render('helm', 'notice-operator', values), 'Deployment')[0]
    .spec.template.spec.containers[0].env.find(({ name }) => name === 'NOTICE_SERVER_IMAGE').value;
  const digest = `sha256:${'b'.repeat(64)}`;
  assert.deepEqual(image({}), ['notice-operator:0.1.0', 'notice-operator:0.1.0']);
  assert.equal(image({ image: { registry: 'r.example/t', tag: 'x' } })[0], 'r.example/t/notice-operator:x');
  assert.equal(image({ image: { tag: 'x', digest } })[0], `notice-operator@${digest}`);
  assert.equal(server({ image: { registry: 'r.example', tag: 'x' } }), 'r.example/notice-server:x');
  assert.equal(server({ image: { digest }, serverImage: { tag: 'y' } }), 'notice-server:y');
});

test('the CRD is left out on request, and otherwise stays when the release goes', () => {
  assert.deepEqual(ofKind(render('helm', 'notice-operator', { crds: { install: false } }), 'CustomResourceDefinition'), []);
  const [crd] = ofKind(render('helm', 'notice-operator', {}), 'CustomResourceDefinition');
  assert.equal(crd.metadata.annotations['helm.sh/resource-policy'], 'keep');
  const [original] = objectsOf(read('crds/noticeclusters.yaml'));
  assert.deepEqual(crd.spec, original.spec, 'nothing but labels and annotations is added');
});

test('the Role of a NoticeCluster names the Secrets of its spec, and no others', () => {
  const names = (set) => ofKind(render('helm', 'notice-cluster', valueSets['notice-cluster'][set]), 'Role')
    .map(({ rules }) => rules[0].resourceNames)[0];
  assert.deepEqual(names('own services'), ['rides-jwt', 'rides-keys', 'rides-mongo', 'rides-redis']);
  assert.deepEqual(names('a trial of everything'), ['hello-api-keys', 'hello-mongo', 'hello-redis']);
  assert.equal(names('without a Role'), undefined);
});

describe('alerts and dashboard', () => {
  const objects = render('helm', 'notice-operator', valueSets['notice-operator'].everything);
  const [{ spec }] = ofKind(objects, 'PrometheusRule');
  const [{ data }] = ofKind(objects, 'ConfigMap');
  const dashboard = JSON.parse(data['notice-operator.json']);
  const queries = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));

  test('promtool takes the alerts, and the dashboard\'s queries as well', () => {
    const recorded = queries.map((expr, n) => ({
      record: `query:${n}`, expr: expr.replaceAll('$job', 'job'), labels: { n: `${n}` },
    }));
    const groups = [...spec.groups, { name: 'dashboard', rules: recorded }];
    const { status, said } = run(tool('promtool'), ['check', 'rules', '/dev/stdin'], {
      input: JSON.stringify({ groups }),
    });
    assert.equal(status, 0, said);
  });

  test('each alert says how bad it is, what happened, and has its place in the docs', () => {
    const docs = read('docs/KUBERNETES.md');
    for (const { alert, labels, annotations } of spec.groups.flatMap(({ rules }) => rules)) {
      assert.match(labels.severity, /^(critical|warning|info)$/);
      assert.ok(annotations.summary && annotations.description, alert);
      assert.ok(docs.includes(`\`${alert}\``), `${alert} is not in docs/KUBERNETES.md`);
    }
  });

  test('every metric that they ask for is one that the operator has', () => {
    const has = new Set(read('operator/src/metrics.rs').match(/notice_operator_[a-z_]+/g));
    const asked = [...queries, ...spec.groups.flatMap(({ rules }) => rules.map(({ expr }) => expr))]
      .flatMap((expr) => expr.match(/notice_operator_[a-z_]+/g) ?? []);
    assert.ok(asked.length > 10);
    assert.deepEqual(asked.filter((name) => !has.has(name.replace(/_bucket$/, ''))), []);
  });
});

describe('a password', () => {
  const objects = render('helm', 'notice-cluster', valueSets['notice-cluster']['a trial of everything']);
  const secret = ofKind(objects, 'Secret').find(({ metadata }) => metadata.name === 'hello-redis').stringData;

  test('is in the Secret alone: no command line, environment or ConfigMap shows it', () => {
    const rest = JSON.stringify(objects.filter(({ kind }) => kind !== 'Secret'));
    assert.ok(secret.password.length >= 32);
    assert.ok(!rest.includes(secret.password));
  });

  test('is the same one in the URI and in what Redis asks for', () => {
    assert.equal(new URL(secret.uri).password, secret.password);
    assert.match(secret['redis.conf'], new RegExp(`^requirepass ${secret.password}$`, 'm'));
  });

  test('differs from one release to the next', () => {
    const [other] = ofKind(render('helm', 'notice-cluster', { spec: {}, trial: { redis: { enabled: true } } }), 'Secret');
    assert.notEqual(other.stringData.password, secret.password);
  });
});
