// Live queries, mutations with optimistic updates, and errors that carry data.

import assert from "node:assert/strict";
import { bodies, Chat, connect, failure, person, signIn, test, watch } from "./harness.mjs";

const CHANNEL = "general";

/** Shows a message at once at the top of the list, until the server's own result has it. */
const showAtOnce = (store, { channel, body }) => {
  const shown = store.getQuery("messages:list", { channel });
  if (shown) store.setQuery("messages:list", { channel }, [{ _id: `pending ${body}`, body }, ...shown]);
};

const send = (client, body, channel = CHANNEL) =>
  client.mutation("messages:send", { channel, body }, { optimisticUpdate: showAtOnce });

test("what one client writes moves on the other, and on nobody else's channel", async (t) => {
  const chat = await Chat.start(t);
  const [ada, grace] = [connect(t, chat), connect(t, chat)];
  signIn(ada, chat, person("Ada"));
  signIn(grace, chat, person("Grace"));
  const seen = { ada: watch(ada, "messages:list", { channel: CHANNEL }), grace: watch(grace, "messages:list", { channel: CHANNEL }) };
  const elsewhere = watch(grace, "messages:list", { channel: "random" });
  const ids = [];
  for (const [client, body] of [[ada, "one"], [grace, "two"], [ada, "three"]]) {
    ids.push(await client.mutation("messages:send", { channel: CHANNEL, body }));
    for (const trace of Object.values(seen)) await trace.until(({ value }) => value?.[0]?.body === body);
  }
  const newest = seen.grace.last.value;
  assert.deepEqual(newest.map(({ _id, body, author }) => [_id, body, author.name]), [
    [ids[2], "three", "Ada"],
    [ids[1], "two", "Grace"],
    [ids[0], "one", "Ada"],
  ]);
  assert.deepEqual(seen.ada.last.value, newest);
  assert.deepEqual(elsewhere.values(), [[]]);
  assert.deepEqual([...ada.log.complaints, ...grace.log.complaints], []);
});

test("a rename moves on every client that shows the name", async (t) => {
  const chat = await Chat.start(t);
  const [ada, reader] = [connect(t, chat), connect(t, chat)];
  signIn(ada, chat, person("Ada"));
  const me = watch(ada, "users:me");
  const list = watch(reader, "messages:list", { channel: CHANNEL });
  await ada.mutation("messages:send", { channel: CHANNEL, body: "hello" });
  await ada.mutation("users:rename", { name: "Countess" });
  assert.equal(me.last.value.name, "Countess", "one reads one's own write as soon as it is confirmed");
  await list.until(({ value }) => value[0]?.author.name === "Countess");
});

test("a mutation's promise resolves only when the client's own queries show it", async (t) => {
  const chat = await Chat.start(t);
  const ada = connect(t, chat);
  signIn(ada, chat, person("Ada"));
  const list = watch(ada, "messages:list", { channel: CHANNEL });
  for (let n = 0; n < 40; n++) {
    const id = await ada.mutation("messages:send", { channel: CHANNEL, body: `${n}` });
    assert.equal(list.last.value[0]._id, id);
  }
});

test("an optimistic update shows once and turns into the message in one step", async (t) => {
  const chat = await Chat.start(t);
  const ada = connect(t, chat);
  // A second Authenticate's Transition would make the client replay the update, and report it once more.
  await signIn(ada, chat, person("Ada"), { steady: true }).provisioned();
  const list = watch(ada, "messages:list", { channel: CHANNEL });
  await list.until(({ value }) => value.length === 0);
  const confirmed = [];
  const expected = ["nothing"];
  for (let n = 0; n < 25; n++) {
    const body = `message ${n}`;
    const sent = send(ada, body);
    expected.push(`pending ${body} on ${confirmed.length}`);
    confirmed.unshift(await sent);
    expected.push(`${confirmed[0]} on ${n}`);
  }
  const shown = list.values().map((messages) => (messages.length ? `${messages[0]._id} on ${messages.length - 1}` : "nothing"));
  assert.deepEqual(shown, expected);
  assert.deepEqual(list.last.value.map((message) => message._id), confirmed);
});

