// The tools of `convex mcp`, which wants an account of the cloud: two routes of the server stand in for that.

import assert from "node:assert/strict";
import { test } from "node:test";
import readline from "node:readline";
import { ended, openApp, startServer } from "./harness.mjs";

/** A client of the protocol that `convex mcp start` speaks, one JSON message a line. */
function connect(t, app, server) {
  const more = { CONVEX_OVERRIDE_ACCESS_TOKEN: "any", CONVEX_PROVISION_HOST: server.url };
  const child = app.start(["mcp", "start", "--project-dir", app.folder], more);
  t.after(() => child.kill("SIGKILL"));
  let said = "";
  child.stderr.on("data", (text) => (said += text));
  const waiting = new Map();
  readline.createInterface(child.stdout).on("line", (line) => {
    const message = JSON.parse(line);
    waiting.get(message.id)?.resolve(message);
  });
  child.once("exit", () => waiting.forEach(({ reject }) => reject(new Error(`mcp ended: ${said}`))));
  const send = (message) => child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
  let next = 1;
  const ask = (method, params) => {
    const id = next++;
    const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
    send({ id, method, params });
    return answer;
  };
  const call = async (name, args) => {
    const { result, error } = await ask("tools/call", { name, arguments: args });
    assert.ok(!error && !result.isError, `${name}: ${JSON.stringify(error ?? result)} ${said}`);
    return JSON.parse(result.content[0].text);
  };
  return { ask, send, call };
}

test("every tool that needs no cloud works", async (t) => {
  const server = await startServer(t);
  const app = openApp(t, server);
  ended(await app.convex("deploy"));
  ended(await app.convex("run", "rooms:open", '{"title":"blue"}'));
  const { ask, send, call } = connect(t, app, server);
  const capabilities = { protocolVersion: "2024-11-05", capabilities: {}, clientInfo: { name: "test", version: "1" } };
  await ask("initialize", capabilities);
  send({ method: "notifications/initialized" });
  const { availableDeployments } = await call("status", { projectDir: app.folder });
  const { deploymentSelector } = availableDeployments[0];
  const on = (args) => ({ deploymentSelector, ...args });

  const { tables } = await call("tables", on({}));
  assert.ok("rooms" in tables, JSON.stringify(tables));
  const data = await call("data", on({ tableName: "rooms", order: "asc" }));
  assert.equal(data.page[0].title, "blue");
  const spec = await call("functionSpec", on({}));
  assert.ok(JSON.stringify(spec).includes("rooms.js:open"));
  const ran = await call("run", on({ functionName: "rooms:list", args: "{}" }));
  assert.equal(ran.result[0].title, "blue");
  const query =
    'import { query } from "convex:/_system/repl/wrappers.js";\n' +
    'export default query({ handler: async (ctx) => { console.log("looking"); return (await ctx.db.query("rooms").first()).title; } });';
  const asked = await call("runOneoffQuery", on({ query }));
  assert.equal(asked.result, "blue");
  assert.match(JSON.stringify(asked.logLines), /looking/);
  await call("envSet", on({ name: "A", value: "1" }));
  assert.equal((await call("envGet", on({ name: "A" }))).value, "1");
  assert.ok(JSON.stringify(await call("envList", on({}))).includes('"A"'));
  await call("envRemove", on({ name: "A" }));
  assert.ok(!JSON.stringify(await call("envList", on({}))).includes('"A"'));
  const logs = await call("logs", on({}));
  assert.ok(JSON.stringify(logs).includes("rooms:open"));
});
