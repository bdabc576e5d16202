// A team's task tracker as it leaves Convex: custom functions, relations, pages, files, jobs, webhooks and crons.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { test } from "node:test";
import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { OWN_ISSUER, api, deploy, ended, shared, startServer } from "./harness.mjs";
import { startIssuer } from "./issuer.mjs";

const SECRET = "it's a secret";

/** A server that is notified, and what it was told. */
async function startNotified(t) {
  const told = [];
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    told.push({ authorization: request.headers.authorization, body: JSON.parse(Buffer.concat(chunks)) });
    if (told.length === 1) return response.writeHead(503).end("come back");
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ at: 5 }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, told };
}

const all = shared(async (t) => {
  const issuer = await startIssuer(t);
  const notified = await startNotified(t);
  const server = await startServer(t, OWN_ISSUER);
  const variables = { ISSUER_URL: issuer.url, GITHUB_SECRET: SECRET, NOTIFY_URL: notified.url, NOTIFY_KEY: "k", VESTIBULE_PROVISION_WITH: "users:store" };
  const app = await deploy(t, server, "tracker", variables);
  const token = async (id, name) => await (await fetch(`${issuer.url}/token?${new URLSearchParams({ id, name })}`)).text();
  const signIn = async (id, name) => {
    const client = new ConvexHttpClient(server.url, { logger: false });
    client.setAuth(await token(id, name));
    return client;
  };
  const ada = await signIn("ada", "Ada");
  const projectId = await ada.mutation("projects:create", { name: "Engine", key: "ENG" });
  return { app, server, notified, token, signIn, ada, projectId };
});

const failure = (promise) => promise.then((value) => assert.fail(`gave ${JSON.stringify(value)}`), (error) => error);
const data = async (promise) => (await failure(promise)).data;

