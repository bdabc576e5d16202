//! The server's steps, one by one, stated to a watcher inside the process. Tests judge a server by this record, not by
//! their hopes, and hold it up where a schedule says so.
//!
//! The one [`Probe`] is handed in with the app and goes down with the database. Rooms state events to it, and offer the
//! points where they may be held up. A server that ships has no watcher: each step then only asks once whether there is
//! one. No auth token is ever part of an event.

mod event;
mod seat;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::OptionFuture;

pub use event::{CallOf, Event, Execution, Point};
pub use seat::Seat;
use vestibule_schema::identity::{Identity, IdentityKey};
use vestibule_schema::timestamp::Timestamp;

/// A watcher inside the server's process.
pub trait Watch: Send + Sync {
    /// Something happened. It is called on the thread on which it happens, the lane and the log writer among them.
    fn event(&self, event: Event);

    /// The number of the next connection or HTTP request.
    fn next_seat(&self) -> u64;

    /// A task arrives at a point, on behalf of an identity. It goes on when this is ready.
    fn pause(&self, point: Point, whom: Option<IdentityKey>) -> Pause;

    /// A thread arrives at a point. It goes on when this returns.
    fn stop(&self, point: Point, whom: Option<IdentityKey>);
}

/// The future that a held-up task waits for.
pub type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The way to state events: to a watcher, or to none.
#[derive(Clone, Default)]
pub struct Probe(Option<Arc<dyn Watch>>);

impl Probe {
    /// A probe without a watcher.
    pub fn none() -> Probe {
        Probe(None)
    }

    /// A probe through which `watcher` watches.
    pub fn of(watcher: Arc<dyn Watch>) -> Probe {
        Probe(Some(watcher))
    }

    /// States an event.
    pub fn event(&self, event: impl FnOnce() -> Event) {
        if let Some(watcher) = &self.0 {
            watcher.event(event());
        }
    }

    /// A point where a task may be held up.
    pub fn pause(
        &self,
        point: Point,
        whom: impl FnOnce() -> Option<IdentityKey>,
    ) -> OptionFuture<Pause> {
        let watcher = self.0.as_deref();
        let pause = watcher.map(|watcher| watcher.pause(point, whom()));
        pause.into()
    }

    /// A point where a thread may be held up.
    pub fn stop(&self, point: Point, whom: impl FnOnce() -> Option<IdentityKey>) {
        if let Some(watcher) = &self.0 {
            watcher.stop(point, whom());
        }
    }

    /// A run of the provisioning function begins.
    pub fn run_began(&self, identity: &Identity) {
        self.event(|| Event::RunBegan {
            identity: identity.key(),
        });
    }

    /// It has ended; an error is `refused` or `failed`.
    pub fn run_ended(&self, identity: &Identity, outcome: Result<Timestamp, &str>) {
        self.event(|| Event::RunEnded {
            identity: identity.key(),
            outcome: outcome.map(|ts| ts.0).map_err(str::to_string),
        });
    }

    /// The steps of provisioning are done as of a commit, and nothing has to run.
    pub fn found_provisioned(&self, identity: &Identity, at: Timestamp) {
        self.run_began(identity);
        self.run_ended(identity, Ok(at));
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Probe").field(&self.0.is_some()).finish()
    }
}
