// The jobs of `src/app/jobs.rs`, in TypeScript.
import { anyApi, internalMutationGeneric, mutationGeneric, queryGeneric } from "convex/server";
import { v } from "convex/values";

const JOB = { number: v.number(), due: v.number() };

export const plan = mutationGeneric({
  args: { first: v.number(), count: v.number(), due: v.number(), gap: v.number() },
  handler: async (ctx, { first, count, due, gap }) => {
    for (let offset = 0; offset < count; offset++) {
      const job = { number: first + offset, due: due + offset * gap };
      await ctx.scheduler.runAt(job.due, anyApi.jobs.work, job);
    }
  },
});

export const work = internalMutationGeneric({
  args: JOB,
  handler: async (ctx, job) => {
    await ctx.db.insert("effects", job);
  },
});

export const ran = queryGeneric({
  args: { first: v.number(), count: v.number() },
  handler: async (ctx, { first, count }) => {
    const effects = await ctx.db
      .query("effects")
      .withIndex("by_number", (q) => q.gte("number", first).lt("number", first + count))
      .collect();
    return effects.map(({ number, due, _creationTime }) => ({ number, due, at: _creationTime }));
  },
});
