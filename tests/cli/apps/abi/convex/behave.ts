import { ConvexError, v } from "convex/values";
import { anyApi, createFunctionHandle, paginationOptsValidator } from "convex/server";
import { action, internalMutation, internalQuery, mutation, query } from "./_generated/server";
import { actionsOnly } from "./only";

const api: any = anyApi;
declare const process: { env: Record<string, string | undefined> };

const thrower = (what: string) => {
  switch (what) {
    case "error": throw new Error("boom");
    case "empty": throw new Error();
    case "type": throw new TypeError("x is bad");
    case "typeEmpty": throw new TypeError("");
    case "string": throw "boom";
    case "number": throw 5;
    case "object": throw { a: 1 };
    case "null": throw null;
    case "undefined": throw undefined;
    case "array": throw [1, 2];
    case "custom": { class Mine extends Error {} throw new Mine("mine"); }
    case "named": { const e = new Error("n"); e.name = "Special"; throw e; }
    case "noname": { const e = new Error("n"); (e as any).name = undefined; throw e; }
    case "convexString": throw new ConvexError("full");
    case "convexObject": throw new ConvexError({ code: "FULL", n: 5 });
    case "convexBig": throw new ConvexError({ n: 5n, u: null });
    case "convexNull": throw new ConvexError(null as any);
    case "convexUndef": throw new ConvexError(undefined as any);
    case "convexBad": { const e = new ConvexError("x"); (e as any).data = new Date(); throw e; }
    case "multiline": throw new Error("a\nb");
    case "cause": throw new Error("outer", { cause: new Error("inner") });
    case "aggregate": throw new AggregateError([new Error("x")], "many");
    case "ref": return (globalThis as any).nope.x;
    case "refErr": return (0, eval)("nope2");
    case "recursion": { const f = (): any => [f()]; return f(); }
  }
};
export const throwQ = query({ args: { what: v.string() }, handler: async (_, { what }) => { await null; return thrower(what); } });
export const throwM = mutation({ args: { what: v.string() }, handler: async (_, { what }) => thrower(what) });
export const throwA = action({ args: { what: v.string() }, handler: async (_, { what }) => thrower(what) });

