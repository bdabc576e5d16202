//! The committer: mutations run one after another at the head, durability follows in a pipeline behind it.
//!
//! [`Lane`] runs queued mutations and gathers what they changed into a [`Batch`]; [`LogWriter`] makes one batch
//! durable with one append, answers everyone in it and publishes the news. Both are step functions that hold no
//! thread: [`Committer`] drives them with two threads, a simulator may drive them with none.
//!
//! Invariants:
//! - Nothing is answered, and no reader sees anything, before the append of its batch has returned.
//! - Answers of a batch go out before its news, so a client hears of its mutation before it sees its effect.
//! - A batch that is not committed takes every batch that ran on top of it with it: the lane then goes back to
//!   the newest durable state.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Select, Sender, TrySendError, bounded};
use rand::RngCore;
use thiserror::Error;
use vestibule_schema::timestamp::Timestamp;

use super::keys::creation_time;
use super::transaction::{Changes, Environment, Transaction, WriteContext};
use super::write_log::{LogEntry, WriteLog};
use crate::clock::Clock;
use crate::storage::{AppendError, Appender, Commit, FoldProgress, Head, Published, StorageError, Store};

/// A mutation on its way through the committer.
pub trait Mutation: Send {
    /// Runs on the lane. What `tx` changed is committed or forgotten, as the verdict says. Must not panic.
    fn run<'v>(&mut self, tx: Transaction<'v>) -> (Transaction<'v>, Verdict);

    /// Called once, when the outcome is certain.
    fn finish(self: Box<Self>, outcome: Result<Committed, CommitError>);
}

/// What becomes of a transaction that has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Make its changes durable.
    Commit,
    /// Forget its changes.
    Abort,
}

/// A mutation whose verdict stands, durable where it changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The commit's timestamp, or that of the state it saw when there was nothing to commit.
    pub ts: Timestamp,
}

/// Why a mutation left no trace.
#[derive(Clone, Debug, Error)]
pub enum CommitError {
    /// The store did not take the batch; nothing of it can ever become visible.
    #[error("not committed: {0}")]
    NotCommitted(Arc<StorageError>),
    /// The committer has ended.
    #[error("not committed: the server is shutting down")]
    ShuttingDown,
}

/// The queue is full, or the committer has ended. Hands the mutation back.
pub enum SubmitError {
    /// More mutations are waiting than [`CommitterOptions::queue_max`].
    QueueFull(Box<dyn Mutation>),
    /// The committer has ended.
    Closed(Box<dyn Mutation>),
}

/// Bounds of the committer.
#[derive(Clone, Debug)]
pub struct CommitterOptions {
    /// Mutations that may wait for the lane.
    pub queue_max: usize,
    /// Commits in one batch.
    pub batch_commits_max: usize,
    /// Bytes of keys and values in one batch.
    pub batch_bytes_max: usize,
    /// Bytes that may wait to be folded before the lane slows down.
    pub unfolded_bytes_max: usize,
}

impl Default for CommitterOptions {
    fn default() -> Self {
        CommitterOptions {
            queue_max: 65_536,
            batch_commits_max: 4_096,
            batch_bytes_max: 4 << 20,
            unfolded_bytes_max: 256 << 20,
        }
    }
}

/// Mutations that ran on one state of the head and become durable together.
pub struct Batch {
    generation: u64,
    commits: Vec<Commit>,
    news: Vec<LogEntry>,
    finished: Vec<(Box<dyn Mutation>, Timestamp)>,
    bytes: usize,
    /// The head after its last commit.
    published: Option<Published>,
}

impl Batch {
    /// Whether nothing has run in it.
    pub fn is_empty(&self) -> bool {
        self.finished.is_empty()
    }

    fn is_full(&self, options: &CommitterOptions) -> bool {
        self.finished.len() >= options.batch_commits_max || self.bytes >= options.batch_bytes_max
    }
}

