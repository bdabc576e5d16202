import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  users: defineTable({ token: v.string() }).index("by_token", ["token"]),
  // Made together with the user, or not at all.
  settings: defineTable({ token: v.string() }).index("by_token", ["token"]),
  // Whom the client meant to call as, and whom the call ran as.
  notes: defineTable({ meant: v.union(v.string(), v.null()), ranAs: v.union(v.string(), v.null()) }).index("by_author", ["ranAs"]),
  // One document that every note changes.
  pulse: defineTable({ beats: v.number() }),
});
