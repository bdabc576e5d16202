//! The commands of handles to the worker: a bounded list that is written without waiting. Calls go out in the order in
//! which they were made.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::{Notify, oneshot, watch};
use vestibule_schema::Value;

use crate::error::{CallError, Closed, EnsureUserError};
use crate::session::{LoginId, NewCall, QueryKey, Scope};
use crate::subscription::Shown;
use crate::token::{AnyTokenSource, Token};

/// Commands that may wait for the worker, which takes them as soon as it runs.
const COMMANDS_MAX: usize = 20_000;

pub(crate) type Answer<E> = oneshot::Sender<Result<Value, E>>;

/// One watcher of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WatcherId(pub u64);

pub(crate) enum Command {
    Subscribe(WatcherId, QueryKey, watch::Sender<Shown>),
    Query(QueryKey, Answer<CallError>),
    Call(Scope, NewCall, Answer<CallError>),
    Authenticate(LoginId, Token, AnyTokenSource),
    EnsureUser(LoginId, Answer<EnsureUserError>),
    SignOut(LoginId),
}

/// The list, shared by all handles and the worker.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<InboxState>,
    wake: Notify,
}

#[derive(Default)]
struct InboxState {
    commands: VecDeque<Command>,
    /// Watchers that were dropped. Bounded by the watchers there are.
    dropped: Vec<WatcherId>,
    next: u64,
    handles: usize,
    closed: Option<Closed>,
}

/// The commands that the worker takes at once.
pub(crate) struct Taken {
    pub commands: VecDeque<Command>,
    pub dropped: Vec<WatcherId>,
    /// No handle and no subscription is left: no command will come any more.
    pub is_abandoned: bool,
}

/// Why a command was not taken.
pub(crate) enum NotTaken {
    Full,
    Closed(Closed),
}

impl From<NotTaken> for CallError {
    fn from(not_taken: NotTaken) -> Self {
        match not_taken {
            NotTaken::Full => CallError::TooManyCalls,
            NotTaken::Closed(closed) => CallError::Closed(closed),
        }
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.state
            .lock()
            .expect("nothing panics while it holds the inbox")
    }

    /// A number that is unique in this client.
    pub fn next_id(&self) -> u64 {
        let mut state = self.lock();
        state.next += 1;
        state.next
    }

    /// Adds a command.
    pub fn put(&self, command: Command) -> Result<(), NotTaken> {
        let mut state = self.lock();
        if let Some(closed) = &state.closed {
            return Err(NotTaken::Closed(closed.clone()));
        }
        if state.commands.len() >= COMMANDS_MAX {
            return Err(NotTaken::Full);
        }
        state.commands.push_back(command);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Notes that a watcher is gone.
    pub fn drop_watcher(&self, watcher: WatcherId) {
        self.lock().dropped.push(watcher);
        self.wake.notify_one();
    }

    /// Counts a handle, which keeps the client running.
    pub fn add_handle(&self) {
        self.lock().handles += 1;
    }

    /// One handle less.
    pub fn drop_handle(&self) {
        self.lock().handles -= 1;
        self.wake.notify_one();
    }

    /// Takes everything.
    pub fn take(&self) -> Taken {
        let mut state = self.lock();
        Taken {
            is_abandoned: state.handles == 0,
            commands: std::mem::take(&mut state.commands),
            dropped: std::mem::take(&mut state.dropped),
        }
    }

    /// Returns when there may be something to take.
    pub async fn filled(&self) {
        self.wake.notified().await;
    }

    /// Takes no more. Waiting commands are dropped, which tells their waiters.
    pub fn close(&self, why: Closed) {
        let mut state = self.lock();
        state.closed.get_or_insert(why);
        let left = std::mem::take(&mut state.commands);
        drop(state);
        // Not under the lock: a command may own a handle.
        drop(left);
    }

    /// Why the client has ended, if it has.
    pub fn why_closed(&self) -> Closed {
        self.lock().closed.clone().unwrap_or(Closed::RuntimeEnded)
    }
}
