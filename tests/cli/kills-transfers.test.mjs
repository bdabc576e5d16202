// kill -9 in the middle of uploads, imports and exports: afterwards every file's document has its content, contents without a
// document are swept, and an import is there whole or not at all. The moments of the kills follow from a seed:
// `CLI_KILLS_SEED=7` runs those of seed 7 again.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { api, numbers, plain, push, pushOf, startServer } from "./harness.mjs";

const KILLS = 8;
const UPLOADERS = 4;
const BYTES_MAX = 400_000;
const ROWS = 3_000;
/** Whole tables are read here, and the machine may be busy. */
const PATIENT = ["--query-time-max", "30s"];

const syscall = (op, args) => `JSON.parse(await Convex.asyncSyscall("1.0/${op}", JSON.stringify(${args})))`;
const APP = pushOf({
  "files.js": `
const all = async (tableName) => {
  const { queryId } = JSON.parse(Convex.syscall("1.0/queryStream", JSON.stringify({ query: { source: { type: "FullTableScan", tableName, order: null }, operators: [] } })));
  const found = [];
  for (;;) {
    const { value, done } = ${syscall("queryStreamNext", "{ queryId }")};
    if (done) return found;
    found.push(value);
  }
};
export const uploadUrl = ${plain("Mutation", `return JSON.stringify(${syscall("storageGenerateUploadUrl", '{ requestId: "", version: "1.49.0" }')});`)};
export const stored = ${plain(
    "Query",
    `const found = [];
     for (const { _id, sha256, size } of await all("_storage")) found.push({ _id, sha256, size, url: ${syscall("storageGetUrl", '{ requestId: "", version: "1.49.0", storageId: _id }')} });
     return JSON.stringify(found);`,
  )};
export const added = ${plain("Query", 'return JSON.stringify((await all("added")).map(({ batch, row }) => batch + " " + row).join());')};
export const imported = ${plain(
    "Query",
    `const counts = {};
     for (const { version } of await all("imported")) counts[version] = (counts[version] ?? 0) + 1;
     return JSON.stringify(Object.entries(counts));`,
  )};`,
});

async function call(server, name, args = {}) {
  const { status, body } = await api(server, "/api/function", { path: `files:${name}`, args, format: "json" });
  assert.deepEqual([status, body.status], [200, "success"], JSON.stringify(body));
  return body.value;
}

/** Uploads a content that follows from `random`. Gives the file once the server has said that it is stored. */
async function upload(server, random) {
  const content = Buffer.alloc(1 + Math.floor(random() * BYTES_MAX), Math.floor(random() * 256));
  const url = await call(server, "uploadUrl");
  const response = await fetch(url, { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: content });
  assert.equal(response.status, 200);
  const { storageId } = await response.json();
  return { storageId, size: content.length, sha256: createHash("sha256").update(content).digest("base64") };
}

const imports = async (server) => {
  const { body } = await api(server, "/api/query", { path: "_system/cli/queryImport:list", args: [{}], format: "json" });
  return body.value;
};

/** Replaces the table by rows of `version`, as the command line does. */
async function replace(server, version) {
  const lines = Array.from({ length: ROWS }, (_, row) => JSON.stringify({ version: String(version), row })).join("\n");
  await bring(server, { tableName: "imported", mode: "replace", format: "jsonLines" }, lines);
}

/** Imports `content` as the command line does. */
async function bring(server, asked, content) {
  const { body: { uploadToken } } = await api(server, "/api/import/start_upload", "");
  const part = await api(server, `/api/import/upload_part?uploadToken=${uploadToken}&partNumber=1`, content);
  const { body: { importId } } = await api(server, "/api/import/finish_upload", { import: asked, uploadToken, partTokens: [part.body] });
  for (let isAsked = false; ; ) {
    const { body } = await api(server, "/api/query", { path: "_system/cli/queryImport", args: [{ importId }], format: "json" });
    const { state } = body.value.state;
    if (state === "completed") return;
    assert.notEqual(state, "failed", JSON.stringify(body));
    if (state === "waiting_for_confirmation" && !isAsked) {
      isAsked = true;
      assert.equal((await api(server, "/api/perform_import", { importId })).status, 200);
    }
    await sleep(5);
  }
}

/** The newest export once it is over. */
async function lastExport(server) {
  for (;;) {
    const { body } = await api(server, "/api/query", { path: "_system/cli/exports:getLatest", args: [{}], format: "json" });
    if (!["requested", "in_progress"].includes(body.value?.state)) return body.value;
    await sleep(5);
  }
}

async function download(server, id) {
  const response = await fetch(`${server.url}/api/export/zip/${id}`, { headers: { Authorization: `Convex ${server.key}` } });
  assert.equal(response.status, 200, `the export ${id}`);
  return Buffer.from(await response.arrayBuffer());
}

