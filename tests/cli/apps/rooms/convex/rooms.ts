import { v } from "convex/values";
import { internalMutation, mutation, query } from "./_generated/server";

export const list = query({
  args: {},
  handler: async (ctx) => await ctx.db.query("rooms").collect(),
});

export const open = mutation({
  args: { title: v.string() },
  returns: v.id("rooms"),
  handler: async (ctx, { title }) => {
    console.log("opening", title);
    return await ctx.db.insert("rooms", { title });
  },
});

export const tidy = internalMutation({
  handler: async (ctx) => {
    for (const room of await ctx.db.query("rooms").collect()) await ctx.db.delete(room._id);
  },
});

export const fail = query({
  handler: async () => {
    throw new Error("no room for this");
  },
});
