// Components of an app, pushed by the official command line: mounted twice and within each other, called from everywhere, kept
// apart, taken away and brought back.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";
import { ConvexHttpClient } from "convex/browser";
import { api, ended, openApp, startServer, tokenOf, watch } from "./harness.mjs";

const MOUNTS = fileURLToPath(new URL("apps/mounts", import.meta.url));
const PUSH = ["dev", "--once", "--typecheck", "disable"];

/** A server with the app `mounts`, and ways to call its functions. */
async function mounted(t, options) {
  const server = await startServer(t, options);
  const app = openApp(t, server, MOUNTS);
  ended(await app.convex(...PUSH));
  const client = new ConvexHttpClient(server.url, { logger: false });
  return {
    server,
    app,
    client,
    ask: (name, args, which = "counter") => client.query("main:asks", { which, name, args }),
    tell: (name, args, which = "counter") => client.mutation("main:does", { which, name, args }),
    push: async () => ended(await app.convex(...PUSH)),
  };
}

/** What an administrator is told of a function. */
const asAdmin = (server, path, args, componentPath, format = "json") =>
  api(server, "/api/function", { path, args, componentPath, format });

test("an app calls its components, and each mounted one has tables of its own", async (t) => {
  const { client, ask, tell } = await mounted(t);
  assert.match(await client.mutation("main:add", { which: "counter", name: "a" }), /^[0-9a-z]{32}$/);
  await client.mutation("main:add", { which: "counter", name: "a" });
  await client.mutation("main:add", { which: "second", name: "a" });
  assert.equal(await client.query("main:get", { which: "counter", name: "a" }), 2);
  assert.equal(await client.query("main:get", { which: "second", name: "a" }), 1);
  await tell("note", { text: "one" });
  await tell("note", { text: "two" }, "second");
  assert.deepEqual(await ask("notes", {}), ["one"]);
  assert.deepEqual(await ask("notes", {}, "second"), ["two"]);
  const acted = await client.action("main:acts", { which: "second", name: "a" });
  assert.deepEqual(acted, { value: 11, identity: null });
  assert.deepEqual(await ask("notes", {}, "second"), ["two", "acted on a"]);
  const { page, isDone } = await ask("pages", {});
  assert.deepEqual([page.length, isDone], [1, false]);
});

test("a mutation of a component that fails is taken back with all that it called", async (t) => {
  const { client, ask } = await mounted(t);
  assert.equal(await client.mutation("main:tries", { text: "fine" }), "noted");
  assert.match(await client.mutation("main:tries", { text: "unwritable" }), /the ledger refuses/);
  assert.deepEqual(await ask("notes", {}), ["fine"]);
  assert.equal(await ask("get", { name: "notes" }), 1);
  assert.deepEqual(await client.query("main:notes"), ["fine", "unwritable"]);
});

test("a component sees its own tables, jobs and variables alone, and no identity", async (t) => {
  const { server, app, client, ask, tell } = await mounted(t);
  ended(await app.convex("env", "set", "GREETING", "hello"));
  client.setAuth(await tokenOf(server, "Ada"));
  await client.mutation("main:tries", { text: "in the app" });
  const seen = { identity: null, greeting: null, site: true, notes: 0, jobs: [] };
  assert.deepEqual(await ask("sees", {}), { ...seen, label: "first" });
  assert.deepEqual(await ask("sees", {}, "second"), { ...seen, label: "hello" });

  // Ids of others are those of unknown tables, in both directions.
  const theirs = await client.mutation("main:add", { which: "counter", name: "a" });
  const mine = await client.mutation("main:insertCounter");
  assert.deepEqual(await client.query("main:foreign", { id: theirs }), { document: null, normal: null, jobs: 0 });
  assert.deepEqual(await ask("byId", { id: mine }), { document: null, normal: null });
  assert.deepEqual(await ask("byId", { id: theirs }, "second"), { document: null, normal: null });
  assert.equal((await ask("byId", { id: theirs })).document.value, 1);
  await assert.rejects(tell("overwrite", { id: mine }), /Table for ID "[^"]+" not found/);
  await assert.rejects(tell("overwrite", { id: theirs }, "second"), /Table for ID "[^"]+" not found/);
  await assert.rejects(tell("link", { counter: mine }), /ArgumentValidationError/);
  await tell("link", { counter: theirs });

  const job = await tell("later", { name: "never", ms: 3_600_000 });
  assert.equal((await ask("sees", {})).jobs.length, 1);
  assert.deepEqual((await ask("sees", {}, "second")).jobs, []);
  const pending = await ask("job", { id: job });
  assert.deepEqual([pending.name, pending.state, pending.owner, pending.component], ["lib.js:tick", { kind: "pending" }, undefined, undefined]);
  assert.equal(await ask("job", { id: job }, "second"), null);
  assert.equal((await client.query("main:foreign", { id: mine })).jobs, 0);
  await tell("cancel", { id: job }, "second");
  assert.equal((await ask("job", { id: job })).state.kind, "pending");
  await tell("cancel", { id: job });
  assert.equal((await ask("job", { id: job })).state.kind, "canceled");

  // A variable that changes changes what those see who were given it.
  ended(await app.convex("env", "set", "GREETING", "good day"));
  assert.equal((await ask("sees", {}, "second")).label, "good day");
});

