// The environment of pushed functions, with the official package in between: the web platform as Node.js has it, and
// host operations by kind of function. Also errors, nested calls, pages, limits, tokens and the HTTP API.

import assert from "node:assert/strict";
import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { createPublicKey, verify } from "node:crypto";
import path from "node:path";
import { after, before, test } from "node:test";
import { api, ended, openApp, startServer } from "./harness.mjs";
import { ROWS, shown } from "./matrix.mjs";

const VERSION = "1.49.0";
const SERVER_ERROR = /^\[Request ID: [0-9a-f]{16}\] Server Error\n/;

let server;
const ends = [];
before(async () => {
  // They live as long as the file's tests.
  const t = { after: (end) => ends.unshift(end) };
  server = await startServer(t);
  const app = openApp(t, server, path.join(import.meta.dirname, "apps/abi"));
  ended(await app.convex("dev", "--once", "--typecheck", "disable"));
});
after(async () => {
  for (const end of ends) await end();
});

async function post(address, body, headers = {}) {
  const init = { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) };
  const response = await fetch(server.url + address, init);
  return { code: response.status, ...(await response.json()) };
}

const call = (kind, name, args = {}, headers) => post(`/api/${kind}`, { path: name, args, format: "json" }, headers);

async function value(kind, name, args) {
  const answer = await call(kind, name, args);
  assert.equal(answer.status, "success", `${name}: ${answer.errorMessage}`);
  return answer.value;
}

async function failure(kind, name, args) {
  const answer = await call(kind, name, args);
  assert.equal(answer.status, "error", `${name} returned ${JSON.stringify(answer.value)}`);
  assert.match(answer.errorMessage, SERVER_ERROR);
  return { ...answer, text: answer.errorMessage.replace(SERVER_ERROR, "") };
}

test("the web platform answers as that of Node.js, in every kind of function", async () => {
  Object.assign(globalThis, { AsyncLocalStorage, AsyncResource });
  globalThis.self = globalThis.Convex = globalThis;
  process.env.TZ = "UTC";
  const { answers } = await import("./apps/abi/convex/web_cases.js");
  const expected = JSON.parse(await answers());
  for (const [kind, path] of [["query", "web:q"], ["mutation", "web:m"], ["action", "web:a"]]) {
    assert.deepEqual(JSON.parse(await value(kind, path)), expected, path);
  }
  assert.deepEqual(await (await fetch(`${server.url}/http/web`)).json(), expected, "an HTTP action");
});

test("every host operation answers or refuses as its kind of function may", async () => {
  const ask = async (context, op, args, sync) => {
    const calls = [{ op: `1.0/${op}`, args: JSON.stringify(args), ...(sync ? { sync } : {}) }];
    if (context === "http") return (await post("/http/raw", { calls }))[0];
    const [answer] = await value(context, `raw:${context[0]}`, { calls });
    return answer;
  };
  const done = async (op, args) => JSON.parse((await ask("mutation", op, args)).ok);
  const insert = async (table, fields) => (await done("insert", { table, value: fields }))._id;
  const job = { name: "raw:hiddenMutation", ts: Date.now() / 1000 + 3600, args: {}, version: VERSION };
  const known = { item: await insert("items", { a: 1 }), other: await insert("other", {}), gone: await insert("items", {}), job: await done("schedule", job) };
  for (const name of ["file", "fileOfM", "fileOfA", "fileOfH"]) known[name] = await done("storageStore", { blob: "aGk=", contentType: "text/plain" });
  await done("remove", { id: known.gone });
  for (const { op, sync, args, expected } of ROWS(known)) {
    for (const [context, wanted] of Object.entries(expected)) {
      assert.equal(shown(await ask(context, op, args, sync), known), wanted, `${op} ${JSON.stringify(args)} in ${context}`);
    }
  }
});

test("what functions throw is shown with its name, its text and the developer's own places", async () => {
  const texts = {
    error: "Uncaught Error: boom\n", empty: "Uncaught Error\n", type: "Uncaught TypeError: x is bad\n", string: "Uncaught boom\n", object: "Uncaught #<Object>\n",
    null: "Uncaught null\n", array: "Uncaught [object Array]\n", named: "Uncaught Special: n\n", noname: "Uncaught Error: n\n", convexString: "Uncaught ConvexError: full\n", convexObject: 'Uncaught ConvexError: {"code":"FULL","n":5}\n',
  };
  for (const [kind, path] of [["query", "behave:throwQ"], ["mutation", "behave:throwM"], ["action", "behave:throwA"]]) {
    for (const [what, text] of Object.entries(texts)) {
      const { text: told } = await failure(kind, path, { what });
      assert.ok(told.startsWith(text), `${what}: ${told}`);
    }
    assert.match((await failure(kind, path, { what: "error" })).text, /^ {4}at thrower \(\.\.\/convex\/behave\.ts:\d+:\d+\)$/m);
    assert.deepEqual((await failure(kind, path, { what: "convexObject" })).errorData, { code: "FULL", n: 5 });
    assert.equal((await failure(kind, path, { what: "convexNull" })).errorData, null);
    assert.equal("errorData" in (await failure(kind, path, { what: "error" })), false);
  }
});

