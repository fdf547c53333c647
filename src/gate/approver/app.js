// @ts-check
// Keeps a page of the approver app as the server would show it now. Without this everything works, but a page has to be
// loaded again to show what has changed. It decides nothing.

const { live, seen, news } = document.body.dataset;

/** Seconds between two looks at how much time is left. */
const LOOK = 30;

/** Which of its parts are the server's, and may be replaced. */
const PARTS = ['live', 'decide'];

async function look() {
  const answer = await fetch(location.href, { credentials: 'same-origin', redirect: 'error' });
  if (!answer.ok) return false;
  const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
  let changed = false;
  for (const id of PARTS) {
    const [old, next] = [document.getElementById(id), fresh.getElementById(id)];
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

async function tell() {
  if (!(await look().catch(() => false))) return;
  const status = document.getElementById('news');
  if (status) status.textContent = news ?? '';
}

if (live) {
  const query = new URLSearchParams({ for: live, seen: seen ?? '' });
  new EventSource(`/events?${query}`).addEventListener('state', tell);
  setInterval(() => {
    if (!document.hidden) look().catch(() => false);
  }, LOOK * 1000);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) look().catch(() => false);
  });
}

navigator.serviceWorker?.register('/worker.js').catch(() => undefined);
