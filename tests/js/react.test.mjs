// An unmodified official React app, in StrictMode, with a Clerk-shaped `useAuth`. Everything it shows, commit by commit
// and frame by frame, is on a log of its own; the tests read that log: no error, and no signed-in user is shown as a
// guest.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { launch } from "./chromium.mjs";
import { atEnd, Chat, person, test } from "./harness.mjs";
import { serveApp } from "./react/serve.mjs";
import { switchedChat } from "./switch.mjs";

let browser;
let app;

before(async () => ([browser, app] = await Promise.all([launch(), serveApp()])));
after(() => {
  app?.close();
  return browser?.close();
});

/** A browser profile: its tabs share a session, as tabs do. */
async function profile(t) {
  const context = await browser.newContext();
  atEnd(t, () => context.close());
  return context;
}

/** A tab with the app. The console must hold no error, and no warning that `expected` does not name. */
async function open(t, context, chat, { expected, ...options } = {}) {
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    const isComplaint = ["error", "warning"].includes(message.type());
    if (isComplaint && !expected?.test(message.text())) complaints.push(message.text());
  });
  atEnd(t, () => assert.deepEqual(complaints, [], "the console is clean"));
  await page.goto(`${app.url}/?${new URLSearchParams({ chat: chat.url, ...options })}`);
  return page;
}

/** Waits for one's home, and for two more frames of it. */
async function home(page, name) {
  await page.getByTestId("home").filter({ hasText: `Home of ${name}` }).waitFor();
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}

const signedOut = (page) => page.getByText("Please sign in.").waitFor();
const shows = (page, text) => page.waitForFunction((text) => document.body.innerText.replace(/\s+/g, " ").includes(text), text);
const setActive = (page, ...call) => page.evaluate((call) => window.clerk.setActive(...call), call);
/** Forgets what was seen so far but for what is on the screen now. */
const fromNow = (page) => page.evaluate(() => window.entries.splice(0, window.entries.length - 1));

const GUEST = /signed out|Please sign in/;
const WRONG = /ERROR|nobody|undefined|null/;

/** The entries from the moment the provider said `auth`, or from the beginning, oldest first. */
async function seen(page, auth) {
  const entries = await page.evaluate(() => window.entries);
  assert.deepEqual(entries.filter(({ kind }) => kind === "error"), [], "no component, promise or script failed");
  const from = auth === undefined ? 0 : entries.findLastIndex(({ kind, detail }) => kind === "auth" && detail === auth) + 1;
  return entries.slice(from).filter(({ kinds }) => kinds);
}

/** The official provider keeps the sign-in page until the server has let a person in; from then on it must not return. */
const fromGuest = (entries) => entries.slice(entries.findIndex(({ text }) => !GUEST.test(text)));

/** Whose home was shown, "-" for none, each change once; and nothing was wrong, nor any user taken for a guest. */
function way(entries) {
  const shown = () => JSON.stringify(entries, null, 1);
  const homes = [];
  for (const { text } of entries) {
    assert.ok(!WRONG.test(text) && !GUEST.test(text), `${text}\n${shown()}`);
    const home = /Home of (\S+)/.exec(text)?.[1] ?? "-";
    if (homes.at(-1) !== home) homes.push(home);
  }
  const kinds = new Set(entries.flatMap(({ kinds }) => Object.keys(kinds)));
  assert.deepEqual([...kinds].sort(), ["change", "commit", "frame"], "all three recorders were at work");
  return homes.join(" ");
}

/** Straight from loading to one's own home; one's name may come a commit later than its place. */
const straightTo = (name) => new RegExp(`^(- )?(… )?${name}$`);
/** Over from one home to another, without a look back. */
const overTo = (earlier, name) => new RegExp(`^(${earlier} )?(- )?(… )?${name}$`);

async function signIn(t, chat, context, name, options) {
  const page = await open(t, context, chat, options);
  await signedOut(page);
  await page.getByTestId(name).click();
  await home(page, name);
  return page;
}

const userCount = async (chat) => (await chat.http()).query("users:count", {});

test("a first login, frame by frame: loading, then one's own home, and nothing else", async (t) => {
  const chat = await Chat.start(t);
  const page = await signIn(t, chat, await profile(t), "Ada");
  await shows(page, "[skipping: Ada] [count: 1]");
  assert.match(way(fromGuest(await seen(page, "Ada"))), straightTo("Ada"));
  await page.getByTestId("body").fill("hello");
  await page.getByTestId("body").press("Enter");
  await shows(page, "Ada: hello");
  assert.equal(await page.evaluate(() => window.connections()), 1, "on one connection");
});

