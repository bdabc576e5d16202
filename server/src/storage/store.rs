//! The store: the state shared by the lane, the appender and the readers.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use vestibule_schema::timestamp::Timestamp;

use super::bases::Bases;
use super::checkpoint::{CheckpointCounts, Checkpoints};
use super::head::HeadBase;
use super::log_holds::LogHolds;
use super::pins::Pins;
use super::reader::BaseReader;
use super::slots::Slots;
use super::snapshot::SnapshotBase;
use super::sqlite::Files;
use super::{Appender, Head, Overlay, Snapshot, StorageError, StoreOptions, open};

/// A state whose last commit is durable.
#[derive(Clone)]
pub struct Published {
    /// Its last commit.
    pub ts: Timestamp,
    /// Every commit up to `ts` that the base may lack.
    pub overlay: Overlay,
}

/// A handle to the open store, cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(super) shared: Arc<Shared>,
}

impl Store {
    /// Opens or creates the store in a directory, for this process alone. It recovers from a crash, checks the tail of
    /// the commit log and returns with everything that was durable. The appender belongs to one thread.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<(Self, Appender), StorageError> {
        let (shared, connection) = open::open(dir, options)?;
        let shared = Arc::new(shared);
        Ok((
            Self {
                shared: Arc::clone(&shared),
            },
            Appender::new(shared, connection),
        ))
    }

    /// The newest durable state.
    pub fn durable(&self) -> Arc<Published> {
        self.shared.published.load_full()
    }

    /// The last durable commit.
    pub fn durable_ts(&self) -> Timestamp {
        self.shared.published.load().ts
    }

    /// Every commit up to this one is in the table of entries.
    pub fn folded_ts(&self) -> Timestamp {
        self.shared.folded()
    }

    /// Batches appended since the store was opened, each with one sync. Syncs of checkpoints are not counted.
    pub fn appends(&self) -> u64 {
        self.shared.appends.load(Ordering::Relaxed)
    }

    /// The checkpoints since the store was opened.
    pub fn checkpoints(&self) -> CheckpointCounts {
        self.shared.checkpoints.counts()
    }

    /// A view of the newest durable state, for as long as it is held.
    pub fn snapshot(&self) -> Result<Snapshot, StorageError> {
        Snapshot::take(&self.shared)
    }

    /// The base of a snapshot of a state that is frozen afterwards.
    pub fn begin_snapshot(&self) -> Result<SnapshotBase, StorageError> {
        Snapshot::begin(&self.shared)
    }

    /// The head, at the newest durable state. For the one thread that commits.
    pub fn head(&self) -> Head {
        Head::new(&self.shared)
    }

    /// Names this deployment, the same over every open of the same file.
    pub fn deployment_id(&self) -> uuid::Uuid {
        self.shared.deployment
    }

    /// Memory that documents in slots hold, in bytes.
    pub fn slot_bytes(&self) -> usize {
        self.shared.slots.bytes()
    }

    /// Makes the outcome of all later appends unknown, as a failed sync does.
    #[cfg(test)]
    pub(crate) fn stop(&self) {
        self.shared.stop(&StorageError::SyncFailed("a test".into()));
    }

    /// Raised by each open: tells this process's work from an earlier one's.
    pub fn epoch(&self) -> u64 {
        self.shared.epoch
    }
}

pub(super) struct Shared {
    pub published: ArcSwap<Published>,
    pub folded: AtomicU64,
    /// Batches appended since the store was opened.
    pub appends: AtomicU64,
    /// Set once the outcome of a write or a sync is unknown, to the first such failure. Nothing is written any more.
    pub stopped_by: OnceLock<Arc<str>>,
    pub checkpoints: Checkpoints,
    pub slots: Slots,
    pub pins: Pins,
    pub log_holds: LogHolds,
    pub head_base: Mutex<HeadBase>,
    pub bases: Bases,
    pub idle_readers: Mutex<Vec<BaseReader>>,
    pub files: Files,
    pub options: StoreOptions,
    pub deployment: uuid::Uuid,
    pub epoch: u64,
    /// The database file, to sync it. Closing it drops the locks that this process holds on the file, those of SQLite too,
    /// so it is closed after every connection.
    pub database: File,
    /// Last, so that every connection is closed before another process may open the file.
    pub _lock: File,
}

impl Shared {
    /// A fold position that every read transaction begun from now on sees.
    pub fn folded(&self) -> Timestamp {
        Timestamp(self.folded.load(Ordering::Acquire))
    }

    /// Refuses to write, or to trust earlier writes, once the outcome of any write or sync is unknown.
    pub fn not_stopped(&self) -> Result<(), StorageError> {
        match self.stopped_by.get() {
            None => Ok(()),
            Some(cause) => Err(StorageError::Stopped(Arc::clone(cause))),
        }
    }

    pub fn stop(&self, cause: &StorageError) {
        self.stopped_by.get_or_init(|| cause.to_string().into());
    }

    pub fn idle_reader(&self) -> Result<BaseReader, StorageError> {
        let idle = self.idle_readers.lock().pop();
        match idle {
            Some(reader) => Ok(reader),
            None => BaseReader::open(&self.files, &self.options),
        }
    }

    /// Ends the read transactions that are kept open between reads, so that they no longer pin the write-ahead log.
    pub fn end_open_bases(&self) {
        self.head_base.lock().end();
        self.bases.end(self);
    }

    pub fn keep_idle(&self, reader: BaseReader) {
        let mut idle = self.idle_readers.lock();
        if idle.len() < self.options.idle_readers_max {
            idle.push(reader);
        }
    }
}
