//! The room's own work in transactions: closures that read at the newest commit, and closures that write on the lane.

use std::sync::Arc;
use std::task::Waker;

use tokio::sync::oneshot;

use super::error::FileError;
use crate::database::{
    CommitError, Committed, Database, DatabaseError, Mutation, SubmitError, Transaction, Verdict,
};

/// Runs `work` on a snapshot of the newest commit.
pub(crate) async fn read<T: Send + 'static, E: From<FileError> + Send + 'static>(
    database: &Arc<Database>,
    work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let environment = database.environment().clone();
    let reading = database.readers().run(move |store| {
        let snapshot = store.snapshot().map_err(DatabaseError::from);
        let snapshot = snapshot.map_err(FileError::from)?;
        work(&mut Transaction::read_only(&snapshot, &environment))
    });
    reading.await.map_err(FileError::from)?
}

/// Runs `work` on the lane and commits what it wrote, unless it failed. It has committed when this returns.
pub(crate) async fn write<T: Send + 'static, E: From<FileError> + Send + 'static>(
    database: &Database,
    work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    begin_write(database, work)?.done().await
}

/// A write that is on its way.
pub(crate) struct Writing<T, E>(oneshot::Receiver<Result<T, E>>);

impl<T, E: From<FileError>> Writing<T, E> {
    /// Waits until it has committed, on a thread that may wait.
    pub fn wait(self) -> Result<T, E> {
        let waited = self.0.blocking_recv();
        waited.unwrap_or(Err(FileError::ShuttingDown.into()))
    }

    /// Waits until it has committed.
    pub async fn done(self) -> Result<T, E> {
        self.0.await.unwrap_or(Err(FileError::ShuttingDown.into()))
    }
}

/// As [`write`], without waiting. Writes that one caller begins commit in that order.
pub(crate) fn begin_write<T: Send + 'static, E: From<FileError> + Send + 'static>(
    database: &Database,
    work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
) -> Result<Writing<T, E>, E> {
    let (answer, answered) = oneshot::channel();
    let mutation = Work {
        work: Some(work),
        done: None,
        answer,
    };
    let submitted = database.committer().submit(Box::new(mutation));
    submitted.map_err(|error| match error {
        SubmitError::QueueFull(_) => FileError::CommitterFull,
        SubmitError::Closed(_) => FileError::ShuttingDown,
    })?;
    Ok(Writing(answered))
}

struct Work<F, T, E> {
    work: Option<F>,
    done: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Mutation for Work<F, T, E>
where
    F: FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<FileError> + Send,
{
    fn run<'v>(&mut self, mut tx: Transaction<'v>) -> (Transaction<'v>, Verdict) {
        let Some(work) = self.work.take() else {
            return (tx, Verdict::Abort);
        };
        let done = work(&mut tx);
        let verdict = match done {
            Ok(_) => Verdict::Commit,
            Err(_) => Verdict::Abort,
        };
        self.done = Some(done);
        (tx, verdict)
    }

    fn finish(self: Box<Self>, outcome: Result<Committed, CommitError>) -> Option<Waker> {
        let done = match outcome {
            Ok(_) => self.done.unwrap_or(Err(FileError::ShuttingDown.into())),
            Err(error) => Err(FileError::from(error).into()),
        };
        // The waiter may have gone.
        let _ = self.answer.send(done);
        None
    }
}