test("a nested call that fails leaves nothing, and its caller learns why", async () => {
  const nested = await value("mutation", "behave:nestedM");
  const [before, after] = nested.ryw;
  assert.equal(after, before + 1);
  assert.match(nested.fail.error, /^Error: Uncaught Error: boom\n {4}at thrower/);
  assert.deepEqual(nested.failData.data, { code: "FULL", n: 5 });
  assert.match(nested.failData.error, /^ConvexError: Uncaught ConvexError: /);
  assert.equal(nested.failString.error, "Error: Uncaught boom");
  assert.equal(nested.afterFail, after);
  assert.equal(nested.jobs, 0);
  assert.equal(nested.afterChild, after + 1);
  assert.equal(nested.snapshot.ok, before);
  assert.match(nested.args.error, /^Error: ArgumentValidationError: Value does not match validator\.\nPath: \.what\nValue: 5\.0\nValidator: v\.string\(\)\n$/);
  assert.equal(nested.missing.error, "Error: Could not find public function for 'behave:nope'.");
  assert.equal(nested.kind.error, "Error: Trying to execute behave.js:add as Query, but it is defined as Mutation.");
  assert.deepEqual(nested.counts, [1, 1]);
  // One time for all of it, and randomness that goes on.
  assert.deepEqual(nested.times, [true, true, true]);
  assert.match(nested.depth.error, /Cross component call depth limit exceeded\. Do you have an infinite loop in your app\?$/m);
  assert.match(nested.limits.error, /Too many documents read in a single function execution/);
  assert.match(nested.limitsW.error, /Too many writes in a single function execution/);
  assert.match(nested.limitsS.error, /Too many functions scheduled by this mutation/);
  for (const handle of [nested.handle, nested.bareHandle, nested.movedHandle]) assert.equal(handle.ok, "hidden");
  assert.equal(nested.noHandle.error, "Error: Invalid function handle function://00ff");
  assert.match(nested.returns.error, /^Error: ReturnsValidationError: Value does not match validator\.\nPath: \.n\n/);
  const metrics = ["bytesRead", "bytesWritten", "databaseQueries", "documentsRead", "documentsWritten", "fileReadBytes", "fileWriteBytes", "filesRead", "filesWritten", "functionsScheduled", "scheduledFunctionArgsBytes"];
  assert.deepEqual(Object.keys(nested.metrics).sort(), metrics);
  const inQuery = await value("query", "behave:nestedInQuery");
  assert.equal(inQuery.metrics.databaseQueries.used, 1);
  assert.equal(inQuery.stale.error, "Error: `useStaleSnapshot` is only supported in mutations, not queries.");
  assert.deepEqual(inQuery.meta[0], { name: "behave:nestedInQuery", componentPath: "", type: "query", visibility: "public" });
  assert.equal(inQuery.meta[2], "bigint");
});

test("a call that runs out of time ends its callers, and is a plain error to an action", async () => {
  const before = await value("query", "behave:items");
  const { text, errorData } = await failure("mutation", "behave:spun");
  assert.match(text, /^Function execution timed out \(maximum duration: \d+s\)/);
  assert.deepEqual(errorData, { code: "FunctionTimedOut" });
  assert.equal(await value("query", "behave:items"), before);
  assert.deepEqual(await value("action", "behave:spunA"), [false, "Error", "undefined"]);
});

test("a variable that is read while a module is loaded is a dependency of its queries", async () => {
  const set = async (changed) => {
    const changes = [{ name: "READ_AT_LOAD", value: changed }];
    assert.equal((await api(server, "/api/update_environment_variables", { changes })).status, 200);
  };
  assert.equal(await value("query", "behave:readAtLoad"), null);
  for (const changed of ["one", "two"]) {
    await set(changed);
    assert.equal(await value("query", "behave:readAtLoad"), changed);
  }
  await set(null);
  assert.equal(await value("query", "behave:readAtLoad"), null);
});

