import { v } from "convex/values";
import { internalMutation, mutation, query, type QueryCtx } from "./_generated/server";

const byClerkId = (ctx: QueryCtx, clerkId: string) =>
  ctx.db.query("users").withIndex("by_clerk_id", (q) => q.eq("clerkId", clerkId)).unique();

export const requireUser = async (ctx: QueryCtx) => {
  const identity = await ctx.auth.getUserIdentity();
  if (identity === null) throw new Error("Unauthenticated call");
  const user = await byClerkId(ctx, identity.subject);
  if (user === null) throw new Error("User not found");
  return user;
};

export const me = query({ args: {}, handler: async (ctx) => (await requireUser(ctx)).name });
export const count = query({ args: {}, handler: async (ctx) => (await ctx.db.query("users").collect()).length });

export const upsertFromClerk = internalMutation({
  args: { data: v.any() },
  handler: async (ctx, { data }) => {
    const user = await byClerkId(ctx, data.id);
    const fields = { clerkId: data.id, name: `${data.first_name} ${data.last_name}` };
    if (user === null) await ctx.db.insert("users", fields);
    else await ctx.db.patch(user._id, fields);
  },
});

export const deleteFromClerk = internalMutation({
  args: { clerkId: v.string() },
  handler: async (ctx, { clerkId }) => {
    const user = await byClerkId(ctx, clerkId);
    if (user !== null) await ctx.db.delete(user._id);
  },
});

/** What an app without a webhook calls in an effect. */
export const store = mutation({
  args: {},
  handler: async (ctx) => {
    const identity = await ctx.auth.getUserIdentity();
    if (identity === null) throw new Error("Called storeUser without authentication present");
    const user = await byClerkId(ctx, identity.subject);
    if (user !== null) return user._id;
    return await ctx.db.insert("users", { clerkId: identity.subject, name: identity.name ?? "Anonymous" });
  },
});
