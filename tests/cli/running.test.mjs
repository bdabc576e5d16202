// Developing with the official command line: watching files, running functions and inline queries.

import assert from "node:assert/strict";
import { test } from "node:test";
import { api, ended, openApp, startServer } from "./harness.mjs";

const BROKEN = 'throw new Error("not today");\nexport const x = 1;\n';

test("dev pushes a file that changes", async (t) => {
  const app = openApp(t, await startServer(t));
  let pushes = 0;
  await app.follow(["dev", "--typecheck", "disable"], (line) => {
    if (!line.includes("Convex functions ready!")) return false;
    pushes += 1;
    if (pushes === 1) app.edit("convex/greetings.ts", "Hello, ", "Good day, ");
    return pushes === 2;
  });
  const greeted = ended(await app.convex("run", "greetings:greet", '{"name":"Ada"}'));
  assert.match(greeted.out, /Good day, Ada/);
});

test("dev goes on after a push that failed, once a variable is set or a file is mended", async (t) => {
  const app = openApp(t, await startServer(t));
  app.write(
    "convex/auth.config.ts",
    'export default { providers: [{ domain: process.env.ISSUER!, applicationID: "convex" }] };\n',
  );
  let asked = false;
  let broken = false;
  await app.follow(["dev", "--typecheck", "disable"], (line) => {
    if (line.includes("Environment variable ISSUER") && !asked) {
      asked = true;
      app.convex("env", "set", "ISSUER", "https://issuer.example");
    }
    if (line.includes("Convex functions ready!") && !broken) {
      broken = true;
      app.write("convex/broken.ts", BROKEN);
      return false;
    }
    if (broken && line.includes("not today")) app.write("convex/broken.ts", "export const x = 1;\n");
    return broken && line.includes("Convex functions ready!");
  });
  assert.ok(asked && broken);
});

test("dev goes on after a schema that did not fit, once the documents fit", async (t) => {
  const app = openApp(t, await startServer(t));
  ended(await app.convex("deploy"));
  ended(await app.convex("run", "rooms:open", '{"title":"blue"}'));
  app.edit("convex/schema.ts", "title: v.string()", "title: v.string(), floor: v.number()");
  let tidied = false;
  const all = await app.follow(["dev", "--typecheck", "disable"], (line) => {
    if (line.includes("does not match the schema") && !tidied) {
      tidied = true;
      app.convex("run", "rooms:tidy");
    }
    return line.includes("Convex functions ready!");
  });
  assert.ok(tidied, all);
});

test("dev ends by itself once a push has succeeded", async (t) => {
  const app = openApp(t, await startServer(t));
  app.write("convex/broken.ts", BROKEN);
  const { all, code } = await app.followToEnd(["dev", "--until-success", "--typecheck", "disable"], (line) => {
    if (line.includes("not today")) app.write("convex/broken.ts", "export const x = 1;\n");
  });
  assert.equal(code, 0, all);
  assert.match(all, /Convex functions ready!/);
});

test("deploy hands its address to the build that it runs", async (t) => {
  const server = await startServer(t);
  const app = openApp(t, server);
  const build = `${process.execPath} -e "console.log('built for', process.env.CONVEX_URL)"`;
  const deployed = ended(await app.convex("deploy", "--cmd", build, "--cmd-url-env-var-name", "CONVEX_URL"));
  assert.ok(deployed.all.includes(`built for ${server.url}`), deployed.all);
  assert.match(deployed.all, /Deployed Convex functions/);
});

test("run can push first, act as somebody, and watch", async (t) => {
  const app = openApp(t, await startServer(t));
  app.write(
    "convex/who.ts",
    'import { query } from "./_generated/server";\n' +
      "export const am = query({ args: {}, handler: async (ctx) => (await ctx.auth.getUserIdentity())?.tokenIdentifier ?? null });\n",
  );
  const pushed = ended(await app.convex("run", "who:am", "{}", "--push", "--typecheck", "disable", "--identity", '{subject: "ada"}'));
  assert.match(pushed.out, /"https:\/\/convex\.test\|ada"/);
  let opened = false;
  const all = await app.follow(["run", "rooms:list", "--watch"], (line) => {
    if (line.trim() === "[]" && !opened) {
      opened = true;
      app.convex("run", "rooms:open", '{"title":"blue"}');
    }
    return line.includes("blue");
  });
  assert.ok(opened, all);
});

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
