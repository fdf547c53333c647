// Two people: a clerk who pays in the app, and a lead who decides on a phone. With script and without, in English and in
// German; axe finds nothing on any page.

import assert from 'node:assert/strict';
import test from 'node:test';
import { SUMMARY, approver, clerk, isFine, isFineInGerman, lead, pays } from './people.mjs';
import { allowCodesTwice, app, closeBrowser, heading, text } from './world.mjs';

test.before(allowCodesTwice);
test.after(closeBrowser);

test('a payment appears where a lead looks, and goes on when the lead picks its number', async (t) => {
  const dave = await lead(t);
  await dave.getByText('Nothing waits for you.').waitFor();
  await isFine(dave, 'Waiting for you');
  await dave.evaluate(() => {
    window.sameDocument = true;
  });
  const alice = await clerk(t);
  const { number, id } = await pays(alice);
  const link = dave.getByRole('link', { name: SUMMARY });
  await link.waitFor();
  assert.ok(await dave.evaluate(() => window.sameDocument), 'without a reload');
  await isFine(dave, 'Waiting for you');
  await link.click();
  await dave.waitForURL(`${approver}/approvals/${id}`);
  await isFine(dave, 'Do you agree?');
  assert.ok(!(await dave.title()).includes(id));
  assert.match(await text(dave), /0 of 1/);
  await dave.getByRole('button', { name: number, exact: true }).click();
  await dave.getByRole('heading', { name: 'Approved' }).waitFor();
  // By itself.
  await alice.waitForURL((url) => url.pathname === '/payments/12');
  assert.equal(await heading(alice), 'Paid');
  // The lead sees that, too.
  await dave.getByRole('heading', { name: 'Done' }).waitFor();
  await isFine(dave, 'Done');
  assert.equal(await dave.locator('form').count(), 0);
  await dave.getByRole('link', { name: 'History' }).click();
  await dave.waitForURL(`${approver}/history`);
  await isFine(dave, 'History');
  await dave.getByRole('link', { name: SUMMARY }).waitFor();
  await dave.goto(`${approver}/approvals/nothing`);
  await isFine(dave, 'There is nothing here');
});

test('a wrong number is a no, and whoever looked on sees it', async (t) => {
  const dave = await lead(t);
  const erin = await lead(t);
  const alice = await clerk(t);
  const { number, id } = await pays(alice);
  for (const page of [dave, erin]) await page.goto(`${approver}/approvals/${id}`);
  const wrong = dave.locator('button[name=number]').filter({ hasNotText: number }).first();
  await wrong.click();
  await dave.getByRole('alert').waitFor();
  await isFine(dave, 'Denied: the number was wrong');
  await isFineInGerman(dave, 'Abgelehnt: Die Zahl war falsch');
  await erin.getByRole('heading', { name: 'Denied: the number was wrong' }).waitFor();
  assert.equal(await erin.locator('form').count(), 0, 'nothing is left to be decided');
  await alice.getByRole('heading', { name: 'It was not agreed to' }).waitFor();
});

test('without script it is the same', async (t) => {
  const dave = await lead(t, { javaScriptEnabled: false });
  const alice = await clerk(t);
  await pays(alice);
  await dave.reload();
  await dave.getByRole('link', { name: SUMMARY }).click();
  await dave.waitForURL(`${approver}/approvals/*`);
  await dave.getByRole('button', { name: 'Deny' }).click();
  await dave.getByRole('heading', { name: 'Denied' }).waitFor();
  await alice.getByRole('heading', { name: 'It was not agreed to' }).waitFor();
});

test('in German', async (t) => {
  const dave = await lead(t, { locale: 'de-DE' });
  await isFine(dave, 'Wartet auf Sie');
  const alice = await clerk(t);
  await pays(alice);
  await dave.getByRole('link', { name: SUMMARY }).click();
  await dave.waitForURL(`${approver}/approvals/*`);
  await isFine(dave, 'Stimmen Sie zu?');
  await dave.getByRole('button', { name: 'Melden: Das sieht falsch aus' }).click();
  await dave.getByRole('heading', { name: 'Als verdächtig gemeldet' }).waitFor();
  await isFine(dave, 'Als verdächtig gemeldet');
});

