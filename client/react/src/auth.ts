// The `useAuth` hooks that the provider takes, and the fields of their results that it needs at every render.

import type { ConvexProviderWithClerk } from "convex/react-clerk";
import type { ComponentProps } from "react";

/** The `useAuth` hook of Clerk. */
export type UseClerkAuth = ComponentProps<typeof ConvexProviderWithClerk>["useAuth"];

/** The `useAuth0` hook of Auth0. */
export type UseAuth0 = () => {
  isLoading: boolean;
  isAuthenticated: boolean;
  /** Must be the same function from render to render, as Auth0's is. */
  getAccessTokenSilently: (options: { detailedResponse: true; cacheMode: "on" | "off" }) => Promise<{ id_token: string }>;
};

/** A hook of one's own, in the shape `ConvexProviderWithAuth` takes. */
export type UseOwnAuth = () => {
  isLoading: boolean;
  isAuthenticated: boolean;
  /** Must be the same function from render to render until another session begins. */
  fetchAccessToken: (options: { forceRefreshToken: boolean }) => Promise<string | null>;
};

/** Any hook that tells who is signed in. */
export type UseAuth = UseClerkAuth | UseAuth0 | UseOwnAuth;

/** The state of a provider at one render. */
export interface Presence {
  isLoading: boolean;
  isSignedIn: boolean;
  /** The same for as long as the same session is active. */
  mark: unknown;
}

/** Reads the result of whichever hook it is. */
export function presenceOf(auth: ReturnType<UseAuth>): Presence {
  if ("getToken" in auth) {
    const mark = [auth.sessionId, auth.orgId, auth.orgRole].join(" ");
    return { isLoading: !auth.isLoaded, isSignedIn: auth.isSignedIn ?? false, mark };
  }
  const mark = "fetchAccessToken" in auth ? auth.fetchAccessToken : auth.getAccessTokenSilently;
  return { isLoading: auth.isLoading, isSignedIn: auth.isAuthenticated, mark };
}
