import { getAll, getManyFrom } from "convex-helpers/server/relationships";
import { ConvexError, v } from "convex/values";
import { projectMutation, projectQuery, userMutation, userQuery } from "./functions";

export const create = userMutation({
  args: { name: v.string(), key: v.string() },
  returns: v.id("projects"),
  handler: async (ctx, { name, key }) => {
    if (!/^[A-Z]{2,5}$/.test(key)) throw new ConvexError({ code: "BadKey", key });
    const taken = await ctx.db
      .query("projects")
      .withIndex("by_key", (q) => q.eq("key", key))
      .first();
    if (taken !== null) throw new ConvexError({ code: "KeyTaken", key, by: taken.name });
    const projectId = await ctx.db.insert("projects", { name, key, ownerId: ctx.user._id, archived: false, nextNumber: 1n });
    await ctx.db.insert("members", { projectId, userId: ctx.user._id, role: "owner" });
    return projectId;
  },
});

export const mine = userQuery({
  args: {},
  handler: async (ctx) => {
    const memberships = await getManyFrom(ctx.db, "members", "by_user", ctx.user._id, "userId");
    const projects = await getAll(
      ctx.db,
      memberships.map((m) => m.projectId),
    );
    return await Promise.all(
      projects
        .filter((project) => project !== null && !project.archived)
        .map(async (project) => ({
          ...project!,
          owner: (await ctx.db.get(project!.ownerId))?.name ?? "?",
          taskCount: (
            await ctx.db
              .query("counters")
              .withIndex("by_name", (q) => q.eq("name", `tasks:${project!._id}`))
              .unique()
          )?.value,
        })),
    );
  },
});

export const invite = projectMutation({
  args: { email: v.string(), role: v.union(v.literal("editor"), v.literal("viewer")) },
  handler: async (ctx, { email, role }) => {
    const invited = await ctx.db
      .query("users")
      .withIndex("by_email", (q) => q.eq("email", email))
      .unique();
    if (!invited) throw new ConvexError(`There is no user with the address ${email}`);
    await ctx.db.insert("members", { projectId: ctx.project._id, userId: invited._id, role });
  },
});

export const feed = projectQuery({
  args: { since: v.optional(v.number()) },
  handler: async (ctx, { since }) =>
    await ctx.db
      .query("activity")
      .withIndex("by_project", (q) => q.eq("projectId", ctx.project._id).gt("_creationTime", since ?? 0))
      .order("desc")
      .take(20),
});
