// Full text search and vector search, from the push of their indexes to live results in the official client.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { api, appOf, ended, numbers, startServer } from "./harness.mjs";

const PUSH = ["deploy", "--typecheck", "disable"];
const DEADLINE_MS = 60_000;

const SCHEMA = `
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
export default defineSchema({
  notes: defineTable({ text: v.string(), owner: v.string(), done: v.optional(v.boolean()), emb: v.optional(v.array(v.float64())) })
    .searchIndex("by_text", { searchField: "text", filterFields: ["owner"] })
    .vectorIndex("by_emb", { vectorField: "emb", dimensions: 3, filterFields: ["owner"] }),
});
`;

const NOTES = `
import { action, httpAction, mutation, query } from "./_generated/server";
import { paginationOptsValidator } from "convex/server";
import { v } from "convex/values";
const fields = { text: v.string(), owner: v.string(), emb: v.optional(v.array(v.float64())) };
export const add = mutation({ args: fields, handler: (ctx, note) => ctx.db.insert("notes", note) });
export const addMany = mutation({
  args: { notes: v.array(v.object(fields)) },
  handler: async (ctx, { notes }) => { for (const note of notes) await ctx.db.insert("notes", note); },
});
export const patch = mutation({
  args: { id: v.id("notes"), change: v.any() },
  handler: (ctx, { id, change }) => ctx.db.patch(id, change),
});
export const remove = mutation({ args: { id: v.id("notes") }, handler: (ctx, { id }) => ctx.db.delete(id) });
const found = (ctx, text, owner) =>
  ctx.db.query("notes").withSearchIndex("by_text", (q) => owner === undefined ? q.search("text", text) : q.search("text", text).eq("owner", owner));
export const search = query({
  args: { text: v.string(), owner: v.optional(v.string()), take: v.optional(v.number()) },
  handler: async (ctx, { text, owner, take }) => (await (take === undefined ? found(ctx, text, owner).collect() : found(ctx, text, owner).take(take))).map((note) => note.text),
});
export const first = query({ args: { text: v.string() }, handler: async (ctx, { text }) => (await found(ctx, text).first())?.text ?? null });
export const undone = query({
  args: { text: v.string() },
  handler: async (ctx, { text }) => (await found(ctx, text).filter((q) => q.neq(q.field("done"), true)).collect()).map((note) => note.text),
});
export const page = query({
  args: { text: v.string(), paginationOpts: paginationOptsValidator },
  handler: (ctx, { text, paginationOpts }) => found(ctx, text).paginate(paginationOpts),
});
// Makes what it does not find, and finds what it has made.
export const ensure = mutation({
  args: { text: v.string() },
  handler: async (ctx, { text }) => {
    const before = (await found(ctx, text).collect()).length;
    if (before === 0) await ctx.db.insert("notes", { text, owner: "ensured" });
    return [before, (await found(ctx, text).collect()).length];
  },
});
export const near = action({
  args: { vector: v.array(v.float64()), limit: v.optional(v.number()), owners: v.optional(v.array(v.string())) },
  handler: async (ctx, { vector, limit, owners }) =>
    await ctx.vectorSearch("notes", "by_emb", { vector, limit, filter: owners && ((q) => q.or(...owners.map((owner) => q.eq("owner", owner)))) }),
});
export const wrong = action({
  args: { which: v.string() },
  handler: async (ctx, { which }) => {
    const vector = [1, 0, 0];
    const filters = { field: (q) => q.eq("text", "x"), expression: () => true, many: (q) => q.or(...Array.from({ length: 65 }, () => q.eq("owner", "x"))) };
    const searches = { limit: { vector, limit: 300 }, dimensions: { vector: [1] } };
    return await ctx.vectorSearch("notes", "by_emb", searches[which] ?? { vector, filter: filters[which] });
  },
});
export const http = httpAction(async (ctx, request) => Response.json(await ctx.vectorSearch("notes", "by_emb", { vector: await request.json() })));
`;

const HTTP = `
import { httpRouter } from "convex/server";
import { http } from "./notes";
const routes = httpRouter();
routes.route({ path: "/near", method: "POST", handler: http });
export default routes;
`;

/** A server with the app pushed to it, and a client that calls it. */
async function start(t, options) {
  const server = await startServer(t, options);
  const app = appOf(t, server, { "convex/schema.ts": SCHEMA, "convex/notes.ts": NOTES, "convex/http.ts": HTTP });
  const pushed = ended(await app.convex(...PUSH));
  return { server, app, pushed, client: new ConvexHttpClient(server.url) };
}

