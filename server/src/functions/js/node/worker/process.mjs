// What all calls of this process share, and none may take from the others.

import inspector from "node:inspector";
import module, { createRequire } from "node:module";
import { Readable } from "node:stream";

/** Frames that an error's stack has. */
const STACK_FRAMES_MAX = 50;

const notHere = (what) => () => {
  throw new Error(`${what}() is not available in actions: it would reach others too.`);
};

/**
 * Makes the globals that bundles for Node.js expect, for modules at `root`, and takes away what reaches other calls.
 * `temporary` is the folder for files of the moment.
 */
export function prepareProcess({ root, temporary, variables }) {
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, { TZ: "UTC", TMPDIR: temporary }, variables);
  Error.stackTraceLimit = STACK_FRAMES_MAX;
  Object.assign(globalThis, {
    require: createRequire(`${root}/index.js`),
    __dirname: root,
    __filename: `${root}/index.js`,
  });
  for (const name of ["abort", "chdir", "exit", "kill", "reallyExit", "_debugProcess", "_kill"]) {
    process[name] = notHere(`process.${name}`);
  }
  inspector.open = notHere("inspector.open");
  module.syncBuiltinESMExports();
  const stdin = Readable.from([]);
  Object.defineProperty(process, "stdin", { get: () => stdin });
}
