//! Threads for bodies that run beside the lane.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use parking_lot::Mutex;

use super::priority::SystemThread;
use crate::clock::Clock;
use crate::executor::{Executor, STACK_BYTES};

/// Room on a worker's stack, of which an engine in another language takes half.
pub(crate) const WORKER_STACK_BYTES: usize = 16 << 20;
/// A job that runs longer than any function may is stuck: an engine cannot be interrupted within one native operation.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// A job that runs longer than this is long. It has a lower priority, and another thread takes the place of its own.
const LONG_AFTER: Duration = Duration::from_millis(100);
/// Threads that are at no long job. With one alone, a long job that has just begun would hold up what comes next.
const OTHERS_MIN: usize = 2;
/// How often the watch looks while there are jobs.
const LOOK_EVERY: Duration = Duration::from_millis(25);

type Job = Box<dyn FnOnce() + Send>;

/// Called by the watch each time it looks, with the clock's elapsed time.
pub(super) type OnLook = Box<dyn Fn(Duration) + Send + Sync>;

/// A few threads that take jobs in the order in which they came, urgent ones before others. They end when this is dropped, after what is queued.
///
/// The queue has no bound of its own: callers count what they admit. When all threads but one are at long jobs, one more is
/// started, so that a short job finds a thread. It ends when the long ones have ended. Long jobs have a lower priority, so that
/// they do not hold up short ones where there are more threads than cores.
pub(super) struct Workers {
    jobs: Sender<Job>,
    urgent: Sender<Job>,
    pool: Arc<Pool>,
    /// The watch ends when this is dropped.
    _watched: Sender<()>,
}

/// How many threads there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threads {
    /// At any time.
    pub regular: usize,
    /// At most in addition, while others are at long jobs.
    pub spare: usize,
}

struct Pool {
    name: &'static str,
    counts: Threads,
    executor: Arc<dyn Executor>,
    clock: Arc<dyn Clock>,
    queue: Receiver<Job>,
    urgent: Receiver<Job>,
    /// Jobs that are queued or under way.
    jobs: AtomicUsize,
    state: Mutex<State>,
    watch: Watch,
    on_look: OnLook,
}

/// The watch rests while there is no job.
struct Watch {
    is_awake: AtomicBool,
    wake: Sender<()>,
    woken: Receiver<()>,
}

#[derive(Default)]
struct State {
    threads: usize,
    under_way: HashMap<u64, UnderWay>,
    next: u64,
    /// Stuck jobs that the log has told of.
    told: usize,
}

struct UnderWay {
    /// By the clock's elapsed time.
    began: Duration,
    thread: SystemThread,
    is_lowered: bool,
}

impl State {
    fn older_than(&self, age: Duration, now: Duration) -> usize {
        let jobs = self.under_way.values();
        jobs.filter(|job| now.saturating_sub(job.began) > age)
            .count()
    }
}

impl Workers {
    /// Starts the regular threads.
    pub fn start(
        name: &'static str,
        counts: Threads,
        executor: Arc<dyn Executor>,
        clock: Arc<dyn Clock>,
        on_look: OnLook,
    ) -> std::io::Result<Workers> {
        let (jobs, queue) = unbounded();
        let (urgent, urgent_queue) = unbounded();
        let (wake, woken) = bounded(1);
        let pool = Arc::new(Pool {
            name,
            counts,
            executor,
            clock,
            queue,
            urgent: urgent_queue,
            jobs: AtomicUsize::new(0),
            state: Mutex::default(),
            watch: Watch {
                is_awake: AtomicBool::new(false),
                wake,
                woken,
            },
            on_look,
        });
        for _ in 0..counts.regular {
            Pool::add_thread(&pool, &mut pool.state.lock())?;
        }
        let (watched, ended) = unbounded::<()>();
        let watched_pool = pool.clone();
        let watch = move || Pool::watch(&watched_pool, &ended);
        pool.executor
            .start(&format!("{name}-watch"), STACK_BYTES, Box::new(watch))?;
        Ok(Workers {
            jobs,
            urgent,
            pool,
            _watched: watched,
        })
    }

