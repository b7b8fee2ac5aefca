// After the operator's own suite on a control plane: everything that its many operators asked for is granted by the
// chart, and everything that the chart grants was asked for by one of them.
//
// NOTICE_KUBERNETES_DIR names the folder of that control plane.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { auditLog, isGranted, rightOf, rightsOf, rightsUsed, rulesOfChart } from './rights.mjs';

// Granted and not asked for by that suite, each with its reason.
const unused = new Map(Object.entries({
  'noticecluster.dev/noticeclusters/finalizers update': 'asked by an admission plugin that guards owners',
  '/secrets update': 'an entry of its own Secret that somebody has removed',
  'autoscaling/horizontalpodautoscalers delete': 'operator.test.mjs turns it off',
  'gateway.networking.k8s.io/httproutes delete': 'operator.test.mjs turns it off',
}));
/** Kinds whose definitions that suite does not install; operator.test.mjs does. */
const elsewhere = /^monitoring\.coreos\.com\//;

// Every operator there impersonates a user of its own, who may do everything (`operator/tests/kubernetes/scene.rs`).
const asked = auditLog(process.env.NOTICE_KUBERNETES_DIR)
  .filter(({ impersonatedUser, objectRef }) => impersonatedUser?.username.startsWith('operator-of-') && objectRef);
const ofChart = rulesOfChart({ metricsApi: { enabled: true } });
// Secrets of clusters are read by the Role of each cluster's own chart.
const rules = [
  ...ofChart,
  { apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list', 'watch'] },
];

test('the suite asked for enough to be judged by', () => assert.ok(asked.length > 1000, `${asked.length} requests`));

test('nothing that the operators needed is missing in the chart', () => {
  const missing = asked.filter((event) => !isGranted(rules, event));
  assert.deepEqual([...new Set(missing.map((event) => `${rightOf(event)} ${event.objectRef.name ?? ''}`))], []);
});

test('nothing that the chart grants is of no use', () => {
  const used = rightsUsed(asked);
  const idle = rightsOf(ofChart).filter((right) => !used.has(right) && !unused.has(right) && !elsewhere.test(right));
  assert.deepEqual(idle, []);
});
