// Where Keycloak asks (CIBA): the page of whoever waits until their own device says yes, and the page in the approver app
// where a sign-in somewhere else is decided; on a phone, in English and in German. axe finds nothing on any of its states.

import assert from 'node:assert/strict';
import test from 'node:test';
import { IN_HAND, approver, clerk, isFine, phone, tellerAsks } from './people.mjs';
import { allowCodesTwice, app, closeBrowser, newUser, text } from './world.mjs';

test.before(allowCodesTwice);
test.after(closeBrowser);

const ENGLISH = {
  waits: 'Waiting for somebody to agree',
  device: /you, on your other device, which shows ([0-9A-F]{4}-[0-9A-F]{4})/,
  question: 'Is this you?',
  yes: 'Yes, it is me',
  no: 'Deny',
  report: 'Report: this was not me',
  done: 'Done',
  denied: 'Denied',
  reported: 'Reported as wrong',
  ends: 'It was not agreed to',
  inbox: 'Waiting for you',
  history: 'History',
};

const GERMAN = {
  waits: 'Wartet auf eine Zustimmung',
  device: /Sie selbst, auf Ihrem anderen Gerät; dort steht ([0-9A-F]{4}-[0-9A-F]{4})/,
  question: 'Sind Sie das?',
  yes: 'Ja, das bin ich',
  no: 'Ablehnen',
  report: 'Melden: Das war ich nicht',
  done: 'Ausgeführt',
  denied: 'Abgelehnt',
  reported: 'Als verdächtig gemeldet',
  ends: 'Es wurde nicht zugestimmt',
  inbox: 'Wartet auf Sie',
  history: 'Verlauf',
};

/** Asked for, and waited for; what the page and the device both show. */
async function confirms(page, id, words) {
  await page.goto(`${app}/confirm/${id}`);
  await page.waitForURL(`${app}/.stepgate/approval/*`);
  await isFine(page, words.waits);
  const said = await text(page);
  assert.ok(said.includes(`Confirm ${id}`), said);
  const [, code] = said.match(words.device) ?? assert.fail(said);
  assert.ok(!page.url().includes(code) && !(await page.title()).includes(code));
  // Nobody else is asked, so there is nobody to be reminded and no link to pass on.
  assert.equal(await page.locator('#link').count(), 0);
  return code;
}

for (const [language, locale, words] of [['English', 'en-US', ENGLISH], ['German', 'de-DE', GERMAN]]) {
  test(`whoever waits sees what their device shows, and says yes and no there, in ${language}`, async (t) => {
    const alice = await clerk(t, { ...IN_HAND, locale });
    const there = await phone(t, alice.user, { locale });
    const code = await confirms(alice, 7, words);
    // It comes by itself.
    const link = there.getByRole('link', { name: code });
    await link.waitFor();
    await isFine(there, words.inbox);
    await link.click();
    await there.waitForURL(`${approver}/approvals/*`);
    await isFine(there, words.question);
    const said = await text(there);
    for (const part of [code, 'Confirm 7', 'The payroll app']) assert.ok(said.includes(part), said);
    await there.getByRole('button', { name: words.yes }).click();
    await there.getByRole('heading', { name: words.done, exact: true }).waitFor();
    await isFine(there, words.done);
    assert.equal(await there.locator('form').count(), 0);
    // By itself, too.
    await alice.waitForURL((url) => url.pathname === '/confirm/7');

    const other = await confirms(alice, 8, words);
    await there.goto(`${approver}/`);
    await there.getByRole('link', { name: other }).click();
    await there.waitForURL(`${approver}/approvals/*`);
    await there.getByRole('button', { name: words.no }).click();
    await there.getByRole('heading', { name: words.denied, exact: true }).waitFor();
    await isFine(there, words.denied);
    await alice.getByRole('heading', { name: words.ends }).waitFor();
    await isFine(alice, words.ends);
    await there.goto(`${approver}/history`);
    await isFine(there, words.history);
  });

  test(`what another client asks is reported, in ${language}`, async (t) => {
    const alice = await newUser();
    const there = await phone(t, alice, { locale });
    const { gets } = await tellerAsks(alice, 'PAY-4821');
    await there.getByRole('link', { name: 'PAY-4821' }).click();
    await there.waitForURL(`${approver}/approvals/*`);
    await isFine(there, words.question);
    const said = await text(there);
    for (const part of ['PAY-4821', "The teller's desk", 'profile']) assert.ok(said.includes(part), said);
    await there.getByRole('button', { name: words.report }).click();
    await there.getByRole('heading', { name: words.reported, exact: true }).waitFor();
    await isFine(there, words.reported);
    // Keycloak was told.
    const answer = await gets();
    assert.equal(answer.error, 'access_denied', JSON.stringify(answer));
  });
}

test('without script it is the same', async (t) => {
  const alice = await clerk(t, { javaScriptEnabled: false });
  const there = await phone(t, alice.user, { javaScriptEnabled: false });
  await alice.goto(`${app}/confirm/9`);
  await alice.waitForURL(`${app}/.stepgate/approval/*`);
  const [, code] = (await text(alice)).match(ENGLISH.device);
  await there.reload();
  await there.getByRole('link', { name: code }).click();
  await there.waitForURL(`${approver}/approvals/*`);
  await there.getByRole('button', { name: ENGLISH.yes }).click();
  await alice.waitForURL((url) => url.pathname === '/confirm/9');
});
