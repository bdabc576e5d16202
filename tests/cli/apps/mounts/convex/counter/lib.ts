import {
  actionGeneric as action,
  componentsGeneric,
  createFunctionHandle,
  internalMutationGeneric as internalMutation,
  internalQueryGeneric as internalQuery,
  makeFunctionReference,
  mutationGeneric as mutation,
  queryGeneric as query,
} from "convex/server";
import { v } from "convex/values";

const { ledger } = componentsGeneric() as any;
const named = (ctx: any, name: string) =>
  ctx.db.query("counters").withIndex("by_name", (q: any) => q.eq("name", name)).unique();

async function increase(ctx: any, name: string, by: number) {
  const found = await named(ctx, name);
  if (found === null) return await ctx.db.insert("counters", { name, value: by });
  await ctx.db.patch(found._id, { value: found.value + by });
  return found._id;
}

export const add = mutation({
  args: { name: v.string(), by: v.optional(v.number()) },
  returns: v.id("counters"),
  handler: async (ctx, { name, by }) => await increase(ctx, name, by ?? 1),
});

export const get = query({
  args: { name: v.string() },
  handler: async (ctx, { name }) => (await named(ctx, name))?.value ?? 0,
});

export const byId = query({
  args: { id: v.string() },
  handler: async (ctx, { id }) => ({
    document: await ctx.db.get(id as any),
    normal: ctx.db.normalizeId("counters", id),
  }),
});

export const overwrite = mutation({
  args: { id: v.string() },
  handler: async (ctx, { id }) => await ctx.db.patch(id as any, { value: -1 }),
});

export const link = mutation({
  args: { counter: v.id("counters") },
  handler: async (ctx, { counter }) => await ctx.db.insert("links", { counter }),
});

/** Writes here and in the ledger, and throws where the ledger does. */
export const note = mutation({
  args: { text: v.string() },
  handler: async (ctx, { text }) => {
    await increase(ctx, "notes", 1);
    await ctx.runMutation(ledger.book.write, { text });
  },
});

export const notes = query({
  args: {},
  handler: async (ctx): Promise<string[]> => await ctx.runQuery(ledger.book.texts, {}),
});

/** What a component must not see, and what it is given. */
export const sees = query({
  args: {},
  handler: async (ctx) => ({
    identity: await ctx.auth.getUserIdentity(),
    label: process.env.LABEL ?? null,
    greeting: process.env.GREETING ?? null,
    site: process.env.CONVEX_SITE_URL !== undefined,
    notes: (await ctx.db.query("notes").collect()).length,
    jobs: (await ctx.db.system.query("_scheduled_functions").collect()).map(({ name }) => name),
  }),
});

/** Calls what the app hands in: now, or later. */
export const call = mutation({
  args: { handle: v.string(), args: v.any() },
  handler: async (ctx, { handle, args }): Promise<any> => await ctx.runMutation(handle as any, args),
});

export const schedule = mutation({
  args: { handle: v.string(), args: v.any() },
  handler: async (ctx, { handle, args }) => await ctx.scheduler.runAfter(0, handle as any, args),
});

export const later = mutation({
  args: { name: v.string(), ms: v.number() },
  handler: async (ctx, { name, ms }) => {
    const reference = makeFunctionReference<"mutation">("lib:tick");
    return await ctx.scheduler.runAfter(ms, reference, { name });
  },
});

export const cancel = mutation({
  args: { id: v.string() },
  handler: async (ctx, { id }) => await ctx.scheduler.cancel(id as any),
});

export const job = query({
  args: { id: v.string() },
  handler: async (ctx, { id }) => await ctx.db.system.get(id as any),
});

export const tick = internalMutation({
  args: { name: v.string() },
  handler: async (ctx, { name }) => void (await increase(ctx, name, 1)),
});

export const hidden = internalQuery({ args: {}, handler: async () => "hidden" });

export const handle = query({
  args: {},
  handler: async () => await createFunctionHandle(makeFunctionReference<"mutation">("lib:tick")),
});

export const act = action({
  args: { name: v.string() },
  handler: async (ctx, { name }): Promise<any> => {
    console.log("acting on", name);
    await ctx.runMutation(makeFunctionReference<"mutation">("lib:add"), { name, by: 10 });
    await ctx.runMutation(ledger.book.write, { text: `acted on ${name}` });
    return {
      value: await ctx.runQuery(makeFunctionReference<"query">("lib:get"), { name }),
      identity: await ctx.auth.getUserIdentity(),
    };
  },
});

export const pages = query({
  args: {},
  handler: async (ctx) => await ctx.db.query("counters").paginate({ numItems: 1, cursor: null }),
});
