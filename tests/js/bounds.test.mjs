// Every bound of a connection, what its answer is, and what the official client then does. Each row is tried with it, or
// names the test that tries it; a bound or a close without a row fails. And the bounds that users ran into.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { atEnd, Chat, connect, failure, person, Proxy, signIn, test, Trace, watch, within } from "./harness.mjs";
import { switchedChat } from "./switch.mjs";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const GENERAL = { channel: "general" };
const send = (client, body) => client.mutation("messages:send", { ...GENERAL, body });
const list = (client, args) => watch(client, "messages:list", args);
const code = async (promise) => (await failure(promise)).code;

/** A client's log, entry by entry. */
function logged(t, chat) {
  const trace = new Trace();
  const say = (...words) => trace.push(words.join(" "));
  const client = connect(t, chat, { logger: { log: say, warn: say, error: say, logVerbose() {} } });
  return Object.assign(client, { trace });
}

/** A chat with other bounds than usual: `{ name: number }`, times in milliseconds. */
const variables = (bounds) => ({ CHAT_BOUNDS: Object.entries(bounds).map(([name, value]) => `${name}=${value}`).join(",") });
const bounded = (t, bounds, options = {}) => Chat.start(t, { ...options, variables: variables(bounds) });

const AT_HOME = "server/src/sync/tests/closing.rs";
const row = (bound, answer, then, tried) => ({ bound, answer, then, tried });

const BOUNDS = [
  row("frame_bytes_max", "FatalError MessageTooLong", "ends with an error that says so, and does not come back", async (t) => {
    const chat = await bounded(t, { frame_bytes_max: 1_000_000 });
    // The client throws in its socket's handler, which no code can catch: in a process of its own.
    const program = `
      import { ConvexClient } from "convex/browser";
      import WebSocket from "ws";
      const client = new ConvexClient(${JSON.stringify(chat.url)}, { webSocketConstructor: WebSocket, logger: false });
      process.once("uncaughtException", (error) => {
        console.log(error.message, "closed:", client.client.webSocketManager.socket.state);
        process.exit(0);
      });
      client.mutation("messages:send", { channel: "general", body: "x".repeat(1_100_000) });
    `;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], { cwd: HERE, stdio: ["ignore", "pipe", "inherit"] });
    atEnd(t, () => child.kill("SIGKILL"));
    let said = "";
    child.stdout.on("data", (text) => (said += text));
    const [ended] = await within(once(child, "close"), "the client's end");
    assert.equal(ended, 0);
    assert.match(said, /MessageTooLong.*closed: (terminated|stopped|disconnected)/s);
  }),
  row("subscriptions_max", "QueryFailed, data TooManySubscriptions", "throws it from that query alone", async (t) => {
    const chat = await bounded(t, { subscriptions_max: 3 }, { flags: ["--redact", "true"] });
    const client = connect(t, chat);
    const traces = [0, 1, 2, 3].map((n) => list(client, { channel: `${n}` }));
    const { error } = await traces[3].until(() => true);
    assert.equal(error.data.code, "TooManySubscriptions");
    for (const trace of traces.slice(0, 3)) await trace.until(({ value }) => Array.isArray(value));
  }),
  ...["query_set_bytes_max", "query_set_bytes_address_max", "query_set_bytes_total_max"].map((bound) =>
    row(bound, "QueryFailed, data QuerySetTooLarge", "throws it from that query alone, also when it comes back", async (t) => {
      const chat = await bounded(t, { [bound]: 600_000 }, { flags: ["--redact", "true"] });
      const proxy = await Proxy.start(t, chat);
      const client = connect(t, proxy);
      const long = list(client, { channel: "x".repeat(700_000) });
      assert.equal((await long.until(() => true)).error.data.code, "QuerySetTooLarge");
      const short = list(client, GENERAL);
      await short.until(({ value }) => value);
      proxy.cutNow();
      const late = list(client, { channel: "late" });
      await late.until(({ value }) => value);
    })),
  row("mutations_pending_max", "the next message is read later", "sees all of them resolve, in order", async (t) => {
    const chat = await bounded(t, { mutations_pending_max: 2 });
    const client = connect(t, chat);
    signIn(client, chat, person("Ada"), { steady: true });
    const bodies = Array.from({ length: 60 }, (_, n) => `${n}`);
    await Promise.all(bodies.map((body) => send(client, body)));
    assert.deepEqual((await chat.messages("general")).map((message) => message.body), bodies);
  }),
  row("actions_pending_max", "ActionResponse, data TooManyInflightActionsForSingleClient", "rejects that action alone", async (t) => {
    const chat = await bounded(t, { actions_pending_max: 1 }, { flags: ["--redact", "true"] });
    const client = connect(t, chat);
    const first = client.action("tests:wait", {});
    assert.equal(await code(client.action("tests:wait", {})), "TooManyInflightActionsForSingleClient");
    await client.mutation("tests:release", {});
    assert.equal(await first, "released");
    const next = client.action("tests:wait", {});
    await client.mutation("tests:release", {});
    assert.equal(await next, "released");
  }),
  ...[["held_calls_max", 1], ["held_bytes_max", 300], ["held_bytes_total_max", 300]].map(([bound, value]) =>
    row(bound, "MutationResponse, data GateQueueFull", "rejects that call alone", async (t) => {
      const { chat, release } = await switchedChat(t, { word: "hold", variables: variables({ [bound]: value }) });
      const client = connect(t, chat);
      signIn(client, chat, person("Ada"), { steady: true });
      const calls = [0, 1, 2].map((n) => send(client, `${n} ${"x".repeat(100)}`));
      assert.deepEqual(await Promise.all(calls.slice(1).map(code)), ["GateQueueFull", "GateQueueFull"]);
      release();
      await calls[0];
    })),
  ...["inbound_bytes_address_max", "inbound_bytes_total_max"].map((bound) =>
    row(bound, "1013 InboundBytesExceeded", "comes back after a pause, and gets through when others are done", async (t) => {
      const chat = await bounded(t, { [bound]: 1_500_000 });
      // A call under way holds its message's bytes.
      const first = connect(t, chat);
      const waiting = first.action("tests:wait", { padding: "x".repeat(900_000) });
      const second = logged(t, chat);
      // The second answer is to a message behind the action.
      for (const channel of ["general", "behind"]) await list(first, { channel }).until(({ value }) => value);
      const sent = send(second, "x".repeat(900_000)).then(() => "", (error) => error.message);
      await second.trace.until((line) => line.includes("InboundBytesExceeded"));
      await connect(t, chat).mutation("tests:release", {});
      assert.equal(await waiting, "released");
      // The caller is signed out: the function says so.
      assert.match(await sent, /Unauthenticated|NotSignedIn|signed in/i);
    })),
  row("connections_max", "503 TooManyConnections at the handshake", "comes back after a pause, and gets in when there is room", async (t) => {
    const chat = await bounded(t, { connections_max: 1 });
    const first = connect(t, chat);
    await list(first, GENERAL).until(({ value }) => value);
    const second = logged(t, chat);
    const trace = list(second, GENERAL);
    await second.trace.until((line) => /reconnect|closed/i.test(line));
    await first.close();
    await trace.until(({ value }) => value);
  }),
  row("anonymous_idle_max", "1013 Idle", "comes back, and works", async (t) => {
    const chat = await bounded(t, { anonymous_idle_max: 50 });
    const client = logged(t, chat);
    await client.trace.until((line) => line.includes("Idle"));
    await list(client, GENERAL).until(({ value }) => value);
  }),
  row("silence_max", "the connection ends", "comes back; one that is sending is not silent", `${AT_HOME}: a_long_message_on_its_way_is_a_sign_of_life_and_a_stalled_one_is_not`),
  row("stall_max", "the connection ends", "comes back; one that takes slowly takes", `${AT_HOME}: a_client_that_takes_nothing_is_dropped_and_delays_nobody`),
  row("drain_max", "1001 ServerShuttingDown", "comes back to the server that starts next", `${AT_HOME}: a_draining_server_does_not_wait_for_ever`),
];

