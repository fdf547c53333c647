// The approver app's script and service worker in a real browser, with a server that stands in for the app's own: what a
// click subscribes, what a push shows, and where a click on it leads. A push service is beyond a test's reach: what it would
// bring is handed to the worker by the browser's own debugger.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import test from 'node:test';
import { browsing, closeBrowser } from './world.mjs';

const source = (name) => readFile(new URL(`../../src/gate/approver/${name}`, import.meta.url), 'utf8');
const ID = 'kY3vXw0S1mC9b2uQ7rT5Lg';

const PAGE = `<!doctype html><html lang="en"><title>app</title><script src="/app.js" defer></script><h1>app</h1>
<section id="push" hidden><button id="push-on" hidden>on</button><button id="push-test" hidden>test</button>
<button id="push-off" hidden>off</button>
<p id="push-said" data-on="is on" data-off="is off" data-sent="sent" data-failed="failed"></p></section>`;

test.after(closeBrowser);

/** The app; `told`: what its push endpoints got. `answers`: their status, 200 by default. */
async function serving(t, { answers = {}, key = 200 } = {}) {
  const told = [];
  const server = createServer(async (request, response) => {
    const body = (await request.toArray()).join('');
    const send = (status, type, text) => response.writeHead(status, { 'content-type': type }).end(text);
    if (request.url === '/push/key') return send(key, 'application/json', JSON.stringify({ key: 'BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs' }));
    if (request.url.startsWith('/push/')) {
      const what = request.url.slice('/push/'.length);
      told.push({ what, method: request.method, type: request.headers['content-type'], body: JSON.parse(body) });
      return send(answers[what] ?? 200, 'application/json', '{}');
    }
    if (/^\/(app|worker)\.js$/.test(request.url)) return send(200, 'text/javascript', await source(request.url.slice(1)));
    return send(200, 'text/html', PAGE);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => server.close());
  return { origin: `http://127.0.0.1:${server.address().port}`, told };
}

/** A page whose browser has a push service of the test's: subscriptions are kept in the page, over its reloads. */
async function opened(t, origin) {
  const context = await browsing(t);
  await context.grantPermissions(['notifications'], { origin });
  await context.addInitScript(() => {
    const made = (key) => ({
      endpoint: 'https://push.example.net/p/1',
      options: key,
      toJSON: () => ({ endpoint: 'https://push.example.net/p/1', keys: { p256dh: 'p', auth: 'a' } }),
      unsubscribe: async () => sessionStorage.removeItem('made') ?? true,
    });
    PushManager.prototype.getSubscription = async () => (sessionStorage.getItem('made') ? made() : null);
    PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
      if (!userVisibleOnly || applicationServerKey.length !== 65) throw new Error('not as it has to be');
      sessionStorage.setItem('made', '1');
      return made();
    };
  });
  const page = await context.newPage();
  await page.goto(origin);
  return page;
}

const said = (page, text) => page.locator('#push-said', { hasText: text }).waitFor();

test('a click subscribes, tries and lets go; a visit says that the browser is still there', async (t) => {
  const { origin, told } = await serving(t);
  const page = await opened(t, origin);
  await page.getByRole('button', { name: 'on' }).click();
  await said(page, 'is on');
  assert.deepEqual(told, [{
    what: 'subscribe',
    method: 'POST',
    type: 'application/json',
    body: { endpoint: 'https://push.example.net/p/1', keys: { p256dh: 'p', auth: 'a' } },
  }]);
  await page.getByRole('button', { name: 'test' }).click();
  await said(page, 'sent');
  await page.reload();
  await page.getByRole('button', { name: 'off' }).click();
  await said(page, 'is off');
  assert.deepEqual(told.map((one) => one.what), ['subscribe', 'test', 'subscribe', 'unsubscribe']);
  await page.getByRole('button', { name: 'on' }).waitFor();
});

test('what the server does not take is no subscription', async (t) => {
  const { origin } = await serving(t, { answers: { subscribe: 400 } });
  const page = await opened(t, origin);
  await page.getByRole('button', { name: 'on' }).click();
  await said(page, 'failed');
  assert.equal(await page.evaluate(() => sessionStorage.getItem('made')), null);
});

test('without Web Push nothing is offered', async (t) => {
  const { origin } = await serving(t, { key: 404 });
  const page = await opened(t, origin);
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
  assert.equal(await page.locator('#push').isVisible(), false);
});

test('a push shows that something waits, and a click on it leads there', async (t) => {
  const { origin } = await serving(t);
  const page = await opened(t, origin);
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
  const session = await page.context().newCDPSession(page);
  const registered = new Promise((done) => {
    session.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => {
      const ours = registrations.find((one) => one.scopeURL.startsWith(origin));
      if (ours) done(ours.registrationId);
    });
  });
  await session.send('ServiceWorker.enable');
  const registrationId = await registered;
  const shown = async (data) => {
    await session.send('ServiceWorker.deliverPushMessage', { origin, registrationId, data });
    return page.evaluate(async () => {
      const registration = await navigator.serviceWorker.ready;
      for (;;) {
        const all = await registration.getNotifications();
        if (all.length > 0) {
          const told = all.map(({ title, body, tag, data }) => ({ title, body, tag, data }));
          for (const one of all) if (one.tag !== 'keep') one.close();
          return told;
        }
        await new Promise((done) => setTimeout(done, 20));
      }
    });
  };
  assert.deepEqual(await shown(JSON.stringify({ id: ID, event: 'asked' })), [
    { title: 'Approvals', body: 'Somebody waits for your decision.', tag: ID, data: { id: ID } },
  ]);
  // Whatever it says, it is one of our sentences, and no link to elsewhere.
  for (const data of ['', 'no json', JSON.stringify({ id: '../../evil', event: 'title' }), JSON.stringify({ id: 7, event: '__proto__' })]) {
    const [one] = await shown(data);
    assert.deepEqual(one, { title: 'Approvals', body: 'Somebody waits for your decision.', tag: 'approvals', data: { id: '' } }, data);
  }
  const worker = page.context().serviceWorkers()[0];
  await worker.evaluate(async (id) => {
    await self.registration.showNotification('t', { tag: 'keep', data: { id } });
    const [notification] = await self.registration.getNotifications({ tag: 'keep' });
    self.dispatchEvent(new NotificationEvent('notificationclick', { notification }));
  }, ID);
  await page.waitForURL(`${origin}/approvals/${ID}`);
});
