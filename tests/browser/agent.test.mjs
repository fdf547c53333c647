// The agent in pages of all sorts: a request that needs more is held, confirmed in a popup, and answered.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { minify } from 'terser';
import { allowCodesTwice, app, ask, atKeycloak, authenticate, browsing, closeBrowser, confirmIn, flaws, newUser, until } from './world.mjs';

/** A file of a package, past what it exports. */
const vendored = (name) => new URL(`node_modules/${name}`, import.meta.url).pathname;

const root = new URL('../../', import.meta.url);
const STRICT = "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; require-trusted-types-for 'script'";
const AGENT = '<script src="/.stepgate/agent.js"></script>';

before(allowCodesTwice);
after(closeBrowser);

/** Signed in with the password, on a page of ours at an address of the app's; the agent is the real one. */
async function on(t, { user, vendor, policy = STRICT, headers = {}, path = '/a-page', script } = {}) {
  const context = await browsing(t);
  const more = vendor ? '<script src="/vendor.js"></script>' : '';
  if (vendor) await context.route(`${app}/vendor.js`, (route) => route.fulfill({ contentType: 'text/javascript', path: vendor }));
  await context.route(`${app}${path}`, (route) =>
    route.fulfill({
      contentType: 'text/html',
      headers: { 'content-security-policy': policy, ...headers },
      body: `<!doctype html><html lang="en"><head><title>A page</title>${AGENT}${more}</head><body><main><h1>A page</h1></main></body></html>`,
    }),
  );
  const page = await context.newPage();
  await page.goto(`${app}/`);
  await authenticate(page, user);
  if (script) await page.addInitScript(script);
  page.complaints = [];
  // A picture for the tab is looked for when the browser likes, by no page's wish.
  page.on('console', (message) => message.type() === 'error' && /policy|trusted/i.test(message.text()) && !message.text().includes('/favicon.ico') && page.complaints.push(message.text()));
  await page.goto(`${app}${path}`);
  return page;
}

/** Lets a script of the page go on by itself; its result comes later. */
function begin(page, work, argument) {
  const result = page.evaluate(work, argument);
  // Looked at in the end; until then it may fail because its page is gone.
  result.catch(() => {});
  return result;
}

const dialog = (page) => page.getByRole('dialog');

/** Clicks, and confirms in the window that opens. */
async function confirm(page, user, button = 'Continue') {
  const [popup] = await Promise.all([page.waitForEvent('popup'), page.getByRole('button', { name: button }).click()]);
  return confirmIn(popup, user);
}

const get = async (path) => {
  const answer = await fetch(path);
  return { status: answer.status, url: answer.url, redirected: answer.redirected, type: answer.type, text: await answer.text() };
};

test('a fetch goes on where it was, and the page was never left', async (t) => {
  const user = await newUser();
  const page = await on(t, { user });
  await page.evaluate(() => (window.unsaved = 'a draft'));
  const answer = begin(page, get, '/payroll/api/salaries');
  await dialog(page).waitFor();
  await confirm(page, user);
  const { status, url, redirected, type, text } = await answer;
  assert.deepEqual([status, url, redirected, type], [200, `${app}/payroll/api/salaries`, false, 'basic']);
  assert.deepEqual(JSON.parse(text), { 'Ada Lovelace': 4200 });
  assert.equal(await page.evaluate(() => window.unsaved), 'a draft');
  assert.equal(await dialog(page).count(), 0);
  // The next one needs nothing.
  assert.equal((await page.evaluate(get, '/payroll/api/salaries')).status, 200);
  assert.deepEqual(page.complaints, []);
});

