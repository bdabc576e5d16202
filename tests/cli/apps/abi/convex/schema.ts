import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  items: defineTable(v.any()).index("by_a", ["a"]).index("by_a_b", ["a", "b"]).searchIndex("by_words", { searchField: "s" }),
  typed: defineTable({
    n: v.number(),
    o: v.optional(v.object({ a: v.string(), b: v.optional(v.int64()) })),
    u: v.optional(v.union(v.literal("a"), v.literal(1), v.null())),
    r: v.optional(v.record(v.string(), v.number())),
    l: v.optional(v.array(v.object({ b: v.boolean() }))),
    i: v.optional(v.id("items")),
  }),
  other: defineTable(v.any()),
  // A type that an app took from its documents: system fields in it are passed over.
  named: defineTable({ _id: v.id("named"), _creationTime: v.number(), n: v.number() } as any),
  stamped: defineTable({ kind: v.string(), ts: v.commitTs(), deep: v.optional(v.array(v.object({ ts: v.commitTs() }))) }).index("by_ts", ["ts"]),
});
