// Where Keycloak asks (CIBA) and the yes has to be signed by a device of the user's own: what a browser that is one can do, and
// one that is none. axe finds nothing on either.

import assert from 'node:assert/strict';
import test from 'node:test';
import { ADDING, adds, approver, isFine, phone, tellerAsks } from './people.mjs';
import { allowCodesTwice, closeBrowser, newUser } from './world.mjs';

test.before(allowCodesTwice);
test.after(closeBrowser);

async function looksAt(page, message) {
  await page.goto(`${approver}/`);
  await page.getByRole('link', { name: message }).click();
  await page.waitForURL(`${approver}/approvals/*`);
}

test('a device signs the yes, and another browser says no', async (t) => {
  const alice = await newUser();
  const there = await phone(t, alice);
  await adds(there, alice, 'My phone');
  const other = await phone(t, alice);
  const { poll, gets } = await tellerAsks(alice, 'PAY-1');
  await looksAt(other, 'PAY-1');
  await other.getByText('This browser is none of your devices').waitFor();
  await isFine(other, 'Is this you?');
  assert.equal(await other.getByRole('button', { name: 'Yes, it is me' }).count(), 0, 'it is hidden');
  // Without a signature it is no yes, whatever the page shows.
  const status = await other.evaluate(async () => {
    const answer = await fetch(location.href, { method: 'POST', body: new URLSearchParams({ answer: 'yes' }) });
    return answer.status;
  });
  assert.equal(status, 403);
  assert.equal((await poll()).error, 'authorization_pending');

  await looksAt(there, 'PAY-1');
  await there.getByText('This browser signs your answer as one of your devices.').waitFor();
  await isFine(there, 'Is this you?');
  await there.getByRole('button', { name: 'Yes, it is me' }).click();
  await there.getByRole('heading', { name: 'Done', exact: true }).waitFor();
  await isFine(there, 'Done');
  // The other one hears of it by itself.
  await other.getByRole('heading', { name: 'Done', exact: true }).waitFor();
  assert.equal(await other.locator('form').count(), 0);
  const tokens = await gets();
  assert.ok(tokens.id_token, JSON.stringify(tokens));

  const { gets: denied } = await tellerAsks(alice, 'PAY-2');
  await looksAt(other, 'PAY-2');
  await other.getByRole('button', { name: 'Deny' }).click();
  await other.getByRole('heading', { name: 'Denied', exact: true }).waitFor();
  const refused = await denied();
  assert.equal(refused.error, 'access_denied', JSON.stringify(refused));
});

test('a device that is removed meanwhile signs nothing, in German', async (t) => {
  const alice = await newUser();
  const there = await phone(t, alice, { locale: 'de-DE' });
  await adds(there, alice, 'Mein Telefon', ADDING.German);
  await tellerAsks(alice, 'PAY-3');
  await looksAt(there, 'PAY-3');
  const yes = there.getByRole('button', { name: 'Ja, das bin ich' });
  await yes.waitFor();
  await isFine(there, 'Sind Sie das?');
  const other = await phone(t, alice, { locale: 'de-DE' });
  await other.goto(`${approver}/devices`);
  await other.getByRole('button', { name: 'Entfernen: Mein Telefon' }).click();
  await other.getByText('Sie haben keines hinzugefügt.').waitFor();
  // Its page hears of it: at once by its stream, and by a look of its own after half a minute where that failed.
  await yes.waitFor({ state: 'hidden', timeout: 45_000 });
  await isFine(there, 'Sind Sie das?');
  await there.getByRole('button', { name: 'Ablehnen' }).click();
  await there.getByRole('heading', { name: 'Abgelehnt', exact: true }).waitFor();
});

test('without script a page says what it needs, and denies', async (t) => {
  const alice = await newUser();
  const there = await phone(t, alice, { javaScriptEnabled: false });
  await tellerAsks(alice, 'PAY-4');
  await looksAt(there, 'PAY-4');
  await there.getByText('it needs its script').waitFor();
  await there.getByRole('button', { name: 'Deny' }).click();
  await there.getByRole('heading', { name: 'Denied', exact: true }).waitFor();
});
