// Looking into a deployment and configuring it with the official command line.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ended, openApp, startServer } from "./harness.mjs";

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

test("tables and documents are shown", async (t) => {
  const app = await deployed(t);
  assert.equal(ended(await app.convex("data")).out.trim(), "rooms");
  for (const title of ["blue", "green"]) ended(await app.convex("run", "rooms:open", JSON.stringify({ title })));
  const rows = ended(await app.convex("data", "rooms", "--format", "jsonl", "--order", "asc"));
  const titles = rows.out.trim().split("\n").map((line) => JSON.parse(line).title);
  assert.deepEqual(titles, ["blue", "green"]);
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

test("the network test passes", async (t) => {
  const app = openApp(t, await startServer(t));
  assert.match(ended(await app.convex("network-test")).all, /Network test passed/);
});
