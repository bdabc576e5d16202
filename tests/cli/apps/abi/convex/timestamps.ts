import { CommitTsPlaceholder, v } from "convex/values";
import { anyApi } from "convex/server";
import { mutation, query } from "./_generated/server";

const api: any = anyApi;

async function caught(run: () => Promise<unknown>) {
  try { return { ok: await run() }; } catch (error) { return { error: String(error) }; }
}

const kinds = (documents: any[]) => documents.map((document) => document.kind).join(",");
const vars = (ctx: any) => ctx.db.vars;

// Reads what it has written, in order and by bounds, while the commit has no timestamp yet.
export const write = mutation({ args: {}, returns: v.any(), handler: async (ctx: any) => {
  const ts = vars(ctx).commitTs;
  await ctx.db.insert("stamped", { kind: "old", ts: 5n });
  const id = await ctx.db.insert("stamped", { kind: "new", ts, deep: [{ ts }] });
  const patched = await ctx.db.insert("stamped", { kind: "patched", ts: 1n });
  await ctx.db.patch(patched, { ts });
  const overwritten = await ctx.db.insert("stamped", { kind: "overwritten", ts });
  await ctx.db.patch(overwritten, { ts: 7n });
  const greatest = await ctx.db.insert("stamped", { kind: "greatest", ts: 2n ** 63n - 1n });
  const document: any = await ctx.db.get(id);
  const byTs = (range?: any) => ctx.db.query("stamped").withIndex("by_ts", range);
  await ctx.runMutation(api.timestamps.nested, { kind: "nested", ts });
  const failed = await caught(() => ctx.runMutation(api.timestamps.nested, { kind: "failed", ts, fails: true }));
  return {
    readBack: [document.ts === ts, document.deep[0].ts === ts, (await ctx.db.get(overwritten)).ts, (await ctx.db.get(greatest)).ts === ts],
    order: kinds(await byTs().collect()),
    bounded: kinds(await byTs((q: any) => q.lt("ts", ts)).collect()),
    filtered: kinds(await ctx.db.query("stamped").filter((q: any) => q.lt(q.field("ts"), ts)).collect()),
    echoed: (await ctx.runQuery(api.timestamps.echo, { ts })) === ts,
    failed: "error" in failed,
    scheduled: await caught(() => ctx.scheduler.runAfter(0, api.timestamps.nested, { kind: "scheduled", ts })),
    snapshot: ctx.meta.getSnapshotTs(),
    ts,
    list: [{ ts }],
  };
} });

export const nested = mutation({ args: { kind: v.string(), ts: v.int64(), fails: v.optional(v.boolean()) }, handler: async (ctx: any, { kind, ts, fails }) => {
  await ctx.db.insert("stamped", { kind, ts });
  if (fails) throw new Error("taken back");
  return ts;
} });

export const nothing = mutation({ args: {}, handler: async (ctx: any) => vars(ctx).commitTs });
export const echo = query({ args: { ts: v.int64() }, returns: v.int64(), handler: async (_ctx, { ts }) => ts });
export const list = query({ args: {}, handler: async (ctx: any) => ctx.db.query("stamped").withIndex("by_ts").collect() });
export const unresolved = query({ args: {}, handler: async () => ({ ts: new (CommitTsPlaceholder as any)() }) });
