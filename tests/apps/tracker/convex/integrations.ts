import { v } from "convex/values";
import { internal } from "./_generated/api";
import { internalAction } from "./_generated/server";
import { internalMutation } from "./functions";

export const received = internalMutation({
  args: { externalId: v.string(), payload: v.any() },
  returns: v.boolean(),
  handler: async (ctx, { externalId, payload }) => {
    const known = await ctx.db
      .query("deliveries")
      .withIndex("by_external", (q) => q.eq("externalId", externalId))
      .unique();
    if (known) return false;
    const id = await ctx.db.insert("deliveries", { externalId, payload });
    await ctx.scheduler.runAfter(0, internal.integrations.hand, { id });
    return true;
  },
});

export const hand = internalAction({
  args: { id: v.id("deliveries") },
  handler: async (ctx, { id }) => {
    const url = process.env.NOTIFY_URL;
    if (!url) throw new Error("NOTIFY_URL is not set");
    const response = await fetch(`${url}/notify?id=${encodeURIComponent(id)}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${process.env.NOTIFY_KEY}` },
      body: JSON.stringify({ id, text: `Delivery ${id}` }),
    });
    if (!response.ok) throw new Error(`Notify failed: ${response.status} ${await response.text()}`);
    const { at } = (await response.json()) as { at: number };
    await ctx.runMutation(internal.integrations.markProcessed, { id, at });
  },
});

export const markProcessed = internalMutation({
  args: { id: v.id("deliveries"), at: v.number() },
  handler: async (ctx, { id, at }) => {
    await ctx.db.patch(id, { processedAt: at });
  },
});
