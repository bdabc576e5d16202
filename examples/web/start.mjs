// Starts everything with one command: the packages, the chat's server and this app. Ctrl-C ends it all.

import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const options = { cwd: here, stdio: "inherit" };

if (!existsSync(new URL("node_modules", import.meta.url))) {
  const { status } = spawnSync("npm", ["ci"], options);
  if (status !== 0) process.exit(status ?? 1);
}

const children = [
  spawn("cargo", ["run", "--release", "-p", "chat"], options),
  spawn("npx", ["vite", "--open"], options),
];
const end = () => children.forEach((child) => child.kill("SIGTERM"));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, end);
for (const child of children) child.once("exit", end);
