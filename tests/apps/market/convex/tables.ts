import { defineTable } from "convex/server";
import { v } from "convex/values";

export const orderState = v.union(
  v.object({ type: v.literal("pending"), expiry: v.id("_scheduled_functions") }),
  v.object({ type: v.literal("paid"), at: v.number(), reference: v.string() }),
  v.object({ type: v.literal("expired") }),
);
export const orders = defineTable({
  session: v.string(),
  lines: v.array(v.object({ productId: v.id("products"), quantity: v.number(), price: v.number() })),
  total: v.number(),
  state: orderState,
  number: v.int64(),
})
  .index("session", ["session"])
  .index("state", ["state.type"]);
