// Live queries across pushes, and tables that a first insert makes: an official client watches while the official command
// line pushes.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { test } from "node:test";
import { ConvexHttpClient } from "convex/browser";
import { api, appOf, ended, startServer, tokenOf, watch } from "./harness.mjs";

const PUSH = ["dev", "--once", "--typecheck", "disable"];

/** How often the query at `path` ran so far, by the log. */
async function runs(server, path) {
  const { body } = await api(server, "/api/stream_function_logs?cursor=0", null, { method: "GET" });
  return body.entries.filter(({ identifier, cachedResult }) => identifier === path && !cachedResult).length;
}

const HEAD = "import { internalQuery, mutation, query } from './_generated/server';\nimport { v } from 'convex/values';\n";

test("the first insert makes a table that no schema names, and those who asked for it see it", async (t) => {
  const server = await startServer(t);
  const app = appOf(t, server, {
    "convex/tasks.ts": `${HEAD}
export const add = mutation({ args: { text: v.string() }, returns: v.id("tasks"), handler: (ctx, { text }) => ctx.db.insert("tasks", { text }) });
export const list = query({ args: {}, handler: (ctx) => ctx.db.query("tasks").collect() });
export const get = query({ args: { id: v.id("tasks") }, handler: (ctx, { id }) => ctx.db.get(id) });
export const fail = mutation({ args: {}, handler: async (ctx) => { await ctx.db.insert("never", {}); throw new Error("not today"); } });
export const bad = mutation({ args: { name: v.string() }, handler: (ctx, { name }) => ctx.db.insert(name, {}) });
`,
  });
  ended(await app.convex(...PUSH));
  const { client, until } = watch(t, server, "tasks:list");
  assert.deepEqual((await until(() => true)).value, []);
  await assert.rejects(client.mutation("tasks:fail", {}), /not today/);
  // Both make the table, and one of them runs again.
  const ids = await Promise.all([client.mutation("tasks:add", { text: "a" }), new ConvexHttpClient(server.url).mutation("tasks:add", { text: "b" })]);
  const { value } = await until(({ value }) => value?.length === 2);
  assert.deepEqual(new Set(value.map(({ _id }) => _id)), new Set(ids));
  assert.equal((await client.query("tasks:get", { id: ids[0] })).text, "a");
  for (const name of ["_mine", "no spaces", "9lives", "x".repeat(65)]) await assert.rejects(client.mutation("tasks:bad", { name }), name);
  const tables = ended(await app.convex("data")).out;
  assert.match(tables, /tasks/);
  assert.doesNotMatch(tables, /never/);
  // A schema that names it checks its documents.
  app.write("convex/schema.ts", `${HEAD}import { defineSchema, defineTable } from 'convex/server';\nexport default defineSchema({ tasks: defineTable({ text: v.number() }) });\n`);
  assert.match(ended(await app.convex(...PUSH), 1).all, /does not match the schema/);
  app.edit("convex/schema.ts", "v.number()", "v.string()");
  ended(await app.convex(...PUSH));
  await assert.rejects(client.mutation("tasks:bad", { name: "tasks" }), /does not match/);
});

test("a query that was refused is answered once a push brings its function, other arguments, or makes it public", async (t) => {
  const server = await startServer(t);
  const app = appOf(t, server, {
    "convex/m.ts": `${HEAD}
export const two = internalQuery({ args: {}, handler: () => 2 });
export const length = query({ args: { x: v.string() }, handler: (_, { x }) => x.length });
export const outer = query({ args: {}, handler: async (ctx) => { try { return await ctx.runQuery("later:f" as any, {}); } catch { return "none"; } } });
`,
  });
  ended(await app.convex(...PUSH));
  const [two, length, later, outer] = [watch(t, server, "m:two"), watch(t, server, "m:length", { x: 5 }), watch(t, server, "later:f"), watch(t, server, "m:outer")];
  for (const { until } of [two, length, later]) await until(({ error }) => error);
  await outer.until(({ value }) => value === "none");
  app.edit("convex/m.ts", "internalQuery(", "query(");
  app.edit("convex/m.ts", "x: v.string() }, handler: (_, { x }) => x.length", "x: v.number() }, handler: (_, { x }) => x");
  app.write("convex/later.ts", `${HEAD}export const f = query({ args: {}, handler: () => "here" });\n`);
  ended(await app.convex(...PUSH));
  await two.until(({ value }) => value === 2);
  await length.until(({ value }) => value === 5);
  await later.until(({ value }) => value === "here");
  await outer.until(({ value }) => value === "here");
  const http = new ConvexHttpClient(server.url);
  assert.deepEqual([await http.query("m:two", {}), await http.query("later:f", {})], [2, "here"]);
});