const caught = async (work: () => any) => {
  try {
    return { ok: await work() };
  } catch (thrown) {
    const e = thrown as any;
    return { error: `${e?.name}: ${e?.message}`, ...(e?.data !== undefined ? { data: e.data } : {}) };
  }
};
export const items = query({ handler: async (ctx) => (await ctx.db.query("items").collect()).length });
export const add = mutation({ args: { a: v.optional(v.any()), fail: v.optional(v.string()) }, handler: async (ctx, { a, fail }) => {
  const id = await ctx.db.insert("items", { a, s: "added" });
  if (fail) { await ctx.scheduler.runAfter(3600_000, api.behave.add, { a: "scheduled" }); thrower(fail); }
  return id;
} });
let counter = 0;
export const count = query({ handler: async () => ++counter });
export const now = query({ handler: async () => [Date.now(), performance.now(), Math.random()] });
export const nestedM = mutation({ handler: async (ctx) => {
  const out: Record<string, any> = {};
  const before = await ctx.runQuery(api.behave.items);
  out.ryw = [before, await ctx.db.insert("items", { a: "p" }), await ctx.runQuery(api.behave.items)].filter((x) => typeof x === "number");
  out.fail = await caught(() => ctx.runMutation(api.behave.add, { a: "lost", fail: "error" }));
  out.failData = await caught(() => ctx.runMutation(api.behave.add, { a: "lost", fail: "convexObject" }));
  out.failString = await caught(() => ctx.runMutation(api.behave.add, { a: "lost", fail: "string" }));
  out.afterFail = await ctx.runQuery(api.behave.items);
  out.jobs = (await ctx.db.system.query("_scheduled_functions").collect()).filter((j: any) => j.name === "behave.js:add").length;
  out.child = typeof (await ctx.runMutation(api.behave.add, { a: "kept" }));
  out.afterChild = await ctx.runQuery(api.behave.items);
  out.snapshot = await caught(() => (ctx as any).runQuery(api.behave.items, {}, { useStaleSnapshot: true }));
  out.args = await caught(() => ctx.runMutation(api.behave.throwM, { what: 5 } as any));
  out.missing = await caught(() => ctx.runQuery(api.behave.nope));
  out.kind = await caught(() => ctx.runQuery(api.behave.add));
  out.counts = [await ctx.runQuery(api.behave.count), await ctx.runQuery(api.behave.count)];
  const [a, b] = [await ctx.runQuery(api.behave.now), await ctx.runQuery(api.behave.now)];
  out.times = [a[0] === Date.now(), b[0] === a[0], a[2] !== b[2]];
  out.depth = await caught(() => ctx.runQuery(api.behave.deep, { n: 0 }));
  out.limits = await caught(() => (ctx as any).runQuery(api.behave.items, {}, { transactionLimits: { documentsRead: 1 } }));
  out.limitsW = await caught(() => (ctx as any).runMutation(api.behave.add, {}, { transactionLimits: { documentsWritten: 0 } }));
  out.limitsBytes = await caught(() => (ctx as any).runMutation(api.behave.add, {}, { transactionLimits: { bytesWritten: 1 } }));
  out.limitsQ = await caught(() => (ctx as any).runQuery(api.behave.items, {}, { transactionLimits: { databaseQueries: 0 } }));
  out.limitsUnknown = await caught(() => (ctx as any).runQuery(api.behave.items, {}, { transactionLimits: { nope: 0 } }));
  out.limitsNeg = await caught(() => (ctx as any).runQuery(api.behave.items, {}, { transactionLimits: { documentsRead: -1 } }));
  out.limitsS = await caught(() => (ctx as any).runMutation(api.behave.sched, {}, { transactionLimits: { functionsScheduled: 0 } }));
  out.notObj = await caught(() => ctx.runQuery(api.behave.items, [] as any));
  out.internal = await ctx.runQuery(api.behave.hidden);
  out.handle = await caught(async () => ctx.runQuery(await createFunctionHandle(api.behave.hidden) as any));
  const handle = await createFunctionHandle(api.behave.hidden);
  out.bareHandle = await caught(() => ctx.runQuery(handle.split("#")[0] as any));
  out.movedHandle = await caught(() => ctx.runQuery(`${handle.split("#")[0]}#other:path` as any));
  out.noHandle = await caught(() => ctx.runQuery("function://00ff" as any));
  out.returns = await caught(() => ctx.runQuery(api.behave.badReturn));
  out.metrics = await ctx.meta.getTransactionMetrics();
  return out;
} });
// A caller cannot catch the end of a call for time or memory.
export const spins = query({ handler: async () => { for (;;); } });
export const spun = mutation({ handler: async (ctx) => { await ctx.db.insert("items", { a: "spun" }); return await caught(() => ctx.runQuery(api.behave.spins)); } });
export const spunA = action({ handler: async (ctx) => {
  try {
    await ctx.runQuery(api.behave.spins);
  } catch (error: any) {
    return [error instanceof ConvexError, error.name, `${error.data}`];
  }
} });
const atLoad = process.env.READ_AT_LOAD ?? null;
export const readAtLoad = query({ handler: async () => atLoad });
export const largeDocuments = mutation({ handler: async (ctx) => {
  let deep: any = 1;
  for (let i = 0; i < 14; i++) deep = [deep];
  await ctx.db.insert("items", { a: deep });
  await ctx.db.insert("items", { s: "x".repeat(900 * 1024) });
} });
export const storesFiles = mutation({ handler: async (ctx) => {
  const storage = ctx.storage as any;
  const id = await storage.store(new Blob(["hello"]));
  await storage.get(id);
  const { filesWritten, fileWriteBytes, filesRead, fileReadBytes } = (await ctx.meta.getTransactionMetrics()) as any;
  return [filesWritten, fileWriteBytes, filesRead, fileReadBytes].map(({ used }) => used);
} });
export const sched = mutation({ handler: async (ctx) => { await ctx.scheduler.runAfter(1e6, api.behave.items2, {}); } });
export const items2 = internalMutation({ handler: async () => null });
export const hidden = internalQuery({ handler: async () => "hidden" });
export const badReturn = query({ args: {}, returns: v.object({ n: v.number() }), handler: async () => ({ n: "x" }) as any });
export const deep = query({ args: { n: v.number() }, handler: async (ctx, { n }): Promise<number> => n > 30 ? n : await ctx.runQuery(api.behave.deep, { n: n + 1 }) });
export const nestedInQuery = query({ handler: async (ctx) => ({
  count: await ctx.runQuery(api.behave.items),
  stale: await caught(() => (ctx as any).runQuery(api.behave.items, {}, { useStaleSnapshot: true })),
  metrics: await ctx.meta.getTransactionMetrics(),
  meta: [await ctx.meta.getFunctionMetadata(), await ctx.meta.getDeploymentMetadata(), typeof (ctx.meta as any).getSnapshotTs()],
  reqMeta: await caught(() => (ctx.meta as any).getRequestMetadata?.() ?? "none"),
}) });
export const metaM = mutation({ handler: async (ctx) => ({ f: await ctx.meta.getFunctionMetadata(), r: await (ctx.meta as any).getRequestMetadata() }) });
export const metaA = action({ handler: async (ctx) => ({ f: await ctx.meta.getFunctionMetadata(), r: await (ctx.meta as any).getRequestMetadata(), d: await ctx.meta.getDeploymentMetadata(), m: await caught(() => (ctx.meta as any).getTransactionMetrics?.() ?? "none"),
  m2: (await ctx.runMutation(api.behave.metaM)).r }) });