/// Runs mutations at the head.
pub struct Lane {
    store: Store,
    head: Head,
    environment: Arc<Environment>,
    clock: Arc<dyn Clock>,
    rng: Box<dyn RngCore + Send>,
    last_creation_time: f64,
    /// The newest timestamp given to anything; the next one is later, whatever the clock says.
    last_ts: Timestamp,
    generation: u64,
    rollbacks: Arc<AtomicU64>,
}

impl Lane {
    /// A lane that continues behind everything in `store`.
    pub fn new(
        store: &Store,
        environment: Arc<Environment>,
        clock: Arc<dyn Clock>,
        rng: Box<dyn RngCore + Send>,
        rollbacks: Arc<AtomicU64>,
    ) -> Lane {
        let head = store.head();
        let last_ts = head.last_ts();
        let last_creation_time = creation_time(last_ts);
        let store = store.clone();
        Lane { store, head, environment, clock, rng, last_creation_time, last_ts, generation: 0, rollbacks }
    }

    /// An empty batch. When an earlier one was not committed, the head goes back to what is durable first.
    pub fn open_batch(&mut self) -> Batch {
        let rollbacks = self.rollbacks.load(Ordering::Acquire);
        if rollbacks != self.generation {
            self.head.roll_back_to(&self.store.durable());
            self.generation = rollbacks;
        }
        self.head.refresh();
        Batch {
            generation: self.generation,
            commits: Vec::new(),
            news: Vec::new(),
            finished: Vec::new(),
            bytes: 0,
            published: None,
        }
    }

    /// Runs one mutation on everything that ran before it.
    pub fn run(&mut self, mut mutation: Box<dyn Mutation>, batch: &mut Batch) {
        let seen_ts = self.head.last_ts();
        let commit_ts = Timestamp(self.clock.now().0.max(self.last_ts.0 + 1));
        self.last_ts = commit_ts;
        self.last_creation_time = self.last_creation_time.max(creation_time(commit_ts));
        let writer =
            WriteContext { rng: &mut *self.rng, last_creation_time: &mut self.last_creation_time, commit_ts };
        let tx = Transaction::writable(&self.head, &self.environment, writer);
        let (tx, verdict) = mutation.run(tx);
        let Changes { writes, touched } = tx.into_changes();
        if verdict == Verdict::Abort || writes.is_empty() {
            batch.finished.push((mutation, seen_ts));
            return;
        }
        let commit = Commit { ts: commit_ts, writes };
        self.head.apply(&commit);
        batch.bytes += commit_bytes(&commit);
        batch.commits.push(commit);
        batch.news.push(LogEntry { ts: commit_ts, touched: touched.into() });
        batch.finished.push((mutation, commit_ts));
    }

    /// Nothing more runs in this batch.
    pub fn close_batch(&mut self, batch: &mut Batch) {
        batch.published = Some(self.head.freeze());
    }

    fn unfolded_bytes(&self) -> usize {
        self.head.unfolded_bytes()
    }
}

/// Makes batches durable, and folds the commit log while there is nothing to write.
pub struct LogWriter {
    appender: Appender,
    write_log: Arc<WriteLog>,
    generation: u64,
    rollbacks: Arc<AtomicU64>,
}

/// The store cannot say whether a commit will survive: the process must end without another answer.
#[derive(Debug, Error)]
#[error("the outcome of a commit is unknown: {0}")]
pub struct UnknownOutcome(pub StorageError);

impl LogWriter {
    /// A writer over the store's only write connection.
    pub fn new(appender: Appender, write_log: Arc<WriteLog>, rollbacks: Arc<AtomicU64>) -> LogWriter {
        LogWriter { appender, write_log, generation: 0, rollbacks }
    }

