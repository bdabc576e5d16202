import { v } from "convex/values";
import { internal } from "./_generated/api";
import { internalAction, internalMutation, mutation, query } from "./_generated/server";
import { requireUser } from "./users";

/** Comes at once, by way of an action. */
export const send = mutation({
  args: { body: v.string() },
  handler: async (ctx, { body }) => {
    const user = await requireUser(ctx);
    await ctx.scheduler.runAfter(0, internal.letters.carry, { userId: user._id, body });
  },
});

export const carry = internalAction({
  args: { userId: v.id("users"), body: v.string() },
  handler: async (ctx, args) => {
    await ctx.runMutation(internal.letters.deliver, args);
  },
});

export const deliver = internalMutation({
  args: { userId: v.id("users"), body: v.string() },
  handler: async (ctx, args) => void (await ctx.db.insert("letters", args)),
});

export const list = query({
  args: {},
  handler: async (ctx) => {
    const user = await requireUser(ctx);
    const letters = await ctx.db.query("letters").withIndex("by_user", (q) => q.eq("userId", user._id)).collect();
    return letters.map(({ body }) => body);
  },
});

/** Would come in a year. */
export const later = mutation({
  args: { body: v.string() },
  handler: async (ctx, { body }) => {
    const user = await requireUser(ctx);
    await ctx.scheduler.runAfter(365 * 86_400_000, internal.letters.deliver, { userId: user._id, body });
  },
});

export const waiting = query({
  args: {},
  handler: async (ctx) => {
    const jobs = await ctx.db.system.query("_scheduled_functions").collect();
    return jobs.filter(({ name, state }) => name === "letters.js:deliver" && state.kind === "pending").map(({ _id }) => _id);
  },
});

export const callBack = mutation({
  args: { id: v.id("_scheduled_functions") },
  handler: async (ctx, { id }) => await ctx.scheduler.cancel(id),
});
