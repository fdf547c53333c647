// Many tabs, the Back button, and pages of Keycloak that were kept for later.

import assert from 'node:assert/strict';
import test from 'node:test';
import {
  PHONE, allowCodesTwice, app, ask, authenticate, browsing, closeBrowser, flaws, heading, keycloak, newUser, text, until,
} from './world.mjs';

test.before(allowCodesTwice);
test.after(closeBrowser);

const TABS = 10;

/** Every tab is brought to the front, as a person would; one click where the page offers the way on. */
async function landAll(pages, paths) {
  const clicks = pages.map(() => 0);
  await until(
    'all tabs',
    (left) => left.length === 0,
    async () => {
      const left = [];
      for (const [index, page] of pages.entries()) {
        if (page.url() === app + paths[index] && (await heading(page).catch(() => '')) !== 'Finish signing in in another tab') continue;
        left.push(page.url());
        await page.bringToFront();
        if (!page.url().startsWith(`${app}/.stepgate/callback`)) continue;
        const link = page.locator(`a[href="${paths[index].replaceAll('&', '&amp;')}"]`).first();
        if (await link.count()) {
          clicks[index] += 1;
          await link.click();
        }
      }
      return left;
    },
  );
  return clicks;
}

test('ten tabs cost one sign-in, and each lands on its own address', async (t) => {
  const user = await newUser();
  const context = await browsing(t);
  const paths = Array.from({ length: TABS }, (_, index) => `/tab/${index}?of=${TABS}`);
  const pages = [];
  for (const path of paths) {
    const page = await context.newPage();
    await page.goto(app + path);
    pages.push(page);
  }
  const asking = pages.filter((page) => page.url().startsWith(keycloak));
  assert.equal(asking.length, 5, 'five flows at most, the other tabs wait');
  await asking[2].bringToFront();
  assert.deepEqual(await authenticate(asking[2], user), ['password']);
  const clicks = await landAll(pages, paths);
  assert.ok(Math.max(...clicks) <= 1, `clicks: ${clicks}`);
  for (const [index, page] of pages.entries()) {
    assert.match(await text(page), new RegExp(`/tab/${index}`));
  }
});

test('ten tabs at the same instant: the sign-in of one serves all, and no address is lost', async (t) => {
  // In a browser that Keycloak has never seen its cookies overwrite each other then: it may ask the one tab twice, and
  // tabs may come back as one another. Nobody ends at an error, and whatever was not opened is offered.
  const user = await newUser();
  const context = await browsing(t);
  const paths = Array.from({ length: TABS }, (_, index) => `/tab/${index}?of=${TABS}`);
  const pages = await Promise.all(paths.map(() => context.newPage()));
  await Promise.all(pages.map((page, index) => page.goto(app + paths[index])));
  await pages[0].bringToFront();
  const typed = await authenticate(pages[0], user);
  assert.ok(typed.length <= 2, `${typed}`);
  const seen = new Set();
  const landed = async (page) => {
    await page.bringToFront();
    if (!page.url().startsWith(app) || (await heading(page).catch(() => '')).startsWith('Finish')) return false;
    if (!page.url().startsWith(`${app}/.stepgate/callback`)) return seen.add(page.url().slice(app.length));
    assert.equal(await heading(page), 'You are signed in');
    for (const link of await page.locator('ul a, a.button').all()) seen.add(await link.getAttribute('href'));
    await page.setViewportSize(PHONE);
    assert.deepEqual(await flaws(page), []);
    return true;
  };
  for (const page of pages) {
    await until('the tab', Boolean, () => landed(page)).catch(async (error) => {
      // A form that Keycloak made between the cookies of two tabs does not go on by itself: its user loads it again.
      if (!page.url().startsWith(keycloak)) throw new Error(`${page.url()}: ${await text(page)}`, { cause: error });
      await page.reload();
      await until(`the tab at ${page.url()}`, Boolean, () => landed(page));
    });
  }
  assert.deepEqual(paths.filter((path) => !seen.has(path)), [], 'addresses that are neither open nor offered');
});

