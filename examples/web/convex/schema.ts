// The chat's tables.

import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  users: defineTable({
    name: v.string(),
    email: v.optional(v.string()),
    /** Issuer and subject of the person's auth token. */
    token: v.string(),
  }).index("by_token", ["token"]),
  messages: defineTable({
    channel: v.string(),
    author: v.id("users"),
    body: v.string(),
  }).index("by_channel", ["channel"]),
});
