// kill -9 among the runs of crons: no moment has two runs, and none of those that were recorded lacks its effect. The
// moments of the kills follow from a seed: `CLI_KILLS_SEED=7` runs those of seed 7 again.

import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { api, numbers, plain, push, pushOf, startServer } from "./harness.mjs";

const KILLS = 6;
/** Five runs of a cron are kept, so what ran is known when it is read more often than that. */
const EVERY_MS = 2_000;
const WAIT_MS = 60_000;

const syscall = (op, args) => `JSON.parse(await Convex.asyncSyscall("1.0/${op}", JSON.stringify(${args})))`;
const done = (kind) => syscall("insert", `{ table: "done", value: { kind: "${kind}" } }`);
const crons = {
  tick: { name: "work:tick", args: [{}], schedule: { type: "interval", seconds: EVERY_MS / 1_000 } },
  act: { name: "work:act", args: [{}], schedule: { type: "interval", seconds: EVERY_MS / 1_000 } },
};
const APP = pushOf({
  "work.js": `
export const tick = ${plain("Mutation", `${done("tick")}; return "null";`)};
export const note = ${plain("Mutation", `${done("act")}; return "null";`)};
export const act = ${plain("Action", `${syscall("actions/mutation", '{ name: "work:note", args: {}, version: "1.49.0", requestId: "" }')}; return "null";`)};`,
  "crons.js": `export default { isCrons: true, export: () => ${JSON.stringify(JSON.stringify(crons))} };`,
});

/** The newest documents of a table, the newest first. */
async function newest(server, table) {
  const args = [{ table, order: "desc", paginationOpts: { numItems: 1_000, cursor: null } }];
  const { body } = await api(server, "/api/query", { path: "_system/cli/tableData:default", args, format: "json" });
  assert.equal(body.status, "success", JSON.stringify(body));
  return body.value.page;
}

/** The runs of each cron, by name and moment. */
class Runs {
  ended = { tick: new Map(), act: new Map() };

  /** Adds the runs that are kept now. */
  async read(server) {
    const seen = new Set();
    for (const { name, ts, status } of await newest(server, "_cron_runs")) {
      assert.ok(!seen.has(`${name} ${ts}`), `${name} ran twice for ${ts}`);
      seen.add(`${name} ${ts}`);
      this.ended[name].set(ts, status.type);
    }
    return this.count("tick") + this.count("act");
  }

  count(name, type) {
    return [...this.ended[name].values()].filter((ended) => !type || ended === type).length;
  }

  /** Reads until there are more than `before` runs of the cron. */
  async more(server, name, before) {
    for (const end = Date.now() + WAIT_MS; this.count(name) <= before; ) {
      assert.ok(Date.now() < end, `no run of ${name} after ${before}`);
      await this.read(server);
      await sleep(20);
    }
  }
}

test("over kill -9 each moment of a cron has one run", async (t) => {
  const seed = Number(process.env.CLI_KILLS_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`CLI_KILLS_SEED=${seed}`);
  const random = numbers(seed);
  const data = mkdtempSync(path.join(tmpdir(), "vestibule-cli-kills-"));
  let server = await startServer(t, { data });
  assert.equal((await push(server, APP)).status, 200);
  const runs = new Runs();
  for (let kill = 0; kill < KILLS; kill += 1) {
    await runs.more(server, "tick", runs.count("tick"));
    // Half of the kills fall just after a run begins, half anywhere before the one after.
    await sleep(random() < 0.5 ? EVERY_MS - 20 + random() * 40 : random() * EVERY_MS);
    await server.kill();
    server = await startServer(t, { data });
    await runs.read(server);
  }
  for (const name of ["tick", "act"]) await runs.more(server, name, runs.count(name));
  // Both tables are read as of one moment: between two readings of the runs that are equal.
  let effects;
  for (let before = await runs.read(server), after; after !== before; before = after) {
    effects = (await newest(server, "done")).map(({ kind }) => kind);
    after = await runs.read(server);
    if (after === before) break;
  }
  const effectsOf = (name) => effects.filter((kind) => kind === name).length;
  t.diagnostic(`${effectsOf("tick")} ticks, ${effectsOf("act")} actions; runs: ${runs.count("tick")}, ${runs.count("act")}`);
  assert.equal(effectsOf("tick"), runs.count("tick", "success"), "a mutation runs exactly once for each moment");
  assert.ok(effectsOf("act") <= runs.count("act"), "an action runs at most once for each moment");
  assert.ok(effectsOf("act") >= runs.count("act", "success"), "an action that succeeded had its effect");
});
