//! Every order in which askers, runs and writers can take their steps, as far as so many preemptions lead.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::thread;

use crate::single_flight::{Lead, SingleFlight};

const ADA: u8 = 1;
const GRACE: u8 = 2;

/// The state that the provisioning function would read, and its runs.
struct World {
    runs: SingleFlight<u8, Outcome>,
    /// Commits so far: what a run has seen of the database.
    commits: AtomicUsize,
    /// Runs under way for Ada and for Grace.
    running: [AtomicUsize; 2],
    begun: AtomicUsize,
}

/// A run's report in the end.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Outcome {
    key: u8,
    /// The commits it has seen.
    seen: usize,
}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World {
            runs: SingleFlight::default(),
            commits: AtomicUsize::new(0),
            running: [AtomicUsize::new(0), AtomicUsize::new(0)],
            begun: AtomicUsize::new(0),
        })
    }

    fn write(&self) {
        self.commits.fetch_add(1, Ordering::SeqCst);
    }

    fn committed(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// The server's run in a task of its own.
    fn fly(&self, run: Lead<u8, Outcome>, key: u8) {
        let outcome = self.execute(key);
        run.end(outcome);
    }

    fn execute(&self, key: u8) -> Outcome {
        let running = &self.running[usize::from(key) - 1];
        assert_eq!(
            running.fetch_add(1, Ordering::SeqCst),
            0,
            "two runs at once"
        );
        self.begun.fetch_add(1, Ordering::SeqCst);
        let seen = self.committed();
        running.fetch_sub(1, Ordering::SeqCst);
        Outcome { key, seen }
    }

    /// Asks, and makes the run that falls to this asker with `fly`. The answer has seen what was committed before.
    async fn ask(&self, key: u8, fly: impl Fn(Lead<u8, Outcome>)) -> Option<Outcome> {
        let floor = self.committed();
        let join = |run: Option<Lead<u8, Outcome>>| run.into_iter().for_each(&fly);
        let outcome = self
            .runs
            .share(&key, |outcome| outcome.seen >= floor, join)
            .await;
        if let Some(outcome) = outcome {
            assert_eq!(outcome.key, key, "somebody else's outcome");
            assert!(outcome.seen >= floor, "an outcome from before the question");
        }
        outcome
    }
}

/// Asks; a run that falls to this asker is made on its own thread before it waits.
fn ask_and_fly(world: &World, key: u8) -> Option<Outcome> {
    block_on(world.ask(key, |run| world.fly(run, key)))
}

/// Asks; a run that falls to this asker is made by another thread while it waits.
fn ask_and_launch(world: &Arc<World>, key: u8) -> Option<Outcome> {
    block_on(world.ask(key, |run| {
        let world = world.clone();
        thread::spawn(move || world.fly(run, key));
    }))
}

/// Tries all orders with up to so many preemptions.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(model);
}

/// Remembers that something happened in some order: otherwise a test would prove nothing.
fn witness() -> &'static AtomicBool {
    Box::leak(Box::new(AtomicBool::new(false)))
}

#[test]
fn two_who_ask_at_once_are_both_answered_by_one_run_or_by_two_one_after_the_other() {
    let (joined, apart) = (witness(), witness());
    explore(2, || {
        let world = World::new();
        let other = {
            let world = world.clone();
            thread::spawn(move || ask_and_launch(&world, ADA))
        };
        assert!(ask_and_launch(&world, ADA).is_some());
        assert!(other.join().unwrap().is_some());
        match world.begun() {
            1 => joined.store(true, Ordering::Relaxed),
            2 => apart.store(true, Ordering::Relaxed),
            runs => panic!("{runs} runs"),
        }
    });
    assert!(joined.load(Ordering::Relaxed) && apart.load(Ordering::Relaxed));
}

