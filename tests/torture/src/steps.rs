//! The steps of a transaction. Clients send them, the app takes them, and the model repeats them.

use serde::{Deserialize, Serialize};

/// One step. Its fields mean something by its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// See [`Kind`].
    pub kind: Kind,
    /// A list, an account, a pair or a group.
    pub key: String,
    /// Another account, the side of a pair, or the value to append.
    pub other: String,
    /// Money, or the most members of a group.
    pub amount: u32,
}

/// The work of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Puts `other` at the end of a list. The result is the list's length before.
    Append,
    /// Reads a list.
    Read,
    /// Moves `amount` from the account `key` to the account `other`. The result is how often each was changed before.
    Transfer,
    /// Reads all accounts: name, balance and number of changes of each.
    Total,
    /// One `other` of the pair `key` goes off duty, if the other side is on duty. Two that do so at once are a write skew.
    Leave,
    /// One side of a pair is on duty again.
    Return,
    /// Reads the members of a group in a range of an index and joins them if they are fewer than `amount`.
    Join,
    /// Reads the members of a group.
    Members,
    /// Leaves `other` to be done later, once.
    Schedule,
}

/// The balance that an account is opened with.
pub const BALANCE: i64 = 1_000_000;
/// The sides of a pair.
pub const SIDES: [&str; 2] = ["left", "right"];

impl Step {
    /// A step with all its parts.
    pub fn new(kind: Kind, key: impl Into<String>, other: impl Into<String>, amount: u32) -> Step {
        Step {
            kind,
            key: key.into(),
            other: other.into(),
            amount,
        }
    }

    /// Whether it changes nothing.
    pub fn is_read(&self) -> bool {
        matches!(self.kind, Kind::Read | Kind::Total | Kind::Members)
    }
}

/// The side of a pair that is not this one.
pub fn other_side(side: &str) -> &'static str {
    SIDES[usize::from(side == SIDES[0])]
}
