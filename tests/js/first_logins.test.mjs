// Many who sign in for the first time at once. Each one's very first result has its own user.

import assert from "node:assert/strict";
import { BaseConvexClient } from "convex/browser";
import { atEnd, bodies, Chat, connect, Log, person, quietly, signIn, test, Trace, watch, within } from "./harness.mjs";

const LIST = { channel: "general" };

/** Signs in on a client of its own and watches two queries at once. The trace has every result of `users:me`. */
function login(t, chat, who, token, log) {
  const me = new Trace();
  const lists = new Trace();
  const changes = [];
  let watched, listed;
  const client = new BaseConvexClient(
    chat.url,
    (changed) => {
      if (changed.includes(watched)) me.push(client.localQueryResult("users:me", {}));
      if (changed.includes(listed)) lists.push(client.localQueryResult("messages:list", LIST));
    },
    { ...quietly(log), onServerDisconnectError: (message) => log.error(message) },
  );
  atEnd(t, () => void client.close());
  client.setAuth(async () => token, (isAuthenticated) => changes.push(isAuthenticated));
  watched = client.subscribe("users:me", {}).queryToken;
  listed = client.subscribe("messages:list", LIST).queryToken;
  return { who, me, lists, changes, client };
}

test("a thousand first logins at once: no errors, and each first result is one's own user", async (t) => {
  const PEOPLE = 1_000;
  const chat = await Chat.start(t);
  const early = connect(t, chat);
  signIn(early, chat, person("early bird"));
  const count = watch(early, "users:count");
  await early.mutation("messages:send", { ...LIST, body: "welcome" });
  const names = Array.from({ length: PEOPLE }, (_, n) => `person ${n}`);
  const tokens = await Promise.all(names.map((name) => chat.token(person(name))));
  assert.equal(new Set(tokens).size, PEOPLE);
  const log = new Log();
  const logins = names.map((name, n) => login(t, chat, name, tokens[n], log));
  await Promise.all(logins.flatMap(({ me, lists }) => [me.until(() => true), lists.until(() => true)]));
  for (const { who, me, lists, changes, client } of logins) {
    assert.equal(me.all[0]?.name, who);
    assert.deepEqual(new Set(me.all.map((user) => user._id)).size, 1);
    assert.deepEqual(bodies(lists.all[0]), ["welcome"]);
    assert.deepEqual(changes, [true]);
    assert.equal(client.connectionState().connectionCount, 1);
  }
  assert.equal(new Set(logins.map(({ me }) => me.all[0]._id)).size, PEOPLE);
  await count.until(({ value }) => value === PEOPLE + 1);
  assert.equal(await (await chat.http()).query("users:count", {}), PEOPLE + 1);
  assert.deepEqual(log.lines, [], "no client saw an error, a warning or a reconnect");
  // And they are all live: one message reaches a thousand.
  await early.mutation("messages:send", { ...LIST, body: "everybody here?" });
  await within(Promise.all(logins.map(({ lists }) => lists.until((list) => list.length === 2))), "one message reaches everybody");
});

test("one person who signs in on fifty sockets at once is one user", async (t) => {
  const chat = await Chat.start(t);
  const log = new Log();
  const tokens = await Promise.all(Array.from({ length: 50 }, () => chat.token(person("Ada"))));
  const logins = tokens.map((token) => login(t, chat, "Ada", token, log));
  const users = await Promise.all(logins.map(({ me }) => me.until(() => true)));
  assert.equal(new Set(users.map((user) => user._id)).size, 1);
  assert.equal(users[0].name, "Ada");
  assert.equal(await (await chat.http()).query("users:count", {}), 1);
  assert.deepEqual(log.lines, []);
});
