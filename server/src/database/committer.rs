//! The committer: mutations run one after another at the head, durability follows in a pipeline behind it.
//!
//! The [`Lane`] runs queued mutations and gathers their changes into batches. The [`LogWriter`] makes one batch durable
//! with one append, answers every mutation in it and publishes the news. Both are step functions that hold no thread:
//! [`Committer`] drives them with two threads, a simulator may drive them with none. A third thread runs checkpoints of
//! the store when the log writer says that one is due.
//!
//! Invariants:
//! - Nothing is answered, and no reader sees anything, before the append of its batch has returned.
//! - Answers of a batch are handed over before its news, so a client hears of its mutation before it sees its effect.
//!   A waiter for both is woken after the news, to find both.
//! - A batch that is not committed takes every later batch with it: the lane then goes back to the newest durable
//!   state.

use std::sync::Arc;
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{
    Receiver, RecvTimeoutError, Select, SendError, Sender, TrySendError, bounded, select,
};
use parking_lot::Mutex;
use thiserror::Error;
use vestibule_schema::timestamp::Timestamp;

use super::draft::{DraftRoute, Drafted, HeadView, LaneView, Turn, ViewError};
use super::lane::{Batch, Lane};
use super::log_writer::{Folding, LogWriter, UnknownOutcome};
use super::session_requests::SessionRequest;
use super::transaction::Transaction;
use crate::clock::{Alarm, Clock};
use crate::executor::{Executor, STACK_BYTES};
use crate::storage::{CheckpointDue, Checkpointer, StorageError, Store};

/// A task for the lane.
pub enum Task {
    /// Run a mutation.
    Mutation(Box<dyn Mutation>),
    /// Take on what ran beside it.
    Draft(Box<dyn Drafted>),
    /// Hand out the head.
    #[doc(hidden)]
    View(ViewRequest),
}

/// A wish for the head as it is.
pub struct ViewRequest {
    turn: Turn,
    /// The session and the number of the request that asks, where it has such.
    request: Option<([u8; 16], u32)>,
    reply: Sender<LaneView>,
}

/// A mutation on its way through the committer.
pub trait Mutation: Send {
    /// Runs on the lane. The verdict says whether the changes of `tx` are committed or forgotten. Must not panic.
    fn run<'v>(&mut self, tx: Transaction<'v>) -> (Transaction<'v>, Verdict);

    /// Its session, in which the order of commits is kept.
    fn session(&self) -> Option<[u8; 16]> {
        None
    }

    /// Called before a run whose changes may be forgotten, to be followed by another one. False if it can run once
    /// alone: then it is never put back behind a reservation.
    fn prepare_to_run_again(&mut self) -> bool {
        false
    }

    /// Called once, when the outcome is certain. The returned waker is woken once the commit's news is out, for a
    /// waiter that reports the outcome and the changes together.
    fn finish(self: Box<Self>, outcome: Result<Committed, CommitError>) -> Option<Waker>;
}

/// The fate of a transaction that has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Make its changes durable.
    Commit,
    /// Forget its changes.
    Abort,
}

/// A mutation whose verdict stands; its changes, if any, are durable.
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
    /// There was no room for it behind another mutation of its session.
    #[error("not committed: too many mutations are waiting to run")]
    Full,
}

/// The queue is full, or the committer has ended. Hands the mutation back.
pub enum SubmitError {
    /// More mutations are waiting than [`CommitterOptions::queue_max`].
    QueueFull(Box<dyn Mutation>),
    /// The committer has ended.
    Closed(Box<dyn Mutation>),
}

impl SubmitError {
    /// The mutation that was not taken.
    pub fn into_mutation(self) -> Box<dyn Mutation> {
        match self {
            SubmitError::QueueFull(mutation) | SubmitError::Closed(mutation) => mutation,
        }
    }
}

/// Bounds of the committer.
#[derive(Clone, Debug)]
pub struct CommitterOptions {
    /// Mutations that may wait for the lane.
    pub queue_max: usize,
    /// Mutations in one batch.
    pub batch_commits_max: usize,
    /// Bytes of keys and values in one batch.
    pub batch_bytes_max: usize,
    /// Bytes of commit log that may wait to be folded before the lane slows down.
    pub unfolded_bytes_max: usize,
}

impl Default for CommitterOptions {
    fn default() -> Self {
        CommitterOptions {
            queue_max: 65_536,
            batch_commits_max: 4_096,
            batch_bytes_max: 4 << 20,
            unfolded_bytes_max: 64 << 20,
        }
    }
}

