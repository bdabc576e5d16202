import { createFunctionHandle, makeFunctionReference } from "convex/server";
import { v } from "convex/values";
import { components } from "./_generated/api";
import { action, internalMutation, mutation, query } from "./_generated/server";

const { counter, second } = components as any;
const of = (which: string) => (which === "second" ? second : counter);

export const add = mutation({
  args: { which: v.string(), name: v.string() },
  handler: async (ctx, { which, name }): Promise<string> => await ctx.runMutation(of(which).lib.add, { name }),
});

export const get = query({
  args: { which: v.string(), name: v.string() },
  handler: async (ctx, { which, name }): Promise<number> => await ctx.runQuery(of(which).lib.get, { name }),
});

/** Calls any function of a component, by the kind of function that it is. */
export const asks = query({
  args: { which: v.string(), name: v.string(), args: v.any() },
  handler: async (ctx, { which, name, args }): Promise<any> => await ctx.runQuery(of(which).lib[name], args),
});
export const does = mutation({
  args: { which: v.string(), name: v.string(), args: v.any() },
  handler: async (ctx, { which, name, args }): Promise<any> => await ctx.runMutation(of(which).lib[name], args),
});
export const acts = action({
  args: { which: v.string(), name: v.string() },
  handler: async (ctx, { which, name }): Promise<any> => await ctx.runAction(of(which).lib.act, { name }),
});

/** A note of the component that fails is taken back whole; that of the app stays. */
export const tries = mutation({
  args: { text: v.string() },
  handler: async (ctx, { text }) => {
    await ctx.db.insert("notes", { text });
    try {
      await ctx.runMutation(counter.lib.note, { text });
      return "noted";
    } catch (error) {
      return (error as Error).message;
    }
  },
});

export const own = internalMutation({
  args: { text: v.string() },
  handler: async (ctx, { text }) => {
    await ctx.db.insert("notes", { text });
    return (await ctx.auth.getUserIdentity())?.subject ?? "nobody";
  },
});

/** Hands a function of its own to the component, which calls it now or later. */
export const hands = mutation({
  args: { how: v.union(v.literal("call"), v.literal("schedule")), text: v.string() },
  handler: async (ctx, { how, text }): Promise<any> => {
    const handle = await createFunctionHandle(makeFunctionReference<"mutation">("main:own"));
    return await ctx.runMutation(counter.lib[how], { handle, args: { text } });
  },
});

/** Runs a function that the component handed out. */
export const takes = mutation({
  args: { name: v.string() },
  handler: async (ctx, { name }) => {
    const handle: any = await ctx.runQuery(counter.lib.handle, {});
    await ctx.runMutation(handle, { name });
    await ctx.scheduler.runAfter(0, handle, { name });
    return handle;
  },
});

export const notes = query({ args: {}, handler: async (ctx) => (await ctx.db.query("notes").collect()).map(({ text }) => text) });

export const insertCounter = mutation({ args: {}, handler: async (ctx) => await ctx.db.insert("counters", { mine: true }) });
export const foreign = query({
  args: { id: v.string() },
  handler: async (ctx, { id }) => ({
    document: await ctx.db.get(id as any),
    normal: ctx.db.normalizeId("counters", id),
    jobs: (await ctx.db.system.query("_scheduled_functions").collect()).length,
  }),
});
