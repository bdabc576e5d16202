// The type of Clerk's `useAuth`, as its documentation gives it: what is known depends on who is signed in.

interface GetTokenOptions {
  leewayInSeconds?: number;
  skipCache?: boolean;
  template?: string;
  organizationId?: string;
}

interface Functions {
  getToken: (options?: GetTokenOptions) => Promise<string | null>;
  signOut: (options?: { redirectUrl?: string }) => Promise<void>;
}

type Undecided = { isLoaded: false; isSignedIn: undefined; userId: undefined; sessionId: undefined; sessionClaims: undefined; orgId: undefined; orgRole: undefined };
type Nobody = { isLoaded: true; isSignedIn: false; userId: null; sessionId: null; sessionClaims: null; orgId: null; orgRole: null };
type Somebody = { isLoaded: true; isSignedIn: true; userId: string; sessionId: string; sessionClaims: { sub: string; [claim: string]: unknown }; orgId: string | null; orgRole: string | null };

export declare function useAuth(initial?: { treatPendingAsSignedOut?: boolean }): Functions & (Undecided | Nobody | Somebody);
