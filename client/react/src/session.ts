// One client's way through the state machine: it listens to what the official provider tells the client about auth,
// runs the provisioning mutation when the machine says so, and holds calls meanwhile. Knows nothing of React.

import { ConvexHttpClient } from "convex/browser";
import type { ConvexReactClient } from "convex/react";
import type { FunctionReference } from "convex/server";
import { isGateAnswer, notProvisioned, NotProvisionedError } from "./error.js";
import { HeldCalls, rejected } from "./held.js";
import { INITIAL, step, type Effect, type Event, type IdentityKey, type IdentityVersion, type State } from "./machine.js";
import { ReachableClient } from "./reachable.js";
import { fetchPatiently, identityOf } from "./token.js";

/** A mutation that makes the caller's user when it is missing, and takes no arguments. */
export type ProvisioningMutation = FunctionReference<"mutation", "public", Record<string, never>, unknown>;

/** The present state. A new object after every change. */
export interface Snapshot {
  readonly state: State;
  /** The provider's session that the state is about. */
  readonly mark: unknown;
  /** Why it is unprovisioned, when the machine says that it ended so. */
  readonly error: NotProvisionedError | null;
}

/** The part of a client that the official providers use. */
export type AuthClient = Pick<ConvexReactClient, "setAuth" | "clearAuth">;

type SetAuth = Parameters<ConvexReactClient["setAuth"]>;

/** One `setAuth`, and what it was called with. The newest is the one whose answers count. */
interface Presented {
  auth: SetAuth;
  /** The newest token that was fetched for it. */
  token: string | null;
}

/** The official client tells no timestamps. It sends what follows behind the mutation that committed. */
const NO_TIMESTAMP = "AAAAAAAAAAA=";
/** The mark of no session. */
export const NOBODY = Symbol("nobody");
const NOTHING: Snapshot = { state: INITIAL, mark: NOBODY, error: null };
/** How long an answer over HTTP may take: a connection that has gone silent tells nobody. */
const ANSWER_MAX_MS = 10_000;
const fetchInTime: typeof fetch = (input, init) => fetch(input, { ...init, signal: AbortSignal.timeout(ANSWER_MAX_MS) });
const NOT_ACCEPTED = "The server did not accept the auth token, or there was none.";

type TurnedAway = Extract<State, { type: "Unprovisioned" }> & { ended: NonNullable<Extract<State, { type: "Unprovisioned" }>["ended"]> };

/** Whether the signed-in user was not let in. */
const isTurnedAway = (state: State): state is TurnedAway => state.type === "Unprovisioned" && state.ended !== null;

/** One client's identities, from the token to the user. */
export class ProvisioningSession {
  #snapshot = NOTHING;
  #mark: unknown = NOBODY;
  #presented: Presented | null = null;
  /** Whether the server has shown that it keeps the promise itself: then its yes to a token is a yes to the user. */
  #hasGate = false;
  /** The app's last no, which a client that gives up on the token must not hide. */
  #refusal: { key: IdentityKey; error: NotProvisionedError } | null = null;
  #held = new HeldCalls();
  #reachable: ReachableClient;
  #listeners = new Set<() => void>();