/** Makes an archive with files, and fetches it. */
async function exported(server) {
  const { status } = await api(server, "/api/export/request/zip?includeStorage=true", "");
  assert.equal(status, 200);
  const { _id, state } = await lastExport(server);
  assert.equal(state, "completed");
  return { id: _id, archive: await download(server, _id) };
}

/** Sweeps contents of any age. Gives how many were swept, and how many contents are left. */
async function sweep(data) {
  const child = spawn(process.env.CLI_SERVER_BIN, ["--data", data, "--sweep"], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (text) => (said += text));
  const [code] = await once(child, "close");
  assert.equal(code, 0);
  const left = readdirSync(path.join(data, "files"), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return { swept: Number(said), left: left.length };
}

test("a server that is killed among uploads and imports has each whole or not at all", async (t) => {
  const seed = Number(process.env.CLI_KILLS_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`CLI_KILLS_SEED=${seed}`);
  const random = numbers(seed);
  const data = mkdtempSync(path.join(tmpdir(), "vestibule-cli-kills-"));
  let server = await startServer(t, { data, flags: PATIENT });
  assert.equal((await push(server, APP)).status, 200);
  const began = performance.now();
  await replace(server, 0);
  const takes = performance.now() - began;
  const acknowledged = [];
  let [live, tried, outcomes] = [0, 0, { old: 0, new: 0 }];
  for (let kill = 0; kill < KILLS; kill += 1) {
    const target = server;
    let isOver = false;
    const uploaders = Array.from({ length: UPLOADERS }, async () => {
      // The upload that the kill cuts off is not acknowledged.
      while (!isOver) await upload(target, random).then((file) => acknowledged.push(file), () => (isOver = true));
    });
    const before = live;
    const importing = (async () => {
      while (!isOver) {
        tried += 1;
        const version = tried;
        await replace(target, version);
        live = version;
      }
    })().catch(() => (isOver = true));
    await sleep(random() * 2 * takes);
    await target.kill();
    isOver = true;
    await Promise.all([...uploaders, importing]);
    server = await startServer(t, { data, flags: PATIENT });
    const stored = new Map((await call(server, "stored")).map((file) => [file._id, file]));
    for (const { storageId, sha256, size } of acknowledged) {
      const found = stored.get(storageId);
      assert.deepEqual([found?.sha256, found?.size], [sha256, size], `kill ${kill}: an acknowledged file`);
    }
    for (const { _id, url, sha256, size } of stored.values()) {
      const response = await fetch(url);
      assert.equal(response.status, 200, `kill ${kill}: ${_id} has no content`);
      const content = Buffer.from(await response.arrayBuffer());
      assert.deepEqual([content.length, createHash("sha256").update(content).digest("base64")], [size, sha256], `kill ${kill}: ${_id}`);
    }
    const versions = await call(server, "imported");
    assert.equal(versions.length, 1, `kill ${kill}: a table of several imports: ${JSON.stringify(versions)}`);
    const [[version, rows]] = versions;
    assert.equal(rows, ROWS, `kill ${kill}: version ${version} is not whole`);
    assert.ok(Number(version) >= live && Number(version) <= tried, `kill ${kill}: version ${version} after ${live} was acknowledged`);
    outcomes[Number(version) > before ? "new" : "old"] += 1;
    live = Number(version);
    // What was cut short says so, and holds nothing up.
    while ((await imports(server)).some(({ state }) => state.state === "in_progress")) await sleep(20);
  }
  await replace(server, tried + 1);
  assert.deepEqual(await call(server, "imported"), [[String(tried + 1), ROWS]]);
  const documents = (await call(server, "stored")).length;
  await server.stop();
  const { swept, left } = await sweep(data);
  assert.equal(left, documents, "one content for each document");
  t.diagnostic(`${acknowledged.length} files acknowledged, ${documents} stored, ${swept} contents swept; ${outcomes.old} kills left the old rows, ${outcomes.new} new ones`);
});

const WAIT_MS = 60_000;
const FILES = 10;
/** Rows of one append, and appends between two kills: so many that one query reads those of all kills. */
const APPENDED = 3_900;
const APPENDS_MAX = 2;

/** The files of a deployment by what they hold, each of which must be there. */
async function fileTexts(server) {
  const files = await call(server, "stored");
  return Promise.all(
    files.map(async ({ _id, url }) => {
      const response = await fetch(url);
      assert.equal(response.status, 200, `${_id} has no content`);
      return response.text();
    }),
  );
}

/** An archive of rows and files of `version`. */
async function archiveOf(server, version) {
  await replace(server, version);
  for (let n = 0; n < FILES; n += 1) {
    const body = `${version} ${n} ${"x".repeat(20_000)}`;
    assert.equal((await fetch(await call(server, "uploadUrl"), { method: "POST", headers: { "Content-Type": "text/plain" }, body })).status, 200);
  }
  return (await exported(server)).archive;
}

/** Asserts that rows and files are those of one archive, and gives its version. */
async function wholeArchive(server, where) {
  const versions = await call(server, "imported");
  assert.deepEqual(versions.map(([, rows]) => rows), [ROWS], `${where}: ${JSON.stringify(versions)}`);
  const [[version]] = versions;
  const texts = (await fileTexts(server)).map((text) => text.split(" ").slice(0, 2).join(" ")).sort();
  assert.deepEqual(texts, Array.from({ length: FILES }, (_, n) => `${version} ${n}`), where);
  return version;
}

test("a server that is killed among archives with files, appends and exports keeps what each of them promises", async (t) => {
  const seed = Number(process.env.CLI_KILLS_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`CLI_KILLS_SEED=${seed}`);
  const random = numbers(seed);
  const data = mkdtempSync(path.join(tmpdir(), "vestibule-cli-kills-"));
  const source = await startServer(t, { flags: PATIENT });
  let server = await startServer(t, { data, flags: PATIENT });
  for (const each of [source, server]) assert.equal((await push(each, APP)).status, 200);
  // One archive of each of two servers, so that neither holds a file of the other.
  const archives = { one: await archiveOf(server, "one"), two: await archiveOf(source, "two") };
  const whole = { mode: "replaceAll", format: "zip" };
  const began = performance.now();
  await bring(server, whole, archives.two);
  const takes = performance.now() - began;
  let live = "two";
  const exports = [];
  const counts = { archives: 0, exports: 0, appends: 0, absent: 0 };
  for (let kill = 0; kill < KILLS; kill += 1) {
    const target = server;
    const where = `kill ${kill}`;
    let [isOver, tried] = [false, live];
    const until = async (step) => {
      // The kill fails the step that is under way.
      while (!isOver) await step().catch(() => (isOver = true));
    };
    const batches = { tried: [], acknowledged: [] };
    const working = [];
    if (kill % 2 === 0) {
      working.push(
        until(async () => {
          tried = live === "one" ? "two" : "one";
          await bring(target, whole, archives[tried]);
          live = tried;
          counts.archives += 1;
        }),
        until(async () => {
          exports.push(await exported(target));
          counts.exports += 1;
        }),
      );
    } else {
      working.push(
        until(async () => {
          if (batches.tried.length === APPENDS_MAX) return await sleep(5);
          const batch = `${kill}-${batches.tried.length}`;
          batches.tried.push(batch);
          const lines = Array.from({ length: APPENDED }, (_, row) => JSON.stringify({ batch, row })).join("\n");
          await bring(target, { tableName: "added", mode: "append", format: "jsonLines" }, lines);
          batches.acknowledged.push(batch);
          counts.appends += 1;
        }),
      );
    }
    await sleep(random() * 2 * takes);
    await target.kill();
    isOver = true;
    await Promise.all(working);
    server = await startServer(t, { data, flags: PATIENT });
    const found = await wholeArchive(server, where);
    assert.ok([live, tried].includes(found), `${where}: ${found} after ${live} was acknowledged`);
    live = found;
    // Imports that were cut short say so once what they appended is gone.
    while ((await imports(server)).some(({ state }) => state.state === "in_progress")) await sleep(20);
    const rows = new Map(batches.tried.map((batch) => [batch, new Set()]));
    for (const added of (await call(server, "added")).split(",").filter(Boolean)) {
      const [batch, row] = added.split(" ");
      const seen = rows.get(batch);
      assert.ok(!seen?.has(row), `${where}: row ${row} of ${batch} is there twice`);
      seen?.add(row);
    }
    for (const batch of batches.acknowledged) assert.equal(rows.get(batch).size, APPENDED, `${where}: an acknowledged append`);
    for (const [batch, { size }] of rows) assert.ok([0, APPENDED].includes(size), `${where}: ${size} rows of ${batch}`);
    // Taken back, or never arrived: both look alike from here. Unit tests of the server hold the taking back.
    counts.absent += [...rows.values()].filter(({ size }) => size === 0).length;
    // Exports that were acknowledged can still be fetched.
    await lastExport(server);
    for (const { id, archive } of exports) assert.ok(archive.equals(await download(server, id)), `${where}: the export ${id}`);
  }
  // An archive that was exported among the kills is as good as the first.
  const { archive } = await exported(server);
  const other = live === "one" ? "two" : "one";
  await bring(server, whole, archives[other]);
  assert.equal(await wholeArchive(server, "after all kills"), other);
  await bring(server, whole, archive);
  assert.equal(await wholeArchive(server, "back again"), live);
  const documents = (await call(server, "stored")).length;
  await server.stop();
  // A server removes the contents of files that went a moment ago. Those of archives that were cut short are swept.
  let swept = 0;
  for (const end = Date.now() + WAIT_MS; ; ) {
    const found = await sweep(data);
    swept += found.swept;
    if (found.left === documents) break;
    assert.ok(Date.now() < end, `${found.left} contents of ${documents} files`);
    server = await startServer(t, { data, flags: PATIENT });
    await sleep(1_000);
    await server.stop();
  }
  t.diagnostic(`acknowledged: ${JSON.stringify(counts)}; ${swept} contents swept`);
});
