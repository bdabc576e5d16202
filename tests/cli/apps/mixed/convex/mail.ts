"use node";
import { createHash } from "crypto";
import fs from "node:fs";
import * as os from "os";
import { v } from "convex/values";
import { action, internalAction } from "./_generated/server";

class Watcher extends fs.ReadStream {}

export const hash = action({
  args: { text: v.string() },
  returns: v.string(),
  handler: async (_, { text }) => createHash("sha256").update(text).digest("hex"),
});
export const host = internalAction(async () => os.hostname() + Buffer.from("!").toString() + typeof Watcher);
