// A real OpenID provider on this machine: the authorization code flow as a browser walks it, keys that rotate, several
// issuers at once, and a provider that stops and comes back.

import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { Provider } from "oidc-provider";
import { ConvexHttpClient } from "convex/browser";
import { atEnd, Chat, connect, person, signIn, test, watch } from "./harness.mjs";

const AUDIENCE = "chat";
const CALLBACK = "http://127.0.0.1/callback";
const base64url = (bytes) => Buffer.from(bytes).toString("base64url");

/** A key pair under a name: the private JWK, as a provider is given it. */
function key(kid, kind = "RSA") {
  const pair = kind === "RSA" ? generateKeyPairSync("rsa", { modulusLength: 2048 }) : generateKeyPairSync("ec", { namedCurve: "P-256" });
  const alg = kind === "RSA" ? "RS256" : "ES256";
  return { pair, jwk: { ...pair.privateKey.export({ format: "jwk" }), kid, alg, use: "sig" }, kid, alg };
}

/** The public half, as a provider publishes it. */
const published = ({ pair, kid, alg }) => ({ ...pair.publicKey.export({ format: "jwk" }), kid, alg, use: "sig" });

/** A JWT made by hand. */
function jwt({ pair, kid, alg }, claims) {
  const now = Math.floor(Date.now() / 1000);
  const payload = { iat: now, exp: now + 3600, ...claims };
  const message = [{ alg, kid, typ: "JWT" }, payload].map((part) => base64url(JSON.stringify(part))).join(".");
  const signature = sign("sha256", Buffer.from(message), { key: pair.privateKey, dsaEncoding: "ieee-p1363" });
  return `${message}.${base64url(signature)}`;
}

/** An OpenID provider that may change its keys, stop, and come back at the same address. */
class OpenId {
  #server = null;
  #callback;
  #refreshTokens = new Map();
  port = 0;
  asked = 0;

  /** Starts one that ends with test `t`. */
  static async start(t, keys) {
    const provider = new OpenId();
    atEnd(t, () => provider.stop());
    await provider.listen();
    provider.use(keys);
    return provider;
  }

  get issuer() {
    return `http://127.0.0.1:${this.port}`;
  }

  async listen() {
    this.#server = http.createServer((request, response) => {
      if (request.url.startsWith("/jwks")) this.asked += 1;
      this.#callback(request, response);
    });
    this.#server.listen(this.port, "127.0.0.1");
    await once(this.#server, "listening");
    this.port = this.#server.address().port;
  }

  async stop() {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  }

  /** Publishes these keys and signs with the first. Every user signs in anew, as after a restart of the provider. */
  use(keys) {
    this.#refreshTokens.clear();
    const provider = new Provider(this.issuer, {
      clients: [{
        client_id: AUDIENCE,
        redirect_uris: [CALLBACK],
        response_types: ["code"],
        grant_types: ["authorization_code", "refresh_token"],
        token_endpoint_auth_method: "none",
        application_type: "native",
        id_token_signed_response_alg: "RS256",
      }],
      jwks: { keys: keys.map(({ jwk }) => jwk) },
      cookies: { keys: ["a secret of this test"] },
      // The ID token holds the claims about the person, as those of hosted providers do.
      conformIdTokenClaims: false,
      claims: { openid: ["sub"], profile: ["name"] },
      findAccount: async (_, accountId) => ({ accountId, claims: async () => ({ sub: accountId, name: accountId }) }),
      issueRefreshToken: async () => true,
      rotateRefreshToken: false,
    });
    this.#callback = provider.callback();
  }

  /** An ID token for `{ subject }`: the first by the whole flow, later ones by refreshing. */
  async token({ subject }) {
    const refreshToken = this.#refreshTokens.get(subject);
    const grant = refreshToken ? { grant_type: "refresh_token", refresh_token: refreshToken } : await this.#signIn(subject);
    const response = await fetch(`${this.issuer}/token`, { method: "POST", body: new URLSearchParams({ client_id: AUDIENCE, ...grant }) });
    const answer = await response.json();
    assert.equal(response.status, 200, JSON.stringify(answer));
    if (answer.refresh_token) this.#refreshTokens.set(subject, answer.refresh_token);
    return answer.id_token;
  }

  /** Walks the authorization code flow with PKCE as a browser would, to the grant for its code. */
  async #signIn(subject) {
    const verifier = base64url(randomBytes(32));
    const query = new URLSearchParams({
      client_id: AUDIENCE,
      response_type: "code",
      redirect_uri: CALLBACK,
      scope: "openid profile",
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
    });
    const browser = new Browser();
    const page = await browser.go(`${this.issuer}/auth?${query}`);
    const submit = (page, form) => browser.go(page.url, { method: "POST", body: new URLSearchParams(form) });
    const agreement = await submit(page, { prompt: "login", login: subject, password: "any" });
    const end = await submit(agreement, { prompt: "consent" });
    const code = end.url.searchParams.get("code");
    assert.ok(code, `the flow of ${subject} ended at ${end.url}`);
    return { grant_type: "authorization_code", code, code_verifier: verifier, redirect_uri: CALLBACK };
  }
}

