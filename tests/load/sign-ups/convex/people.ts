// Sign-ups with a password, as libraries of JavaScript make them: a key by scrypt in an action, and a document by a mutation.
import { scrypt } from "@noble/hashes/scrypt.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { actionGeneric, anyApi, internalMutationGeneric, queryGeneric } from "convex/server";
import { v } from "convex/values";

/** As lucia has it, by which @convex-dev/auth keeps passwords. */
const COST = { N: 16_384, r: 16, p: 1, dkLen: 64 };

export const signUp = actionGeneric({
  args: { name: v.string(), password: v.string() },
  handler: async (ctx, { name, password }) => {
    const salt = bytesToHex(crypto.getRandomValues(new Uint8Array(16)));
    const key = bytesToHex(scrypt(password.normalize("NFKC"), salt, COST));
    await ctx.runMutation(anyApi.people.add, { name, secret: `${salt}:${key}` });
    return null;
  },
});

export const add = internalMutationGeneric({
  args: { name: v.string(), secret: v.string() },
  handler: async (ctx, person) => {
    await ctx.db.insert("people", person);
  },
});

export const count = queryGeneric(async (ctx) => (await ctx.db.query("people").collect()).length);