  constructor(
    private readonly client: ConvexReactClient,
    private readonly ensureUser: ProvisioningMutation,
  ) {
    this.#reachable = new ReachableClient(client);
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly snapshot = (): Snapshot => this.#snapshot;
  readonly serverSnapshot = (): Snapshot => NOTHING;

  /**
   * Says which of the provider's sessions is on the screen, `NOBODY` for none. The next `setAuth` is about it, and so is
   * what waits: the provider's effects come and go, in StrictMode too, while the same person stays.
   */
  expect(mark: unknown): void {
    if (mark === this.#mark) return;
    this.#held.reject(mark === NOBODY ? "SignedOut" : "IdentityChanged");
    this.#mark = mark;
  }

  /** The client for the official provider: it listens, and passes everything on. */
  readonly authClient: AuthClient = {
    setAuth: (...auth) => {
      this.#publish({ ...this.#snapshot, mark: this.#mark });
      this.#present(auth);
    },
    clearAuth: () => {
      this.#presented = null;
      this.#refusal = null;
      this.#apply({ type: "SignedOut", version: this.#nextVersion() });
      this.#reachable.tell(() => this.client.clearAuth());
    },
  };

  /** Tries again for a user who was not let in, with the same login. */
  readonly retry = (): void => {
    const { state } = this.#snapshot;
    // Presented anew, as the server may have dropped the identity. The client may still be asking with a token from
    // before; that outcome says nothing about this try.
    if (this.#presented && isTurnedAway(state)) this.#present(this.#presented.auth);
    this.#apply({ type: "Retried", version: state.version });
  };

  /** Runs `call` as the person who is signed in, once that person is provisioned. */
  admit<T>(call: () => Promise<T>): Promise<T> {
    const { state, mark, error } = this.#snapshot;
    if (this.#mark === NOBODY) return Promise.reject(rejected("SignedOut"));
    if (mark !== this.#mark) return this.#held.hold(call);
    if (state.type === "Provisioned") return call();
    return isTurnedAway(state) ? Promise.reject(error ?? rejected(state.ended.reason)) : this.#held.hold(call);
  }

  #present(auth: SetAuth): void {
    const presented: Presented = { auth, token: null };
    this.#presented = presented;
    this.#reachable.tell(() => this.client.setAuth(...this.#listening(presented)));
  }

  /** The arguments of a `setAuth`, listened to. */
  #listening(presented: Presented): SetAuth {
    const [fetchToken, onChange, onRefreshChange] = presented.auth;
    const isWanted = () => this.#presented === presented;
    return [
      async ({ forceRefreshToken }) => {
        const token = await fetchPatiently(fetchToken, forceRefreshToken, isWanted);
        presented.token = token;
        this.#reachable.fetched();
        // The client presents the token as soon as it has it; the machine's reaction must come behind.
        if (token) setTimeout(() => isWanted() && this.#tokenPresented(identityOf(token)));
        return token;
      },
      (isAuthenticated) => {
        if (isWanted()) this.#answered(isAuthenticated, presented);
        onChange?.(isAuthenticated);
      },
      (isReplacing) => {
        onRefreshChange?.(isReplacing);
        this.#reachable.replacing(isReplacing);
      },
    ];
  }

  #tokenPresented(key: string): void {
    const { state } = this.#snapshot;
    // The client presents the token of a refused user several times over. Only a retry asks again.
    if (isTurnedAway(state) && state.ended.key === key) return;
    this.#apply({ type: "Refreshed", version: this.#nextVersion(), key });
  }

  #answered(isAuthenticated: boolean, presented: Presented): void {
    const { state } = this.#snapshot;
    if (isTurnedAway(state)) {
      if (isAuthenticated && this.#hasGate) this.#apply({ type: "Retried", version: state.version });
    } else if (!isAuthenticated) {
      this.#notAccepted(state, presented);
    }
  }

  /** The server does not take the token, or there is none. Answers to earlier runs count no more. */
  #notAccepted(state: State, { token }: Presented): void {
    const key = token === null ? "no token" : identityOf(token);
    const version = this.#nextVersion();
    const [asking] = step(state, { type: "IdentityVerified", version, key });
    this.#publish({ ...this.#snapshot, state: asking });
    const settle = (error: NotProvisionedError) =>
      this.#apply({ type: error.reason === "Refused" ? "Refused" : "Failed", version }, error);
    if (this.#refusal?.key === key) return settle(this.#refusal.error);
    if (token === null) return settle(new NotProvisionedError("Failed", NOT_ACCEPTED));
    void this.#askWhy(token).then(settle);
  }

  /**
   * Why the server does not take the token. On the socket its refusal may arrive before the provisioning mutation has gone
   * out, and the client, which alone hears the reason there, then gives up on the identity. Over HTTP the app's sentence
   * comes with the answer.
   */
  async #askWhy(token: string): Promise<NotProvisionedError> {
    try {
      const options = { auth: token, logger: false, fetch: fetchInTime } as const;
      await new ConvexHttpClient(this.client.url, options).mutation(this.ensureUser, {});
      return new NotProvisionedError("Failed", NOT_ACCEPTED);
    } catch (error) {
      this.#hasGate ||= isGateAnswer(error);
      const because = notProvisioned(error);
      return because.reason === "Refused" ? because : new NotProvisionedError("Failed", NOT_ACCEPTED, undefined, { cause: error });
    }
  }

  #nextVersion(): IdentityVersion {
    return this.#snapshot.state.version + 1;
  }

  #apply(event: Event, error: NotProvisionedError | null = null): void {
    const [state, effects] = step(this.#snapshot.state, event);
    if (state === this.#snapshot.state) return;
    if (isTurnedAway(state) && state.ended.reason === "Refused" && error) this.#refusal = { key: state.ended.key, error };
    if (error) console.error(`The user was not provisioned: ${error.message}`, error);
    this.#publish({ ...this.#snapshot, state, error });
    for (const effect of effects) this.#perform(effect, error);
  }

  #perform(effect: Effect, error: NotProvisionedError | null): void {
    switch (effect.type) {
      case "RejectHeld":
        // `expect` knows whether the user has left, or only the provider's effect ran anew.
        return effect.rejection === "SignedOut" ? undefined : this.#held.reject(effect.rejection, error);
      case "Run":
        return this.#run(effect.version);
      case "Open":
        return this.#held.letGo();
    }
  }

  #run(version: IdentityVersion): void {
    const committed = () => this.#apply({ type: "Committed", version, ts: NO_TIMESTAMP });
    const failed = (error: unknown) => {
      this.#hasGate ||= isGateAnswer(error);
      const because = notProvisioned(error);
      this.#apply({ type: because.reason === "Refused" ? "Refused" : "Failed", version }, because);
    };
    // Behind the identity it runs for, also where that has to wait.
    this.#reachable.tell(() => void this.client.mutation(this.ensureUser, {}).then(committed, failed));
  }

  #publish(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    for (const listener of this.#listeners) listener();
  }
}
