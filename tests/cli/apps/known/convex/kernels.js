import { internalMutationGeneric as mutation } from "convex/server";
import { answers } from "./cases.js";

export const all = mutation({ args: {}, handler: answers });
