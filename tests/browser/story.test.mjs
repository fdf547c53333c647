// The whole story of a user, from the first password to the sign-out.

import assert from 'node:assert/strict';
import test from 'node:test';
import {
  PHONE, allowCodesTwice, app, ask, authenticate, browsing, closeBrowser, flaws, heading, newUser, signOutEverywhere, text, until,
} from './world.mjs';

test.before(allowCodesTwice);
test.after(closeBrowser);

test('a password opens the start page, a code the payroll, nothing the administration', async (t) => {
  const user = await newUser();
  const page = await (await browsing(t)).newPage();

  await page.goto(`${app}/static/style.css`);
  assert.equal(page.url(), `${app}/static/style.css`, 'public');

  await page.goto(`${app}/?month=11&name=a%20b`);
  assert.deepEqual(await authenticate(page, user), ['password']);
  assert.equal(page.url(), `${app}/?month=11&name=a%20b`, 'the address survives the sign-in, query and all');
  assert.match(await text(page), new RegExp(user.name), 'the app knows who it is');

  await page.goto(`${app}/payroll`);
  assert.deepEqual(await authenticate(page, user), ['password', 'otp']);
  assert.equal(page.url(), `${app}/payroll`);
  assert.match(await text(page), /Ada Lovelace/);

  await page.goto(`${app}/.stepgate/me`);
  const me = await text(page);
  assert.match(me, new RegExp(`Signed in as\\s+${user.name}`));
  assert.match(me, /One-time code\s+confirmed .*good for another/);
  assert.match(me, /Security key\s+not confirmed/);

  const refused = await page.goto(`${app}/admin`);
  assert.equal(refused.status(), 403);
  assert.match(await text(page), /members of one of these groups: admins/);
  assert.equal(page.url(), `${app}/admin`, 'no factor helps, so none is asked for');

  await page.goto(`${app}/.stepgate/me`);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.waitForURL(`${app}/**`);
  assert.equal(await heading(page), 'You are signed out');
  await page.goto(`${app}/`);
  assert.deepEqual(await authenticate(page, user), ['password'], 'signed out at Keycloak too');
});

test('one trip where the first page needs the code', async (t) => {
  const user = await newUser();
  const page = await (await browsing(t)).newPage();
  await page.goto(`${app}/payroll`);
  assert.deepEqual(await authenticate(page, user), ['password', 'otp']);
  assert.equal(page.url(), `${app}/payroll`);
});

test('the level decays, the session does not, and the code is asked for again', async (t) => {
  const user = await newUser();
  const page = await (await browsing(t)).newPage();
  await page.goto(`${app}/payroll`);
  await authenticate(page, user);
  const lapsed = await until('the level', ({ status }) => status !== 200, () => ask(page, '/payroll'));
  assert.equal(lapsed.status, 401);
  const { code, have, need } = JSON.parse(lapsed.body);
  assert.deepEqual({ code, have, need }, { code: 'step-up', have: 'password', need: { level: 'mfa' } });
  await page.goto(`${app}/`);
  assert.equal(page.url(), `${app}/`, 'the password still counts');
  await page.goto(`${app}/payroll`);
  assert.deepEqual(await authenticate(page, user), ['password', 'otp']);
  assert.match(await text(page), /Ada Lovelace/);
});

test('an administrator signs the user out, and that is that', async (t) => {
  const user = await newUser();
  const page = await (await browsing(t)).newPage();
  await page.goto(`${app}/`);
  await authenticate(page, user);
  assert.equal((await ask(page, '/')).status, 200);
  await signOutEverywhere(user);
  assert.equal((await ask(page, '/')).status, 401, 'the back-channel logout ends the session before the administrator gets an answer');
});

test('somebody else signs in for the step-up: the first session ends, the second is theirs', async (t) => {
  const [first, second] = [await newUser(), await newUser()];
  const context = await browsing(t);
  const page = await context.newPage();
  await page.goto(`${app}/`);
  await authenticate(page, first);
  // At Keycloak the browser belongs to the second user now.
  const cookies = (await context.cookies()).filter(({ domain }) => domain === 'localhost');
  for (const { name } of cookies) await context.clearCookies({ name, domain: 'localhost' });
  await page.goto(`${app}/payroll`);
  await page.locator('#username').waitFor({ state: 'attached' });
  assert.equal(await page.inputValue('#username').catch(() => first.name), first.name, 'the known user is suggested');
  if (await page.locator('#reset-login').count()) await page.click('#reset-login');
  assert.deepEqual(await authenticate(page, second), ['password', 'otp']);
  assert.equal(await heading(page), `You are now ${second.name}`);
  await page.setViewportSize(PHONE);
  assert.deepEqual(await flaws(page), []);
  await page.getByRole('link', { name: /Continue/ }).click();
  await page.waitForURL(`${app}/**`);
  await page.goto(`${app}/.stepgate/me`);
  assert.match(await text(page), new RegExp(`Signed in as\\s+${second.name}`));
});

test('who gives up at Keycloak gets a way on', async (t) => {
  const user = await newUser();
  const page = await (await browsing(t)).newPage();
  await page.goto(`${app}/`);
  await authenticate(page, user);
  await page.goto(`${app}/payroll`);
  await page.goBack();
  assert.equal(page.url(), `${app}/`, 'Back leads to the app');
  assert.equal((await page.reload()).status(), 200);
});
