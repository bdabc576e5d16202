// The helpers that the tests share: a server that takes pushes, a copy of an app, and the official command line in it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import readline from "node:readline";
import { fileURLToPath } from "node:url";
import { ConvexClient } from "convex/browser";

const here = path.dirname(fileURLToPath(import.meta.url));
const cli = path.join(here, "node_modules/convex/bin/main.js");
const oldCli = path.join(here, "node_modules/convex-1-45/bin/main.js");
const TIME_MS = 90_000;
const DEADLINE_MS = 60_000;

/** Starts a server that ends with test `t`, in development unless `dev` is false. */
export async function startServer(t, { dev = true, flags = [], data = mkdtempSync(path.join(tmpdir(), "vestibule-cli-")), port = 0 } = {}) {
  const program = process.env.CLI_SERVER_BIN;
  assert.ok(program, "CLI_SERVER_BIN names no server program");
  const child = spawn(program, ["--listen", `127.0.0.1:${port}`, `--dev=${dev}`, "--data", data, ...flags], {
    env: { VESTIBULE_LOG: "warn", VESTIBULE_NODE: process.execPath, ...process.env },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.stdin.end();
    await ended;
  };
  /** Ends it as a power cut would. */
  const kill = async () => {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  };
  t.after(async () => {
    await stop();
    rmSync(data, { recursive: true, force: true });
  });
  const [line] = await once(readline.createInterface(child.stdout), "line");
  const [url, key] = line.split(" ");
  return { url, key, data, stop, kill };
}

/** Calls the API of `server` as its administrator. */
export async function api(server, route, body, { headers = {}, method = "POST", key = server.key } = {}) {
  const isRaw = typeof body === "string" || body instanceof Uint8Array;
  const response = await fetch(server.url + route, {
    method,
    headers: { "Content-Type": "application/json", ...(key === null ? {} : { Authorization: `Convex ${key}` }), ...headers },
    body: method === "GET" ? undefined : isRaw ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? null : JSON.parse(text) };
}

/** Watches a query. `until(holds)` resolves with the first state from now on, the present one included, that holds. */
export function watch(t, server, path, args = {}, client = new ConvexClient(server.url, { logger: false })) {
  t.after(() => client.close());
  let now;
  const waiting = new Set();
  const see = (state) => {
    now = state;
    for (const look of waiting) look();
  };
  client.onUpdate(path, args, (value) => see({ value }), (error) => see({ error: error.message }));
  const until = (holds) =>
    new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`it stayed ${JSON.stringify(now)}`)), DEADLINE_MS);
      const look = () => {
        if (now === undefined || !holds(now)) return;
        clearTimeout(late);
        waiting.delete(look);
        resolve(now);
      };
      waiting.add(look);
      look();
    });
  return { client, until };
}

/** A token of the development issuer. */
export async function tokenOf(server, name) {
  const response = await fetch(`${server.url}/dev/token`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ subject: name.toLowerCase(), name }),
  });
  return (await response.json()).token;
}

/** The body of a push of `modules`, each a path with its source, and of a schema's JSON. */
export function pushOf(modules, schema, more = {}) {
  const changedModules = Object.entries(modules).map(([path, source]) => ({ path, source, environment: "isolate" }));
  const source = `export default { export: () => ${JSON.stringify(JSON.stringify(schema ?? null))} };`;
  return {
    functions: "convex/",
    dryRun: false,
    appDefinition: {
      definition: null,
      dependencies: [],
      schema: schema ? { path: "schema.js", source, environment: "isolate" } : null,
      changedModules,
      unchangedModuleHashes: [],
      udfServerVersion: "1.49.0",
    },
    componentDefinitions: [],
    nodeDependencies: [],
    ...more,
  };
}

/** A whole push by hand. The first call that is refused ends it, and is what it gives. */
export async function push(server, body) {
  const started = await api(server, "/api/deploy2/start_push", body);
  if (started.status !== 200) return started;
  for (;;) {
    const { schemaChange } = started.body;
    const waited = await api(server, "/api/deploy2/wait_for_schema", { schemaChange, timeoutMs: 10_000, dryRun: false });
    if (waited.status !== 200 || !["inProgress", "complete"].includes(waited.body.type)) return waited;
    if (waited.body.type === "complete") break;
  }
  return await api(server, "/api/deploy2/finish_push", { startPush: started.body, dryRun: false, message: null });
}

