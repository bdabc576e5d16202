// The chat's page in a real browser, as a person meets it. A picture of each state goes to tests/artifacts.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { launch } from "./chromium.mjs";
import { atEnd, Chat, person, test } from "./harness.mjs";
import { switchedChat } from "./switch.mjs";

const PICTURES = fileURLToPath(new URL("../artifacts", import.meta.url));
// The official client's messages when a person is not let in, and when the server is away.
const REFUSED = /NotProvisioned|not provisioned|Failed to authenticate|status of 560/;
const AWAY = /WebSocket connection to .* failed|ERR_CONNECTION_REFUSED|WebSocket closed with code/;

let browser;

before(async () => {
  mkdirSync(PICTURES, { recursive: true });
  browser = await launch();
});

after(() => browser?.close());

/** A tab of its own; the console may hold no error or warning but those that `expected` names. */
async function open(t, chat, { expected, ...look } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...look });
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    const isComplaint = ["error", "warning"].includes(message.type());
    if (isComplaint && !expected?.test(message.text())) complaints.push(message.text());
  });
  atEnd(t, async () => {
    await context.close();
    assert.deepEqual(complaints, [], "the console is clean");
  });
  await page.goto(chat.url);
  await page.getByTestId("channel").first().waitFor();
  return page;
}

const picture = (page, name) => page.screenshot({ path: path.join(PICTURES, `${name}.png`) });
const gate = (page, state) => page.locator(`[data-testid=gate][data-state=${state}]`).waitFor();
const shows = (page, testid, text) =>
  page.waitForFunction(([testid, text]) => document.querySelector(`[data-testid=${testid}]`)?.textContent === text, [testid, text]);
const message = (page, text) => page.locator("[data-testid=message][data-state=sent]", { hasText: text });

/** The text of `testid` from now on, each change once, in `window.said`. */
const listenTo = (page, testid) =>
  page.evaluate((testid) => {
    const spoken = document.querySelector(`[data-testid=${testid}]`);
    window.said = [spoken.textContent];
    const note = () => window.said.at(-1) !== spoken.textContent && window.said.push(spoken.textContent);
    new MutationObserver(note).observe(spoken, { childList: true, characterData: true, subtree: true });
  }, testid);
const said = (page) => page.evaluate(() => window.said);

async function signIn(page, { name, email }) {
  await page.getByTestId("name").fill(name);
  if (email) await page.getByTestId("email").fill(email);
  await page.getByTestId("submit").click();
}

async function send(page, text) {
  await page.getByTestId("draft").fill(text);
  await page.getByTestId("send").click();
}

test("two people in two tabs sign in, chat, rename and sign out", async (t) => {
  const chat = await Chat.start(t);
  const ada = await open(t, chat);
  await shows(ada, "user-count", "0");
  assert.equal(await ada.getByTestId("send").isDisabled(), true, "nobody cannot write");
  await picture(ada, "signed-out");
  await ada.getByTestId("pick").filter({ hasText: "Ada" }).click();
  await gate(ada, "provisioned");
  await shows(ada, "me-name", "Ada");

  const grace = await open(t, chat, { colorScheme: "dark" });
  await signIn(grace, { name: "Grace Hopper", email: "grace@example.com" });
  await gate(grace, "provisioned");
  for (const page of [ada, grace]) await shows(page, "user-count", "2");

  await send(ada, "Good morning, Grace.");
  await message(grace, "Good morning, Grace.").waitFor();
  await send(grace, "Good morning, Ada.");
  await message(ada, "Good morning, Ada.").waitFor();
  await picture(ada, "chat");
  await picture(grace, "chat-dark");

  await grace.getByTestId("new-name").fill("Rear Admiral Hopper");
  await grace.getByTestId("rename-submit").click();
  await message(ada, "Rear Admiral Hopper").waitFor();
  await shows(grace, "me-name", "Rear Admiral Hopper");

  await ada.getByTestId("channel").filter({ hasText: "random" }).click();
  await send(ada, "Only here.");
  await message(ada, "Only here.").waitFor();
  assert.equal(await message(grace, "Only here.").count(), 0);

  await ada.getByTestId("sign-out").click();
  await ada.getByTestId("signed-out").waitFor();
  await gate(ada, "unprovisioned");
  assert.equal(await ada.getByTestId("send").isDisabled(), true);
  await picture(ada, "signed-out-again");
  assert.equal(await grace.getByTestId("gate-status").textContent(), "provisioned", "the other tab is somebody else");
});