#[test]
fn three_who_ask_at_once_are_all_answered() {
    let (joined, apart) = (witness(), witness());
    explore(3, || {
        let world = World::new();
        let others = [(); 2].map(|()| {
            let world = world.clone();
            thread::spawn(move || ask_and_fly(&world, ADA))
        });
        assert!(ask_and_fly(&world, ADA).is_some());
        for other in others {
            assert!(other.join().unwrap().is_some());
        }
        match world.begun() {
            1 => joined.store(true, Ordering::Relaxed),
            2 | 3 => apart.store(true, Ordering::Relaxed),
            runs => panic!("{runs} runs"),
        }
    });
    assert!(joined.load(Ordering::Relaxed) && apart.load(Ordering::Relaxed));
}

#[test]
fn two_people_have_runs_of_their_own_beside_each_other() {
    explore(2, || {
        let world = World::new();
        let other = {
            let world = world.clone();
            thread::spawn(move || ask_and_launch(&world, GRACE))
        };
        assert!(ask_and_launch(&world, ADA).is_some());
        assert!(other.join().unwrap().is_some());
        assert_eq!(world.begun(), 2);
    });
}

#[test]
fn who_asks_after_a_commit_gets_an_answer_that_has_seen_it() {
    let had_to_ask_again = witness();
    explore(3, || {
        let world = World::new();
        let other = {
            let world = world.clone();
            thread::spawn(move || ask_and_launch(&world, ADA))
        };
        world.write();
        let boardings = AtomicUsize::new(0);
        let outcome = block_on(world.ask(ADA, |run| {
            boardings.fetch_add(1, Ordering::SeqCst);
            world.fly(run, ADA);
        }));
        assert_eq!(outcome.unwrap().seen, 1);
        let first_saw = other.join().unwrap().unwrap().seen;
        if first_saw == 0 && boardings.load(Ordering::SeqCst) == 1 {
            had_to_ask_again.store(true, Ordering::Relaxed);
        }
    });
    assert!(had_to_ask_again.load(Ordering::Relaxed));
}

#[test]
fn a_run_that_is_lost_wakes_everybody_and_the_next_one_starts_anew() {
    let shared = witness();
    explore(2, || {
        let world = World::new();
        let other = {
            let world = world.clone();
            thread::spawn(move || ask_and_lose(&world))
        };
        assert_eq!(ask_and_lose(&world), None);
        assert_eq!(other.join().unwrap(), None);
        if world.begun() == 1 {
            shared.store(true, Ordering::Relaxed);
        }
        let before = world.begun();
        assert!(ask_and_fly(&world, ADA).is_some());
        assert_eq!(world.begun(), before + 1);
    });
    assert!(shared.load(Ordering::Relaxed));
}

/// Asks; a run that falls to this asker is dropped, as it is when its task panics or is dropped.
fn ask_and_lose(world: &Arc<World>) -> Option<Outcome> {
    block_on(world.ask(ADA, |run| {
        let world = world.clone();
        thread::spawn(move || {
            world.execute(ADA);
            drop(run);
        });
    }))
}

#[test]
fn who_stops_waiting_takes_nothing_from_the_others() {
    explore(3, || {
        let world = World::new();
        let leaver = {
            let world = world.clone();
            thread::spawn(move || {
                let asked = pin!(world.ask(ADA, |run| {
                    let world = world.clone();
                    thread::spawn(move || world.fly(run, ADA));
                }));
                // Looks once, and leaves whether it is there or not.
                let _ = asked.poll(&mut Context::from_waker(Waker::noop()));
            })
        };
        assert!(ask_and_launch(&world, ADA).is_some());
        leaver.join().unwrap();
    });
}

#[test]
fn who_waits_on_in_another_task_is_woken_there() {
    let waited = witness();
    explore(3, || {
        let world = World::new();
        let mut asked = pin!(world.ask(ADA, |run| {
            let world = world.clone();
            thread::spawn(move || world.fly(run, ADA));
        }));
        let outcome = match asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                waited.store(true, Ordering::Relaxed);
                block_on(asked)
            }
        };
        assert!(outcome.is_some());
    });
    assert!(waited.load(Ordering::Relaxed));
}
