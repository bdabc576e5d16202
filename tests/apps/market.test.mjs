// A shop as a team leaving Convex wrote it: nested mutations that fail, state machines, streams and code from elsewhere.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { test } from "node:test";
import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { api, deploy, ended, shared, startServer } from "./harness.mjs";

/** A bank that takes a good token, and never answers a slow one. */
async function startBank(t) {
  const charges = [];
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const form = Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
    charges.push({ ...form, type: request.headers["content-type"], key: request.headers["idempotency-key"] });
    if (form.token === "bad") return response.writeHead(402).end("No funds");
    response.end(JSON.stringify({ reference: `ref-${form.amount}` }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, charges };
}

const all = shared(async (t) => {
  const bank = await startBank(t);
  const server = await startServer(t);
  const app = await deploy(t, server, "market", { BANK_URL: bank.url });
  const client = new ConvexHttpClient(server.url, { logger: false });
  await client.mutation("products:seed", {});
  return { app, server, bank, client };
});

const failure = (promise) => promise.then((value) => assert.fail(`gave ${JSON.stringify(value)}`), (error) => error);
async function until(look, is) {
  for (;;) {
    const found = await look();
    if (is(found)) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("products are paged by price, rated and counted", async () => {
  const { client } = all();
  const found = [];
  for (let cursor = null, isDone = false; !isDone; ) {
    const page = await client.query("products:list", { max: 300, paginationOpts: { cursor, numItems: 4 } });
    found.push(...page.page.map(({ label }) => label));
    ({ isDone, continueCursor: cursor } = page);
  }
  assert.deepEqual([found.length, found[0], found.at(-1)], [13, "Product 7: $0.99", "Product 23: $2.99"]);
  assert.deepEqual(await client.query("products:rated"), ["SKU-009", "SKU-024"]);
  const stats = await client.query("products:stats");
  assert.deepEqual(stats, { products: 30, total: "$1,705.65", cheapest: "Product 0", tags: { even: 15, blue: 15, odd: 15 }, when: "Thursday, February 29, 2024" });
  const { _id } = await client.query("products:get", { sku: "SKU-003" });
  assert.equal(await client.query("products:byId", { id: _id }), "Product 3");
  assert.equal(await client.query("products:byId", { id: "x" }), "not a product");
  assert.match((await failure(client.query("products:get", { sku: "none" }))).message, /Uncaught Error: There is no product none\n {4}at bySku \(\.\.\/convex\/lib\/catalog\.ts:8:/);
});

test("an order takes what there is, or nothing", async () => {
  const { client } = all();
  const add = (session, sku, quantity) => client.mutation("orders:addToCart", { session, sku, quantity });
  const stock = async (sku) => (await client.query("products:get", { sku })).stock;
  const empty = await failure(client.mutation("orders:place", { session: "nobody" }));
  assert.deepEqual(empty.data, { code: "EmptyCart", at: 1n, bytes: new Uint8Array([1, 2, 3]).buffer });
  await add("s1", "SKU-020", 5);
  await add("s1", "SKU-002", 9);
  const refused = await failure(client.mutation("orders:place", { session: "s1" }));
  assert.match(refused.message, /Uncaught Error: Uncaught OutOfStock: Only 2 of SKU-002 left\n {4}at \S+ \(\.\.\/convex\/orders\.ts:/);
  assert.deepEqual([await stock("SKU-020"), await stock("SKU-002")], [20, 2]);
  const placed = await client.mutation("orders:place", { session: "s1", partial: true });
  assert.deepEqual(placed, { number: 1001n, total: 5 * 699, missing: ["SKU-002: Uncaught OutOfStock: Only 2 of SKU-002 left"] });
  assert.deepEqual([await stock("SKU-020"), await stock("SKU-002")], [15, 2]);
  assert.deepEqual(await client.query("orders:cart", { session: "s1" }), []);
});

test("a payment ends the expiry, and what the bank refuses is kept", async (t) => {
  const { client, app, bank, server } = all();
  const live = new ConvexClient(server.url, { logger: false });
  t.after(() => live.close());
  const states = [];
  live.onUpdate("orders:history", { session: "s2" }, (orders) => states.push(orders.map(({ state }) => state).join()));
  await client.mutation("orders:addToCart", { session: "s2", sku: "SKU-010" });
  const { total, number } = await client.mutation("orders:place", { session: "s2" });
  assert.equal(await client.action("orders:pay", { session: "s2", token: "bad" }), "declined");
  assert.equal(await client.action("orders:pay", { session: "s2", token: "good" }), `ref-${total}`);
  assert.match(bank.charges[0].type, /^application\/x-www-form-urlencoded/);
  assert.match(bank.charges[0].key, /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
  await until(() => states, (states) => states.at(-1) === "paid");
  assert.equal((await failure(client.action("orders:pay", { session: "s2", token: "good" }))).data, "Nothing to pay");
  const run = async (path, args = {}) => JSON.parse(ended(await app.convex("run", path, JSON.stringify(args))).out);
  const files = await until(() => run("admin/tools:files"), (files) => files.length > 0);
  assert.deepEqual([files[0].contentType, files[0].size], ["text/html", "<h1>Receipt 1,002</h1>".length]);
  assert.equal(number, 1002n);
  const jobs = await until(() => run("admin/tools:jobs"), (jobs) => jobs.every(({ kind }) => kind !== "inProgress"));
  assert.deepEqual(jobs.map(({ name, kind }) => [name, kind]), [
    ["orders.js:expire", "pending"], ["orders.js:expire", "canceled"], ["orders.js:receipt", "success"],
  ]);
  const events = await client.query("orders:events");
  assert.deepEqual(events, ["placed", "placed", "failed", "paid"]);
  const stream = await fetch(`${app.siteUrl}/events`);
  assert.equal(await stream.text(), events.map((kind) => `data: ${kind}\n\n`).join(""));
  const log = await until(
    async () => (await api(server, "/api/stream_function_logs?cursor=0", null, { method: "GET" })).body.entries,
    (entries) => entries.some(({ identifier, logLines }) => identifier === "orders:receipt" && logLines.length > 0),
  );
  const line = log.find(({ identifier, logLines }) => identifier === "orders:receipt" && logLines.length > 0).logLines[0].messages.join(" ");
  assert.match(line, /^'receipt' \{ number: 1002n, id: '[a-z0-9]{31,37}' \} \[ 1, 2, 3 \] Map \(1\) \{ 'a' => 1 \} undefined null Symbol\(s\) \[Function \(anonymous\)\]$/);
});

test("routes with prefixes answer, and their failures", async () => {
  const { app } = all();
  const product = await fetch(`${app.siteUrl}/products/SKU-004`);
  assert.deepEqual((await product.json()).attributes, { "size in cm": 4, "a-b.c": "L", nested: { deep: [1, null, "x"] } });
  assert.match(product.headers.get("etag"), /^"[a-z0-9]{31,37}"$/);
  const missing = await fetch(`${app.siteUrl}/products/a%20b`);
  assert.equal(missing.status, 404);
  assert.match(await missing.text(), /There is no product a b/);
  assert.equal(await (await fetch(`${app.siteUrl}/nothing`)).text(), "No matching routes found");
});

test("jobs follow each other until a table is empty, and an action does many things at once", async () => {
  const { app, client } = all();
  const run = async (path, args = {}) => JSON.parse(ended(await app.convex("run", path, JSON.stringify(args))).out);
  assert.equal(await run("admin/tools:fanOut", { times: 100 }), 100);
  assert.equal(await run("admin/tools"), "default export");
  assert.equal(await run("admin/tools:clear", { table: "events", batch: 20 }), 20);
  await until(() => client.query("orders:events"), (events) => events.length === 0);
});

test("what stands under request ids is the same for clients and in the log", async () => {
  const { client, server } = all();
  const thrown = await Promise.all([
    failure(client.query("products:get", { sku: "id of a query" })),
    failure(client.mutation("orders:place", { session: "id" })),
    failure(client.action("orders:pay", { session: "id", token: "" })),
  ]);
  const live = new ConvexClient(server.url, { logger: false });
  const seen = await new Promise((resolve) => live.onUpdate("products:get", { sku: "live" }, () => {}, resolve));
  const call = await failure(live.mutation("orders:place", { session: "id" }));
  await live.close();
  const { entries } = (await api(server, "/api/stream_function_logs?cursor=0", null, { method: "GET" })).body;
  for (const { message } of [...thrown, seen, call]) {
    const [, id] = /\[Request ID: ([0-9a-f]{16})\]/.exec(message);
    assert.equal(entries.filter(({ requestId, error }) => requestId === id && error).length, 1, message);
  }
});
