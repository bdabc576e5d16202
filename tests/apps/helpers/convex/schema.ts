import { migrationsTable } from "convex-helpers/server/migrations";
import { rateLimitTables } from "convex-helpers/server/rateLimit";
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  ...rateLimitTables,
  migrations: migrationsTable,
  users: defineTable({ name: v.string(), team: v.optional(v.string()) }).index("name", ["name"]),
  posts: defineTable({ authorId: v.id("users"), title: v.string(), likes: v.number() }).index("authorId", ["authorId"]).index("likes", ["likes"]),
  tags: defineTable({ label: v.string() }),
  postTags: defineTable({ postId: v.id("posts"), tagId: v.id("tags") }).index("postId", ["postId"]).index("tagId", ["tagId"]),
  counts: defineTable({ table: v.string(), count: v.number() }).index("table", ["table"]),
  visits: defineTable({ sessionId: v.string(), page: v.string() }).index("sessionId", ["sessionId"]),
});
