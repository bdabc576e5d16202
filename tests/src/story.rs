//! An application's sights through a client of ours, event by event. The clients of the schedules write them, and the
//! oracle judges them together with the server's record.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use vestibule_schema::identity::IdentityKey;

/// One thing that an application did or was told. `login` numbers the sign-ins of one client, from 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "saw", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Saw {
    /// It asks to be let in, for the first time under this login or again.
    Asks { login: u64, identity: IdentityKey },
    /// It is told that the user exists.
    LetIn { login: u64 },
    /// It is told that the user is not let in.
    KeptOut { login: u64, why: String },
    /// Another user has signed in, or the client is signed out. Said when the client has taken that in.
    Ended { login: u64 },
    /// Another place in the machine of states is shown, by the application's client of this number.
    Stands { client: u64, status: Standing },
    /// It is shown a result of a query. One that needs no user outlasts logins and has its client's number as `login`.
    Shown {
        login: u64,
        query: String,
        value: Json,
    },
    /// It is told that a query failed, or has nothing to show.
    Failed {
        login: u64,
        query: String,
        why: Why,
        text: String,
    },
    /// It makes a call that carries this mark.
    Calls {
        login: u64,
        mark: String,
        kind: CallKind,
    },
    /// A call has come to its end.
    Answered {
        login: u64,
        mark: String,
        how: How,
        /// The result of `notes:mine` at this moment, where it was watched before the call. It is the marks of its
        /// notes, or nothing when the login is over or was suspended.
        mine: Mine,
    },
}

/// A call's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CallKind {
    Mutation,
    Action,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum How {
    /// It returned this.
    Returned(Json),
    /// The function threw, or the client met something that has no place here.
    Threw(String),
    LoginEnded {
        may_have_run: bool,
    },
    NotProvisioned {
        may_have_run: bool,
    },
    /// Of an action that was under way.
    ConnectionLost,
}

/// Why a query has nothing to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Why {
    Function,
    NotProvisioned,
    LoginEnded,
    Other,
}

/// The shown result of a live list of the caller's notes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mine {
    /// It was not watched from before the call on.
    NotWatched,
    /// It was watched and has nothing to show.
    Nothing,
    /// It is over, or suspended.
    Over,
    Marks(Vec<String>),
}

/// Where a client says that it stands, in the words that both clients have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// The client is signed out, or that is not known yet.
    Nobody,
    /// There is a token that has not been presented.
    Authenticated,
    Provisioning,
    Provisioned,
    /// Provisioned, and another token is on its way.
    Refreshing,
    /// Refused, or given up.
    KeptOut,
    /// The login is over.
    Ended,
}
