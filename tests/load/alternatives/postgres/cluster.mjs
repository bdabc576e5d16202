// A PostgreSQL cluster of our own: in a new directory, behind a Unix socket in it, and gone at the end. Durability is as
// PostgreSQL comes (fsync, synchronous_commit and full_page_writes on).

import { execFileSync, spawn } from "node:child_process";
import { chownSync, existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import pg from "pg";

const ADVICE = "PostgreSQL is missing: run `apt-get install postgresql`, or set POSTGRES_BIN to the folder with initdb and postgres";
const READY_MILLISECONDS_MAX = 60_000;
const STOP_MILLISECONDS_MAX = 10_000;
const PROBE_MILLISECONDS = 50;
const USER = "load";

const SETTINGS = {
  listen_addresses: "",
  shared_buffers: "256MB",
  max_wal_size: "4GB",
  wal_buffers: "16MB",
  jit: "off",
  // Predicate locks of whole pages would make transfers conflict that have no account in common.
  max_pred_locks_per_transaction: 1024,
  max_pred_locks_per_page: 64,
};

/** Starts a cluster for `connections` clients; `host` and `user` are how to reach it, `pids()` its processes. */
export async function startCluster(life, connections) {
  const folder = findPrograms();
  const owner = unprivilegedOwner();
  const directory = life.directory("postgres");
  if (owner.uid !== undefined) chownSync(directory, owner.uid, owner.gid);
  const data = path.join(directory, "data");

  await initialize(life, path.join(folder, "initdb"), data, owner);
  const settings = { ...SETTINGS, unix_socket_directories: directory, max_connections: connections + 10 };
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  // A kill of this process must not leave a PostgreSQL behind.
  const args = ["--pdeathsig", "INT", path.join(folder, "postgres"), "-D", data, ...flags];
  const postmaster = start(life, "setpriv", args, owner);
  await untilReady(life, postmaster, directory);
  return { host: directory, user: USER, pids: () => [postmaster.child.pid, ...childrenOf(postmaster.child.pid)] };
}

function findPrograms() {
  const versions = existsSync("/usr/lib/postgresql") ? readdirSync("/usr/lib/postgresql") : [];
  versions.sort((one, other) => Number(other) - Number(one));
  const debian = versions.map((version) => `/usr/lib/postgresql/${version}/bin`);
  const folders = [process.env.POSTGRES_BIN, ...debian, ...(process.env.PATH ?? "").split(path.delimiter)];
  const found = folders.find((folder) => folder && ["initdb", "postgres"].every((name) => existsSync(path.join(folder, name))));
  if (!found) throw new Error(ADVICE);
  return found;
}

// PostgreSQL refuses to run as root: it runs as the user its package made.
function unprivilegedOwner() {
  if (process.getuid() !== 0) return {};
  const id = (kind) => Number(execFileSync("id", [kind, "postgres"], { encoding: "utf8" }));
  return { uid: id("-u"), gid: id("-g") };
}

async function initialize(life, initdb, data, owner) {
  const args = ["-D", data, "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C"];
  const { ended, said } = start(life, initdb, args, owner);
  if (await ended !== 0) throw new Error(`initdb failed:\n${said()}`);
}

// A child that does not outlive this process; SIGINT is PostgreSQL's fast shutdown.
function start(life, program, args, owner) {
  const child = spawn(program, args, { ...owner, cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const keep = (chunk) => (output = (output + chunk).slice(-4000));
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const ended = new Promise((resolve) => {
    child.on("error", (error) => resolve(keep(error.message)));
    child.on("exit", (code) => resolve(code));
  });
  life.atEnd(async () => {
    child.kill("SIGINT");
    const late = setTimeout(() => child.kill("SIGKILL"), STOP_MILLISECONDS_MAX);
    await ended;
    clearTimeout(late);
  });
  return { child, ended, said: () => output };
}

async function untilReady(life, postmaster, host) {
  const limit = Date.now() + READY_MILLISECONDS_MAX;
  const isGone = () => postmaster.child.exitCode !== null || postmaster.child.pid === undefined;
  for (;;) {
    const client = new pg.Client({ host, user: USER, database: "postgres" });
    client.on("error", () => {});
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      if (life.isEnding || isGone() || Date.now() > limit) throw new Error(`PostgreSQL does not start: ${error.message}\n${postmaster.said()}`);
    }
    await wait(PROBE_MILLISECONDS);
  }
}

function childrenOf(parent) {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
      return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === parent;
    } catch {
      // It ended while we looked.
      return false;
    }
  });
}
