// People: made at their first login, and what they can do with their own document.

import { ConvexError, v } from "convex/values";
import { mutation, query, type MutationCtx, type QueryCtx } from "./_generated/server";

const NAME_BYTES_MAX = 80;
declare const process: { env: Record<string, string | undefined> };
/** The domain of the addresses that are let in; everybody is where it is not set. */
const INVITED = process.env.CHAT_INVITE_DOMAIN;

const bytes = (text: string) => new TextEncoder().encode(text).length;

const userByToken = (ctx: QueryCtx, token: string) =>
  ctx.db
    .query("users")
    .withIndex("by_token", (q) => q.eq("token", token))
    .unique();

/** The caller's document. */
export async function caller(ctx: QueryCtx) {
  const identity = await ctx.auth.getUserIdentity();
  if (!identity) throw new ConvexError({ code: "Unauthenticated" });
  const user = await userByToken(ctx, identity.tokenIdentifier);
  if (!user) throw new ConvexError({ code: "UserNotFound" });
  return user;
}

/** Makes the caller's document when it is missing. Vestibule runs it before anything else runs as a new identity. */
export const ensureUser = mutation({
  args: {},
  returns: v.id("users"),
  handler: async (ctx: MutationCtx) => {
    const identity = await ctx.auth.getUserIdentity();
    if (!identity) throw new ConvexError({ code: "Unauthenticated" });
    const user = await userByToken(ctx, identity.tokenIdentifier);
    if (user) return user._id;
    const { name, email, tokenIdentifier } = identity;
    if (INVITED && email?.split("@").pop() !== INVITED) {
      throw new ConvexError({ code: "NotInvited", message: `This chat is for people with an address at ${INVITED}.` });
    }
    return await ctx.db.insert("users", {
      name: name ?? "Anonymous",
      ...(email === undefined ? {} : { email }),
      token: tokenIdentifier,
    });
  },
});

/** The caller's document, null when the caller is signed out. */
export const me = query({
  args: {},
  handler: async (ctx) => {
    const identity = await ctx.auth.getUserIdentity();
    if (!identity) return null;
    return await caller(ctx);
  },
});

/** How many people there are. */
export const count = query({
  args: {},
  returns: v.number(),
  handler: async (ctx) => (await ctx.db.query("users").collect()).length,
});

/** Changes the caller's name. */
export const rename = mutation({
  args: { name: v.string() },
  returns: v.null(),
  handler: async (ctx, args) => {
    const name = args.name.trim();
    if (name === "" || bytes(name) > NAME_BYTES_MAX) {
      throw new ConvexError({ code: "InvalidName", bytesMax: NAME_BYTES_MAX });
    }
    await ctx.db.patch((await caller(ctx))._id, { name });
    return null;
  },
});

/** Deletes the caller's document; messages stay, without a name. */
export const deleteMe = mutation({
  args: {},
  returns: v.null(),
  handler: async (ctx) => {
    await ctx.db.delete((await caller(ctx))._id);
    return null;
  },
});
