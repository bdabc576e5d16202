import { v } from "convex/values";
import { anyApi } from "convex/server";
import { action, mutation, query } from "./_generated/server";

const api: any = anyApi;
const caught = async (work: () => any) => {
  try {
    return { ok: (await work()) ?? null };
  } catch (thrown) {
    return { error: (thrown as Error).message };
  }
};
const nest = (n: number): any => (n === 0 ? 1 : [nest(n - 1)]);
export const writes = mutation({ args: { n: v.number(), bytes: v.optional(v.number()) }, handler: async (ctx, { n, bytes }) => caught(async () => { const pad = bytes ? "x".repeat(bytes) : undefined; for (let i = 0; i < n; i++) await ctx.db.insert("other", { i, pad }); return n; }) });
export const reads = query({ args: { take: v.number() }, handler: async (ctx, { take }) => caught(async () => (await ctx.db.query("other").take(take)).length) });
export const gets = mutation({ args: { n: v.number() }, handler: async (ctx, { n }) => caught(async () => { for (let i = 0; i < n; i++) await ctx.db.query("items").withIndex("by_a", (q) => q.eq("a", `k${i}`)).first(); return n; }) });
export const same = query({ args: { n: v.number() }, handler: async (ctx, { n }) => caught(async () => { for (let i = 0; i < n; i++) await ctx.db.query("items").withIndex("by_a", (q) => q.eq("a", `k`)).first(); return n; }) });
export const jobs = mutation({ args: { n: v.number(), bytes: v.optional(v.number()) }, handler: async (ctx, { n, bytes }) => caught(async () => { const pad = "x".repeat(bytes ?? 0); for (let i = 0; i < n; i++) await ctx.scheduler.runAfter(1e9, api.limits.writes, { n: 0, pad } as any); throw new Error("undo " + n); }) });
export const docs = mutation({ handler: async (ctx) => ({
  large: await caught(() => ctx.db.insert("other", { s: "x".repeat(1 << 20) })), almost: typeof (await caught(() => ctx.db.insert("other", { s: "x".repeat((1 << 20) - 200) }))).ok,
  deep: await caught(() => ctx.db.insert("other", { a: nest(16) })), deepOk: typeof (await caught(() => ctx.db.insert("other", { a: nest(15) }))).ok,
  deepest: await caught(() => ctx.db.insert("other", { a: nest(70) })),
  array: await caught(() => ctx.db.insert("other", { a: Array(9000).fill(1) })), fields: await caught(() => ctx.db.insert("other", Object.fromEntries(Array.from({ length: 1100 }, (_, i) => [`k${i}`, 1])))),
  key: await caught(() => ctx.db.insert("other", { a: { ["k".repeat(1025)]: 1 } })), empty: await caught(() => ctx.db.insert("other", { "": 1 })), space: await caught(() => ctx.db.insert("other", { "a b": 1 })), under: await caught(() => ctx.db.insert("other", { _a: 1 })), underOnly: await caught(() => ctx.db.insert("other", { __: 1 })), nested_: typeof (await caught(() => ctx.db.insert("other", { a: { _b: 1 } }))).ok,
  lone: await caught(() => ctx.db.insert("other", { a: "\ud800" })),
}) });
export const typed = mutation({ args: { value: v.any() }, handler: async (ctx, { value }) => caught(() => ctx.db.insert("typed", value)) });
export const typedPatch = mutation({ handler: async (ctx) => { const id = await ctx.db.insert("typed", { n: 1 }); return [await caught(() => ctx.db.patch(id, { n: "x" } as any)), await caught(() => ctx.db.patch(id, { n: undefined } as any)), await caught(() => ctx.db.replace(id, {} as any)), await caught(() => ctx.db.patch(id, { z: 1 } as any)), (await ctx.db.get(id))!.n]; } });