/** The parts of a browser that the flow needs: cookies and redirects. */
class Browser {
  #cookies = new Map();

  async go(address, options = {}) {
    let url = new URL(address);
    for (let hops = 0; hops < 10; hops++) {
      const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
      const response = await fetch(url, { ...options, redirect: "manual", headers: cookie ? { cookie } : {} });
      options = {};
      await response.text();
      for (const line of response.headers.getSetCookie()) {
        const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
        if (value === "") this.#cookies.delete(name);
        else this.#cookies.set(name, value);
      }
      const to = response.headers.get("location");
      if (to === null) {
        assert.equal(response.status, 200, `${url}`);
        return { url };
      }
      url = new URL(to, url);
      if (url.href.startsWith(CALLBACK)) return { url };
    }
    assert.fail(`redirected without end to ${url}`);
  }
}

const trusting = (provider) => ({ flags: ["--issuer", provider.issuer, "--audience", AUDIENCE] });
const assertNeverSignedOut = ({ changes }) => assert.deepEqual(new Set(changes.all), new Set([true]));

/** Status and body of `users:me` over HTTP. */
async function me(chat, token) {
  const response = await fetch(`${chat.url}/api/query`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
    body: JSON.stringify({ path: "users:me", args: {}, format: "json" }),
  });
  return { ...(await response.json()), status: response.status };
}

test("official clients sign in for the first time with tokens of a real provider", async (t) => {
  const provider = await OpenId.start(t, [key("first")]);
  const chat = await Chat.start(t, trusting(provider));
  for (let n = 0; n < 5; n++) {
    const client = connect(t, chat);
    const who = person(`person ${n}`);
    const session = signIn(client, provider, who);
    const trace = watch(client, "users:me");
    await session.provisioned();
    await trace.until(() => true);
    assert.deepEqual(trace.values().map((user) => user?.name), [who.name]);
    assertNeverSignedOut(session);
  }
  const official = new ConvexHttpClient(chat.url, { logger: false });
  official.setAuth(await provider.token(person("over HTTP")));
  assert.equal((await official.query("users:me", {})).name, "over HTTP");
  assert.equal(await official.query("users:count", {}), 6);
  assert.equal(provider.asked, 1, "the keys were fetched once");
});

test("a provider rotates its keys under load, and no valid token is refused", async (t) => {
  const PEOPLE = 12;
  let newest = key("key-0");
  const provider = await OpenId.start(t, [newest]);
  const chat = await Chat.start(t, trusting(provider));
  const sessions = [];
  for (let n = 0; n < PEOPLE; n++) {
    const session = signIn(connect(t, chat), provider, person(`person ${n}`));
    await session.provisioned();
    sessions.push(session);
  }
  for (const generation of [1, 2]) {
    const old = await Promise.all(sessions.map((_, n) => provider.token(person(`person ${n}`))));
    const before = newest;
    newest = key(`key-${generation}`);
    provider.use([newest, before]);
    // Every person comes with an old token and with a new one, and one more signs in with the new key alone.
    const fresh = await Promise.all(sessions.map((_, n) => provider.token(person(`person ${n}`))));
    const answers = await Promise.all([...old, ...fresh].map((token) => me(chat, token)));
    for (const answer of answers) assert.equal(answer.status, 200, JSON.stringify(answer));
    const late = signIn(connect(t, chat), provider, person(`late ${generation}`));
    await late.provisioned();
    sessions.push(late);
  }
  sessions.forEach(assertNeverSignedOut);
  assert.equal(provider.asked, 3, "once for each set of keys");
});

