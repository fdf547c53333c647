// Whoever waits for somebody's yes: the page says how it stands and goes on by itself, on a phone, with script and
// without, in English and in German; axe finds nothing on any of its states.

import assert from 'node:assert/strict';
import test from 'node:test';
import { IN_HAND, SUMMARY, approver, clerk, isFine, lead, pays } from './people.mjs';
import {
  allowCodesTwice, app, authenticate, closeBrowser, heading, signOutEverywhere, text,
} from './world.mjs';

test.before(allowCodesTwice);
test.after(closeBrowser);

const WAITING = 'Waiting for somebody to agree';

test('the page says what it waits for, counts the time down and gives a link to pass on', async (t) => {
  const alice = await clerk(t, IN_HAND);
  await alice.context().grantPermissions(['clipboard-read', 'clipboard-write'], { origin: app });
  const { number, id } = await pays(alice);
  await isFine(alice, WAITING);
  const said = await text(alice);
  for (const part of [SUMMARY, '0 of 1', 'anybody in leads']) assert.ok(said.includes(part), part);
  assert.match(await alice.locator('#left').innerText(), /^[0-5]:\d\d$/);
  // Large, for whoever reads it out.
  const size = await alice.locator('.number').evaluate((element) => Number.parseFloat(getComputedStyle(element).fontSize));
  assert.ok(size >= 40, `${size}px`);

  const link = `${approver}/approvals/${id}`;
  assert.equal(await alice.locator('#link').inputValue(), link);
  assert.ok(!link.split('/').at(-1).split(/[-_]/).includes(number));
  await alice.getByRole('button', { name: 'Copy link' }).click();
  await alice.getByText('Copied.').waitFor();
  assert.equal(await alice.evaluate(() => navigator.clipboard.readText()), link);

  // By the link, whoever may decide sees it, and whoever asked sees that somebody else does.
  const dave = await lead(t);
  await dave.goto(link);
  await isFine(dave, 'Do you agree?');
  assert.ok((await dave.content()).includes(SUMMARY));
  await dave.getByRole('button', { name: number, exact: true }).click();
  await alice.waitForURL((url) => url.pathname === '/payments/12');
  assert.equal(await heading(alice), 'Paid');
  // What stays in the address bar sends nothing again, by a reload or from a bookmark.
  const left = alice.url();
  assert.match(left, /__stepgate_approved=/);
  for (let time = 0; time < 2; time += 1) {
    const led = await alice.evaluate(async (left) => (await window.nativeFetch(left)).url, left);
    assert.equal(led, `${app}/payments/12`);
  }
  await alice.goto(`${app}/.stepgate/approval/${id}`);
  await isFine(alice, 'It was sent');
});

test('without script it looks again and goes on by itself, too', async (t) => {
  const alice = await clerk(t, { javaScriptEnabled: false });
  const { number } = await pays(alice);
  assert.equal(await alice.getByRole('button', { name: 'Copy link' }).count(), 0);
  assert.ok((await alice.locator('#link').inputValue()).startsWith(approver));
  const dave = await lead(t);
  await dave.getByRole('link', { name: SUMMARY }).click();
  await dave.waitForURL(`${approver}/approvals/*`);
  await dave.getByRole('button', { name: number, exact: true }).click();
  await alice.waitForURL((url) => url.pathname === '/payments/12');
  assert.equal(await heading(alice), 'Paid');
});

test('with a script that does not come it is the same', async (t) => {
  const alice = await clerk(t);
  await alice.route('**/waiting.js', (route) => route.abort());
  const { number, id } = await pays(alice);
  await alice.waitForRequest((request) => request.isNavigationRequest());
  const dave = await lead(t);
  await dave.goto(`${approver}/approvals/${id}`);
  await dave.getByRole('button', { name: number, exact: true }).click();
  await alice.waitForURL((url) => url.pathname === '/payments/12');
  assert.equal(await heading(alice), 'Paid');
});

