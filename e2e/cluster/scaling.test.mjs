// Crowds that come and go, under a service that goes on staging: pods come before the cap is hit, sessions are spread over
// them, and whoever is on a pod that goes is moved first. Both ways of deciding; what Prometheus saw of it is drawn
// (scaling-*.png among the screenshots).

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { SHOTS, launchBrowser } from '../browser/harness.mjs';
import { eventually, settings } from './cluster.mjs';
import { page } from './drawing.mjs';
import { Notice, installOperator, isReady } from './notice.mjs';
import { queryRange } from './prometheus.mjs';
import { Traffic } from './traffic.mjs';

const ROUNDS = Number(process.env.NOTICE_CLUSTER_SCALING_ROUNDS || 2);
const MODES = ['Operator', 'HorizontalPodAutoscaler'];
/** Those who stay, and those who come within a minute besides: three times as many. */
const STEADY = 80;
const CROWD = 160;
const TARGET = 50;
const PODS = { min: 2, max: 6, crowded: Math.ceil((STEADY + CROWD) / TARGET) };
const CONNECTS_PER_SECOND = 50;
/** One pod in the time of a drain, three to go, and a reading and a look before each. */
const SHRINKS_WITHIN_MS = 600_000;

const spec = (mode) => ({
  autoscaling: {
    minReplicas: PODS.min, maxReplicas: PODS.max, targetSessionsPerPod: TARGET, mode,
    scaleUp: { stabilizationSeconds: 0 }, scaleDown: { stabilizationSeconds: 15 },
  },
  capacity: { maxSessionsPerPod: 100, connectRatePerSecond: CONNECTS_PER_SECOND },
  rollout: { minReadySeconds: 0 },
  drain: { windowSeconds: 10 },
});

let notice;
after(() => notice?.remove());

for (const mode of MODES) {
  test(`${ROUNDS} times a crowd comes and goes, and nobody notices: ${mode}`, { timeout: 3_600_000 }, async () => {
    await installOperator('--set', `metricsApi.enabled=${mode === 'HorizontalPodAutoscaler'}`);
    // Who decides the size leaves `replicas` out.
    notice = await Notice.install({ replicas: undefined, ...spec(mode) });
    await notice.hasReadyPods(PODS.min);
    const start = Date.now() / 1000;
    const traffic = await Traffic.start({ api: notice.api, site: notice.site, clients: STEADY, perSecond: 20 });
    const rounds = [];
    let report;
    try {
      for (let round = 0; round < ROUNDS; round += 1) rounds.push(await crowd(traffic));
      await traffic.isOnline();
      report = await traffic.end();
    } finally {
      traffic.close();
      if (settings.prometheus) await draw(mode, start);
    }
    console.log(`${mode}: ${JSON.stringify({ ...report, rounds }, (_, value) => Array.isArray(value) ? value.slice(0, 20) : value)}`);
    judge(report, rounds);
    await notice.remove();
    notice = null;
  });
}

/** One crowd; how long each step took, and whom it moved. */
async function crowd(traffic) {
  const begun = Date.now();
  await traffic.crowd(CROWD, 60_000);
  await eventually('the pods that it takes are ready', async () => (await notice.pods()).filter(isReady).length >= PODS.crowded, 300_000);
  const grown = Date.now();
  await eventually('the fullest pod has at most a quarter more than the mean', async () => skew(traffic, (await notice.pods()).filter(isReady)) <= 1.25, 300_000);
  const balanced = Date.now();
  const coming = moved(traffic, begun);
  await traffic.crowd(0);
  const gone = Date.now();
  await notice.hasReadyPods(PODS.min, SHRINKS_WITHIN_MS);
  await traffic.isOnline();
  const seconds = (from, to) => Math.round((to - from) / 1000);
  return {
    pods: PODS.crowded, grownAfter: seconds(begun, grown), balancedAfter: seconds(grown, balanced), shrunkAfter: seconds(gone, Date.now()),
    coming, going: moved(traffic, gone), fastest: fastest(traffic, begun),
  };
}

