// The calls under way in this process, and the `Convex` object by which their functions reach the server.

import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { LINE_BYTES_MAX, LINES_MAX, makeConsole, TEXT_BYTES_MAX, tools } from "./shared.mjs";

/** Characters of an error that are told. */
const ERROR_LENGTH_MAX = 1 << 20;

const ENDED = "The action that this belongs to has ended.";

const asText = (value) => {
  const text = typeof value === "string" ? value : `${value}`;
  return text.isWellFormed() ? text : text.toWellFormed();
};

const shortened = (text, max) => (text.length > max ? text.slice(0, max) : text);

// What a line says, so far as the server keeps it and one character more, by which it sees that there was more.
function lineOf(messages) {
  let left = LINE_BYTES_MAX + 1;
  const kept = [];
  for (const text of messages) {
    if (left <= 0) break;
    kept.push(shortened(text, left));
    left -= text.length + 1;
  }
  return kept;
}

// A text that is sent within another. A message that is too large would end the process, with everybody's calls.
function bounded(what, text) {
  if (text.length <= TEXT_BYTES_MAX) return text;
  throw new RangeError(`${what} is too large (actual: ${text.length} characters of JSON, limit: ${TEXT_BYTES_MAX})`);
}

/** One call of a function, or the evaluation of a module. */
class Call {
  pending = new Map();
  failedToLoad = false;
  hasEnded = false;
  console;
  #lines = 0;
  #operations = 0;
  #send;

  constructor(id, isImport, $, send) {
    this.id = id;
    this.isImport = isImport;
    this.#send = send;
    const host = (op, ...args) => (op === "time.elapsed" ? performance.now() : this.#print(...args));
    makeConsole({ ...$, host, global: (_, made) => (this.console = made) });
  }

  #print(level, messages, stack) {
    // The server keeps no more.
    if (++this.#lines > LINES_MAX) return;
    const frames = stack === undefined ? undefined : shortened(stack, LINE_BYTES_MAX);
    this.tell({ type: "console", level, messages: lineOf(JSON.parse(messages)), stack: frames });
  }

  tell(message, bytes) {
    if (!this.hasEnded) this.#send({ ...message, call: this.id }, bytes);
  }

  /** Has the server perform an operation. */
  operate(name, args, bytes) {
    if (this.hasEnded) return Promise.reject(new Error(ENDED));
    const operation = ++this.#operations;
    return new Promise((resolve, reject) => {
      for (const text of args) if (typeof text === "string") bounded("What is passed to an operation", text);
      this.tell({ type: "operation", operation, name, args }, bytes);
      this.pending.set(operation, { resolve, reject });
    });
  }

  complete({ operation, isOk, value, errorClass, data }, bytes) {
    const pending = this.pending.get(operation);
    this.pending.delete(operation);
    if (isOk) return pending?.resolve(value === "bytes" ? Uint8Array.from(bytes) : value?.text);
    let error;
    if (errorClass === "TypeError") error = new TypeError(value.text);
    else if (errorClass === "RangeError") error = new RangeError(value.text);
    else if (errorClass !== "Error") error = new DOMException(value.text, errorClass);
    else error = new Error(value.text);
    if (data !== undefined) error.data = JSON.parse(data);
    pending?.reject(error);
  }
}

/** The calls of this process. `send` tells the server, and `rootUrl` is where the modules are. */
export class Calls {
  #store = new AsyncLocalStorage();
  #calls = new Map();
  #send;
  #bodies;

  constructor({ send, rootUrl, bodies }) {
    this.#send = send;
    this.#bodies = bodies;
    this.$ = { text: asText, framesOf: (error) => `${error.stack ?? ""}`.replaceAll(rootUrl, "") };
    tools(this.$);
    this.#install();
  }

  /** The call in which this code runs, while it goes on. */
  get current() {
    const call = this.#store.getStore();
    return call?.hasEnded === false ? call : undefined;
  }