test("a push runs the live queries again whose code it changed, and no others", async (t) => {
  const server = await startServer(t);
  const module = (word) => `${HEAD}
export const list = query({ args: {}, handler: async (ctx) => "${word} " + (await ctx.db.query("items").collect()).length });
export const add = mutation({ args: {}, handler: async (ctx) => { await ctx.db.insert("items", {}); } });
`;
  const app = appOf(t, server, { "convex/changed.ts": module("one"), "convex/same.ts": module("still") });
  // The first push makes `_generated`, and the bundles differ once it is there.
  for (let n = 0; n < 2; n++) ended(await app.convex(...PUSH));
  // Both are watched on one connection. So their results are of one moment, and a second run of either is over by then.
  const changed = watch(t, server, "changed:list");
  const same = watch(t, server, "same:list", {}, changed.client);
  const shown = async (one, other) => {
    await changed.until(({ value }) => value === one);
    await same.until(({ value }) => value === other);
    return [await runs(server, "changed:list"), await runs(server, "same:list")];
  };
  assert.deepEqual(await shown("one 0", "still 0"), [1, 1]);
  app.write("convex/changed.ts", module("two"));
  ended(await app.convex(...PUSH));
  assert.deepEqual(await shown("two 0", "still 0"), [2, 1]);
  await changed.client.mutation("same:add", {});
  assert.deepEqual(await shown("two 1", "still 1"), [3, 2]);
});

test("an action under way ends on the code that it began with, and what it calls is new", async (t) => {
  const server = await startServer(t);
  const module = (word) => `import { action, query } from "./_generated/server"; import { v } from "convex/values";
const WORD = "${word}";
export const word = query({ args: {}, handler: () => WORD });
export const wait = action({ args: { url: v.string() }, handler: async (ctx, { url }): Promise<string[]> => {
  const before = WORD;
  await fetch(url);
  return [before, WORD, await ctx.runQuery("m:word" as any, {})];
} });
`;
  const app = appOf(t, server, { "convex/m.ts": module("old") });
  ended(await app.convex(...PUSH));
  // The action asks this door, which answers after the push.
  const door = http.createServer();
  t.after(() => door.close());
  door.listen(0, "127.0.0.1");
  await once(door, "listening");
  const url = `http://127.0.0.1:${door.address().port}/`;
  const client = new ConvexHttpClient(server.url, { logger: false });
  const waiting = client.action("m:wait", { url });
  const [, answer] = await once(door, "request");
  app.write("convex/m.ts", module("new"));
  ended(await app.convex(...PUSH));
  assert.equal(await client.query("m:word", {}), "new");
  door.on("request", (_, answer) => answer.end());
  answer.end();
  assert.deepEqual(await waiting, ["old", "old", "new"]);
  assert.deepEqual(await client.action("m:wait", { url }), ["new", "new", "new"]);
});