for (const options of [{}, { expectAuth: "" }, { bare: "", expectAuth: "" }]) {
  test(`a page that is loaded again, ${Object.keys(options).join(" and ") || "plain"}: loading, then home`, async (t) => {
    const chat = await Chat.start(t);
    const page = await signIn(t, chat, await profile(t), "Ada", options);
    for (let n = 0; n < 3; n++) {
      await page.reload();
      await home(page, "Ada");
      await shows(page, "[skipping: Ada] [count: 1]");
      assert.match(way(await seen(page)), straightTo("Ada"));
    }
  });
}

test("tokens are refreshed again and again, and nothing on the screen changes", async (t) => {
  const chat = await Chat.start(t);
  const page = await signIn(t, chat, await profile(t), "Ada", { lifetime: 4, leeway: 3 });
  await shows(page, "[skipping: Ada] [count: 1] Home of Ada [Exhausted]");
  const before = await page.evaluate(() => window.tokens);
  await fromNow(page);
  await page.waitForFunction((enough) => window.tokens >= enough, before + 4);
  // A message proves that the newest token works.
  await page.getByTestId("body").fill("still here");
  await page.getByTestId("body").press("Enter");
  await shows(page, "Ada: still here");
  const entries = await seen(page);
  const texts = new Set(entries.map(({ text }) => text.replace(" Ada: still here", "")));
  assert.deepEqual([...texts], ["[authenticated] [skipping: Ada] [count: 1] Home of Ada [Exhausted] Leave"]);
});

for (const slowly of [false, true]) {
  test(`from one person to another and back${slowly ? ", by way of a provider that loads" : ""}: never a guest, never a stale name`, async (t) => {
    const chat = await Chat.start(t);
    const page = await signIn(t, chat, await profile(t), "Ada");
    for (const [earlier, name] of [["Ada", "Grace"], ["Grace", "Ada"], ["Ada", "Linus"]]) {
      await shows(page, `[skipping: ${earlier}]`);
      await fromNow(page);
      await setActive(page, name, { slowly });
      await home(page, name);
      await shows(page, `[skipping: ${name}]`);
      const entries = await seen(page, name);
      assert.match(way(entries), overTo(earlier, name));
      const after = entries.slice(entries.findIndex(({ text }) => !text.includes(`Home of ${earlier}`)));
      for (const { text } of after) assert.ok(!text.includes(`: ${earlier}]`), text);
    }
    assert.equal(await userCount(chat), 3);
  });
}

test("a component that waits for nothing sees one person, perhaps nobody, then the next; never one too many", async (t) => {
  const chat = await Chat.start(t);
  const page = await signIn(t, chat, await profile(t), "Ada", { bare: "" });
  await shows(page, "[bare: Ada]");
  for (const [earlier, name] of [["Ada", "Grace"], ["Grace", "Ada"]]) {
    await fromNow(page);
    await setActive(page, name);
    await shows(page, `[bare: ${name}]`);
    const names = (await seen(page, name)).map(({ text }) => /\[bare: (\S+)\]/.exec(text)[1]);
    // The official client really signs out in between, and fetches a token before it signs in again.
    const way = names.filter((name, n) => name !== names[n - 1]).join(" ");
    assert.match(way, new RegExp(`^${earlier} (nobody )?${name}$`));
  }
});

test("people who follow each other faster than they can be let in: only the last one is", async (t) => {
  const { chat, hold, release } = await switchedChat(t);
  const page = await signIn(t, chat, await profile(t), "Ada");
  await fromNow(page);
  hold();
  await setActive(page, "Grace");
  await shows(page, "One moment.");
  await setActive(page, "Barbara");
  await setActive(page, "Linus");
  release();
  await home(page, "Linus");
  assert.match(way(await seen(page, "Grace")), overTo("Ada", "Linus"));
});

test("another organisation of the same person: never a guest", async (t) => {
  const chat = await Chat.start(t);
  const page = await signIn(t, chat, await profile(t), "Ada");
  await shows(page, "[skipping: Ada]");
  await fromNow(page);
  await page.evaluate(() => window.clerk.setOrganization("org_1"));
  await page.waitForFunction(() => window.entries.some(({ text }) => text.includes("One moment.")));
  await home(page, "Ada");
  assert.match(way(await seen(page, "Ada")), overTo("Ada", "Ada"));
});