/// The running committer. Dropping it lets queued mutations finish, then ends its threads.
pub struct Committer {
    queue: Option<Sender<Task>>,
    threads: Vec<JoinHandle<()>>,
}

impl Committer {
    /// Starts the lane, the log writer and its checkpoints on threads of their own. `on_unknown` must end the process.
    pub fn start(
        lane: Lane,
        writer: LogWriter,
        options: CommitterOptions,
        executor: &dyn Executor,
        clock: Arc<dyn Clock>,
        on_unknown: Box<dyn Fn(UnknownOutcome) + Send>,
    ) -> std::io::Result<Committer> {
        let (queue, mutations) = bounded(options.queue_max);
        // A hand-over without a buffer: the lane keeps adding to its batch until the writer is free to take it.
        let (batches, to_write) = bounded(0);
        // One waiting request is enough: it sees all that was written before it runs.
        let (checkpoints, checkpoints_due) = bounded(1);
        let checkpointer = writer.checkpointer();
        let on_unknown = Arc::new(Mutex::new(on_unknown));
        let unknown_to_checkpoints = Arc::clone(&on_unknown);
        let start = |name, body| executor.start(name, STACK_BYTES, body);
        let lane = move || drive_lane(lane, &mutations, &batches, &options);
        let lane = start("lane", Box::new(lane))?;
        let resting = clock.clone();
        let checkpointer = move || {
            drive_checkpointer(
                checkpointer,
                &checkpoints_due,
                &*resting,
                &unknown_to_checkpoints,
            );
        };
        let checkpointer = start("checkpointer", Box::new(checkpointer))?;
        let beside = Beside {
            due: checkpoints,
            thread: checkpointer,
        };
        let writer = move || drive_writer(writer, &to_write, beside, &*clock, &on_unknown);
        let writer = start("log-writer", Box::new(writer))?;
        Ok(Committer {
            queue: Some(queue),
            threads: vec![lane, writer],
        })
    }

    /// Queues a mutation. Mutations submitted one after another by one session commit in that order.
    pub fn submit(&self, mutation: Box<dyn Mutation>) -> Result<(), SubmitError> {
        let queue = self.queue.as_ref();
        let queue = queue.expect("the queue lives as long as the committer");
        let sent = queue.try_send(Task::Mutation(mutation));
        sent.map_err(|error| match error {
            TrySendError::Full(Task::Mutation(mutation)) => SubmitError::QueueFull(mutation),
            TrySendError::Disconnected(Task::Mutation(mutation)) => SubmitError::Closed(mutation),
            _ => unreachable!("the task that was sent comes back"),
        })
    }

    /// The head as it is, everything before it in the queue included, for a mutation that runs on this thread. Waits
    /// for the lane. The view tells whether `request` is known to be new.
    pub fn view(
        &self,
        store: &Store,
        turn: Turn,
        request: Option<&SessionRequest>,
    ) -> Result<HeadView, ViewError> {
        let storage = |error| ViewError::Storage(Arc::new(error));
        loop {
            // The base begins first: everything it holds is in the head that is frozen afterwards.
            let base = store.begin_snapshot().map_err(storage)?;
            let (reply, view) = bounded(1);
            let queue = self.queue.as_ref();
            let queue = queue.expect("the queue lives as long as the committer");
            let wish = Task::View(ViewRequest {
                turn: turn.clone(),
                request: request.map(|request| (request.session, request.request)),
                reply,
            });
            queue.try_send(wish).map_err(|error| match error {
                TrySendError::Full(_) => ViewError::QueueFull,
                TrySendError::Disconnected(_) => ViewError::Closed,
            })?;
            let view = view.recv().map_err(|_| ViewError::Closed)?;
            if let Some(view) = HeadView::new(base, view) {
                return Ok(view);
            }
        }
    }

