// What the tests share: the addresses, a browser, users made for one test, and the forms of Keycloak.

import { createHmac, randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const require = createRequire(import.meta.url);
const axeSource = require('axe-core').source;

export const app = process.env.STEPGATE_APP ?? 'http://payroll.localhost:8080';
export const keycloak = process.env.STEPGATE_KEYCLOAK ?? 'http://localhost:9080';
const realm = process.env.STEPGATE_REALM ?? 'demo';
const admin = process.env.STEPGATE_KEYCLOAK_ADMIN ?? 'admin:admin';
const executablePath = process.env.STEPGATE_CHROMIUM ?? '/usr/bin/chromium';

/** Nothing here takes that long unless it hangs. */
export const BOUND = 20_000;

export const PHONE = { width: 360, height: 740 };

let shared;

/** A browser of its own for each test, as far as cookies go; closed at the end of it. */
export async function browsing(test, options = {}) {
  shared ??= await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  // Where the app has HTTPS, its certificate is the test's own.
  const context = await shared.newContext({ ignoreHTTPSErrors: true, ...options });
  context.setDefaultTimeout(BOUND);
  // Before the agent wraps it: it would hold a challenged request until somebody answers its dialog.
  await context.addInitScript(() => {
    window.nativeFetch = window.fetch.bind(window);
  });
  test.after(() => context.close());
  return context;
}

export async function closeBrowser() {
  await shared?.close();
  shared = undefined;
}

let token;

async function asAdmin(method, path, body) {
  if (!token) {
    const [username, password] = admin.split(':');
    const form = new URLSearchParams({ grant_type: 'password', client_id: 'admin-cli', username, password });
    const answer = await fetch(`${keycloak}/realms/master/protocol/openid-connect/token`, { method: 'POST', body: form });
    token = (await answer.json()).access_token;
  }
  const answer = await fetch(`${keycloak}/admin/realms${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  if (answer.status === 401) {
    token = undefined;
    return asAdmin(method, path, body);
  }
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer;
}

/** So that a test need not wait half a minute for the next code; the shipped realm refuses a code that was used. */
export async function allowCodesTwice() {
  // Keycloak takes the policy for codes as a whole.
  const known = await (await asAdmin('GET', `/${realm}`)).json();
  const policy = Object.entries(known).filter(([name]) => name.startsWith('otpPolicy'));
  await asAdmin('PUT', `/${realm}`, { realm, ...Object.fromEntries(policy), otpPolicyCodeReusable: true });
}

/** A user for one test: no other test's codes, sessions or keys get in the way. */
export async function newUser({ otp = true, groups = ['clerks'] } = {}) {
  const name = `user-${randomBytes(6).toString('hex')}`;
  const user = { name, password: `${name}-password`, secret: randomBytes(10).toString('hex') };
  const credentials = [{ type: 'password', value: user.password }];
  if (otp) {
    credentials.push({
      type: 'otp',
      userLabel: 'app',
      secretData: JSON.stringify({ value: user.secret }),
      credentialData: JSON.stringify({ digits: 6, counter: 0, period: 30, algorithm: 'HmacSHA1', subType: 'totp' }),
    });
  }
  await asAdmin('POST', `/${realm}/users`, {
    username: name,
    enabled: true,
    email: `${name}@example.test`,
    emailVerified: true,
    firstName: 'Test',
    lastName: 'User',
    groups,
    credentials,
  });
  return user;
}

/** Signs the user out everywhere, as an administrator would. */
export async function signOutEverywhere(user) {
  const found = await (await asAdmin('GET', `/${realm}/users?exact=true&username=${user.name}`)).json();
  await asAdmin('POST', `/${realm}/users/${found[0].id}/logout`);
}

/** RFC 6238. */
export function code(secret) {
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const tag = createHmac('sha1', Buffer.from(secret)).update(step).digest();
  const at = tag[19] & 15;
  return String((tag.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

/** Out of the app: a page of ours comes first, and goes on by itself. */
export async function atKeycloak(page) {
  await page.waitForURL((url) => url.href.startsWith(keycloak));
}

/** Types what Keycloak asks for until it asks no more; the factors that were typed. */
export async function authenticate(page, user, { until = () => page.url().startsWith(app) } = {}) {
  const typed = [];
  const end = Date.now() + BOUND;
  while (!(await until())) {
    if (Date.now() > end || typed.length > 6) throw new Error(`stuck at ${page.url()} after ${typed}:\n${await text(page)}`);
    const asked = await page
      .locator('#password, #otp, #totp')
      .first()
      .getAttribute('id', { timeout: 500 })
      .catch(() => undefined);
    if (asked === 'password') {
      if (await page.locator('#username:not([type=hidden])').count()) await page.fill('#username', user.name);
      await page.fill('#password', user.password);
      await submit(page, typed, 'password');
    } else if (asked === 'otp') {
      await page.fill('#otp', code(user.secret));
      await submit(page, typed, 'otp');
    } else if (asked === 'totp') {
      // Setting one up: the page shows the secret in base32.
      await page.goto(new URL(await page.getAttribute('#mode-manual', 'href'), page.url()).href);
      user.secret = unbase32((await page.textContent('#kc-totp-secret-key')).replaceAll(/\s/g, ''));
      await page.fill('#totp', code(user.secret));
      await submit(page, typed, 'enrol');
    }
  }
  return typed;
}

/** Confirms in a window that closes itself in the end; the factors that were typed, unless it was faster. */
export async function confirmIn(popup, user) {
  const closed = popup.isClosed() ? undefined : popup.waitForEvent('close', { timeout: BOUND });
  closed?.catch(() => {});
  let typed = [];
  try {
    typed = await authenticate(popup, user, { until: () => popup.isClosed() || popup.url().startsWith(`${app}/`) });
  } catch (error) {
    if (!popup.isClosed()) throw error;
  }
  await closed;
  return typed;
}

async function submit(page, typed, factor) {
  const before = page.url();
  await Promise.all([
    page.waitForURL((url) => url.href !== before, { waitUntil: 'load' }),
    page.locator('input[type=submit], button[type=submit]').first().click(),
  ]);
  typed.push(factor);
}

function unbase32(text) {
  let bits = '';
  for (const letter of text) bits += 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0');
  return Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2))).toString('latin1');
}

export async function text(page) {
  return page.locator('body').innerText();
}

export async function heading(page) {
  return page.locator('h1').first().innerText();
}

/** What a script of the page would get without the agent; redirects are not followed (status 0). */
export async function ask(page, path, init = {}) {
  return page.evaluate(
    async ([path, init]) => {
      const answer = await window.nativeFetch(path, { redirect: 'manual', ...init });
      return { status: answer.status, body: await answer.text() };
    },
    [path, init],
  );
}

/** Asks until the answer is as wanted; nothing else tells when a level has decayed. */
export async function until(what, wanted, probe) {
  const end = Date.now() + 3 * BOUND;
  for (;;) {
    const answer = await probe();
    if (wanted(answer)) return answer;
    if (Date.now() > end) throw new Error(`${what}: still ${JSON.stringify(answer)}`);
    await new Promise((done) => setTimeout(done, 250));
  }
}

/** What axe finds wrong, and whether the page fits the screen. */
export async function flaws(page) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => window.axe.run());
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`);
  const [content, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  if (content > screen) found.push(`wider than the screen: ${content} > ${screen}`);
  return found;
}
