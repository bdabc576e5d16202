import { v } from "convex/values";
import { anyApi } from "convex/server";
import { action, mutation, query } from "./_generated/server";

const api: any = anyApi;
const caught = async (work: () => any) => {
  try {
    return { ok: await work() };
  } catch (thrown) {
    return { error: (thrown as Error).message };
  }
};
export const sign = mutation({ args: { claims: v.optional(v.any()), seconds: v.number() }, handler: async (ctx, { claims, seconds }) => caught(() => (ctx.auth as any).signJwt({ claims, expiresInSeconds: seconds })) });
export const viaAction = action({ handler: async (ctx) => [typeof (ctx.auth as any).signJwt, await ctx.runMutation(api.sign.sign, { claims: { aud: "x" }, seconds: 60 })] });
export const inQuery = query({ handler: async (ctx) => typeof (ctx.auth as any).signJwt });