test('bodies of every kind are sent again as they were', async (t) => {
  const user = await newUser();
  const page = await on(t, { user });
  const answers = begin(page, async () => {
    const form = () => {
      const form = new FormData();
      form.append('note', 'ä');
      form.append('file', new File(['\u0000\u0001file'], 'a.bin', { type: 'application/x-own' }));
      return form;
    };
    const bytes = new Uint8Array(70000).fill(7);
    const send = async (input, init) => {
      const answer = await fetch(input, init);
      return `${answer.status} ${(await answer.text()).slice(0, 400)}`;
    };
    const url = '/payroll/api/notes';
    const later = form();
    const calls = [
      send(url, { method: 'POST', body: 'text' }),
      send(url, { method: 'POST', body: later }),
      send(url, { method: 'POST', body: bytes }),
      send(url, { method: 'POST', body: new Blob(['blob']) }),
      send(new Request(url, { method: 'POST', body: new URLSearchParams({ a: '1 2' }) })),
      send(new Request(url, { method: 'POST', body: 'of a request' }), { headers: { 'x-own': '1' } }),
    ];
    // What is changed after the call is not what was sent.
    later.append('late', 'x');
    bytes.fill(0);
    return Promise.all(calls);
  });
  await dialog(page).waitFor();
  await confirm(page, user);
  const [text, form, bytes, blob, params, request] = await answers;
  assert.equal(text, '200 4 bytes\ntext');
  assert.match(form, /^200 \d+ bytes[^]*name="note"\r\n\r\nä\r\n[^]*filename="a.bin"\r\nContent-Type: application\/x-own\r\n\r\n\u0000\u0001file/);
  assert.doesNotMatch(form, /late/);
  assert.match(bytes, /^200 70000 bytes\n\u0007+$/);
  assert.equal(blob, '200 4 bytes\nblob');
  assert.equal(params, '200 5 bytes\na=1+2');
  assert.equal(request, '200 12 bytes\nof a request');
});

test('an XMLHttpRequest tells its story once', async (t) => {
  const user = await newUser();
  const page = await on(t, { user });
  const story = begin(page, async () => {
    const ask = (type, body) =>
      new Promise((done) => {
        const told = [];
        const request = new XMLHttpRequest();
        request.onreadystatechange = () => told.push(request.readyState);
        for (const type of ['loadstart', 'load', 'error', 'abort', 'timeout']) request.addEventListener(type, () => told.push(type));
        request.onloadend = () => done({ told, status: request.status, url: request.responseURL, response: type === 'blob' ? request.response.size : request.response });
        request.open('POST', '/payroll/api/notes');
        request.responseType = type;
        request.setRequestHeader('content-type', 'text/plain');
        request.send(body);
      });
    const form = new FormData();
    form.append('file', new File(['file'], 'a.txt'));
    const native = XMLHttpRequest.DONE === 4 && new XMLHttpRequest() instanceof XMLHttpRequest && 'upload' in new XMLHttpRequest();
    return [native, await Promise.all([ask('', 'text'), ask('text', 'text'), ask('blob', 'text'), ask('', form)])];
  });
  await dialog(page).waitFor();
  await confirm(page, user);
  const [native, [plain, text, blob, form]] = await story;
  assert.ok(native);
  assert.deepEqual(plain, { told: [1, 'loadstart', 2, 3, 4, 'load'], status: 200, url: `${app}/payroll/api/notes`, response: '4 bytes\ntext' });
  assert.deepEqual(text, plain);
  assert.deepEqual([blob.status, blob.response], [200, '4 bytes\ntext'.length]);
  assert.match(form.response, /filename="a.txt"/);
});

test('an XMLHttpRequest that is given up or aborted ends as it would have', async (t) => {
  const user = await newUser();
  const page = await on(t, { user });
  const story = (abort) =>
    begin(
      page,
      (abort) =>
        new Promise((done) => {
          const told = [];
          const request = new XMLHttpRequest();
          for (const type of ['readystatechange', 'load', 'error', 'abort']) request.addEventListener(type, () => told.push(type === 'readystatechange' ? request.readyState : type));
          request.onloadend = () => done([told, request.status, request.getResponseHeader('content-type')]);
          request.open('GET', '/payroll/api/salaries');
          request.send();
          if (abort) window.abortLater = () => request.abort();
        }),
      abort,
    );
  let told = story(false);
  await dialog(page).getByRole('button', { name: 'Cancel' }).click();
  assert.deepEqual(await told, [[1, 4, 'load'], 401, 'application/problem+json']);
  told = story(true);
  await dialog(page).waitFor();
  await page.evaluate(() => window.abortLater());
  assert.deepEqual(await told, [[1, 'abort'], 0, null]);
});

