import { z } from "zod3";
import type { Script } from "./script";

const person = z.object({
  name: z.string().min(2).max(20),
  email: z.string().email(),
  age: z.number().int().nonnegative().optional(),
  born: z.coerce.date().optional(),
});

export const script: Script = {
  parses: () => person.parse({ name: "Ada", email: "ada@example.com", age: 36, born: "1815-12-10" }),
  refuses: () => person.safeParse({ name: "A", email: "nowhere", age: -1.5 }).error!.issues,
  throws: () => person.parse({}),
  flattens: () => person.safeParse({ name: 1 }).error!.flatten(),
  formats: () => person.safeParse({ name: 1 }).error!.format(),
  strips: () => person.strict().safeParse({ name: "Ada", email: "a@example.com", more: 1 }).error!.issues,
  merges: () => Object.keys(person.pick({ name: true }).extend({ at: z.date() }).partial().shape),
  lazies: () => {
    type Json = string | Json[];
    const json: z.ZodType<Json> = z.lazy(() => z.union([z.string(), z.array(json)]));
    return [json.parse(["a", ["b"]]), json.safeParse([1]).error!.issues.length];
  },
  branded: () => z.string().uuid().brand<"Id">().safeParse("x").error!.issues,
  functions: () => z.function().args(z.string()).returns(z.number()).implement((text) => text.length)("four"),
  datetimes: () => ["2020-01-01T00:00:00Z", "2020-01-01", "2020-01-01T00:00:00+02:00"].map((text) => z.string().datetime({ offset: true }).safeParse(text).success),
};
