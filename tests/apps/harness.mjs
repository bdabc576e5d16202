// The helpers that the tests share: an app pushed by the official command line, its page, and a browser that opens it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { api, ended, openApp, startServer } from "../cli/harness.mjs";
import { launch } from "../js/chromium.mjs";

export { api, ended, startServer };

/** Where the apps are. */
export const here = path.dirname(fileURLToPath(import.meta.url));
const PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><title>An app</title><link rel="icon" href="data:,"><div id="root"></div><script type="module" src="/app.js"></script></html>`;

/** For an app that brings its own issuer: a server as in production, which tells errors and reaches services of this machine. */
export const OWN_ISSUER = { dev: false, flags: ["--redact", "false", "--fetch-allow", "127.0.0.0/8"] };

/** Begins what all tests of a file share, and ends it after them. Gives it to whoever asks. */
export function shared(begin) {
  const ends = [];
  let begun;
  before(async () => {
    begun = await begin({ after: (end) => ends.push(end) });
  });
  after(async () => {
    for (const end of ends.reverse()) await end();
  });
  return () => begun;
}

/** Copies the app `name`, sets its variables and pushes it to `server`. */
export async function deploy(t, server, name, variables = {}) {
  const app = openApp(t, server, path.join(here, name), path.join(here, "node_modules"));
  app.write("package.json", readFileSync(path.join(here, "package.json"), "utf8"));
  app.write("variables.env", Object.entries(variables).map(([name, value]) => `${name}='${value}'\n`).join(""));
  if (Object.keys(variables).length > 0) ended(await app.convex("env", "set", "--from-file", "variables.env"));
  ended(await app.convex("dev", "--once", "--typecheck", "disable"));
  const [, siteUrl] = /^CONVEX_SITE_URL=(.*)$/m.exec(app.read(".env.local"));
  return { ...app, siteUrl };
}

/** Starts a browser that ends with `t`. */
export async function openBrowser(t) {
  const browser = await launch();
  t.after(() => browser.close());
  return browser;
}

/** Bundles the page of `app` with `constants`, and serves it from an address of its own until test `t` ends. */
export async function servePage(t, server, app, constants = {}) {
  const strings = Object.entries(constants).map(([name, value]) => [name, JSON.stringify(value)]);
  const define = {
    ...Object.fromEntries(strings),
    CONVEX_URL: JSON.stringify(server.url),
    SITE_URL: JSON.stringify(app.siteUrl),
    "process.env.NODE_ENV": '"development"',
    "process.env.CONVEX_CLOUD_URL": "undefined",
  };
  const entry = path.join(app.folder, "src/app.jsx");
  const { outputFiles } = await build({ entryPoints: [entry], bundle: true, format: "esm", write: false, jsx: "automatic", define });
  const pages = http.createServer((request, response) => {
    const isScript = request.url === "/app.js";
    response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? outputFiles[0].contents : PAGE);
  });
  pages.listen(0, "127.0.0.1");
  await once(pages, "listening");
  t.after(() => {
    pages.closeAllConnections();
    pages.close();
  });
  return `http://127.0.0.1:${pages.address().port}/`;
}

/** A tab of a browser of its own; the console may hold no error or warning but those that `expected` names. */
export async function openTab(t, browser, url, { expected, context } = {}) {
  const owner = context ?? (await browser.newContext());
  const page = await owner.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    const isComplaint = ["error", "warning"].includes(message.type());
    if (isComplaint && !expected?.test(message.text())) complaints.push(message.text());
  });
  t.after(async () => {
    if (!context) await owner.close();
    assert.deepEqual(complaints, [], "the console is clean");
  });
  await page.goto(url);
  return page;
}

/** Waits until `testid` shows `text`. */
export const shows = (page, testid, text) => page.getByTestId(testid).and(page.getByText(text, { exact: true })).waitFor({ state: "attached" });

/** The texts of all elements `testid`. */
export const texts = (page, testid) => page.getByTestId(testid).allTextContents();
