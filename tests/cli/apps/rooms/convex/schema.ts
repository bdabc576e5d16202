import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  rooms: defineTable({ title: v.string(), seats: v.optional(v.int64()), embedding: v.optional(v.array(v.float64())) })
    .index("by_title", ["title"])
    .searchIndex("by_words", { searchField: "title" })
    .vectorIndex("by_meaning", { vectorField: "embedding", dimensions: 3 }),
});
