//! Where the outcomes of a connection's calls arrive.

use std::sync::Arc;
use std::task::{Wake, Waker};

use parking_lot::Mutex;
use tokio::sync::Notify;
use vestibule_schema::wire::RequestId;

use crate::functions::{ActionRun, MutationRun, SystemError};

/// The outcome of a call.
pub(super) enum Completion {
    Mutation(RequestId, Result<MutationRun, SystemError>),
    Action(RequestId, Result<ActionRun, SystemError>),
}

/// Completions on their way to the connection's task. Bounded by the calls that a connection may have under way.
#[derive(Clone)]
pub(super) struct Mailbox(Arc<Shared>);

struct Shared {
    completions: Mutex<Vec<Completion>>,
    wake: Arc<Notify>,
}

impl Mailbox {
    pub fn new(wake: Arc<Notify>) -> Mailbox {
        Mailbox(Arc::new(Shared {
            completions: Mutex::default(),
            wake,
        }))
    }

    /// Delivers a completion and wakes the connection.
    pub fn deliver(&self, completion: Completion) {
        self.leave(completion).wake();
    }

    /// Delivers a completion. The connection need not look for it before it is woken.
    pub fn leave(&self, completion: Completion) -> Waker {
        self.0.completions.lock().push(completion);
        Waker::from(self.0.clone())
    }

    pub fn collect(&self) -> Vec<Completion> {
        std::mem::take(&mut *self.0.completions.lock())
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake.notify_one();
    }
}
