// The answers of the routes of pushes and variables to mistakes: a status and a code that make tools stop, never a 5xx,
// and nothing half applied.

import assert from "node:assert/strict";
import { test } from "node:test";
import zlib from "node:zlib";
import { api, plain, push, pushOf, startServer } from "./harness.mjs";
import { directory, serve } from "./serve.mjs";

const ONE = plain("Query", 'return "1";');
const GOOD = { "a.js": `export const one = ${ONE};` };

const call = async (server, path) => (await api(server, "/api/function", { path, args: {}, format: "json" })).body;

/** Expects that `body` is refused with `code` at the start of a push. */
async function refused(server, body, code, sentence, status = 400) {
  const answer = await api(server, "/api/deploy2/start_push", body);
  assert.deepEqual([answer.status, answer.body.code], [status, code], JSON.stringify(answer).slice(0, 2_000));
  assert.match(answer.body.message, sentence);
}

test("broken bodies are refused in every encoding", async (t) => {
  // It takes long, and the server does not keep a connection open that nobody uses.
  const large = zlib.brotliCompressSync(Buffer.alloc(200_000_001, " "));
  const server = await startServer(t);
  const body = JSON.stringify(pushOf(GOOD));
  const start = "/api/deploy2/start_push";
  const br = zlib.brotliCompressSync(body);
  for (const [sent, encoding] of [
    ["{", undefined], ["[]", undefined], ['"x"', undefined], ["", undefined], ["{}", undefined],
    [body, "br"], [br.subarray(0, br.length - 20), "br"], [body, "gzip"], [body, "zstd"],
    [JSON.stringify({ ...JSON.parse(body), appDefinition: 7 }), undefined],
    [JSON.stringify({ ...JSON.parse(body), componentDefinitions: [{}] }), undefined],
  ]) {
    const answer = await api(server, start, sent, { headers: encoding ? { "Content-Encoding": encoding } : {} });
    assert.equal(answer.status, 400, `${encoding} ${sent.slice(0, 40)}: ${JSON.stringify(answer)}`);
    assert.equal(typeof answer.body.code, "string");
    assert.equal(typeof answer.body.message, "string");
  }
  const answer = await api(server, start, large, { headers: { "Content-Encoding": "br" } });
  assert.ok(answer.status === 400 || answer.status === 413, JSON.stringify(answer));
  for (const route of ["wait_for_schema", "finish_push", "evaluate_schema", "evaluate_push"]) {
    const answer = await api(server, `/api/deploy2/${route}`, {});
    assert.equal(answer.status, 400, `${route} ${JSON.stringify(answer)}`);
  }
  // Unknown fields are no mistake.
  assert.equal((await push(server, pushOf(GOOD, undefined, { fromTheFuture: [1] }))).status, 200);
  assert.equal((await call(server, "a:one")).value, 1);
});

test("keys are asked for on every route, in the header or in the body", async (t) => {
  const server = await startServer(t);
  const inBody = await api(server, "/api/get_config_hashes", { adminKey: server.key }, { key: null });
  assert.equal(inBody.status, 200, JSON.stringify(inBody));
  // Fewer than the wrong keys that one address may present in a minute.
  const routes = [
    "/api/get_config_hashes", "/api/deploy2/start_push", "/api/deploy2/finish_push", "/api/update_environment_variables",
    "/api/run_test_function", "/api/v1/pause_deployment", "/api/update_canonical_url",
  ];
  for (const route of routes) {
    const answer = await api(server, route, {}, { key: "vestibule|00" });
    assert.ok(answer.status === 401 || answer.status === 403, `${route} ${JSON.stringify(answer)}`);
    assert.equal(typeof answer.body.code, "string");
  }
});

