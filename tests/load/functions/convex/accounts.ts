// The accounts of `src/app.rs`, in TypeScript: the same names, the same work.
import {
  type DataModelFromSchemaDefinition,
  type GenericQueryCtx,
  type MutationBuilder,
  type QueryBuilder,
  mutationGeneric,
  paginationOptsValidator,
  queryGeneric,
} from "convex/server";
import { ConvexError, v } from "convex/values";
import schema from "./schema";

type Model = DataModelFromSchemaDefinition<typeof schema>;
const query = queryGeneric as QueryBuilder<Model, "public">;
const mutation = mutationGeneric as MutationBuilder<Model, "public">;

const BALANCE = 1e9;
const STRETCH = { first: v.number(), count: v.number() };

const known = (ctx: GenericQueryCtx<Model>, number: number) =>
  ctx.db
    .query("accounts")
    .withIndex("by_number", (q) => q.eq("number", number))
    .unique();

const stretch = (ctx: GenericQueryCtx<Model>, first: number, count: number) =>
  ctx.db
    .query("accounts")
    .withIndex("by_number", (q) => q.gte("number", first).lt("number", first + count))
    .collect();

export const open = mutation({
  args: STRETCH,
  handler: async (ctx, { first, count }) => {
    let opened = 0;
    for (let number = first; number < first + count; number++) {
      if (await known(ctx, number)) continue;
      await ctx.db.insert("accounts", { number, balance: BALANCE });
      opened++;
    }
    return opened;
  },
});

const account = async (ctx: GenericQueryCtx<Model>, number: number) => {
  const account = await known(ctx, number);
  if (!account) throw new ConvexError({ code: "NoSuchAccount", number });
  return account;
};

export const transfer = mutation({
  args: { from: v.number(), to: v.number(), amount: v.number() },
  handler: async (ctx, { from, to, amount }) => {
    const source = await account(ctx, from);
    const target = await account(ctx, to);
    if (source.balance < amount) throw new ConvexError({ code: "InsufficientFunds" });
    await ctx.db.patch(source._id, { balance: source.balance - amount });
    await ctx.db.patch(target._id, { balance: target.balance + amount });
  },
});

export const total = query({
  args: STRETCH,
  handler: async (ctx, { first, count }) => {
    const accounts = await stretch(ctx, first, count);
    return { accounts: accounts.length, balance: accounts.reduce((sum, { balance }) => sum + balance, 0) };
  },
});

/** The accounts of a page of the index by balance, which only `load backfill` adds to the schema. */
export const pageByBalance = query({
  args: { paginationOpts: paginationOptsValidator },
  handler: async (ctx, { paginationOpts }) => {
    const accounts = ctx.db.query("accounts").withIndex("by_balance" as "by_number");
    const { page, isDone, continueCursor } = await accounts.paginate(paginationOpts);
    const balances = page.map(({ balance }) => balance);
    return {
      accounts: page.length,
      balance: balances.reduce((sum, balance) => sum + balance, 0),
      first: balances.at(0) ?? null,
      last: balances.at(-1) ?? null,
      isDone,
      continueCursor,
    };
  },
});

const NONCE = { nonce: v.optional(v.number()) };

export const point = query({
  args: { number: v.number(), ...NONCE },
  handler: async (ctx, { number }) => {
    const account = await known(ctx, number);
    return account && { number: account.number, balance: account.balance };
  },
});

export const range = query({
  args: { ...STRETCH, ...NONCE },
  handler: async (ctx, { first, count }) => {
    const accounts = await stretch(ctx, first, count);
    return accounts.map(({ number, balance }) => ({ number, balance }));
  },
});