test("a query notices that a push gave its index other fields, or took it away", async (t) => {
  const server = await startServer(t);
  const schema = (index) =>
    `${HEAD}import { defineSchema, defineTable } from 'convex/server';\nexport default defineSchema({ items: defineTable({ n: v.number(), g: v.number() })${index} });\n`;
  const app = appOf(t, server, {
    "convex/schema.ts": schema('.index("by_n", ["n"])'),
    "convex/items.ts": `${HEAD}
export const add = mutation({ args: { n: v.number(), g: v.number() }, handler: async (ctx, item) => { await ctx.db.insert("items", item); } });
export const list = query({ args: {}, handler: async (ctx) => (await ctx.db.query("items").withIndex("by_n").collect()).map(({ n }) => n) });
`,
  });
  ended(await app.convex(...PUSH));
  const { client, until } = watch(t, server, "items:list");
  for (const [n, g] of [[1, 2], [2, 1]]) await client.mutation("items:add", { n, g });
  await until(({ value }) => String(value) === "1,2");
  app.write("convex/schema.ts", schema('.index("by_n", ["g", "n"])'));
  ended(await app.convex(...PUSH));
  await until(({ value }) => String(value) === "2,1");
  await client.mutation("items:add", { n: 3, g: 0 });
  await until(({ value }) => String(value) === "3,2,1");
  app.write("convex/schema.ts", schema(""));
  ended(await app.convex(...PUSH));
  await until(({ error }) => error?.includes("Index items.by_n not found."));
});

test("new code that provisions users binds those who came in before", async (t) => {
  const server = await startServer(t, { flags: ["--dev-issuer", "--provision-with", "users:store"] });
  const app = appOf(t, server, {
    "convex/users.ts": `${HEAD}
export const store = mutation({ args: {}, handler: async (ctx) => {
  const { tokenIdentifier, name } = (await ctx.auth.getUserIdentity())!;
  const old = await ctx.db.query("users").filter((q) => q.eq(q.field("token"), tokenIdentifier)).first();
  /* banned */
  return old?._id ?? (await ctx.db.insert("users", { token: tokenIdentifier, name }));
} });
export const me = query({ args: {}, handler: async (ctx) => (await ctx.db.query("users").collect()).length });
`,
  });
  ended(await app.convex(...PUSH));
  const token = await tokenOf(server, "Ada");
  const http = () => {
    const client = new ConvexHttpClient(server.url, { logger: false });
    client.setAuth(token);
    return client;
  };
  for (let n = 0; n < 2; n++) assert.equal(await http().query("users:me", {}), 1);
  const refused = /not provisioned \(refused\)/;
  app.edit("convex/users.ts", "/* banned */", 'if (process.env.CLOSED) throw new Error("closed"); /* banned */');
  ended(await app.convex(...PUSH));
  assert.equal(await http().query("users:me", {}), 1);
  // A variable that it reads, a document that it reads of an older state, and its code.
  ended(await app.convex("env", "set", "CLOSED", "yes"));
  await assert.rejects(http().query("users:me", {}), refused);
  ended(await app.convex("env", "remove", "CLOSED"));
  assert.equal(await http().query("users:me", {}), 1);
  app.edit("convex/users.ts", "/* banned */", 'if (name === "Ada") throw new Error("banned");');
  ended(await app.convex(...PUSH));
  await assert.rejects(http().query("users:me", {}), refused);
});

test("an identity that waits for its document is let in by the index that a push names anew", async (t) => {
  const rules = "users.by_sub:subject|users.by_subject:subject";
  const server = await startServer(t, { flags: ["--dev-issuer", "--provision-when", rules] });
  const schema = (index) =>
    `import { defineSchema, defineTable } from "convex/server"; import { v } from "convex/values";
export default defineSchema({ users: defineTable({ sub: v.string() }).index("${index}", ["sub"]) });`;
  const app = appOf(t, server, {
    "convex/schema.ts": schema("by_sub"),
    "convex/users.ts": `${HEAD}
export const add = mutation({ args: { sub: v.string() }, handler: async (ctx, user) => { await ctx.db.insert("users", user); } });
export const me = query({ args: {}, handler: async (ctx) => (await ctx.auth.getUserIdentity())?.subject ?? "nobody" });
`,
  });
  ended(await app.convex(...PUSH));
  const token = await tokenOf(server, "Ada");
  const { client, until } = watch(t, server, "users:me");
  await until(({ value }) => value === "nobody");
  client.setAuth(async () => token);
  // Ada waits once the gate says so.
  const waits = async () => /vestibule_gate_waiting 1/.test(await (await fetch(`${server.url}/metrics`)).text());
  while (!(await waits())) await new Promise((resolve) => setTimeout(resolve, 20));
  app.write("convex/schema.ts", schema("by_subject"));
  ended(await app.convex(...PUSH));
  await new ConvexHttpClient(server.url, { logger: false }).mutation("users:add", { sub: "ada" });
  await until(({ value }) => value === "ada");
});

