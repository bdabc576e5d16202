// What the suites about modules with "use node" share: their app on a server, its calls, and its processes.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { ended, openApp, startServer } from "./harness.mjs";

export const APP = fileURLToPath(new URL("apps/node", import.meta.url));
/** Each step of a test has this long; nothing waits for it to pass. */
const STEP_MS = 60_000;

/** A server with the app. */
export const open = async (t, options) => {
  const server = await startServer(t, options);
  const app = openApp(t, server, APP);
  ended(await app.convex("env", "set", "GREETING", "hello"));
  ended(await app.convex("deploy", "--typecheck", "disable"));
  return { server, app };
};

/** Calls an action as an administrator would, by HTTP. */
export async function act(server, name, args = {}, time = STEP_MS) {
  const response = await fetch(`${server.url}/api/action`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Convex ${server.key}` },
    body: JSON.stringify({ path: name, args, format: "json" }),
    signal: AbortSignal.timeout(time),
  });
  return await response.json();
}
export const value = async (server, name, args) => {
  const answer = await act(server, name, args);
  assert.equal(answer.status, "success", JSON.stringify(answer));
  return answer.value;
};
export const failure = async (server, name, args) => {
  const answer = await act(server, name, args);
  assert.equal(answer.status, "error", JSON.stringify(answer));
  return answer;
};

/** What `look` gives, once it gives something. */
export async function until(look) {
  for (const end = Date.now() + STEP_MS; Date.now() < end; await new Promise(setImmediate)) {
    const found = await look();
    if (found) return found;
  }
  throw new Error("it did not come to be");
}

/** The ids of the processes of Node.js that a server has. */
export const processes = ({ data }) => {
  try {
    const names = readdirSync(path.join(data, "node/run"));
    return names.flatMap((name) => (name.startsWith("process-") ? [Number(name.slice("process-".length))] : []));
  } catch {
    return [];
  }
};
export const isAlive = (pid) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** A server of the test's own that answers when it is told to. */
export async function gate(t) {
  const waiting = [];
  const server = http.createServer((_, response) => waiting.push(response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close().closeAllConnections());
  const { port } = server.address();
  return { url: `http://127.0.0.1:${port}/`, waiting, open: (text) => waiting.splice(0).forEach((response) => response.end(text)) };
}

/** Whether so many calls are under way in processes of Node.js. */
export const calls = async (server, count) =>
  (await (await fetch(`${server.url}/metrics`)).text()).includes(`vestibule_node_calls ${count}\n`);
