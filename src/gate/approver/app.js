// @ts-check
// Keeps a page of the approver app as the server would show it now. Without this everything works, but a page has to be
// loaded again to show what has changed. It decides nothing.

const { live, seen, news } = document.body.dataset;

/** Seconds between two looks at how much time is left. */
const LOOK = 30;

/** Seconds until what could not be reached is tried again. */
const AGAIN = 5;

/** Which of its parts are the server's, and may be replaced. */
const PARTS = ['live', 'decide'];

async function look() {
  const answer = await fetch(location.href, { credentials: 'same-origin', redirect: 'error' });
  // Signed out meanwhile, or not to be seen by this person any more: nothing of it stays on the screen.
  if ([401, 403, 404].includes(answer.status)) location.reload();
  if (!answer.ok) throw new Error(String(answer.status));
  const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
  let changed = false;
  for (const id of PARTS) {
    const [old, next] = [document.getElementById(id), fresh.getElementById(id)];
    // What it can be decided with has changed: a device was removed, or may decide by now.
    if (old && next && old.dataset.own !== next.dataset.own) location.reload();
    // What somebody is typing stays, until there is nothing to be typed any more.
    if (!old || (id === 'decide' && next) || old.innerHTML === next?.innerHTML) continue;
    if (next) old.replaceWith(document.importNode(next, true));
    else old.remove();
    changed = true;
  }
  const title = document.querySelector('h1');
  const wanted = fresh.querySelector('h1')?.textContent;
  if (title && wanted && title.textContent !== wanted) {
    title.textContent = wanted;
    document.title = fresh.title;
  }
  return changed;
}

let again = 0;

/** Of a change a page is told once: what could not be looked at then is looked at again. */
async function tell() {
  clearTimeout(again);
  let changed = false;
  try {
    changed = await look();
  } catch {
    clearTimeout(again);
    again = setTimeout(tell, AGAIN * 1000);
  }
  const status = document.getElementById('news');
  if (changed && status) status.textContent = news ?? '';
}

/** @param {string} of @param {string} known what this page shows */
function listen(of, known) {
  const events = new EventSource(`/events?${new URLSearchParams({ for: of, seen: known })}`);
  events.addEventListener('state', ({ lastEventId }) => {
    known = lastEventId;
    tell();
  });
  // It comes back by itself, but not from an answer that is none: because there is nothing here any more, which the page
  // itself says, or because the server could not tell for a moment.
  events.addEventListener('error', () => {
    if (events.readyState !== EventSource.CLOSED) return;
    tell();
    setTimeout(listen, AGAIN * 1000, of, known);
  });
}

if (live) {
  listen(live, seen ?? '');
  setInterval(() => {
    if (!document.hidden) look().catch(() => false);
  }, LOOK * 1000);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) look().catch(() => false);
  });
}

navigator.serviceWorker?.register('/worker.js').catch(() => undefined);

/** @param {string} key base64url */
const bytes = (key) => Uint8Array.from(atob(key.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));

/** What the server is told of this browser. @param {string} what @param {PushSubscription} subscription */
async function push(what, subscription) {
  const answer = await fetch(`/push/${what}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(subscription),
    redirect: 'error',
  });
  if (!answer.ok) throw new Error(what);
}

// Where the installation has Web Push, and the browser too. It is asked for by a click only: who is asked on every visit
// says no for good.
async function offer() {
  const box = document.getElementById('push');
  const said = document.getElementById('push-said');
  if (!box || !said || !('PushManager' in window) || !navigator.serviceWorker) return;
  const answer = await fetch('/push/key', { redirect: 'error' });
  if (!answer.ok) return;
  const { key } = await answer.json();
  const { pushManager } = await navigator.serviceWorker.ready;
  const button = (/** @type {string} */ name) => /** @type {HTMLButtonElement} */ (document.getElementById(`push-${name}`));
  const show = async () => {
    const subscription = await pushManager.getSubscription();
    button('on').hidden = Boolean(subscription);
    button('off').hidden = button('test').hidden = !subscription;
    return subscription;
  };
  const on = (/** @type {string} */ name, /** @type {() => Promise<string>} */ act) =>
    button(name).addEventListener('click', async () => {
      const word = await act().catch(() => 'failed');
      said.textContent = said.dataset[word] ?? '';
      await show();
    });
  on('on', async () => {
    const made = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(key) });
    await push('subscribe', made).catch(async (error) => {
      await made.unsubscribe();
      throw error;
    });
    return 'on';
  });
  on('off', async () => {
    const made = await pushManager.getSubscription();
    if (made) await Promise.all([push('unsubscribe', made), made.unsubscribe()]);
    return 'off';
  });
  on('test', async () => {
    const made = await pushManager.getSubscription();
    if (!made) throw new Error('test');
    await push('test', made);
    return 'sent';
  });
  // What is known of the user, and that the app is still in use, is as of now.
  const made = await show();
  if (made) await push('subscribe', made);
  box.hidden = false;
}

offer().catch(() => undefined);
