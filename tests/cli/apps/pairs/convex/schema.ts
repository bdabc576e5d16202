import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

const entry = { key: v.string(), n: v.number(), tags: v.optional(v.array(v.string())), extra: v.optional(v.any()) };
export default defineSchema({
  entries: defineTable(entry).index("by_key", ["key"]).index("by_n", ["n"]),
  kept: defineTable({ file: v.id("_storage") }),
});