test("one who signs out is out at once, without an error on the way", async (t) => {
  const chat = await Chat.start(t);
  const page = await signIn(t, chat, await profile(t), "Ada");
  await page.getByTestId("sign-out").click();
  await signedOut(page);
  await shows(page, "[signed out] [skipping: …] [count: 1]");
  for (const { text } of await seen(page, "nobody")) assert.ok(!WRONG.test(text) && !text.includes("Ada]"), text);
  await page.getByTestId("Grace").click();
  await home(page, "Grace");
  assert.match(way(fromGuest(await seen(page, "Grace"))), straightTo("Grace"));
});

test("two tabs share a session: both come in, go over and go out together, as one user", async (t) => {
  const chat = await Chat.start(t);
  const context = await profile(t);
  const tabs = [await open(t, context, chat), await open(t, context, chat)];
  for (const tab of tabs) await signedOut(tab);
  await tabs[0].getByTestId("Ada").click();
  for (const tab of tabs) await home(tab, "Ada");
  for (const tab of tabs) assert.match(way(fromGuest(await seen(tab, "Ada"))), straightTo("Ada"));
  assert.equal(await userCount(chat), 1);
  await setActive(tabs[1], "Grace");
  for (const tab of tabs) await home(tab, "Grace");
  for (const tab of tabs) assert.match(way(await seen(tab, "Grace")), overTo("Ada", "Grace"));
  await tabs[0].getByTestId("sign-out").click();
  for (const tab of tabs) await signedOut(tab);
  for (const tab of tabs) for (const { text } of await seen(tab, "nobody")) assert.doesNotMatch(text, WRONG);
  assert.equal(await userCount(chat), 2);
});

test("a first login that takes longer than a second: loading all the while, also over a reload, and then home", async (t) => {
  const { chat, hold, release } = await switchedChat(t);
  const grace = await chat.http(person("Grace"));
  const page = await open(t, await profile(t), chat);
  await signedOut(page);
  await shows(page, "[count: 0]");
  hold();
  await page.getByTestId("Ada").click();
  const waits = () => page.waitForFunction(() => window.entries.length > 0 && performance.now() - window.entries.findLast((entry) => entry.kinds).ms > 1_200);
  await waits();
  for (const { text } of await seen(page, "Ada")) assert.match(text, /^\[signed out\] \[skipping: …\] \[count: 0\] Please sign in\./);
  await page.reload();
  await shows(page, "[loading] [skipping: …] [count: 0] One moment.");
  await waits();
  release();
  await home(page, "Ada");
  assert.match(way(await seen(page)), straightTo("Ada"));
  await grace.mutation("messages:send", { channel: "general", body: "welcome" });
  await shows(page, "Grace: welcome");
  assert.equal(await userCount(chat), 2);
});

test("a first login whose provisioning fails at first: loading, still signed in, until it works", async (t) => {
  const { chat, fail, release } = await switchedChat(t);
  const page = await open(t, await profile(t), chat, { expected: /ProvisioningFailed/ });
  await signedOut(page);
  fail();
  await page.getByTestId("Ada").click();
  await page.waitForFunction(() => window.connections() > 1);
  release();
  await home(page, "Ada");
  assert.match(way(fromGuest(await seen(page, "Ada"))), straightTo("Ada"));
});

test("a token that is not there yet right after the sign-up: loading, until it is", async (t) => {
  const chat = await Chat.start(t);
  const page = await signIn(t, chat, await profile(t), "Ada", { emptyHanded: 1 });
  assert.match(way(fromGuest(await seen(page, "Ada"))), straightTo("Ada"));
});

test("one who is refused sees no home, not for a frame", async (t) => {
  const chat = await Chat.start(t, { invited: "example.com" });
  const page = await open(t, await profile(t), chat, { expected: /NotProvisioned|not provisioned|Failed to authenticate/ });
  await signedOut(page);
  const givenUp = page.waitForEvent("console", (message) => message.text().includes("Failed to authenticate"));
  await page.getByTestId("Ada").click();
  await givenUp;
  for (const { text } of await seen(page, "Ada")) assert.doesNotMatch(text, /Home|ERROR|Ada\]/);
  assert.equal(await userCount(chat), 0);
});
