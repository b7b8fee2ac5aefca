// What breaks while notices come: no notice is lost and none is handed over twice, whichever transport carries them.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { eventually, scenarios } from './harness.mjs';

const TRANSPORTS = ['websocket', 'sse', 'longpoll'];
/** Pings often, so that what is dead is found within seconds. */
const LIVELY = { NOTICE_DELIVERY_PING_SECONDS: '5', NOTICE_DELIVERY_PONG_TIMEOUT_SECONDS: '5' };

/** Stages numbered notices until it is stopped, also while the server does not answer. */
class Stager {
  staged = [];
  #stopped = false;
  #running;

  constructor(server, receiverId) {
    this.#running = this.#run(server, receiverId);
  }

  async #run(server, receiverId) {
    for (let number = 1; !this.#stopped; number += 1) {
      const message = `notice ${number}`;
      const idempotencyKey = message;
      await eventually(`"${message}" is staged`, () => server.stage({ receiverId, message, idempotencyKey }), 60_000);
      this.staged.push(message);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** All that were staged. */
  async stop() {
    this.#stopped = true;
    await this.#running;
    return this.staged;
  }

  /** Until so many more are staged. */
  more(count) {
    const goal = this.staged.length + count;
    return eventually(`${goal} are staged`, () => this.staged.length >= goal);
  }
}

/** A program that is online, and a stager for it. `breaks` is done in between; then everything must be there, once. */
async function through(world, options, breaks) {
  const program = await world.program('bob', options);
  await eventually('bob is online', async () => (await program.state()).state !== 'offline');
  const stager = new Stager(world.server, 'bob');
  await stager.more(5);
  await breaks(program, stager);
  await stager.more(5);
  await program.has(await stager.stop());
  const token = await world.server.token('bob');
  await eventually('all is acknowledged', async () => (await world.server.unread(token)).length === 0);
  return program;
}

scenarios('nothing is lost and nothing comes twice', (scenario) => {
  for (const transport of TRANSPORTS) {
    const transports = [transport];

    scenario(`when the server is killed and started again, over ${transport}`, (world) =>
      through(world, { transports }, async (program) => {
        await world.server.kill();
        await program.is('offline', transport);
        await world.server.run();
        await program.is('online', transport);
      }));

    scenario(`when the network is away for half a minute, over ${transport}`, async (world) => {
      const proxy = await world.proxy();
      await through(world, { transports, proxy }, async (program) => {
        const since = Date.now();
        proxy.cut();
        if (transport === 'websocket') await program.is('offline', transport); // it finds out by itself
        await eventually('half a minute is over', () => Date.now() - since > 30_000, 40_000);
        proxy.mend();
        await program.networkIsBack();
        await program.is('online', transport, 60_000);
      });
    }, LIVELY);

    scenario(`when its token ends, over ${transport}`, async (world) => {
      const program = await through(world, { transports, ttlSeconds: 3 }, (bob) =>
        eventually('two more tokens were asked for', () => bob.asked.length >= 3));
      assert.equal(program.asked[0], 'start');
    });

    scenario(`when the node drains and comes back, over ${transport}`, (world) =>
      through(world, { transports }, async (program) => {
        await world.server.drain(1);
        await program.is('offline', transport);
        await world.server.undrain();
        await program.is('online', transport);
      }));
  }

  scenario('when what is sent meets a dead server', async (world) => {
    const bob = await world.program('bob');
    const alice = await world.program('alice');
    await alice.is('online', 'websocket');
    await world.server.kill();
    const sent = Promise.all([1, 2, 3].map((number) => alice.send({ receiverId: 'bob', message: `sent ${number}` })));
    await world.server.run();
    assert.deepEqual((await sent).map(({ duplicate }) => duplicate), [false, false, false]);
    await bob.has(['sent 1', 'sent 2', 'sent 3']);
  });
});

scenarios('what is in the way', (scenario) => {
  scenario('where no WebSocket comes through, an event stream carries the notices, and the WebSocket does once it can', async (world) => {
    const proxy = await world.proxy('noUpgrade');
    await world.server.stage({ receiverId: 'bob', message: 'notice 0' });
    const program = await world.program('bob', { proxy });
    const stager = new Stager(world.server, 'bob');
    await program.is('degraded', 'sse');
    await stager.more(5);
    proxy.mend();
    await program.networkIsBack();
    await program.is('online', 'websocket');
    await stager.more(5);
    await program.has(['notice 0', ...await stager.stop()]);
    const states = (await program.states()).map(({ state }) => state);
    assert.equal(states.lastIndexOf('offline') < states.indexOf('degraded'), true, `not offline on the way up: ${states}`);
  });

  scenario('where answers are kept back as well, long polls carry the notices', async (world) => {
    const proxy = await world.proxy('buffering');
    const program = await world.program('bob', { proxy });
    const stager = new Stager(world.server, 'bob');
    await program.is('degraded', 'longpoll');
    await stager.more(5);
    await program.has(await stager.stop());
  });

  scenario('where a WebSocket opens and nothing comes, an event stream carries the notices', async (world) => {
    const proxy = await world.proxy('deafAfterUpgrade');
    const program = await world.program('bob', { proxy });
    const stager = new Stager(world.server, 'bob');
    await program.is('degraded', 'sse');
    await stager.more(5);
    await program.has(await stager.stop());
    assert.ok(proxy.upgrades > 0);
  });

  scenario("the README's page receives", async (world) => {
    const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
    const [, html] = /```html\n(.*?)```/s.exec(readme);
    const file = join(world.server.folder, 'receive.html');
    await writeFile(file, html.replaceAll('127.0.0.1:8080', world.server.host));
    await world.server.stage({ receiverId: 'bob', message: 'Your driver accepted.' });
    const { page } = await world.window('readme', `${pathToFileURL(file)}#${await world.server.token('bob')}`);
    await page.locator('#history li', { hasText: 'Your driver accepted.' }).waitFor();
    assert.equal(await page.locator('#state').textContent(), 'online');
  });

  scenario('a page of another origin imports the client, receives and sends', async (world) => {
    const site = createServer((_, response) => {
      response.setHeader('Content-Type', 'text/html');
      response.end('<!doctype html><title>elsewhere</title>');
    }).listen(0, '127.0.0.1');
    await once(site, 'listening');
    try {
      await world.server.stage({ receiverId: 'bob', message: 'hello' });
      const { page } = await world.window('elsewhere', `http://127.0.0.1:${site.address().port}/`);
      const received = await page.evaluate(async ([address, token]) => {
        const { connect } = await import(`${address}client.js`);
        return new Promise((resolve) => {
          const client = connect({ token, onNotice: async ({ message }) => {
            const { id } = await client.send({ receiverId: 'alice', message: `re: ${message}` });
            resolve([message, typeof id, client.state.account]);
          } });
        });
      }, [world.server.page, await world.server.token('bob')]);
      assert.deepEqual(received, ['hello', 'string', 'bob']);
      assert.deepEqual(await world.server.unread(await world.server.token('alice')), ['re: hello']);
    } finally {
      site.closeAllConnections();
      site.close();
    }
  });

  scenario('a notice is acknowledged when the handler is done, and not before', async (world) => {
    const token = await world.server.token('bob');
    const { page } = await world.window('bob', world.server.page);
    await page.evaluate(async (key) => {
      const { connect } = await import(new URL('client.js', location.href).href);
      connect({ token: key, onNotice: () => new Promise((resolve) => { window.done = resolve; }) });
    }, token);
    await world.server.stage({ receiverId: 'bob', message: 'hello' });
    await eventually('the handler has it', () => page.evaluate(() => Boolean(window.done)));
    assert.deepEqual(await world.server.unread(token), ['hello']);
    await page.evaluate(() => window.done());
    await eventually('it is read', async () => (await world.server.unread(token)).length === 0);
  });
});
