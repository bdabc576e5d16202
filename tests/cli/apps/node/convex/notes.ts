import { ConvexError, v } from "convex/values";
import { api, internal } from "./_generated/api";
import { action, internalMutation, mutation, query } from "./_generated/server";

export const add = internalMutation({ args: { text: v.string() }, handler: async (ctx, { text }) => await ctx.db.insert("notes", { text }) });
export const list = query({ handler: async (ctx) => (await ctx.db.query("notes").collect()).map(({ text }) => text) });
export const refuse = mutation({
  handler: async (): Promise<null> => {
    throw new ConvexError({ code: "full" });
  },
});
export const later = mutation({
  handler: async (ctx) => {
    await ctx.scheduler.runAfter(0, internal.mail.note, { text: "by a mutation" });
  },
});
export const through = action({
  handler: async (ctx): Promise<string> => (await ctx.runAction(api.mail.hash, { text: "x" })) as string,
});
