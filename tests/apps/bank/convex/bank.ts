import { ConvexError, v } from "convex/values";
import { mutation, query, type QueryCtx } from "./_generated/server";

const account = async (ctx: QueryCtx, owner: string) => {
  const found = await ctx.db.query("accounts").withIndex("by_owner", (q) => q.eq("owner", owner)).unique();
  if (found === null) throw new ConvexError({ code: "NoSuchAccount", owner });
  return found;
};

export const open = mutation({
  args: { owners: v.array(v.string()), balance: v.number() },
  handler: async (ctx, { owners, balance }) => {
    for (const owner of owners) await ctx.db.insert("accounts", { owner, balance });
  },
});

export const transfer = mutation({
  args: { key: v.string(), from: v.string(), to: v.string(), amount: v.number() },
  handler: async (ctx, args) => {
    await ctx.db.insert("transfers", args);
    const from = await account(ctx, args.from);
    await ctx.db.patch(from._id, { balance: from.balance - args.amount });
    const to = await account(ctx, args.to);
    await ctx.db.patch(to._id, { balance: to.balance + args.amount });
    // The writes are taken back.
    if (from.balance < args.amount) throw new ConvexError({ code: "TooLittle" });
    return from.balance - args.amount;
  },
});

export const accounts = query({ args: {}, handler: async (ctx) => await ctx.db.query("accounts").collect() });
export const transfers = query({ args: {}, handler: async (ctx) => await ctx.db.query("transfers").collect() });