// Filters
export const filters = mutation({ handler: async (ctx) => {
  for (const d of await ctx.db.query("items").collect()) await ctx.db.delete(d._id);
  const values: any[] = [undefined, null, -5n, 3n, 5n, -0, 0, 1, 5, NaN, Infinity, false, true, "", "a", "b", new ArrayBuffer(0), new Uint8Array([1]).buffer, [], [1], {}, { a: 1 }];
  for (const [i, n] of values.entries()) await ctx.db.insert("items", n === undefined ? { i } : { i, n });
  const run = async (f: (q: any) => any) => caught(async () => (await ctx.db.query("items").filter(f).collect()).map((d: any) => d.i).join(","));
  const F = (q: any) => q.field("n");
  return {
    lt5: await run((q) => q.lt(F(q), 5)), gt5: await run((q) => q.gt(F(q), 5)), eqU: await run((q) => q.eq(F(q), undefined)), neqU: await run((q) => q.neq(F(q), undefined)), eqNull: await run((q) => q.eq(F(q), null)), eq5: await run((q) => q.eq(F(q), 5)), eq5n: await run((q) => q.eq(F(q), 5n)), nan: await run((q) => q.eq(F(q), NaN)), zero: await run((q) => q.eq(F(q), 0)), minus0: await run((q) => q.eq(F(q), -0)), arr: await run((q) => q.eq(F(q), [1])), obj: await run((q) => q.eq(F(q), { a: 1 })), gteStr: await run((q) => q.gte(F(q), "a")), two: await run((q) => q.eq(q.field("x"), q.field("y"))),
    add: await run((q) => q.eq(q.add(q.field("i"), 1), 3)), sub: await run((q) => q.eq(q.sub(q.field("i"), 1), 3)), mod: await run((q) => q.eq(q.mod(q.field("i"), 5), 3)), div: await run((q) => q.eq(q.div(q.field("i"), 2), 3)), mul: await run((q) => q.eq(q.mul(q.field("i"), 2), 6)), neg: await run((q) => q.eq(q.neg(q.field("i")), -3)),
    addMix: await run((q) => q.eq(q.add(1n, 2), 3)), subMix: await run((q) => q.eq(q.sub("a", 2), 3)), mulMix: await run((q) => q.eq(q.mul(null, 2), 3)), divMix: await run((q) => q.eq(q.div(true, 2), 3)), modMix: await run((q) => q.eq(q.mod([], 2), 3)), div0: await run((q) => q.eq(q.div(1n, 0n), 3n)), mod0: await run((q) => q.eq(q.mod(1n, 0n), 3n)), over: await run((q) => q.eq(q.add(9223372036854775807n, 9n), 3n)), negMin: await run((q) => q.eq(q.neg(-9223372036854775808n), 3n)), negStr: await run((q) => q.eq(q.neg("x"), 3)), negU: await run((q) => q.eq(q.neg(q.field("zz")), 3)), intDiv: await run((q) => q.eq(q.div(-7n, 2n), -3n)), intMod: await run((q) => q.eq(q.mod(-7n, 2n), -1n)), fdiv0: await run((q) => q.eq(q.div(1, 0), Infinity)),
    and0: await run((q) => q.and()), or0: await run((q) => q.or()), not: await run((q) => q.not(q.eq(q.field("i"), 1))), andBad: await run((q) => q.and(q.eq(q.field("i"), 1), 3)), orShort: await run((q) => q.or(true, 3)), notBad: await run((q) => q.not(3)), result: await run(() => 3), resultU: await run((q) => q.field("zz")), resultS: await run(() => "s"), andShort: await run((q) => q.and(false, 3)), path: await run((q) => q.eq(q.field("n.a"), 1)),
  };
} });
export const ranges = mutation({ handler: async (ctx) => {
  for (const d of await ctx.db.query("items").collect()) await ctx.db.delete(d._id);
  const values: any[] = [undefined, null, -5n, 3n, 5n, NaN, -Infinity, -1, -0, 0, 1, 5, Infinity, false, true, "", "a", "\ud83d\ude00", "\uffff", "b", new ArrayBuffer(0), new Uint8Array([1]).buffer, [], [1], [1, 2], [2], {}, { a: 1 }, { a: 1, b: 0 }, { a: 2 }, { b: 0 }];
  for (const [i, a] of [...values.entries()].reverse()) await ctx.db.insert("items", a === undefined ? { b: i } : { a, b: i });
  const run = async (index: any, f: (q: any) => any, order: any = "asc") => caught(async () => (await ctx.db.query("items").withIndex(index, f).order(order).collect()).map((d: any) => d.b).join(","));
  return { all: await run("by_a", (q) => q), desc: await run("by_a", (q) => q, "desc"), eqU: await run("by_a", (q) => q.eq("a", undefined)), gtU: await run("by_a", (q) => q.gt("a", undefined)), lt5: await run("by_a", (q) => q.lt("a", 5)), gt1: await run("by_a", (q) => q.gt("a", 1)), gte1lt5: await run("by_a", (q) => q.gte("a", 1).lt("a", 5)), empty: await run("by_a", (q) => q.gt("a", 5).lt("a", 1)), eqLt: await run("by_a_b", (q) => q.eq("a", 1).lt("b", 100)), eqGt: await run("by_a_b", (q) => q.eq("a", 1).gt("b", 100)), nul: await run("by_a", (q) => q.eq("a", null)), arr: await run("by_a", (q) => q.gte("a", [1]).lte("a", [1, 2])), id: await run("by_a", (q) => q.eq("a", -0)) };
} });

