// The chat page in a real browser, against the real server: what two people at two windows see.
//
// Run with `npm ci && npm test` after `cargo build`; it needs Chromium. NOTICE_SERVER_BIN and
// CHROMIUM_BIN name other programs, SCREENSHOT_DIR keeps pictures of the tests that pass too.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { eventually, scenarios } from './harness.mjs';

/** The browser side of the source design, as it was: its own page, on another origin, token in the query. */
function sourceDesignPage(host, token) {
  return `<!doctype html><meta charset="utf-8"><title>chat</title>
<div id="history" style="height: 80px; overflow: auto"></div>
<script>
var h = ${JSON.stringify(host)}, token = ${JSON.stringify(token)};
var ws = new WebSocket('ws://'+h+'/notice/ws/socket?SESSION_TOKEN_KEY='+token);
ws.onmessage = function (event) {
  var msg = JSON.parse(event.data);
  var history = document.getElementById('history');
  var line = document.createElement('p');
  line.appendChild(document.createTextNode(msg.message));
  history.appendChild(line);
  history.scrollTop = history.scrollHeight;
};
</script>`;
}

scenarios('the chat page', (scenario) => {
  scenario('two people chat in two windows', async (world) => {
    const alice = await world.chatWindow('alice', 'bob');
    const bob = await world.chatWindow('bob', 'alice');

    await alice.write('Are you near the station?');
    await bob.shows('Are you near the station?');
    await bob.write('Two minutes away, grey car.');
    await alice.shows('Are you near the station?', 'Two minutes away, grey car.');

    await alice.hasSent('Are you near the station?');
    assert.equal(await bob.page.locator('#timeline .sender').first().textContent(), 'alice');
    assert.equal(await alice.page.locator('#self-name').textContent(), 'alice');
    assert.equal(new URL(alice.page.url()).hash, '', 'the token has left the address bar');
    assert.deepEqual([...alice.faults, ...bob.faults], []);
  });

  scenario('a reload shows the same conversation, each message once', async (world) => {
    const alice = await world.chatWindow('alice', 'bob');
    const bob = await world.chatWindow('bob', 'alice');
    await alice.write('one');
    await bob.shows('one');
    await bob.write('two');
    await alice.shows('one', 'two');

    await alice.page.reload();
    await alice.isOnline();
    await alice.shows('one', 'two');
    await alice.write('three');
    await bob.shows('one', 'two', 'three');
    await alice.shows('one', 'two', 'three');
  });

  scenario('after kill -9, what was staged while a window was closed arrives on return, and once', async (world) => {
    const { server } = world;
    const bobsToken = await server.token('bob');
    const alice = await world.chatWindow('alice', 'bob');
    const first = await world.chatWindow('bob', 'alice', bobsToken);
    await alice.write('before');
    await first.shows('before');
    await eventually('bob has read all', async () => (await server.unread(bobsToken)).length === 0);
    await first.close();

    await alice.write('while closed 1');
    await alice.hasSent('while closed 1');
    await alice.write('while closed 2');
    await alice.hasSent('while closed 2');
    await server.stage({ receiverId: 'bob', message: 'Your passenger is waiting.', type: 'ride.waiting' });
    await server.kill();
    await alice.write('while the server was dead');
    await server.run();
    await alice.isOnline();
    await alice.hasSent('while the server was dead');

    const all = ['before', 'while closed 1', 'while closed 2', 'Your passenger is waiting.', 'while the server was dead'];
    const bob = await world.chatWindow('bob', 'alice', bobsToken);
    await eventually('bob sees all five', async () => (await bob.texts()).length >= all.length);
    await eventually('bob has read all', async () => (await server.unread(bobsToken)).length === 0);
    await alice.write('after');
    await eventually('bob sees the last', async () => (await bob.texts()).includes('after'));

    assert.deepEqual((await bob.texts()).toSorted(), [...all, 'after'].toSorted());
    await alice.shows('before', 'while closed 1', 'while closed 2', 'while the server was dead', 'after');
  });

  scenario('a drain and its end double nothing and lose nothing', async (world) => {
    const { server } = world;
    const alice = await world.chatWindow('alice', 'bob');
    const bob = await world.chatWindow('bob', 'alice');
    await alice.write('before the drain');
    await bob.shows('before the drain');

    await server.drain(1);
    for (const person of [alice, bob]) {
      await eventually(`${person.name} was moved away`, async () => await person.state() !== 'online');
    }
    await alice.write('during the drain');
    await server.stage({ receiverId: 'bob', senderId: 'carol', message: 'from a service during the drain' });
    await server.undrain();
    await alice.isOnline();
    await bob.isOnline();
    await alice.hasSent('during the drain');
    await alice.write('after the drain');
    await eventually('bob sees the last', async () => (await bob.texts()).includes('after the drain'));

    assert.deepEqual((await bob.texts()).toSorted(), [
      'after the drain', 'before the drain', 'during the drain', 'from a service during the drain',
    ]);
    await alice.shows('before the drain', 'during the drain', 'after the drain');
  });

  scenario('a message that is a program is shown as text', async (world) => {
    const program = '<img src=x onerror="window.ran = true"><script>window.ran = true</script>';
    const alice = await world.chatWindow('alice', program);
    await world.server.stage({ receiverId: 'alice', senderId: program, message: program, type: program, data: { program } });
    await world.server.stage({ receiverId: 'alice', message: program, type: program, data: { program } });
    await alice.write(program);

    await alice.shows(program, program, program);
    assert.equal(await alice.page.locator('#timeline :is(img, script)').count(), 0);
    assert.equal(await alice.page.evaluate(() => window.ran), undefined);
    assert.deepEqual(alice.faults, []);
  });

  scenario('someone else than the chosen person is shown by name, and a service as a card', async (world) => {
    const alice = await world.chatWindow('alice', 'bob');
    await world.server.stage({ receiverId: 'alice', senderId: 'carol', message: 'Are you coming on Friday?' });
    await alice.shows('Are you coming on Friday?');
    await world.server.stage({ receiverId: 'alice', type: 'ride.accepted', message: 'Your driver accepted.' });
    await alice.shows('Are you coming on Friday?', 'Your driver accepted.');
    assert.equal(await alice.page.locator('#timeline .system .type').textContent(), 'ride accepted');

    await alice.page.locator('#timeline .sender', { hasText: 'carol' }).click();
    const carol = await world.chatWindow('carol', 'alice');
    await alice.write('Yes!');
    await carol.shows('Yes!');
  });

  scenario('without a valid token the page asks for one, and a pasted link opens the chat', async (world) => {
    const window = await world.window('start', world.server.page);
    await window.page.locator('#start-token').fill('no-such-token');
    await window.page.locator('#start-form button').click();
    await window.page.locator('#start-problem', { hasText: 'no longer valid' }).waitFor();

    const link = new URLSearchParams({ token: await world.server.token('alice'), peer: 'bob' });
    await window.page.locator('#start-token').fill(`${world.server.page}#${link}`);
    await window.page.locator('#start-form button').click();
    await window.isOnline();
    assert.equal(await window.page.locator('#peer-name').textContent(), 'bob');
  });

  scenario('the unchanged page of the source design receives notices', async (world) => {
    const { server } = world;
    const token = await server.token('dave');
    const site = createServer((_, response) => {
      response.setHeader('Content-Type', 'text/html');
      response.end(sourceDesignPage(server.host, token));
    }).listen(0, '127.0.0.1');
    await once(site, 'listening');
    try {
      await server.stage({ receiverId: 'dave', senderId: 'alice', message: 'staged before' });
      const { page } = await world.window('source-design', `http://127.0.0.1:${site.address().port}/`);
      const lines = () => page.locator('#history p').allTextContents();
      await eventually('the first notice is there', async () => (await lines()).length === 1);
      await server.stage({ receiverId: 'dave', senderId: 'alice', message: 'staged after' });
      await eventually('the second notice is there', async () => (await lines()).length >= 2);
      await eventually('the pong has made them read', async () => (await server.unread(token)).length === 0);
      assert.deepEqual(await lines(), ['staged before', 'staged after']);
    } finally {
      site.closeAllConnections();
      site.close();
    }
  });
});