// promises
export const all = mutation({ handler: async (ctx) => {
  const ids = await Promise.all([1, 2, 3, 4, 5].map((a) => ctx.db.insert("items", { a, s: "all" })));
  const docs = await Promise.all(ids.map((id) => ctx.db.get(id)));
  return docs.map((d: any) => d.a);
} });
export const forgotten = mutation({ handler: async (ctx) => { ctx.db.insert("items", { a: "forgotten" }); return "ok"; } });
export const forgottenChain = mutation({ handler: async (ctx) => { ctx.db.insert("items", { a: "chain1" }).then(() => ctx.db.insert("items", { a: "chain2" })); return "ok"; } });
export const forgottenReject = mutation({ handler: async (ctx) => { ctx.db.insert("_x" as any, {}); return "ok"; } });
export const forgottenReject2 = mutation({ handler: async (ctx) => { ctx.db.delete("zz" as any); return "ok"; } });
export const rejected = mutation({ handler: async (ctx) => { const p = ctx.db.insert("items", { a: "afterReject" }); void p; throw new Error("rejects"); } });
export const unhandled = query({ handler: async (ctx) => { Promise.reject(new Error("nobody")); await ctx.db.query("items").first(); return "ok"; } });
export const unhandledLater = query({ handler: async (ctx) => { const p = Promise.reject(new Error("nobody")); await ctx.db.query("items").first(); try { await p; } catch {} return "ok"; } });
export const handledSame = query({ handler: async () => { const p = Promise.reject(new Error("nobody")); try { await p; } catch {} return "ok"; } });
export const never = query({ handler: async () => await new Promise(() => {}) });
export const neverA = action({ handler: async () => await new Promise(() => {}) });
export const unhandledA = action({ handler: async () => { Promise.reject(new Error("nobody")); await new Promise((r) => setTimeout(r, 20)); return "ok"; } });
export const race = mutation({ handler: async (ctx) => {
  const order: string[] = [];
  await Promise.all([
    ctx.db.insert("items", { a: "r" }).then(() => order.push("insert")),
    ctx.db.query("items").first().then(() => order.push("first")),
    ctx.runQuery(api.behave.items).then(() => order.push("runQuery")),
    Promise.resolve().then(() => order.push("micro")),
  ]);
  return order;
} });
export const settled = mutation({ handler: async (ctx) => (await Promise.allSettled([ctx.db.insert("items", { a: 1 }), ctx.db.delete("bad" as any), ctx.runMutation(api.behave.add, { fail: "error" })])).map((x: any) => x.status + ":" + (x.reason?.message?.slice(0, 60) ?? "")) });
export const parallelNested = mutation({ handler: async (ctx) => {
  const before = await ctx.runQuery(api.behave.items);
  const r = await Promise.allSettled([ctx.runMutation(api.behave.add, { a: 1 }), ctx.runMutation(api.behave.add, { a: 2, fail: "error" }), ctx.runMutation(api.behave.add, { a: 3 })]);
  return [r.map((x) => x.status), (await ctx.runQuery(api.behave.items)) - before];
} });

