// First touches as pages make them: with a token that is late, an optimistic update that is early, data that was
// rendered elsewhere, and identities that change while calls are under way.

import assert from "node:assert/strict";
import { Chat, connect, failure, person, signIn, signOut, test, Trace, watch } from "./harness.mjs";

const LIST = { channel: "general" };
const send = (client, body, options) => client.mutation("messages:send", { ...LIST, body }, options);
const names = (trace) => trace.values().map((user) => user?.name ?? null);

/** Shows a message at the head of the list before the server has it. */
const shownAtOnce = (body) => ({
  optimisticUpdate: (store) => {
    const list = store.getQuery("messages:list", LIST);
    if (list) store.setQuery("messages:list", LIST, [{ _id: "early", body, author: { name: "me" } }, ...list]);
  },
});

test("a token that is not there yet leaves the client nobody's, and lets it in once it is", async (t) => {
  const chat = await Chat.start(t);
  const client = connect(t, chat);
  const me = watch(client, "users:me");
  const changes = new Trace();
  client.setAuth(async () => null, (isAuthenticated) => changes.push(isAuthenticated));
  await me.until(({ value }) => value === null);
  await changes.until((isAuthenticated) => !isAuthenticated);
  assert.equal(await client.query("users:count", {}), 0);
  const session = signIn(client, chat, person("Ada"));
  await session.provisioned();
  await me.until(({ value }) => value?.name === "Ada");
  assert.deepEqual(names(me), [null, "Ada"]);
});

test("an optimistic update made before one is let in shows at once and turns into the message", async (t) => {
  const chat = await Chat.start(t);
  const client = connect(t, chat);
  const list = watch(client, "messages:list", LIST);
  await list.until(({ value }) => value.length === 0);
  signIn(client, chat, person("Ada"));
  const sent = send(client, "early", shownAtOnce("early"));
  await sent;
  await list.until(({ value }) => value[0]?.author.name === "Ada");
  const lengths = list.values().map((messages) => messages.length);
  assert.deepEqual(lengths, [...lengths].sort(), "it never goes away and never doubles");
  assert.ok(list.values().some(([first]) => first?._id === "early"), "it was shown before the server had it");
});

test("an optimistic update of one who is refused is taken back", async (t) => {
  const chat = await Chat.start(t, { invited: "example.com" });
  const client = connect(t, chat);
  const list = watch(client, "messages:list", LIST);
  await list.until(({ value }) => value.length === 0);
  signIn(client, chat, person("Mallory", { email: "mallory@elsewhere.test" }));
  const data = await failure(send(client, "early", shownAtOnce("early")));
  assert.equal(data.code, "NotProvisioned");
  await list.until(({ value }, all) => value.length === 0 && all.some(({ value }) => value[0]?._id === "early"));
  assert.deepEqual(await chat.messages("general"), []);
});

test("what was rendered elsewhere is there again at the first result on the page", async (t) => {
  const chat = await Chat.start(t);
  // A server renders for a brand-new user, with several fetches at once.
  const rendering = await chat.http(person("Ada"));
  const [me, list] = await Promise.all([rendering.query("users:me", {}), rendering.query("messages:list", LIST)]);
  assert.deepEqual([me.name, list], ["Ada", []]);
  const page = connect(t, chat);
  const live = watch(page, "users:me");
  await signIn(page, chat, person("Ada")).provisioned();
  await live.until(({ value }) => value?._id === me._id);
  assert.equal(live.all.filter(({ error }) => error).length, 0);
  assert.equal(await rendering.query("users:count", {}), 1);
});

test("a call that was sent as one person is never made as the next", async (t) => {
  const chat = await Chat.start(t);
  for (let n = 0; n < 10; n++) {
    const client = connect(t, chat);
    const first = signIn(client, chat, person(`first ${n}`), { steady: true });
    await first.provisioned();
    // On their way, and most of them unanswered, when the second comes.
    const sent = Array.from({ length: 5 }, (_, call) => send(client, `first ${n}: ${call}`).catch((error) => error.data));
    for (let turn = 0; turn <= n % 4; turn++) await new Promise(setImmediate);
    first.ended = true;
    await signIn(client, chat, person(`second ${n}`), { steady: true }).provisioned();
    await send(client, `second ${n}`);
    const ended = await Promise.all(sent);
    const refused = ended.filter((value) => typeof value !== "string");
    assert.ok(refused.every((data) => data.code === "NotProvisioned" && data.reason === "identity_changed"), JSON.stringify(refused));
  }
  for (const { body, author } of await chat.messages("general")) {
    assert.equal(author.name, body.split(":")[0]);
  }
});

test("one who signs out and in again at once is the same user, and nothing is shown between", async (t) => {
  const chat = await Chat.start(t);
  const client = connect(t, chat);
  const me = watch(client, "users:me");
  for (let n = 0; n < 5; n++) {
    const session = signIn(client, chat, person("Ada"), { steady: true });
    await session.provisioned();
    await me.until(({ value }) => value?.name === "Ada");
    signOut(client, session);
  }
  await me.until(({ value }, all) => value === null && all.length > 1);
  assert.deepEqual(new Set(me.values().filter(Boolean).map((user) => user._id)).size, 1);
  assert.equal(await client.query("users:count", {}), 1);
  assert.equal(client.connectionState().connectionCount, 1);
});