    /// Appends a batch, answers everyone in it, then publishes it.
    pub fn write(&mut self, batch: Batch) -> Result<(), UnknownOutcome> {
        if batch.generation != self.generation {
            let cause = Arc::new(StorageError::RolledBack);
            refuse(batch, &cause);
            return Ok(());
        }
        match self.appender.append(&batch.commits) {
            Ok(()) => {
                self.announce(batch);
                Ok(())
            }
            Err(AppendError::NotCommitted(cause)) => {
                tracing::error!(error = %cause, mutations = batch.finished.len(), "a batch was not committed");
                self.generation += 1;
                self.rollbacks.store(self.generation, Ordering::Release);
                refuse(batch, &Arc::new(cause));
                Ok(())
            }
            Err(AppendError::Unknown(cause)) => Err(UnknownOutcome(cause)),
        }
    }

    fn announce(&mut self, batch: Batch) {
        let newest = batch.commits.last().map(|commit| commit.ts);
        if let Some(published) = batch.published.filter(|_| newest.is_some()) {
            self.appender.publish(published);
        }
        for (mutation, ts) in batch.finished {
            mutation.finish(Ok(Committed { ts }));
        }
        if let Some(newest) = newest {
            self.write_log.publish(batch.news, newest);
        }
    }

    /// Whether folding should no longer wait for a pause.
    fn has_much_to_fold(&self) -> bool {
        self.appender.unfolded_log_bytes() >= FOLD_BYTES_MIN
    }

    /// Does a bounded piece of folding. `Ok(false)` when there is nothing left to do.
    pub fn fold(&mut self) -> Result<bool, StorageError> {
        let progress = self.appender.fold()?;
        self.appender.checkpoint_if_due()?;
        Ok(!matches!(progress, FoldProgress::Idle))
    }
}

fn commit_bytes(commit: &Commit) -> usize {
    commit.writes.iter().map(|write| write.key.len() + write.value.as_ref().map_or(0, bytes::Bytes::len)).sum()
}

fn refuse(batch: Batch, cause: &Arc<StorageError>) {
    for (mutation, _) in batch.finished {
        mutation.finish(Err(CommitError::NotCommitted(cause.clone())));
    }
}

/// The running committer. Dropping it lets queued mutations finish, then ends both threads.
pub struct Committer {
    queue: Option<Sender<Box<dyn Mutation>>>,
    threads: Vec<JoinHandle<()>>,
}

/// Unfolded bytes of the commit log from which folding no longer waits for a pause: a step then coalesces many writes.
const FOLD_BYTES_MIN: usize = 2 << 20;
/// A pause in writing this long is used for folding.
const FOLD_AFTER: Duration = Duration::from_millis(20);
/// How long the log writer waits before it tries to fold again after the store refused.
const FOLD_RETRY: Duration = Duration::from_millis(500);

impl Committer {
    /// Starts the lane and the log writer on threads of their own. `on_unknown` must end the process.
    pub fn start(
        lane: Lane,
        writer: LogWriter,
        options: CommitterOptions,
        on_unknown: Box<dyn Fn(UnknownOutcome) + Send>,
    ) -> std::io::Result<Committer> {
        let (queue, mutations) = bounded(options.queue_max);
        // A hand-over without a buffer: the lane keeps adding to its batch until the writer is free to take it.
        let (batches, to_write) = bounded(0);
        let lane = std::thread::Builder::new()
            .name("lane".into())
            .spawn(move || drive_lane(lane, &mutations, &batches, &options))?;
        let writer = std::thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || drive_writer(writer, &to_write, &*on_unknown))?;
        Ok(Committer { queue: Some(queue), threads: vec![lane, writer] })
    }

    /// Queues a mutation. Mutations submitted one after another by one caller run in that order.
    pub fn submit(&self, mutation: Box<dyn Mutation>) -> Result<(), SubmitError> {
        let queue = self.queue.as_ref().expect("the queue lives as long as the committer");
        queue.try_send(mutation).map_err(|error| match error {
            TrySendError::Full(mutation) => SubmitError::QueueFull(mutation),
            TrySendError::Disconnected(mutation) => SubmitError::Closed(mutation),
        })
    }

    /// Mutations waiting for the lane.
    pub fn queued(&self) -> usize {
        self.queue.as_ref().map_or(0, Sender::len)
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // The last owner may be a mutation that one of these threads has just finished.
            if thread.thread().id() != std::thread::current().id() {
                // A thread that panicked has already ended the process through its own guard.
                let _ = thread.join();
            }
        }
    }
}

