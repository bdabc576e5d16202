import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  scores: defineTable({ name: v.string(), value: v.number(), checked: v.optional(v.boolean()) }),
  events: defineTable({ text: v.string() }),
});
