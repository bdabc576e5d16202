//! The storage room: an ordered key-value store with snapshots, atomic batches and a commit log, in one SQLite file.
//!
//! Keys and values are bytes here; documents and indexes are the database room's. SQL is written in this room only.
//!
//! ```text
//!            apply                            append, publish                  fold
//!   lane ──▶ Head ── LogRow, freeze ──▶ Appender ──▶ log rows, Published ──▶ entries table
//!                                                  write-ahead log ──▶ database file ◀── Checkpointer
//! ```
//!
//! A batch of commits is durable once [`Appender::append`] has written it as one row of the `log` table. Its effect on
//! the `entries` table follows later, in the steps of [`Appender::fold`]. Commits that are not yet folded live in the
//! [`Overlay`], an ordered map with cheap snapshots. Values that were replaced under a short key live in the key's slot
//! alone. Every read merges the three, slots winning over the overlay and the overlay over the table:
//!
//! - a [`Snapshot`] is the newest durable state, fixed for as long as it is held;
//! - the [`Head`] is that state plus what the lane committed since, durable or not.
//!
//! The invariant behind both: **an overlay holds every key that came or went after its `complete_after`. It is only ever
//! merged with a base whose fold position is at or after that**. A base that already holds newer values is harmless,
//! since overlay or slot holds every key that changed after the fold position. The assumptions of slots stand in `slots`.

mod appender;
mod backup;
mod bases;
mod checkpoint;
mod codec;
mod error;
mod fold;
mod head;
mod inspect;
mod keys;
mod leaf;
mod log_holds;
mod log_row;
mod lookups;
mod open;
mod options;
mod overlay;
mod packed;
mod pins;
mod private;
mod reader;
mod rebuild;
mod slots;
mod snapshot;
mod sorted_run;
mod sqlite;
mod store;
mod tree;
mod view;
mod wal;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

pub use appender::Appender;
pub use backup::{BackupReader, read_row};
pub use checkpoint::{CheckpointCounts, CheckpointDue, Checkpointer};
pub use error::{AppendError, StorageError};
pub use fold::FoldProgress;
pub use head::{Head, PinnedHead};
pub use inspect::{Inspected, inspect};
pub use keys::{Direction, KeyRange, successor};
pub use log_row::LogRow;
pub use options::StoreOptions;
pub use overlay::Overlay;
pub use private::{private_directory, private_file};
pub use rebuild::Rebuild;
pub use slots::SLOT_KEY_BYTES_MAX;
pub use snapshot::{Snapshot, SnapshotBase};
pub use sqlite::{database_file, is_store};
pub use store::{Published, Store};
pub use view::{Cursor, Entry, ReadView, Scan};

use bytes::Bytes;
use vestibule_schema::timestamp::Timestamp;

/// Keys that differ only in this many bytes at their end are a group, which [`ReadView::group`] reads at once. The
/// database's index keys end in these bytes, which tell apart documents with equal fields.
pub const GROUP_TAIL_BYTES: usize = 25;

/// One key set to a value, or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: Bytes,
    /// The new value; `None` deletes the key. The overlay may keep this `Bytes` alive: give it a buffer of its own, not a
    /// slice of a large one.
    pub value: Option<Bytes>,
}

/// The writes of one transaction, at its place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// After the timestamp of every earlier commit.
    pub ts: Timestamp,
    /// The writes. A later write of the same key wins.
    pub writes: Vec<Write>,
}
