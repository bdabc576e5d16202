// kill -9 in the middle of uploads and imports: afterwards every file's document has its content, contents without a
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
  const { body: { uploadToken } } = await api(server, "/api/import/start_upload", "");
  const part = await api(server, `/api/import/upload_part?uploadToken=${uploadToken}&partNumber=1`, lines);
  const asked = { tableName: "imported", mode: "replace", format: "jsonLines" };
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
