import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  notes: defineTable({ text: v.string(), embedding: v.optional(v.array(v.float64())) })
    .searchIndex("by_words", { searchField: "text" })
    .vectorIndex("by_meaning", { vectorField: "embedding", dimensions: 3 })
    .index("by_text", { fields: ["text"], staged: true }),
});
