//! A record, looked at by seat.

use std::collections::{BTreeMap, BTreeSet};

use vestibule_schema::identity::IdentityKey;
use vestibule_schema::wire::ServerMessage;
use vestibule_server::probe::{Event, Point};
use vestibule_tests::control::Remark;

use crate::child::remarked;

/// A record with what many checks look up.
pub struct Reading<'r> {
    record: &'r [Event],
    /// The identity of each identity version of each seat; `None` after a sign-out.
    versions: BTreeMap<(u64, u32), (usize, Option<&'r IdentityKey>)>,
    pub seats: BTreeSet<u64>,
}

impl<'r> Reading<'r> {
    pub fn of(record: &'r [Event]) -> Reading<'r> {
        let mut versions = BTreeMap::new();
        let mut seats = BTreeSet::new();
        for (at, event) in record.iter().enumerate() {
            match event {
                Event::Connected { seat } => {
                    seats.insert(*seat);
                    versions.insert((*seat, 0), (at, None));
                }
                Event::Verified {
                    seat,
                    version,
                    identity,
                } => {
                    versions.insert((*seat, *version), (at, Some(identity)));
                }
                Event::SignedOut { seat, version } => {
                    versions.insert((*seat, *version), (at, None));
                }
                _ => {}
            }
        }
        Reading {
            record,
            versions,
            seats,
        }
    }

    /// All events, with their places.
    pub fn events(&self) -> impl Iterator<Item = (usize, &'r Event)> + '_ {
        self.record.iter().enumerate()
    }

    /// The events before a place.
    pub fn before(&self, at: usize) -> impl DoubleEndedIterator<Item = &'r Event> + '_ {
        self.record[..at].iter()
    }

    /// The events after a place.
    pub fn after(&self, at: usize) -> impl Iterator<Item = &'r Event> + '_ {
        self.record[at + 1..].iter()
    }

    /// The identity of an identity version of a seat; `None` when there was no such version.
    pub fn who(&self, seat: u64, version: u32) -> Option<Option<&'r IdentityKey>> {
        self.versions.get(&(seat, version)).map(|(_, who)| *who)
    }

    /// The newest identity version of a seat at a place.
    pub fn newest(&self, seat: u64, at: usize) -> Option<(u32, Option<&'r IdentityKey>)> {
        let mut of_seat = self.versions.range((seat, 0)..=(seat, u32::MAX));
        of_seat
            .rfind(|(_, (since, _))| *since < at)
            .map(|((_, version), (_, who))| (*version, *who))
    }

    /// The last opening of a seat's gate before a place, for an identity version up to `version`: whom for, and at
    /// which timestamp.
    pub fn opened(
        &self,
        seat: u64,
        version: u32,
        at: usize,
    ) -> Option<(Option<&'r IdentityKey>, u64)> {
        self.before(at).rev().find_map(|event| match event {
            Event::Opened {
                seat: of,
                version: opened,
                identity,
                at,
            } if *of == seat && *opened <= version => Some((identity.as_ref(), *at)),
            _ => None,
        })
    }

    /// Whether the functions are in TypeScript.
    pub fn is_in_typescript(&self) -> bool {
        let is_said = |event: &Event| remarked(event) == Some(Remark::InTypeScript);
        // A commit of the start may be told before it.
        self.record.iter().any(is_said)
    }

    /// Whether the server was killed before a place.
    pub fn was_killed_before(&self, at: usize) -> bool {
        self.before(at).any(is_kill)
    }
}

/// A frame as it was sent; `None` for a frame that is not a message, such as a piece of one.
pub fn frame(event: &Event, seat: u64) -> Option<ServerMessage> {
    match event {
        Event::Sent { seat: of, message } if *of == seat => {
            ServerMessage::parse(&message.to_string()).ok()
        }
        _ => None,
    }
}

pub fn is_kill(event: &Event) -> bool {
    remarked(event) == Some(Remark::Killed)
}

/// The events in the present life of the server.
fn this_life(record: &[Event]) -> &[Event] {
    let born = record.iter().rposition(is_kill).map_or(0, |at| at + 1);
    &record[born..]
}

/// The points at which a caller is held up, once for each.
pub fn held_up(record: &[Event]) -> Vec<Point> {
    let mut held = Vec::new();
    for event in this_life(record) {
        match event {
            Event::Paused { point, .. } => held.push(*point),
            Event::Resumed { point, .. } => {
                if let Some(place) = held.iter().position(|held| held == point) {
                    held.swap_remove(place);
                }
            }
            _ => {}
        }
    }
    held
}

/// Whether everything that began has ended, after a client opened so many sockets. One that it lost at once may reach
/// the server late.
pub fn is_quiet(record: &[Event], sockets: usize) -> bool {
    let (mut under_way, mut closings) = (0i64, 0);
    let mut executions = Vec::new();
    for event in this_life(record) {
        closings += usize::from(matches!(event, Event::Closing { .. }));
        under_way += match event {
            Event::Connected { .. } | Event::RunBegan { .. } | Event::Paused { .. } => 1,
            Event::Closed { .. } | Event::RunEnded { .. } | Event::Resumed { .. } => -1,
            _ => 0,
        };
        match event {
            Event::Started(execution) => executions.push(execution),
            // A live query without watchers may have started before this record begins.
            Event::Ended { execution, .. } => {
                if let Some(place) = executions.iter().position(|started| *started == execution) {
                    executions.swap_remove(place);
                }
            }
            _ => {}
        }
    }
    under_way == 0 && executions.is_empty() && closings == sockets
}
