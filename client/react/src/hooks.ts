// The official hooks, for what needs a user.

import { useMutation, usePaginatedQuery, useQuery, type OptionalRestArgsOrSkip, type PaginatedQueryArgs, type PaginatedQueryReference, type ReactMutation, type UsePaginatedQueryReturnType } from "convex/react";
import type { FunctionReference } from "convex/server";
import { useMemo } from "react";
import { useSession, useUserProvisioning } from "./provider.js";
import type { ProvisioningSession } from "./session.js";

/**
 * A live query that needs a user. It is `undefined` while it loads, and until the person at the screen is provisioned:
 * before that nothing is asked, so it never answers "user not found", and never with another person's result.
 *
 * ```tsx
 * const me = useAuthedQuery(api.users.me);
 * ```
 */
export function useAuthedQuery<Query extends FunctionReference<"query">>(
  query: Query,
  ...args: OptionalRestArgsOrSkip<Query>
): Query["_returnType"] | undefined {
  const { isProvisioned } = useUserProvisioning();
  const asked = isProvisioned ? args : (["skip"] as OptionalRestArgsOrSkip<Query>);
  return useQuery(query, ...asked);
}

/** `usePaginatedQuery` for what needs a user: it is at `LoadingFirstPage` until the person is provisioned. */
export function useAuthedPaginatedQuery<Query extends PaginatedQueryReference>(
  query: Query,
  args: PaginatedQueryArgs<Query> | "skip",
  options: { initialNumItems: number },
): UsePaginatedQueryReturnType<Query> {
  const { isProvisioned } = useUserProvisioning();
  return usePaginatedQuery(query, isProvisioned ? args : "skip", options);
}

/**
 * A mutation that needs a user. Called while the user is being set up it waits, in order, and then runs as that user; it
 * rejects with a {@link NotProvisionedError} when the user is signed out, was not let in, or left meanwhile.
 */
export function useAuthedMutation<Mutation extends FunctionReference<"mutation">>(mutation: Mutation): ReactMutation<Mutation> {
  const session = useSession("useAuthedMutation");
  const official = useMutation(mutation);
  return useMemo(() => gated(official, session), [official, session]);
}

function gated<Mutation extends FunctionReference<"mutation">>(
  official: ReactMutation<Mutation>,
  session: ProvisioningSession,
): ReactMutation<Mutation> {
  const call: (...args: Parameters<typeof official>) => ReturnType<typeof official> = (...args) =>
    session.admit(() => official(...args));
  const withOptimisticUpdate: typeof official.withOptimisticUpdate = (update) =>
    gated(official.withOptimisticUpdate(update), session);
  return Object.assign(call, { withOptimisticUpdate });
}
