// @ts-check
// Looks how it stands for whoever waits for somebody's yes, and loads the page again once something has changed; where this
// does not run, or did not come, the browser loads it every three seconds (`Refresh`). Counts the time down, says times by
// the reader's clock, and copies the link.

/** Milliseconds between two looks. */
const LOOK = 3000;

// Takes the place of the browser's own looks. Not before all is there: what is stopped is whatever is still on its way.
addEventListener('load', () => setTimeout(() => stop()));

const seen = document.getElementById('standing')?.dataset.seen;

async function look() {
  const answer = await fetch(location.pathname, { headers: { accept: 'application/json' }, redirect: 'error' });
  // Signed out, or over for long: the page itself says what there is to do.
  if (answer.status < 500 && !answer.ok) return true;
  if (!answer.ok) return false;
  const { status, approvals } = await answer.json();
  return status !== 'pending' || String(approvals) !== seen;
}

async function watch() {
  // What cannot be reached now is looked for again.
  if (await look().catch(() => false)) return location.replace(location.pathname);
  setTimeout(watch, LOOK);
}

setTimeout(watch, LOOK);

const left = document.getElementById('left');
const end = performance.now() + Number(left?.dataset.seconds) * 1000;

function tick() {
  if (!left) return;
  const seconds = Math.max(0, Math.round((end - performance.now()) / 1000));
  left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
  if (seconds) setTimeout(tick, 1000);
}

tick();

for (const time of document.querySelectorAll('time')) {
  time.textContent = new Date(time.dateTime).toLocaleTimeString(document.documentElement.lang, { timeStyle: 'short' });
}

const field = /** @type {HTMLInputElement | null} */ (document.getElementById('link'));
const button = document.getElementById('copy');
const copied = document.getElementById('copied');

// A page by plain HTTP has no clipboard; the field can be selected there.
if (field && button && copied && navigator.clipboard) {
  button.hidden = false;
  button.addEventListener('click', async () => {
    field.select();
    await navigator.clipboard.writeText(field.value);
    copied.textContent = copied.dataset.said ?? '';
  });
}
