import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  users: defineTable({ clerkId: v.string(), name: v.string() }).index("by_clerk_id", ["clerkId"]),
  pictures: defineTable({ userId: v.id("users"), name: v.string(), storageId: v.id("_storage") }).index("by_user", ["userId"]),
  letters: defineTable({ userId: v.id("users"), body: v.string() }).index("by_user", ["userId"]),
  clocks: defineTable({ ticks: v.number() }),
});
