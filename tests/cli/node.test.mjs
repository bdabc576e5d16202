// Modules with "use node": their actions do in Node.js what all actions do, and reach nothing of the server's.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { api, ended, openApp, push, pushOf, startServer } from "./harness.mjs";
import { act, APP, calls, failure, gate, open, processes, until, value } from "./node.mjs";

test("actions in Node.js return, call, store and schedule as others do", async (t) => {
  const { server, app } = await open(t);
  assert.equal(processes(server).length, 1, "the push has started the process that calls use");
  const X = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
  assert.equal(await value(server, "mail:hash", { text: "x" }), X);
  assert.equal(await value(server, "notes:through"), X);
  const big = { $integer: "BQAAAAAAAAA=" };
  const values = await api(server, "/api/action", { path: "mail:values", args: [{ big, bytes: { $bytes: "AQI=" }, list: [null, 1.5] }], format: "convex_encoded_json" });
  assert.deepEqual(values.body.value, { big: { $integer: "BgAAAAAAAAA=" }, bytes: { $bytes: "AQI=" }, length: 2, list: [null, 1.5] });
  assert.equal(ended(await app.convex("run", "mail:hidden")).out.trim(), '"HIDDEN!"');
  const hidden = await api(server, "/api/action", { path: "mail:hidden", args: {}, format: "json" }, { key: null });
  assert.match(hidden.body.errorMessage, /Could not find public function for 'mail:hidden'/);

  const all = await value(server, "mail:all");
  assert.ok(all.list.includes("from node"));
  assert.deepEqual({ ...all, list: undefined }, { list: undefined, hashed: X, who: null, type: "text/x-three", bytes: [1, 2, 3], fetched: [1, 2, 3], gone: null, upload: true });

  const wrong = await failure(server, "mail:hash", { text: 5 });
  assert.match(wrong.errorMessage, /ArgumentValidationError/);
  ended(await app.convex("run", "notes:later"));
  const notes = () => api(server, "/api/query", { path: "notes:list", args: {}, format: "json" }).then(({ body }) => body.value);
  await until(async () => ["by a mutation", "by an action", "by a cron"].every((text) => notes().then((all) => all.includes(text))) && (await notes()).filter((text) => text.startsWith("by a")).length >= 3);
  assert.equal(processes(server).length, 1, "they all ran in one process");

  const spec = JSON.parse(ended(await app.convex("function-spec")).out).functions;
  const hash = spec.find(({ identifier }) => identifier === "mail.js:hash");
  assert.deepEqual([hash.functionType, hash.visibility.kind, hash.returns.type], ["Action", "public", "string"]);
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  assert.match(metrics, /vestibule_node_processes 1\n/);
  assert.match(metrics, /vestibule_node_processes_broken_total 0\n/);
});

test("the environment is the deployment's alone, and a variable that changes is seen", async (t) => {
  const { server, app } = await open(t);
  const seen = await value(server, "mail:environment");
  assert.deepEqual(seen, { greeting: "hello", loadedWith: "hello", site: seen.site, path: null, zone: 0, node: true });
  assert.match(seen.site, /^http:/);
  ended(await app.convex("env", "set", "GREETING", "good day"));
  const again = await value(server, "mail:environment");
  assert.deepEqual([again.greeting, again.loadedWith], ["good day", "good day"]);
  await until(() => processes(server).length === 1);
});