  /** Runs `body` for call `id`, and tells the server what comes of it. `isImport` forbids it to reach the server. */
  async run(id, isImport, body) {
    const call = new Call(id, isImport, this.$, this.#send);
    this.#calls.set(id, call);
    try {
      const text = await this.#store.run(call, body);
      if (typeof text !== "string") throw new Error("the function did not return a promise of a string");
      call.tell({ type: "returned", text: bounded("What the function returned", text) });
    } catch (error) {
      this.#threw(call, error);
    }
    this.end(id);
  }

  /** Runs `body` as part of no call: what a module begins when it is loaded belongs to all. */
  outside(body) {
    return this.#store.exit(body);
  }

  /** A module that call `id` needs could not be loaded. */
  failedToLoad(id) {
    const call = this.#calls.get(id);
    if (call) call.failedToLoad = true;
  }

  complete(message, bytes) {
    this.#calls.get(message.call)?.complete(message, bytes);
  }

  end(id) {
    const call = this.#calls.get(id);
    if (call) call.hasEnded = true;
    this.#calls.delete(id);
  }

  #threw(call, error) {
    const [name, message, stack, data] = this.$.describe(error);
    const [kind, said] = [name, message].map((text) => shortened(text, ERROR_LENGTH_MAX));
    // A stack begins with the message; its frames are at the end.
    const frames = stack.slice(-ERROR_LENGTH_MAX);
    const threw = { type: "threw", name: kind, message: said, stack: frames, failedToLoad: call.failedToLoad };
    try {
      call.tell({ ...threw, data: data === undefined ? data : bounded("The data of an error", data) });
    } catch (tooLarge) {
      call.tell({ ...threw, name: tooLarge.name, message: tooLarge.message });
    }
  }

  /** Ends the call in which an error was thrown that nobody caught. */
  uncaught(error) {
    const call = this.current;
    if (!call) return process.stderr.write(`uncaught outside of a call: ${this.$.inspect(error)}\n`);
    this.#threw(call, error);
    this.end(call.id);
  }

  /**
   * The call that may reach the server: the one whose `ctx` asks. Code that calls share, like a queue, runs in the context
   * of any of them, so the context counts only for what says no call.
   */
  #caller(what, requestId) {
    if (typeof requestId === "string" && requestId !== "") {
      const asking = this.#calls.get(Number(requestId));
      if (asking === undefined) throw new Error(ENDED);
      return asking;
    }
    const call = this.#store.getStore();
    if (!call || call.isImport) throw new Error(`${what} at import time`);
    return call;
  }

  #install() {
    const jsSyscalls = { "storage/storeBlob": (args) => this.#storeBlob(args), "storage/getBlob": (args) => this.#getBlob(args) };
    globalThis.Convex = {
      syscall: (op) => {
        this.#caller("Can't use database");
        const isOfComponent = op === "1.0/componentArgument";
        throw new Error(isOfComponent ? "Component arguments are not available within the app" : `Unknown operation ${op}`);
      },
      asyncSyscall: (op, args) => {
        const what = op.includes("/actions/") ? "Cannot call another function" : "Can't use database";
        const call = this.#caller(what, JSON.parse(args)?.requestId);
        return call.operate("syscall", [op, args]);
      },
      jsSyscall: (op, args) => {
        if (!Object.hasOwn(jsSyscalls, op)) throw new Error(`Unknown JS syscall: ${op}`);
        return jsSyscalls[op](args);
      },
    };
    Object.assign(globalThis, { AsyncLocalStorage, AsyncResource });
    this.#installConsole();
  }

  // A library may keep `console.log` from when it was loaded, so each method looks for its call when it is called.
  #installConsole() {
    const own = globalThis.console;
    const inCalls = { ...new Call(0, true, this.$, () => {}).console };
    const methods = Object.keys(inCalls).map((name) => [
      name,
      (...values) => (this.current?.console ?? own)[name](...values),
    ]);
    globalThis.console = Object.assign(Object.create(own), Object.fromEntries(methods));
  }

  async #storeBlob({ requestId, blob, options }) {
    const call = this.#caller("Can't use database", requestId);
    if (!(blob instanceof Blob)) {
      throw new Error(
        "store() expects a Blob. If you are trying to store a Request, " +
          "`await request.blob()` will give you the correct input.",
      );
    }
    if (blob.size > this.#bodies.bytesMax) throw new RangeError(this.#bodies.refusal);
    const bytes = new Uint8Array(await blob.arrayBuffer());
    return await call.operate("storage.store", [blob.type, options?.sha256 ?? null], bytes);
  }

  async #getBlob({ requestId, storageId }) {
    const call = this.#caller("Can't use database", requestId);
    if (typeof storageId !== "string") {
      throw new Error(`storage.get requires a string storageId but received ${typeof storageId}`);
    }
    const json = await call.operate("storage.get", [storageId]);
    if (json === null || json === undefined) return null;
    const { contentType, streamId } = JSON.parse(json);
    const chunks = [];
    for (let chunk; (chunk = await call.operate("stream.read", [streamId])) !== undefined; ) chunks.push(chunk);
    return new Blob(chunks, { type: contentType ?? "" });
  }
}