test("many optimistic updates in flight, while another writes, never flash or double", async (t) => {
  const chat = await Chat.start(t);
  const [ada, grace] = [connect(t, chat), connect(t, chat)];
  await signIn(ada, chat, person("Ada")).provisioned();
  await signIn(grace, chat, person("Grace")).provisioned();
  const list = watch(ada, "messages:list", { channel: CHANNEL });
  await list.until(({ value }) => value.length === 0);
  const mine = Array.from({ length: 20 }, (_, n) => `mine ${n}`);
  const theirs = Array.from({ length: 20 }, (_, n) => `theirs ${n}`);
  await Promise.all([...mine.map((body) => send(ada, body)), ...theirs.map((body) => send(grace, body))]);
  let shownBefore = 0;
  for (const messages of list.values()) {
    const shown = bodies(messages).filter((body) => mine.includes(body));
    assert.deepEqual(shown, mine.slice(0, shown.length).reverse(), "each once, in the order of sending");
    assert.ok(shown.length >= shownBefore, "what was shown stays");
    shownBefore = shown.length;
  }
  assert.equal(shownBefore, mine.length);
  assert.ok(list.last.value.every((message) => !message._id.startsWith("pending")));
});

test("a failed mutation takes its optimistic update back and carries its data", async (t) => {
  const chat = await Chat.start(t);
  const ada = connect(t, chat);
  await signIn(ada, chat, person("Ada"), { steady: true }).provisioned();
  const list = watch(ada, "messages:list", { channel: CHANNEL });
  await send(ada, "kept");
  const before = list.all.length;
  const data = await failure(send(ada, " "));
  assert.equal(data.code, "InvalidBody");
  assert.deepEqual(list.values().slice(before).map(bodies), [[" ", "kept"], ["kept"]]);
});

test("an application error carries its data over the WebSocket and over HTTP", async (t) => {
  const chat = await Chat.start(t);
  const nobody = connect(t, chat);
  const http = await chat.http();
  const args = { channel: CHANNEL, body: "hello" };
  assert.deepEqual(await failure(nobody.mutation("messages:send", args)), { code: "Unauthenticated" });
  assert.deepEqual(await failure(http.mutation("messages:send", args)), { code: "Unauthenticated" });
});

test("a live query turns into an error with data, and back", async (t) => {
  const chat = await Chat.start(t);
  const [ada, elsewhere] = [connect(t, chat), connect(t, chat)];
  signIn(ada, chat, person("Ada"));
  // A refreshed token would bring the user back, before any test sees that it was gone.
  signIn(elsewhere, chat, person("Ada"), { steady: true });
  const me = watch(elsewhere, "users:me");
  await me.until(({ value }) => value?.name === "Ada");
  await ada.mutation("users:deleteMe", {});
  const { error } = await me.until((result) => result.error);
  assert.deepEqual(error.data, { code: "UserNotFound" });
  signIn(elsewhere, chat, person("Ada"));
  await me.until((result, all) => result.value && all.indexOf(result) > 1, "the next sign-in makes the user again");
});

test("a function that is missing, of another kind, or called with wrong arguments says so", async (t) => {
  const chat = await Chat.start(t);
  const client = connect(t, chat);
  await assert.rejects(client.query("messages:nothing", {}), /Could not find public function for 'messages:nothing'/);
  await assert.rejects(client.mutation("messages:nothing", {}), /Could not find public function for 'messages:nothing'/);
  await assert.rejects(client.action("messages:nothing", {}), /Could not find public function for 'messages:nothing'/);
  await assert.rejects(client.mutation("users:count", {}), /users:count/);
  await assert.rejects(client.query("messages:list", { channel: 7 }), /ArgumentValidationError/);
  await assert.rejects(client.query("messages:list", {}), /ArgumentValidationError/);
  assert.equal(await client.query("users:count", {}), 0, "and the connection goes on");
  assert.equal(client.connectionState().connectionCount, 1);
});
