// The same calls of the same functions in Rust and in TypeScript have the same results, errors and documents, also in
// live queries. A seed makes the calls; VESTIBULE_SEED repeats those of a run that failed.

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { convexToJson, jsonToConvex } from "convex/values";
import { ended, openApp, startServer } from "./harness.mjs";

const APP = path.join(import.meta.dirname, "apps/pairs");
/** Whole tables are read here, and the machine may be busy. */
const PATIENT = ["--query-time-max", "30s", "--mutation-time-max", "30s"];
const CALLS = 400;
/** Calls behind which scheduled functions, or files, are compared. */
const SCHEDULING = ["later", "laterInVain", "laterThenFail", "cancel"];
const FILING = ["store", "drop", "uploadUrl", "relay", "relayThenFail", "later"];
const KEYS = ["a", "b", "c", "d", "é", "", "😀"];
/** Functions that are to run so late wait until the end of the test. */
const FAR_MS = 3_600_000;
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
  const inner = () => {
    const [kind, name, args] = random.pick([
      ["mutation", "put", entry()], ["mutation", "change", { key }], ["mutation", "putThenFail", entry()], ["mutation", "remove", { key }],
      ["query", "between", { from: -3, to: 2 }], ["action", "store", { text: key }],
    ]);
    return { kind, name, args: spoiled(args) };
  };
  const later = () => {
    const { name, args } = random.chance(0.2) ? { name: "relay", args: inner() } : random.chance(0.1) ? { name: "missing", args: {} } : inner();
    return { name, args, after: random.pick([0, 0, FAR_MS]) };
  };
  const nth = () => ({ n: random.below(12) });
  switch (random.below(18)) {
    case 0: case 1: case 2: return ["mutation", "put", spoiled(entry())];
    case 3: return ["mutation", "change", spoiled(random.chance(0.5) ? { key } : { key, n: random.pick(NUMBERS) })];
    case 4: return ["mutation", "remove", spoiled({ key })];
    case 5: return ["mutation", "putThenFail", entry()];
    case 6: return ["query", "between", spoiled({ from: random.pick(NUMBERS), to: random.pick(NUMBERS) })];
    case 7: return ["query", "page", (side) => ({ paginationOpts: { numItems: 1 + random.below(4), cursor: random.chance(0.5) ? null : cursors[side] } })];
    case 8: case 9: return ["mutation", "later", later()];
    case 10: return ["mutation", "cancel", spoiled(nth())];
    case 11: return ["mutation", "laterInVain", later()];
    case 12: return ["action", "relay", random.chance(0.3) ? { kind: "action", name: "relay", args: inner() } : inner()];
    case 13: return random.chance(0.5) ? ["action", "relayThenFail", inner()] : ["action", "laterThenFail", later()];
    case 14: return ["action", "store", spoiled({ text: key, ...(random.chance(0.7) ? { contentType: random.pick(["text/plain", "image/png", "a b"]) } : {}) })];
    case 15: return ["mutation", "drop", spoiled(nth())];
    case 16: return ["upload", "uploadUrl", { text: random.pick(KEYS), contentType: random.pick([undefined, "text/plain", "application/octet-stream"]) }];
    default: return random.chance(0.5) ? ["query", "echo", { value: anyValue(random) }] : ["query", "refuse", spoiled({ code: random.pick(NUMBERS) })];
  }
}

/** Calls that every seed begins with: scheduled functions that succeed, that fail, that wait, and that are canceled. */
const FIRST_CALLS = [
  ["mutation", "later", { name: "put", args: { key: "a", n: 1 }, after: 0 }],
  ["mutation", "later", { name: "putThenFail", args: { key: "a", n: 1 }, after: 0 }],
  ["mutation", "later", { name: "put", args: { key: "b", n: 1 }, after: FAR_MS }],
  ["mutation", "cancel", { n: 2 }],
  ["mutation", "later", { name: "put", args: { key: "c", n: 1 }, after: FAR_MS }],
];

/** A value as text that tells all values apart. */
const text = (value) => JSON.stringify(convexToJson(value ?? null));

/** The text of an error without what is each side's own. */
const sideless = (text) => {
  // Names of functions and places in the code are each language's own, and so are whole numbers in a text.
  // A refusal of the server reaches each function in TypeScript on its way as an exception.
  const [message] = text.replace(/^\[Request ID: \w+\] Server Error\n/, "").replace(/^(Uncaught (Convex)?Error: )+/, "").split(/\n {4}at /);
  const numbers = message.replaceAll(/(\d)\.0\b/g, "$1").replaceAll(/\b(rust|ts)\b/g, "<side>");
  return numbers.replaceAll(/\b[a-z0-9]{31,32}\b/g, "<id>").trimEnd();
};

