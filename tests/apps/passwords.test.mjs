// An app behind passwords by @convex-dev/auth: its own site is the issuer of its tokens, and its functions make its users.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { ConvexHttpClient } from "convex/browser";
import { OWN_ISSUER, deploy, ended, openBrowser, openTab, servePage, shared, shows, startServer, texts } from "./harness.mjs";

const PASSWORD = "correct horse";

const all = shared(async (t) => {
  const server = await startServer(t, OWN_ISSUER);
  const app = await deploy(t, server, "passwords", secrets());
  return { server, app, url: await servePage(t, server, app), browser: await openBrowser(t) };
});

/** The variables that the library's setup makes. */
function secrets() {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" });
  return {
    JWT_PRIVATE_KEY: pem.trimEnd().replaceAll("\n", " "),
    JWKS: JSON.stringify({ keys: [{ use: "sig", ...publicKey.export({ format: "jwk" }) }] }),
    SITE_URL: "http://127.0.0.1",
  };
}

async function enter(page, flow, email, password = PASSWORD) {
  await page.getByTestId("email").fill(email);
  await page.getByTestId("password").fill(password);
  if ((await page.getByTestId("submit").textContent()) !== flow) await page.getByTestId("other").click();
  await page.getByTestId("submit").click();
}

async function add(page, body) {
  await page.getByTestId("body").fill(body);
  await page.getByTestId("add").click();
  await settled(page, body);
}

const settled = (page, body) => page.locator("[data-testid=note][data-pending=false]", { hasText: body }).waitFor();
const notes = (page) => texts(page, "note");
const paging = (page, status) => page.locator(`[data-testid=notes][data-status=${status}]`).waitFor({ state: "attached" });

test("people sign up, find their notes again, and are let in by the right password alone", async (t) => {
  const { url, browser } = all();
  const expected = /InvalidSecret|InvalidAccountId|already exists|Server Error/;
  const page = await openTab(t, browser, url, { expected });
  await enter(page, "signUp", "ada@example.com");
  await shows(page, "me", "ada@example.com");
  await add(page, "an engine");
  await page.getByTestId("sign-out").click();

  await enter(page, "signIn", "ada@example.com", "battery staple");
  await page.getByTestId("problem").getByText("InvalidSecret").waitFor();
  await enter(page, "signIn", "nobody@example.com");
  await page.getByTestId("problem").getByText("InvalidAccountId").waitFor();
  await enter(page, "signUp", "ada@example.com", "battery staple");
  await page.getByTestId("problem").getByText("already exists").waitFor();

  await enter(page, "signIn", "ada@example.com");
  await shows(page, "me", "ada@example.com");
  await settled(page, "an engine");
  assert.deepEqual(await notes(page), ["an engine"]);

  const other = await openTab(t, browser, url);
  await enter(other, "signUp", "grace@example.com");
  await shows(other, "me", "grace@example.com");
  await paging(other, "Exhausted");
  assert.deepEqual(await notes(other), []);
});

const TOKEN = "__convexAuthJWT_";
const REFRESH_TOKEN = "__convexAuthRefreshToken_";
const stored = (page, name) => page.evaluate((name) => Object.entries(localStorage).find(([key]) => key.startsWith(name))?.[1], name);
const storedOther = (page, name, than) =>
  page.waitForFunction(([name, than]) => {
    const now = Object.entries(localStorage).find(([key]) => key.startsWith(name))?.[1];
    return now !== undefined && now !== than;
  }, [name, than]);

test("a session outlives reloads, is shared by tabs, gets new tokens and ends with a sign-out", async (t) => {
  const { server, app, url, browser } = all();
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await openTab(t, browser, url, { context });
  await enter(page, "signUp", "barbara@example.com");
  await shows(page, "me", "barbara@example.com");
  await add(page, "an engine");
  const before = await stored(page, REFRESH_TOKEN);
  await page.reload();
  await shows(page, "me", "barbara@example.com");
  await storedOther(page, REFRESH_TOKEN, before);

  // The keys that the token is checked with come from the app's own site.
  const token = await stored(page, TOKEN);
  const { iss, aud } = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
  assert.deepEqual([iss, aud], [app.siteUrl, "convex"]);
  const discovery = await (await fetch(`${app.siteUrl}/.well-known/openid-configuration`)).json();
  assert.equal(discovery.issuer, iss);
  assert.equal((await (await fetch(discovery.jwks_uri)).json()).keys.length, 1);

  const second = await openTab(t, browser, url, { context });
  await shows(second, "me", "barbara@example.com");
  await add(second, "a loom");
  await settled(page, "a loom");

  // A sign-out ends the session in every tab, and for the tokens that it had.
  await page.getByTestId("sign-out").click();
  await page.getByTestId("submit").waitFor();
  await second.getByTestId("submit").waitFor();
  const late = await new ConvexHttpClient(server.url).action("auth:signIn", { refreshToken: before });
  assert.equal(late.tokens, null);
});

