import * as z from "zod";
import type { Script } from "./script";

const person = z.object({
  name: z.string().min(2).max(20),
  email: z.email(),
  age: z.number().int().nonnegative().optional(),
  tags: z.array(z.string()).default([]),
  born: z.coerce.date().optional(),
});
const shape = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("circle"), radius: z.number() }),
  z.object({ kind: z.literal("square"), side: z.number() }),
]);
type Tree = { name: string; children: Tree[] };
const tree: z.ZodType<Tree> = z.object({
  name: z.string(),
  get children() {
    return z.array(tree);
  },
});

export const script: Script = {
  parses: () => person.parse({ name: "Ada", email: "ada@example.com", age: 36, born: "1815-12-10" }),
  refuses: () => person.safeParse({ name: "A", email: "nowhere", age: -1.5 }).error!.issues,
  throws: () => person.parse({}),
  formats: () => z.prettifyError(person.safeParse({ name: 1, email: "x" }).error!),
  treeifies: () => z.treeifyError(person.safeParse({ name: 1, email: "x", tags: [1] }).error!),
  unions: () => [shape.parse({ kind: "circle", radius: 2 }), shape.safeParse({ kind: "line" }).error!.issues],
  recursion: () => tree.parse({ name: "a", children: [{ name: "b", children: [] }] }),
  transforms: () => z.string().trim().toLowerCase().transform((text) => text.length).pipe(z.number().max(3)).safeParse("  ABCD ").error!.issues,
  refines: () => z.object({ a: z.string(), b: z.string() }).refine((o) => o.a === o.b, { message: "differ", path: ["b"] }).safeParse({ a: "1", b: "2" }).error!.issues,
  async: () => z.string().refine(async (text) => text === "right", "wrong").safeParseAsync("left").then((result) => result.error!.issues),
  strings: () =>
    [z.uuid(), z.url(), z.ipv4(), z.ipv6(), z.base64(), z.jwt(), z.iso.datetime(), z.iso.date(), z.cuid2(), z.ulid(), z.emoji(), z.e164()].map((type) =>
      ["9b2f2c1e-4a4e-4b6e-8c7d-1d2e3f4a5b6c", "https://example.com/?q=1", "10.0.0.1", "::1", "YWJj", "2020-01-01T00:00:00Z", "2020-02-30", "+4915112345678", "🙂"].map((text) => type.safeParse(text).success),
    ),
  records: () => z.record(z.enum(["a", "b"]), z.number()).safeParse({ a: 1, c: 2 }).error!.issues,
  strict: () => z.strictObject({ a: z.string() }).safeParse({ a: "x", b: 1 }).error!.issues,
  jsonSchema: () => z.toJSONSchema(person, { io: "input", unrepresentable: "any" }),
  maps: () => [z.map(z.string(), z.number()).parse(new Map([["a", 1]])), z.set(z.number()).parse(new Set([1, 2]))],
  bigints: () => z.coerce.bigint().parse("12345678901234567890"),
  templates: () => z.templateLiteral(["v", z.number(), ".", z.number()]).safeParse("v1.x").success,
};
