import { paginationOptsValidator, type PaginationResult } from "convex/server";
import { ConvexError, v } from "convex/values";
import { internal } from "./_generated/api";
import type { Doc, Id } from "./_generated/dataModel";
import { internalQuery } from "./_generated/server";
import { internalMutation, projectMutation, projectQuery, userAction, userMutation } from "./functions";
import { status, taskFields } from "./schema";

const taskDoc = v.object({
  ...taskFields,
  _id: v.id("tasks"),
  _creationTime: v.number(),
  number: v.int64(),
  reminder: v.optional(v.id("_scheduled_functions")),
});

export const add = projectMutation({
  args: { title: v.string(), status: v.optional(status), labels: v.optional(v.array(v.string())), dueAt: v.optional(v.number()), custom: v.optional(taskFields.custom) },
  returns: v.object({ id: v.id("tasks"), reference: v.string() }),
  handler: async (ctx, { title, status = "backlog", labels = [], dueAt, custom = {} }) => {
    const number = ctx.project.nextNumber;
    await ctx.db.patch(ctx.project._id, { nextNumber: number + 1n });
    const last = await ctx.db
      .query("tasks")
      .withIndex("by_project_status", (q) => q.eq("projectId", ctx.project._id).eq("status", status))
      .order("desc")
      .first();
    const id = await ctx.db.insert("tasks", {
      projectId: ctx.project._id,
      title,
      status,
      labels,
      estimate: null,
      dueAt,
      position: (last?.position ?? 0) + 1024,
      custom,
      number,
    });
    if (dueAt !== undefined) {
      const reminder = await ctx.scheduler.runAt(dueAt, internal.tasks.remind, { taskId: id, step: 1 });
      await ctx.db.patch(id, { reminder });
    }
    return { id, reference: `${ctx.project.key}-${number}` };
  },
});

export const move = projectMutation({
  args: { taskId: v.id("tasks"), to: status },
  returns: v.null(),
  handler: async (ctx, { taskId, to }) => {
    const task = await ctx.db.get(taskId);
    if (task?.projectId !== ctx.project._id) throw new ConvexError({ code: "NotFound" });
    if (to === "done" && task.reminder) {
      const job = await ctx.db.system.get(task.reminder);
      if (job?.state.kind === "pending") await ctx.scheduler.cancel(task.reminder);
    }
    await ctx.db.patch(taskId, { status: to, ...(to === "done" ? { reminder: undefined, dueAt: undefined } : {}) });
    return null;
  },
});

export const assign = projectMutation({
  args: { taskId: v.id("tasks"), userId: v.union(v.id("users"), v.null()) },
  handler: async (ctx, { taskId, userId }) => {
    await ctx.db.patch(taskId, { assigneeId: userId ?? undefined });
  },
});

export const board = projectQuery({
  args: {},
  returns: v.record(v.string(), v.array(taskDoc)),
  handler: async (ctx) => {
    const columns: Record<string, Doc<"tasks">[]> = {};
    for (const column of ["backlog", "todo", "doing", "done"] as const) {
      columns[column] = await ctx.db
        .query("tasks")
        .withIndex("by_project_status", (q) => q.eq("projectId", ctx.project._id).eq("status", column))
        .collect();
    }
    return columns;
  },
});

export const list = projectQuery({
  args: { paginationOpts: paginationOptsValidator, label: v.optional(v.string()), open: v.optional(v.boolean()) },
  handler: async (ctx, { paginationOpts, label, open }): Promise<PaginationResult<{ id: Id<"tasks">; title: string; assignee: string | null }>> => {
    const results = await ctx.db
      .query("tasks")
      .withIndex("by_project_status", (q) => q.eq("projectId", ctx.project._id))
      .filter((q) => (open ? q.neq(q.field("status"), "done") : true))
      .order("desc")
      .paginate(paginationOpts);
    const page = results.page.filter((task) => label === undefined || task.labels.includes(label));
    return {
      ...results,
      page: await Promise.all(
        page.map(async (task) => ({
          id: task._id,
          title: task.title,
          assignee: task.assigneeId ? ((await ctx.db.get(task.assigneeId))?.name ?? null) : null,
        })),
      ),
    };
  },
});

