//! The record of a server that is watched, and the points at which a schedule holds it up.

use std::collections::BTreeMap;
use std::fs::File;
use std::future::ready;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;
use vestibule_schema::identity::IdentityKey;
use vestibule_server::probe::{Event, Pause, Point, Watch};

/// Writes each event as a line, without a buffer, and holds up the callers it was told to.
#[derive(Clone)]
pub struct Record(Arc<Parts>);

struct Parts {
    lines: Mutex<File>,
    seats: AtomicU64,
    state: Mutex<State>,
    /// Wakes threads.
    released: Condvar,
    /// Wakes tasks.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// Each holds up one arrival: that of one identity, or of any.
    armed: Vec<(Point, Option<IdentityKey>)>,
    held: BTreeMap<u64, Point>,
    tickets: u64,
}

impl Record {
    /// One that is written to `lines`. Seats are numbered from `first_seat`.
    pub fn new(lines: File, first_seat: u64) -> Record {
        Record(Arc::new(Parts {
            lines: Mutex::new(lines),
            seats: AtomicU64::new(first_seat),
            state: Mutex::default(),
            released: Condvar::new(),
            changes: watch::Sender::new(0),
        }))
    }

    /// Holds up the next arrival at `point`: that of `whom`, or of any identity.
    pub fn arm(&self, point: Point, whom: Option<IdentityKey>) {
        self.0.state.lock().armed.push((point, whom));
    }

    /// Holds up no further arrival.
    pub fn disarm(&self) {
        self.0.state.lock().armed.clear();
    }

    /// Lets go every caller held up at `point`, or at any point, and holds up no further caller there.
    pub fn release(&self, point: Option<Point>) {
        let is_meant = |other: Point| point.is_none_or(|point| point == other);
        let mut state = self.0.state.lock();
        state.armed.retain(|(armed, _)| !is_meant(*armed));
        state.held.retain(|_, held| !is_meant(*held));
        drop(state);
        self.0.released.notify_all();
        self.0.changes.send_modify(|changes| *changes += 1);
    }
}

impl Watch for Record {
    fn event(&self, event: Event) {
        let mut line = serde_json::to_vec(&event).expect("events are plain data");
        line.push(b'\n');
        let written = self.0.lines.lock().write_all(&line);
        if written.is_err() {
            // The program that started this one is gone.
            std::process::exit(0);
        }
    }

    fn next_seat(&self) -> u64 {
        self.0.seats.fetch_add(1, Ordering::Relaxed)
    }

    fn pause(&self, point: Point, whom: Option<IdentityKey>) -> Pause {
        let Some(held_up) = HeldUp::at(self, point, whom) else {
            return Box::pin(ready(()));
        };
        Box::pin(async move {
            let mut changes = held_up.record.0.changes.subscribe();
            // The sender is never dropped.
            let _ = changes.wait_for(|_| !held_up.is_held()).await;
        })
    }

    fn stop(&self, point: Point, whom: Option<IdentityKey>) {
        let Some(held_up) = HeldUp::at(self, point, whom) else {
            return;
        };
        let mut state = self.0.state.lock();
        let is_held = |state: &mut State| state.held.contains_key(&held_up.ticket);
        self.0.released.wait_while(&mut state, is_held);
    }
}

/// A caller that is held up. The mark ends when the caller is let go or gives up.
struct HeldUp {
    record: Record,
    ticket: u64,
    point: Point,
    whom: Option<IdentityKey>,
}

impl HeldUp {
    /// At `point`, when a caller is to be held up here.
    fn at(record: &Record, point: Point, whom: Option<IdentityKey>) -> Option<HeldUp> {
        let mut state = record.0.state.lock();
        let meant = |(armed, who): &(Point, Option<IdentityKey>)| {
            *armed == point && (who.is_none() || *who == whom)
        };
        let place = state.armed.iter().position(meant)?;
        state.armed.swap_remove(place);
        state.tickets += 1;
        let ticket = state.tickets;
        state.held.insert(ticket, point);
        // Under the lock, so that no caller is let go before its wait is recorded.
        record.event(Event::Paused {
            point,
            identity: whom.clone(),
        });
        Some(HeldUp {
            record: record.clone(),
            ticket,
            point,
            whom,
        })
    }

    fn is_held(&self) -> bool {
        self.record.0.state.lock().held.contains_key(&self.ticket)
    }
}

impl Drop for HeldUp {
    fn drop(&mut self) {
        self.record.0.state.lock().held.remove(&self.ticket);
        self.record.event(Event::Resumed {
            point: self.point,
            identity: self.whom.take(),
        });
    }
}
