// The half-sent form: what a person filled in, a file included, is there after the step-up, and arrives once.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import test from 'node:test';
import {
  allowCodesTwice, app, ask, atKeycloak, authenticate, browsing, closeBrowser, flaws, heading, newUser, PHONE, text, until,
} from './world.mjs';

test.before(allowCodesTwice);
test.after(closeBrowser);

const digest = (content) => createHash('sha256').update(content).digest('hex');

/** Every byte there is, and some. */
const file = (size) => Buffer.concat([Buffer.from([...Array(256).keys()]), randomBytes(size - 256)]);

async function fillIn(page, { note, content }) {
  await page.goto(`${app}/expenses`);
  await page.fill('textarea', note);
  await page.setInputFiles('input[type=file]', { name: 'receipt.pdf', mimeType: 'application/pdf', buffer: content });
  await page.getByRole('button', { name: 'Hand in' }).click();
}

test('a form with a file survives the step-up, and is sent once, by one click', async (t) => {
  const user = await newUser();
  const page = await (await browsing(t)).newPage();
  await page.goto(`${app}/`);
  await authenticate(page, user);
  const note = 'Train to Zürich\n2nd class & a coffee + "tip"';
  const content = file(20_000);
  await fillIn(page, { note, content });
  await atKeycloak(page);
  assert.deepEqual(await authenticate(page, user), ['password', 'otp']);
  assert.equal(await heading(page), 'Send it now?');
  assert.match(await text(page), /payroll\.localhost:\d+\/expenses/);
  assert.match(await text(page), /POST/);
  assert.deepEqual(await flaws(page), []);
  await page.setViewportSize(PHONE);
  assert.deepEqual(await flaws(page), []);

  // Loaded again as often as one likes.
  await page.reload();
  assert.equal(await heading(page), 'Send it now?');
  await page.getByRole('button', { name: 'Send it now' }).click();
  await page.waitForURL(`${app}/expenses?**`);
  assert.equal(await heading(page), 'Handed in');
  if (app.startsWith('https:')) {
    assert.equal(await page.evaluate(() => performance.getEntriesByType('navigation')[0].nextHopProtocol), 'h2');
  }
  const told = await text(page);
  // As browsers send line ends (RFC 7578 4.4 leaves them as they are; HTML makes them CR LF).
  const sent = Buffer.from(note.replaceAll('\n', '\r\n'));
  assert.match(told, new RegExp(`note: ${sent.length} bytes, SHA-256 ${digest(sent)}`));
  assert.match(told, new RegExp(`receipt.pdf: ${content.length} bytes, SHA-256 ${digest(content)}`));

  // The answer's page loaded again would send the click again.
  await page.reload();
  assert.equal(await heading(page), 'This was sent already');
});

test('what is not to be sent is dropped', async (t) => {
  const user = await newUser();
  const page = await (await browsing(t)).newPage();
  await page.goto(`${app}/`);
  await authenticate(page, user);
  await fillIn(page, { note: 'never mind', content: file(1000) });
  await atKeycloak(page);
  await authenticate(page, user);
  const kept = page.url();
  await page.getByRole('button', { name: 'Do not send it' }).click();
  await page.waitForURL(`${app}/`);
  await page.goto(kept);
  assert.equal(await heading(page), 'Nothing is kept here');
  assert.deepEqual(await flaws(page), []);
});

test('a click where the proof is of a minute ago is asked for it, and then sent', async (t) => {
  const user = await newUser();
  const page = await (await browsing(t)).newPage();
  await page.goto(`${app}/payroll`);
  await authenticate(page, user);
  // The route wants a proof of the last seconds.
  const probe = () => ask(page, '/payroll/0/release', { method: 'POST' });
  assert.equal((await until('the proof', ({ status }) => status !== 200, probe)).status, 401);
  await page.getByRole('button', { name: 'Release' }).click();
  await atKeycloak(page);
  assert.deepEqual(await authenticate(page, user), ['password', 'otp']);
  assert.equal(await heading(page), 'Send it now?');
  await page.getByRole('button', { name: 'Send it now' }).click();
  await page.waitForURL(`${app}/payroll/7/release?**`);
  assert.match(await text(page), /was released: amount=4200/);
});

test('a form that is too large to be kept is answered, not cut off', async (t) => {
  const user = await newUser();
  const page = await (await browsing(t)).newPage();
  await page.goto(`${app}/`);
  await authenticate(page, user);
  await fillIn(page, { note: 'a film', content: file(6_000_000) });
  await page.getByRole('heading', { name: 'This was not sent yet' }).waitFor();
  assert.match(await text(page), /larger than 64 KiB/);
  assert.deepEqual(await flaws(page), []);
});
