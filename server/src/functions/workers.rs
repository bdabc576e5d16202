//! Threads for bodies that run beside the lane.

use crossbeam_channel::{Receiver, Sender, unbounded};

/// Room on a worker's stack, of which an engine in another language takes half.
pub(crate) const WORKER_STACK_BYTES: usize = 16 << 20;

type Job = Box<dyn FnOnce() + Send>;

/// A few threads that take jobs in the order in which they came. They end when this is dropped, after what is queued.
///
/// The queue has no bound of its own: callers count what they admit.
pub(super) struct Workers {
    jobs: Sender<Job>,
}

impl Workers {
    /// Starts `threads` threads.
    pub fn start(name: &'static str, threads: usize) -> std::io::Result<Workers> {
        let (jobs, queue) = unbounded();
        for _ in 0..threads {
            let queue = queue.clone();
            std::thread::Builder::new()
                .name(name.into())
                .stack_size(WORKER_STACK_BYTES)
                .spawn(move || work(&queue))?;
        }
        Ok(Workers { jobs })
    }

    /// Queues a job.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        // Threads end only after this is dropped.
        let _ = self.jobs.send(Box::new(job));
    }

    /// Jobs that wait for a thread.
    pub fn queued(&self) -> usize {
        self.jobs.len()
    }
}

fn work(queue: &Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        // A body's panic is caught where it runs; one of the server's own must not take the thread along.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
            tracing::error!("a worker's job panicked");
        }
    }
}
