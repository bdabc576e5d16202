//! The servers that ours is compared with.

use clap::ValueEnum;

use crate::alternatives::Alternative;

/// A server that makes the same transfers over the same messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Against {
    /// One Node process with better-sqlite3: WAL, synchronous=FULL.
    NodeSqlite,
    /// A Node process before PostgreSQL, at serializable isolation.
    Postgres,
    /// Does nothing, as fast as it can.
    #[value(hide = true)]
    Echo,
}

impl Against {
    /// The alternative that it is, if it is one.
    pub fn alternative(self) -> Option<Alternative> {
        match self {
            Against::NodeSqlite => Some(Alternative::NodeSqlite),
            Against::Postgres => Some(Alternative::Postgres),
            Against::Echo => None,
        }
    }
}