test('what could not be reached for a moment is reached again', async (t) => {
  const dave = await lead(t);
  // What a page does by itself after half a minute is not what is looked for here.
  await dave.addInitScript(() => {
    window.setInterval = () => 0;
  });
  const failed = new Set();
  const fails = (kind) => async (route) => {
    if (route.request().resourceType() !== kind || failed.has(kind)) return route.continue();
    failed.add(kind);
    return route.fulfill({ status: 503 });
  };
  await dave.route('**/events?*', fails('eventsource'));
  await dave.reload();
  await dave.getByText('Nothing waits for you.').waitFor();
  const alice = await clerk(t);
  await dave.route(`${approver}/`, fails('fetch'));
  await pays(alice);
  await dave.getByRole('link', { name: SUMMARY }).waitFor();
  assert.deepEqual([...failed].sort(), ['eventsource', 'fetch']);
});

test('what became of a request, in both languages', async (t) => {
  const dave = await lead(t);
  const german = await lead(t, { locale: 'de-DE' });
  const both = async (id, english, other) => {
    for (const [page, title] of [[dave, english], [german, other]]) {
      await page.goto(`${approver}/approvals/${id}`);
      await page.getByRole('heading', { name: title, exact: true }).waitFor();
      await isFine(page, title);
    }
  };
  const alice = await clerk(t);
  const asked = await pays(alice);
  await both(asked.id, 'Do you agree?', 'Stimmen Sie zu?');
  // Nobody comes back for it.
  await alice.goto('about:blank');
  await dave.getByRole('button', { name: asked.number, exact: true }).click();
  await both(asked.id, 'Approved', 'Genehmigt');
  await dave.evaluate(async () => {
    await fetch(location.href, { method: 'POST', body: new URLSearchParams({ answer: 'report' }) });
  });
  await both(asked.id, 'Revoked', 'Widerrufen');
  await alice.goto(`${app}/.stepgate/approval/${asked.id}`);
  await isFine(alice, 'The yes was taken back');
  await isFineInGerman(alice, 'Die Zustimmung wurde zurückgenommen');

  const bob = await clerk(t);
  const { id } = await pays(bob);
  await bob.getByRole('button', { name: 'Cancel' }).click();
  await both(id, 'Taken back', 'Zurückgezogen');
  await bob.getByRole('heading', { name: 'You have cancelled it' }).waitFor();
  await isFineInGerman(bob, 'Sie haben es abgebrochen');

  const carol = await clerk(t);
  const denied = await pays(carol);
  await dave.goto(`${approver}/approvals/${denied.id}`);
  await dave.getByRole('button', { name: 'Deny' }).click();
  await both(denied.id, 'Denied', 'Abgelehnt');
  await carol.getByRole('heading', { name: 'It was not agreed to' }).waitFor();
  await isFineInGerman(carol, 'Es wurde nicht zugestimmt');

  // Of a kind that waits for a few seconds.
  await alice.goto(`${app}/quick/7`);
  await alice.waitForURL(`${app}/.stepgate/approval/*`);
  const late = alice.url().split('/').at(-1);
  await alice.getByRole('heading', { name: 'The time is over' }).waitFor();
  await isFine(alice, 'The time is over');
  await isFineInGerman(alice, 'Die Zeit ist um');
  await both(late, 'Expired', 'Abgelaufen');
  for (const [page, title] of [[dave, 'History'], [german, 'Verlauf']]) {
    await page.goto(`${approver}/history`);
    await isFine(page, title);
  }
  await german.goto(`${approver}/approvals/nothing`);
  await isFine(german, 'Hier ist nichts');
});

test('it can be installed', async (t) => {
  const dave = await lead(t);
  const script = await dave.evaluate(async () => (await navigator.serviceWorker.ready).active.scriptURL);
  assert.equal(script, `${approver}/worker.js`);
  const manifest = await dave.evaluate(async () => {
    const link = document.querySelector('link[rel=manifest]');
    return (await fetch(link.href)).json();
  });
  assert.equal(manifest.display, 'standalone');
  const devtools = await dave.context().newCDPSession(dave);
  const { errors } = await devtools.send('Page.getAppManifest');
  assert.deepEqual(errors, []);
  const { installabilityErrors } = await devtools.send('Page.getInstallabilityErrors');
  // Nobody installs from a window of a private profile, which every one of these is.
  const others = installabilityErrors.filter(({ errorId }) => errorId !== 'in-incognito');
  assert.deepEqual(others, []);
});
