// The first-login promise as a pure state machine: the mirror of the server's own, checked against the same table of
// cases. Running the provisioning mutation and holding calls is left to `session.ts`, which does what `step` returns.
//
//   unprovisioned --identity verified------------------> provisioning
//   provisioning  --ensureUser committed---------------> provisioned
//   provisioning  --refused or failed------------------> unprovisioned
//   provisioned   --refresh, same person---------------> provisioned
//   any           --sign-out---------------------------> unprovisioned
//   any           --answer for an older version--------> unchanged

/** Counts the identities one client has presented, sign-outs included; 0 before the first. */
export type IdentityVersion = number;

/** Issuer and subject of an auth token, as `issuer|subject`. */
export type IdentityKey = string;

/** A commit's timestamp as the protocol writes it. The official client tells none; it orders reads behind it itself. */
export type Timestamp = string;

/** Why a run opened no gate: the app said no, or something got in the way that may be gone the next time. */
export type Reason = "Refused" | "Failed";

/** Why a call that waited will never run. */
export type Rejection = Reason | "SignedOut" | "IdentityChanged";

/** Where one identity stands on one client. */
export type State =
  | { type: "Unprovisioned"; version: IdentityVersion; ended: { key: IdentityKey; reason: Reason } | null }
  | { type: "Provisioning"; version: IdentityVersion; runVersion: IdentityVersion; key: IdentityKey }
  | { type: "Provisioned"; version: IdentityVersion; key: IdentityKey; committedAt: Timestamp };

/** An event on the client or of a run. Versions tell whose event it is. */
export type Event =
  | { type: "IdentityVerified"; version: IdentityVersion; key: IdentityKey }
  | { type: "Refreshed"; version: IdentityVersion; key: IdentityKey }
  | { type: "Committed"; version: IdentityVersion; ts: Timestamp }
  | { type: "Refused"; version: IdentityVersion }
  | { type: "Failed"; version: IdentityVersion }
  | { type: "Retried"; version: IdentityVersion }
  | { type: "SignedOut"; version: IdentityVersion };

/** An action that the owner must take, in the order given. */
export type Effect =
  | { type: "RejectHeld"; rejection: Rejection }
  | { type: "Run"; version: IdentityVersion; key: IdentityKey }
  | { type: "Open"; version: IdentityVersion; at: Timestamp };

/** A state and what came of reaching it. */
export type Step = [State, Effect[]];

/** A client that has presented no identity yet. */
export const INITIAL: State = { type: "Unprovisioned", version: 0, ended: null };

/** The state after an event, and what its owner must do. An event of an older version changes nothing. */
export function step(state: State, event: Event): Step {
  switch (event.type) {
    case "IdentityVerified":
      return event.version > state.version ? begin(state, event.version, event.key) : [state, []];
    case "Refreshed":
      return event.version > state.version ? refresh(state, event.version, event.key) : [state, []];
    case "SignedOut":
      return event.version > state.version ? signOut(state, event.version) : [state, []];
    case "Committed":
      return isAwaited(state, event.version) ? open(state, event.ts) : [state, []];
    case "Refused":
    case "Failed":
      return isAwaited(state, event.version) ? close(state, event.type) : [state, []];
    case "Retried":
      return retry(state, event.version);
  }
}

type Provisioning = Extract<State, { type: "Provisioning" }>;

/** Starts a run for a new version. Work under the same identity keeps waiting; another identity's work is rejected. */
function begin(state: State, version: IdentityVersion, key: IdentityKey): Step {
  const [next, effects] = run(version, key);
  const replaces = state.type === "Provisioning" && state.key !== key;
  return [next, replaces ? [{ type: "RejectHeld", rejection: "IdentityChanged" }, ...effects] : effects];
}

function run(version: IdentityVersion, key: IdentityKey): Step {
  return [{ type: "Provisioning", version, runVersion: version, key }, [{ type: "Run", version, key }]];
}

/** Carries what has been reached over to the new version, if it was reached by the same identity. */
function refresh(state: State, version: IdentityVersion, key: IdentityKey): Step {
  const carries = state.type !== "Unprovisioned" && state.key === key;
  return carries ? [{ ...state, version }, []] : begin(state, version, key);
}

function signOut(state: State, version: IdentityVersion): Step {
  const next: State = { type: "Unprovisioned", version, ended: null };
  return [next, state.type === "Provisioning" ? [{ type: "RejectHeld", rejection: "SignedOut" }] : []];
}

/** Whether an answer belongs to the awaited run: begun at `runVersion` and carried along by refreshes since. */
function isAwaited(state: State, answered: IdentityVersion): state is Provisioning {
  return state.type === "Provisioning" && state.runVersion <= answered && answered <= state.version;
}

function open({ version, key }: Provisioning, ts: Timestamp): Step {
  return [{ type: "Provisioned", version, key, committedAt: ts }, [{ type: "Open", version, at: ts }]];
}

function close({ version, key }: Provisioning, reason: Reason): Step {
  return [{ type: "Unprovisioned", version, ended: { key, reason } }, [{ type: "RejectHeld", rejection: reason }]];
}

function retry(state: State, retried: IdentityVersion): Step {
  const waits = state.type === "Unprovisioned" && state.ended !== null && state.version === retried;
  return waits ? run(state.version, state.ended!.key) : [state, []];
}