test("notes come page by page, appear before the server has them, and go when it refuses them", async (t) => {
  const { url, browser } = all();
  const page = await openTab(t, browser, "about:blank", { expected: /a note needs a text/ });
  // The server's messages wait while `gate` is closed.
  let held = null;
  await page.routeWebSocket(/\/sync$/, (socket) => {
    const server = socket.connectToServer();
    socket.onMessage((message) => server.send(message));
    server.onMessage((message) => (held ? held.push(() => socket.send(message)) : socket.send(message)));
  });
  await page.goto(url);
  await enter(page, "signUp", "hedy@example.com");
  await shows(page, "me", "hedy@example.com");
  const bodies = Array.from({ length: 12 }, (_, number) => `note ${number}`).reverse();
  for (const body of bodies.toReversed()) await add(page, body);
  await page.reload();
  await paging(page, "CanLoadMore");
  assert.deepEqual(await notes(page), bodies.slice(0, 5));
  await page.getByTestId("more").click();
  await page.getByTestId("note").getByText("note 2", { exact: true }).waitFor();
  await paging(page, "CanLoadMore");
  await page.getByTestId("more").click();
  await paging(page, "Exhausted");
  assert.deepEqual(await notes(page), bodies);

  held = [];
  const release = () => {
    const messages = held;
    held = null;
    for (const send of messages) send();
  };
  await page.getByTestId("body").fill("in a hurry");
  await page.getByTestId("add").click();
  const pending = page.locator("[data-testid=note][data-pending=true]");
  await pending.getByText("in a hurry").waitFor();
  assert.deepEqual(await notes(page), ["in a hurry", ...bodies]);
  release();
  await settled(page, "in a hurry");
  assert.deepEqual(await notes(page), ["in a hurry", ...bodies]);

  held = [];
  await page.getByTestId("body").fill(" ");
  await page.getByTestId("add").click();
  await pending.waitFor({ state: "attached" });
  release();
  await shows(page, "problem", "a note needs a text");
  assert.deepEqual(await notes(page), ["in a hurry", ...bodies]);
});

test("pages begin anew when new code reads them in another order", async (t) => {
  const { app, url, browser } = all();
  const page = await openTab(t, browser, url, { expected: /InvalidCursor/ });
  await enter(page, "signUp", "joan@example.com");
  await shows(page, "me", "joan@example.com");
  const bodies = Array.from({ length: 7 }, (_, number) => `note ${number}`);
  for (const body of bodies) await add(page, body);
  await page.reload();
  await paging(page, "CanLoadMore");
  await page.getByTestId("more").click();
  await paging(page, "Exhausted");
  assert.deepEqual(await notes(page), bodies.toReversed());
  t.after(async () => {
    app.edit("convex/notes.ts", 'order("asc")', 'order("desc")');
    ended(await app.convex("deploy", "--typecheck", "disable"));
  });
  app.edit("convex/notes.ts", 'order("desc")', 'order("asc")');
  ended(await app.convex("deploy", "--typecheck", "disable"));
  await page.locator("[data-testid=note]:first-child", { hasText: "note 0" }).waitFor();
  await paging(page, "CanLoadMore");
  assert.deepEqual(await notes(page), bodies.slice(0, 5));
  await page.getByTestId("more").click();
  await paging(page, "Exhausted");
  assert.deepEqual(await notes(page), bodies);
});

test("events arrive while the action that sends them runs", async (t) => {
  const { app, url, browser } = all();
  const page = await openTab(t, browser, url);
  await enter(page, "signUp", "mary@example.com");
  await shows(page, "me", "mary@example.com");
  for (const body of ["one", "two", "three"]) await add(page, body);
  await page.getByTestId("read").click();
  await shows(page, "said", "three, two, one, the end");
  assert.deepEqual(await notes(page), []);
  const stranger = await fetch(`${app.siteUrl}/read`);
  assert.deepEqual([stranger.status, await stranger.text()], [401, "sign in first"]);
});