fn drive_lane(
    mut lane: Lane,
    mutations: &Receiver<Box<dyn Mutation>>,
    batches: &Sender<Batch>,
    options: &CommitterOptions,
) {
    let _guard = EndProcessOnPanic("the committer's lane");
    while let Ok(first) = mutations.recv() {
        let mut batch = lane.open_batch();
        lane.run(first, &mut batch);
        gather(&mut lane, batch, mutations, batches, options);
    }
}

/// Runs what is queued until the writer takes the batch.
fn gather(
    lane: &mut Lane,
    mut batch: Batch,
    mutations: &Receiver<Box<dyn Mutation>>,
    batches: &Sender<Batch>,
    options: &CommitterOptions,
) {
    loop {
        while !batch.is_full(options) {
            match mutations.try_recv() {
                Ok(mutation) => lane.run(mutation, &mut batch),
                Err(_) => break,
            }
        }
        let mut select = Select::new();
        let to_writer = select.send(batches);
        let has_room = !batch.is_full(options) && lane.unfolded_bytes() < options.unfolded_bytes_max;
        if has_room {
            select.recv(mutations);
        }
        let ready = select.select();
        if ready.index() == to_writer {
            lane.close_batch(&mut batch);
            if let Err(unsent) = ready.send(batches, batch) {
                shut_down(unsent.into_inner());
            }
            return;
        }
        match ready.recv(mutations) {
            Ok(mutation) => lane.run(mutation, &mut batch),
            // The queue was closed: what has run is still written.
            Err(_) => {
                lane.close_batch(&mut batch);
                if let Err(unsent) = batches.send(batch) {
                    shut_down(unsent.into_inner());
                }
                return;
            }
        }
    }
}

fn shut_down(batch: Batch) {
    for (mutation, _) in batch.finished {
        mutation.finish(Err(CommitError::ShuttingDown));
    }
}

fn drive_writer(mut writer: LogWriter, batches: &Receiver<Batch>, on_unknown: &dyn Fn(UnknownOutcome)) {
    let _guard = EndProcessOnPanic("the log writer");
    let mut is_idle = false;
    loop {
        // Batches come first. Folding waits for a pause, or until enough has gathered to be worth a step.
        let next = match (writer.has_much_to_fold(), is_idle) {
            (true, _) => batches.try_recv().map_err(|error| error.is_disconnected()),
            (false, false) => batches.recv_timeout(FOLD_AFTER).map_err(|error| error.is_disconnected()),
            (false, true) => batches.recv().map_err(|_| true),
        };
        match next {
            Ok(batch) => {
                is_idle = false;
                if let Err(unknown) = writer.write(batch) {
                    return on_unknown(unknown);
                }
                if !writer.has_much_to_fold() {
                    continue;
                }
            }
            Err(true) => return,
            Err(false) => {}
        }
        match writer.fold() {
            Ok(has_more) => is_idle = !has_more,
            Err(error) if error.must_end_process() => return on_unknown(UnknownOutcome(error)),
            Err(error) => {
                tracing::error!(%error, "folding the commit log failed; trying again");
                std::thread::park_timeout(FOLD_RETRY);
            }
        }
    }
}

/// A committer that panicked may hold half a batch: the process ends rather than go on beside it.
struct EndProcessOnPanic(&'static str);

impl Drop for EndProcessOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("{} panicked; ending the process", self.0);
            std::process::exit(EXIT_SOFTWARE);
        }
    }
}

/// `EX_SOFTWARE` of sysexits.h: an internal error.
const EXIT_SOFTWARE: i32 = 70;