for (const [library, adapter] of [['axios', 'xhr'], ['axios', 'fetch'], ['htmx2'], ['htmx4']]) {
  test(`${library} ${adapter ?? ''} need not know of it`, async (t) => {
    const user = await newUser();
    const policy = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self' 'unsafe-inline'";
    const page = await on(t, { user, policy, vendor: vendored(`${library}/dist/${library.replace(/\d/, '')}.min.js`) });
    if (adapter) {
      const answer = begin(page, async (adapter) => {
        const { status, data } = await window.axios.post('/payroll/api/notes', { a: 1 }, { adapter });
        return [status, data];
      }, adapter);
      await dialog(page).waitFor();
      await confirm(page, user);
      assert.deepEqual(await answer, [200, '7 bytes\n{"a":1}']);
      return;
    }
    await page.evaluate(() => {
      const button = document.createElement('button');
      button.textContent = 'Swap';
      for (const [key, value] of [['hx-get', '/payroll/api/salaries'], ['hx-target', '#here']]) button.setAttribute(key, value);
      const here = document.createElement('div');
      here.id = 'here';
      document.querySelector('main').append(button, here);
      window.htmx.process(document.body);
    });
    await page.getByRole('button', { name: 'Swap' }).click();
    await dialog(page).waitFor();
    await confirm(page, user);
    await page.locator('#here', { hasText: '4200' }).waitFor();
    assert.equal(page.url(), `${app}/a-page`);
  });
}

test('htmx without the agent is sent to confirm, and comes back to its page', async (t) => {
  const user = await newUser();
  const context = await browsing(t);
  await context.route(`${app}/orders?page=2`, (route) =>
    route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>Orders</title><script src="/vendor/htmx.js"></script><button hx-get="/payroll/api/salaries">Swap</button>' }),
  );
  await context.route(`${app}/vendor/htmx.js`, (route) => route.fulfill({ contentType: 'text/javascript', path: vendored('htmx2/dist/htmx.min.js') }));
  const page = await context.newPage();
  await page.goto(`${app}/`);
  await authenticate(page, user);
  await page.goto(`${app}/orders?page=2`);
  await page.getByRole('button', { name: 'Swap' }).click();
  await page.waitForURL((url) => !url.href.startsWith(app));
  await authenticate(page, user);
  assert.equal(page.url(), `${app}/orders?page=2`);
});

test('parallel calls are one popup', async (t) => {
  const user = await newUser();
  const page = await on(t, { user });
  let popups = 0;
  page.on('popup', () => popups++);
  const answers = begin(page, () => Promise.all([...Array(10).keys()].map(async (number) => (await fetch(`/payroll/api/salaries?${number}`)).status)));
  await dialog(page).waitFor();
  assert.equal(await dialog(page).count(), 1);
  await confirm(page, user);
  assert.deepEqual(await answers, Array(10).fill(200));
  assert.equal(popups, 1);
});

test('who cancels, or is not there, gets the original answer', async (t) => {
  const user = await newUser();
  const page = await on(t, { user });
  const call = () =>
    begin(page, async () => {
      const answer = await fetch('/payroll/api/salaries');
      return [answer.status, (await answer.json()).code];
    });
  for (const give of ['click', 'key']) {
    const answer = call();
    await dialog(page).waitFor();
    if (give === 'click') await dialog(page).getByRole('button', { name: 'Cancel' }).click();
    else await page.keyboard.press('Escape');
    assert.deepEqual(await answer, [401, 'step-up']);
    assert.equal(await dialog(page).count(), 0);
  }
  // Five minutes later.
  await page.clock.install();
  const answer = call();
  await dialog(page).waitFor();
  await page.clock.fastForward(301_000);
  assert.deepEqual(await answer, [401, 'step-up']);
  // A caller that lost interest is told at once.
  const aborted = begin(page, async () => {
    const stop = new AbortController();
    window.stop = () => stop.abort();
    return fetch('/payroll/api/salaries', { signal: stop.signal }).catch((error) => error.name);
  });
  await dialog(page).waitFor();
  await page.evaluate(() => window.stop());
  assert.equal(await aborted, 'AbortError');
  await dialog(page).waitFor({ state: 'detached' });
});

