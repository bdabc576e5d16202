//! Where the outcomes of a connection's calls arrive.

use std::sync::Arc;

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
pub(super) struct Mailbox {
    completions: Arc<Mutex<Vec<Completion>>>,
    wake: Arc<Notify>,
}

impl Mailbox {
    pub fn new(wake: Arc<Notify>) -> Mailbox {
        Mailbox {
            completions: Arc::default(),
            wake,
        }
    }

    pub fn deliver(&self, completion: Completion) {
        self.completions.lock().push(completion);
        self.wake.notify_one();
    }

    pub fn collect(&self) -> Vec<Completion> {
        std::mem::take(&mut *self.completions.lock())
    }
}
