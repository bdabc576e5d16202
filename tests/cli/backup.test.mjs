// `vestibule backup`, `verify` and `restore` as operators run them, under load, cut short, and on damaged files.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ConvexClient } from "convex/browser";
import { ended, openApp } from "./harness.mjs";
import { directory, serve, vestibule } from "./serve.mjs";

const app = fileURLToPath(new URL("apps/vault", import.meta.url));
const ACCOUNTS = 40;
const BALANCE = 1_000;

/** A call of a function over HTTP. */
async function call(server, kind, name, args = {}) {
  const response = await fetch(`${server.url}/api/${kind}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ path: `vault:${name}`, args, format: "json" }),
  });
  const answer = await response.json();
  assert.equal(answer.status, "success", JSON.stringify(answer));
  return answer.value;
}

/** A server with the app and its accounts. */
async function vault(t, data, options) {
  const server = await serve(t, data, options);
  ended(await openApp(t, server, app).convex("deploy"));
  await call(server, "mutation", "open", { count: ACCOUNTS, balance: BALANCE });
  return server;
}

const beside = (server) => ["--data", server.data, "--server", server.url];
const done = async (...args) => ended(await vestibule(args));
/** What a command says when it refuses. */
async function refused(...args) {
  const { code, out, err } = await vestibule(args);
  assert.equal(code, 1, out + err);
  return out + err;
}

/** Keeps transferring until it is told to stop; gives how many transfers were acknowledged so far. */
function load(server) {
  let acknowledged = 0;
  let stopped = false;
  const teller = async (seed) => {
    for (let n = seed; !stopped; n += 7) {
      const [from, to] = [`account ${n % ACCOUNTS}`, `account ${(n * 3 + 1) % ACCOUNTS}`];
      if (from === to) continue;
      await call(server, "mutation", "transfer", { from, to, amount: 1 + (n % 9) });
      acknowledged += 1;
    }
  };
  const tellers = [1, 2, 3, 4].map(teller);
  return {
    acknowledged: () => acknowledged,
    stop: () => ((stopped = true), Promise.all(tellers)),
    /** Waits until so many more are acknowledged. */
    async more(count) {
      for (const until = acknowledged + count; acknowledged < until; ) await new Promise(setImmediate);
    },
  };
}

async function metric(server, name) {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return Number(text.match(new RegExp(`^vestibule_${name} (\\S+)$`, "m"))[1]);
}

test("a backup under transfers is one committed state, read back, and a restored deployment goes on", async (t) => {
  const [data, place] = [directory(t), directory(t)];
  const server = await vault(t, data);
  const file = await call(server, "action", "keep", { text: "a file" });
  const transfers = load(server);
  const backups = [];
  for (let round = 0; round < 3; round += 1) {
    await transfers.more(50);
    const to = path.join(place, `backup-${round}`);
    const before = transfers.acknowledged();
    const { out, err } = await done("backup", ...beside(server), "--to", to);
    assert.equal(out.trim(), to);
    const [, ts] = err.match(/\((\d+)\), whole, \d+ bytes, read back/);
    backups.push({ to, ts, before });
    assert.equal(await metric(server, "backup_last_ts"), Number(ts));
  }
  await transfers.stop();
  assert.equal(await metric(server, "backup_verified_total"), 3);
  assert.ok((await metric(server, "backup_last_bytes")) > 0);
  assert.equal(server.says("a backup was taken and read back").length, 3);
  for (const [round, { to, ts, before }] of backups.entries()) {
    await done("verify", to);
    const restored = path.join(place, `restored-${round}`);
    const { out, err } = await done("restore", to, "--data", restored);
    assert.equal(out.trim(), restored);
    assert.ok(err.includes(`(${ts})`), err);
    await done("verify", "--data", restored);
    const again = await serve(t, restored);
    const total = await call(again, "query", "total");
    assert.deepEqual([total.accounts, total.balance], [ACCOUNTS, ACCOUNTS * BALANCE], "one committed state");
    assert.ok(total.transfers >= 2 * before, "all that was acknowledged before it began");
    assert.equal(await call(again, "action", "read", { id: file }), "a file");
    await call(again, "mutation", "transfer", { from: "account 1", to: "account 2", amount: 5 });
    assert.equal((await call(again, "query", "total")).transfers, total.transfers + 2);
    // The key of the deployment's secret still opens it.
    assert.equal((await fetch(`${again.url}/api/check_admin_key`, { headers: { Authorization: `Convex ${server.key}` } })).status, 200);
    await again.stop();
  }
});

test("what cannot be backed up, checked or restored is refused with a sentence, and leaves nothing", async (t) => {
  const [data, place] = [directory(t), directory(t)];
  const server = await vault(t, data);
  const to = path.join(place, "backups/today");
  const remote = ["--server", server.url, "--admin-key"];
  assert.match(await refused("backup", ...remote, "vestibule|wrong", "--to", to), /admin key/i);
  const readOnly = (await done("admin-key", "--data", data, "--read-only")).out.trim();
  assert.match(await refused("backup", ...remote, readOnly, "--to", to), /may run queries only/);
  assert.match(await refused("backup", "--data", data, "--server", "http://127.0.0.1:9", "--to", to), /in use by a server, which was not found.*--server/);
  assert.match(await refused("backup", "--data", path.join(place, "none"), "--to", to), /holds no database/);
  writeFileSync(path.join(place, "file"), "");
  assert.match(await refused("backup", ...beside(server), "--to", path.join(place, "file")), /is there and is no backup/);
  assert.match(await refused("backup", ...beside(server), "--to", path.join(place, "file/where")), /file\/where.*Not a directory/);
  assert.match(await refused("verify", "--data", data), /in use by another process.*take a backup of it/s);
  assert.match(await refused("verify", path.join(place, "none")), /holds no database/);
  assert.match(await refused("restore", path.join(place, "none"), "--data", path.join(place, "new")), /is no backup/);
  assert.deepEqual(readdirSync(place).sort(), ["backups", "file"]);
  assert.deepEqual(readdirSync(path.dirname(to)), []);
  await done("backup", ...remote, server.key, "--to", to);
  assert.match(await refused("restore", to, "--data", data), /is not empty/);
  assert.match(await refused("restore", to, "--data", path.join(place, "new"), "--at", "2001-01-01T00:00:00Z"), /begins with commit \d+, at .*after the time/);
  assert.match((await vestibule(["restore", to, "--data", path.join(place, "new"), "--at", "noon"])).err, /2026-11-30T14:05:00Z/);
  const served = await vestibule(["serve", "--data", to, "--listen", "127.0.0.1:0", "--site-listen", "off"]);
  assert.match(served.err, /is a backup; restore it into a new directory/);
  // A backup of another deployment is not added to.
  const other = directory(t);
  await (await serve(t, other)).stop();
  assert.match(await refused("backup", "--data", other, "--to", to), /is a backup of deployment .*, and this is deployment/);
  await server.stop();
  await done("verify", to);
  assert.deepEqual(readdirSync(place).sort(), ["backups", "file"]);
  assert.deepEqual(readdirSync(path.dirname(to)), ["today"]);
});

test("a backup of a stopped directory changes nothing that a start would notice", async (t) => {
  const [data, place] = [directory(t), directory(t)];
  const server = await vault(t, data);
  await call(server, "mutation", "note", { text: "kept" });
  await server.stop();
  const to = path.join(place, "backup");
  await done("backup", "--data", data, "--to", to);
  await done("verify", "--data", data);
  await done("restore", to, "--data", path.join(place, "restored"));
  for (const directory of [data, path.join(place, "restored")]) {
    const again = await serve(t, directory);
    assert.deepEqual(await call(again, "query", "notes"), ["kept"]);
    await again.stop();
  }
});

/** Starts a command and kills it once `seen` says that it is in the middle of its work. */
async function killed(args, seen) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("VESTIBULE_")));
  const child = spawn(process.env.VESTIBULE_BIN, args, { stdio: "ignore", env });
  const exit = once(child, "exit");
  while (child.exitCode === null && child.signalCode === null && !seen()) await new Promise(setImmediate);
  child.kill("SIGKILL");
  await exit;
  return child.signalCode === "SIGKILL";
}

test("a backup and a restore that are killed leave nothing that looks good", async (t) => {
  const [data, place] = [directory(t), directory(t)];
  const server = await vault(t, data);
  for (let file = 0; file < 8; file += 1) await call(server, "action", "keep", { text: `${file}`.repeat(1 << 20) });
  const [to, restored] = [path.join(place, "backup"), path.join(place, "restored")];
  const clear = (made) => rmSync(made, { recursive: true, force: true });
  // One that was done before it could be killed is tried again.
  for (const part of ["base-arriving", "secret", "files"]) {
    const arriving = `${to}.arriving`;
    const middle = () => existsSync(path.join(arriving, part));
    clear(arriving);
    while (!(await killed(["backup", ...beside(server), "--to", to], middle)) || existsSync(to)) [to, arriving].forEach(clear);
    assert.match(await refused("verify", arriving), /holds no database/);
    assert.match(await refused("restore", arriving, "--data", restored), /is no backup/);
  }
  // The server lets go of what was cut off, and the next one cleans up.
  for (;;) {
    const { code, err } = await vestibule(["backup", ...beside(server), "--to", to]);
    if (code === 0) break;
    assert.match(err, /is being taken/);
  }
  await done("verify", to);
  for (const part of ["files", "secret", "vestibule.sqlite3"]) {
    const restoring = `${restored}.restoring`;
    const middle = () => existsSync(path.join(restoring, part));
    clear(restoring);
    while (!(await killed(["restore", to, "--data", restored], middle)) || existsSync(restored)) [restored, restoring].forEach(clear);
  }
  await done("restore", to, "--data", restored);
  await done("verify", "--data", restored);
  assert.deepEqual(readdirSync(place).sort(), ["backup", "restored"]);
});

/** The file below `files` of a directory that holds this text. */
function content(data, text = "a file to be damaged") {
  const files = readdirSync(path.join(data, "files"), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => path.join(entry.parentPath, entry.name));
  return paths.find((file) => readFileSync(file, "utf8") === text);
}

function flip(file, at) {
  const bytes = readFileSync(file);
  bytes[at] ^= 1;
  writeFileSync(file, bytes);
}

/** Changes a letter wherever a file holds `text`: some places may be left over from what was moved. */
function flipAll(file, text) {
  const bytes = readFileSync(file);
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) bytes[at] ^= 1;
  writeFileSync(file, bytes);
}

/** Changes a database as no server would. */
function edit(data, sql, ...values) {
  const database = new DatabaseSync(path.join(data, "vestibule.sqlite3"));
  const { changes } = database.prepare(sql).run(...values);
  database.close();
  assert.ok(Number(changes) > 0, `${sql} met nothing`);
}

test("verify finds each kind of damage, and changes nothing", async (t) => {
  const [data, place] = [directory(t), directory(t)];
  const server = await vault(t, data, { flags: ["--log-kept", "1d"] });
  await call(server, "action", "keep", { text: "a file to be damaged" });
  await call(server, "mutation", "note", { text: "a note to be damaged" });
  const to = path.join(place, "backup");
  await done("backup", ...beside(server), "--to", to);
  await call(server, "mutation", "note", { text: "a note in the log" });
  await call(server, "action", "keep", { text: "a file that came with the log" });
  await done("backup", ...beside(server), "--to", to);
  await server.stop();
  await done("verify", "--data", data);
  await done("verify", to);
  const database = "vestibule.sqlite3";
  const holds = (column, text) => `instr(${column}, CAST('${text}' AS BLOB)) > 0`;
  // An entry of an index has no value but its checksum.
  const indexEntry = `SELECT key FROM entries WHERE length(value) = 4 AND ${holds("key", "account 7")}`;
  const document = `SELECT key FROM entries WHERE ${holds("value", "account 7")} AND ${holds("value", "balance")}`;
  /** Each damage, what verify says of it, and whether a backup meets it. */
  const damages = {
    "a document": [(dir) => edit(dir, `UPDATE entries SET value = x'0001020304' WHERE key IN (${document})`), /a stored entry is damaged/, true],
    "an index entry that is gone": [
      (dir) => edit(dir, `DELETE FROM entries WHERE key IN (${indexEntry})`),
      /document .* of table accounts has no entry in index by_name/,
      true,
    ],
    "a document that is gone": [
      (dir) => edit(dir, `DELETE FROM entries WHERE key IN (${document})`),
      /index by_name of table accounts holds an entry of document .*, which is not there/,
      true,
    ],
    "a row of the log": [
      (dir) => edit(dir, "UPDATE log SET body = x'0001020304' WHERE last_ts = (SELECT max(last_ts) FROM log)"),
      /the commit log is damaged at \d+: a row does not match its checksum/,
      false,
    ],
    "a row of the log that is gone": [
      (dir) => edit(dir, "DELETE FROM log WHERE last_ts = (SELECT last_ts FROM log ORDER BY last_ts LIMIT 1 OFFSET 1)"),
      /the row before it is missing/,
      false,
    ],
    "bytes of the file": [(dir) => flipAll(path.join(dir, database), "account 7"), /a stored entry is damaged/, true],
    "a content": [(dir) => flip(content(dir), 3), /does not match its SHA-256/, true],
    "a content's length": [(dir) => writeFileSync(content(dir), "short"), /has 5 bytes instead of 20/, true],
    "a content that is gone": [(dir) => rmSync(content(dir)), /the content of the file .* is missing/, true],
    bookkeeping: [(dir) => edit(dir, "UPDATE meta SET value = x'00' WHERE name = 'folded'"), /bookkeeping value "folded"/, true],
  };
  for (const [name, [damage, says, meets]] of Object.entries(damages)) {
    const copy = path.join(place, `damaged ${name}`);
    cpSync(data, copy, { recursive: true });
    damage(copy);
    const before = readFileSync(path.join(copy, database));
    const said = await refused("verify", "--data", copy);
    assert.match(said, says, name);
    assert.match(said, /problems? (was|were) found/, name);
    assert.ok(before.equals(readFileSync(path.join(copy, database))), `${name}: verify changed the file`);
    if (!meets) continue;
    // What is damaged is not called a good backup either.
    await refused("backup", "--data", copy, "--to", `${copy} backup`);
    assert.ok(!existsSync(`${copy} backup`) && !existsSync(`${copy} backup.arriving`), name);
  }
  const [base] = readdirSync(to).filter((name) => name.startsWith("base-"));
  const [log] = readdirSync(to).filter((name) => name.startsWith("log-"));
  const inBackup = {
    "its base": [(dir) => flip(path.join(dir, base, database), statSync(path.join(dir, base, database)).size - 1), new RegExp(`${base}: it does not match its SHA-256`)],
    "its log": [(dir) => flip(path.join(dir, log), 40), new RegExp(`${log}: `)],
    "its secret": [(dir) => flip(path.join(dir, "secret"), 0), /secret: it does not match/],
    "a content": [(dir) => flip(content(dir), 3), /does not match its SHA-256/],
    "a content of its log": [(dir) => flip(content(dir, "a file that came with the log"), 3), /the content .*: it does not match its SHA-256/],
    "a content of its log that is gone": [(dir) => rmSync(content(dir, "a file that came with the log")), /the content .*: it cannot be read/],
  };
  for (const [name, [damage, says]] of Object.entries(inBackup)) {
    const copy = path.join(place, `damaged ${name}`);
    cpSync(to, copy, { recursive: true });
    damage(copy);
    assert.match(await refused("verify", copy), says, name);
    await refused("restore", copy, "--data", path.join(place, "never"));
    assert.ok(!existsSync(path.join(place, "never")) && !existsSync(path.join(place, "never.restoring")), name);
  }
  // Problems that are not told one by one are counted.
  const copy = path.join(place, "many");
  cpSync(data, copy, { recursive: true });
  edit(copy, "UPDATE entries SET value = x'0001020304' WHERE length(value) > 4");
  assert.match(await refused("verify", "--data", copy, "--problems", "2"), /and \d+ more/);
});

test("backups add to earlier ones by the log, and are restored as of any time between", async (t) => {
  const [data, place] = [directory(t), directory(t)];
  const flags = ["--log-kept", "1d"];
  const server = await vault(t, data, { flags });
  const to = path.join(place, "backup");
  const newest = async () => {
    const { ts } = await (await fetch(`${server.url}/api/query_ts`, { method: "POST" })).json();
    return `${Buffer.from(ts, "base64").readBigUInt64LE()}`;
  };
  const moments = [];
  const step = async (text) => {
    await call(server, "mutation", "note", { text });
    moments.push({ ts: await newest(), notes: await call(server, "query", "notes") });
  };
  const back = async (how) => assert.match((await done("backup", ...beside(server), "--to", to)).err, how);
  const first = await call(server, "action", "keep", { text: "kept in the base" });
  await back(/whole/);
  await step("one");
  const second = await call(server, "action", "keep", { text: "gone before the next backup" });
  await step("two");
  const whenSecond = moments.at(-1).ts;
  await call(server, "mutation", "drop", { id: second });
  await step("three");
  await back(/by the log/);
  await step("four");
  await back(/by the log/);
  await back(/by the log/);
  await done("verify", to);
  assert.equal(readdirSync(to).filter((name) => name.startsWith("base-")).length, 1);
  const at = async (ts) => {
    const restored = path.join(place, `at-${ts}-${readdirSync(place).length}`);
    await done("restore", to, "--data", restored, ...(ts ? ["--at", ts] : []));
    return serve(t, restored, { flags });
  };
  for (const { ts, notes } of moments) {
    const restored = await at(ts);
    assert.deepEqual(await call(restored, "query", "notes"), notes);
    assert.equal(await call(restored, "action", "read", { id: first }), "kept in the base");
    const isThere = ts === whenSecond;
    if (isThere) assert.equal(await call(restored, "action", "read", { id: second }), "gone before the next backup");
    await restored.stop();
  }
  // A deployment that goes on from an earlier time is of another history: its next backup is whole.
  const restored = await at(moments[1].ts);
  await call(restored, "mutation", "note", { text: "elsewhere" });
  assert.match((await done("backup", ...beside(restored), "--to", to)).err, /whole/);
  await restored.stop();
  await done("verify", to);
  const last = await at(null);
  assert.deepEqual(await call(last, "query", "notes"), ["one", "two", "elsewhere"]);
  await last.stop();
  // Without the log of old commits, too.
  await server.stop();
  const without = await serve(t, data);
  const other = path.join(place, "other");
  const take = async () => (await done("backup", ...beside(without), "--to", other)).err;
  assert.match(await take(), /whole/);
  const folded = async () => (await metric(without, "storage_folded_ts")) === (await metric(without, "durable_ts"));
  // The rows of commits are deleted some at a time once they are folded.
  do {
    await call(without, "mutation", "note", { text: "five" });
    while (!(await folded())) await new Promise(setImmediate);
  } while (!/whole/.test(await take()));
  await done("verify", other);
});

test("a client that saw more than was restored comes back, signs in and goes on", async (t) => {
  const [data, place] = [directory(t), directory(t)];
  const options = { flags: ["--dev-issuer", "--provision-with", "vault:ensureUser"] };
  const server = await vault(t, data, options);
  const token = async () => {
    const response = await fetch(`${server.url}/dev/token`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ subject: "ada" }),
    });
    return (await response.json()).token;
  };
  const client = new ConvexClient(server.url);
  t.after(() => client.close());
  client.setAuth(token);
  const seen = { me: [], notes: [] };
  const waiting = new Set();
  const see = (name) => (value) => {
    seen[name].push(value);
    waiting.forEach((look) => look());
  };
  const until = (is) =>
    new Promise((resolve) => {
      const look = () => is() && (waiting.delete(look), resolve());
      waiting.add(look);
      look();
    });
  client.onUpdate("vault:me", {}, see("me"));
  client.onUpdate("vault:notes", {}, see("notes"));
  await until(() => seen.me.at(-1) === "ada");
  await client.mutation("vault:note", { text: "before" });
  const to = path.join(place, "backup");
  await done("backup", ...beside(server), "--to", to);
  await client.mutation("vault:note", { text: "after" });
  await until(() => seen.notes.at(-1)?.includes("after"));
  const restored = path.join(place, "restored");
  await done("restore", to, "--data", restored);
  await server.stop("SIGKILL");
  const again = await serve(t, restored, { ...options, listen: new URL(server.url).host });
  await until(() => JSON.stringify(seen.notes.at(-1)) === '["before"]');
  await client.mutation("vault:note", { text: "on" });
  await until(() => JSON.stringify(seen.notes.at(-1)) === '["before","on"]');
  assert.deepEqual(new Set(seen.me), new Set(["ada"]), "it was never a stranger");
  await again.stop();
});
