//! Mutations beside the lane, while the lane remembers commits for one that began before all of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::app;
use crate::rig::{Rig, call_of};
use crate::row::Scene;

/// Drafts that are queued at once.
const BATCH: usize = 256;
/// Mutations that hold a draft open wait for this.
static HOLD: Mutex<()> = Mutex::new(());
/// Mutations that have waited for it.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// Waits until no scene holds drafts open.
pub fn wait_while_held() {
    BEGUN.fetch_add(1, Ordering::SeqCst);
    drop(HOLD.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Drafts beside one that is under way since before as many commits.
pub struct Beside {
    // Dropped before the rig, whose threads end with the draft that waits for it.
    _held: MutexGuard<'static, ()>,
    rig: Rig,
}

impl Beside {
    /// One that is under way, then so many commits, each to a document of its own.
    pub fn new(commits: usize) -> Beside {
        let rig = Rig::with_items(commits.max(BATCH)).reopened();
        let held = HOLD.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = BEGUN.load(Ordering::SeqCst);
        rig.begin(call_of(app::HOLD_OPEN, 0));
        while BEGUN.load(Ordering::SeqCst) == begun {
            std::thread::yield_now();
        }
        rig.mutate_all((0..commits).map(|at| call_of(app::BUMP, at)).collect());
        Beside { _held: held, rig }
    }
}

impl Scene for Beside {
    fn once(&mut self) -> u64 {
        // Each has a document of its own, so that none is overtaken.
        let bump = |at| call_of(app::BUMP_BESIDE, at);
        self.rig.mutate_all((0..BATCH).map(bump).collect());
        BATCH as u64
    }

    fn rig(&self) -> &Rig {
        &self.rig
    }
}
