import { v } from "convex/values";
import { action, mutation, query } from "./_generated/server";

export const open = mutation({
  args: { count: v.number(), balance: v.number() },
  handler: async (ctx, { count, balance }) => {
    for (let n = 0; n < count; n += 1) await ctx.db.insert("accounts", { name: `account ${n}`, balance, transfers: 0 });
  },
});

const change = async (ctx: any, name: string, amount: number) => {
  const account = await ctx.db.query("accounts").withIndex("by_name", (q: any) => q.eq("name", name)).unique();
  await ctx.db.patch(account._id, { balance: account.balance + amount, transfers: account.transfers + 1 });
};

export const transfer = mutation({
  args: { from: v.string(), to: v.string(), amount: v.number() },
  handler: async (ctx, { from, to, amount }) => {
    await change(ctx, from, -amount);
    await change(ctx, to, amount);
  },
});

export const total = query({
  args: {},
  handler: async (ctx) => {
    const accounts = await ctx.db.query("accounts").collect();
    const sum = (field: "balance" | "transfers") => accounts.reduce((all, account) => all + account[field], 0);
    return { accounts: accounts.length, balance: sum("balance"), transfers: sum("transfers") };
  },
});

export const note = mutation({ args: { text: v.string() }, handler: (ctx, { text }) => ctx.db.insert("notes", { text }) });
export const notes = query({ args: {}, handler: async (ctx) => (await ctx.db.query("notes").collect()).map(({ text }) => text) });

export const keep = action({ args: { text: v.string() }, handler: (ctx, { text }) => ctx.storage.store(new Blob([text])) });
export const read = action({
  args: { id: v.id("_storage") },
  handler: async (ctx, { id }) => (await (await ctx.storage.get(id))?.text()) ?? null,
});
export const drop = mutation({ args: { id: v.id("_storage") }, handler: (ctx, { id }) => ctx.storage.delete(id) });

const mine = async (ctx: any) => {
  const identity = await ctx.auth.getUserIdentity();
  if (!identity) return { identity: null, user: null };
  const token = identity.tokenIdentifier;
  const user = await ctx.db.query("users").withIndex("by_token", (q: any) => q.eq("token", token)).unique();
  return { identity, user };
};

export const ensureUser = mutation({
  args: {},
  handler: async (ctx) => {
    const { identity, user } = await mine(ctx);
    if (identity && !user) await ctx.db.insert("users", { token: identity.tokenIdentifier, name: identity.subject });
  },
});

export const me = query({ args: {}, handler: async (ctx) => (await mine(ctx)).user?.name ?? null });
