// The app of `src/app.rs`, in TypeScript: the same names, the same work.
import {
  type DataModelFromSchemaDefinition,
  type FunctionReference,
  type GenericMutationCtx,
  type GenericQueryCtx,
  type MutationBuilder,
  type QueryBuilder,
  internalMutationGeneric,
  makeFunctionReference,
  mutationGeneric,
  paginationOptsValidator,
  queryGeneric,
} from "convex/server";
import { ConvexError, v } from "convex/values";
import schema from "./schema";

type Model = DataModelFromSchemaDefinition<typeof schema>;
const query = queryGeneric as QueryBuilder<Model, "public">;
const mutation = mutationGeneric as MutationBuilder<Model, "public">;
const internalMutation = internalMutationGeneric as MutationBuilder<Model, "internal">;
type Reader = GenericQueryCtx<Model>;
type Writer = GenericMutationCtx<Model>;

const BALANCE = 1_000_000;
const STEP = v.object({ kind: v.string(), key: v.string(), other: v.string(), amount: v.number() });
type Step = { kind: string; key: string; other: string; amount: number };

const caller = async (ctx: Reader) => {
  const identity = await ctx.auth.getUserIdentity();
  if (!identity) return { identity, user: null };
  const user = await ctx.db
    .query("users")
    .withIndex("by_token", (q) => q.eq("token", identity.tokenIdentifier))
    .first();
  return { identity, user };
};

export const ensure = mutation({
  args: {},
  handler: async (ctx) => {
    const { identity, user } = await caller(ctx);
    if (!identity) throw new ConvexError("Unauthenticated");
    if (!user) await ctx.db.insert("users", { token: identity.tokenIdentifier });
    return null;
  },
});

const members = async (ctx: Reader, group: string) => {
  const found = await ctx.db
    .query("members")
    .withIndex("by_place", (q) => q.eq("group", group).gte("place", 0).lt("place", 1))
    .collect();
  return found.map(({ name }) => name).sort();
};

const list = (ctx: Reader, key: string) =>
  ctx.db
    .query("lists")
    .withIndex("by_key", (q) => q.eq("key", key))
    .first();

const see = async (ctx: Reader, step: Step): Promise<string> => {
  if (step.kind === "read") return ((await list(ctx, step.key))?.values ?? []).join(",");
  if (step.kind === "members") return (await members(ctx, step.key)).join(",");
  if (step.kind !== "total") throw new Error(`${step.kind} changes something`);
  const all = await ctx.db.query("accounts").collect();
  return all
    .map(({ name, balance, changes }) => `${name}:${balance}:${changes}`)
    .sort()
    .join(",");
};

const append = async (ctx: Writer, { key, other }: Step) => {
  const known = await list(ctx, key);
  if (known) await ctx.db.patch(known._id, { values: [...known.values, other] });
  else await ctx.db.insert("lists", { key, values: [other] });
  return `${known?.values.length ?? 0}`;
};

const change = async (ctx: Writer, name: string, amount: number) => {
  const known = await ctx.db
    .query("accounts")
    .withIndex("by_name", (q) => q.eq("name", name))
    .first();
  if (known) await ctx.db.patch(known._id, { balance: known.balance + amount, changes: known.changes + 1 });
  else await ctx.db.insert("accounts", { name, balance: BALANCE + amount, changes: 1 });
  return known?.changes ?? 0;
};

const turn = async (ctx: Writer, { kind, key: pair, other: side }: Step) => {
  const of = (name: string) =>
    ctx.db
      .query("sides")
      .withIndex("by_pair", (q) => q.eq("pair", pair).eq("side", name))
      .first();
  const own = await of(side);
  const other = await of(side === "left" ? "right" : "left");
  const changes = own?.changes ?? 0;
  const wasOn = own?.is_on ?? true;
  const isOn = kind === "leave" ? wasOn && !(other?.is_on ?? true) : true;
  if (isOn !== wasOn) {
    if (own) await ctx.db.patch(own._id, { is_on: isOn, changes: changes + 1 });
    else await ctx.db.insert("sides", { pair, side, is_on: isOn, changes: 1 });
  }
  return `${changes},${other?.changes ?? 0},${wasOn},${isOn}`;
};

const join = async (ctx: Writer, id: string, step: Step) => {
  const before = await members(ctx, step.key);
  if (before.length < step.amount) {
    await ctx.db.insert("members", { group: step.key, place: Math.random() * 0.999, name: id });
  }
  return before.join(",");
};

const effectOf = makeFunctionReference<"mutation">("ledger:effect") as unknown as FunctionReference<
  "mutation",
  "internal",
  { name: string }
>;

const act = async (ctx: Writer, id: string, step: Step): Promise<string> => {
  switch (step.kind) {
    case "append":
      return append(ctx, step);
    case "transfer": {
      const from = await change(ctx, step.key, -step.amount);
      return `${from},${await change(ctx, step.other, step.amount)}`;
    }
    case "leave":
    case "return":
      return turn(ctx, step);
    case "join":
      return join(ctx, id, step);
    case "schedule":
      await ctx.scheduler.runAfter(step.amount, effectOf, { name: step.other });
      return "";
    default:
      return see(ctx, step);
  }
};

export const transact = mutation({
  args: { id: v.string(), steps: v.array(STEP) },
  handler: async (ctx, { id, steps }) => {
    const results: string[] = [];
    for (const step of steps) results.push(await act(ctx, id, step));
    const { identity, user } = await caller(ctx);
    if (identity && !user) throw new ConvexError("NoUser");
    await ctx.db.insert("journal", user ? { id, results, user: user.token } : { id, results });
    return results;
  },
});

export const look = query({
  args: { steps: v.array(STEP) },
  handler: async (ctx, { steps }) => {
    const results: string[] = [];
    for (const step of steps) results.push(await see(ctx, step));
    return results;
  },
});

export const effect = internalMutation({
  args: { name: v.string() },
  handler: async (ctx, { name }) => {
    await ctx.db.insert("effects", { name });
  },
});

const pages = (table: "users" | "journal" | "effects") =>
  query({
    args: { paginationOpts: paginationOptsValidator },
    handler: async (ctx, { paginationOpts }) => {
      const { page, isDone, continueCursor } = await ctx.db.query(table).paginate(paginationOpts);
      return { page, cursor: isDone ? null : continueCursor };
    },
  });

export const users = pages("users");
export const journal = pages("journal");
export const effects = pages("effects");

export const waiting = query({
  args: {},
  handler: async (ctx) => {
    const jobs = await ctx.db.system.query("_scheduled_functions").collect();
    return jobs.filter(({ state }) => ["pending", "inProgress"].includes(state.kind)).length;
  },
});