test("nobody gets at the functions of the system by a function of the app that passes on a name", async (t) => {
  const server = await startServer(t, { flags: ["--dev-issuer", "--provision-with", "none"] });
  const app = appOf(t, server, {
    "convex/via.ts": `${HEAD}export const via = query({ args: { f: v.string() }, handler: (ctx, { f }) => ctx.runQuery(f as any, {}) });\n`,
    "convex/http.ts": `import { httpRouter } from "convex/server";
import { httpAction } from "./_generated/server";
const http = httpRouter();
http.route({ path: "/via", method: "POST", handler: httpAction(async (ctx, request) =>
  Response.json(await ctx.runQuery(await request.text() as any, {}))) });
http.route({ path: "/who", method: "POST", handler: httpAction(async (ctx) => Response.json(await ctx.runAction("acts:who" as any, {}))) });
http.route({ path: "/me", method: "POST", handler: httpAction(async (ctx) => Response.json(await ctx.auth.getUserIdentity())) });
export default http;
`,
    "convex/acts.ts": `import { internalAction } from "./_generated/server";
export const who = internalAction({ args: {}, handler: async (ctx) => (await ctx.auth.getUserIdentity())?.name ?? "a guest" });
`,
  });
  ended(await app.convex(...PUSH));
  ended(await app.convex("env", "set", "SECRET", "s3cret"));
  const f = "_system/cli/queryEnvironmentVariables";
  const denied = /You do not have permission to perform this operation/;
  const http = new ConvexHttpClient(server.url, { logger: false });
  for (const _ of [1, 2]) {
    await assert.rejects(http.query("via:via", { f }), denied);
    const { until } = watch(t, server, "via:via", { f });
    assert.match((await until(() => true)).error, denied);
  }
  const post = (path, authorization, body = "") =>
    fetch(`${server.url}/http${path}`, { method: "POST", body, headers: authorization ? { Authorization: authorization } : {} });
  for (const authorization of [null, "Bearer a.b.c", "Basic abc"]) {
    const text = await (await post("/via", authorization, f)).text();
    assert.match(text, denied, `${authorization}`);
    assert.doesNotMatch(text, /s3cret/);
  }
  // An administrator may, by the same function.
  const asked = await api(server, "/api/function", { path: "via:via", args: { f }, format: "json" });
  assert.match(JSON.stringify(asked.body), /s3cret/);
  // Nobody becomes a guest by a token that was refused.
  assert.equal(await (await post("/who", null)).json(), "a guest");
  assert.equal(await (await post("/who", `Bearer ${await tokenOf(server, "Ada")}`)).json(), "Ada");
  assert.notEqual((await post("/who", "Bearer a.b.c")).status, 200);
  assert.equal((await post("/me", "Bearer a.b.c")).status, 401);
});

test("an action that asks the server for another action does not wait for its own place", async (t) => {
  const server = await startServer(t, { flags: ["--actions-at-once", "1"] });
  const app = appOf(t, server, {
    "convex/http.ts": `import { httpRouter } from "convex/server";
import { httpAction } from "./_generated/server";
const http = httpRouter();
http.route({ path: "/leaf", method: "GET", handler: httpAction(async () => new Response("leaf")) });
export default http;
`,
    "convex/acts.ts": `import { action } from "./_generated/server";
export const ask = action({ args: {}, handler: async () => (await fetch(process.env.CONVEX_SITE_URL + "/leaf")).text() });
declare const process: { env: Record<string, string> };
`,
  });
  ended(await app.convex(...PUSH));
  const asked = Array.from({ length: 4 }, () => new ConvexHttpClient(server.url, { logger: false }).action("acts:ask", {}));
  assert.deepEqual(await Promise.all(asked), ["leaf", "leaf", "leaf", "leaf"]);
});

