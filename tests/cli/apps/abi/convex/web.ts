import { action, mutation, query } from "./_generated/server";
import { answers, cases } from "./web_cases";

export const q = query({ handler: async () => await answers() });
export const m = mutation({ handler: async () => await answers() });
export const a = action({ handler: async () => await answers() });
export const one = query({ handler: async (_, { name }: { name: string }) => {
  try { return JSON.stringify(await (cases as any)[name]()); } catch (e) { return "! " + e; }
} });
