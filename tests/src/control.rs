//! The messages between a test and the server that it watches. Commands are on its standard input and events on its
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

/// A command to the child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Hold up the next arrival at a pause point: that of one identity, or of any.
    Arm {
        point: Point,
        whom: Option<IdentityKey>,
    },
    /// Hold up no further arrival.
    Disarm,
    /// Let go every caller held up there, or everywhere.
    Release { point: Option<Point> },
    /// Let time pass.
    Advance { millis: u64 },
    /// Write this into the record.
    Note(Remark),
}

/// An entry in a record beside the server's own events.
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
    /// A person who has nothing to do with those held up begins to sign in …
    ProbeBegan { identity: IdentityKey },
    /// … and is given up, or was let in.
    ProbeEnded { identity: IdentityKey },
    /// The file's documents of an identity.
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
    /// A sight of the application behind a client. All of these come at the end, those of one client in their order.
    Saw { client: usize, saw: Saw },
    /// Everything the child was told before has been done.
    Obeyed { order: u64 },
}
