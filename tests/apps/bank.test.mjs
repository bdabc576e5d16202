// Transfers between few accounts, in TypeScript, from many official clients, while the server is killed again and again: no
// money comes or goes, nothing that was acknowledged is lost, and nothing happens twice.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ConvexHttpClient } from "convex/browser";
import { chance, connect, Trace, watch } from "../js/harness.mjs";
import { deploy, startServer } from "./harness.mjs";

const OWNERS = ["ada", "grace", "hedy", "mary"];
const BALANCE = 100;
const CLIENTS = 12;
const KILLS = 4;

test("money stays what it is, whatever is killed", async (t) => {
  let server = await startServer(t);
  await deploy(t, server, "bank");
  await new ConvexHttpClient(server.url).mutation("bank:open", { owners: OWNERS, balance: BALANCE });
  const { below, pick } = chance(t);
  const acknowledged = new Map();
  const refused = new Set();
  const acks = new Trace();
  let isOver = false;

  // An onlooker never sees a moment at which money is missing.
  const onlooker = watch(connect(t, server), "bank:accounts");
  const sums = () => onlooker.values().map((accounts) => accounts.reduce((sum, { balance }) => sum + balance, 0));

  const client = async (who) => {
    const { url } = server;
    const client = connect(t, { url });
    for (let n = 0; !isOver; n++) {
      const calls = ["a", "b", "c"].map((letter) => ({ key: `${who}/${n}/${letter}`, from: pick(OWNERS), to: pick(OWNERS), amount: 1 + below(60) }));
      await Promise.all(
        calls.map(async (call) => {
          try {
            acknowledged.set(call.key, { ...call, left: await client.mutation("bank:transfer", call) });
          } catch (error) {
            assert.equal(error.data?.code, "TooLittle", `${error}`);
            refused.add(call.key);
          }
        }),
      );
      acks.push(who);
    }
  };
  const clients = Promise.all(Array.from({ length: CLIENTS }, (_, who) => client(who)));

  // All are back at work before the next kill, so that each kill hits them in the middle of something.
  const atWork = async (more) => {
    const from = acks.all.length;
    await acks.until((_, all) => all.length >= from + more && new Set(all.slice(from)).size === CLIENTS, `${more} more rounds, of everybody`);
  };
  for (let kill = 0; kill < KILLS; kill++) {
    await atWork(CLIENTS + below(40));
    await server.kill();
    server = await startServer(t, { data: server.data, port: new URL(server.url).port });
  }
  await atWork(CLIENTS);
  isOver = true;
  await clients;

  const http = new ConvexHttpClient(server.url);
  const accounts = await http.query("bank:accounts");
  const transfers = await http.query("bank:transfers");
  const balances = Object.fromEntries(OWNERS.map((owner) => [owner, BALANCE]));
  // In the order in which they happened, none took what was not there, and each gave the answer that its client had.
  for (const { key, from, to, amount } of transfers) {
    assert.ok(balances[from] >= amount, `${key} takes ${amount} of ${balances[from]}`);
    balances[from] -= amount;
    const left = balances[from];
    balances[to] += amount;
    assert.equal(acknowledged.get(key)?.left, left, `what ${key} left`);
  }
  assert.deepEqual(Object.fromEntries(accounts.map(({ owner, balance }) => [owner, balance])), balances);
  assert.deepEqual(transfers.map(({ key }) => key).sort(), [...acknowledged.keys()].sort(), "each happened once");
  assert.ok(refused.size > 0, "some were refused");
  assert.deepEqual(new Set(sums()), new Set([OWNERS.length * BALANCE]));
  t.diagnostic(`${transfers.length} transfers, ${refused.size} refused`);
});