/** Numbers that follow from a seed. */
export function numbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A function as the package makes them, in plain JavaScript. */
export const plain = (kind, code, more = "") =>
  `Object.assign(() => {}, { is${kind}: true, isPublic: true, invoke${kind}: async (${kind === "Action" ? "requestId, " : ""}text) => { const [args] = JSON.parse(text); ${code} }, ` +
  `exportArgs: () => '{"type":"any"}', exportReturns: () => "null", ${more} })`;

/**
 * A copy of the app in `source`, with the packages of `packages`, in which the command line runs against `server`. `at` is
 * where in its own folder the copy lies.
 */
export function openApp(t, server, source = path.join(here, "apps/rooms"), packages = path.join(here, "node_modules"), at = ".") {
  const folder = mkdtempSync(path.join(tmpdir(), "vestibule-app-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(source, path.join(folder, at), { recursive: true });
  symlinkSync(packages, path.join(folder, "node_modules"));
  return {
    folder,
    read: (file) => readFileSync(path.join(folder, file), "utf8"),
    write: (file, text) => writeFileSync(path.join(folder, file), text),
    /** Replaces a text that must be there. */
    edit(file, from, to) {
      const text = this.read(file);
      assert.ok(text.includes(from), `${file} does not hold ${from}`);
      this.write(file, text.replace(from, to));
    },
    convex: (...args) => convex(folder, server, args),
    /** The same with the command line of version 1.45. */
    oldConvex: (...args) => convex(folder, server, args, oldCli),
    /** Starts a command and hands its lines to `see`, until that says that it has seen enough. */
    follow: async (args, see) => (await follow(folder, server, args, see)).all,
    /** As `follow`, of a command that ends by itself: its code comes with its lines. */
    followToEnd: (args, see) => follow(folder, server, args, (...seen) => (see(...seen), false)),
    /** Starts a command that is talked to. */
    start: (args, more) => start(folder, server, args, { more, stdin: "pipe" }),
  };
}

/** An app whose files are `files`, in place of those of the copied one. */
export function appOf(t, server, files) {
  const app = openApp(t, server);
  for (const old of ["crons", "greetings", "http", "rooms", "schema"]) rmSync(path.join(app.folder, `convex/${old}.ts`));
  for (const [file, text] of Object.entries(files)) app.write(file, text);
  return app;
}

function start(folder, { url, key }, args, { program = cli, stdin = "ignore", more = {} } = {}) {
  // Without a server the command line looks for one in the app's `.env.local`.
  const named = url && { CONVEX_SELF_HOSTED_URL: url, CONVEX_SELF_HOSTED_ADMIN_KEY: key };
  const env = { ...process.env, CI: "1", ...named, ...more };
  delete env.CONVEX_DEPLOYMENT;
  return spawn(process.execPath, [program, ...args], { cwd: folder, env, stdio: [stdin, "pipe", "pipe"] });
}

async function convex(folder, server, args, program = cli) {
  const child = start(folder, server, args, { program });
  const late = setTimeout(() => child.kill("SIGKILL"), TIME_MS);
  const said = { out: "", err: "" };
  child.stdout.on("data", (text) => (said.out += text));
  child.stderr.on("data", (text) => (said.err += text));
  const [code] = await once(child, "close");
  clearTimeout(late);
  return { code, ...said, all: said.out + said.err };
}

async function follow(folder, server, args, see) {
  const child = start(folder, server, args);
  const late = setTimeout(() => child.kill("SIGKILL"), TIME_MS);
  let all = "";
  let code = null;
  const enough = new Promise((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      readline.createInterface(stream).on("line", (line) => {
        all += `${line}\n`;
        if (see(line, all)) resolve();
      });
    }
    child.once("close", (ended) => {
      code = ended;
      resolve();
    });
  });
  await enough;
  child.kill("SIGKILL");
  clearTimeout(late);
  return { all, code };
}

/** Fails with all that was said when a command did not end as it should. */
export function ended(result, code = 0) {
  assert.equal(result.code, code, result.all);
  return result;
}
