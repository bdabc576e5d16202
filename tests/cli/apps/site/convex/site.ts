import { action, mutation, query } from "./_generated/server";

export const whoami = query({ args: {}, handler: async (ctx) => (await ctx.auth.getUserIdentity())?.subject ?? null });

export const origins = query({
  args: {},
  handler: async () => ({ cloud: process.env.CONVEX_CLOUD_URL, site: process.env.CONVEX_SITE_URL, place: process.env.PLACE ?? null }),
});

export const uploadUrl = mutation({ args: {}, handler: (ctx) => ctx.storage.generateUploadUrl() });

// The requests that lead back to the deployment itself: its HTTP actions, its functions, and a file of its own.
export const askItself = action({
  args: {},
  handler: async (ctx) => {
    const echo = await fetch(`${process.env.CONVEX_SITE_URL}/echo?x=1`, { method: "POST", body: "hello" });
    const query = await fetch(`${process.env.CONVEX_CLOUD_URL}/api/query`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ path: "site:origins", args: {}, format: "json" }),
    });
    const id = await ctx.storage.store(new Blob(["a file"]));
    const file = await fetch((await ctx.storage.getUrl(id))!);
    return { echo: await echo.json(), query: (await query.json()).value, file: await file.text(), length: file.headers.get("content-length") };
  },
});

export const askOthers = action({ args: {}, handler: async () => (await fetch("http://127.0.0.1:9/")).status });

declare const process: { env: Record<string, string | undefined> };
