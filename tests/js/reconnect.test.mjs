// Connections that break in the middle of things, and a server that is killed: each mutation happens exactly once.

import assert from "node:assert/strict";
import { bodies, chance, Chat, connect, CUTS, person, Proxy, signIn, test, Trace, watch } from "./harness.mjs";

const CHANNEL = "general";
const send = (client, body) => client.mutation("messages:send", { channel: CHANNEL, body });

/** The acknowledged messages: each message's id by its body. Each must be in the channel once, under that id. */
async function assertExactlyOnce(chat, acknowledged) {
  const found = await chat.messages(CHANNEL);
  assert.equal(found.length, acknowledged.size, "as many messages as were sent");
  assert.deepEqual(new Map(found.map(({ body, _id }) => [body, _id])), acknowledged);
  return found;
}

test("mutations whose connection breaks happen exactly once, in the order of sending", async (t) => {
  const CLIENTS = 10;
  const ROUNDS = 8;
  const chat = await Chat.start(t);
  const { below, pick } = chance(t);
  const acknowledged = new Map();
  const everyCut = new Map(CUTS.map((moment) => [moment, 0]));
  // All courses are drawn first, so that a seed draws the same ones however the clients interleave.
  const courses = Array.from({ length: CLIENTS }, () =>
    Array.from({ length: ROUNDS }, () => ({ moment: pick(CUTS), part: below(1000) / 1000, calls: 1 + below(4) })),
  );
  const run = async (course, who) => {
    const proxy = await Proxy.start(t, chat);
    const client = connect(t, proxy);
    const session = signIn(client, chat, person(`person ${who}`), { steady: true });
    const me = watch(client, "users:me");
    // One page that reaches the end holds all that is written.
    const all = watch(client, "messages:page", { channel: CHANNEL, paginationOpts: { numItems: 1_000, cursor: null } });
    await session.provisioned();
    for (const [round, { moment, part, calls }] of course.entries()) {
      proxy.arm(moment, part);
      everyCut.set(moment, everyCut.get(moment) + 1);
      const sent = Array.from({ length: calls }, (_, call) => `${who}/${round}/${call}`);
      await Promise.all(sent.map(async (body) => acknowledged.set(body, await send(client, body))));
      const shown = bodies(all.last.value.page).filter((body) => body.startsWith(`${who}/${round}/`));
      assert.deepEqual(shown, [...sent].reverse(), "confirmed is visible");
    }
    assert.equal(proxy.cuts, ROUNDS, "each round met its cut");
    assert.deepEqual(new Set(me.values().map((user) => user.name)), new Set([`person ${who}`]), "never a null between");
  };
  await Promise.all(courses.map(run));
  t.diagnostic(JSON.stringify(Object.fromEntries(everyCut)));
  const found = await assertExactlyOnce(chat, acknowledged);
  for (const [who, course] of courses.entries()) {
    const mine = bodies(found).filter((body) => body.startsWith(`${who}/`));
    const sent = course.flatMap(({ calls }, round) => Array.from({ length: calls }, (_, call) => `${who}/${round}/${call}`));
    assert.deepEqual(mine, sent);
  }
});

test("an optimistic update survives a cut without flashing or showing twice", async (t) => {
  const chat = await Chat.start(t);
  const proxy = await Proxy.start(t, chat);
  const client = connect(t, proxy);
  await signIn(client, chat, person("Ada"), { steady: true }).provisioned();
  const list = watch(client, "messages:list", { channel: CHANNEL });
  await list.until(({ value }) => value.length === 0);
  const optimisticUpdate = (store, { channel, body }) => {
    const shown = store.getQuery("messages:list", { channel }) ?? [];
    store.setQuery("messages:list", { channel }, [{ _id: `pending ${body}`, body }, ...shown]);
  };
  const sent = [];
  for (const moment of CUTS) {
    proxy.arm(moment, 0.5);
    sent.unshift(moment);
    await client.mutation("messages:send", { channel: CHANNEL, body: moment }, { optimisticUpdate });
  }
  let before = 0;
  for (const shown of list.values().map(bodies)) {
    assert.deepEqual(shown, sent.slice(sent.length - shown.length), "each once, in the order of sending");
    assert.ok(shown.length >= before, "what is shown stays");
    before = shown.length;
  }
  assert.deepEqual(bodies(list.last.value), sent);
});

test("a client that was away sees what happened meanwhile, and is live again", async (t) => {
  const chat = await Chat.start(t);
  const proxy = await Proxy.start(t, chat);
  const [away, writer] = [connect(t, proxy), connect(t, chat)];
  signIn(away, chat, person("Ada"), { steady: true });
  signIn(writer, chat, person("Grace"));
  const list = watch(away, "messages:list", { channel: CHANNEL });
  const me = watch(away, "users:me");
  await me.until(({ value }) => value?.name === "Ada");
  await list.until(() => true);
  for (let round = 0; round < 3; round++) {
    proxy.cutNow();
    await send(writer, `${round} while away`);
    await list.until(({ value }) => value[0]?.body === `${round} while away`);
    await send(writer, `${round} while back`);
    await list.until(({ value }) => value[0]?.body === `${round} while back`);
  }
  assert.equal(away.connectionState().connectionCount, 4);
  assert.deepEqual(me.values().map((user) => user.name), Array(me.all.length).fill("Ada"));
});

test("a server killed under load keeps every acknowledged mutation once, and clients resume by themselves", async (t) => {
  const CLIENTS = 8;
  const KILLS = 4;
  const chat = await Chat.start(t);
  const { below } = chance(t);
  const kills = Array.from({ length: KILLS }, () => 30 + below(120));
  const acknowledged = new Map();
  const acks = new Trace();
  const onlooker = watch(connect(t, chat), "messages:list", { channel: CHANNEL });
  let isOver = false;
  const write = async (who) => {
    const client = connect(t, chat);
    const session = signIn(client, chat, person(`person ${who}`), { steady: true });
    const me = watch(client, "users:me");
    await session.provisioned();
    for (let n = 0; !isOver; n++) {
      const calls = [`${who}/${n}/a`, `${who}/${n}/b`];
      await Promise.all(calls.map(async (body) => acknowledged.set(body, await send(client, body))));
      acks.push(who);
    }
    assert.equal(client.connectionState().connectionCount, KILLS + 1);
    assert.deepEqual(new Set(me.values().map((user) => user.name)), new Set([`person ${who}`]));
    assert.ok(session.changes.all.every((isAuthenticated) => isAuthenticated));
  };
  const writers = Promise.all(Array.from({ length: CLIENTS }, (_, who) => write(who)));
  // Every writer is back at work before the next kill, so that each kill hits them all in the middle of something.
  const atWork = async (more) => {
    const from = acks.all.length;
    const isBack = (_, all) => all.length >= from + more && new Set(all.slice(from)).size === CLIENTS;
    await acks.until(isBack, `${more} more acknowledgements, from every writer`);
  };
  for (const more of kills) {
    await atWork(more);
    await chat.kill();
    await chat.start();
  }
  await atWork(CLIENTS);
  isOver = true;
  await writers;
  t.diagnostic(`${acknowledged.size} mutations acknowledged`);
  const found = await assertExactlyOnce(chat, acknowledged);
  await onlooker.until(({ value }) => value[0]?._id === found.at(-1)._id, "an idle client resumes too");
});
