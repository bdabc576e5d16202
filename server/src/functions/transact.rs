//! Transactions of the server's own: work outside every function, written like a mutation.

use std::sync::Arc;
use std::task::Waker;

use tokio::sync::oneshot;

use super::Functions;
use super::error::{Result, SystemError};
use crate::database::{CommitError, Committed, Mutation, SubmitError, Transaction, Verdict};

struct Transact<T, W> {
    work: W,
    done: Option<Result<Result<T>, SystemError>>,
    answer: oneshot::Sender<Result<Result<T>, SystemError>>,
}

impl<T, W> Mutation for Transact<T, W>
where
    T: Send,
    W: FnMut(&mut Transaction<'_>) -> Result<T> + Send,
{
    fn run<'v>(&mut self, mut tx: Transaction<'v>) -> (Transaction<'v>, Verdict) {
        let done = (self.work)(&mut tx);
        let verdict = match (tx.storage_failure(), &done) {
            (None, Ok(_)) => Verdict::Commit,
            _ => Verdict::Abort,
        };
        self.done = Some(match tx.storage_failure() {
            Some(failure) => Err(SystemError::Storage(failure.clone())),
            None => Ok(done),
        });
        (tx, verdict)
    }

    fn finish(self: Box<Self>, outcome: Result<Committed, CommitError>) -> Option<Waker> {
        let done = self.done.unwrap_or(Err(SystemError::ShuttingDown));
        // The caller need not wait: the work is done all the same.
        drop(self.answer.send(match outcome {
            Ok(_) => done,
            Err(error) => Err(error.into()),
        }));
        None
    }
}

impl Functions {
    /// Runs `work` as one transaction at the head, and waits until it is durable. An error of its own takes back all
    /// its writes.
    pub async fn transact<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnMut(&mut Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<Result<T>, SystemError> {
        let (answer, answered) = oneshot::channel();
        let transact = Transact {
            work,
            done: None,
            answer,
        };
        let submitted = self.database.committer().submit(Box::new(transact));
        submitted.map_err(|error| match error {
            SubmitError::QueueFull(_) => SystemError::CommitterFull,
            SubmitError::Closed(_) => SystemError::ShuttingDown,
        })?;
        answered.await.map_err(|_| SystemError::ShuttingDown)?
    }
}
