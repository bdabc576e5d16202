// Notes, which say as whom they were written.

import { actionGeneric as action, makeFunctionReference, mutationGeneric as mutation, queryGeneric as query } from "convex/server";
import { ConvexError, v } from "convex/values";

const args = { meant: v.union(v.string(), v.null()) };
const writes = makeFunctionReference<"mutation">("notes:write");

export const write = mutation({
  args,
  handler: async (ctx, { meant }) => {
    const ranAs = (await ctx.auth.getUserIdentity())?.tokenIdentifier ?? null;
    if (ranAs !== null) {
      const user = await ctx.db.query("users").withIndex("by_token", (q: any) => q.eq("token", ranAs)).first();
      if (user === null) throw new ConvexError({ code: "UserNotFound" });
    }
    const note = { meant, ranAs };
    await ctx.db.insert("notes", note);
    const pulse = await ctx.db.query("pulse").first();
    if (pulse === null) await ctx.db.insert("pulse", { beats: 1 });
    else await ctx.db.patch(pulse._id, { beats: pulse.beats + 1 });
    return note;
  },
});

export const act = action({
  args,
  handler: async (ctx, { meant }) => {
    const ranAs = (await ctx.auth.getUserIdentity())?.tokenIdentifier ?? null;
    const note: any = await ctx.runMutation(writes, { meant });
    if (note.ranAs !== ranAs) throw new ConvexError({ code: "AnotherIdentity" });
    return note;
  },
});

/** The caller's notes. */
export const mine = query({
  args: {},
  handler: async (ctx) => {
    const ranAs = (await ctx.auth.getUserIdentity())?.tokenIdentifier;
    if (ranAs === undefined) return null;
    const notes = await ctx.db.query("notes").withIndex("by_author", (q: any) => q.eq("ranAs", ranAs)).collect();
    return notes.map(({ meant, ranAs }) => ({ meant, ranAs }));
  },
});

/** Everybody's, and nobody's in particular. */
export const pulse = query({ args: {}, handler: async (ctx) => (await ctx.db.query("pulse").first())?.beats ?? 0 });
