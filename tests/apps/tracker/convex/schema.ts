import { defineSchema, defineTable } from "convex/server";
import { type Infer, v } from "convex/values";

export const status = v.union(v.literal("backlog"), v.literal("todo"), v.literal("doing"), v.literal("done"));
export type Status = Infer<typeof status>;

export const taskFields = {
  projectId: v.id("projects"),
  title: v.string(),
  description: v.optional(v.string()),
  status,
  assigneeId: v.optional(v.id("users")),
  labels: v.array(v.string()),
  estimate: v.union(v.number(), v.null()),
  dueAt: v.optional(v.number()),
  position: v.number(),
  custom: v.record(v.string(), v.union(v.string(), v.number(), v.boolean())),
};

export default defineSchema(
  {
    users: defineTable({
      tokenIdentifier: v.string(),
      name: v.string(),
      email: v.optional(v.string()),
      avatar: v.optional(v.id("_storage")),
      settings: v.object({ theme: v.union(v.literal("light"), v.literal("dark")), digest: v.boolean() }),
    })
      .index("by_token", ["tokenIdentifier"])
      .index("by_email", ["email"]),
    projects: defineTable({ name: v.string(), ownerId: v.id("users"), archived: v.boolean(), key: v.string(), nextNumber: v.int64() })
      .index("by_owner", ["ownerId", "archived"])
      .index("by_key", ["key"]),
    members: defineTable({ projectId: v.id("projects"), userId: v.id("users"), role: v.union(v.literal("owner"), v.literal("editor"), v.literal("viewer")) })
      .index("by_project", ["projectId"])
      .index("by_user", ["userId"])
      .index("by_project_user", ["projectId", "userId"]),
    tasks: defineTable({ ...taskFields, number: v.int64(), reminder: v.optional(v.id("_scheduled_functions")) })
      .index("by_project_status", ["projectId", "status", "position"])
      .index("by_assignee", ["assigneeId", "status"])
      .index("by_due", ["dueAt"])
      .searchIndex("search_title", { searchField: "title", filterFields: ["projectId"] }),
    comments: defineTable({
      taskId: v.id("tasks"),
      authorId: v.id("users"),
      body: v.union(
        v.object({ type: v.literal("text"), text: v.string(), mentions: v.array(v.id("users")) }),
        v.object({ type: v.literal("file"), storageId: v.id("_storage"), name: v.string(), bytes: v.optional(v.bytes()) }),
      ),
    }).index("by_task", ["taskId"]),
    activity: defineTable({ projectId: v.id("projects"), taskId: v.optional(v.id("tasks")), kind: v.string(), data: v.any(), actor: v.union(v.id("users"), v.literal("system")) }).index(
      "by_project",
      ["projectId"],
    ),
    counters: defineTable({ name: v.string(), value: v.float64() }).index("by_name", ["name"]),
    deliveries: defineTable({ externalId: v.string(), payload: v.any(), processedAt: v.optional(v.number()) }).index("by_external", ["externalId"]),
  },
  { schemaValidation: true },
);
