import { paginationOptsValidator } from "convex/server";
import { v } from "convex/values";
import { formatMoney } from "../shared/money";
import { mutation, query } from "./_generated/server";
import { bySku } from "./lib/catalog";

export const seed = mutation(async (ctx, { count = 30 }: { count?: number }) => {
  for (let n = 0; n < count; n++) {
    await ctx.db.insert("products", {
      sku: `SKU-${String(n).padStart(3, "0")}`,
      name: `Product ${n}`,
      price: (n % 7) * 100 + 99,
      stock: n,
      tags: n % 2 ? ["odd"] : ["even", "blue"],
      attributes: { "size in cm": n, "a-b.c": "L".repeat(n % 3), nested: { deep: [1, null, "x"] } },
      ...(n % 3 === 0 ? { rating: { sum: n, count: n % 5 } } : {}),
    });
  }
});

export const list = query({
  args: { paginationOpts: paginationOptsValidator, tag: v.optional(v.string()), max: v.optional(v.number()) },
  handler: async (ctx, args) => {
    const page = await ctx.db
      .query("products")
      .withIndex("price", (q) => (args.max === undefined ? q : q.lte("price", args.max)))
      .order("asc")
      .filter((q) => q.and(q.gt(q.field("stock"), 0), q.or(q.eq(args.tag ?? null, null), q.neq(q.field("sku"), "SKU-001"))))
      .paginate(args.paginationOpts);
    return { ...page, page: page.page.map((p) => ({ _id: p._id, sku: p.sku, label: `${p.name}: ${formatMoney(p.price)}` })) };
  },
});

export const get = query({ args: { sku: v.string() }, handler: async (ctx, { sku }) => bySku(ctx, sku) });

export const byId = query({
  args: { id: v.string() },
  handler: async (ctx, { id }) => {
    const productId = ctx.db.normalizeId("products", id);
    return productId === null ? "not a product" : ((await ctx.db.get(productId))?.name ?? "gone");
  },
});

export const rated = query({
  handler: async (ctx) =>
    (
      await ctx.db
        .query("products")
        .withIndex("rating", (q) => q.eq("rating.count", 4).gt("rating.sum", undefined))
        .collect()
    ).map((p) => p.sku),
});

export const stats = query({
  returns: v.object({ products: v.number(), total: v.string(), cheapest: v.union(v.null(), v.string()), tags: v.record(v.string(), v.number()), when: v.string() }),
  handler: async (ctx) => {
    const tags: Record<string, number> = {};
    let [products, total] = [0, 0];
    for await (const product of ctx.db.query("products")) {
      products++;
      total += product.price * product.stock;
      for (const tag of product.tags) tags[tag] = (tags[tag] ?? 0) + 1;
    }
    const cheapest = await ctx.db.query("products").withIndex("price").first();
    const when = new Date(Date.UTC(2024, 1, 29)).toLocaleDateString("en-US", { weekday: "long", year: "numeric", month: "long", day: "numeric", timeZone: "UTC" });
    return { products, total: formatMoney(total), cheapest: cheapest?.name ?? null, tags, when };
  },
});