// Validators
const all = { s: v.string(), n: v.number(), i: v.int64(), b: v.boolean(), nul: v.null(), by: v.bytes(), any: v.any(), id: v.id("items"), arr: v.array(v.number()), obj: v.object({ a: v.string(), b: v.optional(v.number()) }), rec: v.record(v.string(), v.number()), uni: v.union(v.string(), v.number()), uni1: v.union(v.object({ a: v.string() })), lit: v.literal("a"), litn: v.literal(1), liti: v.literal(1n), litb: v.literal(true), opt: v.optional(v.string()), deep: v.array(v.object({ a: v.array(v.record(v.string(), v.literal("x"))) })), recid: v.record(v.id("items"), v.string()), empty: v.union(), nested: v.object({ x: v.optional(v.union(v.null(), v.array(v.int64()))) }) };
export const kinds = { ...all };
const one = <K extends keyof typeof all>(k: K) => query({ args: { x: all[k] as any }, returns: v.null(), handler: async () => null });
export const s = one("s"), n = one("n"), i = one("i"), b = one("b"), nul = one("nul"), by = one("by"), any = one("any"), id = one("id"), arr = one("arr"), obj = one("obj"), rec = one("rec"), uni = one("uni"), uni1 = one("uni1"), lit = one("lit"), litn = one("litn"), liti = one("liti"), litb = one("litb"), opt = one("opt"), deep = one("deep"), recid = one("recid"), empty = one("empty"), nested = one("nested");
export const fn = query({ args: { x: (v as any).function() }, handler: async () => null });
export const cts = query({ args: { x: (v as any).commitTs() }, handler: async () => null });
export const rs = query({ args: { x: v.any() }, returns: v.object({ a: v.string() }), handler: async (_, { x }) => x });
export const noArgs = query({ args: {}, handler: async () => null });
export const slow = query({ handler: async () => { for (;;); } });
export const slowM = mutation({ handler: async () => { try { for (;;); } catch { return "caught"; } } });
export const hungry = query({ handler: async () => { try { const all: any[] = []; for (;;) all.push(new Array(1e5).fill(0)); } catch { return "caught"; } } });
export const bigArgs = mutation({ args: { x: v.any() }, handler: async (_, { x }) => x.length });
