"use node";
// Nothing can stand in for this at load: Node.js would have it.
import { internalAction } from "./_generated/server";

if (typeof process.versions?.node !== "string") throw new Error("not Node.js");
export const go = internalAction(async () => "gone");
