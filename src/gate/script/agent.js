// @ts-check
// stepgate's agent: a page goes on without reload when one of its requests needs a stronger or more recent sign-in.
//
// It wraps `fetch` and XMLHttpRequest. A request of this origin that stepgate answers with its challenge is held while
// the user confirms in a popup, sent once more, and answered as if nothing had happened. Every other answer, and every
// other 401, is left alone. What a message of the popup claims is never believed: stepgate itself is asked.
//
// Whole lines of comments and indentation are left out of what is served; so no text goes over several lines.

(() => {
  'use strict';

  /**
   * @typedef {{ popup: string, what: string }} Challenge
   * @typedef {Challenge & { ask: string, end: (again: boolean) => void }} Waiter
   * @typedef {import('../../../docs/stepgate').Status} Status
   */

  const mark = Symbol.for('stepgate');
  const page = /** @type {Window & typeof globalThis & { [mark]?: true }} */ (window);
  if (page[mark]) return;
  page[mark] = true;

  const OWN = '/.stepgate/';
  /** Milliseconds after which nobody is there any more. */
  const PATIENCE = 300000;
  const POLL = 2000;

  const { fetch, XMLHttpRequest } = page;

  /** Whose page it is, by the tag that stepgate has for users. @type {string | undefined} */
  let user;
  /** @type {Waiter[]} */
  let waiting = [];
  /** What the dialog on the screen is about. @type {Waiter | undefined} */
  let shown;
  /** @type {() => void} */
  let shut = () => {};

  /** @param {number} status @param {(name: string) => string | null} field @returns {Challenge | undefined} */
  const challenge = (status, field) => {
    const has = (/** @type {string} */ name, /** @type {RegExp} */ value) => value.exec(field(name) || '');
    if (status != 401 || !has('www-authenticate', /\bCookie realm="stepgate"/) || !has('content-type', /^application\/problem\+json/)) return;
    const link = has('link', /^<(\/\.stepgate\/step-up\?[^>]*)>; rel="step-up"; title\*=UTF-8''([^;,]*)/);
    return link ? { popup: link[1], what: decodeURIComponent(link[2]) } : undefined;
  };

  /** @param {string} ask @param {string} [more] @returns {Promise<Partial<Status>>} */
  const status = async (ask, more = '') => {
    try {
      return await (await fetch.call(page, `${OWN}status?for=${encodeURIComponent(ask)}${more}`)).json();
    } catch {
      return {};
    }
  };

  /** @param {string} url */
  const path = (url) => url.slice(location.origin.length).split('#')[0];

  const sheet = new CSSStyleSheet();
  sheet.replaceSync('dialog{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;border:1px solid #767676;border-radius:8px;max-width:26rem;padding:1.5rem;box-shadow:0 8px 32px #0006}.low{position:fixed;inset:auto 1rem 1rem auto;margin:0;z-index:2147483647}h2{font-size:1.25em;margin:0}a,button{font:inherit;margin-right:.5rem}button{padding:.4rem 1rem;cursor:pointer}');

  /**
   * A dialog in a shadow root, which the page's style and scripts do not meet by accident.
   * @param {string} title @param {string} text @param {[string, () => void][]} choices
   * @param {(() => void)} [cancel] modal where it is there
   */
  const box = (title, text, choices, cancel) => {
    shut();
    const host = document.createElement('div');
    const root = host.attachShadow({ mode: 'open' });
    root.adoptedStyleSheets = [sheet];
    /** @template {keyof HTMLElementTagNameMap} T @param {T} tag @param {string} text @param {Record<string, string>} [more] */
    const add = (tag, text, more = {}) => {
      const made = document.createElement(tag);
      made.textContent = text;
      for (const name in more) made.setAttribute(name, more[name]);
      dialog.append(made);
      return made;
    };
    const dialog = document.createElement('dialog');
    dialog.setAttribute('aria-labelledby', 't');
    dialog.setAttribute('aria-describedby', 'd');
    add('h2', title, { id: 't' });
    const line = add('p', text, { id: 'd', 'aria-live': 'polite' });
    const buttons = choices.map(([name, chosen]) => {
      const button = add('button', name);
      button.onclick = chosen;
      return button;
    });
    root.append(dialog);
    (document.body || document.documentElement).append(host);
    if (cancel) {
      dialog.oncancel = (event) => {
        event.preventDefault();
        cancel();
      };
      dialog.showModal();
    } else {
      dialog.className = 'low';
      dialog.show();
    }
    buttons[0].focus();
    shut = () => {
      dialog.close();
      host.remove();
      shut = () => {};
    };
    /** Opens the window; from a click, or the browser blocks it. @param {string} popup */
    return (popup) => {
      if (page.open(popup, 'stepgate', 'popup,width=480,height=700')) {
        line.textContent = 'Go on in the window that has opened. This page continues by itself.';
        buttons[0].textContent = 'Open it again';
      } else {
        line.textContent = 'The browser blocked the window. Open it by this link; this page continues by itself: ';
        const link = add('a', 'Confirm', { href: popup, target: '_blank', rel: 'opener' });
        buttons[0].replaceWith(link);
        link.focus();
      }
    };
  };

  /** @param {Waiter} waiter @param {boolean} again */
  const leave = (waiter, again) => {
    waiting = waiting.filter((other) => other != waiter);
    waiter.end(again);
  };

  const show = () => {
    const first = waiting[0];
    if (first == shown) return;
    shown = first;
    if (!first) return shut();
    const cancel = () => {
      for (const waiter of waiting) leave(waiter, false);
      show();
    };
    const open = box('Confirm that it is you', `This needs: ${first.what}.`, [['Continue', () => open(first.popup)], ['Cancel', cancel]], cancel);
    const patience = setTimeout(() => shown == first && cancel(), PATIENCE);
    const poll = setInterval(() => (shown == first ? look() : (clearInterval(poll), clearTimeout(patience))), POLL);
  };

  let looking = false;
  /** Whether what is waited for is there; the same for all that one confirmation is for. */
  const look = async () => {
    if (looking) return;
    looking = true;
    for (const popup of new Set(waiting.map((waiter) => waiter.popup))) {
      const one = waiting.find((waiter) => waiter.popup == popup);
      const now = one ? await status(one.ask) : {};
      if (!now.decision || /login|step-up|unavailable/.test(now.decision)) continue;
      const same = !user || user == now.user;
      for (const waiter of waiting) if (waiter.popup == popup || !same) leave(waiter, same);
      if (!same) {
        shown = undefined;
        box('Somebody else has signed in', 'This page is still the one of the user before. Load it again.', [['Load again', () => location.reload()], ['Close', () => shut()]]);
        break;
      }
    }
    looking = false;
    if (shown || waiting[0]) show();
  };

  /** Held until the user has confirmed or given up. @param {string} ask @param {Challenge} asked @param {AbortSignal} [signal] */
  const confirmed = (ask, asked, signal) =>
    new Promise((/** @type {(again: boolean) => void} */ end) => {
      const waiter = { ask, end, ...asked };
      waiting.push(waiter);
      signal?.addEventListener('abort', () => {
        leave(waiter, true);
        show();
      });
      show();
    });

  const told = () => {
    look();
    if (!waiting[0]) watch();
  };
  try {
    new BroadcastChannel('stepgate').onmessage = told;
  } catch {}
  addEventListener('message', ({ origin, data }) => {
    if (origin == location.origin && data == 'stepgate') told();
  });

  /** @param {string | URL} url */
  const ours = (url) => {
    const { origin, pathname } = new URL(url, document.baseURI);
    return origin == location.origin && !pathname.startsWith(OWN);
  };

  page.fetch = async function (input, init) {
    if (!ours(input instanceof Request ? input.url : input)) return fetch.call(page, input, init);
    const request = new Request(input, init);
    // A body can be read once.
    const again = /^(GET|HEAD)$/.test(request.method) ? request : request.clone();
    const answer = await fetch.call(page, request);
    const asked = ours(answer.url || location.href) && challenge(answer.status, (name) => answer.headers.get(name));
    if (!asked) return answer;
    const ask = `${answer.redirected ? 'GET' : request.method} ${path(answer.url)}`;
    return (await confirmed(ask, asked, request.signal)) ? fetch.call(page, again) : answer;
  };

  page.XMLHttpRequest = class extends XMLHttpRequest {
    /** @type {any[]} */ #open = [];
    /** @type {[string, string][]} */ #fields = [];
    /** @type {any} */ #body;
    /** Its events are not for the page. */ #held = false;
    /** Sent already, so that what leads up to the answer is nothing new. */ #again = false;
    /** @type {Challenge | undefined} */ #asked;

    constructor() {
      super();
      // Before any listener of the page's.
      for (const type of ['readystatechange', 'loadstart', 'progress', 'load', 'loadend']) super.addEventListener(type, (event) => this.#see(event), true);
    }

    /** @param {Event} event */
    #see(event) {
      const first = event.type == 'loadstart' || this.readyState < 2;
      if (!first && !this.#again && !this.#asked && this.#open[2] !== false && this.responseURL && ours(this.responseURL)) {
        this.#asked = challenge(this.status, (name) => this.getResponseHeader(name));
        this.#held = !!this.#asked;
        if (!this.#held) this.#again = true;
      }
      if (this.#held || (this.#again && first && this.#asked)) event.stopImmediatePropagation();
      if (this.#held && event.type == 'loadend' && this.#asked) this.#wait(this.#asked);
    }

    /** @param {Challenge} asked */
    async #wait(asked) {
      const open = this.#open;
      const again = await confirmed(`${open[0]} ${path(this.responseURL)}`, asked);
      // Aborted, or opened for another request.
      if (!this.#held || this.#open != open) return;
      this.#held = false;
      this.#again = true;
      if (!again) {
        for (const type of ['readystatechange', 'load', 'loadend']) this.dispatchEvent(type[0] == 'l' ? new ProgressEvent(type) : new Event(type));
        return;
      }
      super.open(.../** @type {[string, string, boolean]} */ (open));
      for (const [name, value] of this.#fields) super.setRequestHeader(name, value);
      super.send(this.#body);
    }

    /** @param {any[]} open */
    open(...open) {
      this.#open = open;
      this.#fields = [];
      this.#held = this.#again = false;
      this.#asked = undefined;
      return super.open(.../** @type {[string, string, boolean]} */ (open));
    }

    /** @param {string} name @param {string} value */
    setRequestHeader(name, value) {
      super.setRequestHeader(name, value);
      this.#fields.push([name, value]);
    }

    /** @param {any} [body] */
    send(body) {
      this.#body = body;
      super.send(body);
    }

    abort() {
      const held = this.#held;
      this.#held = false;
      super.abort();
      if (held) for (const type of ['abort', 'loadend']) this.dispatchEvent(new ProgressEvent(type));
    }
  };

  // A session or a level that is about to lapse is renewed while the page is in use.
  let active = false;
  for (const type of ['keydown', 'pointerdown']) addEventListener(type, () => (active = true), { capture: true, passive: true });
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;
  const watch = async (/** @type {boolean} */ renew = false) => {
    clearTimeout(timer);
    const now = await status(`GET ${path(location.href)}`, renew ? '&renew=1' : '');
    user ??= now.user;
    if (now.left == null || now.renew_before == null) return;
    const rest = now.left - now.renew_before;
    if (rest > 0) {
      if (!shown) shut();
      active = false;
      timer = setTimeout(watch, Math.min(rest, 86400) * 1000);
    } else if (now.ends == 'idle' && active && !renew) {
      watch(true);
    } else if (!shown) {
      const close = () => shut();
      const minutes = Math.ceil(now.left / 60);
      const text = `In ${minutes} minute${minutes == 1 ? '' : 's'}.`;
      if (now.ends == 'session') box('You will be signed out', `${text} Save your work.`, [['Close', close]]);
      else {
        const open = box('Your sign-in ends', text, [['Stay signed in', () => (now.popup && now.ends == 'level' ? open(now.popup) : watch(true))], ['Not now', close]]);
      }
    }
  };
  watch();
})();
