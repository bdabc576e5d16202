//! The log writer: makes batches durable, answers and publishes them, and folds the commit log in between.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use thiserror::Error;

use super::committer::CommitError;
use super::lane::Batch;
use super::write_log::WriteLog;
use crate::probe::{Event, Point, Probe};
use crate::storage::{
    AppendError, Appender, CheckpointDue, Checkpointer, FoldProgress, StorageError,
};

/// Makes batches durable, one append each.
pub struct LogWriter {
    appender: Appender,
    write_log: Arc<WriteLog>,
    /// How many batches it has rolled back. Batches opened before the last of them ran on what is no more.
    generation: u64,
    rollbacks: Arc<AtomicU64>,
    /// Bytes of commit log that may wait to be folded.
    unfolded_bytes_max: usize,
    /// Steps of folding that come before the next batch, so that folding keeps up.
    owed_steps: usize,
    /// Folding waits while no more than so many checkpoints have ended.
    awaited: Option<u64>,
    probe: Probe,
}

/// The store cannot say whether a commit will survive: the process must end without another answer.
#[derive(Debug, Error)]
#[error("the outcome of a commit is unknown: {0}")]
pub struct UnknownOutcome(pub StorageError);

/// The condition that folding the commit log waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folding {
    /// There is nothing to fold.
    Idle,
    /// There is little to fold, and the more it becomes, the fewer times each key and page is written; or a checkpoint comes
    /// first.
    Gathering,
    /// There is more to fold now.
    Due,
    /// So much waits to be folded that no batch should be written before.
    Behind,
}

/// Bytes of commit log from which folding does not wait for a quiet moment. The more it is, the fewer times a document that
/// changes often is written to its table; a start reads so much again.
const FOLD_AT_BYTES: usize = 32 << 20;
/// Written keys for which a step of folding follows a batch when much waits to be folded: fewer than a step folds.
const KEYS_PER_STEP: usize = 400;

impl LogWriter {
    /// A writer over the store's only write connection. `rollbacks` counts the batches that were not committed.
    pub fn new(
        appender: Appender,
        write_log: Arc<WriteLog>,
        rollbacks: Arc<AtomicU64>,
        unfolded_bytes_max: usize,
    ) -> LogWriter {
        LogWriter {
            appender,
            write_log,
            generation: rollbacks.load(Ordering::Acquire),
            rollbacks,
            unfolded_bytes_max,
            owed_steps: 0,
            awaited: None,
            probe: Probe::none(),
        }
    }

    /// The same, watched through `probe`.
    pub fn watched(self, probe: Probe) -> LogWriter {
        LogWriter { probe, ..self }
    }

    /// Appends a batch, hands every mutation in it its answer, publishes its news, then wakes the waiters for both.
    pub fn write(&mut self, batch: Batch) -> Result<(), UnknownOutcome> {
        if batch.generation != self.generation {
            batch.refuse(CommitError::NotCommitted(Arc::new(
                StorageError::RolledBack,
            )));
            return Ok(());
        }
        let has_commits = !batch.row.is_empty();
        if has_commits {
            self.probe.stop(Point::BeforeCommit, || None);
        }
        let newest = has_commits.then(|| batch.row.last());
        // A caller whose answer is dropped is told that the server is shutting down, and takes it that nothing happened. So
        // nothing is dropped while the outcome is unknown: neither here nor by a panic. The process ends then, and these
        // callers lose their connection with it.
        let mut batch = ManuallyDrop::new(batch);
        match self.appender.append(std::mem::take(&mut batch.row)) {
            Ok(()) if has_commits => {
                self.probe.event(|| Event::Committed {
                    timestamps: batch.news.iter().map(|entry| entry.ts.0).collect(),
                });
                self.probe.stop(Point::AfterCommit, || None);
            }
            Ok(()) => {}
            Err(AppendError::NotCommitted(cause)) => {
                self.roll_back(ManuallyDrop::into_inner(batch), Arc::new(cause));
                return Ok(());
            }
            Err(AppendError::Unknown(cause)) => return Err(UnknownOutcome(cause)),
        }
        let mut batch = ManuallyDrop::into_inner(batch);
        if let (Some(published), Some(_)) = (batch.published.take(), newest) {
            self.appender.publish(published);
        }
        let wakers = batch.confirm();
        if let Some(newest) = newest {
            self.write_log.publish(batch.news, newest);
        }
        wakers.into_iter().for_each(Waker::wake);
        if self.appender.unfolded_log_bytes() > self.unfolded_bytes_max / 2 {
            self.owed_steps = batch.keys.div_ceil(KEYS_PER_STEP);
        }
        Ok(())
    }

