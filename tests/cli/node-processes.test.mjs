// The processes that run actions with "use node": a hang, a full memory, a push, a kill of the server leave nothing of them,
// and cost no call but their own.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ended, openApp, startServer } from "./harness.mjs";
import { act, APP, calls, failure, gate, isAlive, open, processes, until, value } from "./node.mjs";

/** The time of one try of a call that may wait in a busy process. */
const TRY_MS = 2_000;

test("an action that spins ends its process alone, and calls beside it go elsewhere", async (t) => {
  const { server } = await open(t, { flags: ["--action-step-max", "20s"] });
  const [busy] = processes(server);
  const spinning = failure(server, "mail:spin");
  await until(() => calls(server, 1));
  // Calls that come before the server notices sit in the busy process, so each is given up after a while.
  await until(async () => (await act(server, "mail:hash", { text: "x" }, TRY_MS).catch(() => null))?.status === "success");
  assert.ok(processes(server).length === 2 && isAlive(busy), "it spins on");
  assert.match((await spinning).errorMessage, /maximum duration of a step that waits for nothing: 20s/);
  await until(() => !isAlive(busy) && processes(server).length === 1);
  assert.equal((await value(server, "mail:hash", { text: "x" })).length, 64);
});

test("an action that fills its process's memory, or whose process is killed, fails alone", async (t) => {
  const { server } = await open(t, { flags: ["--node-memory-max", "64MiB"] });
  assert.match((await failure(server, "mail:fills")).errorMessage, /ran out of memory \(maximum memory usage: 64 MB\)/);
  const { url, waiting, open: answer } = await gate(t);
  const waits = failure(server, "mail:waits", { url });
  await until(() => waiting.length === 1);
  const [pid] = processes(server);
  process.kill(pid, "SIGKILL");
  assert.match((await waits).errorMessage, /The Node\.js process of this action ended before its time \(signal: 9/);
  const next = value(server, "mail:waits", { url });
  await until(() => waiting.length === 2);
  answer("still here");
  assert.equal(await next, "still here");
});

test("a push leaves calls where they are, and ends their process with them", async (t) => {
  const { server, app } = await open(t);
  const { url, waiting, open: answer } = await gate(t);
  const before = value(server, "mail:waits", { url });
  await until(() => waiting.length === 1);
  const [old] = processes(server);
  app.edit("convex/lib.ts", "}!`", "}?`");
  ended(await app.convex("deploy", "--typecheck", "disable"));
  assert.equal(ended(await app.convex("run", "mail:hidden")).out.trim(), '"HIDDEN?"');
  assert.ok(processes(server).includes(old));
  answer("old code");
  assert.equal(await before, "old code");
  await until(() => !isAlive(old) && processes(server).length === 1);
});

test("an action has its time, and what goes on behind it ends with its process", async (t) => {
  const { server } = await open(t, { flags: ["--action-time-max", "2s"] });
  const { url } = await gate(t);
  const [pid] = processes(server);
  assert.match((await failure(server, "mail:waits", { url })).errorMessage, /Function execution timed out \(maximum duration: 2s\)/);
  await until(() => !isAlive(pid));
});

test("a server that is killed leaves no process, busy or idle", async (t) => {
  const { server } = await open(t, { flags: ["--action-step-max", "2s"] });
  const { url, waiting } = await gate(t);
  const lost = [act(server, "mail:waits", { url }).catch(() => null)];
  await until(() => waiting.length === 1);
  const [idle] = processes(server);
  await server.kill();
  await until(() => !isAlive(idle));
  await lost[0];
  const again = await startServer(t, { data: server.data, flags: ["--action-step-max", "2s"] });
  lost.push(act(again, "mail:spin").catch(() => null));
  await openApp(t, again, APP).follow(["logs", "--history", "100"], (line) => line.includes("spinning"));
  const [busy] = processes(again);
  await again.kill();
  // It has no processor time left, for there is nobody to give it more.
  await until(() => !isAlive(busy));
  await lost[1];
});