// returns
export const returnUndefined = query({ handler: async () => undefined });
export const returnQuery = query({ handler: (ctx) => ctx.db.query("items") as any });
export const returnDate = query({ handler: async () => new Date() as any });
export const returnFn = query({ handler: async () => (() => 1) as any });
export const returnNestedUndef = query({ handler: async () => ({ a: undefined, b: [1, null] }) });
export const returnArrUndef = query({ handler: async () => [undefined] as any });
export const returnMap = query({ handler: async () => new Map([[1, 2]]) as any });
export const returnClass = query({ handler: async () => new (class X { a = 1 })() as any });
export const returnBig = query({ handler: async () => 2n ** 63n as any });
export const returnKey = query({ handler: async () => ({ $x: 1 }) as any });
export const returnUnicodeKey = query({ handler: async () => ({ "ä": 1 }) as any });
export const returnLone = query({ handler: async () => "\ud800" });
export const returnSync = query({ handler: () => 5 as any });
export const returnU8 = query({ handler: async () => new Uint8Array(3) as any });
export const returnSpecial = query({ handler: async () => [NaN, -0, Infinity, 1n, new Uint8Array([1, 2]).buffer, "ä\u0000", 1e300, 5e-324] });
export const returnDeep = query({ args: { n: v.number() }, handler: async (_, { n }) => { let x: any = 1; for (let i = 0; i < n; i++) x = [x]; return x; } });
export const returnLarge = query({ handler: async () => "x".repeat(17 << 20) });
export const returnLong = query({ handler: async () => Array(9000).fill(1) });
export const returnFields = query({ handler: async () => Object.fromEntries(Array.from({ length: 1100 }, (_, i) => ["k" + i, 1])) });
export const bareQuery = query(async (ctx) => 1);
export const fnArgs = query(async (ctx, args: any) => args);
export const directCall = query({ handler: async (ctx) => (items as any)(ctx, {}) });

// console
export const logs = query({ handler: async () => {
  console.log("hi", 3, { a: 1 }, [1, "x"], null, undefined, 1n, true, () => 1, new Date(0), new Error("e").message, Symbol("s"), new Map([[1, 2]]), new Set([1]));
  console.debug("d"); console.info("i"); console.warn("w"); console.error("e");
  console.log("%s there", "x");
  console.log({ a: { b: { c: { d: { e: 1 } } } } });
  console.log("it's", 'say "x"', "line\nbreak");
  console.log(new Uint8Array([1, 2]), new Uint8Array([1, 2]).buffer, NaN, -0, class A {}, new (class Foo { x = 1 })());
  console.log();
  console.log({}, [], { "a-b": 1 }, [undefined, , 3]);
  console.timeEnd("nope"); console.time("t"); console.time("t"); console.timeLog("t"); console.timeEnd("t");
  console.trace("tr");
  console.log(Object.assign(Object.create(null), { a: 1 }), new Error("shown"), /re/g, Promise.resolve(), new Proxy({ a: 1 }, {}));
  const cyc: any = {}; cyc.self = cyc; console.log(cyc);
  console.log({ a: "x".repeat(100), b: "y".repeat(100) });
  return null;
} });
export const manyLogs = query({ handler: async () => { for (let i = 0; i < 300; i++) console.log(i); return null; } });
export const longLog = query({ handler: async () => { console.log("x".repeat(40000)); return null; } });
export const logThrow = query({ handler: async () => { console.log("before"); throw new Error("after"); } });
export const nestedLogs = mutation({ handler: async (ctx) => { console.log("outer"); await ctx.runQuery(api.behave.logInner); console.log("outer2"); return null; } });
export const logInner = query({ handler: async () => { console.log("inner"); return null; } });

