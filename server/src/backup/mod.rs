//! The backup room. It copies a deployment as one committed state beside its server, and reads the copy back before it
//! is called good. It checks a directory or a backup, and restores as of a time.
//!
//! A backup is a directory. `backup.json` says what belongs to it and is written last. It names one or more **bases**, each a
//! finished database file as of one commit, and **logs**, each the commits between two states. Contents of files lie once
//! for all of them, and beside them the private files that a data directory holds.
//!
//! Entry points: `send.rs` reads a deployment. `receive.rs` writes a backup from it, over HTTP or within one process.
//! `verify.rs` and `restore.rs` work on directories. A server's own part is [`Backups`].

mod error;
mod frames;
mod manifest;
mod metrics;
mod place;
mod receive;
mod restore;
mod send;
mod served;
mod verify;

pub use error::BackupError;
pub use manifest::is_backup;
pub use metrics::BackupMetrics;
pub use receive::{Made, Receiver};
pub use restore::{Restored, restore};
pub use send::{Source, Wanted};
pub use served::{Backups, Verified};
pub use verify::{Checked, Problems, verify};

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Handle;
use vestibule_schema::timestamp::Timestamp;

use crate::files::Blobs;
use crate::storage::{Store, StoreOptions};

/// When a commit was made, for people.
pub fn time_of(ts: Timestamp) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(ts.0));
    at.map_or_else(|_| ts.0.to_string(), |at| at.to_string())
}

/// The time that a person names, as 2026-11-30T14:05:00Z or by the timestamp of a commit.
pub fn time_named(text: &str) -> Result<Timestamp, String> {
    if let Ok(ts) = text.parse() {
        return Ok(Timestamp(ts));
    }
    let at: jiff::Timestamp = text.parse().map_err(|error| {
        format!("{error}; a time has a date and a zone, as 2026-11-30T14:05:00Z")
    })?;
    let ts = u64::try_from(at.as_nanosecond());
    ts.map(Timestamp)
        .map_err(|_| "it lies before 1970".to_owned())
}

/// Backs up a data directory that no server uses. To be called on a thread that may wait.
pub fn back_up_directory(data: &Path, to: &Path, runtime: &Handle) -> Result<Made, BackupError> {
    let options = StoreOptions {
        // How much of the log is kept is the server's to say.
        log_kept: Duration::MAX,
        ..StoreOptions::default()
    };
    let (store, appender) = Store::open(data, options)?;
    let source = Source {
        store,
        blobs: Blobs::in_directory(data)?,
        data: data.to_path_buf(),
    };
    let made = receive::take(to, |wanted, receiver| {
        source.send(&wanted, runtime, &mut |bytes| receiver.push(&bytes))
    });
    appender.close()?;
    made
}
