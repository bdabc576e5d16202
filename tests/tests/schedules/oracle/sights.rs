//! The threats to the guarantee that a record shows: a campaign must have met each.

use std::collections::BTreeMap;

use vestibule_schema::wire::ServerMessage;
use vestibule_server::probe::{Event, Point};
use vestibule_tests::control::Remark;

use super::reading::{Reading, frame, held_up};
use crate::child::remarked;

/// Everything there is to meet.
pub const SIGHTS: [&str; 27] = [
    "held up at token received",
    "held up at verified",
    "held up at lane entered",
    "held up at function returned",
    "held up before commit",
    "held up after commit",
    "held up before opening",
    "held up before first frame",
    "killed",
    "killed while somebody was held up",
    "a run refused",
    "a run failed",
    "a gate opened",
    "a gate opened for a refresh",
    "a gate stayed shut",
    "another person presented while a gate was closed",
    "the same person presented while a gate was closed",
    "signed out while a gate was closed",
    "a connection lost while a gate was closed",
    "a token not accepted",
    "a token ran out",
    "a provider that could not be asked",
    "a held call rejected",
    "a call that waited and ran",
    "a request of somebody else's not answered",
    "a call over HTTP",
    "somebody let in while others waited",
];

/// The sights that a shorter run must meet where a mutation in TypeScript makes users.
pub const TYPESCRIPT_SIGHTS: [&str; 11] = [
    "held up at token received",
    "held up at verified",
    "held up before commit",
    "killed",
    "a run refused",
    "a run failed",
    "a gate opened",
    "a gate stayed shut",
    "a call that waited and ran",
    "another person presented while a gate was closed",
    PUSHED_MEANWHILE,
];

/// The sights that a shorter run must meet where a webhook makes users.
pub const WEBHOOK_SIGHTS: [&str; 9] = [
    "held up at token received",
    "held up at verified",
    "held up before commit",
    "killed",
    "a gate opened",
    "signed out while a gate was closed",
    "a call that waited and ran",
    "another person presented while a gate was closed",
    PUSHED_MEANWHILE,
];

const PUSHED_MEANWHILE: &str = "pushed while a gate was closed";

/// How often a record shows each of [`SIGHTS`] that it shows.
pub fn sights(record: &[Event]) -> BTreeMap<&'static str, usize> {
    let reading = Reading::of(record);
    let mut sights = BTreeMap::new();
    for (at, event) in reading.events() {
        for sight in sights_of(&reading, at, event) {
            debug_assert!(
                SIGHTS.contains(&sight) || sight == PUSHED_MEANWHILE,
                "{sight}"
            );
            *sights.entry(sight).or_default() += 1;
        }
    }
    sights
}