// environment
const forbidden = async () => ({
  fetch: await caught(() => fetch("http://x")),
  timeout: await caught(() => { setTimeout(() => {}, 1); }),
  interval: await caught(() => { setInterval(() => {}, 1); }),
  clear: await caught(() => { clearTimeout(1 as any); clearInterval(2 as any); return "ok"; }),
  genKey: await caught(() => crypto.subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, true, ["sign"])),
});
export const env = query({ handler: async () => ({
  missing: process.env.NOPE ?? "undefined", keys: Object.keys(process.env), has: "X" in process.env, inspect: typeof process.env.inspect,
  cloud: process.env.CONVEX_CLOUD_URL, site: process.env.CONVEX_SITE_URL, node: process.env.NODE_ENV ?? null,
  dateSame: Date.now() === new Date().getTime() && Number.isInteger(Date.now()), perf: [performance.now() === performance.now(), typeof performance.timeOrigin],
  tz: new Date().getTimezoneOffset(), window: typeof (globalThis as any).window, require: typeof (globalThis as any).require, buffer: typeof (globalThis as any).Buffer, global: typeof (globalThis as any).global, self: (globalThis as any).self === globalThis,
  process: Object.keys(process), custom: typeof (globalThis as any).CustomEvent, navigator: typeof (globalThis as any).navigator,
}) });
export const forbidQ = query({ handler: forbidden });
export const forbidM = mutation({ handler: forbidden });
const onlyActionsMay = async (_: unknown, asked: { what: string; url?: string }) => {
  try {
    if (asked.what === "import") await import("./raw");
    if (asked.what === "importVar") { const n = "./raw.js"; await import(n); }
  } catch (e) { return "caught " + (e as Error).message; }
  return await actionsOnly(asked);
};
const forbiddenArgs = { what: v.string(), url: v.optional(v.string()) };
export const forbidOne = query({ args: forbiddenArgs, handler: onlyActionsMay });
export const forbidOneM = mutation({ args: forbiddenArgs, handler: onlyActionsMay });
export const allowOne = action({ args: forbiddenArgs, handler: onlyActionsMay });
export const importA = action({ args: { what: v.string() }, handler: async (_, { what }) => caught(async () => {
  if (what === "own") return typeof (await import("./raw")).ask;
  const n = what; return Object.keys(await import(n)).length;
}) });
export const random = query({ handler: async () => [Math.random(), crypto.randomUUID(), Array.from(crypto.getRandomValues(new Uint8Array(4)))] as any });
export const randomBig = query({ handler: async () => caught(() => crypto.getRandomValues(new Uint8Array(65537)).length) });

// paginate
export const page = query({ args: { opts: paginationOptsValidator, min: v.optional(v.number()), order: v.optional(v.string()), table: v.optional(v.string()) }, handler: async (ctx, { opts, min, order, table }) => {
  let q: any = ctx.db.query((table ?? "other") as any);
  if (order) q = q.order(order as any);
  if (min !== undefined) q = q.filter((f: any) => f.gte(f.field("n"), min));
  return await q.paginate(opts);
} });
export const twoPages = query({ handler: async (ctx) => { const o = { numItems: 1, cursor: null }; await ctx.db.query("other").paginate(o); return await ctx.db.query("items").paginate(o); } });
export const fill = mutation({ args: { n: v.number(), table: v.optional(v.string()), size: v.optional(v.number()) }, handler: async (ctx, { n, table, size }) => { for (let i = 0; i < n; i++) await ctx.db.insert((table ?? "other") as any, { n: i, ...(size ? { pad: "x".repeat(size) } : {}) }); return n; } });
export const clear = mutation({ args: { table: v.string() }, handler: async (ctx, { table }) => { for (const d of await ctx.db.query(table as any).collect()) await ctx.db.delete(d._id); } });

// filters
export const filter = query({ args: { expr: v.any(), values: v.array(v.any()) }, handler: async () => null });

