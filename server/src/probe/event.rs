//! The events stated to a watcher.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use vestibule_schema::identity::IdentityKey;
use vestibule_schema::wire::{ClientMessage, Credential};

/// One thing that happened. Events are recorded in the order in which they happened, those of different threads
/// in one that fits what each thread could know. Timestamps are those of commits; a *seat* is a connection or an HTTP
/// request, numbered from the start of the process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A connection opened, or an HTTP request presented an identity.
    Connected { seat: u64 },
    /// A message came in; a credential is left out of it.
    Received { seat: u64, message: Json },
    /// A message goes out.
    Sent { seat: u64, message: Json },
    /// An identity was verified and became this identity version of its seat.
    Verified {
        seat: u64,
        version: u32,
        identity: IdentityKey,
    },
    /// A credential was not accepted.
    Rejected { seat: u64, code: String },
    /// The seat is signed out, which is an identity version too.
    SignedOut { seat: u64, version: u32 },
    /// A call was taken, to run now or behind the gate, while this was the newest identity version.
    Accepted {
        seat: u64,
        version: u32,
        request: u32,
    },
    /// The gate opened for the newest identity version. `identity` is whom functions will see.
    Opened {
        seat: u64,
        version: u32,
        identity: Option<IdentityKey>,
        at: u64,
    },
    /// The gate's answer for this version was no: `refused` or `failed`.
    Shut {
        seat: u64,
        version: u32,
        reason: String,
    },
    /// The connection ends, and how. Nothing is told there any more.
    Closing { seat: u64, how: String },
    /// The connection is over, or the request has passed the gate or not.
    Closed { seat: u64 },
    /// A run of the provisioning function began for every seat that waits for this identity.
    RunBegan { identity: IdentityKey },
    /// It ended: at a timestamp, or with the reason why not.
    RunEnded {
        identity: IdentityKey,
        outcome: Result<u64, String>,
    },
    /// A function starts.
    Started(Execution),
    /// It ended; `threw` is what it threw.
    Ended {
        execution: Execution,
        threw: Option<String>,
    },
    /// These commits are durable. No caller has been answered yet.
    Committed { timestamps: Vec<u64> },
    /// A caller is held up at a pause point.
    Paused {
        point: Point,
        identity: Option<IdentityKey>,
    },
    /// And goes on.
    Resumed {
        point: Point,
        identity: Option<IdentityKey>,
    },
    /// A remark of the program that keeps the record.
    Noted(String),
}

/// One execution of a function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// The function.
    pub path: String,
    /// `Query`, `Mutation` or `Action`.
    pub kind: String,
    /// The identity that it runs as.
    pub identity: Option<IdentityKey>,
    /// When the provisioning of that identity committed, by the proof that the caller carries.
    pub proof: Option<u64>,
    /// Whether it is the gate's own run.
    pub is_provisioning: bool,
    /// The commit it sees; none for an action, which sees none.
    pub read_ts: Option<u64>,
    /// The timestamp its commit will carry; none where it cannot write.
    pub commit_ts: Option<u64>,
    /// The call that it, or the action which called it, was asked for with.
    pub call: Option<CallOf>,
}

/// A call that a client made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallOf {
    /// Where it came in.
    pub seat: u64,
    /// The newest identity version of its seat when it was started.
    pub version: u32,
    /// Its number in its session; none for an HTTP request.
    pub request: Option<u32>,
}

/// Where a schedule may hold the server up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Point {
    /// An Authenticate was read and is not verified yet.
    TokenReceived,
    /// It was verified; its connection does not know yet.
    Verified,
    /// A provisioning run is about to begin on the lane.
    LaneEntered,
    /// It has run on the lane, and what it wrote is not durable.
    FunctionReturned,
    /// The log writer is about to append a batch.
    BeforeCommit,
    /// The batch is durable; no caller has been answered.
    AfterCommit,
    /// The gate has its answer; the connection does not know yet.
    BeforeOpening,
    /// The Transition that tells a new identity version is about to be written.
    BeforeFirstFrame,
}

/// A message as it may be kept: a credential says what kind it is and nothing more.
pub(super) fn without_credential(message: &ClientMessage) -> Json {
    match message {
        ClientMessage::Authenticate(authenticate) => {
            let kind = match authenticate.credential {
                Credential::User(_) => "User",
                Credential::Admin { .. } => "Admin",
                Credential::None => "None",
            };
            json!({"type": "Authenticate", "baseVersion": authenticate.base_version, "tokenType": kind})
        }
        other => other
            .to_json()
            .map_or(Json::Null, |text| json_of(text.as_str())),
    }
}

pub(super) fn json_of(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_string()))
}

#[cfg(test)]
mod tests {
    use vestibule_schema::wire::Authenticate;

    use super::*;

    #[test]
    fn no_credential_is_kept() {
        let credentials = [
            Credential::User("canary".into()),
            Credential::Admin {
                key: "canary".into(),
                acting_as: None,
            },
        ];
        for credential in credentials {
            let message = ClientMessage::Authenticate(Authenticate {
                base_version: 3,
                credential,
            });
            let kept = without_credential(&message).to_string();
            assert!(!kept.contains("canary") && kept.contains('3'), "{kept}");
        }
    }
}
