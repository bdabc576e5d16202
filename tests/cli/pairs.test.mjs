// The same calls of the same functions in Rust and in TypeScript have the same results, errors and documents, also in
// live queries. A seed makes the calls; VESTIBULE_SEED repeats those of a run that failed.

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { convexToJson, jsonToConvex } from "convex/values";
import { ended, openApp, startServer } from "./harness.mjs";

const APP = path.join(import.meta.dirname, "apps/pairs");
const CALLS = 400;
const KEYS = ["a", "b", "c", "d", "é", "", "😀"];
const NUMBERS = [0, -0, 1, 1.5, -3, 1e21, 5e-324, Infinity, -Infinity, NaN];

// Mulberry32.
function generator(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const below = (n) => Math.floor(next() * n);
  return { below, pick: (list) => list[below(list.length)], chance: (p) => next() < p };
}

function anyValue(random, depth = 0) {
  const kind = random.below(depth > 3 ? 7 : 9);
  switch (kind) {
    case 0: return null;
    case 1: return random.chance(0.5);
    case 2: return random.pick(NUMBERS);
    case 3: return random.below(1000) - 500;
    case 4: return random.pick([0n, 1n, -1n, 256n, 2n ** 63n - 1n, -(2n ** 63n)]);
    case 5: return random.pick(["", "text", "é\u0000", "😀", "\u2028", '"\\']);
    case 6: return Uint8Array.from({ length: random.below(5) }, () => random.below(256)).buffer;
    case 7: return Array.from({ length: random.below(4) }, () => anyValue(random, depth + 1));
    default: return Object.fromEntries(Array.from({ length: random.below(4) }, (_, n) => [random.pick(["a", "b c", "_x", "", "Z"]) + n, anyValue(random, depth + 1)]));
  }
}

function anyCall(random, cursors) {
  const key = random.pick(KEYS);
  const entry = () => ({
    key, n: random.pick(NUMBERS),
    ...(random.chance(0.4) ? { tags: Array.from({ length: random.below(3) }, () => random.pick(KEYS)) } : {}),
    ...(random.chance(0.3) ? { extra: [anyValue(random)] } : {}),
  });
  // Now and then something that does not fit.
  const spoiled = (args) => (random.chance(0.1) ? { ...args, [random.pick(Object.keys(args))]: anyValue(random) } : args);
  switch (random.below(9)) {
    case 0: case 1: case 2: return ["mutation", "put", spoiled(entry())];
    case 3: return ["mutation", "change", spoiled(random.chance(0.5) ? { key } : { key, n: random.pick(NUMBERS) })];
    case 4: return ["mutation", "remove", spoiled({ key })];
    case 5: return ["mutation", "putThenFail", entry()];
    case 6: return ["query", "between", spoiled({ from: random.pick(NUMBERS), to: random.pick(NUMBERS) })];
    case 7: return ["query", "page", (side) => ({ paginationOpts: { numItems: 1 + random.below(4), cursor: random.chance(0.5) ? null : cursors[side] } })];
    default: return random.chance(0.5) ? ["query", "echo", { value: anyValue(random) }] : ["query", "refuse", spoiled({ code: random.pick(NUMBERS) })];
  }
}

/** A value as text that tells all values apart. */
const text = (value) => JSON.stringify(convexToJson(value ?? null));

async function outcome(client, kind, path, args) {
  try {
    return { value: await client[kind](path, args) };
  } catch (error) {
    // How the text of an error shows its data is each language's own; the data is compared.
    if (error.data !== undefined) return { error: "ConvexError", data: error.data };
    // Names of functions and places in the code are each language's own.
    const [message] = error.message.replace(/^\[Request ID: \w+\] Server Error\n/, "").split(/\n {4}at /);
    // Whole numbers in a text are each language's own too.
    return { error: message.replaceAll(/(\d)\.0\b/g, "$1").replaceAll(/\b(rust|ts)\b/g, "<side>").trimEnd(), data: error.data };
  }
}