test('ten tabs at once cost one step-up', async (t) => {
  const user = await newUser();
  const context = await browsing(t);
  const first = await context.newPage();
  await first.goto(`${app}/`);
  await authenticate(first, user);
  const paths = Array.from({ length: TABS }, (_, index) => `/payroll?tab=${index}`);
  const pages = await Promise.all(paths.map(() => context.newPage()));
  await Promise.all(pages.map((page, index) => page.goto(app + paths[index])));
  const asking = pages.filter((page) => page.url().startsWith(keycloak));
  await asking[0].bringToFront();
  assert.deepEqual(await authenticate(asking[0], user), ['password', 'otp']);
  const clicks = await landAll(pages, paths);
  assert.ok(Math.max(...clicks) <= 1, `clicks: ${clicks}`);
});

test('a sixth tab waits for the others, and goes on by itself', async (t) => {
  const user = await newUser();
  const context = await browsing(t);
  const pages = [];
  for (let index = 0; index < 6; index += 1) {
    const page = await context.newPage();
    await page.goto(`${app}/tab/${index}`);
    pages.push(page);
  }
  assert.equal(pages.filter((page) => page.url().startsWith(keycloak)).length, 5);
  const last = pages[5];
  assert.equal(await heading(last), 'Finish signing in in another tab');
  assert.deepEqual(await authenticate(pages[4], user), ['password']);
  await last.bringToFront();
  await last.getByText('/tab/5').first().waitFor();
});

test('Back after a step-up leads to the app, and never to a dead end', async (t) => {
  const user = await newUser();
  const page = await (await browsing(t)).newPage();
  await page.goto(`${app}/`);
  await authenticate(page, user);
  await page.goto(`${app}/payroll`);
  await authenticate(page, user);
  assert.equal(page.url(), `${app}/payroll`);
  const seen = [];
  for (let step = 0; step < 8 && page.url() !== `${app}/`; step += 1) {
    await page.goBack();
    await page.waitForLoadState();
    seen.push(page.url());
    if (page.url().startsWith(`${app}/.stepgate/callback`)) {
      assert.equal(await heading(page), 'You are signed in');
      await page.locator('a.button').click();
      await page.waitForLoadState();
      assert.ok(page.url().startsWith(app), page.url());
      assert.equal((await ask(page, '/')).status, 200);
      return;
    }
  }
  // However many pages of Keycloak lie between, the app is behind them, still signed in.
  assert.equal(page.url(), `${app}/`, seen.join('\n'));
  assert.equal((await ask(page, '/')).status, 200);
});

test("a callback's address that is opened again leads on", async (t) => {
  const user = await newUser();
  const page = await (await browsing(t)).newPage();
  let callback;
  page.on('request', (request) => {
    if (request.url().startsWith(`${app}/.stepgate/callback`)) callback = request.url();
  });
  await page.goto(`${app}/deep?x=1`);
  await authenticate(page, user);
  await page.goto(callback);
  assert.equal(await heading(page), 'You are signed in');
  await page.getByRole('link', { name: 'Go to the start page' }).click();
  await page.waitForLoadState();
  assert.equal(page.url(), `${app}/`);
  assert.equal((await ask(page, '/')).status, 200);
});

test('a bookmark of the sign-in page ends in the app, not in an error', async (t) => {
  const user = await newUser();
  const context = await browsing(t);
  const page = await context.newPage();
  await page.goto(`${app}/somewhere`);
  const bookmark = page.url();
  assert.ok(bookmark.startsWith(keycloak));
  // The next day: another browser session, no flow, no session.
  await context.clearCookies();
  await page.goto(bookmark);
  // Keycloak cannot go on with it, and offers the way to the application.
  await page.locator('#backToApplication').click();
  await page.waitForLoadState();
  await authenticate(page, user);
  assert.equal(page.url(), `${app}/`);
  assert.equal((await ask(page, '/')).status, 200);
});