/** Watches a query. `until(holds)` resolves with the first value, the present one included, that holds. */
function watch(t, server, path, args) {
  const client = new ConvexClient(server.url, { logger: false });
  t.after(() => client.close());
  const waiting = new Set();
  let now;
  client.onUpdate(path, args, (value) => {
    now = { value };
    for (const look of waiting) look();
  });
  return (holds) =>
    new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`it stayed ${JSON.stringify(now)}`)), DEADLINE_MS);
      const look = () => {
        if (now === undefined || !holds(now.value)) return;
        clearTimeout(late);
        waiting.delete(look);
        resolve(now.value);
      };
      waiting.add(look);
      look();
    });
}

/** How often the query at `path` ran so far, by the log. */
async function runs(server, path) {
  const { body } = await api(server, "/api/stream_function_logs?cursor=0", null, { method: "GET" });
  return body.entries.filter(({ identifier, cachedResult }) => identifier === path && !cachedResult).length;
}

/** The backfill states of the indexes of notes, by name. */
async function states(client, server) {
  client.setAdminAuth(server.key);
  const indexes = await client.query("_system/frontend/indexes:default", { tableName: "notes" });
  return Object.fromEntries(indexes.map(({ name, backfill, fields }) => [name, { state: backfill.state, fields }]));
}

test("a text search finds words, their beginnings and equal values, in queries, pages and mutations", async (t) => {
  const { client, pushed } = await start(t);
  assert.match(pushed.all, /\[\+\] notes\.by_text \(text\)/);
  assert.match(pushed.all, /\[\+\] notes\.by_emb \(vector\)/);
  for (const [text, owner] of [["a white whale", "ada"], ["whale, whale", "bob"], ["the tale", "ada"]]) await client.mutation("notes:add", { text, owner });
  const search = (text, more = {}) => client.query("notes:search", { text, ...more });
  assert.deepEqual(await search("WHALE"), ["whale, whale", "a white whale"]);
  assert.deepEqual(await search("wha"), ["whale, whale", "a white whale"]);
  assert.deepEqual(await search("whale", { owner: "ada" }), ["a white whale"]);
  assert.deepEqual(await search("whale", { take: 1 }), ["whale, whale"]);
  assert.deepEqual(await search(""), []);
  assert.equal(await client.query("notes:first", { text: "tale" }), "the tale");
  assert.equal(await client.query("notes:first", { text: "nothing" }), null);

  const pages = [];
  for (let cursor = null, isDone = false; !isDone; ) {
    const page = await client.query("notes:page", { text: "whale tale", paginationOpts: { numItems: 2, cursor } });
    pages.push(page.page.map(({ text }) => text));
    ({ continueCursor: cursor, isDone } = page);
  }
  assert.deepEqual(pages.map((page) => page.length), [2, 1]);
  assert.deepEqual(pages.flat().sort(), ["a white whale", "the tale", "whale, whale"]);

  assert.deepEqual(await client.mutation("notes:ensure", { text: "narwhal" }), [0, 1]);
  assert.deepEqual(await client.mutation("notes:ensure", { text: "narwhal" }), [1, 1]);
  // Each of them finds what another has made meanwhile, or makes it.
  const races = await Promise.all(Array.from({ length: 8 }, () => new ConvexHttpClient(client.url).mutation("notes:ensure", { text: "beluga" })));
  assert.deepEqual(races.map(([before]) => before).sort(), [0, 1, 1, 1, 1, 1, 1, 1]);
  await assert.rejects(client.query("notes:page", { text: "whale", paginationOpts: { numItems: 2, cursor: "x" } }), /InvalidCursor/);
});