test("the gate panel tells one identity's way in order, and nothing interrupts it", async (t) => {
  const chat = await Chat.start(t);
  const page = await open(t, chat);
  await page.getByTestId("pick").filter({ hasText: "Linus" }).click();
  const steps = ["gate-token", "gate-connection", "gate-provisioning", "gate-provisioned", "gate-user"];
  await page.locator("[data-testid=gate-user][data-state=done]").waitFor();
  const times = [];
  for (const step of steps) {
    const item = page.getByTestId(step);
    assert.equal(await item.getAttribute("data-state"), "done", step);
    times.push(Number(await item.getAttribute("data-ms")));
  }
  assert.deepEqual(times, times.toSorted((a, b) => a - b));
  assert.match(await page.getByTestId("gate-user").textContent(), /Linus/, "the first result is the user");
  await page.reload();
  await page.locator("[data-testid=gate-user][data-state=done]").waitFor();
  await shows(page, "me-name", "Linus");
  await shows(page, "user-count", "1");
  assert.equal(await page.getByTestId("interruption-count").textContent(), "0");
});

test("a message shows at once, dimmed, and turns into the real one without doubling or flashing", async (t) => {
  const chat = await Chat.start(t);
  const page = await open(t, chat);
  await page.getByTestId("pick").first().click();
  await gate(page, "provisioned");
  await page.evaluate(() => {
    window.seen = [];
    const note = () => {
      const rows = [...document.querySelectorAll("[data-testid=message]")].filter((row) => row.textContent.includes("at once"));
      const now = rows.map((row) => row.dataset.state).join("+") || "none";
      if (window.seen.at(-1) !== now) window.seen.push(now);
    };
    note();
    const list = document.querySelector("[data-testid=messages]");
    new MutationObserver(note).observe(list, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-state"] });
  });
  await send(page, "at once");
  await message(page, "at once").waitFor();
  assert.deepEqual(await page.evaluate(() => window.seen), ["none", "pending", "sent"]);
});

test("older messages load on demand, and what is written meanwhile comes in below", async (t) => {
  const chat = await Chat.start(t);
  const ada = await chat.http(person("Ada"));
  const write = (body) => ada.mutation("messages:send", { channel: "general", body });
  for (let n = 0; n < 70; n++) await write(`message ${n}.`);
  const page = await open(t, chat);
  const count = (n) => page.waitForFunction((n) => document.querySelectorAll("[data-testid=message]").length === n, n);
  await count(30);
  await page.getByTestId("load-older").click();
  await count(60);
  await write("newest.");
  await count(61);
  await page.getByTestId("load-older").click();
  await count(71);
  await page.getByTestId("load-older").waitFor({ state: "hidden" });
  const shown = await page.locator("[data-testid=message] .body").allTextContents();
  assert.deepEqual(shown, [...Array.from({ length: 70 }, (_, n) => `message ${n}.`), "newest."]);
  await picture(page, "older-messages");
});

test("one who is not invited sees the reason, may try again, and comes in with another address", async (t) => {
  const chat = await Chat.start(t, { invited: "example.com" });
  const page = await open(t, chat, { expected: REFUSED });
  await signIn(page, { name: "Mallory", email: "mallory@elsewhere.test" });
  await gate(page, "refused");
  assert.match(await page.getByTestId("refusal").textContent(), /This chat is for people with an address at example\.com\./);
  assert.match(await page.getByTestId("gate-provisioning").textContent(), /NotInvited/);
  await shows(page, "me-state", "Not let in");
  assert.equal(JSON.parse(await page.getByTestId("refusal-data").textContent()).code, "NotProvisioned");
  const retry = page.locator("[data-testid=retry]:not([disabled])");
  await retry.waitFor();
  await picture(page, "refused");
  await shows(page, "user-count", "0");
  assert.equal(await page.getByTestId("send").isDisabled(), true);

  await listenTo(page, "gate-status");
  await retry.click();
  await page.waitForFunction(() => window.said.slice(1).includes("refused"));
  assert.deepEqual(await said(page), ["refused", "verifying", "provisioning", "refused"]);
  await retry.waitFor();

  await page.getByTestId("sign-out").click();
  await signIn(page, { name: "Mallory", email: "mallory@example.com" });
  await gate(page, "provisioned");
  await shows(page, "user-count", "1");
  await shows(page, "interruption-count", "0");
});

test("one who signs out while signing in stays out, and the next one comes in", async (t) => {
  const chat = await Chat.start(t);
  const page = await open(t, chat);
  await page.getByTestId("name").fill("Ada");
  await page.evaluate(() => {
    document.querySelector("[data-testid=submit]").click();
    document.querySelector("[data-testid=sign-out]").click();
  });
  await gate(page, "unprovisioned");
  await page.getByTestId("signed-out").waitFor();
  await signIn(page, { name: "Grace" });
  await page.locator("[data-testid=gate-user][data-state=done]").waitFor();
  await shows(page, "me-name", "Grace");
  await shows(page, "interruption-count", "0");
});

test("a token that takes its time shows that one is being verified", async (t) => {
  const chat = await Chat.start(t);
  const page = await open(t, chat);
  let letThrough;
  const asked = new Promise((resolve) => (letThrough = resolve));
  await page.route("**/dev/token", async (route) => {
    await asked;
    await route.continue();
  });
  await page.getByTestId("pick").first().click();
  await gate(page, "verifying");
  await shows(page, "me-state", "Signing in");
  await picture(page, "verifying");
  letThrough();
  await gate(page, "provisioned");
  await shows(page, "me-state", "");
});

test("a slow set-up says so after a second, what is public goes on, and then everything is there", async (t) => {
  const { chat, hold, release } = await switchedChat(t);
  const grace = await chat.http(person("Grace"));
  const page = await open(t, chat);
  hold();
  await listenTo(page, "me-state");
  await page.getByTestId("pick").first().click();
  await shows(page, "me-state", "Setting up");
  await gate(page, "provisioning");
  assert.match(await page.getByTestId("gate-note").textContent(), /Setting up your user/);
  assert.equal(await page.getByTestId("send").isDisabled(), true);
  await picture(page, "setting-up");
  release();
  await grace.mutation("messages:send", { channel: "general", body: "Good morning." });
  await message(page, "Good morning.").waitFor();
  await page.locator("[data-testid=gate-user][data-state=done]").waitFor();
  await shows(page, "me-name", "Ada");
  assert.deepEqual(await said(page), ["", "Signing in", "Setting up", ""]);
  await shows(page, "interruption-count", "0");
  await shows(page, "connection-count", "1");
});

test("one who signs out while being set up is out at once, and what was set up opens nothing", async (t) => {
  const { chat, hold, release } = await switchedChat(t);
  const page = await open(t, chat, { expected: /not provisioned \(signed_out\)/ });
  hold();
  await page.getByTestId("pick").first().click();
  await shows(page, "me-state", "Setting up");
  await listenTo(page, "gate-status");
  await page.getByTestId("sign-out").click();
  await page.getByTestId("signed-out").waitFor();
  await gate(page, "unprovisioned");
  release();
  // The user was made all the same, as the commit stands; the page hears of it as every client does.
  await shows(page, "user-count", "1");
  assert.deepEqual(await said(page), ["provisioning", "unprovisioned"]);
  assert.equal(await page.getByTestId("send").isDisabled(), true);
  await page.getByTestId("pick").first().click();
  await gate(page, "provisioned");
  await shows(page, "user-count", "1");
});

test("a set-up that fails is tried again without a new login, by itself or at once", async (t) => {
  const { chat, fail, release } = await switchedChat(t);
  const page = await open(t, chat, { expected: /ProvisioningFailed/ });
  let logins = 0;
  page.on("request", (request) => (logins += request.url().endsWith("/dev/token") && request.postDataJSON().subject === "ada"));
  fail();
  await listenTo(page, "me-state");
  await page.getByTestId("pick").first().click();
  await gate(page, "failed");
  await shows(page, "me-state", "Trying again");
  assert.match(await page.getByTestId("refusal").textContent(), /Setting up your user did not work/);
  await picture(page, "failed");
  assert.equal(logins, 1);
  release();
  // The client may have come in by itself by now.
  await page.getByTestId("retry").evaluate((retry) => retry.checkVisibility() && retry.click());
  await page.locator("[data-testid=gate-user][data-state=done]").waitFor();
  await shows(page, "me-name", "Ada");
  await shows(page, "user-count", "1");
  assert.ok(!(await said(page)).includes("Not signed in"), "never signed out");
});

test("short tokens refresh, and nothing flickers", async (t) => {
  const chat = await Chat.start(t);
  const page = await open(t, chat);
  await page.getByTestId("short-tokens").check();
  await signIn(page, { name: "Ada" });
  // The client fetches a fresh token right away, and the next one ten seconds before that one's end.
  await shows(page, "refresh-count", "2");
  await send(page, "still here");
  await message(page, "still here").waitFor();
  await shows(page, "interruption-count", "0");
  await shows(page, "connection-count", "1");
  await picture(page, "refreshed");
});

test("a page outlives a kill of the server", async (t) => {
  const chat = await Chat.start(t);
  const page = await open(t, chat, { expected: AWAY });
  await page.getByTestId("pick").first().click();
  await send(page, "before");
  await message(page, "before").waitFor();
  await chat.kill();
  await page.locator("[data-testid=connection][data-state=reconnecting]").waitFor();
  await send(page, "in the dark");
  await page.locator("[data-testid=message][data-state=pending]", { hasText: "in the dark" }).waitFor();
  await picture(page, "reconnecting");
  await chat.start();
  await message(page, "in the dark").waitFor();
  await shows(page, "me-name", "Ada");
  await shows(page, "interruption-count", "0");
  assert.deepEqual((await chat.messages("general")).map(({ body }) => body), ["before", "in the dark"]);
});

test("one who deletes oneself is signed out, and other tabs of theirs are told", async (t) => {
  const chat = await Chat.start(t);
  const [here, there] = [await open(t, chat), await open(t, chat)];
  for (const page of [here, there]) {
    await page.getByTestId("pick").first().click();
    // The fresh token that follows a sign-in would bring the user back.
    await shows(page, "refresh-count", "1");
    await page.locator("[data-testid=gate-user][data-state=done]").waitFor();
  }
  await send(here, "goodbye");
  await message(there, "goodbye").waitFor();
  await here.getByTestId("delete-me").click();
  await picture(here, "delete-me");
  await here.getByTestId("confirm-delete").click();
  await here.getByTestId("signed-out").waitFor();
  await shows(here, "user-count", "0");
  await gate(there, "failed");
  await picture(there, "deleted-elsewhere");
  await there.getByTestId("retry").click();
  await gate(there, "provisioned");
  await shows(here, "user-count", "1");
});

test("an error says so in a banner, and the text is not lost", async (t) => {
  const chat = await Chat.start(t);
  const page = await open(t, chat, { expected: /InvalidBody|messages:send/ });
  await page.getByTestId("pick").first().click();
  await gate(page, "provisioned");
  const text = "\u00e9".repeat(2_000) + "!";
  await page.getByTestId("draft").evaluate((draft) => draft.removeAttribute("maxlength"));
  await page.getByTestId("draft").evaluate((draft, text) => (draft.value = text), text + text);
  await page.getByTestId("send").click();
  await page.getByTestId("error-banner").filter({ hasText: "InvalidBody" }).waitFor();
  assert.equal(await page.getByTestId("draft").inputValue(), text + text);
  assert.equal(await page.getByTestId("message").count(), 0);
  await picture(page, "error");
});

test("the page fits a phone, and every control has a name", async (t) => {
  const chat = await Chat.start(t);
  const page = await open(t, chat, { viewport: { width: 360, height: 740 } });
  const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);
  assert.ok(await fits());
  await picture(page, "phone-signed-out");
  await page.getByTestId("pick").first().click();
  await gate(page, "provisioned");
  await send(page, `a word that does not end: ${"o".repeat(200)}`);
  await message(page, "does not end").waitFor();
  assert.ok(await fits());
  await picture(page, "phone");
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll("input, textarea, button")]
      .filter((control) => !(control.labels?.length || control.textContent.trim() || control.ariaLabel))
      .map((control) => control.outerHTML),
  );
  assert.deepEqual(nameless, []);
});