    /// Queues a job.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.queue(&self.jobs, Box::new(job));
    }

    /// Queues a job before those of [`run`](Self::run).
    pub fn run_next(&self, job: impl FnOnce() + Send + 'static) {
        self.queue(&self.urgent, Box::new(job));
    }

    fn queue(&self, jobs: &Sender<Job>, job: Job) {
        self.pool.jobs.fetch_add(1, Ordering::SeqCst);
        // Threads end only after this is dropped.
        let _ = jobs.send(job);
        self.pool.watch.wake_if_it_rests();
    }

    /// Jobs that wait for a thread.
    pub fn queued(&self) -> usize {
        self.jobs.len() + self.urgent.len()
    }

    /// Threads beyond the regular ones.
    pub fn spare(&self) -> usize {
        let threads = self.pool.state.lock().threads;
        threads.saturating_sub(self.pool.counts.regular)
    }

    /// Jobs that have run longer than any function may.
    pub fn stuck(&self) -> usize {
        let now = self.pool.clock.elapsed();
        self.pool.state.lock().older_than(STUCK_AFTER, now)
    }
}

impl Watch {
    fn wake_if_it_rests(&self) {
        if !self.is_awake.swap(true, Ordering::SeqCst) {
            self.wake();
        }
    }

    fn wake(&self) {
        // Full: it is woken already.
        let _ = self.wake.try_send(());
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

    /// Looks after the threads until `ended` has no sender.
    fn watch(pool: &Arc<Pool>, ended: &Receiver<()>) {
        loop {
            if pool.may_rest() {
                select! {
                    recv(ended) -> _ => return,
                    recv(pool.watch.woken) -> _ => {}
                }
            } else {
                let look = pool.clock.elapsed().saturating_add(LOOK_EVERY);
                select! {
                    recv(ended) -> _ => return,
                    recv(pool.watch.woken) -> _ => {}
                    recv(pool.clock.alarm_at(look)) -> _ => {}
                }
            }
            Pool::look(pool);
            (pool.on_look)(pool.clock.elapsed());
        }
    }

    /// Whether there is no job to watch. The next one wakes the watch.
    fn may_rest(&self) -> bool {
        self.watch.is_awake.store(false, Ordering::SeqCst);
        let rests = self.jobs.load(Ordering::SeqCst) == 0;
        if !rests {
            self.watch.is_awake.store(true, Ordering::SeqCst);
        }
        rests
    }

    fn look(pool: &Arc<Pool>) {
        let now = pool.clock.elapsed();
        let mut state = pool.state.lock();
        pool.tell_of_stuck(&mut state, now);
        let long = |job: &&mut UnderWay| now.saturating_sub(job.began) > LONG_AFTER;
        for job in state.under_way.values_mut().filter(long) {
            job.is_lowered = job.is_lowered || job.thread.lower();
        }
        // A thread that this one starts has a priority that was never lowered.
        while pool.wants_another(&state, now) {
            if let Err(error) = Pool::add_thread(pool, &mut state) {
                tracing::error!(threads = pool.name, %error, "there is no thread to be had");
                break;
            }
        }
    }

    fn wants_another(&self, state: &State, now: Duration) -> bool {
        let Threads { regular, spare } = self.counts;
        let others = state.threads - state.older_than(LONG_AFTER, now);
        let are_few = others < OTHERS_MIN.min(regular);
        state.threads < regular || (are_few && state.threads < regular + spare)
    }

    fn tell_of_stuck(&self, state: &mut State, now: Duration) {
        let stuck = state.older_than(STUCK_AFTER, now);
        if stuck > state.told {
            tracing::error!(
                threads = self.name,
                stuck,
                "a call is stuck in a native operation; another thread takes its place"
            );
        }
        state.told = stuck;
    }

    fn work(&self) {
        while let Some(job) = self.next() {
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

    /// The next job, or none once there are no more and will be none.
    fn next(&self) -> Option<Job> {
        if let Ok(job) = self.urgent.try_recv() {
            return Some(job);
        }
        select! {
            recv(self.urgent) -> job => job.or_else(|_| self.queue.recv()),
            recv(self.queue) -> job => job.or_else(|_| self.urgent.recv()),
        }
        .ok()
    }

    fn begin(&self) -> u64 {
        let mut state = self.state.lock();
        state.next += 1;
        let number = state.next;
        let job = UnderWay {
            began: self.clock.elapsed(),
            thread: SystemThread::current(),
            is_lowered: false,
        };
        state.under_way.insert(number, job);
        number
    }

    /// Notes the end of a job. False if the thread ends, which is then no longer counted. There is one too many, or its
    /// priority was lowered and the watch starts another in its place.
    fn goes_on(&self, number: u64) -> bool {
        let mut state = self.state.lock();
        let job = state.under_way.remove(&number);
        // Behind it: where no job is counted, none is under way.
        self.jobs.fetch_sub(1, Ordering::SeqCst);
        let long = state.older_than(LONG_AFTER, self.clock.elapsed());
        let is_one_too_many = state.threads - long > self.counts.regular;
        let is_lowered = job.is_some_and(|job| job.is_lowered);
        let ends = is_one_too_many || is_lowered;
        if ends {
            state.threads -= 1;
            self.watch.wake();
        }
        !ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, UnixNanos};
    use crate::executor::SystemExecutor;

    struct Rig {
        clock: Arc<ManualClock>,
        workers: Workers,
        say: Sender<u32>,
        said: Receiver<u32>,
    }

    fn rig(regular: usize, spare: usize) -> Rig {
        let clock = Arc::new(ManualClock::at(UnixNanos::from_seconds(1)));
        let counts = Threads { regular, spare };
        let executor = Arc::new(SystemExecutor);
        let workers = Workers::start("test", counts, executor, clock.clone(), Box::new(|_| ()));
        let (say, said) = unbounded();
        Rig {
            clock,
            workers: workers.unwrap(),
            say,
            said,
        }
    }

    impl Rig {
        fn threads(&self) -> usize {
            self.workers.pool.state.lock().threads
        }

        /// Queues a job that says that it runs, and then waits.
        fn hold(&self, number: u32, held: &Receiver<()>) {
            let (say, held) = (self.say.clone(), held.clone());
            self.workers.run(move || {
                say.send(number).unwrap();
                let _ = held.recv();
            });
        }

        /// Lets time pass until another job runs. The watch may set its alarm after any one step of it.
        fn next(&self) -> u32 {
            loop {
                self.clock.advance(LONG_AFTER);
                if let Ok(number) = self.said.recv_timeout(Duration::from_millis(1)) {
                    return number;
                }
            }
        }
    }

    #[test]
    fn a_job_behind_long_ones_gets_a_thread_up_to_a_bound_and_the_thread_goes_again() {
        let rig = rig(1, 2);
        let (release, held) = unbounded::<()>();
        for number in 1..=4 {
            rig.hold(number, &held);
        }
        assert_eq!([rig.next(), rig.next(), rig.next()], [1, 2, 3]);
        for _ in 0..10 {
            rig.clock.advance(STUCK_AFTER);
            std::thread::yield_now();
        }
        assert_eq!((rig.threads(), rig.workers.spare()), (3, 2));
        assert_eq!(rig.workers.queued(), 1, "no more threads than these");
        drop(release);
        assert_eq!(rig.said.recv(), Ok(4));
        while rig.threads() != 1 || rig.workers.pool.jobs.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn urgent_jobs_come_first_and_none_is_lost_at_the_end() {
        let rig = rig(1, 0);
        let (release, held) = unbounded::<()>();
        rig.hold(0, &held);
        assert_eq!(rig.said.recv(), Ok(0));
        for number in 1..=4 {
            let say = rig.say.clone();
            let job = move || say.send(number).unwrap();
            match number > 2 {
                true => rig.workers.run_next(job),
                false => rig.workers.run(job),
            }
        }
        assert_eq!(rig.workers.queued(), 4);
        let Rig { workers, said, .. } = rig;
        drop(workers);
        drop(release);
        let order: Vec<u32> = (0..4).map(|_| said.recv().unwrap()).collect();
        assert_eq!(order, [3, 4, 1, 2]);
    }

    #[test]
    fn short_jobs_start_no_thread() {
        let rig = rig(2, 2);
        for number in 0..100 {
            let say = rig.say.clone();
            rig.workers.run(move || say.send(number).unwrap());
            rig.clock.advance(LONG_AFTER / 4);
            rig.said.recv().unwrap();
            // Said is not yet done, and the clock that goes on would make it a long job.
            while rig.workers.pool.jobs.load(Ordering::SeqCst) > 0 {
                std::thread::yield_now();
            }
        }
        assert_eq!(rig.threads(), 2);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_long_job_has_a_lower_priority_and_leaves_it_to_no_other() {
        use rustix::process::getpriority_process;
        use rustix::thread::gettid;

        let rig = rig(1, 0);
        let (release, held) = unbounded::<()>();
        let (say_thread, thread) = unbounded();
        let say = say_thread.clone();
        rig.workers.run(move || {
            say.send(gettid()).unwrap();
            let _ = held.recv();
        });
        let first = thread.recv().unwrap();
        let usual = getpriority_process(Some(gettid())).unwrap();
        if usual >= 19 {
            return;
        }
        while getpriority_process(Some(first)).unwrap() == usual {
            rig.clock.advance(LONG_AFTER);
            std::thread::yield_now();
        }
        drop(release);
        let (say_priority, priority) = unbounded();
        rig.workers.run(move || {
            let priority = getpriority_process(Some(gettid())).unwrap();
            say_priority.send(priority).unwrap();
        });
        assert_eq!(priority.recv(), Ok(usual));
        assert_eq!(rig.threads(), 1);
    }
}
