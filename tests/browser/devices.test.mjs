// One person: asks at a desk, and agrees on a phone, whose browser signs with a key of its own. Each is a browser profile with
// its own sign-in. axe finds nothing on any page.

import assert from 'node:assert/strict';
import test from 'node:test';
import { ADDING, adds, approver, isFine, opened, phone } from './people.mjs';
import { allowCodesTwice, app, authenticate, closeBrowser, heading, newUser, text } from './world.mjs';

const SUMMARY = 'Withdraw 900.00 to DE02 1203 0000 0000 2020 51 (withdrawal 30)';

test.before(allowCodesTwice);
test.after(closeBrowser);

/** Asked for, at the desk; the number there. */
async function withdraws(page, user) {
  await page.goto(`${app}/withdrawals`);
  await authenticate(page, user);
  await page.getByRole('button', { name: 'Withdraw' }).click();
  const shown = page.locator('.number');
  await shown.waitFor();
  assert.match(await text(page), /yourself, on another device/);
  return (await shown.innerText()).trim();
}

test('one person asks at a desk and agrees on a phone', async (t) => {
  const alice = await newUser();
  const there = await phone(t, alice);
  await adds(there, alice, 'My phone');
  await there.getByText('· this browser').waitFor();
  assert.equal(await there.getByRole('link', { name: 'Add this browser' }).isVisible(), false, 'it is one by now');
  await isFine(there, 'My devices');
  const stored = await there.evaluate(async () => {
    const open = await new Promise((done, fail) => {
      const request = indexedDB.open('stepgate');
      request.onsuccess = () => done(request.result);
      request.onerror = () => fail(request.error);
    });
    const kept = await new Promise((done) => {
      const request = open.transaction('devices').objectStore('devices').getAll();
      request.onsuccess = () => done(request.result);
    });
    open.close();
    const taken = await crypto.subtle.exportKey('pkcs8', kept[0].key).then(() => true, () => false);
    return { count: kept.length, extractable: kept[0].key.extractable, taken };
  });
  assert.deepEqual(stored, { count: 1, extractable: false, taken: false });

  const desk = await opened(t);
  const number = await withdraws(desk, alice);
  // In the sign-in that asked there is a no, and no yes.
  const same = await desk.context().newPage();
  await same.goto(`${approver}/`);
  await authenticate(same, alice, { until: () => same.url() === `${approver}/` });
  await same.getByText('A device was added to yours:').waitFor();
  await isFine(same, 'Waiting for you');
  await same.getByRole('link', { name: SUMMARY }).click();
  await same.getByText('You asked for this in this very sign-in').waitFor();
  assert.equal(await same.locator('button[name=number]').count(), 0);
  assert.ok(await same.getByRole('button', { name: 'Deny' }).isVisible());
  await isFine(same, 'Do you agree?');

  await there.goto(`${approver}/`);
  await there.getByRole('link', { name: SUMMARY }).click();
  await there.getByText('This browser signs your answer as one of your devices.').waitFor();
  await isFine(there, 'Do you agree?');
  await there.getByRole('button', { name: number, exact: true }).click();
  await there.getByRole('heading', { name: /Approved|Done/ }).waitFor();
  // By itself, once.
  await desk.waitForURL((url) => url.pathname === '/withdrawals/30');
  assert.equal(await heading(desk), 'Withdrawn');
  await there.getByRole('heading', { name: 'Done' }).waitFor();
  await isFine(there, 'Done');
  await there.getByRole('link', { name: 'My devices' }).click();
  await there.getByText('decided last').waitFor();
});

test('a browser that is no device can deny and not approve', async (t) => {
  const alice = await newUser();
  const known = await phone(t, alice);
  await adds(known, alice, 'My phone');
  const other = await phone(t, alice);
  const desk = await opened(t);
  const number = await withdraws(desk, alice);
  await other.goto(`${approver}/`);
  await other.getByRole('link', { name: SUMMARY }).click();
  await other.getByText('This browser is none of your devices').waitFor();
  assert.equal(await other.getByRole('button', { name: number, exact: true }).isVisible(), false);
  await isFine(other, 'Do you agree?');
  // From there the lost phone is removed, and can approve nothing more.
  await known.goto(`${approver}/`);
  await known.getByRole('link', { name: SUMMARY }).click();
  const choice = known.getByRole('button', { name: number, exact: true });
  await choice.waitFor();
  await other.goto(`${approver}/devices`);
  await other.getByText('A device was added to yours:').waitFor();
  await other.getByRole('button', { name: 'Remove: My phone' }).click();
  await other.getByText('You have added none.').waitFor();
  // Its page hears of it: at once by its stream, and by a look of its own after half a minute where that failed.
  await known.getByText('This browser is none of your devices').waitFor({ timeout: 45_000 });
  assert.equal(await choice.isVisible(), false);
  await known.getByRole('button', { name: 'Deny' }).click();
  await known.getByRole('heading', { name: 'Denied' }).waitFor();
  await desk.getByRole('heading', { name: 'It was not agreed to' }).waitFor();
});

test('without script a page says what it needs, and denies', async (t) => {
  const alice = await newUser();
  const there = await phone(t, alice, { javaScriptEnabled: false });
  await there.goto(`${approver}/devices/new`);
  await there.getByRole('link', { name: 'Confirm', exact: true }).click();
  await authenticate(there, alice, { until: () => there.url().startsWith(`${approver}/devices/new`) });
  await there.getByText("needs this page's script").waitFor();
  const desk = await opened(t);
  await withdraws(desk, alice);
  await there.goto(`${approver}/`);
  await there.getByRole('link', { name: SUMMARY }).click();
  await there.getByText('it needs its script').waitFor();
  await there.getByRole('button', { name: 'Deny' }).click();
  await there.getByRole('heading', { name: 'Denied' }).waitFor();
  await desk.getByRole('heading', { name: 'It was not agreed to' }).waitFor();
});

test('in German', async (t) => {
  const alice = await newUser();
  const there = await phone(t, alice, { locale: 'de-DE' });
  await adds(there, alice, 'Mein Telefon', ADDING.German);
  await there.getByText('· dieser Browser').waitFor();
  await there.getByRole('button', { name: 'Test schicken' }).click();
  await there.getByText('diese Installation hat kein Web Push').waitFor();
  await isFine(there, 'Meine Geräte');
  // Another sign-in hears of it, and of its end.
  const other = await phone(t, alice, { locale: 'de-DE' });
  await other.getByText('Zu Ihren Geräten wurde hinzugefügt:').waitFor();
  await there.getByRole('button', { name: 'Entfernen: Mein Telefon' }).click();
  await there.getByText('Sie haben keines hinzugefügt.').waitFor();
  await other.reload();
  await other.getByText('Eines Ihrer Geräte wurde').waitFor();
  await isFine(other, 'Wartet auf Sie');
  await other.goto(`${approver}/devices`);
  await isFine(other, 'Meine Geräte');
});
