// The example that starts with one command, and the settings in the files that people copy.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { directory, serve, vestibule } from "./serve.mjs";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const WAIT_MS = 120_000;

/** A copy of the example, where it writes its settings, with what it takes from the folders beside it. */
function example(t) {
  const copy = directory(t);
  for (const part of ["examples/web", "examples/chat/assets", "client/react/src"]) {
    mkdirSync(path.join(copy, path.dirname(part)), { recursive: true });
    const isWritten = (file) => /[/](\.vite|\.env\.local|_generated|dist)$/.test(file) && !file.includes("node_modules/");
    const filter = (file) => !isWritten(file.slice(repository.length - 1)) && !file.endsWith("node_modules/.vite");
    cpSync(path.join(repository, part), path.join(copy, part), { recursive: true, verbatimSymlinks: true, filter });
  }
  return path.join(copy, "examples/web");
}

async function freePort() {
  const server = net.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

test("one command starts the server, pushes the chat in TypeScript and serves its page", async (t) => {
  let child;
  t.after(() => {
    // The whole group, should the command have left one of its programs behind. It writes where the copy is removed.
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {}
  });
  const web = example(t);
  const listen = `127.0.0.1:${await freePort()}`;
  const inherited = Object.entries(process.env).filter(([name]) => !/^(VESTIBULE|CONVEX)_/.test(name));
  const env = {
    ...Object.fromEntries(inherited),
    // The command line runs by the Node.js that runs this test.
    PATH: `${path.dirname(process.execPath)}:${process.env.PATH}`,
    SERVER_BIN: process.env.VESTIBULE_BIN,
    VESTIBULE_LISTEN: listen,
    VESTIBULE_SITE_LISTEN: "off",
    VESTIBULE_DATA: path.join(directory(t), "data"),
    NO_COLOR: "1",
  };
  child = spawn(process.execPath, ["start.mjs", "--typescript", "--no-open"], { cwd: web, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  const ended = once(child, "exit");
  let [said, isOver] = ["", false];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (said += text));
  const until = async (find) => {
    for (const end = Date.now() + WAIT_MS; ; ) {
      const found = await find();
      if (found) return found;
      assert.ok(Date.now() < end && (isOver || child.exitCode === null), said);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const [, page] = await until(() => said.match(/Local:\s+(http:\/\/127\.0\.0\.1:\d+\/)/));
  await until(() => /Convex functions ready!/.test(said));
  const chat = `http://${listen}`;
  const http = new ConvexHttpClient(chat, { logger: false });
  assert.deepEqual(await http.query("messages:list", { channel: "general" }), []);
  // The page and its modules are there, and know the server.
  assert.match(await (await fetch(page)).text(), /<script type="module" src="\/src\/main\.tsx"/);
  for (const module of ["src/main.tsx", "src/chat.tsx"]) assert.equal((await fetch(page + module)).status, 200, module);
  assert.ok((await (await fetch(`${page}src/server.ts`)).text()).includes(chat), "the page has the server's address");
  // A first login ends with a user, as the flags of the command provide.
  const minted = await fetch(`${chat}/dev/token`, { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"subject":"ada","name":"Ada"}' });
  const { token } = await minted.json();
  const client = new ConvexClient(chat, { logger: false });
  t.after(() => client.close());
  client.setAuth(async () => token);
  await client.mutation("messages:send", { channel: "general", body: "hello" });
  assert.deepEqual((await http.query("messages:list", { channel: "general" })).map(({ body, author }) => [body, author.name]), [["hello", "Ada"]]);
  await client.close();
  // Its end is the end of all of it.
  isOver = true;
  child.kill("SIGINT");
  await ended;
  await until(() => fetch(`${chat}/version`).then(() => false, () => true));
  await until(() => fetch(page).then(() => false, () => true));
});

test("the image, the service and the proxies name settings that the server has", async (t) => {
  const { out } = await vestibule(["serve", "--help"]);
  const known = new Set([...out.matchAll(/(?<=^\s+)--[a-z][a-z-]+|VESTIBULE_[A-Z_]+/gm)].map(([name]) => name));
  assert.ok(known.has("--data") && known.has("VESTIBULE_DATA") && known.size > 40, [...known].join(" "));
  const proxies = path.join(repository, "examples/proxy");
  const files = [path.join(repository, "Dockerfile"), ...readdirSync(proxies).map((name) => path.join(proxies, name))];
  const texts = files.map((file) => readFileSync(file, "utf8"));
  const start = readFileSync(path.join(repository, "examples/web/start.mjs"), "utf8").match(/"serve".*\)/)[0];
  const commands = [...texts.flatMap((text) => text.match(/(vestibule serve|: add) --.*$/gm) ?? []), start];
  const flags = commands.flatMap((command) => command.match(/--[a-z][a-z-]+/g));
  assert.ok(flags.length >= 8, commands.join("\n"));
  assert.deepEqual(flags.filter((flag) => !known.has(flag)), []);
  // Variables that are commented out are tried too.
  const variables = texts.flatMap((text) => [...text.matchAll(/\b(VESTIBULE_[A-Z_]+)=(\S+)/g)].map(([, name, value]) => [name, value]));
  const env = Object.fromEntries(variables);
  assert.ok(Object.keys(env).length >= 6, JSON.stringify(env));
  assert.deepEqual(Object.keys(env).filter((name) => !known.has(name) && !known.has(name.replace(/_FILE$/, ""))), []);
  const file = path.join(directory(t), "env");
  writeFileSync(file, "PLACE=attic\n");
  const server = await serve(t, directory(t), { env: { ...env, VESTIBULE_ENV_FILE: file } });
  const answer = await fetch(`${server.url}/api/list_environment_variables`, { headers: { Authorization: `Convex ${server.key}` } });
  assert.deepEqual((await answer.json()).environmentVariables, { PLACE: "attic" });
});
