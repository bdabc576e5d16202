// The files of `src/app/files.rs`, in TypeScript.
import { mutationGeneric, queryGeneric } from "convex/server";
import { v } from "convex/values";

export const uploadUrl = mutationGeneric((ctx) => ctx.storage.generateUploadUrl());

export const url = queryGeneric({
  args: { id: v.string() },
  handler: (ctx, { id }) => ctx.storage.getUrl(id),
});
