//! The first-login promise as a pure state machine: when a gate opens, which answer opens it, and what becomes of
//! waiting work.
//!
//! The server's gate, the Rust client and the React package all follow this one machine. [`CASES`] holds it as data, to
//! check a mirror in another language. Running the provisioning function, holding work and keeping deadlines is left to
//! the owner, which does what [`step`] returns.
//!
//! ```text
//! unprovisioned --identity verified------------------> provisioning
//! provisioning  --ensureUser committed at P----------> provisioned(P)
//! provisioning  --refused or failed------------------> unprovisioned
//! provisioned   --refresh, same person---------------> provisioned(P)
//! any           --sign-out---------------------------> unprovisioned
//! any           --answer for an older version--------> unchanged
//! ```

use serde::{Deserialize, Serialize};

use crate::identity::IdentityKey;
use crate::timestamp::Timestamp;

#[cfg(test)]
mod tests;

/// The machine as a table, in JSON: a list of `{name, steps: [{event, state, effects}]}`. Each case starts from
/// [`State::default`] and gives the whole state and all effects after each event.
pub const CASES: &str = include_str!("../provisioning-cases.json");

/// Counts the identities one connection has presented, a sign-out included; 0 before the first.
pub type IdentityVersion = u32;

/// Where one identity stands on one connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum State {
    /// The connection is signed out, or the newest identity was not let in.
    Unprovisioned {
        /// The newest identity version.
        version: IdentityVersion,
        /// The identity that was not let in, and why; `None` when the connection is signed out.
        ended: Option<Ended>,
    },
    /// The provisioning function runs for this identity; work that needs it waits.
    Provisioning {
        /// The newest identity version: the one that will open.
        version: IdentityVersion,
        /// The version under which the run began; an answer for an older one belongs to another identity.
        run_version: IdentityVersion,
        /// The identity of the run.
        key: IdentityKey,
    },
    /// The gate is open.
    Provisioned {
        /// The newest identity version.
        version: IdentityVersion,
        /// The identity that is let in.
        key: IdentityKey,
        /// Every read behind the gate happens at this timestamp or later.
        committed_at: Timestamp,
    },
}

/// How a run ended that opened no gate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ended {
    /// The identity of the run: a retry runs for the same identity.
    pub key: IdentityKey,
    /// The cause that stopped it.
    pub reason: Reason,
}

/// Why a run opened no gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// The app said no; the same auth token will be refused again.
    Refused,
    /// Storage, a time limit or overload got in the way; a retry may help.
    Failed,
}

/// An event on the connection or of a run. Versions tell whose event it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// An identity was verified that needs a run of its own. It is a sign-in, another person, or the same person with a
    /// changed claim that the earlier run had read.
    IdentityVerified {
        /// The identity that it is about.
        version: IdentityVersion,
        /// The identity.
        key: IdentityKey,
    },
    /// A new auth token was verified in which nothing that the provisioning function reads has changed. For a key
    /// other than the current one it counts as [`Event::IdentityVerified`].
    Refreshed {
        /// The identity that it is about.
        version: IdentityVersion,
        /// The identity.
        key: IdentityKey,
    },
    /// The run committed (or proved at this timestamp that it has nothing to write).
    Committed {
        /// The identity that it is about.
        version: IdentityVersion,
        /// The commit.
        ts: Timestamp,
    },
    /// The provisioning function threw.
    Refused {
        /// The identity that it is about.
        version: IdentityVersion,
    },
    /// The run could not be completed.
    Failed {
        /// The identity that it is about.
        version: IdentityVersion,
    },
    /// The client asked for another try without a new login. The owner has given up the earlier run by now.
    Retried {
        /// The identity that it is about.
        version: IdentityVersion,
    },
    /// The connection signed out.
    SignedOut {
        /// The identity that it is about.
        version: IdentityVersion,
    },
}

/// An action that the owner of the gate must take, in the order given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Effect {
    /// Answer all work that waits with this rejection; none of it may run.
    RejectHeld {
        /// Why.
        rejection: Rejection,
    },
    /// Run the provisioning function for this identity, or join its run that is in flight.
    Run {
        /// The identity that it is about.
        version: IdentityVersion,
        /// The identity.
        key: IdentityKey,
    },
    /// Let the work that waits go ahead, in order, reading at this timestamp or later.
    Open {
        /// The identity that it is about.
        version: IdentityVersion,
        /// The commit at or past which its calls read.
        at: Timestamp,
    },
}

/// Why work that waited behind a gate will never run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Rejection {
    /// The app refused the identity.
    Refused,
    /// The run failed and its owner stopped trying.
    Failed,
    /// The person signed out first.
    SignedOut,
    /// Another identity signed in first.
    IdentityChanged,
}

/// The fate of work that arrives now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The connection is signed out: the work runs without an identity.
    Anonymous,
    /// It waits for the gate.
    Hold,
    /// It runs, reading at this timestamp or later.
    Run {
        /// The commit at or past which it reads.
        at: Timestamp,
    },
    /// It is answered with the reason.
    Reject(Reason),
}

impl Default for State {
    /// A connection that has presented no identity yet.
    fn default() -> Self {
        State::Unprovisioned {
            version: 0,
            ended: None,
        }
    }
}

impl State {
    /// The newest identity version this state has heard of.
    pub fn version(&self) -> IdentityVersion {
        match self {
            State::Unprovisioned { version, .. }
            | State::Provisioning { version, .. }
            | State::Provisioned { version, .. } => *version,
        }
    }

