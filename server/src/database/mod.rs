//! The database room: documents, indexes, transactions, the committer and the write log, over the ordered keys of
//! the storage room. It knows nothing of functions, identities or connections.

mod catalog;
mod committer;
mod cursor;
mod error;
mod filter;
mod keys;
mod leases;
mod limits;
mod pagination;
mod query;
mod read_set;
mod readers;
mod session_requests;
mod setup;
#[cfg(test)]
mod tests;
mod transaction;
mod typed;
mod write_log;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rand::RngCore;
use vestibule_schema::table::Schema;
use vestibule_schema::timestamp::Timestamp;

pub use catalog::Catalog;
pub use committer::{
    Batch, CommitError, Committed, Committer, CommitterOptions, Lane, LogWriter, Mutation, SubmitError, UnknownOutcome,
    Verdict,
};
pub use cursor::CursorSeal;
pub use error::{DatabaseError, LimitError, OpenError, QueryError};
pub use filter::{Arithmetic, Comparison, Expression};
pub use leases::{LeaseError, SnapshotLeases};
pub use limits::{Limits, Usage};
pub use pagination::{PageStatus, PaginationOptions, RawPage};
pub use query::{Bound, BoundKind, Operator, Order, Query, Source};
pub use read_set::ReadSet;
pub use readers::{Readers, ReadersError};
pub use session_requests::{Recorded, RecordedAnswer, SessionRequest, forget_old};
pub use transaction::{Environment, RawDocument, Transaction, WriteContext};
pub use typed::{DatabaseReader, DatabaseWriter, Document, IndexRange, Journal, Nullable, Page, Patch, TableQuery};
pub use write_log::{Freshness, LogEntry, WriteLog};

use crate::clock::Clock;
use crate::storage::{Store, StoreOptions};

/// What opening a database needs.
pub struct DatabaseOptions {
    /// The data directory.
    pub dir: PathBuf,
    /// Tables and indexes.
    pub schema: Schema,
    /// Bounds of one execution.
    pub limits: Limits,
    /// Bounds of the store.
    pub store: StoreOptions,
    /// Bounds of the committer.
    pub committer: CommitterOptions,
    /// Threads that run queries.
    pub reader_threads: usize,
    /// The deployment's secret, from which cursors are sealed.
    pub secret: [u8; 32],
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where ids come from.
    pub rng: Box<dyn RngCore + Send>,
    /// Ends the process when the outcome of a commit is unknown.
    pub on_unknown: Box<dyn Fn(UnknownOutcome) + Send>,
}

/// An open database.
pub struct Database {
    // Threads end before the store does: fields drop in this order.
    committer: Committer,
    readers: Readers,
    leases: SnapshotLeases,
    store: Store,
    environment: Arc<Environment>,
    write_log: Arc<WriteLog>,
    clock: Arc<dyn Clock>,
}

impl Database {
    /// Opens the data directory, brings it in line with the schema and starts the committer and the readers.
    pub fn open(options: DatabaseOptions) -> Result<Database, OpenError> {
        let DatabaseOptions { dir, schema, limits, clock, rng, on_unknown, .. } = options;
        let (store, mut appender) = Store::open(&dir, options.store)?;
        let catalog = setup::set_up(&store, &mut appender, &*clock, &schema)?;
        let environment = Arc::new(Environment { catalog, limits, seal: CursorSeal::new(&options.secret) });
        let write_log = Arc::new(WriteLog::new(store.durable_ts()));
        let rollbacks = Arc::new(AtomicU64::new(0));
        let lane = Lane::new(&store, environment.clone(), clock.clone(), rng, rollbacks.clone());
        let writer = LogWriter::new(appender, write_log.clone(), rollbacks);
        let committer = Committer::start(lane, writer, options.committer, on_unknown)
            .map_err(crate::storage::StorageError::Thread)?;
        let readers = Readers::start(&store, options.reader_threads)?;
        let leases = SnapshotLeases::new(store.clone(), clock.clone());
        Ok(Database { committer, readers, leases, store, environment, write_log, clock })
    }

    /// What all executions share.
    pub fn environment(&self) -> &Arc<Environment> {
        &self.environment
    }

    /// Where mutations are queued.
    pub fn committer(&self) -> &Committer {
        &self.committer
    }

    /// Where queries run.
    pub fn readers(&self) -> &Readers {
        &self.readers
    }

    /// Snapshots kept for reads at an older timestamp.
    pub fn leases(&self) -> &SnapshotLeases {
        &self.leases
    }

    /// Recent commits.
    pub fn write_log(&self) -> &Arc<WriteLog> {
        &self.write_log
    }

    /// The newest durable commit.
    pub fn durable_ts(&self) -> Timestamp {
        self.store.durable_ts()
    }

    /// Where the time comes from.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}
