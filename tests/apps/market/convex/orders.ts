import { ConvexError, v } from "convex/values";
import { OutOfStock } from "../shared/money";
import { api, internal } from "./_generated/api";
import type { Doc } from "./_generated/dataModel";
import { action, internalAction, internalMutation, internalQuery, mutation, query } from "./_generated/server";
import { bySku } from "./lib/catalog";

export const addToCart = mutation({
  args: { session: v.string(), sku: v.string(), quantity: v.optional(v.number()) },
  handler: async (ctx, { session, sku, quantity = 1 }) => {
    await bySku(ctx, sku);
    const cart = await ctx.db
      .query("carts")
      .withIndex("session", (q) => q.eq("session", session))
      .unique();
    if (cart === null) return await ctx.db.insert("carts", { session, items: [{ sku, quantity }], updatedAt: Date.now() });
    const items = structuredClone(cart.items);
    const item = items.find((item) => item.sku === sku);
    if (item) item.quantity += quantity;
    else items.push({ sku, quantity });
    await ctx.db.replace(cart._id, { session, items: items.filter((item) => item.quantity > 0), updatedAt: Date.now() });
    return cart._id;
  },
});

export const cart = query({
  args: { session: v.string() },
  handler: async (ctx, { session }) => {
    const cart = await ctx.db
      .query("carts")
      .withIndex("session", (q) => q.eq("session", session))
      .unique();
    return cart?.items ?? [];
  },
});

export const reserve = internalMutation({
  args: { sku: v.string(), quantity: v.number() },
  returns: v.object({ productId: v.id("products"), price: v.number() }),
  handler: async (ctx, { sku, quantity }) => {
    const product = await bySku(ctx, sku);
    await ctx.db.patch(product._id, { stock: product.stock - quantity });
    if (product.stock < quantity) throw new OutOfStock(sku, product.stock);
    return { productId: product._id, price: product.price };
  },
});

export const place = mutation({
  args: { session: v.string(), partial: v.optional(v.boolean()) },
  handler: async (ctx, { session, partial }): Promise<{ number: bigint; total: number; missing: string[] }> => {
    const items = await ctx.runQuery(api.orders.cart, { session });
    if (items.length === 0) throw new ConvexError({ code: "EmptyCart", at: 1n, bytes: new Uint8Array([1, 2, 3]).buffer });
    const lines = [];
    const missing: string[] = [];
    for (const { sku, quantity } of items) {
      try {
        lines.push({ ...(await ctx.runMutation(internal.orders.reserve, { sku, quantity })), quantity });
      } catch (error) {
        if (!partial) throw error;
        missing.push(`${sku}: ${(error as Error).message.split("\n")[0]}`);
      }
    }
    const total = lines.reduce((sum, line) => sum + line.price * line.quantity, 0);
    const last = await ctx.db.query("orders").order("desc").first();
    const expiry = await ctx.scheduler.runAfter(15 * 60_000, internal.orders.expire, { session });
    const orderId = await ctx.db.insert("orders", { session, lines, total, state: { type: "pending", expiry }, number: (last?.number ?? 1000n) + 1n });
    await ctx.db.insert("events", { kind: "placed", orderId, total });
    const cart = await ctx.db
      .query("carts")
      .withIndex("session", (q) => q.eq("session", session))
      .unique();
    await ctx.db.delete(cart!._id);
    const order = (await ctx.db.get(orderId))!;
    return { number: order.number, total, missing };
  },
});

export const pending = internalQuery({
  args: { session: v.string() },
  handler: async (ctx, { session }): Promise<Doc<"orders"> | null> =>
    await ctx.db
      .query("orders")
      .withIndex("session", (q) => q.eq("session", session))
      .filter((q) => q.eq(q.field("state.type"), "pending"))
      .unique(),
});

export const expire = internalMutation({
  args: { session: v.string() },
  handler: async (ctx, { session }) => {
    const order = await ctx.runQuery(internal.orders.pending, { session });
    if (order === null) return;
    for (const line of order.lines) {
      const product = await ctx.db.get(line.productId);
      if (product) await ctx.db.patch(product._id, { stock: product.stock + line.quantity });
    }
    await ctx.db.patch(order._id, { state: { type: "expired" } });
  },
});

export const markPaid = internalMutation({
  args: { orderId: v.id("orders"), reference: v.string(), raw: v.bytes() },
  handler: async (ctx, { orderId, reference, raw }) => {
    const order = await ctx.db.get(orderId);
    if (order?.state.type !== "pending") throw new ConvexError({ code: "NotPending", state: order?.state.type ?? null });
    await ctx.scheduler.cancel(order.state.expiry);
    await ctx.db.patch(orderId, { state: { type: "paid", at: Date.now(), reference } });
    await ctx.db.insert("events", { kind: "paid", orderId, reference, raw });
  },
});

export const pay = action({
  args: { session: v.string(), token: v.string() },
  handler: async (ctx, { session, token }): Promise<string> => {
    const order = await ctx.runQuery(internal.orders.pending, { session });
    if (order === null) throw new ConvexError("Nothing to pay");
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(new Error("The bank is slow")), 20_000);
    try {
      const response = await fetch(`${process.env.BANK_URL}/charge`, {
        method: "POST",
        headers: { "Idempotency-Key": crypto.randomUUID() },
        body: new URLSearchParams({ amount: String(order.total), token }),
        signal: controller.signal,
      });
      const raw = await response.arrayBuffer();
      if (!response.ok) {
        await ctx.runMutation(internal.orders.fail, { orderId: order._id, reason: new TextDecoder().decode(raw) });
        return "declined";
      }
      const { reference } = JSON.parse(new TextDecoder().decode(raw));
      await ctx.runMutation(internal.orders.markPaid, { orderId: order._id, reference, raw });
      await ctx.scheduler.runAfter(0, internal.orders.receipt, { number: order.number });
      return reference;
    } finally {
      clearTimeout(timer);
    }
  },
});

export const fail = internalMutation({
  args: { orderId: v.optional(v.id("orders")), reason: v.string() },
  handler: async (ctx, args) => void (await ctx.db.insert("events", { kind: "failed", ...args })),
});

export const receipt = internalAction({
  args: { number: v.int64() },
  handler: async (ctx, { number }) => {
    const { template } = await import("./lib/receipt");
    const id = await ctx.storage.store(new Blob([template(number)], { type: "text/html" }));
    console.log("receipt", { number, id }, [1, 2, 3], new Map([["a", 1]]), undefined, null, Symbol("s"), () => 1);
  },
});

export const history = query({
  args: { session: v.string() },
  handler: async (ctx, { session }) => {
    const orders = await ctx.db
      .query("orders")
      .withIndex("session", (q) => q.eq("session", session))
      .order("desc")
      .collect();
    return orders.map(({ number, total, state }) => ({ number, total, state: state.type }));
  },
});

export const events = query(async (ctx) => (await ctx.db.query("events").collect()).map(({ kind }) => kind));
