// @ts-check
// The service worker of the approver app. It keeps nothing and answers nothing: what waits is always asked for anew. It is
// there for what the system shows of it while no page is open.

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

worker.addEventListener('install', () => worker.skipWaiting());
worker.addEventListener('activate', (event) => event.waitUntil(worker.clients.claim()));
