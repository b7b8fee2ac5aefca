// How chat and page look and read: phone and desk, light and dark, by keyboard. Pictures are kept for people to look at.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, scenarios, SHOTS } from './harness.mjs';

const PHONE = { viewport: { width: 360, height: 720 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };
const DESK = { viewport: { width: 1280, height: 800 } };
const LOOKS = Object.entries({ phone: PHONE, desk: DESK }).flatMap(([name, look]) =>
  ['light', 'dark'].map((colorScheme) => ({ name: `${name}-${colorScheme}`, look: { ...look, colorScheme } })));
const LONG_NAME = 'driver-of-the-very-long-name@rides.northern-district.example';

async function picture(page, name) {
  await mkdir(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `look-${name}.png`), animations: 'disabled' });
}

/** Runs in the page: texts whose colour is too near to what is behind them, by WCAG 2.2 AA. */
function tooFaint() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = ([...colour]) => {
    const [r, g, b] = colour.slice(0, 3).map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return rgba('white');
  };
  const faint = [];
  for (const element of document.body.querySelectorAll('*')) {
    const text = Array.from(element.childNodes).filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join('');
    if (!text || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || element.closest('.unseen, :disabled, option')) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(rgba(style.color)), light(behind(element))].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24;
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${element.tagName}.${element.className} "${text.slice(0, 20)}" ${ratio.toFixed(2)}`);
  }
  return faint;
}

/** Runs in the page: whether something is wider than the window. */
function tooWide() { return document.documentElement.scrollWidth > window.innerWidth; }

/** Runs in the page: whether the state of the connection lies over the account's name. */
function overlaps() {
  const [status, account] = ['#status', '.account'].map((name) => document.querySelector(name));
  const inner = Math.max(...Array.from(status.children, (part) => part.getBoundingClientRect().right));
  return account.checkVisibility() && inner > account.getBoundingClientRect().left;
}

async function furnish({ server }) {
  await server.stage({ receiverId: 'alice', type: 'ride.accepted', message: 'Your driver accepted.', data: { rideId: 7, car: 'grey' } });
  await server.stage({ receiverId: 'alice', senderId: LONG_NAME, message: 'Two minutes away, grey car. I stop behind the bus, on the side of the bakery.' });
  await server.stage({ receiverId: 'alice', senderId: 'carol', message: 'See you on Friday?' });
}

scenarios('looks', (scenario) => {
  for (const { name, look } of LOOKS) {
    scenario(`the chat on ${name}`, async (world) => {
      await furnish(world);
      const alice = await world.chatWindow('alice', LONG_NAME, null, look);
      await alice.write('I am at the north exit, next to the kiosk.');
      await alice.hasSent('I am at the north exit, next to the kiosk.');
      await eventually('all is shown', async () => (await alice.texts()).length === 4);
      await picture(alice.page, `chat-${name}`);
      assert.equal(await alice.page.evaluate(tooWide), false);
      assert.deepEqual(await alice.page.evaluate(tooFaint), []);
      if (name.startsWith('phone')) assert.match(await alice.page.locator('#text').getAttribute('placeholder'), /^Message driver-.*…$/);
      const field = await alice.page.locator('#text').evaluate((text) => [text.clientHeight, text.scrollHeight]);
      assert.ok(field[1] <= field[0] && field[0] < 50, `the empty field has one line: ${field}`);

      await alice.page.locator('#status').click();
      await alice.page.locator('#connection').waitFor();
      await picture(alice.page, `connection-${name}`);
      assert.deepEqual(await alice.page.evaluate(tooFaint), []);
      await alice.page.locator('#transport').selectOption('sse');
      await eventually('the event stream is used', async () => /by Event stream/.test(await alice.page.locator('#connection-state').textContent()));
      await alice.page.locator('#connection-close').click();
      await alice.write('Still there?');
      await alice.hasSent('Still there?');

      await world.server.kill();
      await alice.write('Written while the server is away.');
      await eventually('it is told', () => alice.page.locator('#banner').isVisible());
      await picture(alice.page, `offline-${name}`);
      assert.equal(await alice.page.evaluate(overlaps), false);
      assert.deepEqual(await alice.page.evaluate(tooFaint), []);
    });

    scenario(`the page without scripts on ${name}`, async (world) => {
      await furnish(world);
      const query = new URLSearchParams({ SESSION_TOKEN_KEY: await world.server.token('alice') });
      const { page } = await world.window('alice', `${world.server.page}page?${query}`, look);
      await picture(page, `page-${name}`);
      assert.equal(await page.evaluate(tooWide), false);
      assert.deepEqual(await page.evaluate(tooFaint), []);
    });

    scenario(`the start on ${name}`, async (world) => {
      const { page } = await world.window('start', world.server.page, look);
      await page.locator('#start-token').waitFor();
      await picture(page, `start-${name}`);
      assert.deepEqual(await page.evaluate(tooFaint), []);
    });
  }

  scenario('the chat by keyboard alone', async (world) => {
    const alice = await world.chatWindow('alice', 'bob', null, DESK);
    const { keyboard } = alice.page;
    const focused = () => alice.page.evaluate(() => document.activeElement.id);
    assert.equal(await focused(), 'text');
    for (let steps = 0; await focused() !== 'status' && steps < 30; steps += 1) await keyboard.press('Shift+Tab');
    assert.equal(await focused(), 'status');
    await keyboard.press('Enter');
    await alice.page.locator('#connection').waitFor();
    await keyboard.press('Tab');
    assert.equal(await focused(), 'connection-close');
    await keyboard.press('Tab');
    assert.equal(await focused(), 'transport');
    await keyboard.press('Escape');
    await alice.page.locator('#connection').waitFor({ state: 'hidden' });
    assert.equal(await focused(), 'status', 'the focus goes back to where it came from');
  });

  scenario('what a screen reader says of the chat', async (world) => {
    const alice = await world.chatWindow('alice', 'bob');
    await world.server.stage({ receiverId: 'alice', senderId: 'bob', message: 'Hello' });
    await eventually('it is announced', async () => await alice.page.locator('#live').textContent() === 'bob: Hello');
    assert.equal(await alice.page.locator('#status-live').textContent(), 'Connected, WebSocket');
    const heard = await alice.page.locator('body').ariaSnapshot();
    for (const part of [/heading "bob"/, /region "Messages"/, /textbox "Message bob"/, /button "Send"/, /listitem/, /status: Connected/]) assert.match(heard, part);
    const nameless = await alice.page.evaluate(() => Array.from(document.querySelectorAll('button, a, input, select, textarea'))
      .filter((element) => element.checkVisibility())
      .filter((element) => !(element.ariaLabel || element.textContent.trim() || element.labels?.length || element.title))
      .map((element) => element.outerHTML));
    assert.deepEqual(nameless, []);
  });

  scenario('without JavaScript the chat page points to the page that needs none', async (world) => {
    const { page } = await world.window('no-script', world.server.page, { ...PHONE, javaScriptEnabled: false });
    await picture(page, 'no-script-phone-light');
    await page.locator('#page-token').fill(await world.server.token('alice'));
    await page.getByRole('button', { name: 'Open the page' }).click();
    await page.waitForURL(/\/notice\/page$/);
  });
});
