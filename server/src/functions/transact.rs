//! Transactions of the server's own: work outside every function, written like a mutation. It runs on the lane, or beside
//! the lane where it takes long.

use std::sync::Arc;
use std::task::Waker;

use tokio::sync::oneshot;

use super::drafted::{on_head, trouble};
use super::error::{Result, SystemError};
use super::{BESIDE_MAX, Functions};
use crate::database::{
    Claim, CommitError, Committed, Draft, DraftEnd, DraftRoute, DraftWork, Drafted, Mutation,
    ReadSet, SubmitError, Transaction, Turn, Verdict,
};

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

/// Work beside the lane that has run.
struct Beside<T> {
    /// `None` once the lane has it.
    draft: Option<Draft>,
    done: Result<T>,
    answer: oneshot::Sender<BesideOutcome<T>>,
}

/// `None`: a commit came first.
type BesideOutcome<T> = Result<Option<Result<T>>, SystemError>;

impl<T: Send + 'static> Beside<T> {
    /// Runs `work` on this thread and sends the draft to the lane.
    fn run(
        functions: &Functions,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T>,
        answer: oneshot::Sender<BesideOutcome<T>>,
    ) {
        let database = &functions.database;
        let ran = database.head_view(Turn::Beside, None).map_err(trouble);
        let ran = ran.and_then(|view| {
            let (done, work) = on_head(database.environment(), &view, |tx| work_of(tx, work))?;
            Ok((done, view.into_draft(work)))
        });
        match ran {
            Ok((done, (draft, route))) => {
                let draft = Some(draft);
                let beside = Beside {
                    draft,
                    done,
                    answer,
                };
                beside.submit(functions, route);
            }
            // A caller that has gone does not hear of it.
            Err(error) => drop(answer.send(Err(error))),
        }
    }

    fn submit(self, functions: &Functions, route: DraftRoute) {
        let committer = functions.database.committer();
        if let Err(drafted) = committer.submit_draft(Box::new(self), route) {
            drafted.crowded_out();
        }
    }
}

/// Runs `work`, and makes its transaction a draft's work. An error takes back all its writes.
fn work_of<T>(
    mut tx: Transaction<'_>,
    work: impl FnOnce(&mut Transaction<'_>) -> Result<T>,
) -> Result<(Result<T>, DraftWork), SystemError> {
    let base = tx.definitions().clone();
    let done = work(&mut tx);
    if let Some(failure) = tx.storage_failure() {
        return Err(SystemError::Storage(failure.clone()));
    }
    let verdict = match &done {
        Ok(_) => Verdict::Commit,
        Err(_) => Verdict::Abort,
    };
    let reads = tx.take_reads();
    let newest = tx.last_creation_time();
    let work = DraftWork::of(tx, reads, base, verdict, newest, None, None);
    Ok((done, work))
}

impl<T: Send + 'static> Drafted for Beside<T> {
    fn take_draft(&mut self) -> Draft {
        self.draft.take().expect("it is submitted once")
    }

    fn placed(&mut self) {}

    fn session(&self) -> Option<[u8; 16]> {
        None
    }

    fn may_be_put_back(&self) -> bool {
        false
    }

    fn was_put_back(&mut self) {}

    fn claim(&self) -> Option<&Claim> {
        None
    }

    fn overtaken(self: Box<Self>, _: ReadSet) {
        drop(self.answer.send(Ok(None)));
    }

    fn crowded_out(self: Box<Self>) {
        drop(self.answer.send(Err(SystemError::CommitterFull)));
    }

    fn finish(self: Box<Self>, end: DraftEnd) -> Option<Waker> {
        let outcome = match end {
            DraftEnd::Committed(_) => Ok(Some(self.done)),
            DraftEnd::Refused(error) => Err(error.into()),
            DraftEnd::Recalled(_) => unreachable!("it is no request of a session"),
        };
        drop(self.answer.send(outcome));
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

    /// Runs `work` as one transaction beside the lane, on the head as it is, and waits until it is durable. An error of its
    /// own takes back all its writes. `None` if a commit touched what it read before its turn came: then nothing of it
    /// is written. The lane compares what is in the read set alone, so `work` must record what it relies on.
    pub async fn transact_beside<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<Option<Result<T>>, SystemError> {
        if self.beside.queued() >= BESIDE_MAX {
            return Err(SystemError::CommitterFull);
        }
        let (answer, answered) = oneshot::channel();
        let functions = self.clone();
        self.beside
            .run(move || Beside::run(&functions, work, answer));
        answered.await.map_err(|_| SystemError::ShuttingDown)?
    }
}
