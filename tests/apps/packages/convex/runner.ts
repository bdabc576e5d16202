import { actionGeneric, mutationGeneric, queryGeneric } from "convex/server";
import { v } from "convex/values";
import { type Script, tell } from "../scripts/script";

const args = { name: v.string(), world: v.object({ services: v.string() }) };

/** The cases of a script as functions of each kind. */
export const runner = (script: Script) => ({
  query: queryGeneric({ args, handler: (_, { name, world }) => tell(script[name], world) }),
  mutation: mutationGeneric({ args, handler: (_, { name, world }) => tell(script[name], world) }),
  action: actionGeneric({ args, handler: (_, { name, world }) => tell(script[name], world) }),
});
