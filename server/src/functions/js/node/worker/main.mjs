// A process that runs actions in modules with "use node": it does what the server tells it by the socket that it was
// started with, and ends with that.

import { readFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { Calls } from "./calls.mjs";
import { openChannel } from "./channel.mjs";
import { guardNetwork } from "./network.mjs";
import { prepareProcess } from "./process.mjs";

const CHANNEL_FD = 0;
const { reallyExit } = process;

let app;
const judged = new Map();

// Evaluates a module as part of no call: it belongs to all. One that fails fails for as long as its process lives.
const load = (call, file) =>
  app.calls.outside(() => import(pathToFileURL(path.join(app.root, file)).href)).catch((error) => {
    app.calls.failedToLoad(call);
    throw error;
  });

const receive = {
  setup({ root, temporary, variables, isChecked, bodies }) {
    const rootUrl = pathToFileURL(`${root}/`).href;
    app = { root, calls: new Calls({ send, rootUrl, bodies }) };
    const { calls } = app;
    if (isChecked) guardNetwork({ judge, warn: (text) => calls.current?.console.warn(text) });
    prepareProcess({ root, temporary, variables });
    process.on("uncaughtException", (error) => calls.uncaught(error));
    process.on("unhandledRejection", (error) => calls.uncaught(error));
    send({ type: "ready" });
  },
  start({ call, path: file, name, args }) {
    app.calls.run(call, false, async () => {
      const found = (await load(call, file))[name];
      if (found === undefined) throw new Error(`Couldn't find ${JSON.stringify(name)} in module "${file}".`);
      return await found.invokeAction(`${call}`, args);
    });
  },
  analyze({ call, path: file }) {
    app.calls.run(call, true, async () => {
      const source = await readFile(path.join(app.root, file), "utf8");
      const namespace = await import(pathToFileURL(path.join(app.root, file)).href);
      return JSON.stringify({ functions: app.calls.$.registrations(file, namespace, (handler) => placeIn(file, source, handler)) });
    });
  },
  complete: (message, bytes) => app.calls.complete(message, bytes),
  end: ({ call }) => app.calls.end(call),
  judged({ judgement, refusals }) {
    judged.get(judgement)?.(refusals);
    judged.delete(judgement);
  },
  ping() {
    const { user, system } = process.cpuUsage();
    send({ type: "pong", residentBytes: process.memoryUsage.rss(), cpuMicros: user + system });
  },
};

const send = openChannel(CHANNEL_FD, {
  onMessage: (message, bytes) => receive[message.type](message, bytes),
  onEnd: () => reallyExit.call(process, 0),
});

let judgements = 0;

// Asks the server about addresses that a call would connect to.
function judge(host, port, addresses) {
  const judgement = ++judgements;
  send({ type: "judge", judgement, host, port, addresses });
  return new Promise((resolve) => judged.set(judgement, resolve));
}

// Where a handler begins in its module: file, line and column, both from one. One of another module has no place in it.
function placeIn(file, source, handler) {
  if (typeof handler !== "function") return null;
  const at = source.indexOf(Function.prototype.toString.call(handler));
  if (at < 0) return null;
  const lines = source.slice(0, at).split("\n");
  return [file, lines.length, lines.at(-1).length + 1];
}
