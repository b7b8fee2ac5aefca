// What happens to a cluster in its life, each with live sockets through the ingress and a service that
// goes on staging: nothing is lost, nothing comes twice in effect, and what is no accident closes no
// socket abruptly.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { apply, eventually, get, isLab, kubectl, lab, settings } from './cluster.mjs';
import { Notice, OPERATOR, installOperator } from './notice.mjs';
import { Traffic } from './traffic.mjs';

/** A socket that ended without a word. */
const ABRUPT = 1006;

let notice;
before(async () => {
  await installOperator();
  notice = await Notice.install();
});
after(async () => {
  await notice?.remove();
});

/** Runs `happens` under traffic, and judges; returns the report for what the case wants besides. */
async function underTraffic(name, happens) {
  await notice.hasReadyPods(notice.spec.replicas);
  // What came before has settled in the network, too.
  await eventually('every pod answers', () => notice.everyPodSays(notice.key, 200));
  const traffic = await Traffic.start({ api: notice.api, site: notice.site });
  let report;
  try {
    await happens(traffic);
    await traffic.isOnline();
    report = await traffic.end();
  } finally {
    traffic.close();
  }
  // A long list says no more than its beginning.
  console.log(`${name}: ${JSON.stringify(report, (_, value) => Array.isArray(value) ? value.slice(0, 20) : value)}`);
  const { lost, doubled, repeated, misdirected, unconfirmed } = report;
  assert.deepEqual({ lost, doubled, repeated, misdirected, unconfirmed },
    { lost: [], doubled: [], repeated: [], misdirected: [], unconfirmed: 0 });
  return report;
}

/** What is done in order ends no socket abruptly, and moves a client twice at most, on average. */
function isGentle({ closes, silences, moves, clients }, movesEach = 2) {
  assert.equal(closes[ABRUPT] ?? 0, 0, `abrupt closes: ${JSON.stringify(closes)}`);
  assert.equal(silences, 0);
  assert.ok(moves <= movesEach * clients, `${moves} moves of ${clients} clients`);
}

function life(name, options, happens) {
  test(name, { timeout: 600_000, ...options }, () => happens(name));
}
const inLab = { skip: isLab ? false : 'breaks a node or a container: only in the cluster of scripts/cluster' };

/** To the image of the other version, whichever runs now; without one, something else that rolls the pods. */
let images = [settings.nextServer, ''];
async function roll() {
  const before = await notice.pods();
  const [next, now] = images;
  images = [now, next];
  await notice.upgrade(settings.nextServer
    ? { image: next || undefined }
    : { podTemplate: { annotations: { 'e2e/rolled': new Date().toISOString() } } });
  return before;
}

life('a rolling update of the image moves everybody and loses nothing', { skip: !settings.nextServer && 'no other image is named' }, async (name) => {
  isGentle(await underTraffic(name, async () => notice.isRolledOut(await roll())));
});

life('with a surge of 100 % each client moves once', {}, async (name) => {
  await notice.upgrade({ rollout: { maxSurge: '100%', minReadySeconds: 5 } });
  await notice.isReady();
  isGentle(await underTraffic(name, async () => notice.isRolledOut(await roll())), 1);
  await notice.upgrade({ rollout: { maxSurge: 1, minReadySeconds: 5 } });
  await notice.isReady();
});

life('a change of the configuration is rolled out', {}, async (name) => {
  isGentle(await underTraffic(name, async () => {
    const before = await notice.pods();
    await notice.upgrade({ delivery: { pingSeconds: 20 } });
    await notice.isRolledOut(before);
  }));
});

life('a new API key is taken without a restart, and the old one ends', {}, async (name) => {
  const names = (pods) => pods.map((pod) => pod.metadata.name).toSorted();
  const before = await notice.pods();
  const old = notice.key;
  isGentle(await underTraffic(name, async () => {
    const fresh = await notice.addKey();
    await eventually('every pod takes the new key', () => notice.everyPodSays(fresh, 200), 180_000);
    notice.useKey(fresh);
    await notice.dropOtherKeys();
    await eventually('every pod refuses the old key', () => notice.everyPodSays(old, 401), 180_000);
  }), 0);
  assert.deepEqual(names(await notice.pods()), names(before), 'no pod was replaced');
});

life('another address of Redis in its Secret rolls the pods', {}, async (name) => {
  isGentle(await underTraffic(name, async () => {
    const before = await notice.pods();
    // Another text, the same database: what counts is that the value changed.
    await apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'redis', namespace: notice.namespace },
      stringData: { uri: settings.redis.replace(/\/?$/, '/0') } });
    await notice.isRolledOut(before);
  }));
});