test("clients cannot call a component's functions, and administrators can", async (t) => {
  const { server, app, client } = await mounted(t);
  const path = "lib:get";
  for (const spelling of ["counter:lib:get", "counter/lib:get", "lib:get"]) {
    await assert.rejects(client.query(spelling, { name: "a" }), /Could not find public function|not a function path/, spelling);
  }
  const anonymous = await fetch(`${server.url}/api/function`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ path, args: { name: "a" }, componentPath: "counter" }),
  });
  assert.equal(anonymous.status, 403);
  const told = await asAdmin(server, "lib:add", { name: "a" }, "counter");
  assert.equal(told.body.status, "success", JSON.stringify(told.body));
  assert.equal((await asAdmin(server, path, { name: "a" }, "counter")).body.value, 1);
  assert.equal((await asAdmin(server, "lib:hidden", {}, "counter")).body.value, "hidden");
  assert.equal((await asAdmin(server, "book:texts", {}, "second/ledger")).body.value.length, 0);
  assert.match((await asAdmin(server, "lib:none", {}, "counter")).body.errorMessage, /Could not find function for/);
  assert.equal((await asAdmin(server, path, {}, "nowhere")).body.code, "ComponentNotFound");
  const run = ended(await app.convex("run", "--component", "counter", "lib:get", '{"name":"a"}'));
  assert.equal(run.out.trim(), "1");
  await assert.rejects(client.query("main:asks", { which: "counter", name: "hidden", args: {} }), /Could not find public function for 'lib:hidden' in 'counter'/);
});

