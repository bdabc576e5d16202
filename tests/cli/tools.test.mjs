// Looking into a deployment and configuring it with the official command line.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { test } from "node:test";
import { ConvexHttpClient } from "convex/browser";
import { appOf, ended, openApp, startServer } from "./harness.mjs";

async function deployed(t) {
  const server = await startServer(t);
  const app = openApp(t, server);
  ended(await app.convex("deploy"));
  return app;
}

test("environment variables are set, listed, read by functions and removed", async (t) => {
  const app = await deployed(t);
  ended(await app.convex("env", "set", "PLACE", "the attic"));
  ended(await app.convex("env", "set", "A", ""));
  assert.equal(ended(await app.convex("env", "list", "--include-values")).out.trim(), "A=\nPLACE=the attic");
  assert.equal(ended(await app.convex("env", "get", "PLACE")).out.trim(), "the attic");
  const greeted = ended(await app.convex("run", "greetings:greet", '{"name":"Ada"}'));
  assert.match(greeted.out, /Hello, Ada, from the attic/);
  ended(await app.convex("env", "remove", "PLACE"));
  assert.match(ended(await app.convex("run", "greetings:greet", '{"name":"Bo"}')).out, /from nowhere/);
  assert.match(ended(await app.convex("env", "set", "CONVEX_SITE_URL", "x"), 1).all, /built-in and cannot be overridden/);
});

/** Runs a command that reads `input`. */
async function fed(app, input, ...args) {
  const child = app.start(args);
  let all = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (all += text));
  child.stdin.end(input);
  const [code] = await once(child, "close");
  return { code, all };
}

test("environment variables come from standard input and from files, and are not overwritten by accident", async (t) => {
  const app = await deployed(t);
  const listed = async () => ended(await app.convex("env", "list", "--include-values")).out.trim();
  ended(await fed(app, "one two", "env", "set", "A"));
  assert.match(ended(await fed(app, 'B=1\nC="two words"\n', "env", "set")).all, /set 2 environment variables from stdin \(2 new\)/);
  assert.equal(await listed(), "A=one two\nB=1\nC=two words");
  // Several at once are all set, or none.
  const file = path.join(app.folder, "some.env");
  writeFileSync(file, "B=2\nD=3\n");
  for (const refused of [await fed(app, "B=2\nD=3\n", "env", "set"), await app.convex("env", "set", "--from-file", file)]) {
    assert.match(ended(refused, 1).all, /variable B already exists with different value/);
    assert.equal(await listed(), "A=one two\nB=1\nC=two words");
  }
  ended(await app.convex("env", "set", "--force", "--from-file", file));
  assert.equal(await listed(), "A=one two\nB=2\nC=two words\nD=3");
  ended(await app.convex("env", "set", "A", "three"));
  ended(await app.convex("env", "set", "B", "--from-file", file));
  assert.equal(ended(await app.convex("env", "get", "B")).out.trim(), "B=2\nD=3");
  assert.equal(ended(await app.convex("env", "list", "--names-only")).out.trim(), "A\nB\nC\nD");
  assert.match(ended(await app.convex("env", "get", "NONE")).all, /"NONE" not found/);
  ended(await app.convex("env", "remove", "NONE"));
  assert.match(ended(await fed(app, "E=1\nCONVEX_CLOUD_URL=x\n", "env", "set"), 1).all, /built-in/);
  assert.equal(ended(await app.convex("env", "get", "A")).out.trim(), "three");
  assert.match(ended(await app.convex("env", "get", "E")).all, /"E" not found/);
});

test("the address and the key come from a file", async (t) => {
  const server = await startServer(t);
  const app = openApp(t, {});
  const file = path.join(app.folder, "server.env");
  writeFileSync(file, `CONVEX_SELF_HOSTED_URL=${server.url}\nCONVEX_SELF_HOSTED_ADMIN_KEY=${server.key}\n`);
  ended(await app.convex("deploy", "--env-file", file));
  ended(await app.convex("env", "set", "A", "1", "--env-file", file));
  assert.equal(ended(await app.convex("env", "get", "A", "--env-file", file)).out.trim(), "1");
  assert.match(readFileSync(file, "utf8"), /CONVEX_SELF_HOSTED_URL/);
});

