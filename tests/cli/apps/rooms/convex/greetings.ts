import { v } from "convex/values";
import { action } from "./_generated/server";
import { api } from "./_generated/api";

declare const process: { env: Record<string, string | undefined> };

export const greet = action({
  args: { name: v.string() },
  handler: async (ctx, { name }): Promise<string> => {
    await ctx.runMutation(api.rooms.open, { title: name });
    return `Hello, ${name}, from ${process.env.PLACE ?? "nowhere"}`;
  },
});