test("random calls do the same in Rust and in TypeScript", async (t) => {
  const server = await startServer(t, { flags: ["--pairs"] });
  ended(await openApp(t, server, APP).convex("dev", "--once", "--typecheck", "disable"));
  const seed = Number(process.env.VESTIBULE_SEED ?? Math.floor(Math.random() * 2 ** 32));
  console.log(`VESTIBULE_SEED=${seed}`);
  const random = generator(seed);
  const client = new ConvexHttpClient(server.url, { logger: false });
  const live = new ConvexClient(server.url, { logger: false });
  t.after(() => live.close());
  // Each state that a live query showed, once.
  const seen = { rust: [], ts: [] };
  let look = () => {};
  for (const side of ["rust", "ts"]) {
    live.onUpdate(`${side}:list`, {}, (value) => {
      if (text(value) !== seen[side].at(-1)) seen[side].push(text(value));
      look();
    });
  }
  const states = [text([])];
  /** Waits until both live queries show the newest state. */
  const shown = async (where) => {
    const isThere = () => ["rust", "ts"].every((side) => seen[side].at(-1) === states.at(-1));
    await new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${where}: ${JSON.stringify([states.at(-1), seen.rust.at(-1), seen.ts.at(-1)])}`)), 60_000);
      look = () => isThere() && (clearTimeout(late), resolve());
      look();
    });
  };
  await shown("the empty table");
  const cursors = { rust: null, ts: null };
  for (let n = 0; n < CALLS; n++) {
    const [kind, name, made] = anyCall(random, cursors);
    const shared = typeof made === "function" ? undefined : made;
    const before = shared === undefined ? { rust: made("rust") } : undefined;
    if (before) before.ts = { paginationOpts: { ...before.rust.paginationOpts, cursor: before.rust.paginationOpts.cursor === null ? null : cursors.ts } };
    const got = {};
    for (const side of ["rust", "ts"]) {
      got[side] = await outcome(client, kind, `${side}:${name}`, shared ?? before[side]);
      if (name === "page" && got[side].value) {
        cursors[side] = got[side].value.continueCursor;
        delete got[side].value.continueCursor;
      }
    }
    const where = `seed ${seed}, call ${n}: ${name} ${shared ? text(shared) : ""}`;
    assert.equal(got.ts.error, got.rust.error, where);
    assert.equal(text(got.ts.data), text(got.rust.data), where);
    assert.equal(text(got.ts.value), text(got.rust.value), where);
    if (kind === "query") continue;
    const now = text(await client.query("rust:list", {}));
    assert.equal(text(await client.query("ts:list", {})), now, where);
    if (now !== states.at(-1)) states.push(now);
    await shown(where);
  }
  assert.ok(states.length > CALLS / 10, `${states.length} states`);
  for (const side of ["rust", "ts"]) assert.deepEqual(seen[side], states, `seed ${seed}, ${side}`);
});

test("values go through a function as the package writes them", async (t) => {
  const server = await startServer(t, { flags: ["--pairs"] });
  ended(await openApp(t, server, APP).convex("dev", "--once", "--typecheck", "disable"));
  const seed = Number(process.env.VESTIBULE_SEED ?? Math.floor(Math.random() * 2 ** 32));
  console.log(`VESTIBULE_SEED=${seed}`);
  const random = generator(seed);
  const list = Array.from({ length: 300 }, () => anyValue(random));
  for (const path of ["rust:echo", "ts:echo"]) {
    const body = JSON.stringify({ path, args: { value: convexToJson(list) }, format: "convex_encoded_json" });
    const response = await fetch(`${server.url}/api/query`, { method: "POST", headers: { "content-type": "application/json" }, body });
    const { value } = await response.json();
    assert.equal(text(jsonToConvex(value)), text(list), `seed ${seed}, ${path}`);
  }
});
