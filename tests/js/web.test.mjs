// The example `web`, a React app on our package, served by Vite in development mode and met in a real browser. A picture
// of each state goes to tests/artifacts.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { createServer } from "../../examples/web/node_modules/vite/dist/node/index.js";
import { launch } from "./chromium.mjs";
import { atEnd, Chat, test } from "./harness.mjs";
import { switchedChat } from "./switch.mjs";

const WEB = fileURLToPath(new URL("../../examples/web", import.meta.url));
const PICTURES = fileURLToPath(new URL("../artifacts", import.meta.url));
const PHONE = { viewport: { width: 360, height: 740 } };
// The messages of the official client and the package when a person is not let in.
const REFUSED = /NotProvisioned|not provisioned|Failed to authenticate/;

let browser;

before(async () => {
  mkdirSync(PICTURES, { recursive: true });
  browser = await launch();
});

after(() => browser?.close());

/** The app as `vite` serves it, for one chat. */
async function serve(t, chat) {
  process.env.VITE_CONVEX_URL = chat.url;
  const vite = await createServer({ root: WEB, logLevel: "error", server: { port: 0, strictPort: false } });
  atEnd(t, () => vite.close());
  await vite.listen();
  return { vite, url: vite.resolvedUrls.local[0] };
}

/** A browser profile whose tabs share a session; the console may hold no error or warning but those that `expected` names. */
async function profile(t, web, { expected, ...look } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...look });
  const complaints = [];
  atEnd(t, async () => {
    await context.close();
    assert.deepEqual(complaints, [], "the console is clean");
  });
  return async () => {
    const page = await context.newPage();
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => {
      const isComplaint = ["error", "warning"].includes(message.type());
      if (isComplaint && !expected?.test(message.text())) complaints.push(message.text());
    });
    await page.addInitScript(writeDown);
    await page.goto(web.url);
    return page;
  };
}

/** In the page: which place was on the screen, and whose name, at every change and every frame; each change once. */
function writeDown() {
  window.places = [];
  const note = () => {
    const place = document.querySelector("[data-testid=threshold], [data-testid=signed-out], [data-testid=refused], [data-testid=failed], [data-testid=inside]");
    const name = document.querySelector("[data-testid=me-name]")?.textContent;
    const now = place ? [place.dataset.testid, name].filter(Boolean).join(" ") : "blank";
    if (window.places.at(-1) !== now) window.places.push(now);
  };
  const frame = () => {
    note();
    requestAnimationFrame(frame);
  };
  addEventListener("DOMContentLoaded", () => {
    new MutationObserver(note).observe(document.body, { childList: true, subtree: true, characterData: true });
    frame();
  });
}

const picture = (page, name) => page.screenshot({ path: path.join(PICTURES, `web-${name}.png`), animations: "disabled" });
const at = (page, place) => page.getByTestId(place).waitFor();
const inside = (page, name) =>
  page.getByTestId("me-name").filter({ hasText: name }).waitFor().catch(async (error) => {
    throw new Error(`never inside as ${name}; the way: ${await way(page)}`, { cause: error });
  });
const pick = (page, name) => page.getByTestId("pick").filter({ hasText: name }).click();
const message = (page, text) => page.locator("[data-testid=message][data-state=sent]", { hasText: text }).waitFor();
/** The way so far; what is on the screen now begins the next. */
const way = (page) =>
  page.evaluate(() => {
    const all = window.places.join(", ");
    window.places.splice(0, window.places.length - 1);
    return all;
  });

async function signIn(page, { name, email = "" }) {
  await page.getByTestId("name").fill(name);
  await page.getByTestId("email").fill(email);
  await page.getByTestId("submit").click();
}

/**
 * The place of a user who is not let in. On a busy machine the server's refusal may overtake the package's own call. The
 * official client keeps the reason to itself then, so the page says that it did not work, and the user tries again.
 */
async function refused(page) {
  const places = page.getByTestId("refused").or(page.getByTestId("failed"));
  await places.waitFor();
  if (await page.getByTestId("failed").isVisible()) await page.getByTestId("retry").click();
  await at(page, "refused");
}

async function send(page, text) {
  await page.getByTestId("draft").fill(text);
  await page.getByTestId("send").click();
}

test("its types are right, and it builds for production", () => {
  const { status, stdout, stderr } = spawnSync("npm", ["run", "build"], { cwd: WEB, encoding: "utf8" });
  assert.equal(status, 0, stdout + stderr);
});

