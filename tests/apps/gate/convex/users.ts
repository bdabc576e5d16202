// People. The beginning of a person's subject decides their provisioning; all write first, so that what is undone can
// be seen to be undone.

import { internalMutationGeneric as internalMutation, mutationGeneric as mutation, queryGeneric as query } from "convex/server";
import { ConvexError, v } from "convex/values";

const byToken = (ctx: any, table: string, token: string) => ctx.db.query(table).withIndex("by_token", (q: any) => q.eq("token", token)).collect();

export const ensureUser = mutation({
  args: {},
  handler: async (ctx) => {
    const identity = await ctx.auth.getUserIdentity();
    if (identity === null) throw new ConvexError({ code: "Nobody" });
    const token = identity.tokenIdentifier;
    if ((await byToken(ctx, "users", token)).length > 0) return false;
    await ctx.db.insert("users", { token });
    const [manner] = identity.subject.split("-");
    if (manner === "refuse") throw new ConvexError({ code: "NotInvited" });
    if (manner === "panic" || manner === "fail") throw new Error("as its subject asks");
    if (manner === "slow") for (let turn = 0; turn < 30_000; turn++);
    await ctx.db.insert("settings", { token });
    return true;
  },
});

/** What a webhook tells of somebody. */
export const told = internalMutation({
  args: { token: v.string() },
  handler: async (ctx, { token }) => {
    if ((await byToken(ctx, "users", token)).length > 0) return;
    await ctx.db.insert("users", { token });
    await ctx.db.insert("settings", { token });
  },
});

/** The caller's token identifier, of somebody whose user is there and whole. */
export const me = query({
  args: {},
  handler: async (ctx) => {
    const identity = await ctx.auth.getUserIdentity();
    if (identity === null) return null;
    const token = identity.tokenIdentifier;
    const [users, settings] = [await byToken(ctx, "users", token), await byToken(ctx, "settings", token)];
    if (users.length === 0) throw new ConvexError({ code: "UserNotFound" });
    if (users.length !== 1 || settings.length !== 1) throw new ConvexError({ code: "HalfUser" });
    return token;
  },
});

export const whoami = query({ args: {}, handler: async (ctx) => (await ctx.auth.getUserIdentity())?.tokenIdentifier ?? null });

/** How many documents an identity has of each table that provisioning writes. */
export const rows = query({
  args: { token: v.string() },
  handler: async (ctx, { token }) => [(await byToken(ctx, "users", token)).length, (await byToken(ctx, "settings", token)).length],
});
