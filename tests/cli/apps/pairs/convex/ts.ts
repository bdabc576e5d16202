// The functions of `tests/src/pairs.rs`, in TypeScript.

import { paginationOptsValidator } from "convex/server";
import { ConvexError, v, type Validator } from "convex/values";
import { mutation, type MutationCtx, query } from "./_generated/server";

// An optional argument of Rust takes null for a missing one.
const missing = <V extends Validator<any, "required", any>>(validator: V) => v.optional(v.union(validator, v.null()));
const putArgs = { key: v.string(), n: v.number(), tags: missing(v.array(v.string())), extra: v.optional(v.any()) };

const plain = ({ _id, _creationTime, ...fields }: Record<string, unknown>) => fields;

async function insert(ctx: MutationCtx, { tags, extra, ...fields }: any) {
  await ctx.db.insert("entries", { ...fields, tags: tags ?? undefined, extra: extra ?? undefined });
  return (await ctx.db.query("entries").collect()).length;
}

async function found(ctx: MutationCtx, key: string) {
  const document = await ctx.db.query("entries").withIndex("by_key", (q) => q.eq("key", key)).first();
  if (document === null) throw new ConvexError({ code: "MISSING", key });
  return document;
}

export const put = mutation({ args: putArgs, handler: insert });

export const change = mutation({
  args: { key: v.string(), n: missing(v.number()) },
  handler: async (ctx, { key, n }) => {
    const document = await found(ctx, key);
    const next = n ?? document.n + 1;
    await ctx.db.patch(document._id, { n: next });
    return next;
  },
});

export const remove = mutation({
  args: { key: v.string() },
  handler: async (ctx, { key }) => {
    await ctx.db.delete((await found(ctx, key))._id);
  },
});

export const putThenFail = mutation({
  args: putArgs,
  handler: async (ctx, fields) => {
    await insert(ctx, fields);
    throw new Error("not this one");
  },
});

export const list = query({ args: {}, handler: async (ctx) => (await ctx.db.query("entries").collect()).map(plain) });

export const between = query({
  args: { from: v.number(), to: v.number() },
  handler: async (ctx, { from, to }) => {
    const range = ctx.db.query("entries").withIndex("by_n", (q) => q.gte("n", from).lt("n", to));
    return (await range.order("desc").collect()).map(plain);
  },
});

export const page = query({
  args: { paginationOpts: paginationOptsValidator },
  handler: async (ctx, { paginationOpts }) => {
    const { page, isDone, continueCursor } = await ctx.db.query("entries").paginate(paginationOpts);
    return { keys: page.map(({ key }) => key), isDone, continueCursor };
  },
});

export const echo = query({ args: { value: v.any() }, handler: async (_, { value }) => value });

export const refuse = query({
  args: { code: v.number() },
  handler: async (_, { code }) => {
    throw new ConvexError({ code });
  },
});
