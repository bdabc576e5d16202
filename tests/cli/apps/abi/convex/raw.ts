// The host's operations as they are, in each kind of function: what the server says without the package in between.

import { v } from "convex/values";
import { action, internalAction, internalMutation, internalQuery, mutation, query } from "./_generated/server";

declare const Convex: {
  syscall(op: string, args: string): string;
  asyncSyscall(op: string, args: string): Promise<string>;
};

const calls = { calls: v.array(v.object({ op: v.string(), args: v.string(), sync: v.optional(v.boolean()) })) };

type Asked = { calls: { op: string; args: string; sync?: boolean }[] };

export const ask = async ({ calls }: Asked) => {
  const answers: { ok?: string; error?: string; data?: string }[] = [];
  for (const { op, args, sync } of calls) {
    try {
      answers.push({ ok: sync ? Convex.syscall(op, args) : await Convex.asyncSyscall(op, args) });
    } catch (thrown) {
      const error = thrown as Error & { data?: unknown };
      answers.push({ error: error.message, ...(error.data === undefined ? {} : { data: JSON.stringify(error.data) }) });
    }
  }
  return answers;
};

const handler = async (_: unknown, asked: Asked) => await ask(asked);
export const q = query({ args: calls, handler });
export const m = mutation({ args: calls, handler });
export const a = action({ args: calls, handler });

export const hiddenQuery = internalQuery({ handler: async () => "hidden query" });
export const hiddenMutation = internalMutation({ handler: async () => "hidden mutation" });
export const hiddenAction = internalAction({ handler: async () => "hidden action" });
export const echo = query({ args: { value: v.any() }, handler: async (_, { value }) => value });
export const echoM = mutation({ args: { value: v.any() }, handler: async (_, { value }) => value });
export const echoA = action({ args: { value: v.any() }, handler: async (_, { value }) => value });
