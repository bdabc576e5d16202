import { internalMutation, query } from "./_generated/server";

export const tick = internalMutation({
  args: {},
  handler: async (ctx) => {
    const clock = await ctx.db.query("clocks").unique();
    if (clock === null) await ctx.db.insert("clocks", { ticks: 1 });
    else await ctx.db.patch(clock._id, { ticks: clock.ticks + 1 });
  },
});

export const ticks = query({ args: {}, handler: async (ctx) => (await ctx.db.query("clocks").unique())?.ticks ?? 0 });
