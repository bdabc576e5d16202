//! The database room: documents, indexes, transactions, the committer and the write log, over the ordered keys of
//! the storage room. It knows nothing of functions, identities or connections.

mod answer_rows;
mod bookkeeping;
mod building;
mod bulk;
mod catalog;
mod check;
mod chunks;
mod commit_ts;
mod committer;
mod cursor;
mod derived;
mod draft;
mod error;
mod filter;
mod held_turn;
mod history;
mod id_bounds;
mod index_entries;
mod keys;
mod lane;
mod leases;
mod limits;
mod log_writer;
mod namespaces;
mod overtakes;
mod own_writes;
mod pagination;
mod pending;
mod query;
mod query_stream;
mod read_set;
mod readers;
mod reservation;
mod savepoint;
mod scan;
mod search;
mod session_requests;
mod setup;
mod stored;
mod system_tables;
#[cfg(test)]
pub(crate) mod tests;
mod transaction;
mod typed;
mod vectors;
mod write_log;
mod writing;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::RngCore;
use vestibule_schema::table::Schema;
use vestibule_schema::timestamp::Timestamp;

pub use answer_rows::answers_until;
pub use building::Step;
pub use bulk::{Destination, ExportedDocument, ImportedDocument, ReadAt, count_some, each_stored};
pub use catalog::{BY_CREATION_TIME, Catalog, IndexMeta, Owner, TableMeta};
pub use check::{Compared, Inconsistency, compare, read_catalog, read_document};
pub use chunks::ChunkHash;
pub use commit_ts::{CommitTsPlaces, PlaceStep};
pub use committer::{
    CommitError, Committed, Committer, CommitterOptions, Mutation, SubmitError, Task, Verdict,
    ViewRequest,
};
pub use cursor::CursorSeal;
pub use draft::{Draft, DraftEnd, DraftRoute, DraftWork, Drafted, HeadView, Turn, ViewError};
pub use error::{DatabaseError, LimitError, OpenError, QueryError};
pub use filter::{Arithmetic, Comparison, Expression};
pub use history::{Definitions, Extension, History};
pub use index_entries::{StateEntry, StateIndex, TouchedEntry};
pub use keys::{IndexId, creation_time};
pub use lane::{Batch, Lane};
pub use leases::{LeaseError, SnapshotLeases};
pub use limits::{Budget, Limits, Usage};
pub use log_writer::{LogWriter, UnknownOutcome};
pub use namespaces::{Namespace, StoredNames, component_of, local_name, stored_name};
pub use pagination::{PageBorders, PageStatus, PaginationOptions, RawPage};
pub use pending::PendingRules;
pub use query::{Bound, BoundKind, OPERATORS_MAX, Operator, Order, Query, Source};
pub use query_stream::QueryStream;
pub use read_set::ReadSet;
pub use readers::{Readers, ReadersError};
pub use reservation::{Claim, Claimant};
pub use savepoint::Savepoint;
pub use search::SearchFilter;
pub use session_requests::{Recorded, RecordedAnswer, SessionRequest};
pub use stored::StoredDocument;
pub use system_tables::{SYSTEM_TABLES, SystemTable};
pub use transaction::{Dependency, Environment, RawDocument, Transaction, WriteContext};
pub use typed::{
    DatabaseReader, DatabaseWriter, Document, IndexRange, Nullable, Page, SearchFilters, TableQuery,
};
pub use vectors::{Nearest, VectorFilter, VectorQuery, nearest};
pub use write_log::{Freshness, LogEntry, Touched, WriteLog};
pub use writing::{CREATION_TIME, Patch};

use self::session_requests::Sweep;
use self::setup::SetUp;
use crate::clock::Clock;
use crate::executor::Executor;
use crate::probe::Probe;
use crate::storage::{CheckpointCounts, ReadView, Store, StoreOptions};

/// The options for opening a database.
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
    /// Where the threads come from.
    pub executor: Arc<dyn Executor>,
    /// The probe to which steps are stated, for a watcher.
    pub probe: Probe,
    /// Where ids come from.
    pub rng: Box<dyn RngCore + Send>,
    /// Ends the process when the outcome of a commit is unknown.
    pub on_unknown: Box<dyn Fn(UnknownOutcome) + Send>,
}

#[cfg(test)]
impl DatabaseOptions {
    /// Those of most tests: default bounds, ids as chance has it, and a panic where an outcome is unknown.
    pub(crate) fn for_tests(
        dir: impl Into<PathBuf>,
        schema: Schema,
        clock: Arc<dyn Clock>,
    ) -> DatabaseOptions {
        use rand::SeedableRng;
        DatabaseOptions {
            dir: dir.into(),
            schema,
            limits: Limits::default(),
            store: StoreOptions::default(),
            committer: CommitterOptions::default(),
            reader_threads: 2,
            secret: [7; 32],
            clock,
            executor: Arc::new(crate::executor::SystemExecutor),
            probe: Probe::none(),
            rng: Box::new(rand::rngs::StdRng::from_os_rng()),
            on_unknown: Box::new(|unknown| panic!("{unknown}")),
        }
    }
}

/// An open database.
pub struct Database {
    // Fields drop in this order: readers let go of the file before the committer leaves it whole.
    leases: SnapshotLeases,
    readers: Readers,
    committer: Committer,
    store: Store,
    executor: Arc<dyn Executor>,
    environment: Arc<Environment>,
    write_log: Arc<WriteLog>,
    /// Where the next sweep of session requests goes on.
    sweep_place: Arc<Mutex<Option<Bytes>>>,
}

