// Bodies of HTTP actions and of files over raw sockets: cut off, half-closed, held up in between, and not read by the other
// side.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import { after, before, test } from "node:test";
import { ConvexHttpClient } from "convex/browser";
import { appOf, ended, startServer } from "./harness.mjs";

const CHUNK_BYTES = 256 << 10;
/** Below the 20 MiB of an answer, and more than two sockets hold between them. */
const CHUNKS = 72;
const WAIT_MS = 60_000;

const APP = {
  "convex/notes.ts": `
import { v } from "convex/values";
import { action, mutation, query } from "./_generated/server";
export const add = mutation({ args: { about: v.string(), text: v.string() }, handler: async (ctx, note) => { await ctx.db.insert("notes", note); } });
export const about = query({ args: { about: v.string() }, handler: async (ctx, { about }) =>
  (await ctx.db.query("notes").collect()).filter((note) => note.about === about).map(({ text }) => text) });
export const uploadUrl = mutation({ args: {}, handler: (ctx) => ctx.storage.generateUploadUrl() });
export const files = query({ args: {}, handler: async (ctx) => (await ctx.db.system.query("_storage").collect()).length });
export const urlOf = query({ args: { id: v.id("_storage") }, handler: (ctx, { id }) => ctx.storage.getUrl(id) });
`,
  "convex/http.ts": `
import { httpRouter } from "convex/server";
import { api } from "./_generated/api";
import { httpAction } from "./_generated/server";
const http = httpRouter();
// Notes each part of the body that arrives, and how the body ended.
http.route({ path: "/read", method: "POST", handler: httpAction(async (ctx, request) => {
  const about = new URL(request.url).search;
  const note = (text: string) => ctx.runMutation(api.notes.add, { about, text });
  const reader = request.body!.getReader();
  let bytes = 0;
  await note("part 0");
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes += value.byteLength;
      await note("part " + bytes);
    }
    await note("whole " + bytes);
    return new Response("whole " + bytes);
  } catch (error) {
    await note("cut: " + (error as Error).name + ": " + (error as Error).message);
    return new Response("cut", { status: 400 });
  }
}) });
// Notes each part of the answer that it was asked for.
http.route({ path: "/write", method: "GET", handler: httpAction(async (ctx, request) => {
  const about = new URL(request.url).search;
  let chunks = 0;
  const body = new ReadableStream({
    async pull(controller) {
      await ctx.runMutation(api.notes.add, { about, text: "chunk" });
      controller.enqueue(new Uint8Array(${CHUNK_BYTES}).fill(chunks));
      if (++chunks === ${CHUNKS}) controller.close();
    },
  });
  return new Response(body);
}) });
export default http;
`,
};

let server;
let client;
const ends = [];
before(async () => {
  const t = { after: (end) => ends.unshift(end) };
  server = await startServer(t);
  ended(await appOf(t, server, APP).convex("deploy", "--typecheck", "disable"));
  client = new ConvexHttpClient(server.url, { logger: false });
});
after(async () => {
  for (const end of ends) await end();
});

/** The notes of one request, once `holds` is true of them. */
async function notes(about, holds) {
  for (const end = Date.now() + WAIT_MS; ; ) {
    const found = await client.query("notes:about", { about });
    if (holds(found)) return found;
    assert.ok(Date.now() < end, `${about}: ${found}`);
  }
}
const isOver = (found) => found.some((text) => !text.startsWith("part"));

/** A connection whose other half stays open when this one ends. `answer` is all that the server says. */
async function open(t, text) {
  const { hostname, port } = new URL(server.url);
  const socket = net.connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  t.after(() => socket.destroy());
  socket.on("error", () => {});
  await once(socket, "connect");
  socket.write(text);
  return socket;
}
async function answer(socket) {
  let all = "";
  socket.on("data", (bytes) => (all += bytes.toString("latin1")));
  await new Promise((resolve) => socket.once("end", resolve).once("close", resolve));
  return all;
}
const post = (path, headers) => `POST ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${headers}\r\n\r\n`;
const SIZED = "Content-Length: 100000";
const CHUNKED = "Transfer-Encoding: chunked";
const half = "x".repeat(50_000);
const chunk = (text) => `${text.length.toString(16)}\r\n${text}\r\n`;

