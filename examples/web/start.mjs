// Starts everything with one command: the packages, the chat's server and this app. Ctrl-C ends it all.
//
//   node start.mjs                the chat in Rust
//   node start.mjs --typescript   the same chat from convex/, pushed by the official CLI (Node 22)
//   --debug                       builds the server faster, and runs it slower
//   --no-open                     opens no browser
//
// SERVER_BIN names a built `vestibule` to run instead of one that cargo builds.

import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const options = { cwd: here, stdio: "inherit" };
const [isTypescript, isDebug, isQuiet] = ["--typescript", "--debug", "--no-open"].map((flag) => process.argv.includes(flag));
const LISTEN = process.env.VESTIBULE_LISTEN ?? "127.0.0.1:3210";
const SERVER = `http://${LISTEN}`;
const DATA = process.env.VESTIBULE_DATA ?? fileURLToPath(new URL("../../vestibule-data/typescript-chat", import.meta.url));

const children = [];
const end = () => children.forEach((child) => child.kill("SIGTERM"));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, end);
function start(command, args, env = {}) {
  const child = spawn(command, args, { ...options, env: { ...process.env, ...env } });
  child.once("exit", end);
  children.push(child);
}

/** Starts a program of a package. `npx` would not pass on the signal that ends it. */
const startPackage = (program, args, env) => start(process.execPath, [`node_modules/${program}`, ...args], env);

/** Runs a command to its end, and returns what it said. */
function run(command, args, stdio = "inherit") {
  const { status, stdout } = spawnSync(command, args, { ...options, stdio });
  if (status !== 0) process.exit(status ?? 1);
  return stdout?.toString().trim();
}

const cargo = (...args) => [...(isDebug ? [] : ["--release"]), ...args];

/** A server for what is pushed, and the CLI, which pushes on every change. */
async function startTypescript() {
  const built = process.env.SERVER_BIN;
  const program = ["-p", "vestibule-server", "--bin", "vestibule"];
  if (!built) run("cargo", ["build", ...cargo(...program)]);
  const vestibule = (...args) => (built ? [built, args] : ["cargo", ["run", "--quiet", ...cargo(...program), "--", ...args]]);
  start(...vestibule("serve", "--data", DATA, "--listen", LISTEN, "--dev", "--dev-issuer", "--provision-with", "users:ensureUser"));
  for (;;) {
    const version = await fetch(`${SERVER}/version`).catch(() => null);
    if (version?.ok) break;
    if (children[0].exitCode !== null) process.exit(1);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const key = run(...vestibule("admin-key", "--data", DATA), ["ignore", "pipe", "inherit"]);
  const env = { CONVEX_SELF_HOSTED_URL: SERVER, CONVEX_SELF_HOSTED_ADMIN_KEY: key };
  startPackage("convex/bin/main.js", ["dev"], env);
}

if (!existsSync(new URL("node_modules", import.meta.url))) run("npm", ["ci"]);
if (isTypescript) await startTypescript();
else start("cargo", ["run", ...cargo("-p", "chat")]);
startPackage("vite/bin/vite.js", isQuiet ? [] : ["--open"], { VITE_CONVEX_URL: SERVER });
