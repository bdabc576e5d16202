// The common parts of the alternatives: options, the part of the sync protocol that the load program speaks, and a
// clean end.

import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

const OPTIONS = {
  port: { type: "string", default: "0" },
  accounts: { type: "string", default: "100000" },
  balance: { type: "string", default: "1000000" },
};
const FRAME_BYTES_MAX = 1024 * 1024;

/** What the command line asks for; `balance` is what each account has at the beginning. */
export function readOptions() {
  const { values } = parseArgs({ options: OPTIONS });
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, wholeNumber(`--${name}`, value)]));
}

/** A whole number that came from outside. */
export function wholeNumber(name, value) {
  const number = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
  if (!Number.isSafeInteger(number) || number < 0) throw new Error(`${name} must be a whole number from 0 on`);
  return number;
}

/** What a life leaves behind and must undo, last first: when stdin closes, on SIGTERM, and when starting fails. */
export class Life {
  #undo = [];
  #ending;

  constructor() {
    for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => this.end(0));
    process.stdin.on("end", () => this.end(0)).on("error", () => this.end(0)).resume();
    process.on("uncaughtException", (error) => {
      console.error(error);
      this.end(1);
    });
  }

  /** Remembers what to do at the end. */
  atEnd(undo) {
    this.#undo.push(undo);
  }

  /** A new directory below TMPDIR that goes away at the end. */
  directory(name) {
    const directory = mkdtempSync(path.join(tmpdir(), `vestibule-load-${name}-`));
    this.atEnd(() => rmSync(directory, { recursive: true, force: true }));
    return directory;
  }

  get isEnding() {
    return this.#ending !== undefined;
  }

  end(code) {
    this.#ending ??= this.#run(code);
  }

  async #run(code) {
    for (const undo of this.#undo.reverse()) {
      try {
        await undo();
      } catch (error) {
        console.error(error);
        code = 1;
      }
    }
    process.exit(code);
  }
}

/**
 * Serves `functions` (function path → what takes the argument object and returns the result or a promise of it) and tells
 * the port on stdout. Every message but a Mutation is ignored.
 */
export function serve({ WebSocketServer, port, functions, life }) {
  const http = createServer((_request, response) => response.writeHead(404).end());
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: FRAME_BYTES_MAX });
  http.on("upgrade", (request, socket, head) => {
    if (!/^\/api\/([^/]+\/)?sync$/.test(request.url)) {
      socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n");
      return;
    }
    socket.setNoDelay(true);
    sockets.handleUpgrade(request, socket, head, (connection) => {
      connection.on("error", () => connection.terminate());
      connection.on("message", (data) => receive(connection, data, functions));
    });
  });
  life.atEnd(() => {
    for (const connection of sockets.clients) connection.terminate();
    http.close();
  });
  http.listen(port, "127.0.0.1", () => console.log(`listening ${http.address().port}`));
}

function receive(connection, data, functions) {
  let message;
  try {
    message = JSON.parse(data.toString());
  } catch {
    connection.close(1007, "not JSON");
    return;
  }
  if (message.type !== "Mutation") return;
  const { requestId } = message;
  try {
    const result = call(functions, message);
    if (result instanceof Promise) {
      result.then((value) => succeed(connection, requestId, value), (error) => fail(connection, requestId, error));
    } else {
      succeed(connection, requestId, result);
    }
  } catch (error) {
    fail(connection, requestId, error);
  }
}

function call(functions, { udfPath, args }) {
  if (!Object.hasOwn(functions, udfPath)) throw new Error(`there is no function ${udfPath}`);
  return functions[udfPath](args?.[0] ?? {});
}

function succeed(connection, requestId, result = null) {
  connection.send(JSON.stringify({ type: "MutationResponse", requestId, success: true, result, ts: nextTimestamp(), logLines: [] }));
}

function fail(connection, requestId, error) {
  connection.send(JSON.stringify({ type: "MutationResponse", requestId, success: false, result: error.message, logLines: [] }));
}

const timestamp = Buffer.alloc(8);
let latest = BigInt(Date.now()) * 1_000_000n;

// Nanoseconds since 1970 that only ever grow, as the protocol wants them; answers are counted on from the start.
function nextTimestamp() {
  latest += 1n;
  timestamp.writeBigUInt64LE(latest);
  return timestamp.toString("base64");
}
