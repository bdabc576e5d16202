// Components from npm, unmodified, in one app: each does its work through the tables, jobs and handles of its own.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ConvexHttpClient } from "convex/browser";
import { watch } from "../cli/harness.mjs";
import { api, deploy, shared, startServer } from "./harness.mjs";

const all = shared(async (t) => {
  const server = await startServer(t);
  const app = await deploy(t, server, "components");
  return { server, app, client: new ConvexHttpClient(server.url, { logger: false }) };
});
const of = (name) => `libraries:${name}`;

test("a rate limiter, an aggregate and a sharded counter share one mutation", async () => {
  const { client } = all();
  const score = (name, value) => client.mutation(of("score"), { name, value });
  assert.equal(await score("ada", 3), "scored");
  assert.equal(await score("ada", 9), "scored");
  assert.equal(await score("ada", 27), "too fast");
  assert.equal(await score("bob", 5), "scored");
  assert.deepEqual(await client.query(of("summary")), { count: 3, sum: 17, best: 9, second: 5, counted: 3 });
});

test("a migration walks a table of the app", async (t) => {
  const { client, server } = all();
  const left = watch(t, server, of("unchecked"));
  await left.until(({ value }) => value === 3);
  await client.mutation(of("migrate"));
  await left.until(({ value }) => value === 0);
});

test("an action that fails is tried again until it succeeds", async (t) => {
  const { client, server } = all();
  const id = await client.mutation(of("retry"), { failures: 2 });
  const { until } = watch(t, server, of("retried"), { id });
  const { value } = await until(({ value }) => value?.type === "completed");
  assert.deepEqual(value.result, { type: "success", returnValue: "after 3" });
});

test("two pools of one component run mutations and actions, and say when they are done", async (t) => {
  const { client, server } = all();
  const events = watch(t, server, of("events"));
  await client.mutation(of("enqueue"), { which: "mails", text: "a mail" });
  await client.mutation(of("enqueue"), { which: "pages", text: "a page" });
  await client.mutation(of("enqueueAction"), { text: "it" });
  const expected = ["a mail", "a page", "mails: noted a mail", "pages: noted a page", "action: sent it"];
  await events.until(({ value }) => expected.every((text) => value?.includes(text)));
});

test("a workflow takes its steps in order, once each", async (t) => {
  const { client, server } = all();
  const id = await client.mutation(of("begin"), { name: "it" });
  const { until } = watch(t, server, of("status"), { id });
  const { value } = await until(({ value }) => value !== undefined && value.type !== "inProgress");
  assert.deepEqual([value.type, value.result], ["completed", "sent noted first of it"]);
  const events = await client.query(of("events"));
  assert.equal(events.filter((text) => text === "first of it").length, 1);
  assert.equal(events.filter((text) => text === "sent noted first of it").length, 1);
});

test("crons that the app makes at run time run, until it takes them away", async (t) => {
  const { client, server } = all();
  await client.mutation(of("register"), { name: "often" });
  const { until } = watch(t, server, of("events"));
  await until(({ value }) => value?.includes("cron"));
  await client.mutation(of("unregister"), { name: "often" });
});

test("threads and messages of an agent are kept and listed", async () => {
  const { client } = all();
  const threadId = await client.mutation(of("talk"), { texts: ["hello", "good bye"] });
  const texts = await client.query(of("messages"), { threadId });
  assert.deepEqual([...texts].sort(), ["good bye", "hello"]);
});

test("the components that a component mounts are its own", async () => {
  const { server } = all();
  const listed = await api(server, "/api/function", { path: "_system/frontend/components:list", args: {}, format: "json" });
  const paths = listed.body.value.map(({ path }) => path);
  assert.ok(paths.includes("workflow/workpool"), paths.join());
  assert.ok(["mails", "pages", "scoresByValue"].every((path) => paths.includes(path)), paths.join());
});