test("modules that cannot be loaded are refused with their error", async (t) => {
  const server = await startServer(t);
  const of = (source, more = {}) => pushOf({ ...GOOD, "b.js": source, ...more });
  await refused(server, of("throw new Error('not today');"), "InvalidModules", /Failed to analyze b\.js: Uncaught Error: not today/);
  await refused(server, of("throw { toString() { throw 1 } };"), "InvalidModules", /Failed to analyze b\.js/);
  await refused(server, of("await new Promise(() => {});"), "InvalidModules", /Top-level await/);
  await refused(server, of("export const x = ;"), "InvalidModules", /SyntaxError/);
  await refused(server, of("import { x } from 'zod';"), "InvalidModules", /Could not resolve "zod"/);
  await refused(server, of("import { nothing } from './a.js';"), "InvalidModules", /nothing/);
  await refused(server, of("for (;;) {}"), "InvalidModules", /Failed to analyze b\.js: it took longer than 4 seconds/);
  await refused(server, of("const all = []; for (;;) all.push(new Array(1e6).fill(0));"), "InvalidModules", /out of memory/i);
  await refused(server, of("const deeper = () => deeper() + 1; deeper();"), "InvalidModules", /stack/i);
  await refused(server, of("await Convex.asyncSyscall('1.0/get', '{}');"), "InvalidModules", /at import time|await/);
  await refused(server, of("fetch('https://example.com');"), "InvalidModules", /fetch|import time/i);
  await refused(server, of("Object.defineProperty(globalThis, 'Convex', { get() { throw new Error('mine'); } }); Convex;"), "InvalidModules", /mine/);
  // A circle of imports is none.
  const circle = of("import { y } from './c.js'; export const x = () => y; ", { "c.js": "import { x } from './b.js'; export const y = () => x;" });
  assert.equal((await push(server, circle)).status, 200);
  assert.equal((await call(server, "a:one")).value, 1);
});

test("paths, names, validators, routes and crons are checked", async (t) => {
  const server = await startServer(t);
  for (const path of ["a.ts", "../a.js", "/a.js", "a b.js", "_system/a.js", "", "a//b.js", `${"x".repeat(600)}.js`]) {
    await refused(server, pushOf({ [path]: "" }), "BadConvexModuleIdentifier", /./);
  }
  await refused(server, pushOf({ "a.js": `const f = ${ONE}; export { f as "not a name" };` }), "InvalidFunctionName", /not a name/);
  const wrong = (field, text) => `export const f = ${plain("Query", 'return "1";', `${field}: () => ${JSON.stringify(text)}`)};`;
  await refused(server, pushOf({ "a.js": wrong("exportArgs", "{") }), "InvalidModules", /Invalid JSON returned from a\.js:f\.exportArgs\(\)/);
  await refused(server, pushOf({ "a.js": wrong("exportArgs", '{"type":"nope"}') }), "InvalidModules", /Invalid validator/);
  await refused(server, pushOf({ "a.js": wrong("exportArgs", '{"type":"string"}') }), "InvalidModules", /Invalid validator/);
  await refused(server, pushOf({ "a.js": wrong("exportReturns", '{"type":"array"}') }), "InvalidModules", /Invalid validator/);
  await refused(server, pushOf({ "a.js": wrong("exportArgs", "[".repeat(100_000)) }), "InvalidModules", /Invalid/);
  await refused(server, pushOf({ "http.js": "export default 1;" }), "InvalidModules", /Router/);
  await refused(server, pushOf({ "crons.js": "export default 1;" }), "InvalidModules", /Crons/);
  const routes = (list) => `export default { isRouter: true, getRoutes: () => ${JSON.stringify(list)}, lookup: () => null };`;
  await refused(server, pushOf({ "http.js": routes([["x", "GET"]]) }), "InvalidModules", /does not start with/);
  await refused(server, pushOf({ "http.js": routes([["/x", "BREW"]]) }), "InvalidModules", /not an allowed HTTP method/);
  const crons = (spec) => `export default { isCrons: true, export: () => ${JSON.stringify(JSON.stringify(spec))} };`;
  await refused(server, pushOf({ "crons.js": crons({ x: { name: "a:none", args: [{}], schedule: { type: "interval", seconds: 1 } } }) }), "InvalidCron", /a\.js:none/);
  await refused(server, pushOf({ ...GOOD, "crons.js": crons({ x: { name: "a:one", args: [{}], schedule: { type: "yearly" } } }) }), "InvalidCron", /./);
  await refused(server, pushOf(GOOD, { tables: 7 }), "InvalidSchema", /./);
  await refused(server, pushOf(GOOD, { tables: [{ tableName: "not a table", indexes: [] }] }), "InvalidSchema", /./);
  await refused(server, pushOf(GOOD, { tables: [{ tableName: "t", indexes: [{ indexDescriptor: "by_id", fields: ["x"] }] }] }), "InvalidSchema", /by_id/);
  await refused(server, pushOf(GOOD, { tables: [{ tableName: "t", indexes: [{ indexDescriptor: "i", fields: ["_creationTime"] }] }] }), "InvalidSchema", /_creationTime/);
  await refused(server, pushOf(GOOD, undefined, { nodeVersion: "18" }), "NodeVersionNotSupported", /18/);
  const race = pushOf(GOOD);
  race.appDefinition.unchangedModuleHashes = [{ path: "z.js", environment: "isolate", sha256: "00" }];
  await refused(server, race, "RaceDetected", /push again/);
  // Nothing of all that is live, and nothing of it is in the way.
  assert.match((await call(server, "a:one")).errorMessage, /Could not find function/);
  assert.equal((await push(server, pushOf(GOOD))).status, 200);
});

