//! Threads for bodies that run beside the lane.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, select, unbounded};
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::executor::{Executor, STACK_BYTES};

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
    executor: Arc<dyn Executor>,
    clock: Arc<dyn Clock>,
    queue: Receiver<Job>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    threads: usize,
    /// When each job under way began, by the clock's elapsed time.
    began: HashMap<u64, Duration>,
    next: u64,
    /// Stuck jobs that the log has told of.
    told: usize,
}

impl Workers {
    /// Starts `threads` threads.
    pub fn start(
        name: &'static str,
        threads: usize,
        executor: Arc<dyn Executor>,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<Workers> {
        let (jobs, queue) = unbounded();
        let pool = Arc::new(Pool {
            name,
            regular: threads,
            executor,
            clock,
            queue,
            state: Mutex::default(),
        });
        for _ in 0..threads {
            Pool::add_thread(&pool, &mut pool.state.lock())?;
        }
        let (watched, ended) = unbounded::<()>();
        let watched_pool = pool.clone();
        let watch = move || Pool::watch(&watched_pool, &ended);
        pool.executor
            .start(&format!("{name}-watch"), STACK_BYTES, Box::new(watch))?;
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
        let work = Box::new(move || worker.work());
        pool.executor.start(pool.name, WORKER_STACK_BYTES, work)?;
        state.threads += 1;
        Ok(())
    }

    /// Replaces stuck threads until `ended` has no sender.
    fn watch(pool: &Arc<Pool>, ended: &Receiver<()>) {
        loop {
            let look = pool.clock.elapsed().saturating_add(STUCK_AFTER / 2);
            select! {
                recv(ended) -> _ => return,
                recv(pool.clock.alarm_at(look)) -> _ => Pool::replace_stuck(pool),
            }
        }
    }

    fn stuck(&self, state: &State) -> usize {
        let now = self.clock.elapsed();
        let is_stuck = |began: &&Duration| now.saturating_sub(**began) > STUCK_AFTER;
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
        state.began.insert(number, self.clock.elapsed());
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
    use crate::clock::{ManualClock, UnixNanos};
    use crate::executor::SystemExecutor;

    fn threads(workers: &Workers) -> usize {
        workers.pool.state.lock().threads
    }

    #[test]
    fn a_stuck_job_is_replaced_and_its_thread_given_up_in_the_end() {
        let clock = Arc::new(ManualClock::at(UnixNanos::from_seconds(1)));
        let executor = Arc::new(SystemExecutor);
        let workers = Workers::start("test", 1, executor, clock.clone()).unwrap();
        let (release, held) = unbounded::<()>();
        let (say, said) = unbounded();
        for name in ["first", "second"] {
            let (held, say) = (held.clone(), say.clone());
            workers.run(move || {
                say.send(name).unwrap();
                let _ = held.recv();
            });
        }
        // A job that holds its thread gives way as time passes; the watch may set its alarm after any one step of it.
        let next = || loop {
            clock.advance(STUCK_AFTER);
            if let Ok(name) = said.recv_timeout(Duration::from_millis(1)) {
                return name;
            }
        };
        assert_eq!([next(), next()], ["first", "second"]);
        workers.run(move || say.send("third").unwrap());
        assert_eq!(next(), "third");
        drop(release);
        while threads(&workers) > 1 {
            // A thread ends after a job, so there has to be one.
            let (ends, over) = unbounded::<()>();
            workers.run(move || drop(ends));
            assert!(over.recv().is_err());
        }
    }
}
