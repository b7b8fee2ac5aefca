// Every query of the dashboards and of the alerts, asked of the real Prometheus after a while under load: each must have
// something to say. What it says is drawn, for a person to look at (panels-*.png among the screenshots).

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { parse } from 'yaml';
import { SHOTS, launchBrowser } from '../browser/harness.mjs';
import { Client } from './client.mjs';
import { eventually, settings } from './cluster.mjs';
import { page } from './drawing.mjs';
import { Notice, OPERATOR, installOperator } from './notice.mjs';
import { query, queryRange } from './prometheus.mjs';
import { Traffic } from './traffic.mjs';

const CHART = fileURLToPath(new URL('../../charts/notice-operator', import.meta.url));
const dashboards = ['notice-cluster', 'notice-operator'];
const skip = !settings.prometheus && 'NOTICE_CLUSTER_PROMETHEUS names no Prometheus';

/** Empty as long as all is well. */
const troubles = new Set(['Store: failures']);

const read = (path) => readFileSync(join(CHART, path), 'utf8');
let notice;
let start;
let end;

before(async () => {
  if (skip) return;
  await installOperator('--set', 'metricsApi.enabled=true');
  notice = await Notice.install();
  start = Date.now() / 1000;
  const traffic = await Traffic.start({ api: notice.api, site: notice.site });
  try {
    await happenings(traffic);
  } finally {
    traffic.close();
  }
  end = Date.now() / 1000;
});
after(() => notice?.remove());

/** What panels tell of only once it has happened: a refusal, somebody's return, a new key, a drain. */
async function happenings(traffic) {
  await assert.rejects(notice.api('notices', { receiverId: '', message: '' }), { status: 400 });
  await notice.api('notices', { receiverId: 'late', message: 'While you were away.' });
  const late = new Client(notice.site, 'late', await notice.token('late'), () => {});
  late.start();
  await eventually('who was away is back', () => late.isOnline);
  late.end();
  const fresh = await notice.addKey();
  await eventually('every pod takes the new key', () => notice.everyPodSays(fresh, 200), 180_000);
  const [pod] = await notice.pods();
  await notice.kubectl('annotate', 'pod', pod.metadata.name, 'noticecluster.dev/drain=true');
  await eventually('the pod is empty', () => !traffic.nodes()[pod.metadata.name], 180_000);
  await notice.kubectl('annotate', 'pod', pod.metadata.name, 'noticecluster.dev/drain-');
  await notice.hasReadyPods(2);
  await traffic.isOnline();
  // Rates need a while of scrapes behind them.
  await pause(30_000);
}

/** A dashboard's query, as Grafana asks it. */
function filled(text, dashboard) {
  const values = dashboard === 'notice-cluster'
    ? { namespace: notice.namespace, cluster: notice.name }
    : { namespace: OPERATOR.namespace, job: `${OPERATOR.release}-metrics`, cluster_namespace: '.*', cluster: '.*' };
  return text.replaceAll('$__rate_interval', '1m').replace(/\$(\w+)/g, (_, name) => values[name] ?? assert.fail(`no variable ${name}`));
}

function labelled(metric, format) {
  return (format ?? '').replace(/\{\{(\w+)\}\}/g, (_, name) => metric[name] ?? '');
}

async function panelData(panel, dashboard) {
  const series = [];
  for (const { expr, legendFormat } of panel.targets) {
    const found = await queryRange(filled(expr, dashboard), { start, end, step: 5 });
    series.push(...found.map(({ metric, points }) => ({ label: labelled(metric, legendFormat), points })));
  }
  return { title: panel.title, unit: panel.fieldConfig?.defaults?.unit, kind: panel.type, series };
}

for (const name of dashboards) {
  test(`each panel of the dashboard ${name} shows something`, { skip }, async () => {
    const dashboard = JSON.parse(read(`dashboards/${name}.json`));
    const charts = [];
    for (const panel of dashboard.panels.filter(({ type }) => type !== 'row')) charts.push(await panelData(panel, name));
    await draw(name, page(dashboard.title, charts));
    const empty = charts.filter(({ title, series }) => series.length === 0 && !troubles.has(title)).map(({ title }) => title);
    assert.deepEqual(empty, []);
  });
}

async function draw(name, html) {
  mkdirSync(SHOTS, { recursive: true });
  const browser = await launchBrowser();
  try {
    const window = await browser.newPage({ viewport: { width: 1360, height: 900 } });
    await window.setContent(html);
    await window.screenshot({ path: join(SHOTS, `panels-${name}.png`), fullPage: true });
  } finally {
    await browser.close();
  }
}

test('each series that an alert looks at is there', { skip }, async () => {
  const missing = [];
  for (const file of dashboards) {
    for (const { rules } of parse(read(`rules/${file}.yaml`)).groups) {
      for (const { alert, expr } of rules) {
        // Without their values: what an alert waits for has not happened.
        for (const [, series] of expr.matchAll(/\b((?:notice|process)_[a-z_]+)/g)) {
          if ((await query(`count(last_over_time(${series}[15m]))`)).length === 0) missing.push(`${alert}: ${series}`);
        }
      }
    }
  }
  assert.deepEqual(missing, []);
});

test('no alert on the cluster is raised while all is well', { skip }, async () => {
  const raised = [];
  for (const file of dashboards) {
    for (const { rules } of parse(read(`rules/${file}.yaml`)).groups) {
      for (const { alert, expr } of rules) {
        const found = (await query(expr)).filter(({ metric }) => !metric.namespace || [notice.namespace, OPERATOR.namespace].includes(metric.namespace));
        if (found.length > 0) raised.push(`${alert}: ${JSON.stringify(found)}`);
      }
    }
  }
  assert.deepEqual(raised, []);
});