test("ten thousand functions and a bundle of thirty megabytes are taken", async (t) => {
  const server = await startServer(t);
  const names = Array.from({ length: 10_000 }, (_, n) => `f${n}`);
  const many = `const f = ${ONE};\n${names.map((name) => `export const ${name} = f;`).join("\n")}`;
  assert.equal((await push(server, pushOf({ "many.js": many }))).status, 200);
  assert.equal((await call(server, "many:f9999")).value, 1);
  const large = `export const long = ${JSON.stringify("x".repeat(30_000_000))}; export const size = ${plain("Query", "return String(long.length);")};`;
  const answer = await push(server, pushOf({ "large.js": large }));
  assert.ok(answer.status === 200 || answer.status === 400, JSON.stringify(answer).slice(0, 500));
  if (answer.status === 200) assert.equal((await call(server, "large:size")).value, 30_000_000);
  else assert.equal((await call(server, "many:f9999")).value, 1);
});

test("variables out of bounds are refused, and none of their call is set", async (t) => {
  const server = await startServer(t);
  const set = (...changes) => api(server, "/api/update_environment_variables", { changes });
  const cases = [
    ["", "EnvironmentVariableNameInvalid"], ["1A", "EnvironmentVariableNameInvalid"], ["A-B", "EnvironmentVariableNameInvalid"],
    ["Ä", "EnvironmentVariableNameInvalid"], ["A".repeat(257), "EnvironmentVariableNameTooLong"],
  ];
  for (const [name, code] of cases) {
    const answer = await set({ name: "GOOD", value: "1" }, { name, value: "1" });
    assert.deepEqual([answer.status, answer.body.code], [400, code], JSON.stringify(answer));
  }
  const long = await set({ name: "GOOD", value: "x".repeat(8 * 1_024 + 1) });
  assert.deepEqual([long.status, long.body.code], [400, "EnvironmentVariableValueTooLarge"], JSON.stringify(long));
  assert.equal((await set({ name: "CONVEX_CLOUD_URL", value: "x" })).status, 400);
  for (const body of [{}, { changes: 7 }, { changes: [{ value: "1" }] }, { changes: [{ name: "A", value: 1 }] }]) {
    assert.equal((await api(server, "/api/update_environment_variables", body)).status, 400, JSON.stringify(body));
  }
  const listed = await api(server, "/api/list_environment_variables", null, { method: "GET" });
  assert.deepEqual(listed.body, { environmentVariables: {} });
  const full = Array.from({ length: 600 }, (_, n) => ({ name: `V${n}`, value: "x" }));
  assert.equal((await set(...full)).status, 400);
  assert.equal((await set(...full.slice(0, 512))).status, 200);
  assert.equal((await set({ name: "MORE", value: "x" })).status, 400);
  assert.equal((await set({ name: "V0", value: null }, { name: "NEVER", value: null }, { name: "MORE", value: "x" })).status, 200);
});

