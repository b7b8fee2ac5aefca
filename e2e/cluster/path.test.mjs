// What a person does, from nothing to a chat through the ingress, and back.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Window, launchBrowser } from '../browser/harness.mjs';
import { eventually, get, helm, kubectl, settings } from './cluster.mjs';
import { Notice, OPERATOR, installOperator } from './notice.mjs';

let browser;
let notice;
before(async () => {
  await installOperator();
  notice = await Notice.install();
  // The host's name is known to nobody: browsers are told where it is.
  const { hostname, port } = new URL(settings.ingress);
  browser = await launchBrowser(`--host-resolver-rules=MAP *.notice.test ${hostname}${port && `:${port}`}`);
});
after(async () => {
  await browser?.close();
  await notice?.remove();
});

async function chatWindow(account, peer) {
  const context = await browser.newContext({ viewport: { width: 640, height: 800 } });
  const window = new Window(account, await context.newPage());
  const link = new URLSearchParams({ token: await notice.token(account), peer });
  await window.page.goto(`${notice.page}#${link}`);
  await window.isOnline();
  return window;
}

test('the operator passes its own test', async () => {
  await helm('test', OPERATOR.release, '--namespace', OPERATOR.namespace, '--timeout', '2m');
});

test('the cluster says in words and columns how it is', async () => {
  const line = await notice.kubectl('get', 'noticecluster', notice.name);
  assert.match(line, /READY\s+REPLICAS\s+SESSIONS\s+URL\s+AGE/);
  const { status } = await notice.get('noticecluster', notice.name);
  assert.equal(status.readyReplicas, 2);
  assert.equal(status.url, `http://${notice.host}/notice`);
});

test('two people chat through the ingress', async () => {
  const alice = await chatWindow('alice', 'bob');
  const bob = await chatWindow('bob', 'alice');
  await alice.write('Are you near the station?');
  await bob.shows('Are you near the station?');
  await bob.write('Two minutes away, grey car.');
  await alice.shows('Are you near the station?', 'Two minutes away, grey car.');
  assert.deepEqual([...alice.faults, ...bob.faults], []);
  await alice.close();
  await bob.close();
});

test('what a service stages through the Service shows in the window', async () => {
  const carol = await chatWindow('carol', 'dave');
  await notice.api('notices', { receiverId: 'carol', message: 'Your driver accepted.', type: 'ride.accepted' });
  await carol.shows('Your driver accepted.');
  await carol.close();
});

test('the ingress does not publish the service API', async () => {
  const { hostname, port } = new URL(settings.ingress);
  const { request } = await import('node:http');
  const status = await new Promise((resolve, reject) => {
    const call = request({ host: hostname, port: port || 80, path: '/notice/notices', method: 'POST',
      headers: { Host: notice.host, Authorization: `Bearer ${notice.key}` } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    call.on('error', reject).end('{}');
  });
  assert.equal(status, 404);
});

test('an upgrade of the chart changes the size', async () => {
  await notice.upgrade({ replicas: 3 });
  await notice.hasReadyPods(3);
  await notice.upgrade({ replicas: 2 });
  await notice.hasReadyPods(2);
});

test('uninstalling takes everything away that was made', async () => {
  await helm('uninstall', notice.name, '--namespace', notice.namespace, '--wait');
  await eventually('nothing of the cluster is left', async () => {
    const { items } = await get('-n', notice.namespace, 'deployments,services,ingresses,configmaps,serviceaccounts,poddisruptionbudgets,pods',
      '-l', `app.kubernetes.io/instance=${notice.name}`);
    return items.length === 0;
  }, 120_000);
  // The CRD stays, so that no NoticeCluster goes with the operator.
  await kubectl('get', 'crd', 'noticeclusters.noticecluster.dev');
});