fn sights_of(reading: &Reading<'_>, at: usize, event: &Event) -> Vec<&'static str> {
    match event {
        Event::Paused { point, .. } => vec![paused(*point)],
        Event::RunEnded { outcome, .. } => match outcome.as_ref().err().map(String::as_str) {
            Some("refused") => vec!["a run refused"],
            Some(_) => vec!["a run failed"],
            None => Vec::new(),
        },
        Event::Opened { seat, version, .. } => {
            let before = reading.opened(*seat, u32::MAX, at);
            let is_refresh =
                before.is_some_and(|(whom, _)| reading.who(*seat, *version) == Some(whom));
            let refresh = is_refresh.then_some("a gate opened for a refresh");
            ["a gate opened"].into_iter().chain(refresh).collect()
        }
        Event::Shut { .. } => vec!["a gate stayed shut"],
        Event::Verified {
            seat,
            version,
            identity,
        } => match (
            is_closed(reading, *seat, at),
            reading.who(*seat, version - 1),
        ) {
            (true, Some(Some(who))) if who == identity => {
                vec!["the same person presented while a gate was closed"]
            }
            (true, _) => vec!["another person presented while a gate was closed"],
            _ => Vec::new(),
        },
        Event::SignedOut { seat, .. } if is_closed(reading, *seat, at) => {
            vec!["signed out while a gate was closed"]
        }
        Event::Closing { seat, how } if how == "Left" && is_closed(reading, *seat, at) => {
            vec!["a connection lost while a gate was closed"]
        }
        Event::Rejected { code, .. } if code == "AuthProviderDiscoveryFailed" => {
            vec!["a provider that could not be asked"]
        }
        Event::Rejected { .. } => vec!["a token not accepted"],
        Event::Started(execution) => match execution.call {
            Some(call) if call.request.is_none() => vec!["a call over HTTP"],
            Some(call) => waited(reading, at, call.seat, call.request)
                .into_iter()
                .collect(),
            None => Vec::new(),
        },
        Event::Sent { seat, .. } => told(event, *seat).into_iter().collect(),
        Event::Noted(_) => remarkable(reading, at, event),
        _ => Vec::new(),
    }
}

fn paused(point: Point) -> &'static str {
    match point {
        Point::TokenReceived => "held up at token received",
        Point::Verified => "held up at verified",
        Point::LaneEntered => "held up at lane entered",
        Point::FunctionReturned => "held up at function returned",
        Point::BeforeCommit => "held up before commit",
        Point::AfterCommit => "held up after commit",
        Point::BeforeOpening => "held up before opening",
        Point::BeforeFirstFrame => "held up before first frame",
    }
}

/// Whether the newest identity of a seat waits for its gate.
fn is_closed(reading: &Reading<'_>, seat: u64, at: usize) -> bool {
    let newest_first = reading.before(at).rev();
    let mut of_gate = newest_first.filter_map(|event| match event {
        Event::Verified { seat: of, .. } => Some((*of, true)),
        Event::Opened { seat: of, .. }
        | Event::Shut { seat: of, .. }
        | Event::SignedOut { seat: of, .. } => Some((*of, false)),
        _ => None,
    });
    of_gate
        .find(|(of, _)| *of == seat)
        .is_some_and(|(_, is_closed)| is_closed)
}

/// Whether a call was taken while the gate was closed.
fn waited(
    reading: &Reading<'_>,
    at: usize,
    seat: u64,
    request: Option<u32>,
) -> Option<&'static str> {
    let taken = reading.events().take(at).find(|(_, event)| {
        matches!(event, Event::Accepted { seat: of, request: it, .. }
            if *of == seat && Some(*it) == request)
    });
    let (taken, _) = taken?;
    is_closed(reading, seat, taken).then_some("a call that waited and ran")
}

fn told(event: &Event, seat: u64) -> Option<&'static str> {
    let failure = match frame(event, seat)? {
        ServerMessage::AuthError(error) if !error.auth_update_attempted => {
            return Some("a token ran out");
        }
        ServerMessage::MutationResponse(response) => response.outcome.err()?,
        ServerMessage::ActionResponse(response) => response.outcome.err()?,
        _ => return None,
    };
    let data = failure.data?.to_json().to_string();
    if data.contains("NotProvisioned") {
        return Some("a held call rejected");
    }
    data.contains("AlreadyMade")
        .then_some("a request of somebody else's not answered")
}

fn remarkable(reading: &Reading<'_>, at: usize, event: &Event) -> Vec<&'static str> {
    match remarked(event) {
        Some(Remark::Killed) => {
            let before: Vec<Event> = reading.before(at).cloned().collect();
            match held_up(&before).is_empty() {
                true => vec!["killed"],
                false => vec!["killed", "killed while somebody was held up"],
            }
        }
        Some(Remark::Pushed) => {
            let mut seats = reading.seats.iter();
            let is_meanwhile = seats.any(|seat| is_closed(reading, *seat, at));
            is_meanwhile
                .then_some(PUSHED_MEANWHILE)
                .into_iter()
                .collect()
        }
        Some(Remark::ProbeEnded { .. }) => vec!["somebody let in while others waited"],
        _ => Vec::new(),
    }
}
