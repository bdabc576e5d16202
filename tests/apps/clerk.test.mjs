// An app with users from Clerk's webhook alone, files, scheduled functions and a cron; and the same with a mutation for users.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Webhook } from "svix";
import { OWN_ISSUER, deploy, ended, openBrowser, openTab, servePage, shared, shows, startServer } from "./harness.mjs";
import { startIssuer } from "./issuer.mjs";

const CLERK_WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const all = shared(async (t) => {
  const [server, issuer, browser] = [await startServer(t, OWN_ISSUER), await startIssuer(t), await openBrowser(t)];
  const variables = { CLERK_WEBHOOK_SECRET, CLERK_FRONTEND_API_URL: issuer.url, VESTIBULE_PROVISION_WHEN: "users.by_clerk_id:subject" };
  const app = await deploy(t, server, "clerk", variables);
  return { server, issuer, app, browser, url: await servePage(t, server, app, { ISSUER_URL: issuer.url }) };
});

let events = 0;
/** Delivers an event as Clerk does; the answer's status. */
async function deliver(app, type, data, secret = CLERK_WEBHOOK_SECRET) {
  const body = JSON.stringify({ type, data, object: "event" });
  const [id, now] = [`msg_${events++}`, new Date()];
  const headers = { "svix-id": id, "svix-timestamp": `${Math.floor(now / 1000)}`, "svix-signature": new Webhook(secret).sign(id, now, body) };
  return (await fetch(`${app.siteUrl}/clerk-users-webhook`, { method: "POST", headers, body })).status;
}
const created = (app, id, first_name) => deliver(app, "user.created", { id, first_name, last_name: "Lovelace" });
const signIn = (page, id, name) => page.evaluate(([id, name]) => window.signIn(id, name), [id, name]);

/** A counter or gauge of the server. */
async function metric(server, name) {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return Number(new RegExp(`^${name} (.*)$`, "m").exec(text)[1]);
}

/** Waits until somebody stands before the gate. */
async function waiting(server) {
  while ((await metric(server, "vestibule_gate_waiting")) === 0);
}

test("a page that is faster than the webhook waits for it, and meets its user", async (t) => {
  const { server, app, browser, url } = all();
  const page = await openTab(t, browser, url);
  await page.getByTestId("signed-out").waitFor();
  await signIn(page, "user_late");
  await waiting(server);
  assert.equal(await deliver(app, "user.created", { id: "user_late" }, "whsec_c29tZWJvZHkgZWxzZQ=="), 400);
  assert.ok((await metric(server, "vestibule_gate_waiting")) > 0, "a forged event opens nothing");
  assert.equal(await created(app, "user_late", "Ada"), 200);
  await shows(page, "me", "Ada Lovelace");
  assert.equal(await page.getByTestId("broken").count(), 0);

  await page.getByTestId("sign-out").click();
  await page.getByTestId("signed-out").waitFor();
});

test("a webhook that is first, twice or again makes one user, and its changes are seen at once", async (t) => {
  const { app, browser, url } = all();
  assert.deepEqual([await created(app, "user_early", "Grace"), await created(app, "user_early", "Grace")], [200, 200]);
  const page = await openTab(t, browser, url);
  await signIn(page, "user_early");
  await shows(page, "me", "Grace Lovelace");
  await deliver(app, "user.updated", { id: "user_early", first_name: "Grace B.", last_name: "Hopper" });
  await shows(page, "me", "Grace B. Hopper");
  assert.equal(await deliver(app, "session.created", { id: "s" }), 200);
});

test("tokens of new keys are let in", async (t) => {
  const { issuer, app, browser, url } = all();
  await created(app, "user_keys", "Hedy");
  const page = await openTab(t, browser, url);
  await signIn(page, "user_keys");
  await shows(page, "me", "Hedy Lovelace");
  await issuer.rotate();
  await page.reload();
  await shows(page, "me", "Hedy Lovelace");
});

test("pictures are uploaded, shown and removed", async (t) => {
  const { app, browser, url } = all();
  await created(app, "user_files", "Mary");
  const page = await openTab(t, browser, url, { expected: /404/ });
  await signIn(page, "user_files");
  await shows(page, "me", "Mary Lovelace");
  const pixel = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
  await page.getByTestId("file").setInputFiles({ name: "dot.png", mimeType: "image/png", buffer: pixel });
  const link = page.getByTestId("picture");
  await link.getByText(`dot.png, ${pixel.length} bytes, image/png`).waitFor();
  const image = page.getByTestId("image");
  await page.waitForFunction((image) => image.complete && image.naturalWidth === 1, await image.elementHandle());
  const address = await link.getAttribute("href");
  const found = await fetch(address);
  assert.deepEqual([found.status, found.headers.get("content-type")], [200, "image/png"]);
  assert.deepEqual(Buffer.from(await found.arrayBuffer()), pixel);
  await page.getByTestId("remove").click();
  await link.waitFor({ state: "detached" });
  assert.equal((await fetch(address)).status, 404);
});

test("scheduled functions run at once or not at all, and a cron goes on", async (t) => {
  const { app, browser, url } = all();
  await created(app, "user_jobs", "Joan");
  const page = await openTab(t, browser, url);
  await signIn(page, "user_jobs");
  await shows(page, "letters", "");
  await page.getByTestId("send").click();
  await shows(page, "letters", "sent");
  await page.getByTestId("later").click();
  await shows(page, "waiting", "1 waiting");
  await page.getByTestId("call-back").click();
  await shows(page, "waiting", "0 waiting");
  const ticks = async () => Number(await page.getByTestId("ticks").textContent());
  const before = await ticks();
  await page.waitForFunction((before) => Number(document.querySelector("[data-testid=ticks]").textContent) > before + 1, before);
});

test("a deleted user is not let in again until the provider makes one", async (t) => {
  const { server, app, browser, url } = all();
  await created(app, "user_gone", "Annie");
  const page = await openTab(t, browser, url, { expected: /User not found/ });
  await signIn(page, "user_gone");
  await shows(page, "me", "Annie Lovelace");
  await page.getByTestId("sign-out").click();
  await page.getByTestId("signed-out").waitFor();
  await deliver(app, "user.deleted", { id: "user_gone" });
  await signIn(page, "user_gone");
  await waiting(server);
  await created(app, "user_gone", "Annie II");
  await shows(page, "me", "Annie II Lovelace");
});

test("the same app with a mutation for users never meets one who is missing", async (t) => {
  const { issuer, browser } = all();
  const server = await startServer(t, OWN_ISSUER);
  const variables = { CLERK_WEBHOOK_SECRET, CLERK_FRONTEND_API_URL: issuer.url, VESTIBULE_PROVISION_WITH: "users:store" };
  const app = await deploy(t, server, "clerk", variables);
  const url = await servePage(t, server, app, { ISSUER_URL: issuer.url });
  for (const name of ["Katherine", "Dorothy"]) {
    const page = await openTab(t, browser, url);
    await page.getByTestId("signed-out").waitFor();
    await signIn(page, `user_${name}`, name);
    await shows(page, "me", name);
    await page.reload();
    await shows(page, "me", name);
    assert.equal(await page.getByTestId("broken").count(), 0);
  }
  assert.equal(ended(await app.convex("run", "users:count")).out.trim(), "2");
});