/** Asks `look` until its answer passes `is`. */
async function until(look, is) {
  for (;;) {
    const found = await look();
    if (is(found)) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("members are told apart, and refusals carry their data", async () => {
  const { signIn, ada, projectId, server } = all();
  const eve = await signIn("eve", "Eve");
  assert.deepEqual(await data(eve.query("tasks:board", { projectId })), { code: "Forbidden", needs: ["owner", "editor", "viewer"] });
  assert.deepEqual(await data(ada.mutation("projects:create", { name: "Again", key: "ENG" })), { code: "KeyTaken", key: "ENG", by: "Engine" });
  assert.deepEqual(await data(ada.mutation("projects:create", { name: "Again", key: "eng" })), { code: "BadKey", key: "eng" });
  const stranger = new ConvexHttpClient(server.url, { logger: false });
  assert.deepEqual(await data(stranger.query("projects:mine")), { code: "Unauthenticated" });
  assert.match((await failure(ada.query("tasks:board", { projectId: "nonsense" }))).message, /ArgumentValidationError[^]*Path: \.projectId\n\nValue: "nonsense"\nValidator: v\.id\("projects"\)|ArgumentValidationError/);
  const [project] = await ada.query("projects:mine");
  assert.equal(project.owner, "Ada");
  assert.equal(typeof project.nextNumber, "bigint");
});

test("tasks are numbered, moved and shown live", async (t) => {
  const { server, token, ada } = all();
  const projectId = await ada.mutation("projects:create", { name: "Live", key: "LIV" });
  const client = new ConvexClient(server.url, { logger: false });
  t.after(() => client.close());
  client.setAuth(() => token("ada", "Ada"));
  const boards = [];
  let wake;
  client.onUpdate("tasks:board", { projectId }, (board) => {
    boards.push(Object.fromEntries(Object.entries(board).map(([column, tasks]) => [column, tasks.map(({ title }) => title)])));
    wake?.();
  });
  const shown = async (is) => {
    while (!boards.some(is)) await new Promise((resolve) => (wake = resolve));
  };
  const first = await client.mutation("tasks:add", { projectId, title: "one", custom: { points: 3, "is it": true } });
  assert.equal(first.reference, "LIV-1");
  const all2 = await Promise.all(["two", "three", "four"].map((title) => client.mutation("tasks:add", { projectId, title, status: "todo" })));
  assert.deepEqual(all2.map(({ reference }) => reference), ["LIV-2", "LIV-3", "LIV-4"]);
  await shown((board) => board.todo.join() === "two,three,four" && board.backlog.join() === "one");
  await client.mutation("tasks:move", { projectId, taskId: first.id, to: "doing" });
  await shown((board) => board.doing.join() === "one");
  const [moved] = await ada.query("projects:feed", { projectId });
  assert.deepEqual([moved.kind, moved.data, moved.actor], ["moved", { from: "backlog", to: "doing" }, "system"]);
  await client.mutation("tasks:remove", { projectId, taskId: first.id });
  const projects = await ada.query("projects:mine");
  assert.equal(projects.find(({ key }) => key === "LIV").taskCount, 3);
});

test("pages are filtered, and page to their end", async () => {
  const { ada } = all();
  const projectId = await ada.mutation("projects:create", { name: "Pages", key: "PAG" });
  for (let n = 0; n < 11; n++) await ada.mutation("tasks:add", { projectId, title: `t${n}`, labels: n % 2 ? ["odd"] : [], status: n === 4 ? "done" : "todo" });
  const found = [];
  let cursor = null;
  for (let isDone = false; !isDone; ) {
    const page = await ada.query("tasks:list", { projectId, label: "odd", open: true, paginationOpts: { numItems: 3, cursor } });
    found.push(...page.page.map(({ title }) => title));
    ({ isDone, continueCursor: cursor } = page);
  }
  assert.deepEqual(found, ["t9", "t7", "t5", "t3", "t1"]);
});

test("reminders follow each other, and a task that is done has none", async () => {
  const { ada } = all();
  const projectId = await ada.mutation("projects:create", { name: "Jobs", key: "JOB" });
  const later = await ada.mutation("tasks:add", { projectId, title: "later", dueAt: Date.now() + 3_600_000 });
  await ada.mutation("tasks:add", { projectId, title: "now", dueAt: Date.now() - 1 });
  const steps = async () => (await ada.query("projects:feed", { projectId })).filter(({ kind }) => kind === "reminder").map(({ data }) => data.step);
  assert.deepEqual(await until(steps, (steps) => steps.length === 3), [3, 2, 1]);
  await ada.mutation("tasks:move", { projectId, taskId: later.id, to: "done" });
  const board = await ada.query("tasks:board", { projectId });
  assert.deepEqual([board.done[0].dueAt, board.done[0].reminder], [undefined, undefined]);
});

test("files are uploaded, checked, shown and taken away", async () => {
  const { ada, app } = all();
  const send = async (type, body) => {
    const response = await fetch(await ada.mutation("users:generateAvatarUploadUrl"), { method: "POST", headers: { "Content-Type": type }, body });
    return (await response.json()).storageId;
  };
  const refused = await data(ada.mutation("users:setAvatar", { storageId: await send("text/plain", "no picture") }));
  assert.deepEqual(refused, { code: "NotAnImage", contentType: "text/plain", size: 10 });
  await ada.mutation("users:setAvatar", { storageId: await send("image/png", new Uint8Array([1, 2, 3])) });
  const { avatarUrl } = await ada.query("users:me");
  const picture = await fetch(avatarUrl);
  assert.equal(picture.headers.get("content-type"), "image/png");
  assert.deepEqual([...new Uint8Array(await picture.arrayBuffer())], [1, 2, 3]);
  await ada.mutation("users:setAvatar", { storageId: await send("image/gif", "GIF") });
  assert.equal((await fetch(avatarUrl)).status, 404);
  const form = new FormData();
  form.set("title", "Größe");
  form.set("file", new Blob(["a,b\n"], { type: "text/csv" }), "ü.csv");
  const uploaded = await fetch(`${app.siteUrl}/upload`, { method: "POST", body: form });
  const { storageId, name, title } = await uploaded.json();
  assert.deepEqual([name, title, uploaded.headers.get("access-control-allow-origin")], ["ü.csv", "Größe", "*"]);
  const download = await fetch(`${app.siteUrl}/files/${storageId}?download=x.csv`);
  assert.deepEqual([await download.text(), download.headers.get("content-disposition"), download.headers.get("content-type")], ["a,b\n", 'attachment; filename="x.csv"', "text/csv"]);
  const preflight = await fetch(`${app.siteUrl}/upload`, { method: "OPTIONS", headers: { Origin: "https://x.example", "Access-Control-Request-Method": "POST" } });
  assert.equal(preflight.headers.get("access-control-allow-methods"), "POST");
});

test("comments mention people whatever the case, and an export pages through an action", async () => {
  const { ada, app } = all();
  const projectId = await ada.mutation("projects:create", { name: "Talk", key: "TAL" });
  const { _id: userId } = await ada.query("users:me");
  for (const title of ["a", "b", 'c "quoted"']) {
    const { id: taskId } = await ada.mutation("tasks:add", { projectId, title });
    await ada.mutation("tasks:assign", { projectId, taskId, userId });
  }
  const board = await ada.query("tasks:board", { projectId });
  await ada.mutation("tasks:comment", { taskId: board.backlog[0]._id, body: { type: "text", text: "hi @ADA and @nobody" } });
  const [comment] = await ada.query("tasks:comments", { projectId, taskId: board.backlog[0]._id });
  assert.deepEqual(comment, { author: "Ada", at: String(new Date().getUTCFullYear()), text: "hi @ADA and @nobody", mentions: 1 });
  const { storageId, rows } = await ada.action("tasks:exportCsv");
  assert.equal(rows, 3);
  assert.equal(await (await fetch(`${app.siteUrl}/files/${storageId}`)).text(), 'number,title\n1,"a"\n2,"b"\n3,"c \\"quoted\\""');
  assert.deepEqual((await ada.query("users:assigned", {})).map(({ title }) => title), ['c "quoted"', "b", "a"]);
});

test("a signed webhook is taken once and handed on by a job that may fail", async () => {
  const { app, notified, server } = all();
  const body = JSON.stringify({ action: "opened", number: 7, nested: { list: [1, null, true] } });
  const sign = (text) => `sha256=${createHmac("sha256", SECRET).update(text).digest("hex")}`;
  const post = (id, signature) =>
    fetch(`${app.siteUrl}/webhooks/github`, { method: "POST", body, headers: { "Content-Type": "application/json", "X-GitHub-Delivery": id, "X-Hub-Signature-256": signature } });
  assert.equal((await post("d1", sign("other"))).status, 401);
  assert.deepEqual(await (await post("d1", sign(body))).json(), { ok: true, isNew: true });
  await until(() => notified.told.length, (count) => count === 1);
  assert.equal((await post("d1", sign(body))).status, 200);
  assert.equal((await post("d2", sign(body))).status, 202);
  await until(() => notified.told.length, (count) => count === 2);
  assert.equal(notified.told[1].authorization, "Bearer k");
  // The job that failed is in the log, under a request of its own.
  const log = async () => (await api(server, "/api/stream_function_logs?cursor=0", null, { method: "GET" })).body.entries;
  const entries = await until(log, (entries) => entries.some(({ identifier, error }) => identifier === "integrations:hand" && error));
  const failed = entries.find(({ identifier }) => identifier === "integrations:hand");
  assert.match(failed.error, /Notify failed: 503 come back/);
  assert.match(failed.error, /at hand \(\.\.\/convex\/integrations\.ts:\d+:\d+\)|at handler/);
  assert.equal(failed.identityType, "system");
});

test("the command line sees what the app has", async () => {
  const { app } = all();
  const spec = JSON.parse(ended(await app.convex("function-spec")).out);
  const board = spec.functions.find(({ identifier }) => identifier === "tasks.js:board");
  assert.equal(board.returns.type, "record");
  assert.ok(spec.functions.some(({ functionType, path, method }) => functionType === "HttpAction" && method === "GET" && path === "/files/*"));
  assert.match(ended(await app.convex("run", "tasks:overdue", "{}")).out, /^\d+/m);
  assert.match(ended(await app.convex("data", "projects", "--format", "jsonl")).out, /"nextNumber":/);
  const asAda = ended(await app.convex("run", "users:me", "--identity", '{ subject: "ada", name: "Ada" }'));
  assert.match(asAda.all, /^$|null/m);
});
