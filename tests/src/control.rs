//! What a test and the server that it watches say to each other: commands on its standard input, events on its
//! standard output, one JSON text a line.

use serde::{Deserialize, Serialize};
use vestibule_schema::identity::IdentityKey;
use vestibule_server::probe::Point;

use crate::story::Saw;

/// Environment variables that the child reads.
pub mod variable {
    /// Its data directory.
    pub const DATA: &str = "GATE_DATA";
    /// Its providers, as `auth.config` holds them.
    pub const PROVIDERS: &str = "GATE_PROVIDERS";
    /// By how many milliseconds its clock is ahead of the machine's.
    pub const AHEAD_MILLIS: &str = "GATE_AHEAD_MILLIS";
    /// The number of its first seat.
    pub const FIRST_SEAT: &str = "GATE_FIRST_SEAT";
    /// Set where its functions are those that are pushed to it.
    pub const PUSHED: &str = "GATE_PUSHED";
}

/// What the child is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Hold up the next arrival at a pause point: that of an identity, or anybody's.
    Arm {
        point: Point,
        whom: Option<IdentityKey>,
    },
    /// Hold up nobody any more who has not arrived yet.
    Disarm,
    /// Let go whoever is held up there, or everywhere.
    Release { point: Option<Point> },
    /// Let time pass.
    Advance { millis: u64 },
    /// Write this into the record.
    Note(Remark),
}

/// What stands in a record beside what the server did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Remark {
    /// The child is ready.
    Listening { url: String },
    /// The child was killed, and another one goes on with its file.
    Killed,
    /// Its functions are in TypeScript, and were pushed.
    InTypeScript,
    /// New code of its functions has taken over.
    Pushed,
    /// Somebody who has nothing to do with those who are held up begins to sign in …
    ProbeBegan { identity: IdentityKey },
    /// … and is given up, or was let in.
    ProbeEnded { identity: IdentityKey },
    /// What the file holds of an identity.
    Rows {
        identity: IdentityKey,
        users: u64,
        settings: u64,
    },
    /// The marks of the notes that the file holds of an identity, in the order in which they were written.
    Written {
        identity: IdentityKey,
        marks: Vec<String>,
    },
    /// What the application behind a client saw. All of these come at the end, those of one client in their order.
    Saw { client: usize, saw: Saw },
    /// Everything the child was told before has been done.
    Obeyed { order: u64 },
}