test("a body that is cut off or half-closed is an error for the function, once, and never whole", async (t) => {
  const cases = {
    "nothing of a length": [SIZED, ""],
    "half of a length": [SIZED, half],
    "all but the last byte": [SIZED, half + half.slice(1)],
    "between chunks": [CHUNKED, chunk(half)],
    "in a chunk": [CHUNKED, chunk(half).slice(0, 20_000)],
    "in the size of a chunk": [CHUNKED, `${chunk(half)}c3`],
    "before the last line": [CHUNKED, `${chunk(half)}0\r\n`],
  };
  for (const [name, [headers, body]] of Object.entries(cases)) {
    for (const way of ["destroy", "end", "reset"]) {
      const about = `?${encodeURIComponent(name)}-${way}`;
      const socket = await open(t, post(`/http/read${about}`, headers) + body);
      // The function has begun. A reset would take back what the server has not read.
      await notes(about, (found) => found.length > 0);
      const told = answer(socket);
      if (way === "reset") socket.resetAndDestroy();
      else socket[way]();
      const found = await notes(about, isOver);
      assert.deepEqual(found.filter((text) => !text.startsWith("part")), ["cut: TypeError: The body ended early."], about);
      // The side that can still be answered is.
      const text = await told;
      if (way === "end") assert.match(text, /^HTTP\/1\.1 400 [^]*\r\n\r\ncut$/, about);
      else assert.equal(text, "", about);
    }
  }
  // Nothing runs twice, and nothing goes on.
  const about = `?${encodeURIComponent("in a chunk")}-end`;
  assert.equal((await notes(about, isOver)).filter((text) => text === "part 0").length, 1);
});

test("a body that comes bit by bit is read as it comes, and is whole for the function though its sender closes", async (t) => {
  for (const [name, headers, parts] of [
    ["length", SIZED, [half, half]],
    ["chunks", CHUNKED, [chunk(half), `${chunk(half)}0\r\n\r\n`]],
    ["split", CHUNKED, [chunk(half).slice(0, -1), `\n${chunk(half)}0\r\n\r\n`]],
  ]) {
    for (const way of ["write", "end"]) {
      const about = `?${name}-${way}`;
      const socket = await open(t, post(`/http/read${about}`, headers));
      const told = answer(socket);
      // The function has the first half before the other half is sent.
      socket.write(parts[0]);
      await notes(about, (found) => found.includes("part 50000"));
      socket[way](parts[1]);
      assert.equal((await notes(about, isOver)).at(-1), "whole 100000");
      if (way === "write") assert.match(await told, /^HTTP\/1\.1 200 [^]*whole 100000$/, about);
    }
  }
});

test("a function whose answer nobody reads is held back, and goes on when it is read", async (t) => {
  const get = (about) => `GET /http/write${about} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
  const unread = await open(t, get("?unread"));
  await notes("?unread", (found) => found.length > 0);
  // As much as the unread answer holds goes through beside it, twice.
  for (const about of ["?first", "?second"]) {
    const response = await fetch(`${server.url}/http/write${about}`);
    assert.equal((await response.arrayBuffer()).byteLength, CHUNKS * CHUNK_BYTES);
    assert.equal((await notes(about, () => true)).length, CHUNKS);
  }
  const held = (await notes("?unread", () => true)).length;
  t.diagnostic(`${held} of ${CHUNKS} chunks were made for a reader that reads nothing`);
  assert.ok(held < CHUNKS, `${held} of ${CHUNKS} chunks were made`);
  const told = await answer(unread);
  assert.equal((await notes("?unread", () => true)).length, CHUNKS);
  // All of it came, in order.
  const counts = new Array(CHUNKS).fill(0);
  for (const code of Buffer.from(told.slice(told.indexOf("\r\n\r\n")), "latin1")) if (code < CHUNKS) counts[code] += 1;
  assert.ok(counts.every((count) => count >= CHUNK_BYTES), "every chunk came whole");
});

test("an upload that is cut off or half-closed stores nothing, and a file's reader may pause", async (t) => {
  const stored = () => client.query("notes:files", {});
  for (const way of ["destroy", "end", "reset"]) {
    for (const [headers, body] of [[SIZED, half], [CHUNKED, chunk(half)], [CHUNKED, `${chunk(half)}0\r\n`]]) {
      const url = new URL(await client.mutation("notes:uploadUrl", {}));
      const socket = await open(t, post(url.pathname + url.search, headers) + body);
      const told = answer(socket);
      if (way === "reset") socket.resetAndDestroy();
      else socket[way]();
      const text = await told;
      if (way === "end") assert.match(text, /^HTTP\/1\.1 400 [^]*"FileEndedEarly"/);
    }
  }
  assert.equal(await stored(), 0);
  const content = Buffer.alloc(30 << 20, "file").map((byte, n) => byte ^ (n >> 12));
  const sent = await fetch(await client.mutation("notes:uploadUrl", {}), { method: "POST", headers: { "Content-Type": "a/b" }, body: content });
  const { storageId } = await sent.json();
  assert.equal(await stored(), 1);
  const url = new URL(await client.query("notes:urlOf", { id: storageId }));
  const get = `GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
  const paused = await Promise.all([1, 2, 3].map(() => open(t, get)));
  // Others are served while these take nothing, and these are whole when they go on.
  const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");
  assert.equal(digest(Buffer.from(await (await fetch(url)).arrayBuffer())), digest(content));
  for (const socket of paused) {
    const told = Buffer.from(await answer(socket), "latin1");
    assert.equal(digest(told.subarray(told.indexOf("\r\n\r\n") + 4)), digest(content));
  }
});
