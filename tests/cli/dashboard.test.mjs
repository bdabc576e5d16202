// The functions of the system that dashboards and graders call with an admin key, through the official client.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { api, ended, openApp, startServer } from "./harness.mjs";

const SYSTEM = "_system/frontend/";

async function open(t) {
  const server = await startServer(t);
  const app = openApp(t, server);
  ended(await app.convex("deploy"));
  const client = new ConvexClient(server.url, { logger: false });
  t.after(() => client.close());
  client.setAdminAuth(server.key);
  return { server, app, client };
}

test("documents are added, listed, changed and cleared by the holder of an admin key", async (t) => {
  const { client } = await open(t);
  const titles = async () => (await client.query(`${SYSTEM}listTableScan`, { table: "rooms", limit: 10 })).map(({ title }) => title);
  const documents = [{ title: "blue", seats: 3n }, { title: "red" }];
  assert.deepEqual(await client.mutation(`${SYSTEM}addDocument`, { table: "rooms", documents }), { success: true });
  assert.deepEqual(await titles(), ["red", "blue"]);
  const wrong = client.mutation(`${SYSTEM}addDocument`, { table: "rooms", documents: [{ title: 1 }] });
  await assert.rejects(wrong, (error) => /does not match the schema/.test(error.data));
  const filters = btoa(JSON.stringify({ clauses: [{ id: "a", field: "title", op: "eq", value: "blue" }] }));
  const args = { table: "rooms", paginationOpts: { numItems: 5, cursor: null }, filters, componentId: null };
  const { page } = await client.query(`${SYSTEM}paginatedTableDocuments`, args);
  assert.equal(page.length, 1);
  assert.equal(page[0].seats, 3n);
  const patch = { table: "rooms", ids: [page[0]._id], fields: { seats: "__undef", title: "green" } };
  assert.deepEqual(await client.mutation(`${SYSTEM}patchDocumentsFields`, patch), { success: true });
  assert.equal((await client.query(`${SYSTEM}getById`, { id: page[0]._id })).seats, undefined);
  assert.deepEqual(await titles(), ["red", "green"]);
  const cleared = await client.mutation(`${SYSTEM}clearTablePage`, { tableName: "rooms", cursor: null });
  assert.deepEqual([cleared.deleted, cleared.hasMore], [2, false]);
  assert.deepEqual(await titles(), []);
});

test("a dashboard's live queries follow what changes", async (t) => {
  const { client } = await open(t);
  const sizes = [];
  const grown = new Promise((resolve) => {
    client.onUpdate(`${SYSTEM}tableSize`, { tableName: "rooms" }, (size) => {
      sizes.push(size);
      if (size === 1) resolve();
    });
  });
  await client.mutation(`${SYSTEM}addDocument`, { table: "rooms", documents: [{ title: "blue" }] });
  await grown;
  assert.equal(sizes.at(-1), 1);
});

test("files, crons and the schema are shown", async (t) => {
  const { client, server } = await open(t);
  const url = await client.mutation(`${SYSTEM}fileStorageV2:generateUploadUrl`, {});
  const { storageId } = await (await fetch(url, { method: "POST", headers: { "Content-Type": "text/plain" }, body: "hello" })).json();
  const listed = await client.query(`${SYSTEM}fileStorageV2:fileMetadata`, { paginationOpts: { numItems: 5, cursor: null }, filters: { order: "asc" } });
  assert.deepEqual(listed.page.map(({ _id, contentType, size }) => [_id, contentType, size]), [[storageId, "text/plain", 5]]);
  assert.equal(await (await fetch(listed.page[0].url)).text(), "hello");
  assert.deepEqual(await client.query(`${SYSTEM}fileStorageV2:getFile`, { storageId }), listed.page[0]);
  await client.mutation(`${SYSTEM}fileStorageV2:deleteFiles`, { storageIds: [storageId] });
  assert.equal(await client.query(`${SYSTEM}fileStorageV2:numFiles`, {}), 0);
  const [cron] = await client.query(`${SYSTEM}listCronJobs`, {});
  assert.deepEqual(cron.cronSpec.cronSchedule, { type: "daily", hourUTC: 3n, minuteUTC: 15n });
  assert.ok(cron.cronSpec.udfArgs instanceof ArrayBuffer);
  const { active } = await client.query(`${SYSTEM}getSchemas`, { componentId: null });
  assert.deepEqual(JSON.parse(active).tables[0].indexes[0].fields, ["title", "_creationTime"]);
  const [[component, modules]] = await client.query(`${SYSTEM}modules:listForAllComponents`, {});
  assert.equal(component, null);
  assert.ok(modules.some(([path, { functions }]) => path === "rooms.js" && functions.length > 0));
  const now = Math.floor(Date.now() / 1000);
  const window = encodeURIComponent(JSON.stringify({ start: { secs_since_epoch: now - 3600 }, end: { secs_since_epoch: now + 60 }, num_buckets: 61 }));
  const { status, body } = await api(server, `/api/app_metrics/function_call_count_top_k?window=${window}`, null, { method: "GET" });
  assert.deepEqual([status, Array.isArray(body)], [200, true]);
});

test("nobody without a key that may write changes anything", async (t) => {
  const { server } = await open(t);
  const args = { table: "rooms", documents: [{ title: "blue" }] };
  const nobody = new ConvexHttpClient(server.url, { logger: false });
  await assert.rejects(nobody.mutation(`${SYSTEM}addDocument`, args), /do not have permission/);
  await assert.rejects(nobody.query(`${SYSTEM}listTableScan`, { table: "rooms" }), /do not have permission/);
});
