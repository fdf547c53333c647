// @ts-check
// Tells the page that opened this window, and every other page of this origin, to look; and closes the window.

try {
  new BroadcastChannel('stepgate').postMessage('stepgate');
} catch {}
if (window.opener) window.opener.postMessage('stepgate', location.origin);
window.close();
