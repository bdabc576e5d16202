import { mutationGeneric as mutation, queryGeneric as query } from "convex/server";
import { v } from "convex/values";

export const write = mutation({
  args: { text: v.string() },
  handler: async (ctx, { text }) => {
    await ctx.db.insert("entries", { text });
    if (text === "unwritable") throw new Error("the ledger refuses");
  },
});

export const texts = query({
  args: {},
  handler: async (ctx) => (await ctx.db.query("entries").collect()).map(({ text }) => text),
});
