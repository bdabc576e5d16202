// Data that leaves and comes in by the official command line: archives with files, and tables in each format.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { ConvexHttpClient } from "convex/browser";
import { appOf, ended, startServer } from "./harness.mjs";

const CONTENT = Uint8Array.from({ length: 70_000 }, (_, n) => (n * n) % 251);
const APP = {
  "convex/shelf.ts": `
import { v } from "convex/values";
import { action, mutation, query } from "./_generated/server";
export const put = mutation({ args: { fields: v.any() }, handler: (ctx, { fields }) => ctx.db.insert("books", fields) });
export const lend = mutation({ args: { book: v.id("books") }, handler: (ctx, { book }) => ctx.db.insert("loans", { book, to: "Ada" }) });
export const all = query({ args: { table: v.string() }, handler: (ctx, { table }) => ctx.db.query(table as any).collect() });
export const titleOf = query({ args: { book: v.id("books") }, handler: async (ctx, { book }) => (await ctx.db.get(book))?.title ?? null });
export const keep = action({ args: { content: v.bytes() }, handler: (ctx, { content }) => ctx.storage.store(new Blob([content], { type: "image/odd" })) });
export const files = query({
  args: {},
  handler: async (ctx) => {
    const stored = await ctx.db.system.query("_storage").collect();
    return Promise.all(stored.map(async (file) => ({ ...file, url: await ctx.storage.getUrl(file._id) })));
  },
});
`,
};

/** A server with the app, and a client that asks it. */
async function shelf(t) {
  const server = await startServer(t);
  const app = appOf(t, server, APP);
  ended(await app.convex("deploy", "--typecheck", "disable"));
  const client = new ConvexHttpClient(server.url, { logger: false });
  return { app, client, all: (table) => client.query("shelf:all", { table }) };
}

/** The files of a shelf without their addresses, each with its content. */
async function contents({ client }) {
  const files = await client.query("shelf:files", {});
  return Promise.all(
    files.map(async ({ url, ...file }) => {
      const response = await fetch(url);
      return { ...file, type: response.headers.get("content-type"), content: new Uint8Array(await response.arrayBuffer()) };
    }),
  );
}

const VALUES = {
  title: 'A "quoted", line\nand 😀',
  float: 7,
  half: 7.5,
  negative: -0,
  integer: 7n,
  large: 2n ** 63n - 1n,
  bytes: Uint8Array.of(0, 255, 7).buffer,
  nothing: null,
  nested: { list: [1, 1n, [], {}], empty: "" },
  odd: [NaN, Infinity, -Infinity],
};

test("an archive with files goes from one server into another, and every value and id is the same", async (t) => {
  const [from, to] = [await shelf(t), await shelf(t)];
  const book = await from.client.mutation("shelf:put", { fields: VALUES });
  await from.client.mutation("shelf:put", { fields: { title: "second" } });
  await from.client.mutation("shelf:lend", { book });
  for (const content of [CONTENT, new Uint8Array()]) await from.client.action("shelf:keep", { content: content.buffer });
  const archive = path.join(from.app.folder, "all.zip");
  ended(await from.app.convex("export", "--include-file-storage", "--path", archive));
  // All of this goes.
  await to.client.mutation("shelf:put", { fields: { title: "old" } });
  const old = await to.client.action("shelf:keep", { content: Uint8Array.of(1).buffer });
  const imported = ended(await to.app.convex("import", "--replace-all", "-y", archive));
  assert.match(imported.all, /Added 5 documents/);
  for (const table of ["books", "loans"]) assert.deepEqual(await to.all(table), await from.all(table), table);
  const [first] = await to.all("books");
  assert.equal(first._id, book);
  for (const [field, value] of Object.entries(VALUES)) assert.deepEqual(first[field], value, field);
  assert.equal(await to.client.query("shelf:titleOf", { book: (await to.all("loans"))[0].book }), VALUES.title);
  const files = await contents(to);
  assert.deepEqual(files, await contents(from));
  assert.deepEqual(files.map(({ type, content }) => [type, content]), [["image/odd", CONTENT], ["image/odd", new Uint8Array()]]);
  assert.ok(files.every(({ _id }) => _id !== old));
  // The table that came in takes new documents.
  await to.client.mutation("shelf:put", { fields: { title: "third" } });
  assert.equal((await to.all("books")).length, 3);
});

test("tables come in as CSV, JSON and lines of JSON, and are cleared by an empty file", async (t) => {
  const { app, client, all } = await shelf(t);
  const write = (name, text) => {
    const file = path.join(app.folder, name);
    writeFileSync(file, text);
    return file;
  };
  const bare = async () => (await all("books")).map(({ _id, _creationTime, ...fields }) => fields);
  const into = (...args) => app.convex("import", "--table", "books", ...args);
  ended(await into(write("books.csv", 'title,count,float\n"one, first",7,7.0\ntwo,x7,-1e3\n')));
  const csv = [{ title: "one, first", count: 7, float: 7 }, { title: "two", count: "x7", float: -1000 }];
  assert.deepEqual(await bare(), csv);
  const [{ _id, _creationTime }] = await all("books");
  const lines = '{"title":"three","count":7,"float":7.0}\n\n{"title":"four","nested":{"list":[null,true,"é"]}}\n';
  // Documents that are there are not touched unless a mode says so.
  assert.match(ended(await into(write("books.jsonl", lines)), 1).all, /books/);
  assert.deepEqual(await bare(), csv);
  ended(await into("--append", path.join(app.folder, "books.jsonl")));
  const jsonl = [{ title: "three", count: 7, float: 7 }, { title: "four", nested: { list: [null, true, "é"] } }];
  assert.deepEqual(await bare(), [...csv, ...jsonl]);
  const json = [{ _id, _creationTime, title: "five", list: [1, { a: null }] }, { title: "six" }];
  ended(await into("--replace", "-y", write("books.json", JSON.stringify(json))));
  assert.deepEqual(await bare(), json.map(({ _id, _creationTime, ...fields }) => fields));
  const [kept] = await all("books");
  assert.deepEqual([kept._id, kept._creationTime], [_id, _creationTime]);
  ended(await into("--replace", "-y", "--format", "jsonLines", "/dev/null"));
  assert.deepEqual(await all("books"), []);
  for (const [file, text, says] of [
    ["broken.jsonl", '{"title":"a"}\n{"title":\n', /books:2: EOF while parsing/],
    // Lines hold plain JSON: integers and bytes come in by an archive.
    ["integer.jsonl", '{"title":"a"}\n{"n":{"$integer":"BwAAAAAAAAA="}}\n', /books: document 2: Field name \$integer starts with '\$', which is reserved/],
    ["broken.json", '{"title":"a"}', /books:1: invalid type: map, expected an array of objects/],
    ["broken.csv", 'title,title\na,b\n', /books:1: the column "title" is there twice/],
    ["broken.zip", "PK", /The archive cannot be read/],
  ]) {
    const args = file.endsWith("zip") ? ["import"] : ["import", "--table", "books"];
    assert.match(ended(await app.convex(...args, write(file, text)), 1).all, says);
  }
  assert.deepEqual(await all("books"), []);
  assert.equal(await client.query("shelf:titleOf", { book: _id }), null);
});
