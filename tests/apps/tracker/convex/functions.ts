// The functions of the app: who asks, and what they may do.
import { customCtx, customAction, customMutation, customQuery } from "convex-helpers/server/customFunctions";
import { Triggers } from "convex-helpers/server/triggers";
import { getOneFrom } from "convex-helpers/server/relationships";
import { ConvexError, v } from "convex/values";
import { internal } from "./_generated/api";
import type { DataModel, Doc, Id } from "./_generated/dataModel";
import {
  action,
  internalMutation as rawInternalMutation,
  mutation as rawMutation,
  query as rawQuery,
  type MutationCtx,
  type QueryCtx,
} from "./_generated/server";

export const triggers = new Triggers<DataModel>();
triggers.register("tasks", async (ctx, change) => {
  const doc = change.newDoc ?? change.oldDoc!;
  const name = `tasks:${doc.projectId}`;
  const counter = await getOneFrom(ctx.db, "counters", "by_name", name, "name");
  const by = change.operation === "insert" ? 1 : change.operation === "delete" ? -1 : 0;
  if (counter) await ctx.db.patch(counter._id, { value: counter.value + by });
  else await ctx.db.insert("counters", { name, value: by });
});
triggers.register("tasks", async (ctx, change) => {
  if (change.operation !== "update" || change.oldDoc.status === change.newDoc.status) return;
  await ctx.db.insert("activity", {
    projectId: change.newDoc.projectId,
    taskId: change.id,
    kind: "moved",
    data: { from: change.oldDoc.status, to: change.newDoc.status },
    actor: "system",
  });
});

export async function currentUser(ctx: QueryCtx | MutationCtx): Promise<Doc<"users">> {
  const identity = await ctx.auth.getUserIdentity();
  if (identity === null) throw new ConvexError({ code: "Unauthenticated" as const });
  const user = await ctx.db
    .query("users")
    .withIndex("by_token", (q) => q.eq("tokenIdentifier", identity.tokenIdentifier))
    .unique();
  if (user === null) throw new Error("User not found");
  return user;
}

export async function membership(ctx: QueryCtx | MutationCtx, projectId: Id<"projects">, userId: Id<"users">, roles: Doc<"members">["role"][]) {
  const member = await ctx.db
    .query("members")
    .withIndex("by_project_user", (q) => q.eq("projectId", projectId).eq("userId", userId))
    .unique();
  if (member === null || !roles.includes(member.role)) throw new ConvexError({ code: "Forbidden" as const, needs: roles });
  return member;
}

export const internalMutation = customMutation(rawInternalMutation, customCtx(triggers.wrapDB));
export const mutation = customMutation(rawMutation, customCtx(triggers.wrapDB));
export const userQuery = customQuery(
  rawQuery,
  customCtx(async (ctx) => ({ user: await currentUser(ctx) })),
);
export const userMutation = customMutation(
  mutation as typeof rawMutation,
  customCtx(async (ctx) => ({ user: await currentUser(ctx) })),
);
export const projectQuery = customQuery(rawQuery, {
  args: { projectId: v.id("projects") },
  input: async (ctx, { projectId }) => {
    const user = await currentUser(ctx);
    const member = await membership(ctx, projectId, user._id, ["owner", "editor", "viewer"]);
    const project = (await ctx.db.get(projectId))!;
    return { ctx: { user, member, project }, args: {} };
  },
});
export const projectMutation = customMutation(mutation as typeof rawMutation, {
  args: { projectId: v.id("projects") },
  input: async (ctx, { projectId }) => {
    const user = await currentUser(ctx);
    const member = await membership(ctx, projectId, user._id, ["owner", "editor"]);
    const project = (await ctx.db.get(projectId))!;
    return { ctx: { user, member, project }, args: {} };
  },
});
export const userAction = customAction(
  action,
  customCtx(async (ctx): Promise<{ userId: Id<"users"> }> => {
    const userId: Id<"users"> | null = await ctx.runQuery(internal.users.idOfCaller, {});
    if (userId === null) throw new ConvexError({ code: "Unauthenticated" as const });
    return { userId };
  }),
);