// system
export const system = mutation({ handler: async (ctx) => {
  const [item] = await ctx.db.query("items").take(1);
  const id = await ctx.scheduler.runAfter(1e7, api.behave.items2, {});
  const normalize = (ctx.db as any).normalizeId.bind(ctx.db), sys: any = ctx.db.system;
  return {
    get: Object.keys((await sys.get(id)) as any), getUser: await caught(() => sys.get(item._id)), userGet: await caught(() => ctx.db.get(id as any)),
    two: await caught(() => sys.get("_scheduled_functions", id)), twoWrong: await caught(() => sys.get("_storage", id)),
    q: await caught(async () => (await sys.query("_scheduled_functions").order("desc").first())._id === id),
    byId: await caught(async () => (await sys.query("_scheduled_functions").withIndex("by_id", (q: any) => q.eq("_id", id)).collect()).length),
    byCt: await caught(async () => (await sys.query("_scheduled_functions").withIndex("by_creation_time", (q: any) => q.gt("_creationTime", 0)).take(1)).length),
    unknown: await caught(() => sys.query("_nope").collect()), user: await caught(() => sys.query("items").collect()), viaUser: await caught(() => ctx.db.query("_storage" as any).collect()),
    filter: await caught(async () => (await sys.query("_scheduled_functions").filter((q: any) => q.eq(q.field("_id"), id)).collect()).length),
    paginate: await caught(async () => (await sys.query("_scheduled_functions").paginate({ numItems: 1, cursor: null })).page.length),
    norm: [normalize("items", item._id), normalize("other", item._id), sys.normalizeId("_scheduled_functions", id), await caught(() => sys.normalizeId("items", id)), await caught(() => normalize("_storage", id))],
    patch: await caught(() => ctx.db.patch(id as any, { a: 1 })), del: await caught(() => ctx.db.delete(id as any)),
    insert: await caught(() => ctx.db.insert("_storage" as any, {})),
    getBad: await caught(() => ctx.db.get(5 as any)), getNone: await caught(() => (ctx.db as any).get()), take: await caught(() => ctx.db.query("items").take(-1)), unique: await caught(() => ctx.db.query("items").unique()),
    reuse: await caught(async () => { const q = ctx.db.query("items"); await q.first(); await q.first(); }),
    two2: await caught(async () => ((await (ctx.db as any).get("items", item._id)) as any)._id === item._id), patch2: await caught(() => (ctx.db as any).patch("items", item._id, { z: 1 })), patchWrong: await caught(() => (ctx.db as any).patch("other", item._id, { z: 1 })),
    replace2: await caught(() => (ctx.db as any).replace("items", item._id, { z: 2 })), del2: await caught(() => (ctx.db as any).delete("items", item._id)), del3: await caught(() => (ctx.db as any).delete("items", item._id)),
    table: await caught(async () => { const t = (ctx.db as any).table("items"); const i = await t.insert({ q: 1 }); await t.patch(i, { q: 2 }); const d = await t.get(i); await t.replace(i, { w: 1 }); await t.delete(i); return [d.q, (await t.query().take(2)).length]; }),
    cancel: await caught(() => ctx.scheduler.cancel(id)), cancel2: await caught(() => ctx.scheduler.cancel(id)), state: ((await sys.get(id)) as any).state,
    count: await caught(() => (ctx.db.query("items") as any).count()),
    runAt: await caught(() => ctx.scheduler.runAt(NaN, api.behave.items2, {})), neg: await caught(() => ctx.scheduler.runAfter(-1, api.behave.items2, {})), inf: await caught(() => ctx.scheduler.runAfter(Infinity, api.behave.items2, {})),
  };
} });
export const write = mutation({ args: { table: v.string(), value: v.any() }, handler: async (ctx, { table, value }) => ctx.db.insert(table as any, value) });
export const clobber = mutation({ handler: async (ctx) => {
  const id = await ctx.db.insert("items", { a: 1, b: { c: 1, d: 2 } });
  const [doc] = [(await ctx.db.get(id)) as any];
  await ctx.db.patch(id, { ...doc, b: { c: 3 } }); const p1 = (await ctx.db.get(id)) as any;
  await ctx.db.patch(id, { a: undefined }); const p2 = (await ctx.db.get(id)) as any;
  await ctx.db.replace(id, { x: 1 }); const p3 = (await ctx.db.get(id)) as any;
  await ctx.db.delete(id); const del = await caught(() => ctx.db.delete(id)); const id2 = await ctx.db.insert("items", {});
  return { p1: [p1.a, p1.b], p2: Object.keys(p2), p3: [Object.keys(p3), p3._creationTime === doc._creationTime], del, gone: await ctx.db.get(id), differ: id !== id2,
    arrUndef: await caught(() => ctx.db.insert("items", { a: [undefined] })), nestUndef: await caught(async () => ctx.db.get(await ctx.db.insert("items", { a: { b: undefined, c: 1 } }))),
    times: await (async () => { const ids = []; for (let i = 0; i < 3; i++) ids.push(await ctx.db.insert("items", {})); const ds = await Promise.all(ids.map((i) => ctx.db.get(i))); return ds.map((d: any) => d._creationTime).every((t, i, all) => i === 0 || t > all[i - 1]); })(),
    commitTs: await caught(async () => { const i = await ctx.db.insert("items", { t: (ctx.db as any).vars.commitTs }); return typeof ((await ctx.db.get(i)) as any).t; }),
  };
} });
export const commitTs = mutation({ handler: async (ctx) => { const ts = (ctx.db as any).vars.commitTs; await ctx.db.insert("items", { ts }); return { ts, snap: (ctx.meta as any).getSnapshotTs() }; } });
