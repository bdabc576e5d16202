//! Holds: a writer of contents whose documents are not visible for a while keeps the sweep away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many keep the sweep away.
#[derive(Clone, Debug, Default)]
pub(super) struct Holds(Arc<AtomicUsize>);

/// Keeps the sweep away while it exists.
#[derive(Debug)]
pub struct Hold(Arc<AtomicUsize>);

impl Holds {
    pub fn take(&self) -> Hold {
        self.0.fetch_add(1, Ordering::SeqCst);
        Hold(self.0.clone())
    }

    pub fn are_held(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
