import { v } from "convex/values";
import { mutation, query } from "./_generated/server";
import { requireUser } from "./users";

export const generateUploadUrl = mutation({
  args: {},
  handler: async (ctx) => {
    await requireUser(ctx);
    return await ctx.storage.generateUploadUrl();
  },
});

export const save = mutation({
  args: { name: v.string(), storageId: v.id("_storage") },
  handler: async (ctx, args) => {
    const user = await requireUser(ctx);
    await ctx.db.insert("pictures", { ...args, userId: user._id });
  },
});

export const list = query({
  args: {},
  handler: async (ctx) => {
    const user = await requireUser(ctx);
    const pictures = await ctx.db.query("pictures").withIndex("by_user", (q) => q.eq("userId", user._id)).collect();
    return await Promise.all(
      pictures.map(async ({ _id, name, storageId }) => {
        const metadata = await ctx.db.system.get(storageId);
        return { _id, name, url: await ctx.storage.getUrl(storageId), bytes: metadata?.size, type: metadata?.contentType };
      }),
    );
  },
});

export const remove = mutation({
  args: { id: v.id("pictures") },
  handler: async (ctx, { id }) => {
    const user = await requireUser(ctx);
    const picture = await ctx.db.get(id);
    if (picture?.userId !== user._id) throw new Error("Not your picture");
    await ctx.storage.delete(picture.storageId);
    await ctx.db.delete(id);
  },
});
