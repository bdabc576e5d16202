// The official provider that fits a `useAuth` hook.

import { ConvexProviderWithAuth, type ConvexReactClient } from "convex/react";
import { ConvexProviderWithClerk } from "convex/react-clerk";
import { useCallback, useMemo, type ReactNode } from "react";
import type { UseAuth, UseAuth0, UseClerkAuth, UseOwnAuth } from "./auth.js";
import type { AuthClient } from "./session.js";

interface Props {
  client: AuthClient;
  useAuth: UseAuth;
  children: ReactNode;
  /** A result of the hook, by which it is known which hook it is. */
  auth: ReturnType<UseAuth>;
}

/** The official provider, whichever fits the hook. */
export function OfficialProvider({ client: authClient, useAuth, auth, children }: Props): ReactNode {
  // Of its client the provider itself uses no more than an `AuthClient` has.
  const client = authClient as ConvexReactClient;
  if ("getToken" in auth) {
    return <ConvexProviderWithClerk client={client} useAuth={useAuth as UseClerkAuth}>{children}</ConvexProviderWithClerk>;
  }
  if ("fetchAccessToken" in auth) {
    return <ConvexProviderWithAuth client={client} useAuth={useAuth as UseOwnAuth}>{children}</ConvexProviderWithAuth>;
  }
  return <Auth0Provider client={client} useAuth={useAuth as UseAuth0}>{children}</Auth0Provider>;
}

function Auth0Provider({ client, useAuth, children }: { client: ConvexReactClient; useAuth: UseAuth0; children: ReactNode }) {
  const useOwnAuth = useMemo(() => ownAuthOf(useAuth), [useAuth]);
  return <ConvexProviderWithAuth client={client} useAuth={useOwnAuth}>{children}</ConvexProviderWithAuth>;
}

/** Auth0's hook in the official shape. The id token names the user. */
function ownAuthOf(useAuth: UseAuth0): UseOwnAuth {
  return function useOwnAuth() {
    const { isLoading, isAuthenticated, getAccessTokenSilently } = useAuth();
    const fetchAccessToken = useCallback(
      async ({ forceRefreshToken }: { forceRefreshToken: boolean }) => {
        const options = { detailedResponse: true, cacheMode: forceRefreshToken ? "off" : "on" } as const;
        const answer = await getAccessTokenSilently(options).catch(() => null);
        return answer?.id_token ?? null;
      },
      [getAccessTokenSilently],
    );
    return useMemo(() => ({ isLoading, isAuthenticated, fetchAccessToken }), [isLoading, isAuthenticated, fetchAccessToken]);
  };
}
