//! The events that a connection or an HTTP request states of itself.

use vestibule_schema::identity::{Identity, IdentityKey};
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::wire::{ClientMessage, RequestId};

use super::event::{CallOf, Event, json_of, without_credential};
use super::{Probe, Watch};

/// The number of a connection or an HTTP request for the watcher. Dropping this ends it.
#[derive(Debug)]
pub struct Seat(Option<Box<Watched>>);

/// In a box: without a watcher, a connection has only room for a pointer to it.
#[derive(Debug)]
struct Watched {
    probe: Probe,
    number: u64,
}

impl Seat {
    /// The next one.
    pub fn take(probe: &Probe) -> Seat {
        let number = probe.0.as_deref().map(Watch::next_seat);
        let seat = Seat(number.map(|number| {
            let probe = probe.clone();
            Box::new(Watched { probe, number })
        }));
        seat.event(|seat| Event::Connected { seat });
        seat
    }

    fn event(&self, event: impl FnOnce(u64) -> Event) {
        if let Some(Watched { probe, number }) = self.0.as_deref() {
            probe.event(|| event(*number));
        }
    }

    /// The mark of a call that is started while `version` is the newest; `None` without a watcher.
    pub fn call(&self, version: u32, request: Option<RequestId>) -> Option<CallOf> {
        self.0.as_deref().map(|watched| CallOf {
            seat: watched.number,
            version,
            request: request.map(|request| request.0),
        })
    }

    /// A message came in.
    pub fn received(&self, message: &ClientMessage) {
        self.event(|seat| Event::Received {
            seat,
            message: without_credential(message),
        });
    }

    /// A message goes out.
    pub fn sent(&self, text: &str) {
        self.event(|seat| Event::Sent {
            seat,
            message: json_of(text),
        });
    }

    /// An identity was verified, and is this version from now on.
    pub fn verified(&self, version: u32, identity: &Identity) {
        self.event(|seat| Event::Verified {
            seat,
            version,
            identity: identity.key(),
        });
    }

    /// A credential was not accepted.
    pub fn rejected(&self, code: &str) {
        self.event(|seat| Event::Rejected {
            seat,
            code: code.to_string(),
        });
    }

    /// The seat is signed out from now on, which is this version.
    pub fn signed_out(&self, version: u32) {
        self.event(|seat| Event::SignedOut { seat, version });
    }

    /// A call was taken while this was the newest identity version.
    pub fn accepted(&self, version: u32, request: RequestId) {
        self.event(|seat| Event::Accepted {
            seat,
            version,
            request: request.0,
        });
    }

    /// The gate opened for this version, for whom, reading at or past `at`.
    pub fn opened(
        &self,
        version: u32,
        identity: impl FnOnce() -> Option<IdentityKey>,
        at: Timestamp,
    ) {
        self.event(|seat| Event::Opened {
            seat,
            version,
            identity: identity(),
            at: at.0,
        });
    }

    /// The gate stays shut: `refused` or `failed`.
    pub fn shut(&self, version: u32, reason: &str) {
        self.event(|seat| Event::Shut {
            seat,
            version,
            reason: reason.to_string(),
        });
    }

    /// It ends, and how.
    pub fn closing(&self, how: impl FnOnce() -> String) {
        self.event(|seat| Event::Closing { seat, how: how() });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.event(|seat| Event::Closed { seat });
    }
}
