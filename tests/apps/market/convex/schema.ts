import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";
import { orders } from "./tables";

export default defineSchema({
  products: defineTable({
    sku: v.string(),
    name: v.string(),
    price: v.number(),
    stock: v.number(),
    tags: v.array(v.string()),
    attributes: v.optional(v.record(v.string(), v.any())),
    embedding: v.optional(v.array(v.float64())),
    rating: v.optional(v.object({ sum: v.number(), count: v.number() })),
  })
    .index("sku", ["sku"])
    .index("price", ["price"])
    .index("rating", ["rating.count", "rating.sum"])
    .searchIndex("name", { searchField: "name" })
    .vectorIndex("embedding", { vectorField: "embedding", dimensions: 4, filterFields: ["sku"] }),
  orders,
  carts: defineTable({ session: v.string(), items: v.array(v.object({ sku: v.string(), quantity: v.number() })), updatedAt: v.number() }).index("session", ["session"]),
  events: defineTable(
    v.union(
      v.object({ kind: v.literal("placed"), orderId: v.id("orders"), total: v.number() }),
      v.object({ kind: v.literal("paid"), orderId: v.id("orders"), reference: v.string(), raw: v.bytes() }),
      v.object({ kind: v.literal("failed"), orderId: v.optional(v.id("orders")), reason: v.string() }),
    ),
  ).index("kind", ["kind"]),
});
