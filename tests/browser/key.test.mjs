// The WebAuthn level with Chromium's virtual authenticator.

import assert from 'node:assert/strict';
import test from 'node:test';
import { allowCodesTwice, app, authenticate, browsing, closeBrowser, heading, newUser, text } from './world.mjs';

test.before(allowCodesTwice);
test.after(closeBrowser);

test('a security key is set up, then used, and then is all that is asked for', async (t) => {
  const user = await newUser();
  const context = await browsing(t);
  const page = await context.newPage();
  const devtools = await context.newCDPSession(page);
  await devtools.send('WebAuthn.enable');
  await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  // Keycloak asks for a name of the new key in a dialog.
  page.on('dialog', (dialog) => dialog.accept('test key'));

  const touched = [];
  const touch = async () => {
    for (const id of ['#registerWebAuthn', '#authenticateWebAuthnButton']) {
      const button = page.locator(id);
      if (await button.count()) {
        touched.push(id);
        await Promise.all([page.waitForNavigation(), button.click()]);
      }
    }
    return page.url().startsWith(app);
  };

  await page.goto(`${app}/key/`);
  assert.deepEqual(await authenticate(page, user, { until: touch }), ['password', 'otp']);
  assert.deepEqual(touched.splice(0), ['#registerWebAuthn']);
  assert.equal(await heading(page), 'Your new factor is set up; now use it', 'setting it up is not using it');

  await page.getByRole('link', { name: 'Confirm now' }).click();
  await page.waitForLoadState();
  assert.deepEqual(await authenticate(page, user, { until: touch }), [], 'only the missing factor');
  assert.deepEqual(touched.splice(0), ['#authenticateWebAuthnButton']);
  assert.equal(page.url(), `${app}/key/`);

  await page.goto(`${app}/.stepgate/me`);
  assert.match(await text(page), /Security key\s+confirmed .*good for another/);
  await page.getByRole('link', { name: 'Confirm Security key' }).click();
  await page.waitForLoadState();
  assert.deepEqual(await authenticate(page, user, { until: touch }), []);
  assert.deepEqual(touched, ['#authenticateWebAuthnButton'], 'asked every time');
  assert.equal(page.url(), `${app}/.stepgate/me`);
});
