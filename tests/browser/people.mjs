// Two people: a clerk who pays in the app, and a lead who decides, each with a browser of their own.

import assert from 'node:assert/strict';
import { PHONE, app, authenticate, browsing, flaws, heading, newUser } from './world.mjs';

export const approver = process.env.STEPGATE_APPROVER;

export const SUMMARY = 'Pay 4200.00 EUR to Ada Lovelace (payment 12)';

/** As on a phone. */
export const IN_HAND = { viewport: PHONE, isMobile: true, hasTouch: true };

/** A page of this person's own browser, which must not break its own content security policy. */
export async function opened(t, options) {
  const context = await browsing(t, options);
  const page = await context.newPage();
  page.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) page.broken = message.text();
  });
  t.after(() => assert.equal(page.broken, undefined));
  return page;
}

export async function lead(t, options = {}) {
  const page = await opened(t, { ...IN_HAND, ...options });
  const user = await newUser({ groups: ['clerks', 'leads'] });
  await page.goto(`${approver}/`);
  await authenticate(page, user, { until: () => page.url() === `${approver}/` });
  page.user = user;
  return page;
}

export async function clerk(t, options = {}) {
  const page = await opened(t, options);
  const user = await newUser();
  await page.goto(`${app}/payments`);
  await authenticate(page, user);
  page.user = user;
  return page;
}

/** Asked for; the number that the clerk sees. */
export async function pays(page) {
  await page.goto(`${app}/payments`);
  await page.getByRole('button', { name: 'Pay' }).click();
  const shown = page.locator('.number');
  await shown.waitFor();
  const number = (await shown.innerText()).trim();
  assert.match(number, /^\d\d$/);
  const id = page.url().split('/').at(-1);
  assert.ok(!(await page.title()).includes(number) && !(await page.title()).includes(id));
  return { number, id };
}

/** The same page once more, for a browser that asks for German. */
export async function isFineInGerman(page, title) {
  await page.setExtraHTTPHeaders({ 'accept-language': 'de-DE' });
  await page.goto(page.url());
  await isFine(page, title);
  assert.equal(await page.locator('html').getAttribute('lang'), 'de');
  await page.setExtraHTTPHeaders({});
}

/** Nothing that axe finds, in both colour schemes. */
export async function isFine(page, title) {
  assert.equal(await heading(page), title);
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    assert.deepEqual(await flaws(page), [], `${title}, ${colorScheme}`);
  }
}
