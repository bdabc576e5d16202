//! The record of a build that keeps one, and the pause points that a schedule arms.

use std::collections::BTreeMap;
use std::future::ready;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;
use vestibule_schema::identity::IdentityKey;
use vestibule_schema::wire::RequestId;

use super::{CallOf, Event, Point};

/// Where events go. It is called on whichever thread the event happens on, the committer's among them.
pub trait Recorder: Send + Sync {
    /// Keeps an event, in the order of the calls.
    fn keep(&self, event: Event);
}

static RECORDER: OnceLock<Box<dyn Recorder>> = OnceLock::new();
static SEATS: AtomicU64 = AtomicU64::new(0);

/// Begins the record of this process. Seats are numbered from `first_seat`. The first recorder stays.
pub fn install(recorder: Box<dyn Recorder>, first_seat: u64) {
    SEATS.store(first_seat, Ordering::Relaxed);
    let _ = RECORDER.set(recorder);
}

/// States an event.
pub fn event(event: impl FnOnce() -> Event) {
    if let Some(recorder) = RECORDER.get() {
        recorder.keep(event());
    }
}

/// A connection or an HTTP request.
#[derive(Debug)]
pub struct Seat(u64);

impl Seat {
    /// The next one.
    pub fn take() -> Seat {
        let seat = Seat(SEATS.fetch_add(1, Ordering::Relaxed));
        event(|| Event::Connected { seat: seat.0 });
        seat
    }

    pub(super) fn number(&self) -> u64 {
        self.0
    }

    /// The mark of a call that is started while `version` is the newest.
    pub fn tag(&self, version: u32, request: Option<RequestId>) -> Tag {
        Tag(Origin::Call(CallOf {
            seat: self.0,
            version,
            request: request.map(|request| request.0),
        }))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        event(|| Event::Closed { seat: self.0 });
    }
}

/// Where a call came from. It travels with the caller.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tag(Origin);

#[derive(Clone, Copy, Debug, Default)]
enum Origin {
    /// The server's own work, such as a live query that many watch.
    #[default]
    Server,
    Provisioning,
    Call(CallOf),
}

impl Tag {
    /// No mark.
    pub fn none() -> Tag {
        Tag(Origin::Server)
    }

    /// The gate's own run.
    pub fn provisioning() -> Tag {
        Tag(Origin::Provisioning)
    }

    /// Whether it is the gate's own run.
    pub fn is_provisioning(self) -> bool {
        matches!(self.0, Origin::Provisioning)
    }

    /// The client's call it belongs to.
    pub fn call(self) -> Option<CallOf> {
        match self.0 {
            Origin::Call(call) => Some(call),
            Origin::Server | Origin::Provisioning => None,
        }
    }
}

/// Who is to be held up, and who is.
struct Pauses {
    state: Mutex<State>,
    /// Wakes threads.
    released: Condvar,
    /// Wakes tasks.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// Each holds up one arrival: that of an identity, or anybody's.
    armed: Vec<(Point, Option<IdentityKey>)>,
    held: BTreeMap<u64, Point>,
    tickets: u64,
}

static PAUSES: OnceLock<Pauses> = OnceLock::new();

fn pauses() -> &'static Pauses {
    PAUSES.get_or_init(|| Pauses {
        state: Mutex::default(),
        released: Condvar::new(),
        changes: watch::Sender::new(0),
    })
}

/// Holds up the next arrival at `point`: that of `whom`, or anybody's.
pub fn arm(point: Point, whom: Option<IdentityKey>) {
    pauses().state.lock().armed.push((point, whom));
}

/// Holds up nobody any more who has not arrived yet.
pub fn disarm() {
    pauses().state.lock().armed.clear();
}

/// Lets go whoever is held up at `point`, or at any point, and holds up nobody there any more.
pub fn release(point: Option<Point>) {
    let pauses = pauses();
    let is_meant = |other: Point| point.is_none_or(|point| point == other);
    let mut state = pauses.state.lock();
    state.armed.retain(|(armed, _)| !is_meant(*armed));
    state.held.retain(|_, held| !is_meant(*held));
    drop(state);
    pauses.released.notify_all();
    pauses.changes.send_modify(|changes| *changes += 1);
}

/// Somebody who is held up. When they are let go, or give up, they are so no longer.
struct HeldUp {
    ticket: u64,
    point: Point,
    whom: Option<IdentityKey>,
}

impl HeldUp {
    /// At `point`, when somebody is to be held up here.
    fn at(point: Point, whom: impl FnOnce() -> Option<IdentityKey>) -> Option<HeldUp> {
        RECORDER.get()?;
        let whom = whom();
        let mut state = pauses().state.lock();
        let meant = |(armed, who): &(Point, Option<IdentityKey>)| {
            *armed == point && (who.is_none() || *who == whom)
        };
        let place = state.armed.iter().position(meant)?;
        state.armed.swap_remove(place);
        state.tickets += 1;
        let ticket = state.tickets;
        state.held.insert(ticket, point);
        // Under the lock, so that nobody is let go before it is said that they wait.
        event(|| Event::Paused {
            point,
            identity: whom.clone(),
        });
        Some(HeldUp {
            ticket,
            point,
            whom,
        })
    }

    fn is_held(&self, state: &State) -> bool {
        state.held.contains_key(&self.ticket)
    }
}

impl Drop for HeldUp {
    fn drop(&mut self) {
        pauses().state.lock().held.remove(&self.ticket);
        event(|| Event::Resumed {
            point: self.point,
            identity: self.whom.take(),
        });
    }
}

/// A point where a task may be held up.
pub fn pause(
    point: Point,
    whom: impl FnOnce() -> Option<IdentityKey>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let Some(held_up) = HeldUp::at(point, whom) else {
        return Box::pin(ready(()));
    };
    Box::pin(async move {
        let mut changes = pauses().changes.subscribe();
        let is_free = |_: &u64| !held_up.is_held(&pauses().state.lock());
        // The sender is never dropped.
        let _ = changes.wait_for(is_free).await;
    })
}

/// A point where a thread may be held up.
pub fn stop(point: Point, whom: impl FnOnce() -> Option<IdentityKey>) {
    let Some(held_up) = HeldUp::at(point, whom) else {
        return;
    };
    let mut state = pauses().state.lock();
    pauses()
        .released
        .wait_while(&mut state, |state| held_up.is_held(state));
}
