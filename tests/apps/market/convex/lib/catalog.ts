import type { QueryCtx } from "../_generated/server";

export async function bySku(ctx: QueryCtx, sku: string) {
  const product = await ctx.db
    .query("products")
    .withIndex("sku", (q) => q.eq("sku", sku))
    .unique();
  if (!product) throw new Error(`There is no product ${sku}`);
  return product;
}