test('a blocked window is a link', async (t) => {
  const user = await newUser();
  const page = await on(t, { user, script: () => (window.open = () => null) });
  const answer = begin(page, get, '/payroll/api/salaries');
  await dialog(page).getByRole('button', { name: 'Continue' }).click();
  const link = dialog(page).getByRole('link', { name: 'Confirm' });
  await link.waitFor();
  const [tab] = await Promise.all([page.context().waitForEvent('page'), link.click()]);
  await confirmIn(tab, user);
  assert.equal((await answer).status, 200);
});

test('a page that is cut from its windows, and without channels, still hears of it', async (t) => {
  const user = await newUser();
  const page = await on(t, { user, headers: { 'cross-origin-opener-policy': 'same-origin' }, script: () => delete window.BroadcastChannel });
  const answer = begin(page, get, '/payroll/api/salaries');
  await dialog(page).waitFor();
  const [popup] = await Promise.all([page.context().waitForEvent('page'), page.getByRole('button', { name: 'Continue' }).click()]);
  await authenticate(popup, user, { until: () => popup.isClosed() || popup.url().startsWith(`${app}/`) }).catch((error) => {
    if (!popup.isClosed()) throw error;
  });
  assert.equal((await answer).status, 200);
});

test('of two tabs that wait, one confirms for both', async (t) => {
  const user = await newUser();
  const first = await on(t, { user });
  const second = await first.context().newPage();
  await second.goto(first.url());
  const answers = [begin(first, get, '/payroll/api/salaries'), begin(second, get, '/payroll/api/salaries')];
  await Promise.all([dialog(first).waitFor(), dialog(second).waitFor()]);
  await confirm(first, user);
  for (const answer of answers) assert.equal((await answer).status, 200);
  assert.equal(await dialog(second).count(), 0);
});

test('nothing is sent for somebody else', async (t) => {
  const user = await newUser();
  const page = await on(t, { user });
  const answer = begin(page, get, '/payroll/api/salaries');
  await dialog(page).waitFor();
  const tab = await page.context().newPage();
  await tab.goto(`${app}/.stepgate/logout`);
  await tab.getByRole('button', { name: /sign out/i }).click();
  await tab.waitForLoadState();
  const other = await newUser();
  await page.context().clearCookies();
  await tab.goto(`${app}/payroll/api/salaries`);
  await authenticate(tab, other);
  assert.equal((await ask(tab, '/payroll/api/salaries')).status, 200);
  // The other tab's window says so.
  await tab.evaluate(() => new BroadcastChannel('stepgate').postMessage('stepgate'));
  assert.equal((await answer).status, 401);
  await page.getByRole('dialog', { name: 'Somebody else has signed in' }).waitFor();
});

