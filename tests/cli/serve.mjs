// The program `vestibule`: running it to its end, and as a server.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const TIME_MS = 120_000;

function start(args, { env = {}, stdio }) {
  const program = process.env.VESTIBULE_BIN;
  assert.ok(program, "VESTIBULE_BIN names no program");
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("VESTIBULE_"));
  return spawn(program, args, { env: { ...Object.fromEntries(inherited), ...env }, stdio });
}

/** A directory that ends with test `t`. */
export function directory(t) {
  const made = mkdtempSync(path.join(tmpdir(), "vestibule-serve-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** Runs the program to its end. */
export async function vestibule(args, env) {
  const child = start(args, { env, stdio: ["ignore", "pipe", "pipe"] });
  const late = setTimeout(() => child.kill("SIGKILL"), TIME_MS);
  const said = { out: "", err: "" };
  child.stdout.on("data", (text) => (said.out += text));
  child.stderr.on("data", (text) => (said.err += text));
  const [code] = await once(child, "close");
  clearTimeout(late);
  return { code, ...said, all: said.out + said.err };
}

/**
 * Serves on free ports, with a terminal for its output, until test `t` ends. Gives what the terminal shows before `shown` is in
 * it, in lines.
 */
export async function serveOnTerminal(t, data, shown) {
  const program = process.env.VESTIBULE_BIN;
  const command = `exec ${program} serve --data ${data} --listen 127.0.0.1:0 --site-listen off`;
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("VESTIBULE_"));
  // `script` of util-linux makes the terminal. A process group of its own lets the server end with it.
  const child = spawn("script", ["--quiet", "--return", "--command", command, "/dev/null"], {
    env: Object.fromEntries(inherited),
    stdio: ["ignore", "pipe", "ignore"],
    detached: true,
  });
  const ended = once(child, "exit");
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid, "SIGTERM");
    await ended;
  });
  let out = "";
  await new Promise((resolve, reject) => {
    child.stdout.on("data", (text) => {
      out += text;
      if (out.includes(shown)) resolve();
    });
    ended.then(() => reject(new Error(`it ended: ${out}`)), reject);
  });
  return out.split(/\r?\n/);
}

/** Serves on free ports until test `t` ends, and waits until the log says where. */
export async function serve(t, data, { flags = [], env = {}, listen: at = "127.0.0.1:0", site = "127.0.0.1:0" } = {}) {
  const log = path.join(directory(t), "log");
  const listen = ["--listen", at, "--site-listen", site];
  const child = start(["serve", "--data", data, ...listen, "--log-format", "json", ...flags], {
    env,
    stdio: ["ignore", "pipe", openSync(log, "w")],
  });
  let out = "";
  child.stdout.on("data", (text) => (out += text));
  const ended = once(child, "exit");
  const stop = async (signal = "SIGTERM") => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await ended;
    return child.exitCode;
  };
  t.after(() => stop());
  const lines = () => readFileSync(log, "utf8").split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  const says = (text) => lines().filter(({ fields }) => fields.message?.includes(text));
  for (;;) {
    const [ready] = says("ready");
    if (ready) {
      const { address, site } = ready.fields;
      const { out: key } = await vestibule(["admin-key", "--data", data]);
      const siteUrl = site && `http://${site}`;
      return { url: `http://${address}`, siteUrl, key: key.trim(), data, stop, lines, says, out: () => out };
    }
    if (child.exitCode !== null) throw new Error(`it ended: ${readFileSync(log, "utf8")}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
