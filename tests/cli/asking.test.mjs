// Asking a deployment with the official command line: inline queries, logs, and version 1.45 of it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ConvexClient, ConvexHttpClient } from "convex-1-45/browser";
import { version } from "convex-1-45";
import { api, ended, openApp, startServer } from "./harness.mjs";

test("inline queries read, convert values, log, and cannot write", async (t) => {
  const app = openApp(t, await startServer(t));
  ended(await app.convex("deploy"));
  ended(await app.convex("run", "rooms:open", '{"title":"blue"}'));
  ended(await app.convex("run", "rooms:open", '{"title":"green"}'));
  const ask = async (query, code = 0) => ended(await app.convex("run", "--inline-query", query), code);
  assert.equal(JSON.parse((await ask('(await ctx.db.query("rooms").collect()).length')).out), 2);
  const byIndex = 'await ctx.db.query("rooms").withIndex("by_title", (q) => q.gt("title", "c")).order("desc").first()';
  assert.equal(JSON.parse((await ask(byIndex)).out).title, "green");
  const filtered = '(await ctx.db.query("rooms").filter((q) => q.or(q.eq(q.field("title"), "blue"), q.lt(q.field("_creationTime"), 0))).unique()).title';
  assert.equal(JSON.parse((await ask(filtered)).out), "blue");
  const page = '(await ctx.db.query("rooms").paginate({ numItems: 1, cursor: null })).page[0].title';
  assert.equal(JSON.parse((await ask(page)).out), "blue");
  const byId = 'const room = await ctx.db.query("rooms").first(); return (await ctx.db.get(room._id)).title';
  assert.equal(JSON.parse((await ask(byId)).out), "blue");
  const values = "[2n ** 62n, -0, new ArrayBuffer(2), { a: undefined, b: null }]";
  assert.deepEqual(JSON.parse((await ask(values)).out), [
    { $integer: "AAAAAAAAAEA=" }, { $float: "AAAAAAAAAIA=" }, { $bytes: "AAA=" }, { b: null },
  ]);
  assert.equal(JSON.parse((await ask('(await ctx.runQuery("rooms:list")).length')).out), 2);
  assert.match((await ask('const one = 1; console.log("seen", one); return one')).all, /\[LOG\] 'seen' 1/);
  assert.match((await ask("ctx.db.insert", 0)).all, /^$|null/m);
  assert.match((await ask('throw new Error("no way")', 1)).all, /no way/);
  assert.match((await ask("return (", 1)).all, /SyntaxError/);
  const imports = 'import { x } from "zod"; export default query({ handler: async () => x })';
  assert.match((await ask(imports, 1)).all, /Could not resolve/);
  const mutation = 'export const query = 1; export default { isMutation: true } // query(';
  assert.match((await ask(mutation, 1)).all, /registered as a mutation|query/);
});

test("logs tell successes, and whole entries as JSON", async (t) => {
  const app = openApp(t, await startServer(t));
  ended(await app.convex("deploy"));
  let asked = false;
  const watched = await app.follow(["logs", "--success"], (line) => {
    if (!asked) {
      asked = true;
      app.convex("run", "rooms:list");
    }
    return line.includes("Q(rooms:list)");
  });
  assert.match(watched, /Q\(rooms:list\)/);
  ended(await app.convex("run", "rooms:open", '{"title":"blue"}'));
  const entries = [];
  await app.follow(["logs", "--history", "20", "--jsonl"], (line) => {
    if (line.startsWith("{")) entries.push(JSON.parse(line));
    return entries.some(({ identifier }) => identifier === "rooms:open");
  });
  const open = entries.find(({ identifier }) => identifier === "rooms:open");
  assert.equal(open.kind, "Completion");
  assert.equal(open.udfType, "Mutation");
  assert.match(open.requestId, /^[0-9a-f]{16}$/);
  assert.deepEqual(open.logLines[0].messages, ["'opening' 'blue'"]);
});

test("lines of an action and of an HTTP action are in the log, each once and under one request", async (t) => {
  const server = await startServer(t);
  const app = openApp(t, server);
  app.write(
    "convex/slow.ts",
    'import { api } from "./_generated/api";\nimport { action } from "./_generated/server";\n' +
      'export const go = action({ handler: async (ctx): Promise<null> => {\n' +
      '  console.log("first"); await ctx.runQuery(api.rooms.list, {}); console.log("second"); return null; } });\n',
  );
  app.edit("convex/http.ts", 'handler: httpAction(async (_, request) => new', 'handler: httpAction(async (_, request) => { console.warn("hooked"); return new');
  app.edit("convex/http.ts", "Response(await request.text()))", "Response(await request.text()); })");
  ended(await app.convex("deploy", "--typecheck", "disable"));
  ended(await app.convex("run", "slow:go"));
  assert.equal((await fetch(`${server.url}/http/hook`, { method: "POST", body: "x" })).status, 200);
  let entries = [];
  const of = (name) => entries.filter(({ identifier }) => identifier === name);
  // The entry of an HTTP action's end comes after its answer.
  while (of("POST /hook").every(({ kind }) => kind !== "Completion")) {
    entries = (await api(server, "/api/stream_function_logs?cursor=0", null, { method: "GET" })).body.entries;
  }
  for (const [name, expected] of [["slow:go", ["'first'", "'second'"]], ["POST /hook", ["'hooked'"]]]) {
    const told = of(name);
    const lines = told.flatMap(({ logLines }) => logLines.flatMap(({ messages }) => messages));
    assert.deepEqual(lines, expected, name);
    assert.equal(new Set(told.map(({ requestId }) => requestId)).size, 1);
    const last = told.pop();
    assert.equal(last.kind, "Completion");
    if (told.length > 0) assert.deepEqual(last.logLines, []);
    assert.ok(told.every(({ kind }) => kind === "Progress"));
  }
  assert.equal(of("POST /hook").at(-1).success.status, "200");
  assert.equal(of("slow:go")[0].kind, "Progress");
});

test("the command line of version 1.45 pushes and runs", async (t) => {
  const app = openApp(t, await startServer(t));
  const dev = ended(await app.oldConvex("dev", "--once", "--typecheck", "disable"));
  assert.match(dev.all, /Convex functions ready!/);
  ended(await app.oldConvex("run", "rooms:open", '{"title":"blue"}'));
  ended(await app.oldConvex("env", "set", "A", "1"));
  assert.match(ended(await app.oldConvex("deploy", "--typecheck", "disable")).all, /Deployed Convex functions/);
  assert.match(ended(await app.oldConvex("data", "rooms")).out, /blue/);
});

test("the clients of version 1.45 watch, write and ask", async (t) => {
  assert.equal(version, "1.45.0");
  const server = await startServer(t);
  ended(await openApp(t, server).convex("deploy"));
  const client = new ConvexClient(server.url, { logger: false });
  t.after(() => client.close());
  const shown = new Promise((resolve, reject) => {
    client.onUpdate("rooms:list", {}, (rooms) => rooms.length === 1 && resolve(rooms[0].title), reject);
  });
  await client.mutation("rooms:open", { title: "blue" });
  assert.equal(await shown, "blue");
  const http = new ConvexHttpClient(server.url, { logger: false });
  assert.equal(await http.action("greetings:greet", { name: "Ada" }), "Hello, Ada, from nowhere");
  assert.deepEqual((await http.query("rooms:list", {})).map(({ title }) => title), ["blue", "Ada"]);
});
