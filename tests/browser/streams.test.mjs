// What a page has open when its level lapses: it hears why, and goes on after a step-up without being left.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { allowCodesTwice, app, authenticate, browsing, closeBrowser, confirmIn, newUser, until } from './world.mjs';

before(allowCodesTwice);
after(closeBrowser);

/** As docs/streams.md has it; what comes is noted. Chromium connects only a page that came from here, too. */
function open() {
  const heard = [];
  const socket = new WebSocket('/live/ws');
  socket.onopen = () => socket.send('hello');
  socket.onmessage = (event) => heard.push(`message ${event.data}`);
  socket.onclose = (event) => heard.push(`close ${event.code} ${event.reason}`);
  const events = new EventSource('/live/events');
  events.onmessage = (event) => heard.push(`event ${event.data}`);
  events.addEventListener('stepup-required', (event) => {
    events.close();
    window.problem = JSON.parse(event.data);
    heard.push(`stepup-required ${window.problem.code}`);
  });
  window.heard = heard;
}

/** In any order: the two are connections of their own. */
async function hears(page, ...expected) {
  const heard = await until('what the page hears', (heard) => heard.length >= expected.length, () => page.evaluate(() => window.heard));
  assert.deepEqual([...heard].sort(), [...expected].sort());
}

test('a WebSocket and an event stream end with the level, and open again after a step-up', async (t) => {
  const user = await newUser();
  const context = await browsing(t);
  const page = await context.newPage();
  await page.goto(`${app}/payroll`);
  assert.deepEqual(await authenticate(page, user), ['password', 'otp']);
  await page.evaluate(() => (window.unsaved = 'a draft'));
  await page.evaluate(open);
  await hears(page, 'event hello', 'message hello');
  // The level lasts half a minute here.
  await hears(page, 'event hello', 'message hello', 'close 4401 step-up required', 'stepup-required step-up');
  const problem = await page.evaluate(() => window.problem);
  assert.equal(problem.need.level, 'mfa');

  // Not before it is confirmed.
  await page.evaluate(open);
  await hears(page, 'close 1006 ');

  const [popup] = await Promise.all([page.waitForEvent('popup'), page.evaluate((href) => void window.open(href), problem.popup)]);
  await confirmIn(popup, user);
  await page.evaluate(open);
  await hears(page, 'event hello', 'message hello');
  assert.equal(await page.evaluate(() => window.unsaved), 'a draft');
});
