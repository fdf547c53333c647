// An API client that does what a step-up challenge asks (RFC 9470): it has the user sign in again, as strongly and as
// recently as the API wants it, and sends the request once more. Node 18 or newer, no dependencies.
//
//   node step-up.mjs ISSUER CLIENT_ID URL
//
// At Keycloak: a public client, standard flow, PKCE S256, valid redirect URI http://127.0.0.1/callback, and a mapper that
// puts the API's audience into its access tokens.

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

/** How long a user may take to sign in, in milliseconds. */
const PATIENCE = 300_000;

export class Client {
  #token;

  /** `show(url)` has the user open an address in a browser. */
  constructor({ issuer, clientId, show }) {
    Object.assign(this, { issuer, clientId, show });
  }

  /** As `fetch`. One step-up at the most: an API that asks again for the same gets its answer shown, not another sign-in. */
  async fetch(url, options = {}) {
    this.#token ??= await this.#signIn({});
    const answer = await this.#send(url, options);
    const wanted = wantedBy(answer);
    if (!wanted) return answer;
    await answer.body?.cancel();
    this.#token = await this.#signIn(wanted);
    return this.#send(url, options);
  }

  #send(url, options) {
    const headers = new Headers(options.headers);
    headers.set("authorization", `Bearer ${this.#token}`);
    return fetch(url, { ...options, headers });
  }

  /** Authorization code with PKCE, for a program on the user's own machine (RFC 8252). */
  async #signIn({ acr_values, max_age, scope }) {
    const discovery = await json(await fetch(`${this.issuer}/.well-known/openid-configuration`));
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const redirect_uri = `http://127.0.0.1:${server.address().port}/callback`;
    const [state, code_verifier] = [random(), random()];
    const url = new URL(discovery.authorization_endpoint);
    const params = {
      response_type: "code",
      client_id: this.clientId,
      redirect_uri,
      scope: scope ? `openid ${scope}` : "openid",
      state,
      code_challenge_method: "S256",
      code_challenge: createHash("sha256").update(code_verifier).digest("base64url"),
      acr_values,
      max_age,
    };
    for (const [name, value] of Object.entries(params)) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    try {
      this.show(url.href);
      const returned = await callback(server);
      // RFC 9207: the answer is this provider's, and to this very request.
      const iss = returned.get("iss");
      if (returned.get("state") !== state || (iss !== null && iss !== discovery.issuer)) {
        throw new Error("an answer to another request");
      }
      const code = returned.get("code");
      if (!code) throw new Error(`the sign-in was not finished: ${returned.get("error")}`);
      const form = { grant_type: "authorization_code", client_id: this.clientId, redirect_uri, code, code_verifier };
      const body = new URLSearchParams(form);
      const tokens = await json(await fetch(discovery.token_endpoint, { method: "POST", body }));
      return tokens.access_token;
    } finally {
      server.close();
      server.closeAllConnections();
    }
  }
}

/** What another sign-in would help with; nothing where none would. */
function wantedBy(answer) {
  const params = bearerChallenge(answer.headers.get("www-authenticate") ?? "");
  const helps = {
    401: ["insufficient_user_authentication", "invalid_token"],
    403: ["insufficient_scope"],
  };
  return helps[answer.status]?.includes(params.error) ? params : undefined;
}

/**
 * The parameters of the Bearer challenge, as tokens or quoted strings (RFC 9110 section 11.6.1); `fetch` joins several
 * fields by commas, so that other challenges may follow.
 */
export function bearerChallenge(text) {
  const params = {};
  const found = /(?:^|,\s*)Bearer\s+/i.exec(text);
  if (!found) return params;
  const param = /([\w!#$%&'*+.^`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,\s*|$)/y;
  param.lastIndex = found.index + found[0].length;
  for (let match; (match = param.exec(text)); ) {
    params[match[1].toLowerCase()] = match[2]?.replace(/\\(.)/g, "$1") ?? match[3];
  }
  return params;
}

/** The query with which the browser comes back; whatever else it asks for is not here. */
function callback(server) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("nobody signed in")), PATIENCE);
    server.on("request", (request, response) => {
      const url = new URL(request.url, "http://127.0.0.1");
      if (url.pathname !== "/callback") {
        response.writeHead(404).end();
        return;
      }
      response.writeHead(200, { "content-type": "text/plain", connection: "close" });
      response.end("You are signed in, and can close this page.", () => {
        clearTimeout(timer);
        resolve(url.searchParams);
      });
    });
  });
}

async function json(answer) {
  if (!answer.ok) throw new Error(`${answer.url}: ${answer.status}`);
  return answer.json();
}

function random() {
  return randomBytes(32).toString("base64url");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [issuer, clientId, url] = process.argv.slice(2);
  if (!url) {
    console.error("node step-up.mjs ISSUER CLIENT_ID URL");
    process.exit(2);
  }
  const client = new Client({ issuer, clientId, show: (url) => console.log(`open ${url}`) });
  const answer = await client.fetch(url);
  console.log(answer.status);
  console.log(await answer.text());
}