test('with its script it is not loaded again and again', async (t) => {
  const alice = await clerk(t);
  await pays(alice);
  await alice.evaluate(() => {
    window.sameDocument = true;
  });
  // The browser would have loaded it before the second one.
  const looks = (answer) => answer.url() === alice.url() && answer.request().resourceType() === 'fetch';
  await alice.waitForResponse(looks);
  await alice.waitForResponse(looks);
  assert.ok(await alice.evaluate(() => window.sameDocument));
});

test('a no says who and why', async (t) => {
  const alice = await clerk(t, IN_HAND);
  const { id } = await pays(alice);
  const dave = await lead(t);
  await dave.goto(`${approver}/approvals/${id}`);
  await dave.getByText('Say why').click();
  await dave.getByLabel('Your reason (optional)').fill('Not this month');
  await dave.getByRole('button', { name: 'Deny' }).click();
  await dave.getByRole('heading', { name: 'Denied' }).waitFor();
  await isFine(dave, 'Denied');
  await alice.getByRole('heading', { name: 'It was not agreed to' }).waitFor();
  await isFine(alice, 'It was not agreed to');
  const said = await text(alice);
  assert.ok(said.includes(`${dave.user.name} said no.`) && said.includes('Not this month'), said);
});

test('this was not me: whoever asked can say so, and nothing else', async (t) => {
  const alice = await clerk(t, IN_HAND);
  const { id } = await pays(alice);
  const own = await alice.context().newPage();
  await own.goto(`${approver}/approvals/${id}`);
  await authenticate(own, alice.user, { until: () => own.url() === `${approver}/approvals/${id}` });
  await own.getByRole('button', { name: 'Report: this was not me' }).waitFor();
  await isFine(own, 'Do you agree?');
  assert.equal(await own.getByRole('button', { name: 'Deny' }).count(), 0, 'she decides nothing');
  await own.getByRole('button', { name: 'Report: this was not me' }).click();
  await own.getByRole('heading', { name: 'Reported as wrong' }).waitFor();
  await alice.getByRole('heading', { name: 'It was not agreed to' }).waitFor();
  assert.match(await text(alice), /reported it as wrong/);
});

test('taken back it is over, and the page says so', async (t) => {
  const alice = await clerk(t, IN_HAND);
  await pays(alice);
  await alice.getByRole('button', { name: 'Cancel' }).click();
  await alice.getByRole('heading', { name: 'You have cancelled it' }).waitFor();
  await isFine(alice, 'You have cancelled it');
});

test('in German', async (t) => {
  const alice = await clerk(t, { ...IN_HAND, locale: 'de-DE' });
  const { id } = await pays(alice);
  await isFine(alice, 'Wartet auf eine Zustimmung');
  assert.equal(await alice.locator('html').getAttribute('lang'), 'de');
  assert.match(await text(alice), /0 von 1/);
  await alice.goto(`${app}/.stepgate/me`);
  await isFine(alice, 'Meine Sitzung');
  await alice.goto(`${app}/admin`);
  await isFine(alice, 'Das dürfen Sie nicht öffnen');
  await alice.goto(`${app}/.stepgate/approval/${id}`);
  const dave = await lead(t);
  await dave.goto(`${approver}/approvals/${id}`);
  await dave.getByRole('button', { name: 'Deny' }).click();
  await alice.getByRole('heading', { name: 'Es wurde nicht zugestimmt' }).waitFor();
  await isFine(alice, 'Es wurde nicht zugestimmt');
});

// Keycloak has to reach stepgate for it, and trusts no certificate of a test's own authority.
const unreachable = app.startsWith('https:') && 'Keycloak tells nobody whose certificate it does not trust';

test('a lead who is signed out elsewhere sees nothing more', { skip: unreachable }, async (t) => {
  const dave = await lead(t);
  const alice = await clerk(t);
  const { id } = await pays(alice);
  await dave.goto(`${approver}/approvals/${id}`);
  await dave.getByRole('heading', { name: 'Do you agree?' }).waitFor();
  await signOutEverywhere(dave.user);
  await dave.waitForURL((url) => !url.href.startsWith(approver));
  assert.ok(!(await text(dave)).includes(SUMMARY));
});