/** The fullest pod beside the mean of all, empty ones included. */
function skew(traffic, pods) {
  const sessions = Object.values(traffic.nodes());
  return Math.max(...sessions) * pods.length / sessions.reduce((all, count) => all + count, 0);
}

const asked = (traffic, since) => traffic.everybody.flatMap((client) => client.asked).filter(({ at }) => at >= since);

/** Moves since then of those who are still there, by reason, for each client. */
function moved(traffic, since) {
  const clients = traffic.everybody.length;
  const reasons = group(asked(traffic, since));
  return Object.fromEntries(Object.entries(reasons).map(([reason, moves]) => [reason, Number((moves.length / clients).toFixed(2))]));
}

function group(moves) {
  const groups = {};
  for (const move of moves) (groups[move.reason] ??= []).push(move);
  return groups;
}

/** The most clients that were asked to move within one second. */
function fastest(traffic, since) {
  const times = asked(traffic, since).map(({ at }) => at).toSorted((a, b) => a - b);
  return Math.max(0, ...times.map((at, first) => times.findLastIndex((other) => other < at + 1000) - first + 1));
}

function judge({ lost, doubled, repeated, misdirected, unconfirmed, closes, silences }, rounds) {
  assert.deepEqual({ lost, doubled, repeated, misdirected, unconfirmed }, { lost: [], doubled: [], repeated: [], misdirected: [], unconfirmed: 0 });
  assert.equal(closes[1006] ?? 0, 0, `abrupt closes: ${JSON.stringify(closes)}`);
  assert.equal(silences, 0);
  for (const { going, fastest: most } of rounds) {
    // Of those who stayed each was on a pod that went once at most: all that go are emptied together.
    assert.ok((going.drain ?? 0) <= 1, JSON.stringify(going));
    assert.ok(most <= CONNECTS_PER_SECOND * PODS.crowded, `${most} moves in a second`);
  }
}

/** The timeline: sessions by pod, replicas, moves, lag. */
async function draw(mode, start) {
  const of = `namespace="${notice.namespace}"`;
  const panels = [
    { title: 'Sessions by pod', query: `sum by (pod) (notice_online_sessions{${of}})`, label: 'pod', unit: 'short' },
    { title: 'Sessions', query: `sum(notice_online_sessions{${of}})`, unit: 'short' },
    { title: 'Pods that are up', query: `count(notice_build_info{${of}})`, unit: 'short' },
    { title: 'Sessions opened', query: `sum(rate(notice_sessions_opened_total{${of}}[15s])) or vector(0)`, unit: 'ops', label: 'opened' },
    { title: 'Asked to move, by reason', query: `sum by (reason) (rate(notice_moves_asked_total{${of}}[15s]))`, label: 'reason', unit: 'ops' },
    { title: 'Push lag p99', query: `histogram_quantile(0.99, sum by (le) (rate(notice_push_lag_seconds_bucket{${of},path="live"}[30s])))`, unit: 's' },
  ];
  const end = Date.now() / 1000;
  const charts = [];
  for (const { title, query, label, unit } of panels) {
    const series = await queryRange(query, { start, end, step: 5 });
    charts.push({ title, unit, series: series.map(({ metric, points }) => ({ label: metric[label] ?? label ?? '', points })) });
  }
  mkdirSync(SHOTS, { recursive: true });
  const html = page(`A crowd comes and goes (mode ${mode})`, charts, { columns: 2 });
  writeFileSync(join(SHOTS, `scaling-${mode}.html`), html);
  const browser = await launchBrowser();
  try {
    const window = await browser.newPage({ viewport: { width: 920, height: 760 } });
    await window.setContent(html);
    await window.screenshot({ path: join(SHOTS, `scaling-${mode}.png`), fullPage: true });
  } finally {
    await browser.close();
  }
}
