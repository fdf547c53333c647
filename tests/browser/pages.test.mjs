// Every page of stepgate's own that can be walked to, on a phone, in both colour schemes: axe finds nothing, nothing is
// wider than the screen, no script runs and none is asked for.

import assert from 'node:assert/strict';
import test from 'node:test';
import {
  PHONE, allowCodesTwice, app, authenticate, browsing, closeBrowser, flaws, heading, newUser, text,
} from './world.mjs';

/** A second stepgate, whose Keycloak cannot be reached and which lets in one sign-in a minute. */
const lost = process.env.STEPGATE_LOST;

test.before(allowCodesTwice);
test.after(closeBrowser);

async function isFine(page, title) {
  assert.equal(await heading(page), title);
  // Some pages ask again by themselves every three seconds; not while they are looked at.
  const stay = (route) => (route.request().isNavigationRequest() ? route.abort('aborted') : route.continue());
  await page.route('**/*', stay);
  await looksFine(page, title);
  await page.unroute('**/*', stay);
}

async function looksFine(page, title) {
  assert.equal(await page.locator('script').count(), 0);
  assert.match(await text(page), /Request [0-9a-f-]+/, 'the number to give to the administrator');
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    assert.deepEqual(await flaws(page), [], `${title}, ${colorScheme}`);
  }
}

async function phone(t) {
  const context = await browsing(t, { viewport: PHONE, isMobile: true, hasTouch: true });
  const page = await context.newPage();
  page.on('console', (message) => {
    // The icon is what Chromium looks for on behalf of the app's page before, which names none.
    const ours = !message.text().includes('/favicon.ico');
    if (ours && message.text().includes('Content Security Policy')) page.broken = message.text();
  });
  t.after(() => assert.equal(page.broken, undefined));
  return { context, page };
}

test('of somebody who is signed in', async (t) => {
  const user = await newUser({ otp: false });
  const { context, page } = await phone(t);
  await page.goto(`${app}/`);
  await authenticate(page, user);

  await page.goto(`${app}/.stepgate/me`);
  await isFine(page, 'My session');
  await page.goto(`${app}/admin`);
  await isFine(page, 'You may not open this');
  await page.goto(`${app}/.stepgate/logout`);
  await isFine(page, 'Sign out?');
  await page.goto(`${app}/.stepgate/callback?state=gone&code=none`);
  await isFine(page, 'You are signed in');
  await page.goto(`${app}/.stepgate/nothing`);
  await isFine(page, 'There is nothing here');
  await page.goto(`${app}/a//b`);
  await isFine(page, 'This request was refused');
  await page.goto(`${app}/dead/`);
  await isFine(page, 'The app does not answer');

  // A form that needs more.
  await page.goto(`${app}/`);
  // Too large to be kept.
  const large = `<input type=hidden name=x value="${'x'.repeat(70_000)}">`;
  await page.setContent(`<form method=post action="${app}/payroll/7/release">${large}<button>Go</button></form>`);
  await page.getByRole('button', { name: 'Go' }).click();
  await page.waitForURL(`${app}/payroll/7/release`);
  await isFine(page, 'This was not sent yet');

  // The same in a frame.
  await page.goto(`${app}/`);
  await page.evaluate(() => {
    const frame = document.createElement('iframe');
    frame.src = '/payroll';
    frame.id = 'inner';
    document.body.append(frame);
  });
  const inner = page.frameLocator('#inner');
  await inner.getByRole('link', { name: 'Confirm' }).waitFor();
  assert.equal(await inner.locator('h1').innerText(), 'This needs One-time code');
  assert.deepEqual(await flaws(page.frames().at(-1)), [], 'in a frame');

  // A factor that is set up on the way is not one that was used.
  await page.goto(`${app}/payroll`);
  const other = await context.newPage();
  await other.goto(`${app}/payroll?other`);
  await isFine(other, 'Confirm in your other tab');
  await page.bringToFront();
  assert.deepEqual(await authenticate(page, user), ['password', 'enrol']);
  await isFine(page, 'Your new factor is set up; now use it');
  await page.getByRole('link', { name: 'Confirm now' }).click();
  await page.waitForLoadState();
  assert.deepEqual(await authenticate(page, user), ['password', 'otp']);
  assert.equal(page.url(), `${app}/payroll`);
});

test('of somebody who is not', async (t) => {
  const { context, page } = await phone(t);
  await page.goto(`${app}/.stepgate/callback?state=gone&code=none`);
  await isFine(page, 'This sign-in took too long, or was already used');
  for (let index = 0; index < 5; index += 1) await (await context.newPage()).goto(`${app}/${index}`);
  await page.goto(`${app}/sixth`);
  await isFine(page, 'Finish signing in in another tab');
});

test('of a sign-in that Keycloak refuses', async (t) => {
  const { page } = await phone(t);
  const went = page.waitForRequest((request) => request.url().includes('request_uri'));
  await page.goto(`${app}/`);
  await went;
  const state = (await page.context().cookies(app)).find(({ name }) => name.includes('-flow-')).name.split('-flow-')[1];
  assert.ok(state.length > 0);
  // The cookie tells the beginning of the state only: nobody else can make up an answer to this flow.
  await page.goto(`${app}/.stepgate/callback?state=${state}&error=access_denied`);
  await isFine(page, 'This sign-in took too long, or was already used');
});

test('of a sign-out', async (t) => {
  const user = await newUser();
  const { page } = await phone(t);
  await page.goto(`${app}/`);
  await authenticate(page, user);
  await page.goto(`${app}/.stepgate/logout`);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.waitForURL(`${app}/**`);
  await isFine(page, 'You are signed out');
});

test('while Keycloak cannot be reached', async (t) => {
  const { page } = await phone(t);
  const unavailable = await page.goto(`${lost}/`);
  assert.equal(unavailable.status(), 503);
  await isFine(page, 'Signing in is not possible at the moment');
  const tooMany = await page.goto(`${lost}/`);
  assert.equal(tooMany.status(), 429);
  await isFine(page, 'Too many sign-ins at once');
});
