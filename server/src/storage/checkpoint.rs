//! Checkpoints: moving the write-ahead log into the database file, so that neither grows without bound.
//!
//! The log starts anew only when all of it is moved and no reader uses it. The head's long-held read transaction would
//! prevent that for good, so the appender ends it first; the head begins another when it next reads its base. A snapshot
//! held for long still pins the log; then the file grows until that snapshot is dropped.

use std::time::Duration;

use rusqlite::Connection;

use super::sqlite::Synchronous;
use super::{Appender, FoldProgress, StorageError, sqlite};

/// A page and its header in the write-ahead log, at SQLite's default page size.
const WAL_PAGE_BYTES: u64 = 4096 + 24;

/// The write-ahead log, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WalPages {
    /// In use, moved or not.
    pub log: u64,
    /// Moved to the database file.
    pub moved: u64,
}

#[derive(Clone, Copy)]
enum Mode {
    /// Only measure.
    Noop,
    /// Move what no reader still needs, waiting for nobody.
    Passive,
    /// Wait for readers, move everything and cut the file to nothing.
    Truncate,
}

impl Appender {
    /// Runs a checkpoint if the write-ahead log has grown enough. Call it between appends; cheap if nothing is due.
    /// Beyond `truncate_wal_bytes` it waits for readers, each time for `truncate_wait` at most twice.
    pub fn checkpoint_if_due(&mut self) -> Result<(), StorageError> {
        let options = &self.shared.options;
        let (passive, truncate) = (options.checkpoint_wal_bytes, options.truncate_wal_bytes);
        let wait = options.truncate_wait;
        let wal = self.work(|connection| run(connection, Mode::Noop), |error| error)?;
        if wal.log < self.pages_at_checkpoint {
            // It started anew.
            self.pages_at_checkpoint = 0;
        }
        // A quarter of the threshold between tries: a reader that pins the log must not make every append pay for one.
        let grown = (wal.log - self.pages_at_checkpoint) * WAL_PAGE_BYTES;
        if (wal.log - wal.moved) * WAL_PAGE_BYTES < passive || grown < passive / 4 {
            return Ok(());
        }
        self.shared.head_base.lock().end();
        let moved = self.checkpoint(Mode::Passive)?;
        // The head may have begun again on pages not moved then; on moved ones it does not pin the log.
        self.shared.head_base.lock().end();
        self.pages_at_checkpoint = moved.log;
        if moved.log * WAL_PAGE_BYTES >= truncate {
            self.pages_at_checkpoint = self.truncate(wait)?.log;
        }
        Ok(())
    }

    /// Folds what is left and moves everything into the database file, so that a copy of that one file is whole. Nothing
    /// is lost where this fails: the next start does it.
    pub fn close(mut self) -> Result<(), StorageError> {
        while !matches!(self.fold()?, FoldProgress::Idle) {}
        self.shared.head_base.lock().end();
        self.truncate(self.shared.options.truncate_wait)?;
        Ok(())
    }

    fn truncate(&mut self, wait: Duration) -> Result<WalPages, StorageError> {
        self.work(
            |connection| Ok(connection.busy_timeout(wait)?),
            |error: StorageError| error,
        )?;
        let pages = self.checkpoint(Mode::Truncate)?;
        self.work(
            |connection| Ok(connection.busy_timeout(sqlite::WRITER_BUSY_WAIT)?),
            |error: StorageError| error,
        )?;
        Ok(pages)
    }

    fn checkpoint(&mut self, mode: Mode) -> Result<WalPages, StorageError> {
        self.work(
            |connection| {
                sqlite::set_synchronous(connection, Synchronous::Full)?;
                run(connection, mode)
            },
            |error| error,
        )
    }

    /// How long the write-ahead log is.
    #[cfg(test)]
    pub(super) fn wal_pages(&mut self) -> WalPages {
        self.work(
            |connection| run(connection, Mode::Noop),
            |error: StorageError| error,
        )
        .unwrap()
    }
}

/// Not having moved everything is no error: a reader still needs it.
fn run(connection: &Connection, mode: Mode) -> Result<WalPages, StorageError> {
    let sql = match mode {
        Mode::Noop => "PRAGMA wal_checkpoint(NOOP)",
        Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Mode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let (log, moved): (i64, i64) = connection
        .prepare_cached(sql)?
        .query_row([], |row| Ok((row.get(1)?, row.get(2)?)))?;
    // Negative when there is no log yet.
    let pages = |count: i64| u64::try_from(count).unwrap_or(0);
    Ok(WalPages {
        log: pages(log),
        moved: pages(moved).min(pages(log)),
    })
}
