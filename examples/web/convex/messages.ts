// The messages of the chat, a channel at a time.

import { paginationOptsValidator } from "convex/server";
import { ConvexError, v } from "convex/values";
import type { Doc } from "./_generated/dataModel";
import { mutation, query, type QueryCtx } from "./_generated/server";
import { CHANNELS } from "./channels";
import { caller } from "./users";

/** Messages that `list` gives. */
const NEWEST = 50;
const BODY_BYTES_MAX = 4_000;

/** Writes a message as the caller. */
export const send = mutation({
  args: { channel: v.string(), body: v.string() },
  returns: v.id("messages"),
  handler: async (ctx, { channel, body }) => {
    const author = (await caller(ctx))._id;
    if (!CHANNELS.includes(channel)) throw new ConvexError({ code: "NoSuchChannel", channel });
    if (body.trim() === "" || new TextEncoder().encode(body).length > BODY_BYTES_MAX) {
      throw new ConvexError({ code: "InvalidBody", bytesMax: BODY_BYTES_MAX });
    }
    return await ctx.db.insert("messages", { channel, author, body });
  },
});

async function view(ctx: QueryCtx, { _id, _creationTime, body, author }: Doc<"messages">) {
  const user = await ctx.db.get(author);
  return { _id, _creationTime, body, author: { _id: author, name: user?.name ?? "Someone who left" } };
}

const newest = (ctx: QueryCtx, channel: string) =>
  ctx.db
    .query("messages")
    .withIndex("by_channel", (q) => q.eq("channel", channel))
    .order("desc");

/** The newest messages of a channel, newest first. */
export const list = query({
  args: { channel: v.string() },
  handler: async (ctx, { channel }) => {
    const messages = await newest(ctx, channel).take(NEWEST);
    return await Promise.all(messages.map((message) => view(ctx, message)));
  },
});

/** The messages of a channel a page at a time, newest first. */
export const page = query({
  args: { channel: v.string(), paginationOpts: paginationOptsValidator },
  handler: async (ctx, { channel, paginationOpts }) => {
    const page = await newest(ctx, channel).paginate(paginationOpts);
    return { ...page, page: await Promise.all(page.page.map((message) => view(ctx, message))) };
  },
});