export const remind = internalMutation({
  args: { taskId: v.id("tasks"), step: v.number() },
  handler: async (ctx, { taskId, step }) => {
    const task = await ctx.db.get(taskId);
    if (!task || task.status === "done") return;
    await ctx.db.insert("activity", { projectId: task.projectId, taskId, kind: "reminder", data: { step }, actor: "system" });
    if (step < 3) {
      const reminder = await ctx.scheduler.runAfter(0, internal.tasks.remind, { taskId, step: step + 1 });
      await ctx.db.patch(taskId, { reminder });
    }
  },
});

export const comment = userMutation({
  args: {
    taskId: v.id("tasks"),
    body: v.union(
      v.object({ type: v.literal("text"), text: v.string() }),
      v.object({ type: v.literal("file"), storageId: v.id("_storage"), name: v.string() }),
    ),
  },
  handler: async (ctx, { taskId, body }) => {
    if (body.type === "file") return await ctx.db.insert("comments", { taskId, authorId: ctx.user._id, body });
    const names = [...body.text.matchAll(/@(?<name>\p{L}+)/gu)].map((match) => match.groups!.name);
    const users = await ctx.db.query("users").collect();
    const mentions = users.filter((user) => names.some((name) => user.name.localeCompare(name, undefined, { sensitivity: "base" }) === 0));
    return await ctx.db.insert("comments", { taskId, authorId: ctx.user._id, body: { ...body, mentions: mentions.map((user) => user._id) } });
  },
});

export const comments = projectQuery({
  args: { taskId: v.id("tasks") },
  handler: async (ctx, { taskId }) => {
    const result = [];
    for await (const comment of ctx.db.query("comments").withIndex("by_task", (q) => q.eq("taskId", taskId))) {
      const author = await ctx.db.get(comment.authorId);
      result.push({
        author: author!.name,
        at: new Date(comment._creationTime).toISOString().slice(0, 4),
        ...(comment.body.type === "text"
          ? { text: comment.body.text, mentions: comment.body.mentions.length }
          : { url: await ctx.storage.getUrl(comment.body.storageId), name: comment.body.name }),
      });
    }
    return result;
  },
});

export const exportData = internalQuery({
  args: { userId: v.id("users"), cursor: v.union(v.string(), v.null()) },
  handler: async (ctx, { userId, cursor }) => {
    return await ctx.db
      .query("tasks")
      .withIndex("by_assignee", (q) => q.eq("assigneeId", userId))
      .paginate({ cursor, numItems: 2 });
  },
});

export const exportCsv = userAction({
  args: {},
  returns: v.object({ storageId: v.id("_storage"), rows: v.number() }),
  handler: async (ctx): Promise<{ storageId: Id<"_storage">; rows: number }> => {
    const lines = ["number,title"];
    let cursor: string | null = null;
    for (;;) {
      const page: PaginationResult<Doc<"tasks">> = await ctx.runQuery(internal.tasks.exportData, { userId: ctx.userId, cursor });
      lines.push(...page.page.map((task) => `${task.number},${JSON.stringify(task.title)}`));
      if (page.isDone) break;
      cursor = page.continueCursor;
    }
    const storageId = await ctx.storage.store(new Blob([lines.join("\n")], { type: "text/csv" }));
    await ctx.scheduler.runAfter(60 * 60 * 1000, internal.tasks.deleteExport, { storageId });
    return { storageId, rows: lines.length - 1 };
  },
});

export const deleteExport = internalMutation({
  args: { storageId: v.id("_storage") },
  handler: async (ctx, { storageId }) => await ctx.storage.delete(storageId),
});

export const overdue = internalMutation({
  args: { limit: v.optional(v.number()) },
  returns: v.number(),
  handler: async (ctx, { limit = 100 }) => {
    const due = await ctx.db
      .query("tasks")
      .withIndex("by_due", (q) => q.gt("dueAt", 0).lt("dueAt", Date.now()))
      .take(limit);
    await Promise.all(due.map((task) => ctx.db.patch(task._id, { labels: [...new Set([...task.labels, "overdue"])] })));
    if (due.length === limit) await ctx.scheduler.runAfter(0, internal.tasks.overdue, { limit });
    return due.length;
  },
});

export const remove = projectMutation({
  args: { taskId: v.id("tasks") },
  handler: async (ctx, { taskId }) => {
    const comments = await ctx.db
      .query("comments")
      .withIndex("by_task", (q) => q.eq("taskId", taskId))
      .collect();
    for (const comment of comments) {
      if (comment.body.type === "file") await ctx.storage.delete(comment.body.storageId);
      await ctx.db.delete(comment._id);
    }
    await ctx.db.delete(taskId);
  },
});