impl Database {
    /// Opens the data directory, brings it in line with the schema and starts the committer and the readers.
    pub fn open(options: DatabaseOptions) -> Result<Database, OpenError> {
        let clock = options.clock;
        let executor = options.executor;
        let store = StoreOptions {
            clock: clock.clone(),
            ..options.store
        };
        let (store, appender) = Store::open(&options.dir, store)?;
        let catalog = setup::stored_catalog(&store)?;
        let environment = Arc::new(Environment {
            definitions: History::new(Definitions::new(catalog)),
            limits: options.limits,
            seal: CursorSeal::new(&options.secret),
            clock: clock.clone(),
            probe: options.probe.clone(),
            damaged: Default::default(),
            services: OnceLock::new(),
        });
        let write_log = Arc::new(WriteLog::new(store.durable_ts()));
        let rollbacks = Arc::new(AtomicU64::new(0));
        let mut lane = Lane::new(&store, environment.clone(), options.rng, rollbacks.clone())?;
        let unfolded_bytes_max = options.committer.unfolded_bytes_max;
        let mut writer = LogWriter::new(appender, write_log.clone(), rollbacks, unfolded_bytes_max);
        let setup = SetUp {
            store: &store,
            lane: &mut lane,
            writer: &mut writer,
            environment: &environment,
        };
        setup.run(&options.schema)?;
        let writer = writer.watched(options.probe);
        let committer = Committer::start(
            lane,
            writer,
            options.committer,
            &*executor,
            clock.clone(),
            options.on_unknown,
        )
        .map_err(crate::storage::StorageError::Thread)?;
        Ok(Database {
            committer,
            readers: Readers::start(&store, options.reader_threads, &*executor)?,
            leases: SnapshotLeases::new(store.clone(), clock),
            store,
            executor,
            environment,
            write_log,
            sweep_place: Arc::default(),
        })
    }

    /// Ends its threads and leaves the file whole in one piece, once it has no other holder. A task or a job that was
    /// given up may hold it for another moment.
    pub async fn close(mut self: Arc<Self>) {
        loop {
            match Arc::try_unwrap(self) {
                Ok(database) => {
                    // Threads are joined and files closed, which may take a moment.
                    let closed = tokio::task::spawn_blocking(move || drop(database)).await;
                    return closed.unwrap_or_else(
                        |error| tracing::error!(%error, "closing the database failed"),
                    );
                }
                Err(held) => {
                    self = held;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
    }

    /// Queues a look at the next few records of answered mutations, to forget those that are too old to be asked for
    /// again. Call it now and then; when the queue is full it does nothing.
    pub fn sweep_session_requests(&self) {
        let sweep = Sweep::new(&self.sweep_place);
        if self.committer.submit(Box::new(sweep)).is_err() {
            tracing::debug!("no room for a sweep of session requests");
        }
    }

    /// Keeps `extension` with the catalog, before anything runs.
    pub fn install(&self, extension: Extension) {
        self.environment.definitions.install(extension);
    }

    /// Keeps something for every execution, before anything runs. It must not hold the database.
    pub fn install_services(&self, services: Extension) {
        // The first services stay: a deployment is built once.
        let _ = self.environment.services.set(services);
    }

    /// The newest durable commit, to read for longer than a function may, on a thread of the caller's own.
    pub fn read_at(&self) -> Result<ReadAt, DatabaseError> {
        let snapshot = self.store.snapshot()?;
        let definitions = self.environment.definitions.at(ReadView::ts(&snapshot));
        let catalog = definitions.catalog.clone();
        Ok(ReadAt { snapshot, catalog })
    }

    /// The definitions of the newest durable commit.
    pub fn definitions(&self) -> Arc<Definitions> {
        self.environment.definitions.at(self.durable_ts())
    }

    /// The environment that all executions share.
    pub fn environment(&self) -> &Arc<Environment> {
        &self.environment
    }

    /// Where mutations are queued.
    pub fn committer(&self) -> &Committer {
        &self.committer
    }

    /// The head as it is, for a mutation that runs on this thread; see [`Committer::view`].
    pub fn head_view(
        &self,
        turn: Turn,
        request: Option<&SessionRequest>,
    ) -> Result<HeadView, ViewError> {
        self.committer.view(&self.store, turn, request)
    }

    /// The store, for reads on threads of other rooms.
    pub(crate) fn store(&self) -> &Store {
        &self.store
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

    /// Every commit up to this one is in the tables; later ones are in the commit log.
    pub fn folded_ts(&self) -> Timestamp {
        self.store.folded_ts()
    }

    /// Batches of commits appended since the start, each with one sync.
    pub fn appends(&self) -> u64 {
        self.store.appends()
    }

    /// Memory that documents in slots take, about.
    pub fn document_bytes(&self) -> usize {
        self.store.slot_bytes()
    }

    /// The store's checkpoints since the start.
    pub fn checkpoints(&self) -> CheckpointCounts {
        self.store.checkpoints()
    }

    /// Whether an execution met stored data that is damaged.
    pub fn is_damaged(&self) -> bool {
        self.environment.damaged.load(Ordering::Relaxed)
    }

    /// Where the time comes from.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.environment.clock
    }

    /// Where the threads come from.
    pub fn executor(&self) -> &Arc<dyn Executor> {
        &self.executor
    }
}