test("tables and documents are shown", async (t) => {
  const app = await deployed(t);
  assert.equal(ended(await app.convex("data")).out.trim(), "rooms");
  for (const title of ["blue", "green"]) ended(await app.convex("run", "rooms:open", JSON.stringify({ title })));
  const rows = ended(await app.convex("data", "rooms", "--format", "jsonl", "--order", "asc"));
  const titles = rows.out.trim().split("\n").map((line) => JSON.parse(line).title);
  assert.deepEqual(titles, ["blue", "green"]);
  const newest = ended(await app.convex("data", "rooms", "--limit", "1", "--format", "json"));
  assert.deepEqual(JSON.parse(newest.out).map(({ title }) => title), ["green"]);
  assert.match(ended(await app.convex("data", "rooms")).out, /"green"[^]*"blue"/);
  for (const table of ["none", "_storage", "_scheduled_functions"]) {
    assert.match(ended(await app.convex("data", table)).all, /There are no documents in this table/);
  }
});

test("the runs of crons are shown", async (t) => {
  const app = openApp(t, await startServer(t));
  app.edit("convex/crons.ts", "crons.daily(", 'crons.interval("tick", { seconds: 1 }, internal.rooms.tidy);\ncrons.daily(');
  ended(await app.convex("deploy", "--typecheck", "disable"));
  const rows = async (table) => {
    const { out } = ended(await app.convex("data", table, "--format", "jsonl"));
    return out.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  };
  // The first run may still be under way.
  let runs;
  do runs = await rows("_cron_runs");
  while (runs.length === 0);
  assert.deepEqual([runs[0].name, runs[0].function, runs[0].status.type], ["tick", "rooms.js:tidy", "success"]);
  const crons = await rows("_crons");
  const now = Date.now();
  const daily = crons.find(({ name }) => name === "tidy up");
  assert.equal(daily.function, "rooms.js:tidy");
  assert.deepEqual(daily.schedule, { type: "daily", hourUTC: 3, minuteUTC: 15 });
  assert.equal(new Date(daily.nextRun).toISOString().slice(11), "03:15:00.000Z");
  assert.ok(daily.nextRun > now && daily.nextRun <= now + 86_400_000);
  const tick = crons.find(({ name }) => name === "tick");
  assert.ok(tick.lastRun >= runs[0].ts, "the last run is told");
  assert.ok(tick.nextRun > tick.lastRun && (tick.nextRun - tick.lastRun) % 1_000 === 0);
});

test("functions, internal ones and errors are run and told", async (t) => {
  const app = await deployed(t);
  const opened = ended(await app.convex("run", "rooms:open", '{"title":"blue"}'));
  assert.match(opened.all, /\[LOG\] 'opening' 'blue'/);
  ended(await app.convex("run", "internal.rooms.tidy"));
  assert.equal(ended(await app.convex("run", "rooms:list")).out.trim(), "[]");
  assert.match(ended(await app.convex("run", "rooms:fail"), 1).all, /Uncaught Error: no room for this/);
  assert.match(ended(await app.convex("run", "rooms:open", "{}"), 1).all, /ArgumentValidationError/);
});

test("the specification of functions holds functions and routes", async (t) => {
  const app = await deployed(t);
  const spec = JSON.parse(ended(await app.convex("function-spec")).out);
  const open = spec.functions.find(({ identifier }) => identifier === "rooms.js:open");
  assert.deepEqual(open.returns, { type: "id", tableName: "rooms" });
  assert.deepEqual(open.visibility, { kind: "public" });
  assert.ok(spec.functions.some(({ functionType, path }) => functionType === "HttpAction" && path === "/files/*"));
});

test("logs show what ran before and what runs now", async (t) => {
  const app = await deployed(t);
  ended(await app.convex("run", "rooms:open", '{"title":"blue"}'));
  ended(await app.convex("run", "rooms:fail"), 1);
  let asked = false;
  const all = await app.follow(["logs", "--history", "2"], (line) => {
    if (line.includes("no room for this") && !asked) {
      asked = true;
      app.convex("run", "rooms:open", '{"title":"green"}');
    }
    return line.includes("'green'");
  });
  assert.match(all, /M\(rooms:open\)\] \[LOG\] 'opening' 'blue'/);
  assert.match(all, /Q\(rooms:fail\)\] Uncaught Error: no room for this/);
});

/** Each metric of the server by its name and labels. */
async function metrics(server) {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
}

