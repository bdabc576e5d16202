import { getAuthUserId } from "@convex-dev/auth/server";
import { paginationOptsValidator } from "convex/server";
import { ConvexError, v } from "convex/values";
import { mutation, query } from "./_generated/server";
import type { MutationCtx, QueryCtx } from "./_generated/server";

const requireUser = async (ctx: QueryCtx | MutationCtx) => {
  const userId = await getAuthUserId(ctx);
  const user = userId === null ? null : await ctx.db.get(userId);
  if (user === null) throw new ConvexError("user not found");
  return user;
};

export const me = query({
  args: {},
  handler: async (ctx) => (await requireUser(ctx)).email,
});

export const page = query({
  args: { paginationOpts: paginationOptsValidator },
  handler: async (ctx, { paginationOpts }) => {
    const { _id } = await requireUser(ctx);
    const mine = ctx.db.query("notes").withIndex("by_user", (q) => q.eq("userId", _id));
    return await mine.order("desc").paginate(paginationOpts);
  },
});

export const add = mutation({
  args: { body: v.string() },
  handler: async (ctx, { body }) => {
    const { _id } = await requireUser(ctx);
    if (body.trim() === "") throw new ConvexError("a note needs a text");
    return await ctx.db.insert("notes", { userId: _id, body });
  },
});

export const remove = mutation({
  args: { id: v.id("notes") },
  handler: async (ctx, { id }) => {
    const { _id } = await requireUser(ctx);
    const note = await ctx.db.get(id);
    if (note?.userId !== _id) throw new ConvexError("no such note");
    await ctx.db.delete(id);
  },
});
