// The official HTTP client: the same functions, the same gate, one request at a time.

import assert from "node:assert/strict";
import { ConvexHttpClient } from "convex/browser";
import { bodies, Chat, connect, failure, person, signIn, test, watch } from "./harness.mjs";

const LIST = { channel: "general" };
const send = (client, body, options) => client.mutation("messages:send", { ...LIST, body }, options);

test("queries and mutations over HTTP see each other, and move live queries", async (t) => {
  const chat = await Chat.start(t);
  const ada = await chat.http(person("Ada"));
  const live = watch(connect(t, chat), "messages:list", LIST);
  const id = await send(ada, "hello");
  const [message] = await ada.query("messages:list", LIST);
  assert.deepEqual([message._id, message.body, message.author.name], [id, "hello", "Ada"]);
  await live.until(({ value }) => value[0]?._id === id);
});

test("mutations that one HTTP client queues run in order", async (t) => {
  const chat = await Chat.start(t);
  const ada = await chat.http(person("Ada"));
  const sent = Array.from({ length: 20 }, (_, n) => `${n}`);
  await Promise.all(sent.map((body) => send(ada, body)));
  assert.deepEqual(bodies(await chat.messages("general")), sent);
});

test("a first touch over HTTP passes the gate, whatever is touched first", async (t) => {
  const chat = await Chat.start(t);
  const asks = await chat.http(person("asks"));
  assert.equal((await asks.query("users:me", {})).name, "asks");
  const writes = await chat.http(person("writes"));
  await send(writes, "hello");
  assert.equal((await writes.query("messages:list", LIST))[0].author.name, "writes");
  assert.equal(await asks.query("users:count", {}), 2);
});

test("a consistent query on the first visit is answered, at one moment that knows the user", async (t) => {
  const chat = await Chat.start(t);
  // The client takes the moment first, and provisioning commits after it.
  for (const name of ["Ada", "Grace"]) {
    const early = await chat.http(person(name));
    for (const _ of [1, 2]) assert.equal((await early.consistentQuery("users:me", {})).name, name);
    const count = await early.consistentQuery("users:count", {});
    await (await chat.http(person(`after ${name}`))).query("users:me", {});
    assert.equal(await early.consistentQuery("users:count", {}), count, "one moment for all its queries");
  }
  const later = await chat.http(person("Ada"));
  assert.equal((await later.consistentQuery("users:me", {})).name, "Ada");
  assert.equal(await later.query("users:count", {}), 4);
});

test("first touches of one person over HTTP and WebSocket at once make one user", async (t) => {
  const chat = await Chat.start(t);
  const https = await Promise.all(Array.from({ length: 10 }, () => chat.http(person("Ada"))));
  const sockets = Array.from({ length: 10 }, () => {
    const client = connect(t, chat);
    signIn(client, chat, person("Ada"), { steady: true });
    return client;
  });
  const users = await Promise.all([...https, ...sockets].map((client) => client.query("users:me", {})));
  assert.equal(new Set(users.map((user) => user._id)).size, 1);
  assert.equal(await https[0].query("users:count", {}), 1);
});

test("one who is not invited is refused over HTTP with the reason", async (t) => {
  const chat = await Chat.start(t, { invited: "example.com" });
  const mallory = await chat.http(person("Mallory", { email: "mallory@elsewhere.test" }));
  for (const call of [() => mallory.query("users:me", {}), () => send(mallory, "hello"), () => mallory.consistentQuery("users:me", {})]) {
    const data = await failure(call());
    assert.equal(data.code, "NotProvisioned");
    assert.equal(data.data.code, "NotInvited");
  }
  assert.equal(await (await chat.http()).query("users:count", {}), 0);
});

test("a bad token fails the whole request with 401, and is not taken for nobody", async (t) => {
  const chat = await Chat.start(t);
  const token = await chat.token(person("Ada"));
  const [head, claims, signature] = token.split(".");
  const forged = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(claims, "base64url")), sub: "Grace" })).toString("base64url");
  for (const bad of ["nonsense", `${head}.${forged}.${signature}`, `${head}.${claims}.`]) {
    const statuses = [];
    const client = new ConvexHttpClient(chat.url, {
      logger: false,
      auth: bad,
      fetch: async (...request) => {
        const response = await fetch(...request);
        statuses.push(response.status);
        return response;
      },
    });
    await assert.rejects(client.query("users:count", {}), (error) => typeof JSON.parse(error.message).code === "string");
    await assert.rejects(send(client, "hello"));
    assert.deepEqual(statuses, [401, 401]);
  }
  assert.equal(await (await chat.http()).query("users:count", {}), 0);
});

test("a missing action, query or mutation says which", async (t) => {
  const chat = await Chat.start(t);
  const client = await chat.http();
  for (const kind of ["action", "query", "mutation"]) {
    await assert.rejects(client[kind]("messages:nothing", {}), /Could not find public function for 'messages:nothing'/);
  }
});

test("consistent queries of one client stay at one moment, while others write", async (t) => {
  const chat = await Chat.start(t);
  const ada = await chat.http(person("Ada"));
  await send(ada, "before");
  const reader = await chat.http();
  assert.deepEqual(bodies(await reader.consistentQuery("messages:list", LIST)), ["before"]);
  await send(ada, "after");
  await chat.http(person("Grace")).then((grace) => send(grace, "after"));
  assert.deepEqual(bodies(await reader.consistentQuery("messages:list", LIST)), ["before"]);
  assert.equal(await reader.consistentQuery("users:count", {}), 1);
  assert.equal(await reader.query("users:count", {}), 2);
});
