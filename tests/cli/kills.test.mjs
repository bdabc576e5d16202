// kill -9 in the middle of pushes and of the building of indexes, under load: the deployment is the old one or the new
// one, its indexes hold exactly what they should, and nothing that was acknowledged is lost. A dozen kills, at moments
// that follow from a seed: `CLI_KILLS_SEED=7` runs those of seed 7 again.

import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { api, numbers, plain, push, pushOf, startServer } from "./harness.mjs";

const KILLS = 12;
const DOCUMENTS = 3_000;
const WRITERS = 4;
/** Whole tables are read here, and the machine may be busy. */
const PATIENT = ["--query-time-max", "30s"];

const STREAM = `
const all = async (source) => {
  const { queryId } = JSON.parse(Convex.syscall("1.0/queryStream", JSON.stringify({ query: { source, operators: [] } })));
  const found = [];
  for (;;) {
    const { value, done } = JSON.parse(await Convex.asyncSyscall("1.0/queryStreamNext", JSON.stringify({ queryId })));
    if (done) return found;
    found.push(value);
  }
};
const index = (name, range) => ({ type: "IndexRange", indexName: "rooms." + name, range, order: null });
`;

/** The app as of push \`version\`: even versions have the index by_n, odd ones by_m, and each says which it is. */
function version(number) {
  const [name, field] = number % 2 === 0 ? ["by_n", "n"] : ["by_m", "m"];
  const module = `${STREAM}
export const version = ${plain("Query", `return "${number}";`)};
export const add = ${plain(
    "Mutation",
    `for (const value of args.rooms) await Convex.asyncSyscall("1.0/insert", JSON.stringify({ table: "rooms", value })); return "null";`,
  )};
export const keys = ${plain("Query", `return JSON.stringify((await all({ type: "FullTableScan", tableName: "rooms", order: null })).map((it) => it.key));`)};
// What a scan finds and what the index finds, value by value: how often they differ.
export const differences = ${plain(
    "Query",
    `const scanned = await all({ type: "FullTableScan", tableName: "rooms", order: null });
     const indexed = await all(index("${name}", []));
     const ids = new Set(scanned.map((it) => it._id));
     let wrong = Math.abs(scanned.length - indexed.length);
     for (const it of indexed) if (!ids.delete(it._id)) wrong += 1;
     for (let at = 1; at < indexed.length; at += 1) if (indexed[at - 1].${field} > indexed[at].${field}) wrong += 1;
     const three = await all(index("${name}", [{ type: "Eq", fieldPath: "${field}", value: 3 }]));
     return String(wrong + Math.abs(three.length - scanned.filter((it) => it.${field} === 3).length));`,
  )};`;
  const number_ = { fieldType: { type: "number" }, optional: false };
  const documentType = {
    type: "object",
    value: { key: { fieldType: { type: "string" }, optional: false }, n: number_, m: number_ },
  };
  const tables = [{ tableName: "rooms", indexes: [{ indexDescriptor: name, fields: [field] }], documentType }];
  return pushOf({ "rooms.js": module }, { tables, schemaValidation: true });
}

async function call(server, name, args = {}) {
  const { status, body } = await api(server, "/api/function", { path: `rooms:${name}`, args, format: "json" });
  assert.deepEqual([status, body.status], [200, "success"], JSON.stringify(body));
  return body.value;
}

const rooms = (prefix, count) => Array.from({ length: count }, (_, at) => ({ key: `${prefix}-${at}`, n: at % 7, m: at % 5 }));

test("a server that is killed in a push has the old deployment or the new one, whole", async (t) => {
  const seed = Number(process.env.CLI_KILLS_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`CLI_KILLS_SEED=${seed}`);
  const random = numbers(seed);
  const data = mkdtempSync(path.join(tmpdir(), "vestibule-cli-kills-"));
  let server = await startServer(t, { data, flags: PATIENT });
  assert.equal((await push(server, version(0))).status, 200);
  const acknowledged = new Set();
  const add = async (server, list) => {
    await call(server, "add", { rooms: list });
    list.forEach(({ key }) => acknowledged.add(key));
  };
  for (let at = 0; at < DOCUMENTS; at += 500) await add(server, rooms(`first-${at}`, 500));
  // How long a push takes here: kills fall into that time and a little beyond.
  const began = performance.now();
  assert.equal((await push(server, version(1))).status, 200);
  const takes = performance.now() - began;
  let live = 1;
  const outcomes = { old: 0, new: 0 };
  for (let kill = 0; kill < KILLS; kill += 1) {
    const target = server;
    let isOver = false;
    const writers = Array.from({ length: WRITERS }, async (_, writer) => {
      for (let round = 0; !isOver; round += 1) {
        // The one that the kill cuts off is not acknowledged.
        await add(target, rooms(`${kill}-${writer}-${round}`, 5)).catch(() => (isOver = true));
      }
    });
    const next = live + 1;
    const pushing = push(target, version(next)).then(({ status }) => status === 200, () => false);
    await sleep(random() * 1.1 * takes);
    await target.kill();
    isOver = true;
    const wasAcknowledged = await pushing;
    await Promise.all(writers);
    server = await startServer(t, { data, flags: PATIENT });
    const found = await call(server, "version");
    assert.ok(found === live || found === next, `kill ${kill}: version ${found}, neither ${live} nor ${next}`);
    if (wasAcknowledged) assert.equal(found, next, `kill ${kill}: an acknowledged push is lost`);
    outcomes[found === next ? "new" : "old"] += 1;
    live = found;
    assert.equal(await call(server, "differences"), 0, `kill ${kill}: the index of version ${live}`);
    const keys = new Set(await call(server, "keys"));
    const lost = [...acknowledged].filter((key) => !keys.has(key));
    assert.deepEqual(lost, [], `kill ${kill}`);
    const { body } = await api(server, "/api/get_indexes", null, { method: "GET" });
    assert.deepEqual(body.indexes.map(({ name, backfill }) => [name, backfill.state]), [[live % 2 === 0 ? "by_n" : "by_m", "done"]]);
  }
  // The preparations of a killed push are in no push's way.
  assert.equal((await push(server, version(live + 1))).status, 200);
  assert.equal(await call(server, "version"), live + 1);
  assert.equal(await call(server, "differences"), 0);
  t.diagnostic(`${outcomes.old} kills left the old deployment, ${outcomes.new} the new one`);
});
