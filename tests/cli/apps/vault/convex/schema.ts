import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  accounts: defineTable({ name: v.string(), balance: v.number(), transfers: v.number() }).index("by_name", ["name"]),
  users: defineTable({ token: v.string(), name: v.string() }).index("by_token", ["token"]),
  notes: defineTable({ text: v.string() }),
});
