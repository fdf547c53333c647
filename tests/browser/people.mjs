// Two people: a clerk who pays in the app, and a lead who decides, each with a browser of their own.

import assert from 'node:assert/strict';
import { PHONE, app, authenticate, browsing, flaws, heading, keycloak, newUser } from './world.mjs';

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

/** Signed in where people decide. */
export async function phone(t, user, options = {}) {
  const page = await opened(t, { ...IN_HAND, ...options });
  await page.goto(`${approver}/`);
  await authenticate(page, user, { until: () => page.url() === `${approver}/` });
  return page;
}

export const ADDING = {
  English: { add: 'Add this browser', first: 'Confirm that it is you', confirm: 'Confirm', label: 'Name', title: 'My devices' },
  German: { add: 'Diesen Browser hinzufügen', first: 'Bestätigen Sie Ihre Identität', confirm: 'Bestätigen', label: 'Name', title: 'Meine Geräte' },
};

/** By "my devices", and by a sign-in for that alone, however fresh the one before is. */
export async function adds(page, user, name, words = ADDING.English) {
  await page.goto(`${approver}/devices`);
  await isFine(page, words.title);
  await page.getByRole('link', { name: words.add }).click();
  const field = page.getByLabel(words.label);
  const confirm = page.getByRole('link', { name: words.confirm, exact: true });
  await confirm.waitFor();
  await isFine(page, words.first);
  await confirm.click();
  const typed = await authenticate(page, user, { until: async () => page.url().startsWith(`${approver}/devices/new`) && field.isVisible() });
  assert.equal(typed[0], 'password', 'whatever was typed before');
  await isFine(page, words.add);
  await field.fill(name);
  await page.getByRole('button', { name: words.add }).click();
  await page.waitForURL(`${approver}/devices`);
  await page.getByText(name, { exact: true }).waitFor();
}

/** What a client that knows nothing of stepgate asks Keycloak, and what it gets: now, or in the end. */
export async function tellerAsks(user, message) {
  const endpoints = `${keycloak}/realms/${process.env.STEPGATE_REALM}/protocol/openid-connect`;
  const post = async (path, form) => {
    const answer = await fetch(`${endpoints}/${path}`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa('teller:teller-secret-not-for-production')}` },
      body: new URLSearchParams(form),
    });
    return answer.json();
  };
  const asked = await post('ext/ciba/auth', { scope: 'openid profile', login_hint: user.name, binding_message: message });
  assert.ok(asked.auth_req_id, JSON.stringify(asked));
  const poll = () => post('token', { grant_type: 'urn:openid:params:grant-type:ciba', auth_req_id: asked.auth_req_id });
  // Until there is a word; at the pace that Keycloak wants, and slower when it says so.
  const gets = async () => {
    for (let pause = asked.interval; ; ) {
      const answer = await poll();
      if (!['authorization_pending', 'slow_down'].includes(answer.error)) return answer;
      if (answer.error === 'slow_down') pause += 5;
      await new Promise((done) => setTimeout(done, pause * 1000));
    }
  };
  return { poll, gets };
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
