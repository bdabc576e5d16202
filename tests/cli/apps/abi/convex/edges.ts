// Single cases that were wrong once.

import { ConvexError, v } from "convex/values";
import { anyApi } from "convex/server";
import { action, mutation, query } from "./_generated/server";

const api: any = anyApi;
const told = async (run: () => unknown) => {
  try { return await run(); } catch (error) { return (error as Error).message; }
};
/** A text that was cut within an emoji. */
const HALF = "party 🎉".slice(0, 7);

export const insertNamed = mutation({ args: {}, handler: async (ctx) => {
  const id = await ctx.db.insert("named", { n: 1 });
  await ctx.db.patch(id, { n: 2 });
  return (await ctx.db.get(id))!.n;
} });

/** Asks who calls only when it is told to. */
export const random = query({ args: { asks: v.boolean() }, handler: async (ctx, { asks }) => {
  const number = Math.random();
  if (asks) await ctx.auth.getUserIdentity();
  return number;
} });

export const scheduleAndThrow = mutation({ args: {}, handler: async (ctx) => {
  await ctx.scheduler.runAfter(1e9, api.edges.insertNamed, {});
  throw new Error("no");
} });
export const scheduledInVain = mutation({ args: {}, handler: async (ctx) => {
  const used = async () => ((await (ctx.meta as any).getTransactionMetrics()) as any).functionsScheduled.used;
  const before = await used();
  await told(() => ctx.runMutation(api.edges.scheduleAndThrow, {}));
  return (await used()) - before;
} });
export const scheduleSystem = mutation({ args: {}, handler: async (ctx) =>
  told(() => ctx.scheduler.runAfter(0, "_system/frontend/addDocument" as any, {})) });

export const halves = query({ args: {}, handler: async (ctx) => [
  await told(() => ctx.db.query("items").withSearchIndex("by_words", (q) => q.search("s", HALF)).collect()),
  await told(() => ctx.db.query("items").withIndex("by_a", (q) => q.eq("a", HALF)).collect()),
  await told(() => ctx.db.query("items").filter((q) => q.eq(q.field("a"), HALF)).collect()),
  await told(() => ctx.db.get("\ud800" as any)),
] });
export const returnHalf = query({ args: {}, handler: async () => HALF });
export const throwHalf = query({ args: {}, handler: async () => { throw new ConvexError(HALF); } });
export const passHalf = action({ args: {}, handler: async (ctx) => told(() => ctx.runQuery(api.edges.returnHalf, { half: HALF } as any)) });

export const page = query({ args: { maximumRowsRead: v.number() }, handler: async (ctx, { maximumRowsRead }) =>
  ctx.db.query("items").paginate({ numItems: 1, cursor: null, maximumRowsRead } as any) });
export const shortPage = mutation({ args: {}, handler: async (ctx) => {
  const page: any = await ctx.runQuery(api.behave.page, { opts: { numItems: 100, cursor: null }, table: "items" }, { transactionLimits: { documentsRead: 2 } } as any);
  return [page.page.length, page.pageStatus];
} });
