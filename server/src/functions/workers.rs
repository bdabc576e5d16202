//! Threads for bodies that run beside the lane.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use parking_lot::Mutex;

/// Room on a worker's stack, of which an engine in another language takes half.
pub(crate) const WORKER_STACK_BYTES: usize = 16 << 20;
/// A job that runs longer than any function may is stuck: an engine cannot be interrupted within one native operation.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// Threads that take the places of stuck ones. With more stuck, calls wait.
const SPARES_MAX: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// A few threads that take jobs in the order in which they came. They end when this is dropped, after what is queued.
///
/// The queue has no bound of its own: callers count what they admit. A thread whose job is stuck is replaced, so that
/// it harms no other job. When the job comes to its end after all, one thread too many ends.
pub(super) struct Workers {
    jobs: Sender<Job>,
    pool: Arc<Pool>,
    /// The watch ends when this is dropped.
    _watched: Sender<()>,
}

struct Pool {
    name: &'static str,
    /// Threads without spares.
    regular: usize,
    stuck_after: Duration,
    queue: Receiver<Job>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    threads: usize,
    /// When each job under way began.
    began: HashMap<u64, Instant>,
    next: u64,
    /// Stuck jobs that the log has told of.
    told: usize,
}

impl Workers {
    /// Starts `threads` threads.
    pub fn start(name: &'static str, threads: usize) -> std::io::Result<Workers> {
        Workers::start_with(name, threads, STUCK_AFTER)
    }

    fn start_with(
        name: &'static str,
        threads: usize,
        stuck_after: Duration,
    ) -> std::io::Result<Workers> {
        let (jobs, queue) = unbounded();
        let pool = Arc::new(Pool {
            name,
            regular: threads,
            stuck_after,
            queue,
            state: Mutex::default(),
        });
        for _ in 0..threads {
            Pool::add_thread(&pool, &mut pool.state.lock())?;
        }
        let (watched, ended) = unbounded();
        let watch = pool.clone();
        std::thread::Builder::new()
            .name(format!("{name}-watch"))
            .spawn(move || {
                while ended.recv_timeout(watch.stuck_after / 2) == Err(RecvTimeoutError::Timeout) {
                    Pool::replace_stuck(&watch);
                }
            })?;
        Ok(Workers {
            jobs,
            pool,
            _watched: watched,
        })
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

    /// Jobs that have run longer than any function may.
    pub fn stuck(&self) -> usize {
        self.pool.stuck(&self.pool.state.lock())
    }
}

impl Pool {
    fn add_thread(pool: &Arc<Pool>, state: &mut State) -> std::io::Result<()> {
        let worker = pool.clone();
        std::thread::Builder::new()
            .name(pool.name.into())
            .stack_size(WORKER_STACK_BYTES)
            .spawn(move || worker.work())?;
        state.threads += 1;
        Ok(())
    }

    fn stuck(&self, state: &State) -> usize {
        let is_stuck = |began: &&Instant| began.elapsed() > self.stuck_after;
        state.began.values().filter(is_stuck).count()
    }

    fn wanted(&self, stuck: usize) -> usize {
        self.regular + stuck.min(SPARES_MAX)
    }

    fn replace_stuck(pool: &Arc<Pool>) {
        let mut state = pool.state.lock();
        let stuck = pool.stuck(&state);
        if stuck > state.told {
            tracing::error!(
                threads = pool.name,
                stuck,
                "a call is stuck in a native operation; a spare thread takes its place"
            );
        }
        state.told = stuck;
        while state.threads < pool.wanted(stuck) {
            if let Err(error) = Pool::add_thread(pool, &mut state) {
                tracing::error!(%error, "there is no spare thread to be had");
                break;
            }
        }
    }

    fn work(&self) {
        while let Ok(job) = self.queue.recv() {
            let number = self.begin();
            // A body's panic is caught where it runs; one of the server's own must not take the thread along.
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
                tracing::error!("a worker's job panicked");
            }
            if !self.goes_on(number) {
                return;
            }
        }
    }

    fn begin(&self) -> u64 {
        let mut state = self.state.lock();
        state.next += 1;
        let number = state.next;
        state.began.insert(number, Instant::now());
        number
    }

    /// Notes the end of a job. False if there is a thread too many, which is then no longer counted.
    fn goes_on(&self, number: u64) -> bool {
        let mut state = self.state.lock();
        state.began.remove(&number);
        let is_wanted =
            state.threads == self.regular || state.threads <= self.wanted(self.stuck(&state));
        if !is_wanted {
            state.threads -= 1;
        }
        is_wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(workers: &Workers) -> usize {
        workers.pool.state.lock().threads
    }

    #[test]
    fn a_stuck_job_is_replaced_and_its_thread_given_up_in_the_end() {
        let workers = Workers::start_with("test", 1, Duration::from_millis(2)).unwrap();
        let (release, held) = unbounded::<()>();
        let (say, said) = unbounded();
        for name in ["first", "second"] {
            let (held, say) = (held.clone(), say.clone());
            workers.run(move || {
                say.send(name).unwrap();
                let _ = held.recv();
            });
        }
        // Both hold their threads, and there was one.
        assert_eq!([said.recv(), said.recv()], [Ok("first"), Ok("second")]);
        workers.run(move || say.send("third").unwrap());
        assert_eq!(said.recv(), Ok("third"));
        drop(release);
        while threads(&workers) > 1 {
            // A thread ends after a job, so there has to be one.
            let (ends, over) = unbounded::<()>();
            workers.run(move || drop(ends));
            assert!(over.recv().is_err());
        }
    }
}
