//! What the server did, step by step, for tests that judge it by a record and not by what they hoped to see.
//!
//! Rooms state events with [`event`] and the methods of [`Seat`], and offer the points where a schedule may hold them
//! up with [`pause`] and [`stop`]. Without the feature `record` all of it is empty and compiled away. With it, nothing
//! is kept either until a program calls `install`, which only the one that tests start as a child does. No auth token
//! is ever part of an event.

mod event;
#[cfg(not(feature = "record"))]
mod off;
#[cfg(feature = "record")]
mod on;

pub use event::{CallOf, Event, Execution, Point};
#[cfg(not(feature = "record"))]
pub use off::{Seat, Tag, event, pause, stop};
#[cfg(feature = "record")]
pub use on::{Recorder, Seat, Tag, arm, disarm, event, install, pause, release, stop};

use vestibule_schema::identity::{Identity, IdentityKey};
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::wire::{ClientMessage, RequestId};

/// A run of the provisioning function begins.
pub fn run_began(identity: &Identity) {
    event(|| Event::RunBegan {
        identity: identity.key(),
    });
}

/// It has ended; an error is `refused` or `failed`.
pub fn run_landed(identity: &Identity, landing: Result<&Timestamp, &str>) {
    event(|| Event::RunLanded {
        identity: identity.key(),
        landing: landing.map(|ts| ts.0).map_err(str::to_string),
    });
}

impl Seat {
    /// A message came in.
    pub fn received(&self, message: &ClientMessage) {
        event(|| Event::Received {
            seat: self.number(),
            message: event::without_credential(message),
        });
    }

    /// A message goes out.
    pub fn sent(&self, text: &str) {
        event(|| Event::Sent {
            seat: self.number(),
            message: event::json_of(text),
        });
    }

    /// An identity was verified, and is this version from now on.
    pub fn verified(&self, version: u32, identity: &Identity) {
        event(|| Event::Verified {
            seat: self.number(),
            version,
            identity: identity.key(),
        });
    }

    /// A credential was not accepted.
    pub fn rejected(&self, code: &str) {
        event(|| Event::Rejected {
            seat: self.number(),
            code: code.to_string(),
        });
    }

    /// Nobody is signed in from now on, which is this version.
    pub fn signed_out(&self, version: u32) {
        event(|| Event::SignedOut {
            seat: self.number(),
            version,
        });
    }

    /// A call was taken while this was the newest identity version.
    pub fn accepted(&self, version: u32, request: RequestId) {
        event(|| Event::Accepted {
            seat: self.number(),
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
        event(|| Event::Opened {
            seat: self.number(),
            version,
            identity: identity(),
            at: at.0,
        });
    }

    /// The gate stays shut: `refused` or `failed`.
    pub fn shut(&self, version: u32, reason: &str) {
        event(|| Event::Shut {
            seat: self.number(),
            version,
            reason: reason.to_string(),
        });
    }

    /// It ends, and how.
    pub fn closing(&self, how: impl FnOnce() -> String) {
        event(|| Event::Closing {
            seat: self.number(),
            how: how(),
        });
    }
}
