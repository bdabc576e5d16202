//! The appender: the one writer of the write-ahead log. It appends batches and, in between, folds. Checkpoints run beside
//! it (`checkpoint.rs`).
//!
//! Why folding may commit without a sync (`synchronous=NORMAL`) and an append's own sync still suffices: both write to
//! the same write-ahead log, in order. A sync covers the whole file, so an appended batch is synced together with every
//! fold before it. Recovery reads the log up to the first frame that does not fit, and so reaches it. A power loss may
//! take a fold that came after the last append. That fold moved the fold position in the same stretch of the log, so it
//! is lost whole or in steps, and is repeated. A checkpoint syncs the log before it copies pages, and the database file
//! before it lets the log start anew. A log that starts anew syncs its new header first. All three hold under NORMAL as
//! under FULL. They require that every sync succeeds: after any failed sync, on any thread, the appender stops.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use vestibule_schema::timestamp::Timestamp;

use super::fold::Folding;
use super::sqlite::{self, Synchronous};
use super::store::Shared;
use super::{AppendError, LogRow, Published, StorageError};

/// The one writer. Owned by one thread; its calls block on the disk.
pub struct Appender {
    /// `None` after an error: a connection that met an error is not used again; the next work opens another.
    connection: Option<Connection>,
    /// The last commit in the log.
    appended: Timestamp,
    pub(super) shared: Arc<Shared>,
    pub(super) folding: Folding,
    #[cfg(test)]
    pub(super) pages_max: Option<u32>,
}

impl Appender {
    pub(super) fn new(shared: Arc<Shared>, connection: Connection) -> Self {
        let published = shared.published.load_full();
        Self {
            connection: Some(connection),
            appended: published.ts,
            shared,
            folding: Folding::after_open(published.overlay.bytes()),
            #[cfg(test)]
            pages_max: None,
        }
    }

    /// Makes a batch of commits durable: one row, one transaction, one sync. The caller publishes the state after it
    /// next. Blocks on the disk.
    ///
    /// # Panics
    /// If its commits are not after every commit appended before.
    pub fn append(&mut self, mut row: LogRow) -> Result<(), AppendError> {
        if row.is_empty() {
            return Ok(());
        }
        assert!(
            row.first() > self.appended,
            "commits are appended in the order of their timestamps"
        );
        let last = row.last();
        let sealed = row.sealed(self.appended);
        let result = self.transaction(Synchronous::Full, |connection| {
            let mut insert =
                connection.prepare_cached("INSERT INTO log (last_ts, body) VALUES (?1, ?2)")?;
            insert.execute((sql_ts(last), sealed))?;
            Ok(())
        });
        result.map_err(|failure| self.append_error(failure))?;
        // Another thread's sync may have failed meanwhile, and the system may report a failure only once.
        self.shared.not_stopped().map_err(AppendError::Unknown)?;
        self.appended = last;
        self.shared.appends.fetch_add(1, Ordering::Relaxed);
        self.folding.note_appended(row);
        Ok(())
    }

    /// Makes a state the newest durable one, for snapshots taken from now on.
    ///
    /// # Panics
    /// If its last commit is not the last one appended.
    pub fn publish(&mut self, published: Published) {
        assert_eq!(
            published.ts, self.appended,
            "the state published is the one just appended"
        );
        self.shared.published.store(Arc::new(published));
    }

    /// The last commit appended.
    pub fn appended(&self) -> Timestamp {
        self.appended
    }

    fn append_error(&mut self, failure: TransactionFailed) -> AppendError {
        let TransactionFailed { cause, at_commit } = failure;
        if cause.must_end_process() || (at_commit && !cause.is_failed_write()) {
            self.shared.stop(&cause);
            AppendError::Unknown(cause)
        } else {
            AppendError::NotCommitted(cause)
        }
    }

    pub(super) fn transaction<T>(
        &mut self,
        level: Synchronous,
        work: impl FnOnce(&Connection) -> Result<T, StorageError>,
    ) -> Result<T, TransactionFailed> {
        let before = |cause| TransactionFailed {
            cause,
            at_commit: false,
        };
        let shared = Arc::clone(&self.shared);
        let _writing = shared.checkpoints.writing.lock();
        self.work(
            |connection| {
                sqlite::set_synchronous(connection, level).map_err(before)?;
                let run = |sql| {
                    connection
                        .prepare_cached(sql)?
                        .execute([])
                        .map_err(StorageError::from)
                };
                run("BEGIN IMMEDIATE").map_err(before)?;
                let done = work(connection).map_err(before)?;
                run("COMMIT").map_err(|cause| TransactionFailed {
                    cause,
                    at_commit: true,
                })?;
                Ok(done)
            },
            before,
        )
    }

    /// Runs work on the write connection. After an error the connection is dropped, which rolls back what it left open;
    /// after a failed sync the appender stops.
    pub(super) fn work<T, E: AsRef<StorageError>>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
        refuse: impl FnOnce(StorageError) -> E,
    ) -> Result<T, E> {
        let connection = match self.connection() {
            Ok(connection) => connection,
            Err(error) => return Err(refuse(error)),
        };
        let result = work(&connection);
        match &result {
            Ok(_) => self.connection = Some(connection),
            Err(error) if error.as_ref().must_end_process() => self.shared.stop(error.as_ref()),
            Err(_) => {}
        }
        result
    }

    fn connection(&mut self) -> Result<Connection, StorageError> {
        self.shared.not_stopped()?;
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.reconnect(),
        }
    }

    fn reconnect(&self) -> Result<Connection, StorageError> {
        let connection = sqlite::open_writer(&self.shared.files, &self.shared.options)?;
        #[cfg(test)]
        self.limit_pages(&connection)?;
        Ok(connection)
    }

    /// Makes the disk full, or gives the space back.
    #[cfg(test)]
    pub(crate) fn set_pages_max(&mut self, pages_max: Option<u32>) {
        self.pages_max = pages_max;
        self.connection = None;
    }

    #[cfg(test)]
    fn limit_pages(&self, connection: &Connection) -> Result<(), StorageError> {
        if let Some(pages) = self.pages_max {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
        }
        Ok(())
    }
}

/// Why a transaction failed, and whether the failure came from its COMMIT.
pub(super) struct TransactionFailed {
    pub cause: StorageError,
    pub at_commit: bool,
}

impl AsRef<StorageError> for TransactionFailed {
    fn as_ref(&self) -> &StorageError {
        &self.cause
    }
}

impl AsRef<Self> for StorageError {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// A timestamp as SQLite holds it.
pub(super) fn sql_ts(ts: Timestamp) -> i64 {
    i64::try_from(ts.0).expect("timestamps are at most i64::MAX")
}