test("several issuers at once, and one subject at each of them is one user at each", async (t) => {
  const one = await OpenId.start(t, [key("one")]);
  const other = await OpenId.start(t, [key("other")]);
  const custom = key("custom", "EC");
  const jwks = `data:application/json;base64,${Buffer.from(JSON.stringify({ keys: [published(custom)] })).toString("base64")}`;
  const providers = [
    { domain: one.issuer, applicationID: AUDIENCE },
    { type: "customJwt", issuer: "https://tokens.example.com", jwks, algorithm: "ES256", applicationID: AUDIENCE },
    { domain: other.issuer, applicationID: AUDIENCE },
  ];
  const chat = await Chat.start(t, { flags: ["--auth-config", JSON.stringify({ providers })] });
  const ada = person("ada");
  const byHand = { token: async () => jwt(custom, { iss: "https://tokens.example.com", aud: AUDIENCE, sub: "ada", name: "ada" }) };
  const ids = new Set();
  for (const issuer of [one, other, byHand, one]) {
    const client = connect(t, chat);
    const session = signIn(client, issuer, ada, { steady: issuer === byHand });
    const trace = watch(client, "users:me");
    await session.provisioned();
    const { value } = await trace.until(({ value }) => value?.name === "ada");
    ids.add(value._id);
    assertNeverSignedOut(session);
  }
  assert.equal(ids.size, 3);
  const forged = jwt(custom, { iss: one.issuer, aud: AUDIENCE, sub: "ada" });
  const refused = await me(chat, forged);
  assert.deepEqual([refused.status, refused.code], [401, "Unauthenticated"], "one issuer's key speaks for no other");
});

test("a provider that stops signs nobody out, and nobody new in until it is back", async (t) => {
  const known = key("known");
  const provider = await OpenId.start(t, [known]);
  const chat = await Chat.start(t, trusting(provider));
  const claims = (sub) => ({ iss: provider.issuer, aud: AUDIENCE, sub, name: sub });
  const session = signIn(connect(t, chat), provider, person("early"), { steady: true });
  await session.provisioned();
  await provider.stop();
  const next = key("next");
  for (let n = 0; n < 10; n++) {
    const served = await me(chat, jwt(known, claims(`person ${n}`)));
    assert.equal(served.value?.name, `person ${n}`, "known keys serve on");
  }
  const unknown = await me(chat, jwt(next, claims("waiting")));
  assert.deepEqual([unknown.status, unknown.code], [503, "AuthProviderDiscoveryFailed"]);
  const client = connect(t, chat);
  const token = jwt(next, claims("waiting"));
  const waiting = signIn(client, { token: async () => token }, person("waiting"), { steady: true });
  const trace = watch(client, "users:me");
  assert.equal((await me(chat, jwt(known, claims("another")))).status, 200);
  assert.deepEqual(waiting.changes.all, [], "neither in nor out");
  await provider.listen();
  provider.use([next, known]);
  await waiting.provisioned();
  await trace.until(({ value }) => value?.name === "waiting");
  [session, waiting].forEach(assertNeverSignedOut);
});

test("a server whose clock is behind the provider's signs everybody in, and says so", async (t) => {
  const signing = key("first");
  const provider = await OpenId.start(t, [signing]);
  const chat = await Chat.start(t, trusting(provider));
  // As Clerk makes them: `iat` is its present, `nbf` ten seconds before.
  const token = (behind, subject) => {
    const now = Math.floor(Date.now() / 1000) + behind;
    return jwt(signing, { iss: provider.issuer, aud: AUDIENCE, sub: subject, name: subject, iat: now, nbf: now - 10, exp: now + 600 });
  };
  for (const behind of [0, 10, 16, 60]) {
    const answer = await me(chat, token(behind, `${behind} s behind`));
    assert.deepEqual([answer.status, answer.value?.name], [200, `${behind} s behind`]);
  }
  assert.match(chat.said, /clock is behind the auth provider's/);
  const client = connect(t, chat);
  const session = signIn(client, { token: async () => token(60, "on a socket") }, person("on a socket"), { steady: true });
  const trace = watch(client, "users:me");
  await session.provisioned();
  await trace.until(({ value }) => value?.name === "on a socket");
  assertNeverSignedOut(session);
});
