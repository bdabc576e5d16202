// The provider: the official one inside, and around it the state of the user's provisioning.

import { ConvexProvider, type ConvexReactClient } from "convex/react";
import { getFunctionName } from "convex/server";
import { createContext, useContext, useInsertionEffect, useMemo, useSyncExternalStore, type ReactNode } from "react";
import { presenceOf, type Presence, type UseAuth } from "./auth.js";
import type { NotProvisionedError } from "./error.js";
import { OfficialProvider } from "./official.js";
import { NOBODY, ProvisioningSession, type ProvisioningMutation, type Snapshot } from "./session.js";

/**
 * Where the person at the screen stands.
 *
 * - `loading`: the identity provider does not know yet whether a user is signed in.
 * - `unprovisioned`: the user is signed out.
 * - `provisioning`: the user is signed in, and their document is being made or found.
 * - `provisioned`: the user exists; queries and mutations run as that user.
 * - `refused`: the app's provisioning function said no.
 * - `failed`: something got in the way; `retry` may help.
 */
export type ProvisioningStatus = "loading" | "unprovisioned" | "provisioning" | "provisioned" | "refused" | "failed";

/** The result of `useUserProvisioning`. */
export interface UserProvisioning {
  /** Whether the user exists and everything may run as it. */
  isProvisioned: boolean;
  status: ProvisioningStatus;
  /** Why the status is `refused` or `failed`; null otherwise. */
  error: NotProvisionedError | null;
  /** Tries again without a new login, when the status is `refused` or `failed`. The same function always. */
  retry: () => void;
}

/** The properties of {@link UserProvisioningProvider}. */
export interface UserProvisioningProviderProps {
  /** The one client of the app. */
  client: ConvexReactClient;
  /** The hook that tells who is signed in: Clerk's `useAuth`, Auth0's `useAuth0`, or one's own. */
  useAuth: UseAuth;
  /** The mutation that makes the caller's user when it is missing: idempotent, without arguments. */
  ensureUser: ProvisioningMutation;
  children?: ReactNode;
}

interface Provided {
  provisioning: UserProvisioning;
  session: ProvisioningSession;
}

const Context = createContext<Provided | null>(null);

/**
 * Stands where `ConvexProviderWithClerk` or its like stood, which it has inside: the official hooks go on working below
 * it. It runs `ensureUser` once for each identity and knows when its user exists.
 *
 * ```tsx
 * <UserProvisioningProvider client={convex} useAuth={useAuth} ensureUser={api.users.ensureUser}>
 *   <App />
 * </UserProvisioningProvider>
 * ```
 */
export function UserProvisioningProvider({ client, useAuth, ensureUser, children }: UserProvisioningProviderProps): ReactNode {
  const auth = useAuth();
  const { isLoading, isSignedIn, mark } = presenceOf(auth);
  const path = getFunctionName(ensureUser);
  // A reference is another object each time it is named; its path says whether it is the same function.
  const session = useMemo(() => new ProvisioningSession(client, ensureUser), [client, path]);
  const snapshot = useSyncExternalStore(session.subscribe, session.snapshot, session.serverSnapshot);
  // Before the effect in which the official provider calls `setAuth` for what was rendered here.
  useInsertionEffect(() => session.expect(isSignedIn && !isLoading ? mark : NOBODY), [session, isSignedIn, isLoading, mark]);
  useInsertionEffect(() => () => session.expect(NOBODY), [session]);
  const status = statusOf({ isLoading, isSignedIn, mark }, snapshot);
  const error = status === "refused" || status === "failed" ? snapshot.error : null;
  const provided = useMemo(() => {
    const provisioning = { isProvisioned: status === "provisioned", status, error, retry: session.retry };
    return { provisioning, session };
  }, [status, error, session]);
  return (
    <OfficialProvider client={session.authClient} useAuth={useAuth} auth={auth}>
      <ConvexProvider client={client}>
        <Context.Provider value={provided}>{children}</Context.Provider>
      </ConvexProvider>
    </OfficialProvider>
  );
}

/** The status that a render may show. The state of any session but this render's is ignored. */
function statusOf(presence: Presence, { state, mark }: Snapshot): ProvisioningStatus {
  if (presence.isLoading) return "loading";
  if (!presence.isSignedIn) return "unprovisioned";
  if (mark !== presence.mark || state.type === "Provisioning") return "provisioning";
  if (state.type === "Provisioned") return "provisioned";
  if (state.ended === null) return "provisioning";
  return state.ended.reason === "Refused" ? "refused" : "failed";
}

function useProvided(hook: string): Provided {
  const provided = useContext(Context);
  if (provided === null) throw new Error(`${hook} needs a <UserProvisioningProvider> above it.`);
  return provided;
}

/** Where the person at the screen stands, and `retry` for one who was not let in. */
export function useUserProvisioning(): UserProvisioning {
  return useProvided("useUserProvisioning").provisioning;
}

/** The session behind a hook of this package. */
export function useSession(hook: string): ProvisioningSession {
  return useProvided(hook).session;
}
