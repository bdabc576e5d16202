import { RateLimiter, WEEK } from "@convex-dev/rate-limiter";
import { v } from "convex/values";
import { components } from "./_generated/api";
import { action, mutation, query } from "./_generated/server";

const limiter = new RateLimiter(components.rateLimiter, { add: { kind: "fixed window", rate: 1, period: WEEK } });

export const add = mutation({
  args: { text: v.string() },
  handler: async (ctx, { text }) => await ctx.db.insert("notes", { text }),
});
export const list = query({ handler: async (ctx) => (await ctx.db.query("notes").collect()).map(({ text }) => text) });
export const limited = mutation({ handler: async (ctx) => (await limiter.limit(ctx, "add")).ok });
export const found = query({
  handler: async (ctx) => await ctx.db.query("notes").withSearchIndex("by_words", (q) => q.search("text", "a")).collect(),
});
export const near = action({
  handler: async (ctx): Promise<unknown> => await ctx.vectorSearch("notes", "by_meaning", { vector: [1, 2, 3], limit: 1 }),
});
export const byText = query({
  handler: async (ctx) => await ctx.db.query("notes").withIndex("by_text" as never).collect(),
});