test("handles of functions go into components and out of them", async (t) => {
  const { server, client, ask } = await mounted(t);
  client.setAuth(await tokenOf(server, "Ada"));
  await client.mutation("main:hands", { how: "call", text: "called" });
  assert.deepEqual(await client.query("main:notes"), ["called"]);
  const notes = watch(t, server, "main:notes");
  await client.mutation("main:hands", { how: "schedule", text: "scheduled" });
  await notes.until(({ value }) => value?.includes("scheduled"));
  const ticks = watch(t, server, "main:get", { which: "counter", name: "taken" });
  const handle = await client.mutation("main:takes", { name: "taken" });
  assert.match(handle, /^function:\/\//);
  await ticks.until(({ value }) => value === 2);
  assert.equal(await ask("get", { name: "taken" }, "second"), 0);
});

test("live queries, crons and scheduled functions go through components", async (t) => {
  const { server, client, tell } = await mounted(t);
  const beats = watch(t, server, "main:get", { which: "second", name: "beats" });
  await beats.until(({ value }) => value >= 1);
  const ticks = watch(t, server, "main:get", { which: "counter", name: "soon" });
  await ticks.until(({ value }) => value === 0);
  await tell("later", { name: "soon", ms: 1 });
  await ticks.until(({ value }) => value === 1);
  await client.mutation("main:add", { which: "counter", name: "soon" });
  await ticks.until(({ value }) => value === 2);
  const crons = await asAdmin(server, "_system/frontend/listCronJobs", { componentId: "second" });
  assert.deepEqual(crons.body.value.map(({ name }) => name), ["beat"]);
});

test("a component's HTTP actions are below the prefix of its mount", async (t) => {
  const { app, ask } = await mounted(t);
  const [, site] = /^CONVEX_SITE_URL=(.*)$/m.exec(app.read(".env.local"));
  const hook = await fetch(`${site}/second/hook`, { method: "POST", body: "hooked" });
  assert.deepEqual(await hook.json(), { value: 5, identity: null, path: "/second/hook" });
  assert.equal(await ask("get", { name: "hooked" }, "second"), 5);
  assert.equal(await ask("get", { name: "hooked" }), 0);
  assert.equal(await (await fetch(`${site}/second/files/a/b`)).text(), "/second/files/a/b");
  for (const path of ["/hook", "/counter/hook", "/second/none"]) {
    assert.equal((await fetch(site + path, { method: "POST" })).status, 404, path);
  }
});

test("tools look into components", async (t) => {
  const { server, app, client } = await mounted(t);
  await client.mutation("main:add", { which: "second", name: "shown" });
  const data = ended(await app.convex("data", "--component", "second", "counters"));
  assert.match(data.out, /"shown"/);
  assert.match(ended(await app.convex("data", "--component", "second")).out, /^counters\nlinks$/m);
  assert.doesNotMatch(ended(await app.convex("data")).out, /links/);
  const components = await asAdmin(server, "_system/frontend/components:list", {});
  assert.deepEqual(
    components.body.value.map(({ path, name, state, httpPrefix }) => [path, name, state, httpPrefix]),
    [
      ["counter", "counter", "active", null],
      ["counter/ledger", "ledger", "active", null],
      ["second", "second", "active", "/second/"],
      ["second/ledger", "ledger", "active", null],
    ],
  );
  const modules = (await asAdmin(server, "_system/frontend/modules:listForAllComponents", {})).body.value;
  assert.deepEqual(modules.map(([id]) => id), [null, "counter", "counter/ledger", "second", "second/ledger"]);
  const spec = JSON.parse(ended(await app.convex("function-spec")).out).functions;
  assert.ok(spec.every(({ identifier }) => !identifier?.startsWith("lib.js")));
  await client.action("main:acts", { which: "second", name: "logged" });
  const { body } = await api(server, "/api/stream_function_logs?cursor=0", null, { method: "GET" });
  const acted = body.entries.find(({ identifier }) => identifier === "lib:act");
  assert.deepEqual([acted.componentPath, acted.logLines[0].messages[0]], ["second", "'acting on' 'logged'"]);
});

test("a component that is taken away keeps its data, comes back with it, and is deleted", async (t) => {
  const { server, app, client, push } = await mounted(t);
  await client.mutation("main:add", { which: "second", name: "kept" });
  const config = app.read("convex/convex.config.ts");
  app.edit("convex/convex.config.ts", /app\.use\(counter, \{ name: "second".*\n/.exec(config)[0], "");
  await push();
  await assert.rejects(client.query("main:get", { which: "second", name: "kept" }), /Could not find public function for 'lib:get' in 'second'/);
  const states = async () => {
    const listed = await asAdmin(server, "_system/frontend/components:list", {});
    return Object.fromEntries(listed.body.value.map(({ path, state }) => [path, state]));
  };
  assert.deepEqual(await states(), { counter: "active", "counter/ledger": "active", second: "unmounted", "second/ledger": "unmounted" });
  assert.match(ended(await app.convex("data", "--component", "second", "counters")).out, /kept/);

  app.write("convex/convex.config.ts", config);
  await push();
  assert.equal(await client.query("main:get", { which: "second", name: "kept" }), 1);
  assert.equal((await api(server, "/api/delete_component", { componentId: "second" })).body.code, "ComponentMustBeUnmounted");

  app.edit("convex/convex.config.ts", /app\.use\(counter, \{ name: "second".*\n/.exec(config)[0], "");
  await push();
  assert.equal((await api(server, "/api/delete_component", { componentId: "second" })).status, 200);
  assert.deepEqual(await states(), { counter: "active", "counter/ledger": "active" });
  app.write("convex/convex.config.ts", config);
  await push();
  assert.equal(await client.query("main:get", { which: "second", name: "kept" }), 0);
});

test("pushes change a component's code, schema and indexes under its users", async (t) => {
  const { server, app, client, push } = await mounted(t);
  for (const name of ["a", "b"]) await client.mutation("main:add", { which: "counter", name });
  const watched = watch(t, server, "main:get", { which: "counter", name: "a" });
  await watched.until(({ value }) => value === 1);
  app.edit("convex/counter/lib.ts", "?.value ?? 0", "?.value * 100 || 0");
  await push();
  await watched.until(({ value }) => value === 100);

  app.edit("convex/counter/schema.ts", '.index("by_name", ["name"])', '.index("by_name", ["name"]).index("by_value", ["value"])');
  await push();
  const { indexes } = (await api(server, "/api/get_indexes?componentId=counter", null, { method: "GET" })).body;
  assert.deepEqual(indexes.map(({ table, name, backfill }) => [table, name, backfill.state]), [
    ["counters", "by_name", "done"],
    ["counters", "by_value", "done"],
  ]);
  app.edit("convex/counter/schema.ts", "value: v.number() }", "value: v.string() }");
  const refused = ended(await app.convex(...PUSH), 1);
  assert.match(refused.all, /Document with ID "[^"]+" in table "counters" does not match the schema/);
  assert.equal(await client.query("main:get", { which: "counter", name: "b" }), 100);
});

test("what components hold survives a restart, and goes through exports and imports", async (t) => {
  const { server, app, client } = await mounted(t);
  await client.mutation("main:add", { which: "counter", name: "kept" });
  await client.mutation("main:tries", { text: "noted" });
  const archive = `${app.folder}/all.zip`;
  ended(await app.convex("export", "--path", archive));
  await server.kill();
  const again = await startServer(t, { data: server.data });
  const restarted = new ConvexHttpClient(again.url, { logger: false });
  assert.equal(await restarted.query("main:get", { which: "counter", name: "kept" }), 1);

  const other = await startServer(t);
  const elsewhere = openApp(t, other, MOUNTS);
  ended(await elsewhere.convex(...PUSH));
  ended(await elsewhere.convex("import", "--replace-all", "-y", archive));
  const there = new ConvexHttpClient(other.url, { logger: false });
  assert.equal(await there.query("main:get", { which: "counter", name: "kept" }), 1);
  assert.deepEqual(await there.query("main:asks", { which: "counter", name: "notes", args: {} }), ["noted"]);
  elsewhere.write("more.jsonl", '{"name":"imported","value":7}\n');
  ended(await elsewhere.convex("import", "--component", "second", "--table", "counters", "--append", "-y", "more.jsonl"));
  assert.equal(await there.query("main:get", { which: "second", name: "imported" }), 7);
});

/** An archive of these entries, each a name with a text, as they are. */
function zip(entries) {
  const [parts, places] = [[], []];
  let at = 0;
  for (const [name, text] of entries) {
    const [path, bytes] = [Buffer.from(name), Buffer.from(text)];
    const about = Buffer.alloc(26);
    about.writeUInt16LE(20, 0);
    about.writeUInt32LE(crc32(bytes), 10);
    about.writeUInt32LE(bytes.length, 14);
    about.writeUInt32LE(bytes.length, 18);
    about.writeUInt16LE(path.length, 22);
    const place = Buffer.alloc(14);
    place.writeUInt32LE(at, 10);
    const part = Buffer.concat([Buffer.from("PK\x03\x04"), about, path, bytes]);
    places.push(Buffer.concat([Buffer.from("PK\x01\x02"), Buffer.from([20, 0]), about, place, path]));
    parts.push(part);
    at += part.length;
  }
  const directory = Buffer.concat(places);
  const end = Buffer.alloc(18);
  for (const offset of [4, 6]) end.writeUInt16LE(entries.length, offset);
  end.writeUInt32LE(directory.length, 8);
  end.writeUInt32LE(at, 12);
  return Buffer.concat([...parts, directory, Buffer.from("PK\x05\x06"), end]);
}

test("components keep ids although the app and each of them number their tables alike", async (t) => {
  const { app, client } = await mounted(t);
  const path = `${app.folder}/alike.zip`;
  const importing = async (id) => {
    const line = (fields) => `${JSON.stringify({ ...(id && { _id: id }), ...fields })}\n`;
    const numbers = '{"name":"counters","id":10001}\n{"name":"links","id":10002}\n';
    const of = (component, value) => [
      [`_components/${component}/_tables/documents.jsonl`, numbers],
      [`_components/${component}/counters/documents.jsonl`, line({ name: "a", value })],
      [`_components/${component}/links/documents.jsonl`, ""],
    ];
    const own = [["_tables/documents.jsonl", '{"name":"counters","id":10001}\n'], ["counters/documents.jsonl", line({ mine: true })]];
    writeFileSync(path, zip([...own, ...of("counter", 10), ...of("second", 20)]));
    ended(await app.convex("import", "--replace-all", "-y", path));
  };
  await importing(null);
  const id = await client.mutation("main:add", { which: "counter", name: "a" });
  const other = await client.mutation("main:add", { which: "second", name: "a" });
  assert.equal(id.slice(0, 3), other.slice(0, 3), "both tables have one number");
  assert.notEqual(id, other);
  assert.equal((await client.query("main:asks", { which: "second", name: "byId", args: { id } })).document, null);

  // The same id three times.
  await importing(id);
  const value = (which) => client.query("main:asks", { which, name: "byId", args: { id } }).then(({ document }) => document.value);
  assert.deepEqual([await value("counter"), await value("second")], [10, 20]);
  assert.equal(await client.mutation("main:add", { which: "second", name: "a" }), id);
  await client.mutation("main:does", { which: "counter", name: "overwrite", args: { id } });
  await client.mutation("main:does", { which: "second", name: "link", args: { counter: id } });
  assert.deepEqual([await value("counter"), await value("second")], [-1, 21]);
  const archive = `${app.folder}/again.zip`;
  ended(await app.convex("export", "--path", archive));
  ended(await app.convex("import", "--replace-all", "-y", archive));
  assert.deepEqual([await value("counter"), await value("second")], [-1, 21]);
});
