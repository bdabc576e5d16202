import { asyncMap, nullThrows, omit, pick, pruneNull, withoutSystemFields } from "convex-helpers";
import { compareValues } from "convex-helpers/server/compare";
import { brandedString, deprecated, doc, literals, nullable, parse, partial, validate } from "convex-helpers/validators";
import { convexToZod as toZod4, zid, zodToConvex as fromZod4 } from "convex-helpers/server/zod4";
import { zodToConvex as fromZod3 } from "convex-helpers/server/zod3";
import { v } from "convex/values";
import * as z4 from "zod";
import * as z3 from "zod/v3";
import { type Script, thrown } from "./script";

const person = v.object({ name: v.string(), age: v.optional(v.number()), role: literals("admin", "user"), boss: nullable(v.string()) });

export const script: Script = {
  maps: () => asyncMap(Promise.resolve([1, 2, 3]), async (number) => number * 2),
  objects: () => [pick({ a: 1, b: 2 }, ["a"]), omit({ a: 1, b: 2 }, ["a"]), pruneNull([1, null, 2]), withoutSystemFields({ _id: "x", _creationTime: 1, a: 1 } as never)],
  throws: () => thrown(() => nullThrows(null, "nothing here")),
  validates: () => [validate(person, { name: "Ada", role: "admin", boss: null }), validate(person, { name: 1 }), validate(v.union(v.int64(), v.bytes()), 3n)],
  says: () => thrown(() => validate(person, { name: "Ada", role: "king", boss: null }, { throw: true })),
  parses: () => parse(v.object({ a: v.string() }), { a: "x", more: 1 }),
  partials: () => [partial(person).json, doc === undefined, deprecated.json, brandedString("Email").json],
  compares: () => [[1, "a"], [undefined, null], [3n, 2], [[1, 2], [1, 3]], [{ a: 1 }, { a: 2 }]].map(([a, b]) => compareValues(a as never, b as never)),
  zod3: () => fromZod3(z3.object({ a: z3.string().email(), b: z3.number().optional(), c: z3.enum(["x", "y"]), d: z3.array(z3.bigint()) }) as never).json,
  zod4: () => fromZod4(z4.object({ a: z4.email(), b: z4.number().optional(), c: z4.enum(["x", "y"]), d: z4.nullable(zid("users")) })).json,
  backToZod: () => toZod4(person).safeParse({ name: 1, role: "king" }).error!.issues.map(({ path, code }) => [path, code]),
};