    /// Takes back a batch and, through its generation, every batch that ran on top of it.
    pub fn roll_back(&mut self, batch: Batch, cause: Arc<StorageError>) {
        tracing::error!(error = %cause, commits = batch.news.len(), "a batch was not committed");
        self.generation += 1;
        self.rollbacks.store(self.generation, Ordering::Release);
        batch.refuse(CommitError::NotCommitted(cause));
    }

    /// The condition that folding waits for.
    pub fn folding(&self) -> Folding {
        let bytes = self.appender.unfolded_log_bytes();
        let due_at = FOLD_AT_BYTES.min(self.unfolded_bytes_max / 2);
        if bytes > self.unfolded_bytes_max || self.owed_steps > 0 {
            Folding::Behind
        } else if (self.appender.is_folding() || bytes > due_at) && !self.awaits_checkpoint() {
            Folding::Due
        } else if self.appender.is_folding() || bytes > 0 {
            Folding::Gathering
        } else {
            Folding::Idle
        }
    }

    /// Whether what folding would write now is for a checkpoint to move first. Else the write-ahead log would grow until
    /// appends wait for a whole checkpoint.
    fn awaits_checkpoint(&self) -> bool {
        self.awaited
            .is_some_and(|ended| ended == self.appender.checkpoints_ended())
    }

    /// Folds a step. Where nothing has to catch up, steps are about a millisecond of work, but for the beginning of a round
    /// of many keys. Tells whether a checkpoint should run beside; if it should have run long ago, it runs now.
    pub fn fold(&mut self) -> Result<CheckpointDue, StorageError> {
        let folded = match self.folding() {
            Folding::Behind => self.appender.fold(),
            Folding::Due | Folding::Gathering | Folding::Idle => self.appender.fold_gently(),
        };
        self.owed_steps = self.owed_steps.saturating_sub(1);
        if matches!(folded, Err(_) | Ok(FoldProgress::Idle)) {
            self.owed_steps = 0;
        }
        folded?;
        // Counted before the log is measured: a checkpoint that ends in between is not waited for.
        let ended = self.appender.checkpoints_ended();
        let due = self.appender.checkpoint_due()?;
        self.awaited = (due == CheckpointDue::Lagging).then_some(ended);
        if due == CheckpointDue::Now {
            self.appender.checkpoint_if_due()?;
            return Ok(CheckpointDue::No);
        }
        Ok(due)
    }

    /// Folds what should not wait any longer, and runs a checkpoint that is due. Once there are threads, this is the
    /// work of others, or of other moments.
    pub(super) fn catch_up(&mut self) -> Result<(), StorageError> {
        while self.folding() == Folding::Behind {
            self.fold()?;
        }
        self.appender.checkpoint_if_due()
    }

    /// The checkpointer that runs the checkpoints which `fold` says are due.
    pub fn checkpointer(&self) -> Checkpointer {
        self.appender.checkpointer()
    }

    /// Leaves everything in the database file.
    pub fn close(self) -> Result<(), StorageError> {
        self.appender.close()
    }

    /// Without it.
    #[cfg(test)]
    pub(super) fn into_appender(self) -> Appender {
        self.appender
    }

    /// To fill the disk below it.
    #[cfg(test)]
    pub(super) fn appender(&mut self) -> &mut Appender {
        &mut self.appender
    }
}