const CLOSES = [
  row("InboundBytesExceeded", "1013", "see inbound_bytes_total_max", null),
  row("Idle", "1013", "see anonymous_idle_max", null),
  row("ServerShuttingDown", "1001, 1013", "see drain_max", null),
  row("ProvisioningFailed", "1013", "comes back, still signed in, until provisioning works", "server/src/sync/tests/identity.rs: c5_a_panic_in_ensure_user_closes_with_a_reason_to_come_back_and_harms_nobody_else"),
  row("ProvisioningMissing", "1013", "comes back, still signed in, until the document is there", "server/src/sync/tests/documents.rs: c16_a_wait_ends_after_a_minute_with_a_close_that_keeps_the_client_signed_in"),
  row("AuthProviderDiscoveryFailed", "1013", "comes back, still signed in, until the provider is there", "tests/js/openid.test.mjs: a provider that stops"),
  row("TooManyAuthFailures", "1013", "comes back, still signed in, until the minute has ended", "server/src/http/tests/admin_keys.rs: 1013"),
  row("CommitterFullError", "1013", "comes back after three seconds or more, and sends again what has no answer", null),
  row("OptimisticConcurrencyControlFailure", "1013", "comes back after a second or more, and sends again what has no answer", null),
  row("TooManyConcurrentRequests", "1013", "comes back after three seconds or more", null),
  row("InternalServerError", "1011", "comes back after a second or more", null),
  row("BinaryNotSupported", "1003", "never sends that", null),
  row("InvalidUtf8", "1007", "never sends that", null),
  row("ProtocolError", "1002", "never sends that", null),
  row("WSMessageInvalidJson", "FatalError", "never sends that", null),
  row("BaseVersionMismatch", "FatalError", "never sends that", null),
  row("MessageTooLong", "FatalError", "see frame_bytes_max", null),
];

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const source = (file) => readFileSync(path.join(ROOT, file), "utf8");