test('every other answer is left alone', async (t) => {
  const user = await newUser();
  const page = await on(t, { user });
  const problem = { status: 401, contentType: 'application/problem+json', body: '{"code":"step-up"}' };
  const link = '</.stepgate/step-up?level=mfa>; rel="step-up"; title*=UTF-8\'\'x';
  const own = 'Cookie realm="stepgate"';
  const rows = {
    '/their/bearer': { ...problem, headers: { 'www-authenticate': 'Bearer error="insufficient_user_authentication"', link } },
    '/their/basic': { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } },
    '/their/none': problem,
    '/their/html': { ...problem, contentType: 'text/html', headers: { 'www-authenticate': own, link } },
    '/their/elsewhere': { ...problem, headers: { 'www-authenticate': own, link: '<https://evil.example/.stepgate/step-up?x>; rel="step-up"; title*=UTF-8\'\'x' } },
    '/their/forbidden': { ...problem, status: 403, headers: { 'www-authenticate': own, link } },
  };
  await page.context().route(`${app}/their/*`, (route) => route.fulfill(rows[new URL(route.request().url()).pathname]));
  for (const [path, { status }] of Object.entries(rows)) {
    assert.equal((await page.evaluate(get, path)).status, status, path);
    assert.equal(await dialog(page).count(), 0, path);
  }
  // What cannot be fetched fails as ever.
  const failed = await page.evaluate(() => Promise.all([fetch('http://[').catch((error) => error.name), fetch('/x', { method: 'GET', body: 'x' }).catch((error) => error.name)]));
  assert.deepEqual(failed, ['TypeError', 'TypeError']);
});

test('the dialog is fit for everybody', async (t) => {
  const user = await newUser();
  const page = await on(t, { user });
  begin(page, get, '/payroll/api/salaries');
  await page.getByRole('dialog', { name: 'Confirm that it is you' }).waitFor();
  assert.match(await dialog(page).innerText(), /One-time code/);
  const focused = () => page.evaluate(() => document.activeElement.shadowRoot?.activeElement?.textContent ?? document.activeElement.tagName);
  assert.equal(await focused(), 'Continue');
  const seen = new Set();
  for (let step = 0; step < 6; step++) {
    await page.keyboard.press('Tab');
    seen.add(await focused());
  }
  assert.ok(seen.has('Cancel') && seen.has('Continue') && !seen.has('A'), [...seen].join());
  assert.deepEqual(await flaws(page), []);
  assert.deepEqual(page.complaints, []);
});

test('what lapses is renewed before it does', async (t) => {
  const user = await newUser();
  const page = await on(t, { user, path: '/payroll/page' });
  const answer = begin(page, get, '/payroll/api/salaries');
  await dialog(page).waitFor();
  await confirm(page, user);
  assert.equal((await answer).status, 200);
  const status = () => page.evaluate(async () => (await fetch('/.stepgate/status?for=GET%20/payroll/page')).json());
  const before = await status();
  assert.deepEqual([before.decision, before.ends, before.renew_before], ['allow', 'level', 20]);
  assert.ok(before.left > 0 && before.left <= 30, JSON.stringify(before));
  await page.reload();
  await page.getByRole('dialog', { name: 'Your sign-in ends' }).waitFor();
  // It does not stand in the way.
  await page.getByRole('heading', { name: 'A page' }).click();
  await confirm(page, user, 'Stay signed in');
  await dialog(page).waitFor({ state: 'detached' });
  const after = await status();
  assert.equal(after.decision, 'allow');
  assert.equal(after.user, before.user);
});

test('the sample app has the agent without knowing it', async (t) => {
  const user = await newUser();
  const page = await on(t, { user });
  await page.goto(`${app}/spa`);
  assert.match(await page.evaluate(() => document.head.firstElementChild.getAttribute('src')), /^\/\.stepgate\/agent\.js\?v=[0-9a-f]{16}$/);
  for (const [button, line] of [['Salaries, by fetch', 'fetch: 200 {"Ada Lovelace":4200}'], ['Salaries, by XMLHttpRequest', 'XMLHttpRequest: 200 {"Ada Lovelace":4200}'], ['Save, by fetch', 'note: 200']]) {
    await page.getByRole('button', { name: button }).click();
    if (button === 'Salaries, by fetch') await confirm(page, user);
    await page.getByRole('log').getByText(line).waitFor();
  }
  assert.equal(page.url(), `${app}/spa`);
  assert.deepEqual(page.complaints, []);
});

