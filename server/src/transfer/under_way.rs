//! The transfers under way, and how each is told to stop: by an administrator, or because the server ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;
use vestibule_schema::id::DocumentId;

use super::error::TransferError;

/// Tells one transfer to stop. Clones are told together.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    canceled: AtomicBool,
    ending: AtomicBool,
}

impl Stop {
    /// Why it is to stop, if it is.
    pub fn check(&self) -> Result<(), TransferError> {
        if self.0.canceled.load(Ordering::Relaxed) {
            return Err(TransferError::Canceled);
        }
        match self.0.ending.load(Ordering::Relaxed) {
            true => Err(TransferError::Interrupted),
            false => Ok(()),
        }
    }

    /// The error of a transfer: that it was told to stop, if it was, whatever came of that.
    pub fn explain(&self, error: TransferError) -> TransferError {
        self.check().err().unwrap_or(error)
    }
}

/// The transfers under way.
pub struct UnderWay {
    state: Mutex<State>,
    /// How many there are, for their end to be awaited.
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    /// The server ends: new ones stop at once.
    is_ending: bool,
    stops: HashMap<DocumentId, Stop>,
}

/// A transfer under way, until it is dropped.
pub struct Begun<'w> {
    under_way: &'w UnderWay,
    id: DocumentId,
    pub stop: Stop,
}

impl Default for UnderWay {
    fn default() -> UnderWay {
        UnderWay {
            state: Mutex::default(),
            count: watch::Sender::new(0),
        }
    }
}

impl UnderWay {
    /// Notes that the work for a document begins.
    pub fn begin(&self, id: DocumentId) -> Begun<'_> {
        let stop = Stop::default();
        let mut state = self.state.lock();
        stop.0.ending.store(state.is_ending, Ordering::Relaxed);
        state.stops.insert(id, stop.clone());
        self.count.send_replace(state.stops.len());
        Begun {
            under_way: self,
            id,
            stop,
        }
    }

    /// Whether there is work for a document.
    pub fn contains(&self, id: DocumentId) -> bool {
        self.state.lock().stops.contains_key(&id)
    }

    /// Tells the work for a document to stop, on an administrator's behalf.
    pub fn cancel(&self, id: DocumentId) {
        if let Some(stop) = self.state.lock().stops.get(&id) {
            stop.0.canceled.store(true, Ordering::Relaxed);
        }
    }

    /// Tells all to stop, those that begin later too.
    pub fn end(&self) {
        let mut state = self.state.lock();
        state.is_ending = true;
        for stop in state.stops.values() {
            stop.0.ending.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the server ends.
    pub fn is_ending(&self) -> bool {
        self.state.lock().is_ending
    }

    /// Waits until there is none.
    pub async fn ended(&self) {
        let mut count = self.count.subscribe();
        // The sender is this one's own.
        let _ = count.wait_for(|count| *count == 0).await;
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut state = self.under_way.state.lock();
        // Other work for the same document may have begun since.
        let is_own = |stop: &Stop| Arc::ptr_eq(&stop.0, &self.stop.0);
        if state.stops.get(&self.id).is_some_and(is_own) {
            state.stops.remove(&self.id);
        }
        self.under_way.count.send_replace(state.stops.len());
    }
}
