// The functions of this app, made from the helpers' parts.

import { customCtx, customMutation, customQuery } from "convex-helpers/server/customFunctions";
import { type Rules, wrapDatabaseReader, wrapDatabaseWriter } from "convex-helpers/server/rowLevelSecurity";
import { SessionIdArg } from "convex-helpers/server/sessions";
import { Triggers } from "convex-helpers/server/triggers";
import { zCustomMutation, zCustomQuery } from "convex-helpers/server/zod4";
import { NoOp } from "convex-helpers/server/customFunctions";
import { ConvexError, v } from "convex/values";
import type { DataModel } from "./_generated/dataModel";
import { mutation as rawMutation, query as rawQuery, type QueryCtx } from "./_generated/server";

const triggers = new Triggers<DataModel>();
triggers.register("posts", async (ctx, change) => {
  const row = await ctx.db.query("counts").withIndex("table", (q) => q.eq("table", "posts")).unique();
  const difference = change.operation === "insert" ? 1 : change.operation === "delete" ? -1 : 0;
  if (row === null) await ctx.db.insert("counts", { table: "posts", count: difference });
  else await ctx.db.patch(row._id, { count: row.count + difference });
});
// Posts go with their author.
triggers.register("users", async (ctx, change) => {
  if (change.operation !== "delete") return;
  for await (const post of ctx.db.query("posts").withIndex("authorId", (q) => q.eq("authorId", change.id))) await ctx.db.delete(post._id);
});
triggers.register("posts", async (_, change) => {
  if (change.newDoc !== null && change.newDoc.likes < 0) throw new ConvexError({ code: "TooFewLikes", id: change.id });
});

export const mutation = customMutation(rawMutation, customCtx(triggers.wrapDB));
export const query = rawQuery;

const asUser = async (ctx: QueryCtx, name: string) => {
  const user = await ctx.db.query("users").withIndex("name", (q) => q.eq("name", name)).unique();
  if (user === null) throw new ConvexError(`nobody is called ${name}`);
  return user;
};
const rules = (user: { _id: string; team?: string }): Rules<QueryCtx, DataModel> => ({
  posts: {
    read: async (_, post) => post.authorId === user._id || post.likes >= 10,
    modify: async (_, post) => post.authorId === user._id,
    insert: async (_, post) => post.authorId === user._id,
  },
});
export const userQuery = customQuery(rawQuery, {
  args: { as: v.string() },
  input: async (ctx, { as }) => {
    const user = await asUser(ctx, as);
    return { ctx: { user, db: wrapDatabaseReader(ctx, ctx.db, rules(user)) }, args: {} };
  },
});
export const userMutation = customMutation(rawMutation, {
  args: { as: v.string() },
  input: async (ctx, { as }) => {
    const user = await asUser(ctx, as);
    return { ctx: { user, db: wrapDatabaseWriter(ctx, ctx.db, rules(user)) }, args: {} };
  },
});

export const sessionMutation = customMutation(rawMutation, {
  args: SessionIdArg,
  input: async (_, { sessionId }) => ({ ctx: { sessionId }, args: {} }),
});
export const sessionQuery = customQuery(rawQuery, { args: SessionIdArg, input: async (_, { sessionId }) => ({ ctx: { sessionId }, args: {} }) });

export const zQuery = zCustomQuery(rawQuery, NoOp);
export const zMutation = zCustomMutation(rawMutation, NoOp);
