// Signing in, refreshing, switching and signing out on an open connection; and identities that are not let in.

import assert from "node:assert/strict";
import { Chat, connect, failure, person, signIn, signOut, test, Trace, watch } from "./harness.mjs";

const CHANNEL = "general";
const names = (trace) => trace.values().map((user) => user?.name ?? null);
// The client says "signed in" once more for each token that it refreshes.
const assertNeverSignedOut = (changes) => assert.deepEqual(new Set(changes), new Set([true]));
const send = (client, body) => client.mutation("messages:send", { channel: CHANNEL, body });

test("the very first result of users:me is the user, when one signs in at once", async (t) => {
  const chat = await Chat.start(t);
  for (let n = 0; n < 25; n++) {
    const client = connect(t, chat);
    const session = signIn(client, chat, person(`person ${n}`));
    const me = watch(client, "users:me");
    await session.provisioned();
    await me.until(() => true);
    assert.deepEqual(names(me), [`person ${n}`]);
  }
});

test("the very first result of users:me is the user, when one signs in on an open connection", async (t) => {
  const chat = await Chat.start(t);
  for (let n = 0; n < 25; n++) {
    const client = connect(t, chat);
    assert.equal(await client.query("users:count", {}), n);
    const session = signIn(client, chat, person(`person ${n}`));
    const me = watch(client, "users:me");
    await session.provisioned();
    await me.until(() => true);
    assert.deepEqual(names(me), [`person ${n}`]);
  }
});

test("a query that watched as nobody goes from null to the user, with nothing between", async (t) => {
  const chat = await Chat.start(t);
  for (let n = 0; n < 25; n++) {
    const client = connect(t, chat);
    const me = watch(client, "users:me");
    await me.until(({ value }) => value === null);
    signIn(client, chat, person(`person ${n}`));
    await me.until(({ value }) => value?.name === `person ${n}`);
    assert.deepEqual(names(me), [null, `person ${n}`]);
  }
});

test("a call made right after signing in runs as the user", async (t) => {
  const chat = await Chat.start(t);
  for (let n = 0; n < 10; n++) {
    const client = connect(t, chat);
    await client.query("users:count", {});
    signIn(client, chat, person(`person ${n}`));
    await send(client, `body ${n}`);
    const [newest] = await client.query("messages:list", { channel: CHANNEL });
    assert.deepEqual([newest.body, newest.author.name], [`body ${n}`, `person ${n}`]);
  }
});

test("tokens refresh without a sign-out, a null result or a new connection", async (t) => {
  const chat = await Chat.start(t);
  // A token of 20 seconds, refreshed 18 before its end.
  const client = connect(t, chat, { authRefreshTokenLeewaySeconds: 18 });
  const refreshed = new Trace();
  const changes = [];
  const me = watch(client, "users:me");
  const list = watch(client, "messages:list", { channel: CHANNEL });
  const fetchToken = async () => {
    const token = await chat.token(person("Ada", { expiresInSeconds: 20 }));
    refreshed.push(token);
    return token;
  };
  await me.until(({ value }) => value === null);
  client.setAuth(fetchToken, (isAuthenticated) => changes.push(isAuthenticated));
  await refreshed.until((_, all) => all.length === 4, "the first token, the fresh one, and two refreshes");
  await send(client, "still here");
  await list.until(({ value }) => value[0]?.author.name === "Ada");
  assert.equal(new Set(refreshed.all).size, refreshed.all.length);
  assertNeverSignedOut(changes);
  assert.deepEqual(names(me), [null, "Ada"]);
  assert.equal(client.connectionState().connectionCount, 1);
  assert.deepEqual(client.log.complaints, []);
});

test("a token that runs out unnoticed is replaced, and the user never goes away", async (t) => {
  const chat = await Chat.start(t);
  const [client, writer] = [connect(t, chat), connect(t, chat)];
  await signIn(writer, chat, person("Grace")).provisioned();
  const fetched = new Trace();
  const changes = [];
  // The fresh token equals the first, so the client plans no refresh; the next one it asks for is another.
  let token = await chat.token(person("Ada", { expiresInSeconds: 3 }));
  client.setAuth(
    async () => {
      fetched.push(token);
      if (fetched.all.length > 2) token = await chat.token(person("Ada"));
      return token;
    },
    (isAuthenticated) => changes.push(isAuthenticated),
  );
  const me = watch(client, "users:me");
  const list = watch(client, "messages:list", { channel: CHANNEL });
  await me.until(({ value }) => value?.name === "Ada");
  for (let n = 0; fetched.all.length < 3; n++) await send(writer, `${n}`);
  await send(writer, "last");
  await list.until(({ value }) => value[0]?.body === "last");
  await send(client, "still Ada");
  const [newest] = await client.query("messages:list", { channel: CHANNEL });
  assert.equal(newest.author.name, "Ada");
  assertNeverSignedOut(changes);
  assert.deepEqual(new Set(names(me)), new Set(["Ada"]));
});

test("after a sign-out the connection is nobody's, and what needs no user goes on", async (t) => {
  const chat = await Chat.start(t);
  const client = connect(t, chat);
  const session = signIn(client, chat, person("Ada"));
  const me = watch(client, "users:me");
  const list = watch(client, "messages:list", { channel: CHANNEL });
  await send(client, "one");
  signOut(client, session);
  await me.until(({ value }) => value === null);
  assert.deepEqual(names(me), ["Ada", null]);
  assert.deepEqual(await failure(send(client, "two")), { code: "Unauthenticated" });
  const grace = connect(t, chat);
  signIn(grace, chat, person("Grace"));
  await send(grace, "three");
  await list.until(({ value }) => value[0]?.body === "three");
  assert.equal(client.connectionState().connectionCount, 1);
});

