import { ActionRetrier, runIdValidator } from "@convex-dev/action-retrier";
import { createThread, listMessages, saveMessage } from "@convex-dev/agent";
import { TableAggregate } from "@convex-dev/aggregate";
import { Crons } from "@convex-dev/crons";
import { Migrations } from "@convex-dev/migrations";
import { MINUTE, RateLimiter } from "@convex-dev/rate-limiter";
import { ShardedCounter } from "@convex-dev/sharded-counter";
import { WorkflowManager } from "@convex-dev/workflow";
import { Workpool } from "@convex-dev/workpool";
import { v } from "convex/values";
import { components, internal } from "./_generated/api";
import type { DataModel } from "./_generated/dataModel";
import { internalAction, internalMutation, mutation, query } from "./_generated/server";

const limiter = new RateLimiter(components.rateLimiter, {
  add: { kind: "token bucket", rate: 2, period: MINUTE, capacity: 2 },
});
const scores = new TableAggregate<{ Key: number; DataModel: DataModel; TableName: "scores" }>(components.scoresByValue, {
  sortKey: ({ value }) => value,
  sumValue: ({ value }) => value,
});
const counter = new ShardedCounter(components.shardedCounter, { defaultShards: 3 });
const retrier = new ActionRetrier(components.actionRetrier, { initialBackoffMs: 1, base: 1, maxFailures: 4 });
const mails = new Workpool(components.mails, { maxParallelism: 2 });
const pages = new Workpool(components.pages, { maxParallelism: 1 });
const workflows = new WorkflowManager(components.workflow);
const crons = new Crons(components.crons);
export const migrations = new Migrations<DataModel>(components.migrations);

export const note = internalMutation({
  args: { text: v.string() },
  handler: async (ctx, { text }) => {
    await ctx.db.insert("events", { text });
    return `noted ${text}`;
  },
});
export const events = query({ args: {}, handler: async (ctx) => (await ctx.db.query("events").collect()).map(({ text }) => text) });

/** A score within the rate, kept in an aggregate and counted. */
export const score = mutation({
  args: { name: v.string(), value: v.number() },
  handler: async (ctx, { name, value }) => {
    const { ok } = await limiter.limit(ctx, "add", { key: name });
    if (!ok) return "too fast";
    const id = await ctx.db.insert("scores", { name, value });
    await scores.insert(ctx, (await ctx.db.get(id))!);
    await counter.add(ctx, "scores");
    return "scored";
  },
});
export const summary = query({
  args: {},
  handler: async (ctx) => ({
    count: await scores.count(ctx),
    sum: await scores.sum(ctx),
    best: (await scores.max(ctx))?.key ?? null,
    second: (await scores.at(ctx, -2)).key,
    counted: await counter.count(ctx, "scores"),
  }),
});

export const check = migrations.define({ table: "scores", batchSize: 2, migrateOne: () => ({ checked: true }) });
export const migrate = mutation({ args: {}, handler: async (ctx) => void (await migrations.runOne(ctx, internal.libraries.check)) });
export const unchecked = query({
  args: {},
  handler: async (ctx) => (await ctx.db.query("scores").collect()).filter(({ checked }) => !checked).length,
});

/** Fails as often as it was told before it succeeds. */
export const stubborn = internalAction({
  args: { failures: v.number() },
  handler: async (ctx, { failures }): Promise<string> => {
    await ctx.runMutation(internal.libraries.note, { text: "tried" });
    const tried: number = (await ctx.runQuery(internal.libraries.tries)) as number;
    if (tried <= failures) throw new Error("not yet");
    return `after ${tried}`;
  },
});
export const tries = query({ args: {}, handler: async (ctx) => (await ctx.db.query("events").collect()).filter(({ text }) => text === "tried").length });
export const retry = mutation({ args: { failures: v.number() }, handler: async (ctx, args) => await retrier.run(ctx, internal.libraries.stubborn, args) });
export const retried = query({ args: { id: runIdValidator }, handler: async (ctx, { id }) => await retrier.status(ctx, id) });

export const done = mails.defineOnComplete<DataModel>({
  context: v.string(),
  handler: async (ctx, { context, result }) => {
    const text = result.kind === "success" ? result.returnValue : result.kind;
    await ctx.db.insert("events", { text: `${context}: ${text}` });
  },
});
export const enqueue = mutation({
  args: { which: v.union(v.literal("mails"), v.literal("pages")), text: v.string() },
  handler: async (ctx, { which, text }) => {
    const pool = which === "mails" ? mails : pages;
    return await pool.enqueueMutation(ctx, internal.libraries.note, { text }, { onComplete: internal.libraries.done, context: which });
  },
});
export const enqueueAction = mutation({
  args: { text: v.string() },
  handler: async (ctx, { text }) =>
    await mails.enqueueAction(ctx, internal.libraries.send, { text }, { onComplete: internal.libraries.done, context: "action" }),
});
export const send = internalAction({ args: { text: v.string() }, handler: async (_, { text }) => `sent ${text}` });

export const steps = workflows.define({
  args: { name: v.string() },
  handler: async (step, { name }): Promise<string> => {
    const first: string = await step.runMutation(internal.libraries.note, { text: `first of ${name}` });
    const sent: string = await step.runAction(internal.libraries.send, { text: first });
    await step.runMutation(internal.libraries.note, { text: sent });
    return sent;
  },
});
export const begin = mutation({
  args: { name: v.string() },
  handler: async (ctx, args): Promise<string> => await workflows.start(ctx, internal.libraries.steps, args),
});
export const status = query({ args: { id: v.string() }, handler: async (ctx, { id }) => await workflows.status(ctx, id as never) });

export const register = mutation({
  args: { name: v.string() },
  handler: async (ctx, { name }) => await crons.register(ctx, { kind: "interval", ms: 1_000 }, internal.libraries.note, { text: "cron" }, name),
});
export const unregister = mutation({ args: { name: v.string() }, handler: async (ctx, { name }) => void (await crons.delete(ctx, { name })) });

export const talk = mutation({
  args: { texts: v.array(v.string()) },
  handler: async (ctx, { texts }) => {
    const threadId = await createThread(ctx, components.agent, { userId: "ada", title: "A talk" });
    for (const prompt of texts) await saveMessage(ctx, components.agent, { threadId, prompt });
    return threadId;
  },
});
export const messages = query({
  args: { threadId: v.string() },
  handler: async (ctx, { threadId }) => {
    const listed = await listMessages(ctx, components.agent, { threadId, paginationOpts: { numItems: 10, cursor: null } });
    return listed.page.map(({ text }) => text);
  },
});
