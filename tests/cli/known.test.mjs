// Packages whose slow functions the server knows answer what they answer in Node, and the server says that it knew them.

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ended, openApp, startServer } from "./harness.mjs";

const heads = async ({ url }) => {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text.matchAll(/^vestibule_js_native_heads_total\{function="(\w+)",known="(\w+)"\} (\d+)$/gm);
  return Array.from(lines, ([, name, isKnown]) => `${name} ${isKnown}`).sort();
};

test("password hashes equal Node's, by native heads", async (t) => {
  const server = await startServer(t);
  const app = openApp(t, server, fileURLToPath(new URL("apps/known", import.meta.url)));
  ended(await app.convex("dev", "--once"));
  const run = ended(await app.convex("run", "kernels:all"));
  const { answers } = await import(pathToFileURL(path.join(app.folder, "convex/cases.js")));
  assert.deepEqual(JSON.parse(run.out), await answers());
  assert.deepEqual(await heads(server), [
    "_crypt true",
    "convexToJsonInternal true",
    "jsonToConvex true",
    "scrypt true",
    "scryptAsync true",
  ]);
});

test("without native heads functions run as they are written", async (t) => {
  const server = await startServer(t, { flags: ["--native-heads", "false"] });
  const app = openApp(t, server);
  ended(await app.convex("dev", "--once"));
  ended(await app.convex("run", "rooms:open", '{"title":"blue"}'));
  assert.equal(JSON.parse(ended(await app.convex("run", "rooms:list")).out)[0].title, "blue");
  assert.deepEqual(await heads(server), []);
});