    /// The identity this state is about, also when it was not let in.
    pub fn key(&self) -> Option<&IdentityKey> {
        match self {
            State::Unprovisioned { ended, .. } => ended.as_ref().map(|ended| &ended.key),
            State::Provisioning { key, .. } | State::Provisioned { key, .. } => Some(key),
        }
    }

    /// The fate of work that needs the identity and arrives in this state.
    pub fn admission(&self) -> Admission {
        match self {
            State::Unprovisioned { ended: None, .. } => Admission::Anonymous,
            State::Unprovisioned {
                ended: Some(ended), ..
            } => Admission::Reject(ended.reason),
            State::Provisioning { .. } => Admission::Hold,
            State::Provisioned { committed_at, .. } => Admission::Run { at: *committed_at },
        }
    }
}

/// The state after an event, and what its owner must do about it. An event that belongs to an older version, or to
/// one the connection has not presented, changes nothing.
pub fn step(state: State, event: Event) -> (State, Vec<Effect>) {
    match event {
        Event::IdentityVerified { version, key } if version > state.version() => {
            begin(state, version, key)
        }
        Event::Refreshed { version, key } if version > state.version() => {
            refresh(state, version, key)
        }
        Event::SignedOut { version } if version > state.version() => sign_out(&state, version),
        Event::IdentityVerified { .. } | Event::Refreshed { .. } | Event::SignedOut { .. } => {
            (state, Vec::new())
        }
        Event::Committed { version, ts } => {
            answer(state, version, |key, newest| open(key, newest, ts))
        }
        Event::Refused { version } => answer(state, version, |key, newest| {
            close(key, newest, Reason::Refused)
        }),
        Event::Failed { version } => answer(state, version, |key, newest| {
            close(key, newest, Reason::Failed)
        }),
        Event::Retried { version } => retry(state, version),
    }
}

/// Starts a run for a new version. Work under the same identity keeps waiting; another identity's work is rejected.
fn begin(state: State, version: IdentityVersion, key: IdentityKey) -> (State, Vec<Effect>) {
    let mut effects = Vec::new();
    if matches!(&state, State::Provisioning { key: earlier, .. } if *earlier != key) {
        effects.push(Effect::RejectHeld {
            rejection: Rejection::IdentityChanged,
        });
    }
    let (next, run) = run(version, key);
    effects.push(run);
    (next, effects)
}

fn run(version: IdentityVersion, key: IdentityKey) -> (State, Effect) {
    let effect = Effect::Run {
        version,
        key: key.clone(),
    };
    let next = State::Provisioning {
        version,
        run_version: version,
        key,
    };
    (next, effect)
}

/// Carries the progress over to the new version, if the same identity made it.
fn refresh(state: State, version: IdentityVersion, key: IdentityKey) -> (State, Vec<Effect>) {
    match state {
        State::Provisioned {
            key: current,
            committed_at,
            ..
        } if current == key => {
            let next = State::Provisioned {
                version,
                key,
                committed_at,
            };
            (next, Vec::new())
        }
        State::Provisioning {
            key: current,
            run_version,
            ..
        } if current == key => {
            let next = State::Provisioning {
                version,
                run_version,
                key,
            };
            (next, Vec::new())
        }
        state @ (State::Unprovisioned { .. }
        | State::Provisioning { .. }
        | State::Provisioned { .. }) => begin(state, version, key),
    }
}

fn sign_out(state: &State, version: IdentityVersion) -> (State, Vec<Effect>) {
    let effects = match state {
        State::Provisioning { .. } => vec![Effect::RejectHeld {
            rejection: Rejection::SignedOut,
        }],
        State::Unprovisioned { .. } | State::Provisioned { .. } => Vec::new(),
    };
    let next = State::Unprovisioned {
        version,
        ended: None,
    };
    (next, effects)
}

/// Applies an answer if it belongs to the run that is awaited: the one begun at `run_version` and carried along by
/// refreshes since.
fn answer(
    state: State,
    answered: IdentityVersion,
    apply: impl FnOnce(IdentityKey, IdentityVersion) -> (State, Vec<Effect>),
) -> (State, Vec<Effect>) {
    match state {
        State::Provisioning {
            version,
            run_version,
            key,
        } if (run_version..=version).contains(&answered) => apply(key, version),
        state @ (State::Unprovisioned { .. }
        | State::Provisioning { .. }
        | State::Provisioned { .. }) => (state, Vec::new()),
    }
}

fn open(
    key: IdentityKey,
    version: IdentityVersion,
    committed_at: Timestamp,
) -> (State, Vec<Effect>) {
    let next = State::Provisioned {
        version,
        key,
        committed_at,
    };
    let effect = Effect::Open {
        version,
        at: committed_at,
    };
    (next, vec![effect])
}

fn close(key: IdentityKey, version: IdentityVersion, reason: Reason) -> (State, Vec<Effect>) {
    let rejection = match reason {
        Reason::Refused => Rejection::Refused,
        Reason::Failed => Rejection::Failed,
    };
    let next = State::Unprovisioned {
        version,
        ended: Some(Ended { key, reason }),
    };
    (next, vec![Effect::RejectHeld { rejection }])
}

fn retry(state: State, retried: IdentityVersion) -> (State, Vec<Effect>) {
    match state {
        State::Unprovisioned {
            version,
            ended: Some(Ended { key, .. }),
        } if version == retried => {
            let (next, run) = run(version, key);
            (next, vec![run])
        }
        state @ (State::Unprovisioned { .. }
        | State::Provisioning { .. }
        | State::Provisioned { .. }) => (state, Vec::new()),
    }
}