test("errors come with their data, and with places in the developer's files", async (t) => {
  const { server } = await open(t);
  const plain = await failure(server, "mail:throws", { how: "plain" });
  assert.match(plain.errorMessage, /Uncaught TypeError: no luck\n    at fail \(\.\.\/convex\/lib\.ts:4:\d+\)\n    at handler \(\.\.\/convex\/mail\.ts:\d+:\d+\)\n/);
  assert.doesNotMatch(plain.errorMessage, /node:internal|node_modules|worker/);
  const data = await failure(server, "mail:throws", { how: "data" });
  assert.deepEqual(data.errorData, { code: "mine", big: "5" });
  assert.match(data.errorMessage, /Uncaught ConvexError: \{"code":"mine","big":"5n"\}/);
  assert.deepEqual((await failure(server, "mail:throws", { how: "nested" })).errorData, { code: "full" });
  assert.equal(await value(server, "mail:throws", { how: "caught" }), "full");
  assert.match((await failure(server, "mail:throws", { how: "text" })).errorMessage, /Uncaught just text/);
  assert.match((await failure(server, "mail:throws", { how: "late" })).errorMessage, /no timer\n    at fail \(\.\.\/convex\/lib\.ts/);
  assert.match((await failure(server, "mail:throws", { how: "forgotten" })).errorMessage, /no rejection\n    at fail/);
  assert.match((await failure(server, "mail:throws", { how: "exit" })).errorMessage, /process\.exit\(\) is not available in actions/);
  assert.equal(await value(server, "mail:throws", { how: "" }), null);
  assert.equal(processes(server).length, 1, "none of these ended the process");
});

test("lines are told as they are printed, and what was not awaited is named", async (t) => {
  const { server } = await open(t);
  const talk = await act(server, "mail:talk");
  assert.deepEqual(talk.logLines.slice(0, 2), ["[LOG] 'hello %s' { a: 1 }", "[WARN] Map (1) { 1 => 'x' }"]);
  assert.match(talk.logLines[2], /^\[LOG\] 'here' at handler \(\.\.\/convex\/mail\.ts:\d+:\d+\)$/);
  const forgets = await act(server, "mail:forgets");
  assert.match(forgets.logLines[0], /^\[WARN\] 1 unawaited operation: \[runMutation\]\. Async operations should be awaited/);
  const names = Array.from({ length: 20 }, (_, at) => `call ${at}`);
  const apart = await Promise.all(names.map((name) => act(server, "mail:apart", { name })));
  assert.deepEqual(apart.map(({ value, logLines }) => [value, ...logLines]), names.map((name) => [name, `[LOG] '${name}'`]));
});

test("a call speaks as its own caller, whatever call began the work", async (t) => {
  const { server } = await open(t);
  const { url, waiting, open: answer } = await gate(t);
  const as = (subject) => ({ ...server, key: `${server.key}:${btoa(JSON.stringify({ issuer: "https://issuer.example", subject }))}` });
  const ada = value(as("ada"), "mail:queued", { url });
  await until(() => waiting.length === 1);
  const others = ["bob", "eve"].map((name) => value(as(name), "mail:queued"));
  await until(() => calls(server, 3));
  answer("");
  assert.deepEqual(await Promise.all([ada, ...others]), ["ada", "bob", "eve"]);
});

test("a process reads none of the server's files, and reaches the internet alone", async (t) => {
  const { server } = await open(t, { dev: false, flags: ["--redact=false"] });
  const secret = path.join(server.data, "secret");
  writeFileSync(secret, "s3cret", { flag: "a" });
  assert.deepEqual(await value(server, "mail:files", { secret }), ["ERR_ACCESS_DENIED", "ERR_ACCESS_DENIED", "mine"]);
  const { url, waiting } = await gate(t);
  const refused = await act(server, "mail:waits", { url });
  assert.equal(refused.status, "error");
  assert.ok(refused.logLines.some((line) => /127\.0\.0\.1 is at 127\.0\.0\.1, a loopback address.*--fetch-allow 127\.0\.0\.1/.test(line)), JSON.stringify(refused));
  assert.equal(waiting.length, 0);
  assert.ok((await value(server, "mail:all")).fetched.length > 0, "it reaches this server's own files");
});

test("queries in modules for Node.js are refused, and so are versions and packages that are not there", async (t) => {
  const { server, app } = await open(t);
  app.write("convex/wrong.ts", '"use node";\nimport { query } from "./_generated/server";\nexport const list = query({ handler: async () => 1 });\n');
  const wrong = ended(await app.convex("deploy", "--typecheck", "disable"), 1);
  assert.match(wrong.all, /wrong\.js:list is a Query in a module with "use node"\. Only actions can be defined in Node\.js\./);
  app.write("convex/wrong.ts", '"use node";\nimport { fail } from "./lib";\nfail("module");\n');
  const thrown = ended(await app.convex("deploy", "--typecheck", "disable"), 1);
  assert.match(thrown.all, /Failed to analyze wrong\.js: Uncaught TypeError: no module\s+at fail \(\.\.\/convex\/lib\.ts:4/);
  app.write("convex/wrong.ts", "export {};\n");

  const source = 'export const go = Object.assign(() => {}, { isAction: true, isPublic: true, invokeAction: async () => "1" });';
  const module = { path: "go.js", source, environment: "node" };
  const body = (more) => {
    const made = pushOf({}, null, more);
    made.appDefinition.changedModules = [module];
    return made;
  };
  const old = await push(server, body({ nodeVersion: "18" }));
  assert.deepEqual([old.status, old.body.code], [400, "NodeVersionNotSupported"]);
  const packages = await push(server, body({ nodeDependencies: [{ name: "sharp", version: "0.33.2" }] }));
  assert.deepEqual([packages.status, packages.body.code], [400, "NodePackagesNotInstalled"]);
  assert.match(packages.body.message, /Start the server with --node-packages/);
  assert.equal((await push(server, body({ nodeVersion: "20" }))).status, 200);
  assert.equal(await value(server, "go:go"), 1);
});

test("without Node.js a push goes through, and says what cannot run", async (t) => {
  const server = await startServer(t, { flags: ["--node", "off"] });
  const app = openApp(t, server, APP);
  ended(await app.convex("deploy", "--typecheck", "disable"));
  const refused = await failure(server, "mail:hash", { text: "x" });
  assert.match(refused.errorMessage, /mail:hash cannot run: its module begins with "use node", and this server has no Node\.js: it was started with --node off\. .*--node PATH/);
  const all = await app.follow(["logs", "--history", "500"], (_, all) => all.includes('Actions with "use node" cannot run'));
  assert.match(all, /the "use node" module mail\.js/);
  const ready = await (await fetch(`${server.url}/readyz`)).json();
  assert.deepEqual(ready.warnings, ['Actions with "use node" cannot run, because there is no Node.js.']);
});
