// @ts-check
// A device of one's own: a key that this browser makes, keeps in IndexedDB and cannot give away (Web Cryptography API), and
// what is signed with it. Without this nobody adds a device or says yes with one; to say no, nothing is signed.

const KEY = { name: 'ECDSA', namedCurve: 'P-256' };
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' };
const STORE = 'devices';

/** As the server reads it: base64url. @param {ArrayBuffer} buffer */
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

/** @returns {Promise<IDBDatabase>} */
const database = () => new Promise((resolve, reject) => {
  const request = indexedDB.open('stepgate', 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'id' });
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

/** One transaction. @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest} act */
async function kept(mode, act) {
  const open = await database();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = open.transaction(STORE, mode);
      const request = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  } finally {
    open.close();
  }
}

/** Those that this browser has, whoever added them. @returns {Promise<{ id: string, key: CryptoKey }[]>} */
const keys = () => kept('readonly', (store) => store.getAll());

/** Good for this session, for one signature. @param {string} of */
async function challenge(of) {
  const answer = await fetch(`/devices/challenges/${of}`, { redirect: 'error' });
  if (!answer.ok) throw new Error('challenge');
  return (await answer.json()).challenge;
}

/** @param {CryptoKey} key @param {string[]} lines */
const sign = async (key, lines) =>
  text(await crypto.subtle.sign(SIGNATURE, key, new TextEncoder().encode(lines.join('\n'))));

/** @param {HTMLFormElement} form @param {Record<string, string>} values */
function fill(form, values) {
  for (const [name, value] of Object.entries(values)) {
    /** @type {HTMLInputElement} */ (form.querySelector(`input[type=hidden][name=${name}]`)).value = value;
  }
}

function failed() {
  const said = document.getElementById('device-said');
  if (said) said.textContent = said.dataset.failed ?? '';
}

/** Sends the form once it is signed. @param {HTMLFormElement} form @param {(event: SubmitEvent) => Promise<void>} act */
function signs(form, act) {
  let busy = false;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    try {
      await act(event);
      form.submit();
    } catch {
      busy = false;
      failed();
    }
  });
}

/** @param {HTMLFormElement} form */
async function enrols(form) {
  // A browser that keeps nothing says so here, and not when it is too late.
  await keys();
  signs(form, async () => {
    const pair = await crypto.subtle.generateKey(KEY, false, ['sign']);
    const point = await crypto.subtle.exportKey('raw', pair.publicKey);
    const id = text(await crypto.subtle.digest('SHA-256', point));
    await navigator.storage?.persist?.();
    await kept('readwrite', (store) => store.put({ id, key: pair.privateKey }));
    const given = /** @type {HTMLInputElement} */ (form.elements.namedItem('challenge')).value;
    const signature = await sign(pair.privateKey, ['stepgate device v1: enrol', location.origin, id, given]);
    fill(form, { key: text(point), signature });
  });
  form.hidden = false;
  const needs = document.getElementById('enrol-needs-script');
  if (needs) needs.hidden = true;
}

/** @param {HTMLFormElement} form */
async function decides(form) {
  const own = new Map((await keys()).map(({ id, key }) => [id, key]));
  const known = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('[data-device]')]);
  const here = known.filter(({ dataset }) => own.has(dataset.device ?? ''));
  const ready = here.find(({ dataset }) => 'ready' in dataset);
  const shown = ready ?? here[0] ?? document.getElementById('no-device');
  if (shown) shown.hidden = false;
  const needs = document.getElementById('needs-script');
  if (needs) needs.hidden = true;
  const device = ready?.dataset.device ?? '';
  const key = own.get(device);
  if (!key) return;
  signs(form, async (event) => {
    const { approval = '', binding = '' } = form.dataset;
    const number = String(new FormData(form, event.submitter).get('number') ?? '').replaceAll(/\s/g, '');
    const given = await challenge(approval);
    const lines = ['stepgate device v1: decide', location.origin, approval, binding, 'yes', number, given];
    fill(form, { device, challenge: given, signature: await sign(key, lines) });
    // A form that a script sends says nothing of the button.
    if (event.submitter?.getAttribute('name') === 'number') {
      const picked = Object.assign(document.createElement('input'), { type: 'hidden', name: 'number', value: number });
      form.append(picked);
    }
  });
  form.hidden = false;
}

/** Which of the devices this one is, which is added once, and that its key goes with it. */
async function lists() {
  const own = new Set((await keys()).map(({ id }) => id));
  const add = document.getElementById('add');
  for (const mark of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-here]'))) {
    mark.hidden = !own.has(mark.dataset.here ?? '');
    if (add && !mark.hidden) add.hidden = true;
  }
  for (const form of /** @type {NodeListOf<HTMLFormElement>} */ (document.querySelectorAll('form[data-remove]'))) {
    const id = form.dataset.remove ?? '';
    if (own.has(id)) form.addEventListener('submit', () => kept('readwrite', (store) => store.delete(id)));
  }
}

const [enrol, decide] = ['enrol', 'sign'].map((id) => /** @type {HTMLFormElement | null} */ (document.getElementById(id)));
if (enrol) enrols(enrol).catch(failed);
else if (decide) decides(decide).catch(failed);
else lists().catch(() => undefined);
