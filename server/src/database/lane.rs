//! The lane: runs mutations one after another at the head and gathers what they changed into batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use bytes::Bytes;
use rand::RngCore;
use vestibule_schema::key::decode_key;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::Value;

use super::catalog::Catalog;
use super::committer::{CommitError, Committed, CommitterOptions, Mutation, Verdict};
use super::keys::{IndexId, creation_time};
use super::session_requests::KnownSessions;
use super::transaction::{Changes, Environment, Transaction, WriteContext};
use super::write_log::{LogEntry, Touched};
use crate::storage::{
    Commit, Cursor, Direction, Head, Published, ReadView, StorageError, Store, Write,
};

/// Mutations that ran on one state of the head and become durable together.
pub struct Batch {
    /// How many batches had been rolled back when it was opened.
    pub(super) generation: u64,
    pub(super) commits: Vec<Commit>,
    pub(super) news: Vec<LogEntry>,
    finished: Vec<(Box<dyn Mutation>, Timestamp)>,
    /// Bytes of keys and values in `commits`.
    bytes: usize,
    /// Keys in `commits`.
    pub(super) keys: usize,
    /// The head after its last commit; set when it is closed.
    pub(super) published: Option<Published>,
}

impl Batch {
    fn new(generation: u64) -> Batch {
        Batch {
            generation,
            commits: Vec::new(),
            news: Vec::new(),
            finished: Vec::new(),
            bytes: 0,
            keys: 0,
            published: None,
        }
    }

    /// Whether nothing more should run in it.
    pub fn is_full(&self, options: &CommitterOptions) -> bool {
        self.finished.len() >= options.batch_commits_max || self.bytes >= options.batch_bytes_max
    }

    fn add(&mut self, commit: Commit, touched: Touched) {
        let bytes_of = |write: &Write| write.key.len() + write.value.as_ref().map_or(0, Bytes::len);
        self.bytes += commit.writes.iter().map(bytes_of).sum::<usize>();
        self.keys += commit.writes.len();
        self.news.push(LogEntry {
            ts: commit.ts,
            touched: Arc::new(touched),
        });
        self.commits.push(commit);
    }

    /// Hands everyone in it that their verdict stands. Returns who is to be woken.
    pub(super) fn confirm(&mut self) -> Vec<Waker> {
        let finished = self.finished.drain(..);
        let mut wakers: Vec<Waker> = finished
            .filter_map(|(mutation, ts)| mutation.finish(Ok(Committed { ts })))
            .collect();
        // Mutations of one connection mostly come together.
        wakers.dedup_by(|one, other| one.will_wake(other));
        wakers
    }

    /// Tells everyone in it that they left no trace.
    pub(super) fn refuse(self, error: CommitError) {
        let finished = self.finished.into_iter();
        finished
            .filter_map(|(mutation, _)| mutation.finish(Err(error.clone())))
            .for_each(Waker::wake);
    }
}

/// Runs mutations at the head.
pub struct Lane {
    store: Store,
    head: Head,
    environment: Arc<Environment>,
    rng: Box<dyn RngCore + Send>,
    /// The newest timestamp given to anything; the next one is later, whatever the clock says.
    last_ts: Timestamp,
    /// The newest creation time given to anything, in milliseconds; the next one is later too.
    last_creation_time: f64,
    known_sessions: KnownSessions,
    generation: u64,
    rollbacks: Arc<AtomicU64>,
}

impl Lane {
    /// A lane that continues behind everything in `store`. `rollbacks` counts the batches that were not committed.
    pub fn new(
        store: &Store,
        environment: Arc<Environment>,
        rng: Box<dyn RngCore + Send>,
        rollbacks: Arc<AtomicU64>,
    ) -> Result<Lane, StorageError> {
        let head = store.head();
        Ok(Lane {
            store: store.clone(),
            last_ts: head.last_ts(),
            last_creation_time: newest_creation_time(&head, &environment.catalog)?,
            head,
            environment,
            rng,
            known_sessions: KnownSessions::default(),
            generation: rollbacks.load(Ordering::Acquire),
            rollbacks,
        })
    }

    /// An empty batch. When an earlier one was not committed, the head goes back to what is durable first.
    pub fn open_batch(&mut self) -> Batch {
        let rollbacks = self.rollbacks.load(Ordering::Acquire);
        if rollbacks != self.generation {
            self.head.roll_back_to(&self.store.durable());
            self.generation = rollbacks;
        }
        self.head.refresh();
        Batch::new(self.generation)
    }

    /// Runs one mutation on everything that ran before it.
    pub fn run(&mut self, mut mutation: Box<dyn Mutation>, batch: &mut Batch) {
        let seen_ts = self.head.last_ts();
        let commit_ts = Timestamp(self.environment.clock.now().0.max(self.last_ts.0 + 1));
        self.last_ts = commit_ts;
        self.last_creation_time = self.last_creation_time.max(creation_time(commit_ts));
        let writer = WriteContext {
            rng: &mut *self.rng,
            last_creation_time: &mut self.last_creation_time,
            commit_ts,
            known_sessions: &mut self.known_sessions,
        };
        let tx = Transaction::writable(&self.head, &self.environment, writer);
        let (tx, verdict) = mutation.run(tx);
        let Changes { writes, touched } = tx.into_changes();
        if verdict == Verdict::Abort || writes.is_empty() {
            batch.finished.push((mutation, seen_ts));
            return;
        }
        let ts = commit_ts;
        let commit = Commit { ts, writes };
        self.head.apply(&commit);
        batch.add(commit, touched);
        batch.finished.push((mutation, ts));
    }

    /// Nothing more runs in this batch.
    pub fn close_batch(&self, batch: &mut Batch) {
        batch.published = Some(self.head.freeze());
    }
}

/// Inserts run ahead of the commit's own time, so the newest document decides as well.
fn newest_creation_time(head: &Head, catalog: &Catalog) -> Result<f64, StorageError> {
    let mut newest = creation_time(head.last_ts());
    for table in catalog.tables() {
        let mut last = Cursor::new(table.by_creation_time.range(), Direction::Reverse);
        let Some(entry) = head.next(&mut last)? else {
            continue;
        };
        match decode_key(&entry.key[IndexId::BYTES..]) {
            Ok((Some(Value::Float64(time)), _)) => newest = newest.max(time),
            _ => {
                return Err(StorageError::misplaced(
                    &entry.key,
                    "it holds no creation time",
                ));
            }
        }
    }
    Ok(newest)
}
