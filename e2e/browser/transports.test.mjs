// The same chat over each transport, and what a browser without our client gets: an EventSource, a page without scripts.

import assert from 'node:assert/strict';
import { eventually, scenarios } from './harness.mjs';

/** The client's transports, and how the server calls them. */
const TRANSPORTS = { websocket: 'websocket', sse: 'sse', longpoll: 'poll', shortpoll: 'poll' };

/** The page without scripts, on which a person reads, writes and waits. */
class Plain {
  constructor(name, page) {
    this.name = name;
    this.page = page;
  }

  async sees(...texts) {
    await eventually(`${this.name} sees ${texts}`, async () => {
      await this.page.reload();
      const shown = await this.page.locator('body').innerText();
      return texts.every((text) => shown.includes(text)) || Promise.reject(new Error(shown));
    });
  }

  async write(receiver, text) {
    await this.page.locator('[name=receiverId]').fill(receiver);
    await this.page.locator('[name=message]').fill(text);
    await this.page.getByRole('button', { name: 'Send' }).click();
  }
}

async function plainPage(world, account, look) {
  const query = new URLSearchParams({ SESSION_TOKEN_KEY: await world.server.token(account) });
  const { page } = await world.window(account, `${world.server.page}page?${query}`, { javaScriptEnabled: false, ...look });
  return new Plain(account, page);
}

scenarios('every transport', (scenario) => {
  for (const [transport, named] of Object.entries(TRANSPORTS)) {
    scenario(`two people chat over ${transport}`, async (world) => {
      const alice = await world.chatWindow('alice', 'bob', null, { transport });
      const bob = await world.chatWindow('bob', 'alice', null, { transport });
      await alice.write('Are you near the station?');
      await bob.shows('Are you near the station?');
      await bob.write('Two minutes away, grey car.');
      await alice.shows('Are you near the station?', 'Two minutes away, grey car.');
      await alice.hasSent('Are you near the station?');
      for (const account of ['alice', 'bob']) {
        const now = await eventually(`${account} has read all`, async () => {
          const about = await world.server.account(account);
          return about.unread === 0 && about;
        });
        assert.deepEqual([now.online, ...now.sessions.map((session) => session.transport)], [true, named]);
      }
      assert.deepEqual([...alice.faults, ...bob.faults], []);
    });
  }

  scenario('a chat with somebody whose browser runs no scripts', async (world) => {
    const alice = await world.chatWindow('alice', 'bob');
    const bob = await plainPage(world, 'bob');
    assert.ok(!bob.page.url().includes('SESSION_TOKEN_KEY'), 'the token has left the address bar');
    await alice.write('Are you near the station?');
    await bob.sees('Are you near the station?');
    await bob.write('alice', 'Two minutes away, grey car.');
    await alice.shows('Are you near the station?', 'Two minutes away, grey car.');
    assert.equal((await world.server.account('bob')).unread, 0, 'what the page showed is read at its next load');
  });

  scenario('on the page without scripts a message that is a program is shown as text', async (world) => {
    const program = '</p><script>document.title = "ran"</script><img src=x onerror="document.title = \'ran\'">';
    await world.server.stage({ receiverId: 'bob', senderId: 'mallory<b>', message: program });
    const bob = await plainPage(world, 'bob', { javaScriptEnabled: true });
    await bob.sees(program, 'mallory<b>');
    assert.notEqual(await bob.page.title(), 'ran');
    assert.equal(await bob.page.locator(':is(script, img[src=x], b)').count(), 0);
  });

  scenario('an EventSource of the browser itself gets notices, and stops for good when its token ends', async (world) => {
    const token = await world.server.token('bob');
    const { page } = await world.window('bob', world.server.page);
    const attempts = [];
    page.on('response', (response) => { if (response.url().includes('/sse')) attempts.push(response.status()); });
    await page.evaluate((key) => {
      window.got = [];
      window.source = new EventSource(`sse?${new URLSearchParams({ SESSION_TOKEN_KEY: key })}`);
      window.source.addEventListener('notice', ({ data }) => window.got.push(JSON.parse(data).message));
    }, token);
    await eventually('the stream is open', () => page.evaluate(() => window.source.readyState === EventSource.OPEN));
    await world.server.stage({ receiverId: 'bob', message: 'Your driver accepted.' });
    await eventually('the notice is there', () => page.evaluate(() => window.got.includes('Your driver accepted.')));
    await world.server.revoke(token);
    await eventually('the browser has stopped', () => page.evaluate(() => window.source.readyState === EventSource.CLOSED));
    assert.deepEqual(attempts, [200, 204]);
  });
});