life('a deleted pod moves its clients first', {}, async (name) => {
  isGentle(await underTraffic(name, async () => {
    const [pod] = await notice.pods();
    await notice.kubectl('delete', 'pod', pod.metadata.name);
    await notice.hasReadyPods(2);
  }));
});

life('a node that is drained moves its clients first', {}, async (name) => {
  const [pod] = await notice.pods();
  const node = pod.spec.nodeName;
  try {
    isGentle(await underTraffic(name, async () => {
      await kubectl('drain', node, '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=300s',
        '--pod-selector', `app.kubernetes.io/instance=${notice.name}`);
      await notice.hasReadyPods(2);
      for (const { spec } of await notice.pods()) assert.notEqual(spec.nodeName, node);
    }));
  } finally {
    await kubectl('uncordon', node);
  }
});

life('a container that is out of memory is killed, and nothing is lost', inLab, async (name) => {
  await underTraffic(name, async () => {
    const [pod] = await notice.pods();
    await outOfMemory(pod);
    await eventually('the kubelet says so', async () => {
      const { status } = await notice.get('pod', pod.metadata.name);
      return status.containerStatuses[0].lastState.terminated?.reason === 'OOMKilled';
    });
    await notice.hasReadyPods(2);
  });
});

/** Fills the container's memory group from within, until the kernel ends what costs it most: the server. */
async function outOfMemory(pod) {
  const node = pod.spec.nodeName.replace('node-', '');
  const uid = pod.metadata.uid;
  const id = pod.status.containerStatuses[0].containerID.replace('containerd://', '');
  await lab('enter', node, 'sh', '-euc', `
    group=$(find /sys/fs/cgroup -path '*pod${uid}/${id}' -type d | grep -E 'memory|^/sys/fs/cgroup/notice' | head -n 1)
    echo $$ >"$group/cgroup.procs"
    # From a pipe, since of a file it would read only the end.
    head -c 4G /dev/zero | tail -c 4G >/dev/null 2>&1`).catch(() => {});
}

life('a node that is lost at once loses nothing', inLab, async (name) => {
  await notice.upgrade({ replicas: 3 });
  await notice.hasReadyPods(3);
  const lost = '2';
  try {
    await underTraffic(name, async (traffic) => {
      await lab('kill-node', lost);
      await eventually('the node is missed', async () => {
        const { status } = await get('node', `node-${lost}`);
        return status.conditions.some(({ type, status: is }) => type === 'Ready' && is !== 'True');
      }, 120_000);
      await traffic.isOnline();
    });
  } finally {
    await lab('restart-node', lost);
  }
  await notice.upgrade({ replicas: 2 });
  await notice.hasReadyPods(2);
});

async function leader() {
  const { spec } = await get('-n', OPERATOR.namespace, 'lease', 'notice-operator');
  return spec.holderIdentity;
}

life('an operator that is killed in the middle of a rollout leaves no half of it', {}, async (name) => {
  isGentle(await underTraffic(name, async () => {
    const before = await roll();
    const acting = await leader();
    const { items } = await get('-n', OPERATOR.namespace, 'pods', '-l', 'app.kubernetes.io/name=notice-operator');
    const pod = items.find(({ metadata }) => acting.includes(metadata.name)) ?? items[0];
    await kubectl('-n', OPERATOR.namespace, 'delete', 'pod', pod.metadata.name, '--grace-period=0', '--force');
    await eventually('another one acts', async () => await leader() !== acting, 30_000);
    await notice.isRolledOut(before);
  }));
});

life('an operator that is upgraded disturbs nobody', { skip: !settings.nextOperator && 'no other image is named' }, async (name) => {
  const [repository, tag] = settings.nextOperator.split(/:(?=[^:/]+$)/);
  // Named: without an image the servers are those of the operator's release, and would be updated with it.
  const { spec } = await notice.get('deployment', notice.name);
  await notice.upgrade({ image: spec.template.spec.containers[0].image });
  await notice.isReady();
  const before = await notice.pods();
  isGentle(await underTraffic(name, async () => {
    await installOperator('--set', `image.repository=${repository}`, '--set', `image.tag=${tag}`);
    // The new one acts: what a person changes by hand comes back.
    await notice.kubectl('scale', 'deployment', notice.name, '--replicas=3');
    await notice.hasReadyPods(2);
  }));
  const names = (pods) => pods.map((pod) => pod.metadata.uid).toSorted();
  assert.deepEqual(names(await notice.pods()), names(before), 'the upgrade replaced no pod');
  await installOperator();
});
