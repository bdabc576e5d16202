// The functions of `tests/src/pairs.rs`, in TypeScript.

import { makeFunctionReference, paginationOptsValidator } from "convex/server";
import { ConvexError, v, type Validator } from "convex/values";
import { action, type ActionCtx, mutation, type MutationCtx, query, type QueryCtx } from "./_generated/server";

// An optional argument of Rust takes null for a missing one.
const missing = <V extends Validator<any, "required", any>>(validator: V) => v.optional(v.union(validator, v.null()));
const putArgs = { key: v.string(), n: v.number(), tags: missing(v.array(v.string())), extra: v.optional(v.any()) };

const plain = ({ _id, _creationTime, ...fields }: Record<string, unknown>) => fields;

async function insert(ctx: MutationCtx, { tags, extra, ...fields }: any) {
  await ctx.db.insert("entries", { ...fields, tags: tags ?? undefined, extra: extra ?? undefined });
  return (await ctx.db.query("entries").collect()).length;
}

async function found(ctx: MutationCtx, key: string) {
  const document = await ctx.db.query("entries").withIndex("by_key", (q) => q.eq("key", key)).first();
  if (document === null) throw new ConvexError({ code: "MISSING", key });
  return document;
}

export const put = mutation({ args: putArgs, handler: insert });

export const change = mutation({
  args: { key: v.string(), n: missing(v.number()) },
  handler: async (ctx, { key, n }) => {
    const document = await found(ctx, key);
    const next = n ?? document.n + 1;
    await ctx.db.patch(document._id, { n: next });
    return next;
  },
});

export const remove = mutation({
  args: { key: v.string() },
  handler: async (ctx, { key }) => {
    await ctx.db.delete((await found(ctx, key))._id);
  },
});

export const putThenFail = mutation({
  args: putArgs,
  handler: async (ctx, fields) => {
    await insert(ctx, fields);
    throw new Error("not this one");
  },
});

export const list = query({ args: {}, handler: async (ctx) => (await ctx.db.query("entries").collect()).map(plain) });

export const between = query({
  args: { from: v.number(), to: v.number() },
  handler: async (ctx, { from, to }) => {
    const range = ctx.db.query("entries").withIndex("by_n", (q) => q.gte("n", from).lt("n", to));
    return (await range.order("desc").collect()).map(plain);
  },
});

export const page = query({
  args: { paginationOpts: paginationOptsValidator },
  handler: async (ctx, { paginationOpts }) => {
    const { page, isDone, continueCursor } = await ctx.db.query("entries").paginate(paginationOpts);
    return { keys: page.map(({ key }) => key), isDone, continueCursor };
  },
});

export const echo = query({ args: { value: v.any() }, handler: async (_, { value }) => value });

export const refuse = query({
  args: { code: v.number() },
  handler: async (_, { code }) => {
    throw new ConvexError({ code });
  },
});

// ---- the scheduler

const laterArgs = { name: v.string(), args: v.any(), after: v.number() };
const named = (name: string) => makeFunctionReference<any>(`ts:${name}`) as any;

export const later = mutation({
  args: laterArgs,
  handler: async (ctx, { name, args, after }) => {
    await ctx.scheduler.runAfter(after, named(name), args);
  },
});

export const laterInVain = mutation({
  args: laterArgs,
  handler: async (ctx, { name, args, after }) => {
    await ctx.scheduler.runAfter(after, named(name), args);
    throw new Error("not this one");
  },
});

/** The scheduled functions of this side, in the order in which they were scheduled. */
async function ownJobs(ctx: QueryCtx) {
  const all = await ctx.db.system.query("_scheduled_functions").collect();
  return all.filter(({ name }) => name.startsWith("ts"));
}

export const cancel = mutation({
  args: { n: v.number() },
  handler: async (ctx, { n }) => {
    const job = (await ownJobs(ctx))[n];
    if (job === undefined) throw new ConvexError({ code: "NO_JOB" });
    await ctx.scheduler.cancel(job._id);
  },
});

export const jobs = query({
  args: {},
  handler: async (ctx) =>
    (await ownJobs(ctx)).map(({ name, args, scheduledTime, _creationTime, state }) => ({
      function: name.split(":").at(-1)!,
      args,
      far: scheduledTime - _creationTime > 1_000_000,
      state,
    })),
});

// ---- actions

const relayArgs = { kind: v.string(), name: v.string(), args: v.any() };

async function relayed(ctx: ActionCtx, { kind, name, args }: { kind: string; name: string; args: any }) {
  if (kind === "query") return await ctx.runQuery(named(name), args);
  return kind === "mutation" ? await ctx.runMutation(named(name), args) : await ctx.runAction(named(name), args);
}

export const relay = action({ args: relayArgs, handler: relayed });

export const relayThenFail = action({
  args: relayArgs,
  handler: async (ctx, asked) => {
    await relayed(ctx, asked);
    throw new Error("not this one");
  },
});

export const laterThenFail = action({
  args: laterArgs,
  handler: async (ctx, { name, args, after }) => {
    await ctx.scheduler.runAfter(after, named(name), args);
    throw new Error("not this one");
  },
});

// ---- files

export const uploadUrl = mutation({ args: {}, handler: async (ctx) => await ctx.storage.generateUploadUrl() });

/** Stores a file. Returns its content as it is read back. */
export const store = action({
  args: { text: v.string(), contentType: missing(v.string()) },
  handler: async (ctx, { text, contentType }): Promise<string | null> => {
    const file = await ctx.storage.store(new Blob([text], { type: contentType ?? undefined }));
    await ctx.runMutation(named("keep"), { file });
    return (await (await ctx.storage.get(file))?.text()) ?? null;
  },
});

export const keep = mutation({
  args: { file: v.id("_storage") },
  handler: async (ctx, { file }) => {
    await ctx.db.insert("kept", { file });
  },
});

export const drop = mutation({
  args: { n: v.number() },
  handler: async (ctx, { n }) => {
    const kept = (await ctx.db.query("kept").collect())[n];
    if (kept === undefined) throw new ConvexError({ code: "NO_FILE" });
    await ctx.storage.delete(kept.file);
  },
});

export const kept = query({
  args: {},
  handler: async (ctx) => {
    const seen = [];
    for (const { file } of await ctx.db.query("kept").collect()) {
      const metadata = await ctx.storage.getMetadata(file as any);
      const stored = await ctx.db.system.get(file);
      seen.push({
        url: await ctx.storage.getUrl(file),
        metadata: metadata && { sha256: metadata.sha256, size: metadata.size, contentType: metadata.contentType },
        stored: stored && { sha256: stored.sha256, size: stored.size, contentType: stored.contentType },
      });
    }
    return seen;
  },
});
