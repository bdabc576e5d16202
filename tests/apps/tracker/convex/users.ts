import { ConvexError, v } from "convex/values";
import type { Id } from "./_generated/dataModel";
import { internalQuery, query } from "./_generated/server";
import { mutation, userMutation, userQuery } from "./functions";

export const store = mutation({
  args: {},
  returns: v.id("users"),
  handler: async (ctx): Promise<Id<"users">> => {
    const identity = await ctx.auth.getUserIdentity();
    if (!identity) throw new ConvexError("Called storeUser without authentication present");
    const user = await ctx.db
      .query("users")
      .withIndex("by_token", (q) => q.eq("tokenIdentifier", identity.tokenIdentifier))
      .unique();
    if (user !== null) {
      if (user.name !== identity.name) await ctx.db.patch(user._id, { name: identity.name });
      return user._id;
    }
    return await ctx.db.insert("users", {
      name: identity.name ?? "Anonymous",
      email: identity.email,
      tokenIdentifier: identity.tokenIdentifier,
      settings: { theme: "light", digest: true },
    });
  },
});

export const me = query({
  args: {},
  handler: async (ctx) => {
    const identity = await ctx.auth.getUserIdentity();
    if (identity === null) return null;
    const user = await ctx.db
      .query("users")
      .withIndex("by_token", (q) => q.eq("tokenIdentifier", identity.tokenIdentifier))
      .unique();
    return user && { ...user, avatarUrl: user.avatar ? await ctx.storage.getUrl(user.avatar) : null };
  },
});

export const idOfCaller = internalQuery({
  args: {},
  returns: v.union(v.id("users"), v.null()),
  handler: async (ctx): Promise<Id<"users"> | null> => {
    const identity = await ctx.auth.getUserIdentity();
    if (identity === null) return null;
    const user = await ctx.db
      .query("users")
      .withIndex("by_token", (q) => q.eq("tokenIdentifier", identity.tokenIdentifier))
      .unique();
    return user?._id ?? null;
  },
});

export const updateSettings = userMutation({
  args: { settings: v.object({ theme: v.union(v.literal("light"), v.literal("dark")), digest: v.boolean() }) },
  returns: v.null(),
  handler: async (ctx, { settings }) => {
    await ctx.db.patch(ctx.user._id, { settings });
    return null;
  },
});

export const generateAvatarUploadUrl = userMutation({ args: {}, handler: async (ctx) => await ctx.storage.generateUploadUrl() });

export const setAvatar = userMutation({
  args: { storageId: v.id("_storage") },
  handler: async (ctx, { storageId }) => {
    const meta = await ctx.db.system.get(storageId);
    if (!meta?.contentType?.startsWith("image/")) {
      throw new ConvexError({ code: "NotAnImage", contentType: meta?.contentType ?? null, size: meta?.size });
    }
    if (ctx.user.avatar) await ctx.storage.delete(ctx.user.avatar);
    await ctx.db.patch(ctx.user._id, { avatar: storageId });
  },
});

export const assigned = userQuery({
  args: { status: v.optional(v.union(v.literal("todo"), v.literal("doing"))) },
  handler: async (ctx, { status }) => {
    const tasks = await ctx.db
      .query("tasks")
      .withIndex("by_assignee", (q) => (status ? q.eq("assigneeId", ctx.user._id).eq("status", status) : q.eq("assigneeId", ctx.user._id)))
      .order("desc")
      .take(50);
    return tasks.map(({ title, number, status }) => ({ title, number, status }));
  },
});
