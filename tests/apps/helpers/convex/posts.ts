import { asyncMap } from "convex-helpers";
import { crud } from "convex-helpers/server/crud";
import { filter } from "convex-helpers/server/filter";
import { makeMigration } from "convex-helpers/server/migrations";
import { getPage, paginator } from "convex-helpers/server/pagination";
import { defineRateLimits } from "convex-helpers/server/rateLimit";
import { getAll, getManyFrom, getManyVia, getOneFrom, getOrThrow } from "convex-helpers/server/relationships";
import { mergedStream, stream } from "convex-helpers/server/stream";
import { paginationOptsValidator } from "convex/server";
import { v } from "convex/values";
import { z } from "zod";
import { internalMutation } from "./_generated/server";
import { mutation, query, sessionMutation, sessionQuery, userMutation, userQuery, zMutation, zQuery } from "./functions";
import schema from "./schema";

export const seed = mutation({
  args: {},
  handler: async (ctx) => {
    for (const name of ["ada", "grace"]) {
      const authorId = await ctx.db.insert("users", { name });
      for (let likes = 0; likes < 12; likes++) await ctx.db.insert("posts", { authorId, title: `${name} ${likes}`, likes });
    }
    const tagIds = await asyncMap(["red", "blue"], (label) => ctx.db.insert("tags", { label }));
    for await (const post of ctx.db.query("posts")) {
      for (const [at, tagId] of tagIds.entries()) if (post.likes % 2 === at || post.likes > 9) await ctx.db.insert("postTags", { postId: post._id, tagId });
    }
  },
});

export const count = query({
  args: {},
  handler: async (ctx) => (await getOneFrom(ctx.db, "counts", "table", "posts"))?.count,
});

export const like = mutation({
  args: { title: v.string(), by: v.number() },
  handler: async (ctx, { title, by }) => {
    const post = await ctx.db.query("posts").filter((q) => q.eq(q.field("title"), title)).unique();
    if (post !== null) await ctx.db.patch(post._id, { likes: post.likes + by });
  },
});

export const dismiss = mutation({
  args: { name: v.string() },
  handler: async (ctx, { name }) => {
    const user = await getOneFrom(ctx.db, "users", "name", name);
    if (user !== null) await ctx.db.delete(user._id);
  },
});

export const about = query({
  args: { title: v.string() },
  handler: async (ctx, { title }) => {
    const post = await filter(ctx.db.query("posts"), (post) => post.title === title).unique();
    if (post === null) return null;
    const author = await getOrThrow(ctx, post.authorId);
    const tags = await getManyVia(ctx.db, "postTags", "tagId", "postId", post._id);
    const siblings = await getManyFrom(ctx.db, "posts", "authorId", post.authorId);
    const [again] = await getAll(ctx.db, [post._id]);
    return { author: author.name, tags: tags.map((tag) => tag?.label), siblings: siblings.length, same: again?.title === title };
  },
});

export const pages = query({
  args: { startIndexKey: v.optional(v.array(v.any())) },
  handler: async (ctx, { startIndexKey }) => {
    const { page, indexKeys, hasMore } = await getPage(ctx, { table: "posts", index: "likes", order: "desc", startIndexKey, targetMaxRows: 7, schema });
    return { titles: page.map(({ title }) => title), last: indexKeys.at(-1), hasMore };
  },
});

export const twice = query({
  args: { paginationOpts: paginationOptsValidator },
  handler: async (ctx, { paginationOpts }) => {
    const first = await paginator(ctx.db, schema).query("posts").withIndex("likes").order("desc").paginate(paginationOpts);
    const second = await paginator(ctx.db, schema).query("users").withIndex("name").paginate({ cursor: null, numItems: 1 });
    return { ...first, page: first.page.map(({ title }) => `${second.page[0].name}: ${title}`) };
  },
});

export const merged = query({
  args: { names: v.array(v.string()), paginationOpts: paginationOptsValidator },
  handler: async (ctx, { names, paginationOpts }) => {
    const streams = await asyncMap(names, async (name) => {
      const user = await getOneFrom(ctx.db, "users", "name", name);
      return stream(ctx.db, schema).query("posts").withIndex("authorId", (q) => q.eq("authorId", user!._id)).order("desc");
    });
    const odd = mergedStream(streams, ["_creationTime"]).filterWith(async (post) => post.likes % 2 === 1);
    const { page, ...rest } = await odd.paginate(paginationOpts);
    return { ...rest, page: page.map(({ title }) => title) };
  },
});

export const visible = userQuery({
  args: {},
  handler: async (ctx) => (await ctx.db.query("posts").collect()).map(({ title }) => title),
});

export const rename = userMutation({
  args: { from: v.string(), to: v.string() },
  handler: async (ctx, { from, to }) => {
    const post = await ctx.db.query("posts").filter((q) => q.eq(q.field("title"), from)).first();
    if (post !== null) await ctx.db.patch(post._id, { title: to });
    return post !== null;
  },
});

export const visit = sessionMutation({
  args: { page: v.string() },
  handler: async (ctx, { page }) => void (await ctx.db.insert("visits", { sessionId: ctx.sessionId, page })),
});
export const visits = sessionQuery({
  args: {},
  handler: async (ctx) => (await getManyFrom(ctx.db, "visits", "sessionId", ctx.sessionId)).map(({ page }) => page),
});

export const search = zQuery({
  args: { least: z.number().int().min(0), title: z.string().trim().toLowerCase().default("ada") },
  returns: z.array(z.string()),
  handler: async (ctx, { least, title }) => {
    const posts = await ctx.db.query("posts").withIndex("likes", (q) => q.gte("likes", least)).collect();
    return posts.map((post) => post.title).filter((each) => each.startsWith(title));
  },
});
export const write = zMutation({
  args: { title: z.string().min(3), at: z.number().transform((at) => new Date(at).getUTCFullYear()) },
  handler: async (_, args) => args,
});

const { rateLimit, checkRateLimit, resetRateLimit } = defineRateLimits({
  post: { kind: "token bucket", rate: 1, period: 1e12, capacity: 3 },
  login: { kind: "fixed window", rate: 2, period: 1e12, start: 0 },
});
export const limited = mutation({
  args: { name: v.union(v.literal("post"), v.literal("login")), key: v.string(), throws: v.optional(v.boolean()) },
  handler: async (ctx, { name, key, throws }) => {
    const { ok } = await rateLimit(ctx, { name, key, throws });
    return [ok, (await checkRateLimit(ctx, { name, key })).ok];
  },
});
export const unlimited = mutation({
  args: { key: v.string() },
  handler: async (ctx, { key }) => resetRateLimit(ctx, { name: "post", key }),
});

export const { create, read, update, destroy, paginate } = crud(schema, "tags", query as never, mutation as never);

export const teams = makeMigration(internalMutation, { migrationTable: "migrations" })({
  table: "users",
  migrateOne: async (_, user) => ({ team: `team ${user.name}` }),
  batchSize: 1,
});
export const team = query({
  args: {},
  handler: async (ctx) => (await ctx.db.query("users").collect()).map(({ team }) => team ?? null),
});