test("inline queries are bounded and checked", async (t) => {
  const server = await startServer(t);
  const run = (bundle, more = {}) => api(server, "/api/run_test_function", { bundle, args: {}, format: "convex_encoded_json", ...more });
  const source = 'import { query } from "convex:/_system/repl/wrappers.js"; export default query({ handler: async () => 7 });';
  assert.equal((await run({ path: "testQuery.js", source })).body.value, 7);
  for (const [bundle, more] of [
    [undefined, {}], [{ path: "testQuery.js" }, {}], [{ path: "../x.js", source }, {}], [{ path: "_system/x.js", source }, {}],
    [{ path: "testQuery.js", source: "x".repeat(1 << 21) }, {}], [{ path: "testQuery.js", source }, { format: "nope" }],
    [{ path: "testQuery.js", source }, { componentId: "abc" }],
  ]) {
    const answer = await run(bundle, more);
    assert.ok(answer.status >= 400 && answer.status < 500, `${JSON.stringify(bundle)?.slice(0, 80)} ${JSON.stringify(answer)}`);
  }
  for (const source of ["", "export default 1;", "throw 1;", "export default { isAction: true };", "for (;;) {}", "await 1"]) {
    const answer = await run({ path: "testQuery.js", source });
    assert.deepEqual([answer.status, answer.body.status], [200, "error"], `${source}: ${JSON.stringify(answer)}`);
  }
  assert.equal((await run({ path: "testQuery.js", source })).body.value, 7);
});

test("each refusal and each failure has one line in the log, without the data", async (t) => {
  const server = await serve(t, directory(t));
  const asked = '{ name: "a:fails", ts: Date.now() / 1000, args: { pin: "s3cret" }, version: "1.49.0" }';
  const plan = `await Convex.asyncSyscall("1.0/schedule", JSON.stringify(${asked})); return "null";`;
  const module = `export const fails = ${plain("Mutation", 'throw new Error("the rent is due");')}; export const plan = ${plain("Mutation", plan)};`;
  const documentType = { type: "object", value: { n: { fieldType: { type: "number" }, optional: false } } };
  const schema = { tables: [{ tableName: "typed", indexes: [], searchIndexes: [], vectorIndexes: [], documentType }], schemaValidation: true };
  assert.equal((await push(server, pushOf({ "a.js": module }, schema))).status, 200);
  const before = server.lines().length;
  const bytes = { "Content-Type": "application/octet-stream" };
  const imported = (body, format, table = "numbers") => api(server, `/api/import?tableName=${table}&format=${format}&mode=append`, body, { headers: bytes });
  const refusals = [
    ["InvalidImport", () => imported('{"n":1}\n{"s3cret\n', "jsonLines"), "WARN numbers:2: a document"],
    ["InvalidImport", () => imported('{"s3cret":1,"$n":2}\n', "jsonLines"), "WARN numbers"],
    ["InvalidImport", () => imported("n\n1,s3cret\n", "csv"), "WARN numbers:2: a document"],
    ["InvalidImport", () => imported('{"n":"s3cret"}\n', "jsonLines", "typed"), "WARN typed"],
    ["InvalidModules", () => push(server, pushOf({ "b.js": "throw new Error('s3cret');" })), "INFO InvalidModules"],
  ];
  for (const [code, refused] of refusals) assert.equal((await refused()).body.code, code);
  const planned = await api(server, "/api/function", { path: "a:plan", args: {}, format: "json" });
  assert.equal(planned.body.status, "success", JSON.stringify(planned));
  while (server.says("a job failed").length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  // All that is written until the end counts. Lines of refused answers, at INFO, do not.
  await server.stop();
  const lines = server.lines().slice(before).filter(({ level, fields }) => level !== "INFO" || fields.message?.startsWith("a change of"));
  const wanted = [...refusals.map(([, , line]) => line), "WARN Uncaught Error: the rent is due"];
  assert.equal(lines.length, wanted.length, JSON.stringify(lines));
  lines.forEach(({ level, fields }, n) => assert.ok(`${level} ${fields.error ?? fields.code}`.startsWith(wanted[n]), JSON.stringify(fields)));
  assert.doesNotMatch(JSON.stringify(server.lines()), /s3cret/);
});