test("every bound and every close of a connection has a row", () => {
  const options = source("server/src/sync/options.rs").split("impl Default")[0];
  const bounds = [...options.matchAll(/pub (\w+_max): /g)].map(([, name]) => name);
  assert.deepEqual([...bounds].sort(), BOUNDS.map(({ bound }) => bound).sort());
  const rooms = readdirSync(path.join(ROOT, "server/src/sync")).filter((file) => file.endsWith(".rs"));
  const text = rooms.map((file) => source(`server/src/sync/${file}`).split("#[cfg(test)]")[0]).join("\n");
  const between = (text, start, end) => text.split(start)[1].split(end)[0];
  const codes = [
    between(source("server/src/provisioning/outcome.rs"), "fn try_again_code", "\n    }\n"),
    between(source("server/src/auth/error.rs"), "TokenError::ProviderUnavailable { .. } => \"", ",").replace(/^/, '"'),
    between(source("server/src/auth/authenticator.rs"), "VerifyError::TooManyFailures => \"", ",").replace(/^/, '"'),
  ];
  const closes = [
    ...codes.flatMap((text) => [...text.matchAll(/"(\w+)"/g)]),
    ...text.matchAll(/try_again\(\s*"(\w+)"/g),
    ...text.matchAll(/Close::with\(\d+, "(\w+)"/g),
    ...text.matchAll(/reason: "(\w+)"\.into\(\)/g),
    ...text.matchAll(/"(\w+): the (?:message|query set) /g),
    ...text.matchAll(/format!\("(\w+): a message/g),
  ].map(([, name]) => name);
  assert.deepEqual([...new Set(closes)].sort(), CLOSES.map(({ bound }) => bound).sort());
  for (const { tried } of [...BOUNDS, ...CLOSES]) {
    if (typeof tried !== "string") continue;
    const [file, name] = tried.split(": ");
    assert.ok(source(file).includes(name), tried);
  }
});

for (const { bound, answer, then, tried } of BOUNDS) {
  if (typeof tried === "function") test(`beyond ${bound} (${answer}) the official client ${then}`, tried);
}

test("arguments of more than a mebibyte are taken, and too long ones are an error of their call", async (t) => {
  const chat = await Chat.start(t, { flags: ["--redact", "true"] });
  const client = connect(t, chat);
  await assert.rejects(send(client, "x".repeat(1_100_000)), (error) => !/too large/.test(error.message));
  signIn(client, chat, person("Ada"), { steady: true });
  const long = "x".repeat((16 << 20) + 1);
  const next = [send(client, long), send(client, "short")];
  assert.equal(await code(next[0]), "ArgumentsTooLarge");
  await next[1];
  const trace = list(client, { channel: long });
  assert.equal((await trace.until(() => true)).error.data.code, "ArgumentsTooLarge");
});

test("thirty long subscriptions made in one turn are answered, and again when the client comes back", async (t) => {
  const chat = await Chat.start(t);
  const proxy = await Proxy.start(t, chat);
  const client = connect(t, proxy);
  const traces = Array.from({ length: 30 }, (_, n) => list(client, { channel: n + "y".repeat(40_000) }));
  for (const trace of traces) await trace.until(({ value }) => Array.isArray(value));
  proxy.cutNow();
  const late = list(client, GENERAL);
  await late.until(({ value }) => value);
});

test("eleven hundred live queries of one connection are answered", async (t) => {
  const chat = await Chat.start(t, { flags: ["--redact", "true"] });
  const client = connect(t, chat);
  const traces = Array.from({ length: 1_100 }, (_, id) => {
    const paginationOpts = { numItems: 1, cursor: null, id };
    return watch(client, "messages:page", { ...GENERAL, paginationOpts });
  });
  for (const trace of traces) await trace.until(({ value }) => value);
  assert.ok(traces.every((trace) => trace.all.every(({ error }) => !error)));
});

test("a token of thirty kilobytes signs in, and one that is too long is refused in words", async (t) => {
  const chat = await Chat.start(t);
  const ask = (token) => fetch(`${chat.url}/api/query`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}`, Origin: "https://app.example" },
    body: JSON.stringify({ path: "users:me", args: {} }),
  });
  for (const [bytes, status, expected] of [[33 << 10, 401, "InvalidAuthHeader"], [50 << 10, 431, "HeaderTooLong"]]) {
    const answer = await ask("x".repeat(bytes));
    assert.equal(answer.status, status);
    assert.equal(answer.headers.get("access-control-allow-origin"), "https://app.example");
    assert.equal((await answer.json()).code, expected);
  }
});

test("a mutation whose answer was lost, sent again after a sign-out, is rejected with data", async (t) => {
  const chat = await Chat.start(t, { flags: ["--redact", "true"] });
  const proxy = await Proxy.start(t, chat);
  const client = connect(t, proxy);
  const session = signIn(client, chat, person("Ada"), { steady: true });
  await session.provisioned();
  proxy.arm("after the request");
  const sent = send(client, "once");
  // The answer is lost with the connection, and the client has another user before it comes back.
  await within(new Promise((resolve) => {
    const look = () => (proxy.cuts > 0 ? resolve() : setImmediate(look));
    look();
  }), "the cut");
  session.ended = true;
  client.client.clearAuth();
  assert.equal(await code(sent), "AlreadyMade");
  assert.equal((await chat.messages("general")).length, 1);
});