test("files that a mutation stores and reads are counted", async () => {
  assert.deepEqual(await value("mutation", "behave:storesFiles"), [1, 5, 1, 5]);
});

test("what is begun is done in order, and what is left over is told", async () => {
  assert.deepEqual(await value("mutation", "behave:all"), [1, 2, 3, 4, 5]);
  assert.deepEqual(await value("mutation", "behave:race"), ["micro", "insert", "runQuery", "first"]);
  assert.deepEqual(await value("mutation", "behave:parallelNested"), [["fulfilled", "rejected", "fulfilled"], 2]);
  await value("mutation", "behave:forgottenChain");
  await failure("mutation", "behave:rejected");
  const { ok } = (await value("query", "raw:q", { calls: [{ op: "1.0/queryPage", args: JSON.stringify({ query: { source: { type: "FullTableScan", tableName: "items", order: "desc" }, operators: [] }, cursor: null, pageSize: 100 }) }] }))[0];
  for (const [text, is] of [["chain1", true], ["chain2", true], ["afterReject", false], ["lost", false]]) assert.equal(ok.includes(`"${text}"`), is, text);
  for (const [kind, path] of [["query", "behave:never"], ["action", "behave:neverA"]]) assert.match((await failure(kind, path)).text, /Returned promise will never resolve/);
  for (const [kind, path] of [["query", "behave:unhandled"], ["action", "behave:unhandledA"]]) assert.match((await failure(kind, path)).text, /^Uncaught Error: nobody\n/);
});

test("results that are no values are refused with their reason", async () => {
  const texts = {
    returnQuery: "Uncaught Error: Return value is a Query. Results must be retrieved with", returnLong: "Function behave.js:returnLong return value invalid: Array length is too long (9000 > maximum length 8192)",
    returnFields: "Function behave.js:returnFields return value invalid: Object has too many fields (1100 > maximum number 1024)", returnLarge: "Function behave.js:returnLarge return value is too large (actual: 17 MiB, limit: 16 MiB)",
    badReturn: "ReturnsValidationError: Value does not match validator.\nPath: .n\nValue: \"x\"\nValidator: v.float64()\n",
  };
  for (const [name, text] of Object.entries(texts)) {
    const told = (await failure("query", `behave:${name}`)).text;
    assert.ok(told.startsWith(text), told);
  }
  assert.equal(await value("query", "behave:returnUndefined"), null);
  assert.deepEqual(await value("query", "behave:returnSpecial"), ["NaN", "-0", "Infinity", "1", "AQI=", "ä\u0000", 1e300, 5e-324].map((each) => (each === "-0" ? -0 : each)));
  assert.equal((await failure("query", "behave:returnDeep", { n: 65 })).text, "Function behave.js:returnDeep return value invalid: Value is too nested (nested 65 levels deep > maximum nesting 64)\n");
});

test("arguments are one object that fits, or the call says what it wants", async () => {
  const list = [
    [[{ x: 1 }, 2], "Expected to receive a single object as the function's argument. Instead received 2 arguments: ["],
    [5, "Expected to receive an object as the function's argument. Instead received: 5\n"],
    [[5], "Expected to receive an object as the function's argument. Instead received: 5\n"],
    ["text", "Expected to receive an object as the function's argument. Instead received: \"text\""],
    [{ x: { $integer: "x" } }, "Invalid arguments for limits.js:any: "],
    [{ x: { $undefined: null } }, "Invalid arguments for limits.js:any: "],
    [{}, "ArgumentValidationError: Object is missing the required field `x`. Consider wrapping the field validator in `v.optional(...)` if this is expected.\n\nObject: {}\nValidator: v.object({x: v.any()})\n"],
    [{ x: 1, y: 2 }, "ArgumentValidationError: Object contains extra field `y` that is not in the validator.\n\nObject: {x: 1.0, y: 2.0}\nValidator: v.object({x: v.any()})\n"],
  ];
  for (const [args, text] of list) {
    const told = (await failure("query", "limits:any", args)).text;
    assert.ok(told.startsWith(text), told);
  }
  const other = await value("mutation", "behave:write", { table: "other", value: {} });
  const kinds = [
    ["s", 1, "v.string()"], ["n", { $integer: "AQAAAAAAAAA=" }, "v.float64()"], ["i", 1, "v.int64()"], ["b", null, "v.boolean()"], ["nul", 0, "v.null()"], ["by", "x", "v.bytes()"], ["id", "zz", 'v.id("items")'], ["arr", {}, "v.array(v.float64())"],
    ["obj", [], "v.object({a: v.string(), b: v.optional(v.float64())})"], ["rec", [1], "v.record(v.string(), v.float64())"], ["uni", null, "v.union(v.string(), v.float64())"], ["empty", 1, "v.union()"], ["fn", "x", "v.function()"], ["cts", 5, "v.commitTs()"], ["opt", null, "v.string()"],
  ];
  for (const [name, x, validator] of kinds) {
    const { text } = await failure("query", `limits:${name}`, { x });
    assert.match(text, /^ArgumentValidationError: Value does not match validator\.\nPath: \.x\nValue: /);
    assert.ok(text.includes(`\nValidator: ${validator}\n`), text);
  }
  assert.match((await failure("query", "limits:lit", { x: "b" })).text, /^ArgumentValidationError: `"b"` does not match literal validator `v\.literal\("a"\)`\./);
  assert.match((await failure("query", "limits:id", { x: other })).text, /^ArgumentValidationError: Found ID "\w+" from table `other`, which does not match the table name in validator `v\.id\("items"\)`\./);
  assert.match((await failure("query", "limits:deep", { x: [{ a: 5 }] })).text, /\nPath: \.x\[0\]\.a\n/);
  assert.match((await failure("query", "limits:rec", { x: { a: "x" } })).text, /\nPath: \.x\.values\(\)\n/);
  assert.equal(await value("query", "limits:fn", { x: "function://abc#raw:q" }), null);
});