    /// Queues a draft that ran beside the lane. The draft comes back when there is no room.
    pub fn submit_draft(
        &self,
        drafted: Box<dyn Drafted>,
        route: DraftRoute,
    ) -> Result<(), Box<dyn Drafted>> {
        let mut task = Task::Draft(drafted);
        if let Some(direct) = route.direct {
            // A lane that no longer waits takes it from the queue.
            task = match direct.hand_over(task) {
                Ok(()) => return Ok(()),
                Err(task) => task,
            };
        }
        let queue = self.queue.as_ref();
        let queue = queue.expect("the queue lives as long as the committer");
        queue
            .try_send(task)
            .map_err(|error| match error.into_inner() {
                Task::Draft(drafted) => drafted,
                _ => unreachable!("the task that was sent comes back"),
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
    tasks: &Receiver<Task>,
    batches: &Sender<Batch>,
    options: &CommitterOptions,
) {
    let _guard = EndProcessOnPanic("the committer's lane");
    while let Some(first) = next(&mut lane, tasks) {
        let mut batch = lane.open_batch();
        if let Next::Task(first) = first {
            perform(&mut lane, first, &mut batch);
        }
        if let Some(batch) = gather(&mut lane, batch, tasks, batches, options) {
            batch.refuse(CommitError::ShuttingDown);
        }
    }
}

/// The lane's next work.
enum Next {
    Task(Task),
    /// Commits that were put back may run.
    PutBack,
}

/// Waits until there is something to do. `None` when the queue is closed, and nothing is left that was put back.
fn next(lane: &mut Lane, tasks: &Receiver<Task>) -> Option<Next> {
    if lane.has_put_back() {
        return Some(Next::PutBack);
    }
    let Some(wait) = lane.reservation_ends() else {
        return tasks.recv().ok().map(Next::Task);
    };
    select! {
        recv(tasks) -> task => match task {
            Ok(task) => Some(Next::Task(task)),
            Err(_) => {
                lane.end_reservation();
                Some(Next::PutBack)
            }
        },
        recv(wait.time_over) -> _ => Some(Next::PutBack),
        recv(wait.claimant_gone) -> _ => Some(Next::PutBack),
    }
}

/// Performs the next of what was put back or is queued. False if nothing is there.
fn perform_next(lane: &mut Lane, tasks: &Receiver<Task>, batch: &mut Batch) -> bool {
    if lane.run_put_back(batch) {
        return true;
    }
    let task = tasks.try_recv();
    let is_there = task.is_ok();
    task.into_iter().for_each(|task| perform(lane, task, batch));
    is_there
}

fn perform(lane: &mut Lane, task: Task, batch: &mut Batch) {
    match task {
        Task::Mutation(mutation) => lane.run(mutation, batch),
        Task::Draft(drafted) => lane.apply(drafted, batch),
        Task::View(ViewRequest {
            turn,
            request,
            reply,
        }) => {
            let (view, waiting) = lane.view(turn, request);
            // The asker may have gone; its ticket ends with the view.
            let asked = reply.send(view).is_ok();
            if let Some(waiting) = waiting.filter(|_| asked)
                && let Some(Task::Draft(drafted)) = waiting.wait()
            {
                lane.apply(drafted, batch);
            }
        }
    }
}

/// Mutations that run before the lane looks whether the log writer waits.
const MUTATIONS_PER_LOOK: usize = 256;

/// Runs what is queued until the writer takes the batch. Returns the batch when there is no writer any more.
fn gather(
    lane: &mut Lane,
    mut batch: Batch,
    tasks: &Receiver<Task>,
    batches: &Sender<Batch>,
    options: &CommitterOptions,
) -> Option<Batch> {
    loop {
        for _ in 0..MUTATIONS_PER_LOOK {
            if batch.is_full(options) || !perform_next(lane, tasks, &mut batch) {
                break;
            }
        }
        let ends = lane.reservation_ends();
        let mut ends_at = None;
        let mut select = Select::new();
        let to_writer = select.send(batches);
        if !batch.is_full(options) {
            select.recv(tasks);
            ends_at = ends.as_ref().map(|ends| (ends, ends.register(&mut select)));
        }
        let mut ready = select.select();
        if ready.index() == to_writer {
            lane.close_batch(&mut batch);
            return ready.send(batches, batch).err().map(SendError::into_inner);
        }
        if let Some((ends, at)) = ends_at {
            match ends.complete(ready, at) {
                Some(other) => ready = other,
                // The next look finds that the reservation is over.
                None => continue,
            }
        }
        match ready.recv(tasks) {
            Ok(task) => perform(lane, task, &mut batch),
            // The queue was closed: what has run is still written.
            Err(_) => {
                lane.close_batch(&mut batch);
                return batches.send(batch).err().map(SendError::into_inner);
            }
        }
    }
}

/// The quiet time after which even a little is folded.
const FOLD_QUIET: Duration = Duration::from_millis(100);
/// How long the log writer waits before it tries to fold again after the store refused.
const FOLD_RETRY: Duration = Duration::from_millis(500);

/// Ends the process; called by whichever thread meets an unknown outcome.
type OnUnknown = Mutex<Box<dyn Fn(UnknownOutcome) + Send>>;

/// The thread of checkpoints. It belongs to the log writer, which outlives it.
struct Beside {
    due: Sender<()>,
    thread: JoinHandle<()>,
}

impl Beside {
    fn wake(&self) {
        // Full: one waits already.
        let _ = self.due.try_send(());
    }

    fn end(self) {
        drop(self.due);
        // A thread that panicked has already ended the process through its own guard.
        let _ = self.thread.join();
    }
}

/// Why folding rests although there is something to fold.
struct Trouble {
    cause: Arc<StorageError>,
    retry_at: Alarm,
}

fn drive_writer(
    mut writer: LogWriter,
    batches: &Receiver<Batch>,
    beside: Beside,
    clock: &dyn Clock,
    on_unknown: &OnUnknown,
) {
    let after = |duration| clock.alarm_at(clock.elapsed().saturating_add(duration));
    let _guard = EndProcessOnPanic("the log writer");
    let mut trouble: Option<Trouble> = None;
    loop {
        let next = match (&trouble, writer.folding()) {
            (Some(trouble), _) => received_before(batches, &trouble.retry_at),
            (None, Folding::Idle) => batches.recv().map_err(RecvTimeoutError::from),
            (None, Folding::Gathering) => received_before(batches, &after(FOLD_QUIET)),
            (None, Folding::Due) => batches.recv_timeout(Duration::ZERO),
            (None, Folding::Behind) => Err(RecvTimeoutError::Timeout),
        };
        match (next, &trouble) {
            (Ok(batch), Some(Trouble { cause, .. })) if writer.folding() == Folding::Behind => {
                writer.roll_back(batch, cause.clone());
            }
            (Ok(batch), _) => {
                if let Err(unknown) = writer.write(batch) {
                    return on_unknown.lock()(unknown);
                }
            }
            (Err(RecvTimeoutError::Disconnected), _) => break,
            (Err(RecvTimeoutError::Timeout), _) => match writer.fold() {
                Ok(due) => {
                    trouble = None;
                    match due {
                        CheckpointDue::Beside | CheckpointDue::Lagging => beside.wake(),
                        CheckpointDue::No | CheckpointDue::Now => {}
                    }
                }
                Err(error) if error.must_end_process() => {
                    return on_unknown.lock()(UnknownOutcome(error));
                }
                Err(error) => {
                    tracing::error!(%error, "folding the commit log failed; trying again");
                    trouble = Some(Trouble {
                        cause: Arc::new(error),
                        retry_at: after(FOLD_RETRY),
                    });
                }
            },
        }
    }
    beside.end();
    if let Err(error) = writer.close() {
        tracing::warn!(%error, "the database file is not whole by itself; the next start mends that");
    }
}

/// How long checkpoints rest after one failed.
const CHECKPOINT_RETRY: Duration = Duration::from_millis(500);

/// Runs a checkpoint whenever one is due, until the log writer has ended.
fn drive_checkpointer(
    checkpointer: Checkpointer,
    due: &Receiver<()>,
    clock: &dyn Clock,
    on_unknown: &OnUnknown,
) {
    let _guard = EndProcessOnPanic("the thread of checkpoints");
    let mut failed = false;
    while match failed {
        false => due.recv().is_ok(),
        true => rest(due, &clock.alarm_at(clock.elapsed() + CHECKPOINT_RETRY)),
    } {
        let done = checkpointer.run_if_due();
        failed = done.is_err();
        match done {
            Ok(()) => {}
            Err(error) if error.must_end_process() => {
                return on_unknown.lock()(UnknownOutcome(error));
            }
            Err(error) => tracing::error!(%error, "a checkpoint failed; trying again"),
        }
    }
}

/// The next message, unless `alarm` comes first.
fn received_before<T>(messages: &Receiver<T>, alarm: &Alarm) -> Result<T, RecvTimeoutError> {
    select! {
        recv(messages) -> message => message.map_err(RecvTimeoutError::from),
        recv(alarm) -> _ => Err(RecvTimeoutError::Timeout),
    }
}

/// Waits until then; false if the log writer has ended.
fn rest(due: &Receiver<()>, until: &Alarm) -> bool {
    loop {
        match received_before(due, until) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
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
