import { v } from "convex/values";
import { internal } from "../_generated/api";
import { internalAction, internalMutation, internalQuery } from "../_generated/server";

export const jobs = internalQuery({
  args: {},
  handler: async (ctx) => (await ctx.db.system.query("_scheduled_functions").collect()).map(({ name, state, args }) => ({ name, kind: state.kind, args })),
});
export const files = internalQuery({
  args: {},
  handler: async (ctx) => (await ctx.db.system.query("_storage").collect()).map(({ size, contentType, sha256 }) => ({ size, contentType, sha256 })),
});
export const clear = internalMutation({
  args: { table: v.union(v.literal("products"), v.literal("events")), batch: v.optional(v.number()) },
  handler: async (ctx, { table, batch = 8 }) => {
    const documents = await ctx.db.query(table).take(batch);
    for (const document of documents) await ctx.db.delete(document._id);
    if (documents.length === batch) await ctx.scheduler.runAfter(0, internal.admin.tools.clear, { table, batch });
    return documents.length;
  },
});
export const fanOut = internalAction({
  args: { times: v.number() },
  handler: async (ctx, { times }): Promise<number> => {
    const results = await Promise.allSettled(
      Array.from({ length: times }, (_, n) => ctx.runMutation(internal.orders.fail, { reason: `fan ${n}` })),
    );
    return results.filter((result) => result.status === "fulfilled").length;
  },
});
export default internalQuery({ args: {}, handler: async () => "default export" });