test("metrics tell of functions, the engine, reruns, actions and pushes, by the names in the documentation", async (t) => {
  const server = await startServer(t, { flags: ["--actions-at-once", "1"] });
  const app = appOf(t, server, {
    "convex/m.ts": `import { action, mutation, query } from "./_generated/server"; import { v } from "convex/values";
export const read = query({ args: { fails: v.boolean() }, handler: (ctx, { fails }) => { if (fails) throw new Error("no"); return ctx.db.query("n").first(); } });
export const add = mutation({ args: {}, handler: async (ctx) => {
  const found = await ctx.db.query("n").first();
  if (found) await ctx.db.patch(found._id, { n: (found as any).n + 1 });
  else await ctx.db.insert("n", { n: 1 });
} });
export const ask = action({ args: { url: v.string() }, handler: async (_, { url }) => (await fetch(url)).status });
`,
  });
  ended(await app.convex("deploy", "--typecheck", "disable"));
  app.write("convex/broken.ts", 'throw new Error("not today");\nexport const x = 1;\n');
  ended(await app.convex("deploy", "--typecheck", "disable"), 1);
  const client = () => new ConvexHttpClient(server.url, { logger: false });
  await client().query("m:read", { fails: false });
  await assert.rejects(client().query("m:read", { fails: true }));
  let added = 0;
  const reruns = async () => (await metrics(server)).get("vestibule_mutations_beside_reruns_total");
  for (; (await reruns()) === 0; added += 8) await Promise.all(Array.from({ length: 8 }, () => client().mutation("m:add", {})));
  // One action waits for this door, and another for its turn.
  const door = http.createServer();
  t.after(() => door.close());
  door.listen(0, "127.0.0.1");
  await once(door, "listening");
  const asked = [1, 2].map(() => client().action("m:ask", { url: `http://127.0.0.1:${door.address().port}/` }));
  const [, answer] = await once(door, "request");
  let now;
  for (const late = Date.now() + 60_000; now?.get("vestibule_actions_waiting") !== 1; now = await metrics(server)) {
    assert.ok(Date.now() < late, "no action waits");
  }
  assert.equal(now.get("vestibule_actions_running"), 1);
  door.on("request", (_, answer) => answer.end());
  answer.end();
  assert.deepEqual(await Promise.all(asked), [200, 200]);
  // An action gives its place back once it has answered.
  for (const late = Date.now() + 60_000; (now = await metrics(server)).get("vestibule_actions_running") !== 0; ) {
    assert.ok(Date.now() < late, "an action goes on");
  }
  assert.equal(now.get('vestibule_functions_runs_total{path="m:read",kind="Query"}'), 2);
  assert.equal(now.get('vestibule_functions_errors_total{path="m:read",kind="Query"}'), 1);
  assert.ok(now.get('vestibule_functions_runs_total{path="m:add",kind="Mutation"}') >= added);
  assert.ok(now.get("vestibule_mutations_beside_total") >= added);
  assert.ok(now.get("vestibule_js_engine_seconds_total") > 0);
  assert.ok(now.get("vestibule_js_runtimes_made_total") > 0);
  assert.ok(now.get("vestibule_js_image_bytes_max") > 0);
  assert.deepEqual(["live", "refused"].map((outcome) => now.get(`vestibule_pushes_total{outcome="${outcome}"}`)), [1, 1]);
  assert.deepEqual([now.get("vestibule_deployment_functions"), now.get("vestibule_actions_running")], [3, 0]);
  // Each name that the documentation has, and no other of the engine.
  const page = readFileSync(new URL("../../docs/typescript.md", import.meta.url), "utf8");
  const section = page.slice(page.indexOf("### Seeing it work"), page.indexOf("## Signed tokens"));
  const told = new Set([...section.matchAll(/^\| (.*?) \|/gm)].flatMap(([, cell]) => cell.match(/vestibule_\w+/g) ?? []));
  const names = new Set([...now.keys()].map((key) => key.replace(/\{.*/, "")));
  assert.ok(told.size > 15);
  assert.deepEqual([...told].filter((name) => !names.has(name)), []);
  assert.deepEqual([...names].filter((name) => name.startsWith("vestibule_js_") && !told.has(name)), []);
});

test("the network test passes", async (t) => {
  const app = openApp(t, await startServer(t));
  assert.match(ended(await app.convex("network-test")).all, /Network test passed/);
});