test("a live search follows what it shows and what matches, and nothing else", async (t) => {
  const { client, server } = await start(t);
  const id = await client.mutation("notes:add", { text: "a fish", owner: "ada" });
  const search = watch(t, server, "notes:search", { text: "fish", owner: "ada" });
  assert.deepEqual(await search(() => true), ["a fish"]);
  const before = await runs(server, "notes:search");
  for (const [text, owner] of [["a bird", "ada"], ["another fish", "bob"]]) await client.mutation("notes:add", { text, owner });
  const other = await client.mutation("notes:add", { text: "fish fish", owner: "ada" });
  assert.deepEqual(await search((texts) => texts.length === 2), ["fish fish", "a fish"]);
  assert.equal(await runs(server, "notes:search"), before + 1, "an unrelated write ran the search again");
  await client.mutation("notes:patch", { id, change: { text: "a cat" } });
  assert.deepEqual(await search((texts) => texts.length === 1), ["fish fish"]);
  await client.mutation("notes:patch", { id: other, change: { owner: "bob" } });
  assert.deepEqual(await search((texts) => texts.length === 0), []);
  await client.mutation("notes:patch", { id, change: { text: "fish" } });
  assert.deepEqual(await search((texts) => texts.length === 1), ["fish"]);

  const undone = watch(t, server, "notes:undone", { text: "fish" });
  assert.equal((await undone(() => true)).length, 3);
  await client.mutation("notes:patch", { id, change: { done: true } });
  assert.equal((await undone((texts) => texts.length === 2)).length, 2);
});

