//! Reader threads: where queries run, each on a snapshot of its own.

use std::thread::JoinHandle;

use crossbeam_channel::{Sender, TrySendError, bounded};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::executor::Executor;
use crate::storage::{StorageError, Store};

/// Room on a reader's stack: a query in another language takes half of it.
const READER_STACK_BYTES: usize = 16 << 20;

/// A job for a reader thread.
type Job = Box<dyn FnOnce(&Store) + Send>;

/// A fixed number of reader threads over a bounded queue.
pub struct Readers {
    queue: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

/// Jobs that may wait for a reader thread.
pub const READ_QUEUE_MAX: usize = 65_536;

/// The job was not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadersError {
    /// More than [`READ_QUEUE_MAX`] jobs are waiting.
    #[error("too many queries are waiting to run")]
    QueueFull,
    /// The readers have ended, or the job panicked outside the function it ran.
    #[error("the server is shutting down")]
    Closed,
}

impl Readers {
    /// Starts `threads` readers.
    pub fn start(
        store: &Store,
        threads: usize,
        executor: &dyn Executor,
    ) -> Result<Readers, StorageError> {
        let (queue, jobs) = bounded::<Job>(READ_QUEUE_MAX);
        let mut readers = Readers {
            queue: Some(queue),
            threads: Vec::new(),
        };
        for number in 0..threads.max(1) {
            let store = store.clone();
            let jobs = jobs.clone();
            let read = move || {
                while let Ok(job) = jobs.recv() {
                    run_guarded(job, &store);
                }
            };
            let name = format!("reader-{number}");
            let started = executor.start(&name, READER_STACK_BYTES, Box::new(read));
            readers.threads.push(started.map_err(StorageError::Thread)?);
        }
        Ok(readers)
    }

    /// Queues a job; it answers by whatever means it brings along.
    pub fn submit(&self, job: impl FnOnce(&Store) + Send + 'static) -> Result<(), ReadersError> {
        let queue = self
            .queue
            .as_ref()
            .expect("the queue lives as long as the readers");
        queue.try_send(Box::new(job)).map_err(|error| match error {
            TrySendError::Full(_) => ReadersError::QueueFull,
            TrySendError::Disconnected(_) => ReadersError::Closed,
        })
    }

    /// Runs a job and waits for what it returns.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> Result<T, ReadersError> {
        let (answer, answered) = oneshot::channel();
        self.submit(move |store| {
            // A caller that has gone no longer waits: the result is of no use then.
            let _ = answer.send(job(store));
        })?;
        answered.await.map_err(|_| ReadersError::Closed)
    }
}

/// A panic ends the job, which its waiter sees as a closed channel, and not the thread.
fn run_guarded(job: Job, store: &Store) {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(store)));
    if outcome.is_err() {
        tracing::error!("a reader's job panicked");
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // The last owner may be a job that one of these threads has just run.
            if thread.thread().id() != std::thread::current().id() {
                // Jobs that panic are caught, so a thread that ended did so because the queue was closed.
                let _ = thread.join();
            }
        }
    }
}