test("the demo's one page fetches, listens, and hands a file in, each across a step-up", async (t) => {
  const user = await newUser();
  const page = await on(t, { user });
  await page.goto(`${app}/spa`);
  const log = page.getByRole('log');
  await page.getByRole('button', { name: 'by WebSocket' }).click();
  await confirm(page, user);
  await log.getByText('live: Ada Lovelace is at her desk').waitFor();
  // The level lasts half a minute here.
  await log.getByText('live: closed, 4401 step-up required').waitFor({ timeout: 60_000 });

  // The page lets its forms go to its own host alone, and Keycloak is another.
  const content = Buffer.from([...Array(256).keys()]);
  await page.setInputFiles('input[type=file]', { name: 'receipt.pdf', mimeType: 'application/pdf', buffer: content });
  await page.getByRole('button', { name: 'Hand in' }).click();
  await atKeycloak(page);
  assert.deepEqual(await authenticate(page, user), ['password', 'otp']);
  await page.getByRole('button', { name: 'Send it now' }).click();
  await page.getByRole('heading', { name: 'Handed in' }).waitFor();
  await page.getByText('receipt.pdf: 256 bytes').waitFor();
  assert.deepEqual(page.complaints, []);
});

test('what the documents show runs', async (t) => {
  const user = await newUser();
  const text = await readFile(new URL('docs/single-page-apps.md', root), 'utf8');
  const examples = [...text.matchAll(/<!-- script: (\S+) -->\n```js\n([^]*?)```/g)].map(([, name, code]) => ({ name, code }));
  assert.deepEqual(examples.map(({ name }) => name), ['ask-first', 'by-hand']);
  const page = await on(t, { user, path: '/example', policy: "script-src 'self'" });
  await page.context().route(`${app}/example.js`, (route) => route.fulfill({ contentType: 'text/javascript', body: examples.map(({ code }) => code).join('\n') }));
  await page.addScriptTag({ url: '/example.js' });
  const needs = () => page.evaluate(() => window.needsMore('POST', '/payroll/7/release'));
  assert.equal((await needs()).decision, 'step-up');
  // The example by hand is for pages without the agent.
  const bare = await page.context().newPage();
  await bare.route(`${app}/bare`, (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>Bare</title><button>Go</button>' }));
  await bare.goto(`${app}/bare`);
  await bare.addScriptTag({ url: '/example.js' });
  await bare.evaluate(() => {
    document.querySelector('button').onclick = async () => {
      const answer = await window.fetchConfirmed('/payroll/api/salaries');
      document.title = `${answer.status}`;
    };
  });
  await confirm(bare, user, 'Go');
  await until('the title', (title) => title === '200', () => bare.title());
  assert.equal(await needs(), undefined);
});

test('what is served is what the source becomes, and small', async (t) => {
  const page = await (await browsing(t)).newPage();
  // A page that does not close itself.
  await page.goto(`${app}/.stepgate/status`);
  const file = (name) => readFile(new URL(`src/gate/script/${name}`, root), 'utf8');
  const { build } = JSON.parse(await readFile(new URL('tests/browser/package.json', root), 'utf8'));
  const { code } = await minify(await file('agent.js'), build);
  assert.equal(code, await file('agent.min.js'), 'run `npm run agent` in tests/browser');
  for (const name of ['agent.js', 'done.js', 'waiting.js']) {
    const body = await page.evaluate(async (name) => (await fetch(`/.stepgate/${name}`)).text(), name);
    assert.ok(body.length < 6144, `${name} has ${body.length} bytes`);
    assert.equal(body, await file(name.replace('agent', 'agent.min')));
  }
});

test('the types hold', async () => {
  const run = promisify(execFile);
  const files = ['agent.js', 'done.js', 'waiting.js'].map((name) => new URL(`src/gate/script/${name}`, root).pathname);
  const options = ['--noEmit', '--allowJs', '--checkJs', '--strict', '--target', 'es2022', '--lib', 'es2022,dom,dom.iterable', '--types', ''];
  await run(process.execPath, [vendored('typescript/bin/tsc'), ...options, ...files, new URL('docs/stepgate.d.ts', root).pathname]).catch(({ stdout }) => assert.fail(stdout));
});