/** Sends a file as pages do, and has its id kept. */
async function upload(client, side, { text, contentType }) {
  const url = await client.mutation(`${side}:uploadUrl`, {});
  const headers = contentType === undefined ? {} : { "Content-Type": contentType };
  const response = await fetch(url, { method: "POST", headers, body: new TextEncoder().encode(text) });
  const { storageId } = await response.json();
  await client.mutation(`${side}:keep`, { file: storageId });
  return response.status;
}

async function outcome(client, kind, path, args) {
  try {
    if (kind === "upload") return { value: await upload(client, path.split(":")[0], args) };
    return { value: await client[kind](path, args) };
  } catch (error) {
    // How the text of an error shows its data is each language's own; the data is compared.
    if (error.data !== undefined) return { error: "ConvexError", data: error.data };
    return { error: sideless(error.message), data: error.data };
  }
}

/** Scheduled functions of one side, told so that those of both compare. */
const toldJobs = (jobs) =>
  text(jobs.map(({ state, ...job }) => ({ ...job, state: state.error === undefined ? state : { ...state, error: sideless(state.error) } })));

/** What a side's files are, with what their URLs gave when they were new. */
async function toldFiles(client, side, contents) {
  const kept = await client.query(`${side}:kept`, {});
  // A missing part is null in TypeScript and absent in Rust.
  const told = kept.map(async ({ url = null, metadata = null, stored = null }) => {
    const file = { metadata, stored };
    if (url === null) return { ...file, content: null };
    const fetched = async () => {
      const response = await fetch(url);
      return [response.status, response.headers.get("content-type"), await response.text()];
    };
    if (!contents.has(url)) contents.set(url, await fetched());
    return { ...file, content: contents.get(url) };
  });
  return JSON.stringify(await Promise.all(told));
}

test("random calls do the same in Rust and in TypeScript", async (t) => {
  const server = await startServer(t, { flags: ["--pairs", ...PATIENT] });
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
  // Scheduled functions, as live queries show them.
  const jobs = { rust: [], ts: [] };
  for (const side of ["rust", "ts"]) {
    live.onUpdate(`${side}:jobs`, {}, (value) => {
      jobs[side] = value;
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
  /** Waits until all scheduled functions that are due have ended, as both live queries show, and both show the same. */
  const settled = async (where) => {
    const isOver = ({ far, state }) => far || !["pending", "inProgress"].includes(state.kind);
    const ended = {};
    for (const side of ["rust", "ts"]) {
      do ended[side] = await client.query(`${side}:jobs`, {});
      while (!ended[side].every(isOver));
    }
    const isThere = () => ["rust", "ts"].every((side) => text(jobs[side]) === text(ended[side]));
    await new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${where}: ${JSON.stringify(jobs)}`)), 60_000);
      look = () => isThere() && (clearTimeout(late), resolve());
      look();
    });
    assert.equal(toldJobs(jobs.ts), toldJobs(jobs.rust), where);
  };
  await shown("the empty table");
  const cursors = { rust: null, ts: null };
  const [ends, contents] = [new Set(), new Map()];
  for (let n = 0; n < CALLS; n++) {
    const [kind, name, made] = FIRST_CALLS[n] ?? anyCall(random, cursors);
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
    if (SCHEDULING.includes(name)) {
      await settled(where);
      for (const { state } of jobs.ts) ends.add(state.kind);
    }
    if (FILING.includes(name)) assert.equal(await toldFiles(client, "ts", contents), await toldFiles(client, "rust", contents), where);
    const now = text(await client.query("rust:list", {}));
    assert.equal(text(await client.query("ts:list", {})), now, where);
    if (now !== states.at(-1)) states.push(now);
    await shown(where);
  }
  assert.ok(states.length > CALLS / 10, `${states.length} states`);
  for (const side of ["rust", "ts"]) assert.deepEqual(seen[side], states, `seed ${seed}, ${side}`);
  assert.deepEqual([...ends].sort(), ["canceled", "failed", "pending", "success"], `seed ${seed}`);
});

test("values go through a function as the package writes them", async (t) => {
  const server = await startServer(t, { flags: ["--pairs", ...PATIENT] });
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