test("a query that shows where the deployment is runs again when that changes", async (t) => {
  const server = await startServer(t);
  const app = appOf(t, server, {
    "convex/here.ts": `${HEAD}export const here = query({ args: {}, handler: () => process.env.CONVEX_CLOUD_URL ?? null });\n`,
  });
  ended(await app.convex(...PUSH));
  const { until } = watch(t, server, "here:here");
  await until(({ value }) => value !== undefined);
  const changed = await api(server, "/api/update_canonical_url", { requestDestination: "convexCloud", url: "https://api.example.test" });
  assert.equal(changed.status, 200, JSON.stringify(changed.body));
  await until(({ value }) => value === "https://api.example.test");
});

test("the result of a query that runs another is as much its caller's own as the other's", async (t) => {
  const server = await startServer(t, { flags: ["--dev-issuer", "--provision-with", "none"] });
  const app = appOf(t, server, {
    "convex/who.ts": `${HEAD}
export const name = query({ args: {}, handler: async (ctx) => (await ctx.auth.getUserIdentity())?.name ?? null });
export const nested = query({ args: {}, handler: async (ctx) => await ctx.runQuery("who:name" as any, {}) });
export const twice = query({ args: {}, handler: async (ctx) => await ctx.runQuery("who:nested" as any, {}) });
`,
  });
  ended(await app.convex(...PUSH));
  for (const path of ["who:nested", "who:twice"]) {
    for (const name of ["Ada", "Grace", null, "Ada"]) {
      const http = new ConvexHttpClient(server.url, { logger: false });
      if (name) http.setAuth(await tokenOf(server, name));
      assert.equal(await http.query(path, {}), name, `${path} over HTTP`);
      const { client, until } = watch(t, server, "who:name");
      if (name) client.setAuth(() => tokenOf(server, name));
      await until(({ value }) => value === name);
      assert.equal(await client.query(path, {}), name, `${path} over a socket`);
    }
  }
});

/** The value of a metric. */
async function metricOf(server, name) {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const line = text.split("\n").find((line) => line.startsWith(`${name} `));
  assert(line, `${name} is not among the metrics`);
  return Number(line.split(" ")[1]);
}

test("a push makes its images ready before it is live, and those of the code before it go", async (t) => {
  const server = await startServer(t);
  const version = (number) => `${HEAD}export const version = query({ args: {}, handler: () => ${number} });\n`;
  const app = appOf(t, server, { "convex/one.ts": version(1) });
  ended(await app.convex(...PUSH), 0);
  const images = await metricOf(server, "vestibule_js_runtimes_idle");
  assert(images > 0);
  const client = new ConvexHttpClient(server.url, { logger: false });
  const first = await metricOf(server, "vestibule_js_image_bytes");
  for (const number of [2, 3]) {
    app.write("convex/one.ts", version(number));
    ended(await app.convex(...PUSH), 0);
    const made = await metricOf(server, "vestibule_js_runtimes_made_total");
    assert.equal(await client.query("one:version", {}), number);
    assert.equal(await metricOf(server, "vestibule_js_runtimes_made_total"), made);
    assert.equal(await metricOf(server, "vestibule_js_runtimes_idle"), images);
  }
  // What a counter has counted stays, whatever is pushed.
  const runs = 'vestibule_functions_runs_total{path="one:version",kind="Query"}';
  assert.equal(await metricOf(server, runs), 2);
  // A variable changes what modules see, and so all images.
  ended(await app.convex("env", "set", "COLOUR", "red"), 0);
  assert.equal(await metricOf(server, "vestibule_js_runtimes_idle"), images);
  const last = await metricOf(server, "vestibule_js_image_bytes");
  assert(last < 2 * first, `images came to ${first} bytes, and to ${last} after three pushes`);
});
