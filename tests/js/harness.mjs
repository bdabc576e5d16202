// The helpers that the suites share: a chat process, official clients that report all they see, seeded chance, and a
// TCP proxy that cuts connections at a chosen moment. Nothing here waits for time to pass; a deadline only turns a wait
// that would never end into a failure with a reason.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import readline from "node:readline";
import { test as testOf } from "node:test";
import { ConvexClient, ConvexHttpClient } from "convex/browser";
import WebSocket from "ws";

const DEADLINE_MS = 60_000;

/** Where the chat in TypeScript was pushed to, see push.mjs; without it the chat in Rust is tried. */
const PUSHED = process.env.CHAT_PUSHED;
/** Tests that the chat in Rust alone can pass, each with the reason. */
const ONLY_RUST = JSON.parse(readFileSync(new URL("only_rust.json", import.meta.url)));

/** A test that fails rather than never ending. */
export function test(name, run) {
  const reason = PUSHED && ONLY_RUST[path.basename(process.argv[1])]?.[name];
  testOf(name, { timeout: 4 * DEADLINE_MS, skip: reason }, run);
}

/** Resolves or rejects as `promise` does, or rejects saying what was waited for. */
export async function within(promise, what, ms = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came within ${ms} ms of: ${typeof what === "function" ? what() : what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const endings = new WeakMap();

/** Runs `end` when test `t` ends; what was begun last ends first. */
export function atEnd(t, end) {
  if (!endings.has(t)) {
    endings.set(t, []);
    t.after(async () => {
      // One that fails must not keep the others from ending what they began.
      const failures = [];
      for (const end of endings.get(t).reverse()) await Promise.resolve().then(end).catch((error) => failures.push(error));
      if (failures.length > 0) throw failures[0];
    });
  }
  endings.get(t).push(end);
}

// ---- the chat ------------------------------------------------------------------------------------

/** Chats that run. None outlives this program. */
const processes = new Set();
process.once("exit", () => processes.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

/** A chat on its own data directory, which may be killed and started again on the same data and port. */
export class Chat {
  #child = null;
  #env;
  #flags;
  #data = mkdtempSync(path.join(tmpdir(), "vestibule-js-"));
  port = 0;
  /** Its log so far. */
  said = "";

  /**
   * Starts a chat that ends with test `t`. `invited`: the only e-mail domain that is let in; `provisioningSwitch`:
   * a file that makes it provision slowly or fail at it, see switch.mjs; `flags`: more of its command line;
   * `variables`: more of its environment.
   */
  static async start(t, { invited, provisioningSwitch, flags, variables } = {}) {
    const chat = new Chat(invited, provisioningSwitch, flags, variables);
    atEnd(t, () => chat.#end());
    if (PUSHED) cpSync(path.join(PUSHED, "data"), chat.#data, { recursive: true });
    await chat.start();
    if (PUSHED && invited) await chat.#set("CHAT_INVITE_DOMAIN", invited);
    return chat;
  }

  constructor(invited, provisioningSwitch, flags = [], variables = {}) {
    this.#flags = flags;
    this.#env = { VESTIBULE_LOG: "warn", ...process.env, ...variables };
    delete this.#env.CHAT_INVITE_DOMAIN;
    if (invited && !PUSHED) this.#env.CHAT_INVITE_DOMAIN = invited;
    if (provisioningSwitch) this.#env.CHAT_PROVISIONING_SWITCH = provisioningSwitch;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts it, on the port it had before when it ran already, and waits until it says where it listens. */
  async start() {
    const program = process.env.CHAT_BIN;
    assert.ok(program, "CHAT_BIN names no chat program: build the example `chat` and set CHAT_BIN to its path");
    const child = spawn(program, ["--listen", `127.0.0.1:${this.port}`, "--data", this.#data, ...this.#flags], {
      env: this.#env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    processes.add(child);
    child.once("exit", () => processes.delete(child));
    child.stderr.on("data", (text) => (this.said += text));
    const ready = new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code, signal) => reject(new Error(`the chat ended with ${signal ?? code} before it was ready:\n${this.said}`)));
      readline.createInterface(child.stdout).on("line", (line) => {
        const address = line.match(/http:\/\/127\.0\.0\.1:(\d+)/);
        if (address) resolve(Number(address[1]));
      });
    });
    this.port = await within(ready, () => `the chat says where it listens\n${this.said}`);
  }

  /** Ends it as a power cut would. */
  async kill() {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  async #end() {
    await this.kill();
    rmSync(this.#data, { recursive: true, force: true });
  }

  /** Sets a variable of the deployment. */
  async #set(name, value) {
    const response = await fetch(`${this.url}/api/v1/update_environment_variables`, {
      method: "POST",
      headers: { Authorization: `Convex ${readFileSync(path.join(PUSHED, "key"), "utf8")}`, "Content-Type": "application/json" },
      body: JSON.stringify({ changes: [{ name, value }] }),
    });
    assert.equal(response.status, 200, await response.text());
  }

  /** A token of the development issuer for `{ subject, name?, email?, expiresInSeconds? }`. */
  async token(who) {
    const response = await fetch(`${this.url}/dev/token`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(who),
    });
    assert.equal(response.status, 200, `a token for ${who.subject}`);
    return (await response.json()).token;
  }

  /** An official HTTP client, signed in when `who` is given. */
  async http(who) {
    const client = new ConvexHttpClient(this.url, { logger: false });
    if (who) client.setAuth(await this.token(who));
    return client;
  }

  /** Every message of a channel, oldest first, read a page at a time over HTTP. */
  async messages(channel) {
    const client = await this.http();
    const found = [];
    for (let cursor = null, isDone = false; !isDone; ) {
      const paginationOpts = { numItems: 200, cursor };
      const page = await client.query("messages:page", { channel, paginationOpts });
      found.push(...page.page);
      cursor = page.continueCursor;
      isDone = page.isDone;
    }
    return found.reverse();
  }
}

// ---- clients -------------------------------------------------------------------------------------

/** Things that came one after another, and waits for the next. */
export class Trace {
  all = [];
  #waits = new Set();

  push(entry) {
    this.all.push(entry);
    for (const wait of this.#waits) wait();
  }

  get last() {
    return this.all.at(-1);
  }

  /** Resolves with the first entry that `holds` for, among those that came and those to come. */
  until(holds, what = String(holds)) {
    let wait;
    const found = new Promise((resolve, reject) => {
      let checked = 0;
      wait = () => {
        try {
          for (; checked < this.all.length; checked++) if (holds(this.all[checked], this.all)) return resolve(this.all[checked]);
        } catch (error) {
          reject(error);
        }
      };
      this.#waits.add(wait);
      wait();
    });
    return within(found, () => `${what}; came: ${JSON.stringify(this.all.slice(-5))}`).finally(() => this.#waits.delete(wait));
  }
}

/** Collects what a client would print. */
export class Log {
  lines = [];
  #keep = (level) => (...words) => this.lines.push(`${level}: ${words.join(" ")}`);
  log = this.#keep("log");
  warn = this.#keep("warn");
  error = this.#keep("error");
  logVerbose() {}

  /** Warnings and errors. */
  get complaints() {
    return this.lines.filter((line) => !line.startsWith("log: "));
  }
}

/** Options for an official client under Node: `ws` for sockets, nothing on the console. */
export const quietly = (log = new Log()) => ({ webSocketConstructor: WebSocket, logger: log });

/** An official client that closes with test `t`; `address` may be a chat or a proxy before it. */
export function connect(t, address, options = {}) {
  const log = new Log();
  const client = new ConvexClient(address.url, { ...quietly(log), ...options });
  client.log = log;
  atEnd(t, () => client.close());
  return client;
}

/**
 * Signs a client in as `who` with tokens of `chat`; the trace has each `onChange`, `fetches` counts tokens.
 * The client asks for a fresh token as soon as the first is accepted; a `steady` session gives it the same again.
 */
export function signIn(client, chat, who, { steady = false } = {}) {
  const changes = new Trace();
  const session = { changes, fetches: 0, forced: 0, ended: false };
  let token = null;
  const fetchToken = async ({ forceRefreshToken }) => {
    if (session.ended) return null;
    if (token === null || (forceRefreshToken && !steady)) {
      session.forced += forceRefreshToken;
      // A fetch that the end of the test overtakes has no test left to fail.
      token = await chat.token(who).catch((error) => (client.closed ? null : Promise.reject(error)));
      session.fetches += 1;
    }
    return token;
  };
  client.setAuth(fetchToken, (isAuthenticated) => changes.push(isAuthenticated));
  session.provisioned = () => changes.until((isAuthenticated) => isAuthenticated, `${who.subject} is provisioned`);
  return session;
}

/** Signs a client out as a page would: the server is told, and the client forgets how to fetch tokens. */
export function signOut(client, session) {
  session.ended = true;
  client.client.clearAuth();
  client.setAuth(async () => null);
}

/** A live query; the trace has `{ value }` or `{ error }` for each result, in order. */
export function watch(client, path, args = {}) {
  const trace = new Trace();
  trace.stop = client.onUpdate(path, args, (value) => trace.push({ value }), (error) => trace.push({ error }));
  trace.values = () => trace.all.map(({ value, error }) => {
    if (error) throw error;
    return value;
  });
  return trace;
}

/** A person for tests: the subject is the name. */
export const person = (name, more = {}) => ({ subject: name, name, ...more });

export const bodies = (messages) => messages.map((message) => message.body);

/** The data of the application error that `promise` must fail with. */
export async function failure(promise) {
  const error = await promise.then(
    (value) => assert.fail(`did not fail but gave ${JSON.stringify(value)}`),
    (error) => error,
  );
  assert.equal(error.name, "ConvexError", `carries data: ${error.message}`);
  return error.data;
}

// ---- chance --------------------------------------------------------------------------------------

/** Seeded chance: the seed is printed with the test, and SEED runs the same course again. */
export function chance(t) {
  let state = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32)) >>> 0;
  t.diagnostic(`SEED=${state}`);
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    /** A whole number from 0 up to but without `end`. */
    below: (end) => Math.floor(next() * end),
    pick: (choices) => choices[Math.floor(next() * choices.length)],
  };
}

// ---- a proxy that cuts ---------------------------------------------------------------------------

/** Moments at which `Proxy.arm` may cut, all counted from the client's next bytes. */
export const CUTS = ["before the request", "after the request", "within the answer", "after the answer"];

/** Passes bytes between one client and a chat, until it is told to cut both directions. */
export class Proxy {
  #server;
  #links = new Set();
  #cut = null;
  cuts = 0;

  static async start(t, chat) {
    const proxy = new Proxy();
    proxy.#server = net.createServer((inner) => proxy.#link(inner, chat.port));
    atEnd(t, () => proxy.#close());
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  /**
   * Cuts once, at `moment` after the client sends its next bytes. `part` (0 up to 1) chooses how much of
   * the answer gets through when the cut falls within it.
   */
  arm(moment, part = 0) {
    assert.ok(CUTS.includes(moment), moment);
    this.#cut = { moment, part, requested: false };
  }

  /** Cuts what is connected now. */
  cutNow() {
    this.cuts += 1;
    for (const { inner, outer } of this.#links) {
      inner.destroy();
      outer.destroy();
    }
  }

  #link(inner, port) {
    const outer = net.connect(port, "127.0.0.1");
    const link = { inner, outer };
    this.#links.add(link);
    const end = () => {
      inner.destroy();
      outer.destroy();
      this.#links.delete(link);
    };
    for (const side of [inner, outer]) side.on("close", end).on("error", end).setNoDelay(true);
    inner.on("data", (bytes) => this.#fromClient(bytes, outer));
    outer.on("data", (bytes) => this.#fromServer(bytes, inner));
  }

  #fromClient(bytes, outer) {
    const cut = this.#cut;
    if (cut?.moment === "before the request" && !cut.requested) return this.#spring();
    if (cut) cut.requested = true;
    outer.write(bytes);
  }

  #fromServer(bytes, inner) {
    const cut = this.#cut;
    if (!cut?.requested) return inner.write(bytes);
    // Bytes that arrive here prove that the server got the request; whether they come through is the cut's choice.
    const through = { "after the request": 0, "within the answer": Math.floor(cut.part * bytes.length), "after the answer": bytes.length };
    const end = through[cut.moment];
    this.#cut = null;
    inner.write(bytes.subarray(0, end), () => this.cutNow());
  }

  #spring() {
    this.#cut = null;
    this.cutNow();
  }

  #close() {
    this.cutNow();
    this.#server.close();
  }
}
