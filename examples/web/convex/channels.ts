// The channels there are.

import { v } from "convex/values";
import { query } from "./_generated/server";

export const CHANNELS = ["general", "random", "help"];

/** The names of the channels. */
export const list = query({ args: {}, returns: v.array(v.string()), handler: async () => CHANNELS });
