// The page knows nothing of stepgate: it asks, and shows what it gets.

const log = document.querySelector('#log');

function say(text) {
  log.append(`${text}\n`);
}

function on(id, event, work) {
  document.querySelector(id).addEventListener(event, async (fired) => {
    fired.preventDefault();
    try {
      await work(fired);
    } catch (error) {
      say(`failed: ${error}`);
    }
  });
}

async function salaries(how) {
  const answer = await fetch('/payroll/api/salaries');
  say(`${how}: ${answer.status} ${await answer.text()}`);
}

on('#fetch', 'click', () => salaries('fetch'));

on('#many', 'click', () => Promise.all([1, 2, 3].map((number) => salaries(`fetch ${number}`))));

on('#xhr', 'click', () => {
  const request = new XMLHttpRequest();
  request.responseType = 'json';
  request.onload = () => say(`XMLHttpRequest: ${request.status} ${JSON.stringify(request.response)}`);
  request.open('GET', '/payroll/api/salaries');
  request.send();
});

// Whoever may see salaries may see who is there. It says when it ends, and is opened again by another click.
on('#live', 'click', async () => {
  await fetch('/payroll/api/salaries');
  const socket = new WebSocket('/payroll/api/live');
  socket.onmessage = ({ data }) => say(`live: ${data}`);
  socket.onclose = ({ code, reason }) => say(`live: closed, ${code} ${reason}`);
});

on('#note', 'submit', async ({ target }) => {
  const answer = await fetch('/payroll/api/notes', { method: 'POST', body: new FormData(target) });
  say(`note: ${answer.status} ${await answer.text()}`);
});