test("documents that do not fit are refused, and the system's tables are read only", async () => {
  const docs = await value("mutation", "limits:docs");
  assert.equal(docs.almost, "string");
  assert.match(docs.deep.error, /isn't a valid document: Document is too nested \(nested 17 levels deep > maximum nesting 16\)$/);
  assert.match(docs.large.error, /^Value is too large \(.* > maximum size 1 MiB\)$/);
  assert.match(docs.array.error, /Array length is too long \(9000 > maximum length 8192\)$/);
  assert.match(docs.fields.error, /Object has too many fields \(1100 > maximum number 1024\)$/);
  assert.match(docs.under.error, /Field '_a' starts with an underscore, which is only allowed for system fields like '_id'$/);
  assert.equal(docs.empty.error, "Identifier cannot be empty");
  const patched = await value("mutation", "limits:typedPatch");
  for (const refused of patched.slice(0, 4)) assert.match(refused.error, /^Failed to insert or update a document in table "typed" because it does not match the schema: /);
  assert.equal(patched[4], 1);
  const system = await value("mutation", "behave:system");
  assert.equal(system.getUser.error, "Error: User tables cannot be accessed with db.system.");
  assert.equal(system.userGet.error, "Error: System tables can only be accessed with db.system.");
  assert.deepEqual(system.unknown.ok, []);
  assert.equal(system.patchWrong.error, 'Error: Invalid argument `id` for `db.patch`: expected to be an Id<"other">, got Id<"items"> instead.');
  assert.deepEqual(system.table.ok, [2, 2]);
  assert.match(system.unique.error, /^Error: unique\(\) query returned more than one result from table items:\n \[\w+, \w+, \.\.\.\]$/);
  assert.deepEqual(system.state, { kind: "canceled" });
  assert.match(system.patch.error, /_scheduled_functions is a read-only table/);
  const changed = await value("mutation", "behave:clobber");
  assert.deepEqual(changed.p1, [1, { c: 3 }]);
  assert.deepEqual(changed.p2.sort(), ["_creationTime", "_id", "b"]);
  assert.match(changed.del.error, /^Error: Delete on nonexistent document ID \w+$/);
  assert.equal(changed.times, true);
  // Until the commit it is no number.
  assert.equal(changed.commitTs.ok, "object");
});

test("a commit puts its timestamp where a mutation has asked for it", async () => {
  const wrote = await value("mutation", "timestamps:write");
  assert.deepEqual(wrote.readBack, [true, true, "7", false]);
  assert.equal(wrote.order, "old,overwritten,new,patched,greatest,nested");
  assert.equal(wrote.bounded, "old,overwritten");
  assert.equal(wrote.filtered, "old,overwritten");
  assert.equal(wrote.echoed, true);
  assert.equal(wrote.failed, true);
  assert.match(wrote.scheduled.error, /^Error: `db\.vars\.commitTs` can only be /);
  assert.ok(BigInt(wrote.ts) > BigInt(wrote.snapshot), `${wrote.ts} after ${wrote.snapshot}`);
  assert.equal(wrote.list[0].ts, wrote.ts);
  const stored = await value("query", "timestamps:list");
  const shown = stored.map(({ kind, ts, deep }) => [kind, ts, deep?.[0].ts].join(" ").trim());
  const { ts } = wrote;
  assert.deepEqual(shown, ["old 5", "overwritten 7", `new ${ts} ${ts}`, `patched ${ts}`, `nested ${ts}`, `greatest ${2n ** 63n - 1n}`]);
  assert.match(String(await value("mutation", "timestamps:nothing")), /^\d+$/);
  const refused = await call("query", "timestamps:unresolved");
  assert.match(refused.errorMessage, /Function timestamps\.js:unresolved return value invalid: queries cannot return an unresolved commit timestamp/);
});

test("filters and ranges go by the total order of values", async () => {
  const filters = await value("mutation", "limits:filters");
  const expected = { lt5: "0,1,2,3,4,5,6,7", gt5: "9,10,11,12,13,14,15,16,17,18,19,20,21", eqU: "0", eq5: "8", eq5n: "4", nan: "9", zero: "6", minus0: "5", arr: "19", obj: "21", or0: "", andShort: "", mod: "3,8,13,18" };
  for (const [name, ids] of Object.entries(expected)) assert.equal(filters[name].ok, ids, name);
  const errors = { addMix: "Cannot add 1 (type Int64) and 2.0 (type Float64)", subMix: 'Cannot subtract "a" (type String) and 2.0 (type Float64)', div0: "Cannot divide 1 by zero", negStr: 'Cannot negate "x" (type String)', over: "Cannot add 9223372036854775807 and 9: the result is out of range for Int64", result: "Cannot use value 3.0 (type Float64) as a Boolean", resultU: "Cannot use value undefined (type undefined) as a Boolean" };
  for (const [name, text] of Object.entries(errors)) assert.equal(filters[name].error, text);
  const ranges = await value("mutation", "limits:ranges");
  const all = "0,1,2,3,4,6,7,8,9,10,11,12,5,13,14,15,16,19,18,17,20,21,22,23,24,25,26,27,28,29,30";
  assert.equal(ranges.all.ok, all);
  assert.equal(ranges.desc.ok, all.split(",").reverse().join(","));
  assert.equal(ranges.lt5.ok, "0,1,2,3,4,6,7,8,9,10");
  assert.equal(ranges.gtU.ok, all.slice(2));
  assert.equal(ranges.empty.ok, "");
});

test("pages end where they say, go on from there, and split", async () => {
  await value("mutation", "behave:clear", { table: "other" });
  await value("mutation", "behave:fill", { n: 10 });
  const page = async (opts, more = {}) => {
    const got = await value("query", "behave:page", { opts: { cursor: null, ...opts }, ...more });
    return { ...got, ns: got.page.map(({ n }) => n).join(",") };
  };
  const first = await page({ numItems: 4 });
  assert.deepEqual([first.ns, first.isDone, first.pageStatus], ["0,1,2,3", false, null]);
  const rest = await page({ numItems: 6, cursor: first.continueCursor });
  assert.deepEqual([rest.ns, rest.isDone], ["4,5,6,7,8,9", false]);
  const last = await page({ numItems: 4, cursor: rest.continueCursor });
  assert.deepEqual([last.ns, last.isDone], ["", true]);
  assert.equal((await page({ numItems: 4, cursor: last.continueCursor })).isDone, true);
  const short = await page({ numItems: 11 });
  assert.deepEqual([short.isDone, short.continueCursor], [true, last.continueCursor]);
  const fixed = await page({ numItems: 1, endCursor: rest.continueCursor, maximumRowsRead: 2 });
  assert.deepEqual([fixed.ns, fixed.continueCursor], ["0,1,2,3,4,5,6,7,8,9", rest.continueCursor]);
  const cut = await page({ numItems: 10, maximumRowsRead: 5 });
  assert.deepEqual([cut.ns, cut.pageStatus], ["0,1,2,3,4", "SplitRequired"]);
  assert.equal((await page({ numItems: 4, maximumRowsRead: 5 })).pageStatus, "SplitRecommended");
  const left = await page({ numItems: 4, endCursor: first.splitCursor });
  const right = await page({ numItems: 4, cursor: first.splitCursor, endCursor: first.continueCursor });
  assert.equal(`${left.ns},${right.ns}`, first.ns);
  assert.equal((await page({ numItems: 2 })).splitCursor, null);
  assert.equal((await page({ numItems: 10, maximumRowsRead: 3 }, { min: 2 })).ns, "2");
  assert.equal((await page({ numItems: 4 }, { table: "unknown" })).isDone, true);
  const refused = async (opts, more = {}) => failure("query", "behave:page", { opts: { cursor: null, ...opts }, ...more });
  assert.match((await refused({ numItems: 0 })).text, /Must request at least 1 document while paginating/);
  assert.match((await refused({ numItems: 40000 })).text, /Requested too many items: 40000/);
  assert.match((await refused({ numItems: 1, maximumBytesRead: 0 })).text, /maximumRowsRead and maximumBytesRead must be greater than 0/);
  const none = await refused({ numItems: 1, cursor: "x" });
  assert.match(none.text, /InvalidCursor: Failed to parse cursor/);
  const foreign = await refused({ numItems: 1, cursor: first.continueCursor }, { min: 3 });
  for (const { errorData } of [none, foreign]) assert.deepEqual(errorData, { isConvexSystemError: true, paginationError: "InvalidCursor" });
  assert.match((await failure("query", "behave:twoPages")).text, /This query or mutation function ran multiple paginated queries\./);
});

test("what queries and mutations may not do is named", async () => {
  const subjects = { fetch: "fetch()", setTimeout: "setTimeout", setInterval: "setInterval", generateKey: "cryptographic randomness", store: "storage.store()", get: "storage.get()", formData: "formData()" };
  for (const [what, subject] of Object.entries(subjects)) {
    for (const [kind, path] of [["query", "behave:forbidOne"], ["mutation", "behave:forbidOneM"]]) {
      const { text } = await failure(kind, path, { what });
      assert.equal(text, `Uncaught Error: Can't use ${subject} in queries and mutations. Please consider using an action. See https://docs.convex.dev/functions/actions for more details.\n`);
    }
    // Actions and HTTP actions may. No file has the id that they ask for.
    const asked = { what, url: `${server.url}/version` };
    const may = what === "get" ? /^caught Invalid argument `storageId` for `storage.get`/ : /^worked$/;
    assert.match(await value("action", "behave:allowOne", asked), may, what);
    const answer = await fetch(`${server.url}/http/allow`, { method: "POST", body: JSON.stringify(asked) });
    assert.match(await answer.json(), may, `${what} in an HTTP action`);
  }
  for (const [kind, path] of [["query", "behave:forbidOne"], ["mutation", "behave:forbidOneM"]]) {
    assert.equal((await failure(kind, path, { what: "js" })).text, "Uncaught Error: Unknown JS syscall: nope\n");
    for (const what of ["import", "importVar"]) assert.equal(await value(kind, path, { what }), "caught Can't dynamically import ./raw.js in a query or mutation");
  }
  assert.deepEqual(await value("action", "behave:importA", { what: "own" }), { ok: "function" });
  assert.match((await value("action", "behave:importA", { what: "./nope.js" })).error, /nope\.js/);
  const env = await value("query", "behave:env");
  assert.deepEqual([env.missing, env.keys, env.has, env.inspect, env.cloud], ["undefined", [], false, "function", server.url]);
  for (const name of ["window", "require", "buffer", "global", "custom"]) assert.equal(env[name], "undefined", name);
});

test("HTTP actions are found by path and method, and answer as they say", async () => {
  const ask = async (method, path, init = {}) => {
    const response = await fetch(`${server.url}/http${path}`, { method, redirect: "manual", ...init });
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  const texts = { "/pre/x": "prefix /pre/x", "/pre/": "prefix /pre/", "/pre/longer/y": "longer", "/pre/exact": "exact" };
  for (const [path, text] of Object.entries(texts)) assert.equal((await ask("GET", path)).text, text);
  for (const [method, path] of [["GET", "/nope"], ["GET", "/pre"], ["POST", "/pre/x"], ["OPTIONS", "/echo"], ["GET", "/cors"]]) {
    const missing = await ask(method, path);
    assert.deepEqual([missing.status, missing.text, missing.headers.get("content-type")], [404, "No matching routes found", "text/plain"]);
  }
  const head = await ask("HEAD", "/pre/exact");
  assert.deepEqual([head.status, head.text], [200, ""]);
  for (const method of ["GET", "POST", "PUT", "DELETE", "PATCH"]) {
    const body = method === "GET" ? null : "hi";
    const echoed = JSON.parse((await ask(method, "/echo?a=1&b=%20", { headers: { "X-Mine": "1" }, ...(body ? { body } : {}) })).text);
    assert.deepEqual([echoed.method, new URL(echoed.url).search, echoed.body, echoed.headers], [method, "?a=1&b=%20", body, [["x-mine", "1"]]]);
  }
  const preflight = await ask("OPTIONS", "/cors", { headers: { origin: "https://a.example" } });
  assert.deepEqual([preflight.status, preflight.headers.get("access-control-allow-origin")], [204, "https://a.example"]);
  assert.equal((await ask("POST", "/cors", { headers: { origin: "https://a.example" } })).headers.get("access-control-allow-origin"), "*");
  assert.equal((await ask("GET", "/noBody")).status, 205);
  assert.equal((await ask("GET", "/stream")).text, "data: 1\n\ndata: 2\n\ndata: 3\n\n");
  const cookies = await ask("GET", "/cookies");
  assert.deepEqual([cookies.status, cookies.headers.getSetCookie()], [203, ["a=1", "b=2"]]);
  assert.equal((await ask("GET", "/redirect")).headers.get("location"), "https://example.com/x");
  const threw = await ask("GET", "/throws");
  assert.equal(threw.status, 500);
  const told = JSON.parse(threw.text);
  assert.match(told.code, /^\[Request ID: [0-9a-f]{16}\] Server Error: Uncaught Error: no answer$/);
  assert.match(told.trace, /^Uncaught Error: no answer\n {4}at .*http\.ts:\d+:\d+\)/);
  assert.deepEqual(JSON.parse((await ask("GET", "/throwsData")).text).data, { code: "FULL", n: 5 });
  assert.match(JSON.parse((await ask("GET", "/nothing")).text).code, /Uncaught Error: HTTP actions must return a Response$/);
  assert.equal((await ask("GET", "/identity")).text, "null");
  assert.equal((await ask("GET", "/identity", { headers: { authorization: "Bearer a.b.c" } })).status, 401);
  const form = new FormData();
  form.set("a", "1");
  form.set("file", new Blob(["content"], { type: "text/x" }), "n.txt");
  assert.deepEqual(JSON.parse((await ask("POST", "/form", { body: form })).text), ["1", "n.txt", "text/x", "content"]);
  assert.deepEqual(JSON.parse((await ask("POST", "/calls")).text), ["string", "number", 5, "127.0.0.1"]);
  const blob = await ask("POST", "/blob", { body: "stored", headers: { "content-type": "text/mine" } });
  assert.deepEqual(JSON.parse(blob.text), ["text/mine", "stored", "string", null]);
  // The status goes out before the answer is cut off at its bound.
  const large = await fetch(`${server.url}/http/large`);
  assert.equal(large.status, 200);
  await assert.rejects(large.arrayBuffer());
});

test("a body that nobody reads changes no answer, and costs no runtime", async () => {
  const runtimes = async () => Number(/^vestibule_js_runtimes_made_total (\d+)$/m.exec(await (await fetch(`${server.url}/metrics`)).text())[1]);
  const post = async (path, body) => {
    const response = await fetch(`${server.url}/http${path}`, { method: "POST", body });
    return [response.status, await response.text()];
  };
  const asked = async (body) => {
    assert.deepEqual(await post("/nope", body), [404, "No matching routes found"]);
    assert.deepEqual(await post("/unread", body), [401, "unread"]);
    assert.deepEqual(await post("/unreadCancels", body), [200, "canceled"]);
    const [status, text] = await post("/unreadThrows", body);
    assert.deepEqual([status, JSON.parse(text).data], [500, "unread"]);
  };
  await asked("x");
  const before = await runtimes();
  for (const body of ["x", "x".repeat(300_000)]) for (let n = 0; n < 3; n++) await asked(body);
  // One more may be made where one is still at work for the call before.
  assert.ok((await runtimes()) - before <= 2, "runtimes are used again");
});

test("a document's type may name system fields", async () => {
  assert.equal(await value("mutation", "edges:insertNamed"), 2);
});

test("an answer that depends on no identity serves everybody, though others of its function do", async () => {
  const once = await value("query", "edges:random", { asks: false });
  await value("query", "edges:random", { asks: true });
  assert.equal(await value("query", "edges:random", { asks: false }), once);
});

test("functions that a failed mutation scheduled stay counted, and those of the system cannot be scheduled", async () => {
  assert.equal(await value("mutation", "edges:scheduledInVain"), 1);
  assert.match(await value("mutation", "edges:scheduleSystem"), /^Attempted to schedule function at nonexistent path: _system\/frontend\/addDocument/);
});

test("half of a surrogate pair is named wherever it is passed", async () => {
  const half = /Strings must be valid Unicode, and one has half of a surrogate pair/;
  for (const text of await value("query", "edges:halves")) assert.match(text, half);
  for (const name of ["returnHalf", "throwHalf"]) assert.match((await failure("query", `edges:${name}`)).text, half);
  assert.match(await value("action", "edges:passHalf"), half);
});

test("bounds of a page are whole numbers, and a nested call with less to read has a shorter page", async () => {
  await value("mutation", "behave:fill", { n: 3, table: "items" });
  assert.deepEqual(await value("mutation", "edges:shortPage"), [2, "SplitRequired"]);
  assert.match((await failure("query", "edges:page", { maximumRowsRead: 1.5 })).text, /Invalid argument `maximumRowsRead` for `queryPage`: expected an integer/);
});

test("limits end a function with their words, and it is warned before", async () => {
  assert.match((await failure("query", "limits:slow")).text, /^Function execution timed out \(maximum duration: 1s\)/);
  assert.match((await failure("query", "limits:hungry")).text, /^JavaScript execution ran out of memory \(maximum memory usage: 64 MB\)/);
  assert.equal((await value("mutation", "limits:jobs", { n: 1001 })).error, "Too many functions scheduled by this mutation (limit: 1000)");
  assert.match((await value("mutation", "limits:gets", { n: 4100 })).error, /^Too many reads in a single function execution \(limit: 4096\)\. Consider using smaller limits/);
  const near = await call("mutation", "limits:jobs", { n: 900 });
  assert.match(near.logLines.join("\n"), /^\[WARN\] Many functions scheduled by this mutation \(actual: 900, limit: 1000\)\. /);
  const [deep, large] = (await call("mutation", "behave:largeDocuments")).logLines;
  assert.match(deep, /^\[WARN\] Deeply nested document written with ID "\w+" \(actual: 15, limit: 16\)\. /);
  assert.match(large, /^\[WARN\] Large document written with ID "\w+" \(actual: 9\d+, limit: 1048576\)\. /);
});

test("the request that a function runs for is known, and shared by what it calls", async () => {
  const headers = { "user-agent": "tests/1", "convex-request-id": "0123456789abcdef" };
  const expected = { ip: "127.0.0.1", userAgent: "tests/1", requestId: "0123456789abcdef", scheduledFunctionId: null, authToken: null };
  const mutation = await call("mutation", "behave:metaM", {}, headers);
  assert.deepEqual(mutation.value.r, expected);
  const action = await call("action", "behave:metaA", {}, headers);
  assert.deepEqual([action.value.r, action.value.m2], [expected, expected]);
});

test("a mutation signs tokens that the published keys verify", async () => {
  const now = Date.now() / 1000;
  const sign = (claims, seconds) => value("mutation", "sign:sign", { claims, seconds });
  const { ok: token } = await sign({ aud: "elsewhere", sub: "s1", role: { a: [1] } }, 60.9);
  const [header, payload, signature] = token.split(".");
  const read = (part) => JSON.parse(Buffer.from(part, "base64url"));
  const { keys } = await (await fetch(`${server.url}/.well-known/jwks.json`)).json();
  const jwk = keys.find(({ kid }) => kid === read(header).kid);
  assert.deepEqual([read(header).alg, read(header).typ, jwk.alg], ["ES256", "JWT", "ES256"]);
  const key = { key: createPublicKey({ key: jwk, format: "jwk" }), dsaEncoding: "ieee-p1363" };
  assert.ok(verify("sha256", Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, "base64url")));
  const { iss, aud, sub, role, iat, exp, jti } = read(payload);
  assert.deepEqual([iss, aud, sub, role], [server.url, "elsewhere", "s1", { a: [1] }]);
  assert.ok(Math.abs(iat - now) < 60 && exp - iat >= 60 && exp - iat <= 61 && jti.length > 0);
  const second = (await sign({ aud: ["a"] }, 1)).ok;
  assert.equal(read(second.split(".")[0]).kid, jwk.kid);
  for (const [claims, seconds, text] of [
    [{}, 60, "The 'aud' claim is required. Set it to the audience that verifies the token."],
    [{ aud: "a", iss: "x" }, 60, "The 'iss' claim is set by Convex and can't be provided"],
    [{ aud: "a" }, 0, "expiresInSeconds must be between 1 second and 3600 seconds"],
    [{ aud: "a" }, 3601, "expiresInSeconds must be between 1 second and 3600 seconds"],
  ]) assert.equal((await sign(claims, seconds)).error, text);
  assert.match((await sign({ aud: "a", CVXrole: 1 }, 60)).error, /CVXrole/);
});
