// convex-helpers on the database: what its parts promise, in an app that is made of them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ConvexHttpClient } from "convex/browser";
import { deploy, ended, shared, startServer } from "./harness.mjs";

/** An app of its own for each test, on a server of all. */
const all = shared(async (t) => {
  const server = await startServer(t);
  const app = await deploy(t, server, "helpers");
  const client = new ConvexHttpClient(server.url, { logger: false });
  await client.mutation("posts:seed");
  return { app, client };
});

const data = (promise) => promise.then((value) => assert.fail(`gave ${JSON.stringify(value)}`), (error) => error.data ?? error.message);
const firstOnes = (name, count) => Array.from({ length: count }, (_, likes) => `${name} ${likes}`);

test("relationships follow references both ways and through a table between", async () => {
  const { client } = all();
  assert.deepEqual(await client.query("posts:about", { title: "ada 3" }), { author: "ada", tags: ["blue"], siblings: 12, same: true });
  assert.deepEqual((await client.query("posts:about", { title: "grace 10" })).tags, ["red", "blue"]);
  assert.equal(await client.query("posts:about", { title: "nothing" }), null);
});

test("rules for rows hide what they forbid, and refuse to change it", async () => {
  const { client } = all();
  assert.deepEqual(await client.query("posts:visible", { as: "ada" }), [...firstOnes("ada", 12), "grace 10", "grace 11"]);
  assert.match(await data(client.mutation("posts:rename", { as: "ada", from: "grace 10", to: "mine" })), /write access not allowed/);
  assert.equal(await client.mutation("posts:rename", { as: "ada", from: "grace 1", to: "mine" }), false);
  assert.equal(await data(client.query("posts:visible", { as: "eve" })), "nobody is called eve");
  assert.match(await data(client.query("posts:visible", {})), /missing the required field `as`/);
});

test("pages by index keys, several queries in one, and merged streams lose nothing", async () => {
  const { client } = all();
  const found = [];
  for (let startIndexKey, more = true; more; ) {
    const page = await client.query("posts:pages", startIndexKey ? { startIndexKey } : {});
    found.push(...page.titles);
    [startIndexKey, more] = [page.last, page.hasMore];
  }
  const byLikes = Array.from({ length: 12 }, (_, at) => 11 - at).flatMap((likes) => [`grace ${likes}`, `ada ${likes}`]);
  assert.deepEqual(found, byLikes);

  const paged = async (path, args) => {
    const found = [];
    for (let cursor = null, isDone = false; !isDone; ) {
      const page = await client.query(path, { ...args, paginationOpts: { cursor, numItems: 5 } });
      found.push(...page.page);
      ({ continueCursor: cursor, isDone } = page);
    }
    return found;
  };
  assert.deepEqual(await paged("posts:twice", {}), byLikes.map((title) => `ada: ${title}`));
  const odd = (name) => [11, 9, 7, 5, 3, 1].map((likes) => `${name} ${likes}`);
  assert.deepEqual(await paged("posts:merged", { names: ["ada", "grace"] }), [...odd("grace"), ...odd("ada")]);
});

test("sessions keep people apart without a login", async () => {
  const { client } = all();
  await client.mutation("posts:visit", { sessionId: "one", page: "a" });
  await client.mutation("posts:visit", { sessionId: "two", page: "b" });
  await client.mutation("posts:visit", { sessionId: "one", page: "c" });
  assert.deepEqual(await client.query("posts:visits", { sessionId: "one" }), ["a", "c"]);
});

test("zod checks and changes arguments, and its complaints come as data", async () => {
  const { client } = all();
  assert.deepEqual(await client.query("posts:search", { least: 10 }), ["ada 10", "ada 11"]);
  assert.deepEqual(await client.query("posts:search", { least: 11, title: " GRACE " }), ["grace 11"]);
  assert.deepEqual(await client.mutation("posts:write", { title: "abc", at: 86_400_000 }), { title: "abc", at: 1970 });
  const { ZodError } = await data(client.query("posts:search", { least: -1 }));
  assert.deepEqual(ZodError.map(({ code, path }) => [code, path]), [["too_small", ["least"]]]);
});

test("rate limits count in buckets and windows", async () => {
  const { client } = all();
  const tries = async (args, times) => {
    const found = [];
    for (let time = 0; time < times; time++) found.push(await client.mutation("posts:limited", args));
    return found;
  };
  assert.deepEqual(await tries({ name: "post", key: "k" }, 4), [[true, true], [true, true], [true, false], [false, false]]);
  assert.deepEqual(await tries({ name: "post", key: "other" }, 1), [[true, true]]);
  assert.equal((await data(client.mutation("posts:limited", { name: "post", key: "k", throws: true }))).kind, "RateLimited");
  await client.mutation("posts:unlimited", { key: "k" });
  assert.deepEqual(await tries({ name: "post", key: "k" }, 1), [[true, true]]);
  assert.deepEqual(await tries({ name: "login", key: "k" }, 3), [[true, true], [true, false], [false, false]]);
});

test("the functions for a table's documents are made", async () => {
  const { client } = all();
  const created = await client.mutation("posts:create", { label: "green" });
  assert.equal((await client.query("posts:read", { id: created._id })).label, "green");
  await client.mutation("posts:update", { id: created._id, patch: { label: "dark green" } });
  assert.equal((await client.mutation("posts:destroy", { id: created._id })).label, "dark green");
  assert.equal(await client.query("posts:read", { id: created._id }), null);
});

test("migrations go through a table batch by batch, in scheduled steps", async () => {
  const { app, client } = all();
  ended(await app.convex("run", "posts:teams", '{"fn":"posts:teams"}'));
  const teams = async () => client.query("posts:team");
  for (let found = await teams(); !found.every((team) => team?.startsWith("team ")); ) found = await teams();
  assert.deepEqual(await teams(), ["team ada", "team grace"]);
});

test("routes for other origins answer them, and refuse the rest", async () => {
  const { app } = all();
  const ask = (path, init) => fetch(`${app.siteUrl}${path}`, init);
  const origin = { Origin: "https://app.example" };
  const hello = await ask("/hello", { headers: origin });
  assert.deepEqual([await hello.text(), hello.headers.get("access-control-allow-origin"), hello.headers.get("access-control-allow-credentials")], ["hello", "https://app.example", "true"]);
  const asked = await ask("/things/a", { method: "OPTIONS", headers: { ...origin, "Access-Control-Request-Method": "POST" } });
  assert.deepEqual([asked.status, asked.headers.get("access-control-allow-methods"), asked.headers.get("access-control-allow-headers")], [204, "POST", "X-Own"]);
  const made = await ask("/things/a%20b", { method: "POST", body: '{"x":1}', headers: { ...origin, "Content-Type": "application/json" } });
  assert.deepEqual([made.status, (await made.json()).sent], [201, { x: 1 }]);
});

test("triggers see every write, may refuse it, and write themselves", async () => {
  const { client } = all();
  assert.equal(await client.query("posts:count"), 24);
  await client.mutation("posts:like", { title: "ada 0", by: 2 });
  const { code } = await data(client.mutation("posts:like", { title: "ada 0", by: -3 }));
  assert.equal(code, "TooFewLikes");
  assert.equal((await client.query("posts:search", { least: 2, title: "ada 0" })).length, 1);
  await client.mutation("posts:dismiss", { name: "grace" });
  assert.equal(await client.query("posts:count"), 12);
});
