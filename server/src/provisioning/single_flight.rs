//! At most one run at a time for each key, shared by every caller that asks while it is under way.
//!
//! It knows neither what a run does nor where: the first caller gets the [`Lead`] and makes it. The file uses
//! nothing but `std`, or its stand-ins in loom, so that a test can try every order of its steps.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

#[cfg(loom)]
use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Arc, Mutex, MutexGuard};

/// The runs under way.
pub struct SingleFlight<K, T> {
    under_way: Arc<Mutex<HashMap<K, Arc<SharedRun<T>>>>>,
}

/// A run, to be made by the caller that received it. Dropped before its end, as by a panic, it ends
/// without an outcome.
pub struct Lead<K: Hash + Eq, T> {
    key: K,
    under_way: Arc<Mutex<HashMap<K, Arc<SharedRun<T>>>>>,
    shared: Arc<SharedRun<T>>,
    outcome: Option<T>,
}

struct SharedRun<T> {
    state: Mutex<RunState<T>>,
}

enum RunState<T> {
    /// The wakers, by the number of each waiter. A caller that leaves takes its waker along, so only those of waiting callers are here.
    UnderWay {
        next_waiter: u64,
        wakers: BTreeMap<u64, Waker>,
    },
    /// How it ended; nothing if it ended without an outcome.
    Ended(Option<T>),
}

impl<K, T> Default for SingleFlight<K, T> {
    fn default() -> SingleFlight<K, T> {
        SingleFlight {
            under_way: Arc::new(Mutex::new(HashMap::new())),
        }
    }
}

impl<K: Hash + Eq + Clone, T: Clone> SingleFlight<K, T> {
    /// Waits for the outcome of a run for `key`: of one under way, if its outcome `suits`, or else of one that this
    /// asker starts. `joined` is told of each run that is waited for: it gets the run to make, or nothing where
    /// it is under way already. The answer is nothing when the run ended without an outcome.
    pub async fn share(
        &self,
        key: &K,
        suits: impl Fn(&T) -> bool,
        mut joined: impl FnMut(Option<Lead<K, T>>),
    ) -> Option<T> {
        loop {
            let (shared, run) = self.join(key);
            let is_own = run.is_some();
            let end = RunEnd {
                shared,
                waiter: None,
            };
            joined(run);
            match end.await {
                Some(outcome) if !is_own && !suits(&outcome) => {}
                outcome => return outcome,
            }
        }
    }

    fn join(&self, key: &K) -> (Arc<SharedRun<T>>, Option<Lead<K, T>>) {
        let mut under_way = lock(&self.under_way);
        if let Some(shared) = under_way.get(key) {
            return (shared.clone(), None);
        }
        let shared = Arc::new(SharedRun {
            state: Mutex::new(RunState::UnderWay {
                next_waiter: 0,
                wakers: BTreeMap::new(),
            }),
        });
        under_way.insert(key.clone(), shared.clone());
        let run = Lead {
            key: key.clone(),
            under_way: self.under_way.clone(),
            shared: shared.clone(),
            outcome: None,
        };
        (shared, Some(run))
    }
}

impl<K: Hash + Eq, T> Lead<K, T> {
    /// Ends the run: every waiting caller gets the outcome, and later callers start another.
    pub fn end(mut self, outcome: T) {
        self.outcome = Some(outcome);
    }
}

impl<K: Hash + Eq, T> Drop for Lead<K, T> {
    fn drop(&mut self) {
        // First no caller can join any more, then it ends: a later caller never meets an outcome from before.
        lock(&self.under_way).remove(&self.key);
        self.shared.end(self.outcome.take());
    }
}

impl<T> SharedRun<T> {
    fn end(&self, outcome: Option<T>) {
        let before = std::mem::replace(&mut *lock(&self.state), RunState::Ended(outcome));
        // Woken without the lock: a waker may run what waits at once.
        if let RunState::UnderWay { wakers, .. } = before {
            wakers.into_values().for_each(Waker::wake);
        }
    }
}

/// Waits for the end of a run.
struct RunEnd<T> {
    shared: Arc<SharedRun<T>>,
    waiter: Option<u64>,
}

impl<T: Clone> Future for RunEnd<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let shared = self.shared.clone();
        let mut state = lock(&shared.state);
        match &mut *state {
            RunState::Ended(outcome) => Poll::Ready(outcome.clone()),
            RunState::UnderWay {
                next_waiter,
                wakers,
            } => {
                let waiter = *self.waiter.get_or_insert_with(|| {
                    *next_waiter += 1;
                    *next_waiter
                });
                wakers.insert(waiter, context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for RunEnd<T> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter
            && let RunState::UnderWay { wakers, .. } = &mut *lock(&self.shared.state)
        {
            wakers.remove(&waiter);
        }
    }
}

/// A panic in a caller's `Clone` leaves nothing half done, so a poisoned lock is as good as any.
fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
