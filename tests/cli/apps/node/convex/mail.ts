"use node";
import { AsyncLocalStorage } from "async_hooks";
import { createHash } from "crypto";
import { readFileSync, writeFileSync } from "fs";
import path from "node:path";
import { tmpdir } from "os";
import { ConvexError, v } from "convex/values";
import { api, internal } from "./_generated/api";
import { action, internalAction } from "./_generated/server";
import { fail, shout } from "./lib";

const loadedWith = process.env.GREETING;
let noted = false;

export const hash = action({
  args: { text: v.string() },
  returns: v.string(),
  handler: async (_, { text }) => createHash("sha256").update(text).digest("hex"),
});
export const values = action({
  args: { big: v.int64(), bytes: v.bytes(), list: v.array(v.union(v.null(), v.number())) },
  handler: async (_, args) => ({ ...args, big: args.big + 1n, length: args.bytes.byteLength }),
});
export const hidden = internalAction({ handler: async () => shout("hidden") });
export const environment = action({
  handler: async () => ({
    greeting: process.env.GREETING,
    loadedWith,
    site: process.env.CONVEX_SITE_URL,
    path: process.env.PATH ?? null,
    zone: new Date(0).getHours(),
    node: Number(process.versions.node.split(".")[0]) >= 20,
  }),
});
export const all = action({
  handler: async (ctx) => {
    await ctx.runMutation(internal.notes.add, { text: "from node" });
    const [list, hashed, who] = await Promise.all([
      ctx.runQuery(api.notes.list),
      ctx.runAction(api.mail.hash, { text: "x" }),
      ctx.auth.getUserIdentity(),
    ]);
    const id = await ctx.storage.store(new Blob([new Uint8Array([1, 2, 3])], { type: "text/x-three" }));
    const blob = await ctx.storage.get(id);
    const url = await ctx.storage.getUrl(id);
    const fetched = new Uint8Array(await (await fetch(url!)).arrayBuffer());
    await ctx.storage.delete(id);
    const gone = await ctx.storage.get(id);
    const upload = (await ctx.storage.generateUploadUrl()).includes("/api/storage/upload");
    await ctx.scheduler.runAfter(0, internal.mail.note, { text: "by an action" });
    return { list, hashed, who, type: blob!.type, bytes: [...new Uint8Array(await blob!.arrayBuffer())], fetched: [...fetched], gone, upload };
  },
});
export const note = internalAction({
  args: { text: v.string() },
  handler: async (ctx, { text }): Promise<null> => {
    await ctx.runMutation(internal.notes.add, { text });
    return null;
  },
});
export const noteOnce = internalAction({
  handler: async (ctx): Promise<null> => {
    if (noted) return null;
    noted = true;
    await ctx.runMutation(internal.notes.add, { text: "by a cron" });
    return null;
  },
});
export const throws = action({ args: { how: v.string() }, handler: async (ctx, { how }) => {
  await null;
  switch (how) {
    case "plain": return fail("luck");
    case "data": throw new ConvexError({ code: "mine", big: 5n });
    case "nested": return await ctx.runMutation(api.notes.refuse);
    case "caught":
      try {
        await ctx.runMutation(api.notes.refuse);
      } catch (error) {
        return (error as ConvexError<{ code: string }>).data.code;
      }
      return "none";
    case "text": throw "just text";
    case "late": setTimeout(() => fail("timer"), 1); return await new Promise<null>(() => {});
    case "forgotten": (async () => { await null; fail("rejection"); })(); return await new Promise<null>(() => {});
    case "exit": process.exit(3);
    default: return null;
  }
} });
export const talk = action({ handler: async () => {
  console.log("hello %s", { a: 1 });
  console.warn(new Map([[1, "x"]]));
  console.time("t");
  console.trace("here");
  return null;
} });
export const forgets = action({ handler: async (ctx) => {
  void ctx.runMutation(internal.notes.add, { text: "perhaps" });
  return "done";
} });
export const files = action({
  args: { secret: v.string() },
  handler: async (_, { secret }) => {
    const tried = (read: () => unknown) => {
      try {
        return String(read());
      } catch (error) {
        return (error as { code?: string }).code ?? String(error);
      }
    };
    const temporary = path.join(tmpdir(), "note.txt");
    writeFileSync(temporary, "mine");
    return [tried(() => readFileSync(secret)), tried(() => writeFileSync(secret, "mine")), readFileSync(temporary, "utf8")];
  },
});
export const fills = action({ handler: async () => {
  const all: number[][] = [];
  for (;;) all.push(new Array(100_000).fill(0));
} });
export const spin = action({ handler: async () => {
  console.log("spinning");
  for (;;);
} });
export const waits = action({ args: { url: v.string() }, handler: async (_, { url }) => {
  console.log("waiting");
  return await (await fetch(url)).text();
} });
export const apart = action({ args: { name: v.string() }, handler: async (_, { name }) => {
  const store = new AsyncLocalStorage<string>();
  return await store.run(name, async () => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    console.log(name);
    return store.getStore();
  });
} });
// A queue that calls share: the call that finds it empty does the work of those that come after it.
const jobs: (() => Promise<void>)[] = [];
let isBusy = false;
const work = async () => {
  if (isBusy) return;
  isBusy = true;
  for (let job; (job = jobs.shift()); ) await job();
  isBusy = false;
};
export const queued = action({
  args: { url: v.optional(v.string()) },
  handler: async (ctx, { url }) =>
    await new Promise<string | null>((resolve) => {
      jobs.push(async () => {
        if (url !== undefined) await fetch(url);
        resolve((await ctx.auth.getUserIdentity())?.subject ?? null);
      });
      void work();
    }),
});
