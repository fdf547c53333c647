// The pictures of README, from the real pages: `make screenshots`.

import { join } from 'node:path';
import { allowCodesTwice, app, authenticate, browsing, closeBrowser, text } from './world.mjs';

const folder = process.env.STEPGATE_PICTURES;
const alice = { name: 'alice', password: 'alice-password', secret: 'stepgate-demo-alice!' };
const bob = { name: 'bob', password: 'bob-password' };
const dave = { name: 'dave', password: 'dave-password', secret: 'stepgate-demo-dave!' };
const approver = process.env.STEPGATE_APPROVER;

/** Not a test: what has to be closed is closed at the end. */
const after = [];
const run = { after: (close) => after.push(close) };

async function picture(page, name) {
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  console.log(name, (await text(page)).split('\n')[0]);
}

await allowCodesTwice();
const desk = { viewport: { width: 760, height: 420 }, deviceScaleFactor: 1.5 };
const page = await (await browsing(run, desk)).newPage();
await page.goto(`${app}/`);
await authenticate(page, alice);
await page.goto(`${app}/payroll`);
await picture(page, 'keycloak-asks');
await authenticate(page, alice);
await picture(page, 'payroll');
await page.goto(`${app}/.stepgate/me`);
await picture(page, 'my-session');
await page.goto(`${app}/admin`);
await picture(page, 'forbidden');
await page.goto(`${app}/payments`);
await page.getByRole('button', { name: 'Pay' }).click();
await page.locator('.number').waitFor();
await picture(page, 'waiting');

const phone = { viewport: { width: 360, height: 500 }, deviceScaleFactor: 2, isMobile: true, colorScheme: 'dark' };
const small = await (await browsing(run, phone)).newPage();
await small.goto(`${app}/payroll`);
await authenticate(small, bob);
await picture(small, 'enrolled-on-a-phone');

const lead = await (await browsing(run, { ...phone, viewport: { width: 360, height: 740 } })).newPage();
await lead.goto(`${approver}/`);
await authenticate(lead, dave, { until: () => lead.url() === `${approver}/` });
await lead.getByRole('link', { name: 'Pay 4200.00 EUR' }).waitFor();
await picture(lead, 'inbox-on-a-phone');
await lead.getByRole('link', { name: 'Pay 4200.00 EUR' }).click();
await lead.waitForURL(`${approver}/approvals/*`);
await picture(lead, 'approve-on-a-phone');
await lead.goto(`${approver}/devices/new`);
await lead.getByRole('link', { name: 'Confirm', exact: true }).click();
const field = lead.getByLabel('Name');
await authenticate(lead, dave, { until: async () => lead.url().startsWith(approver) && field.isVisible() });
await field.fill('My phone');
await lead.getByRole('button', { name: 'Add this browser' }).click();
await lead.getByText('· this browser').waitFor();
await picture(lead, 'my-devices-on-a-phone');

for (const close of after) await close();
await closeBrowser();
