import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  users: defineTable({ token: v.string() }).index("by_token", ["token"]),
  lists: defineTable({ key: v.string(), values: v.array(v.string()) }).index("by_key", ["key"]),
  accounts: defineTable({ name: v.string(), balance: v.number(), changes: v.number() }).index("by_name", ["name"]),
  sides: defineTable({ pair: v.string(), side: v.string(), is_on: v.boolean(), changes: v.number() }).index("by_pair", [
    "pair",
    "side",
  ]),
  members: defineTable({ group: v.string(), place: v.number(), name: v.string() }).index("by_place", [
    "group",
    "place",
  ]),
  journal: defineTable({ id: v.string(), results: v.array(v.string()), user: v.optional(v.string()) }),
  effects: defineTable({ name: v.string() }),
});
