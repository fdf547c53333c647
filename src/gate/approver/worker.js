// @ts-check
// The service worker of the approver app. It keeps nothing and answers nothing: what waits is always asked for anew. It is
// there for what the system shows of it while no page is open.

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

worker.addEventListener('install', () => worker.skipWaiting());
worker.addEventListener('activate', (event) => event.waitUntil(worker.clients.claim()));

const WORDS = {
  en: { title: 'Approvals', asked: 'Somebody waits for your decision.', reminded: 'Somebody still waits for your decision.', approved: 'Approved.', denied: 'Denied.', reported: 'Reported as wrong.', 'break-glass': 'Somebody passed an approval in everybody’s place.', added: 'A device was added to yours. Was it you?', removed: 'One of your devices was removed. Was it you?', test: 'This is a test. Nobody waits for anything.' },
  de: { title: 'Freigaben', asked: 'Jemand wartet auf Ihre Entscheidung.', reminded: 'Jemand wartet noch auf Ihre Entscheidung.', approved: 'Freigegeben.', denied: 'Abgelehnt.', reported: 'Als falsch gemeldet.', 'break-glass': 'Jemand hat eine Freigabe an allen vorbei erteilt.', added: 'Ein Gerät wurde zu Ihren hinzugefügt. Waren Sie das?', removed: 'Eines Ihrer Geräte wurde entfernt. Waren Sie das?', test: 'Dies ist ein Test. Niemand wartet auf etwas.' },
};

/** What a push says is an id and a word; what it is about is read by whoever signs in. @param {PushMessageData | null} data */
const read = (data) => {
  try {
    const told = data && data.json();
    const id = told && typeof told.id === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(told.id) ? told.id : '';
    return { id, event: told && typeof told.event === 'string' ? told.event : 'asked' };
  } catch {
    return { id: '', event: 'asked' };
  }
};

worker.addEventListener('push', (event) => {
  const { id, event: what } = read(event.data);
  const words = worker.navigator.language.startsWith('de') ? WORDS.de : WORDS.en;
  const body = Object.hasOwn(words, what) && what !== 'title' ? words[/** @type {keyof typeof words} */ (what)] : words.asked;
  // What comes later about the same one takes its place.
  event.waitUntil(worker.registration.showNotification(words.title, { body, tag: id || 'approvals', icon: '/icon.svg', data: { id } }));
});

// It leads to the app, and decides nothing.
worker.addEventListener('notificationclick', (event) => {
  event.notification.close();
  const id = event.notification.data && event.notification.data.id;
  const to = id === 'devices' ? '/devices' : id && id !== 'test' ? `/approvals/${id}` : '/';
  event.waitUntil((async () => {
    const open = await worker.clients.matchAll({ type: 'window' });
    const [first] = open;
    const there = first && (await first.navigate(to).catch(() => null));
    await (there ? there.focus() : worker.clients.openWindow(to));
  })());
});