test("a vector search finds the nearest, by action and by HTTP action, and says what is wrong", async (t) => {
  const { client, server } = await start(t);
  const vectors = { east: [2, 0, 0], north: [0, 1, 0], up: [0, 0, 1], northeast: [1, 1, 0] };
  const ids = {};
  for (const [text, emb] of Object.entries(vectors)) ids[text] = await client.mutation("notes:add", { text, owner: text[0], emb });
  await client.mutation("notes:add", { text: "none", owner: "n" });
  const found = await client.action("notes:near", { vector: [1, 0.1, 0] });
  assert.deepEqual(found.slice(0, 2).map(({ _id }) => _id), [ids.east, ids.northeast]);
  assert.equal(found.length, 4);
  assert.ok(found[0]._score > 0.99 && found[0]._score <= 1, JSON.stringify(found));
  assert.deepEqual(Object.keys(found[0]).sort(), ["_id", "_score"]);
  const some = await client.action("notes:near", { vector: [1, 0, 0], limit: 2, owners: ["n", "u"] });
  assert.deepEqual(some.map(({ _id }) => _id)[0], ids.northeast);
  assert.equal(some.length, 2);
  const response = await fetch(`${server.url}/http/near`, { method: "POST", body: "[0,0,1]" });
  assert.equal((await response.json())[0]._id, ids.up);
  await client.mutation("notes:patch", { id: ids.up, change: { emb: [0, 0, -1] } });
  await client.mutation("notes:remove", { id: ids.east });
  assert.deepEqual((await client.action("notes:near", { vector: [0, 0, -1], limit: 1 }))[0]._id, ids.up);
  assert.equal((await client.action("notes:near", { vector: [1, 0, 0] })).length, 3);

  const fails = (which, text) => assert.rejects(client.action("notes:wrong", { which }), text);
  await fails("limit", /Vector queries can fetch at most 256 results, requested 300\./);
  await fails("dimensions", /Expected a vector with dimensions 3, received 1\./);
  await fails("field", /Vector query against notes\.by_emb contains a filter on "text" but that field isn't indexed for filtering in `filterFields`\./);
  await fails("expression", /Filters should be a combination of `q\.eq` and `q\.or`\./);
  await fails("many", /has too many conditions\. Max: 64 Actual: 65/);
});

test("indexes are filled over documents that were there, changed, and given up, across a kill", async (t) => {
  const server = await startServer(t);
  const app = appOf(t, server, {
    "convex/schema.ts": SCHEMA.replace(/\n    \.searchIndex.*\n    \.vectorIndex.*,/, ","),
    "convex/notes.ts": NOTES,
    "convex/http.ts": HTTP,
  });
  ended(await app.convex(...PUSH));
  const client = new ConvexHttpClient(server.url);
  const number = numbers(7);
  const notes = Array.from({ length: 600 }, (_, n) => ({ text: `word${n % 7} note ${n}`, owner: `o${n % 3}`, emb: [number(), number(), number()] }));
  for (let at = 0; at < notes.length; at += 200) await client.mutation("notes:addMany", { notes: notes.slice(at, at + 200) });
  await assert.rejects(client.query("notes:search", { text: "word1" }), /Index notes\.by_text not found/);

  app.write("convex/schema.ts", SCHEMA);
  ended(await app.convex(...PUSH));
  const count = async (client, text, owner) => (await client.query("notes:search", { text, owner })).length;
  const expected = (text, owner) => notes.filter((note) => note.text.includes(`${text} `) && (owner === undefined || note.owner === owner)).length;
  assert.equal(await count(client, "word1 x"), expected("word1"));
  assert.equal(await count(client, "word1 x", "o2"), expected("word1", "o2"));
  assert.equal((await client.action("notes:near", { vector: [1, 0, 0], limit: 256 })).length, 256);
  assert.deepEqual((await states(new ConvexHttpClient(server.url), server)).by_text, {
    state: "done",
    fields: { searchField: "text", filterFields: ["owner"] },
  });

  await server.kill();
  const again = await startServer(t, { data: server.data, port: Number(new URL(server.url).port) });
  assert.equal(await count(new ConvexHttpClient(again.url), "word1 x", "o2"), expected("word1", "o2"));

  // Another field under the same name is another index; one that is not named is gone.
  app.write("convex/schema.ts", SCHEMA.replace('searchField: "text"', 'searchField: "owner"').replace(/\n    \.vectorIndex.*,/, ","));
  const changed = ended(await app.convex(...PUSH));
  assert.match(changed.all, /\[-\] notes\.by_text/);
  assert.match(changed.all, /\[\+\] notes\.by_text/);
  assert.match(changed.all, /\[-\] notes\.by_emb/);
  const late = new ConvexHttpClient(again.url);
  await assert.rejects(late.query("notes:search", { text: "word1" }), /doesn't match the indexed `searchField` "owner"/);
  await assert.rejects(late.action("notes:near", { vector: [1, 0, 0] }), /Index notes\.by_emb not found/);
});

test("staged indexes are built and refuse use until a push enables them", async (t) => {
  const server = await startServer(t);
  const staged = SCHEMA.replaceAll('filterFields: ["owner"] }', 'filterFields: ["owner"], staged: true }');
  const app = appOf(t, server, { "convex/schema.ts": staged, "convex/notes.ts": NOTES, "convex/http.ts": HTTP });
  ended(await app.convex(...PUSH));
  const client = new ConvexHttpClient(server.url);
  await client.mutation("notes:add", { text: "a fish", owner: "ada", emb: [1, 0, 0] });
  const text = /is currently staged and not available to query until it is enabled/;
  await assert.rejects(client.query("notes:search", { text: "fish" }), text);
  await assert.rejects(client.action("notes:near", { vector: [1, 0, 0] }), text);
  app.write("convex/schema.ts", SCHEMA);
  ended(await app.convex(...PUSH));
  assert.deepEqual(await client.query("notes:search", { text: "fish" }), ["a fish"]);
  assert.equal((await client.action("notes:near", { vector: [1, 0, 0] })).length, 1);
});

test("dashboards search a table, and imports keep the indexes", async (t) => {
  const { client, server, app } = await start(t);
  for (const owner of ["ada", "bob"]) await client.mutation("notes:add", { text: `${owner}'s fish`, owner, emb: [1, 0, 0] });
  const admin = new ConvexHttpClient(server.url);
  admin.setAdminAuth(server.key);
  const look = async (index) => {
    const filters = Buffer.from(JSON.stringify({ clauses: [], index })).toString("base64");
    const page = await admin.query("_system/frontend/paginatedTableDocuments:default", { table: "notes", filters, paginationOpts: { numItems: 10, cursor: null } });
    return page.page.map(({ text, error }) => text ?? error);
  };
  assert.equal((await look({ name: "by_text", search: "fish", clauses: [] })).length, 2);
  assert.deepEqual(await look({ name: "by_text", search: "fish", clauses: [{ field: "owner", enabled: true, value: "bob" }] }), ["bob's fish"]);
  assert.match((await look({ name: "by_x", search: "fish", clauses: [] }))[0], /no search index/);
  assert.match((await look({ name: "by_text", clauses: [] }))[0], /not a database index/);

  app.write("notes.jsonl", '{"text":"an imported bird","owner":"eve","emb":[0,1,0]}\n');
  ended(await app.convex("import", "--table", "notes", "--replace", "--yes", "notes.jsonl"));
  assert.deepEqual(await client.query("notes:search", { text: "fish" }), []);
  assert.deepEqual(await client.query("notes:search", { text: "bird" }), ["an imported bird"]);
  assert.equal((await client.action("notes:near", { vector: [0, 1, 0] })).length, 1);
});
