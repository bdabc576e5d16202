//! The client's known state, and the changes to report to it next.

use std::collections::{BTreeMap, BTreeSet};

use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::wire::{OutcomeJson, QueryId, StateVersion};

/// The client's state version, and what the next Transition must acknowledge.
#[derive(Default)]
pub(super) struct Told {
    /// The end version of the last Transition.
    pub version: StateVersion,
    /// The newest query set version received.
    pub query_set: u32,
    /// The newest identity version that may be told: the gate of every earlier one is open or gone.
    pub identity: u32,
    /// Queries removed since.
    pub removed: BTreeSet<QueryId>,
    /// Queries that cannot be run at all, with the reason as their result, until it is told. Then they are forgotten.
    pub impossible: BTreeMap<QueryId, OutcomeJson>,
    /// A Transition has to follow a response, at this timestamp or later.
    pub owed: Option<Timestamp>,
    /// Everything from here on reads at this timestamp or later.
    pub floor: Timestamp,
}

impl Told {
    /// Notes that a response was sent whose effect becomes visible at `ts`.
    pub fn owe(&mut self, ts: Timestamp) {
        self.owed = Some(self.owed.map_or(ts, |owed| owed.max(ts)));
    }

    /// The earliest timestamp the next Transition may have.
    pub fn required(&self) -> Timestamp {
        self.version.ts.max(self.floor)
    }

    /// The earliest timestamp the next Transition should have: one that shows every answered mutation.
    pub fn wanted(&self) -> Timestamp {
        self.required().max(self.owed.unwrap_or(Timestamp::ZERO))
    }

    /// Whether a Transition is due even when no result has changed.
    pub fn has_news(&self) -> bool {
        self.owed.is_some()
            || self.version.query_set != self.query_set
            || self.version.identity != self.identity
            || !self.impossible.is_empty()
    }

    /// The versions around a Transition at `ts`, which acknowledges everything received by now.
    pub fn advance(&mut self, ts: Timestamp) -> (StateVersion, StateVersion) {
        let start = self.version;
        self.version = StateVersion {
            query_set: self.query_set,
            identity: self.identity,
            ts,
        };
        self.owed = self.owed.filter(|owed| *owed > ts);
        (start, self.version)
    }
}