test("one who signs out while provisioning stays signed out", async (t) => {
  const chat = await Chat.start(t);
  for (let n = 0; n < 25; n++) {
    const client = connect(t, chat);
    const me = watch(client, "users:me");
    await me.until(({ value }) => value === null);
    let tokenGiven;
    const given = new Promise((resolve) => (tokenGiven = resolve));
    const session = { ended: false };
    const token = await chat.token(person(`person ${n}`));
    const changes = [];
    client.setAuth(async () => (tokenGiven(), session.ended ? null : token), (isAuthenticated) => changes.push(isAuthenticated));
    await given;
    // One turn later the Authenticate is sent; how far the server is by the end of these is left to chance.
    for (let turn = 0; turn <= n % 5; turn++) await new Promise(setImmediate);
    signOut(client, session);
    assert.deepEqual(await failure(send(client, "nobody's")), { code: "Unauthenticated" });
    assert.equal(await client.query("users:me", {}), null);
    assert.equal(me.last.value, null);
    assert.equal(client.connectionState().connectionCount, 1);
  }
});

test("switching from one user to another shows the second nothing of the first", async (t) => {
  const chat = await Chat.start(t);
  for (let n = 0; n < 10; n++) {
    const client = connect(t, chat);
    const first = signIn(client, chat, person(`first ${n}`), { steady: true });
    const me = watch(client, "users:me");
    await me.until(({ value }) => value?.name === `first ${n}`);
    first.ended = true;
    const second = signIn(client, chat, person(`second ${n}`), { steady: true });
    const sent = send(client, `as second ${n}`);
    await second.provisioned();
    assert.equal((await client.query("users:me", {})).name, `second ${n}`, "as soon as the client is told that it is signed in");
    await sent;
    const [newest] = await client.query("messages:list", { channel: CHANNEL });
    assert.deepEqual([newest.body, newest.author.name], [`as second ${n}`, `second ${n}`]);
    assert.deepEqual(names(me), [`first ${n}`, `second ${n}`]);
  }
});

const INVITED = "example.com";
const mallory = person("Mallory", { email: "mallory@elsewhere.test" });

test("one who is not invited learns why, ends signed out, and leaves no user behind", async (t) => {
  const chat = await Chat.start(t, { invited: INVITED });
  const client = connect(t, chat);
  const count = watch(client, "users:count");
  const me = watch(client, "users:me");
  await me.until(({ value }) => value === null);
  const session = signIn(client, chat, mallory);
  const data = await failure(client.mutation("users:ensureUser", {}));
  assert.equal(data.code, "NotProvisioned");
  assert.equal(data.data.code, "NotInvited");
  await session.changes.until((isAuthenticated) => !isAuthenticated);
  assert.deepEqual(session.changes.all, [false], "it is never told that it is signed in");
  assert.equal(await client.query("users:me", {}), null);
  assert.deepEqual(await failure(send(client, "as nobody")), { code: "Unauthenticated" });
  assert.deepEqual(new Set(names(me)), new Set([null]));
  assert.deepEqual(new Set(count.values()), new Set([0]));
  assert.deepEqual(await client.query("messages:list", { channel: CHANNEL }), [], "what needs no user goes on");
});

test("all that one who is not invited sends is refused, in the order of sending", async (t) => {
  const chat = await Chat.start(t, { invited: INVITED });
  const client = connect(t, chat);
  signIn(client, chat, mallory);
  const failed = [];
  const sent = Array.from({ length: 10 }, (_, n) => failure(send(client, `${n}`)).then((data) => failed.push([n, data.code])));
  await Promise.all(sent);
  assert.deepEqual(failed, Array.from({ length: 10 }, (_, n) => [n, "NotProvisioned"]));
  assert.deepEqual(await chat.messages(CHANNEL), []);
});

test("one who was refused may try again with another token, on the same client", async (t) => {
  const chat = await Chat.start(t, { invited: INVITED });
  const client = connect(t, chat);
  const refused = signIn(client, chat, mallory);
  const me = watch(client, "users:me");
  await refused.changes.until((isAuthenticated) => !isAuthenticated);
  const seen = me.all.length;
  const session = signIn(client, chat, person("Mallory", { email: `mallory@${INVITED}` }));
  await session.provisioned();
  await me.until(({ value }) => value?.name === "Mallory");
  assertNeverSignedOut(session.changes.all);
  assert.ok(me.values().slice(seen).every((user) => user === null || user.email === `mallory@${INVITED}`));
});

test("an invited user is let in while another is refused", async (t) => {
  const chat = await Chat.start(t, { invited: INVITED });
  const [ada, other] = [connect(t, chat), connect(t, chat)];
  const refused = signIn(other, chat, mallory);
  signIn(ada, chat, person("Ada", { email: `ada@${INVITED}` }));
  await send(ada, "hello");
  await refused.changes.until((isAuthenticated) => !isAuthenticated);
  assert.equal((await ada.query("users:me", {})).name, "Ada");
  assert.equal(await ada.query("users:count", {}), 1);
});