test("a first login, a reload, and over to somebody else: one place after the other, and nobody too many", async (t) => {
  const web = await serve(t, await Chat.start(t));
  const page = await (await profile(t, web))();
  await at(page, "signed-out");
  await picture(page, "signed-out");
  await way(page);
  await pick(page, "Ada");
  await inside(page, "Ada");
  await send(page, "Good morning.");
  await message(page, "Good morning.");
  await picture(page, "inside");
  assert.match(await way(page), /^signed-out, threshold, (inside, )?inside Ada$/);
  await page.reload();
  await inside(page, "Ada");
  assert.match(await way(page), /^(blank, )?threshold, (inside, )?inside Ada$/);
  await page.getByTestId("switch").filter({ hasText: "Grace" }).click();
  await inside(page, "Grace");
  assert.match(await way(page), /^inside Ada, threshold, (inside, )?inside Grace$/);
  await page.getByTestId("sign-out").click();
  await at(page, "signed-out");
  assert.equal(await way(page), "inside Grace, signed-out");
  await pick(page, "Linus");
  await inside(page, "Linus");
  await page.getByTestId("user-count").filter({ hasText: "3" }).waitFor();
});

test("two tabs share a session, and code that is changed under them leaves them where they are", async (t) => {
  const chat = await Chat.start(t);
  const web = await serve(t, chat);
  const open = await profile(t, web, { colorScheme: "dark" });
  const tabs = [await open(), await open()];
  for (const tab of tabs) await at(tab, "signed-out");
  await pick(tabs[0], "Ada");
  for (const tab of tabs) await inside(tab, "Ada");
  for (const tab of tabs) assert.match(await way(tab), /^(blank, )?signed-out, threshold, (inside, )?inside Ada$/);
  await send(tabs[1], "From the other tab.");
  for (const tab of tabs) await message(tab, "From the other tab.");
  await picture(tabs[0], "inside-dark");
  // Vite tells the tabs of a changed file, and React replaces its components in place.
  const updated = tabs.map((tab) => tab.waitForEvent("console", (line) => line.text().includes("hot updated: /src/chat.tsx")));
  await web.vite.reloadModule(await web.vite.moduleGraph.getModuleByUrl("/src/chat.tsx"));
  await Promise.all(updated);
  await send(tabs[0], "Still here.");
  for (const tab of tabs) await message(tab, "Still here.");
  // The official hooks subscribe anew when their component is replaced, so a name may be loading for a moment.
  for (const tab of tabs) assert.match(await way(tab), /^inside Ada(, inside, inside Ada)*$/);
  await tabs[1].getByTestId("sign-out").click();
  for (const tab of tabs) await at(tab, "signed-out");
  assert.equal(await (await chat.http()).query("users:count", {}), 1);
});

test("one who is refused reads the app's sentence, tries again, and comes in with another address on the same login", async (t) => {
  const web = await serve(t, await Chat.start(t, { invited: "example.com" }));
  const page = await (await profile(t, web, { expected: REFUSED }))();
  await signIn(page, { name: "Mallory", email: "mallory@elsewhere.test" });
  await refused(page);
  const sentence = "This chat is for people with an address at example.com.";
  assert.equal(await page.getByTestId("error").textContent(), sentence);
  await picture(page, "refused");
  for (const email of ["mallory@somewhere.test", "mallory@example.com"]) {
    await way(page);
    await page.getByTestId("other-email").fill(email);
    await page.getByTestId("retry").click();
    await page.waitForFunction(() => window.places.length > 1);
    await page.waitForFunction(() => window.places.at(-1) === "refused" || window.places.at(-1).startsWith("inside M"));
  }
  await inside(page, "Mallory");
  assert.match(await way(page), /^refused, threshold, (inside, )?inside Mallory$/);
});

test("a set-up that takes its time says so, outlives a reload, and may be left", async (t) => {
  const { chat, hold, release } = await switchedChat(t);
  const web = await serve(t, chat);
  const page = await (await profile(t, web, { ...PHONE, expected: /signed_out/ }))();
  await at(page, "signed-out");
  await picture(page, "phone-signed-out");
  hold();
  await pick(page, "Ada");
  await at(page, "threshold");
  await picture(page, "phone-threshold");
  await page.getByText("Setting up your user").waitFor();
  await picture(page, "phone-setting-up");
  await page.reload();
  await page.getByText("Setting up your user").waitFor();
  assert.match(await way(page), /^(blank, )?threshold$/);
  await page.getByTestId("sign-out").click();
  await at(page, "signed-out");
  await pick(page, "Grace");
  await at(page, "threshold");
  release();
  await inside(page, "Grace");
  await send(page, `a word that does not end: ${"o".repeat(200)}`);
  await message(page, "does not end");
  await picture(page, "phone-inside");
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), "it fits the phone");
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll("input, textarea, button")].filter((control) => !(control.labels?.length || control.textContent.trim() || control.ariaLabel)).length,
  );
  assert.equal(nameless, 0);
});
