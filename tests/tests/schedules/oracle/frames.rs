//! The invariants of the messages to clients.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use vestibule_schema::identity::IdentityKey;
use vestibule_schema::value::Value;
use vestibule_schema::wire::{QueryId, ServerMessage, StateModification, Transition};
use vestibule_server::probe::Event;

use super::Violation;
use super::reading::{Reading, frame};

/// The results of a client that has folded every frame, and the queries it asked for.
#[derive(Default)]
struct Store {
    paths: BTreeMap<QueryId, String>,
    /// Results; those that failed are not there.
    results: BTreeMap<QueryId, Value>,
}

impl Store {
    fn ask(&mut self, message: &Json) {
        for change in message["modifications"].as_array().into_iter().flatten() {
            if let (Some(id), Some(path)) = (change["queryId"].as_u64(), change["udfPath"].as_str())
            {
                let id = QueryId(u32::try_from(id).unwrap_or(u32::MAX));
                self.paths.insert(id, path.to_string());
            }
        }
    }

    fn fold(&mut self, transition: &Transition) {
        for modification in &transition.modifications {
            match modification {
                StateModification::QueryUpdated {
                    query_id, value, ..
                } => {
                    self.results.insert(*query_id, value.clone());
                }
                StateModification::QueryFailed { query_id, .. }
                | StateModification::QueryRemoved { query_id } => {
                    self.results.remove(query_id);
                }
            }
        }
    }

    /// A result that is not what `who` must see, with its path.
    fn foreign(&self, who: Option<&IdentityKey>) -> Option<(&str, &Value)> {
        self.results.iter().find_map(|(query, value)| {
            let path = self.paths.get(query)?.trim_end_matches(".js");
            (!is_of(path, value, who)).then_some((path, value))
        })
    }
}

/// Whether a result of a query that looks at the identity is that of `who`.
fn is_of(path: &str, value: &Value, who: Option<&IdentityKey>) -> bool {
    let is_who = |value: &Value| match (value, who) {
        (Value::Null, None) => true,
        (Value::String(text), Some(who)) => text == who.as_str(),
        _ => false,
    };
    match (path, value) {
        ("users:me" | "users:whoami", value) => is_who(value),
        ("notes:mine", Value::Array(notes)) => {
            who.is_some()
                && notes.iter().all(|note| match note {
                    Value::Object(note) => note.get("ranAs").is_some_and(is_who),
                    _ => false,
                })
        }
        ("notes:mine", value) => who.is_none() && *value == Value::Null,
        _ => true,
    }
}

/// G3: a Transition that tells an identity is of the commit that let it in or later. It leaves the client without
/// results that were computed for another identity.
pub fn g3_no_frame_mixes_identities(reading: &Reading<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for seat in &reading.seats {
        let mut store = Store::default();
        for (at, event) in reading.events() {
            if let Event::Received { seat: of, message } = event
                && of == seat
            {
                store.ask(message);
            }
            let Some(ServerMessage::Transition(transition)) = frame(event, *seat) else {
                continue;
            };
            store.fold(&transition);
            let end = transition.end_version;
            let Some(who) = reading.who(*seat, end.identity) else {
                let says = format!("seat {seat} is told version {}", end.identity);
                violations.push(Violation::at("G3", at, says));
                continue;
            };
            if let Some((path, value)) = store.foreign(who) {
                let says = format!("seat {seat} is {who:?} and holds {value} of {path}");
                violations.push(Violation::at("G3", at, says));
            }
            let Some(who) = who else { continue };
            // After a switch the old identity stays told until the new one's gate opens.
            let opened = reading.opened(*seat, end.identity, at);
            let is_open = opened.is_some_and(|(whom, ts)| whom == Some(who) && ts <= end.ts.0);
            if !is_open {
                let says = format!("seat {seat} is told {who:?} at {} and not let in", end.ts.0);
                violations.push(Violation::at("G3", at, says));
            }
        }
    }
    violations
}

/// G10: from when a client was told an identity until it presents another one, every frame is that identity's.
pub fn g10_a_refresh_is_never_anonymous(reading: &Reading<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for seat in &reading.seats {
        let mut told: Option<&IdentityKey> = None;
        for (at, event) in reading.events() {
            match event {
                Event::SignedOut { seat: of, .. } if of == seat => told = None,
                Event::Verified {
                    seat: of, identity, ..
                } if of == seat => told = told.filter(|told| *told == identity),
                _ => {}
            }
            let Some(ServerMessage::Transition(transition)) = frame(event, *seat) else {
                continue;
            };
            let who = reading
                .who(*seat, transition.end_version.identity)
                .flatten();
            if told.is_some() && who != told {
                let says = format!("seat {seat} was told {told:?} and now {who:?}");
                violations.push(Violation::at("G10", at, says));
            }
            let newest = reading.newest(*seat, at).and_then(|(_, who)| who);
            told = who.filter(|who| newest == Some(who));
        }
    }
    violations
}

/// The response of a mutation that wrote goes out before the first Transition that shows it.
pub fn a_response_goes_before_what_shows_it(reading: &Reading<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for seat in &reading.seats {
        let mut shown = 0;
        for (at, event) in reading.events() {
            match frame(event, *seat) {
                Some(ServerMessage::Transition(transition)) => {
                    shown = transition.end_version.ts.0;
                }
                Some(ServerMessage::MutationResponse(response)) => {
                    let request = response.request_id.0;
                    if let Ok((_, ts)) = response.outcome
                        && ts.0 <= shown
                        && wrote_at(reading, *seat, request) == Some(ts.0)
                    {
                        let says = format!("request {request} was shown before it was answered");
                        violations.push(Violation::at("R9", at, says));
                    }
                }
                _ => {}
            }
        }
    }
    violations
}

/// The commit that a request's only run would make, if the request was taken once at a seat. None for a request that
/// was sent or had run before. A run that wrote nothing is answered with the commit that it saw, which may have been
/// shown long ago.
fn wrote_at(reading: &Reading<'_>, seat: u64, request: u32) -> Option<u64> {
    let mut taken = 0;
    let mut commits = Vec::new();
    for (_, event) in reading.events() {
        match event {
            Event::Accepted {
                seat: of,
                request: it,
                ..
            } if (*of, *it) == (seat, request) => taken += 1,
            Event::Started(execution) => {
                let is_it = execution
                    .call
                    .is_some_and(|call| call.seat == seat && call.request == Some(request));
                if is_it {
                    commits.push(execution.commit_ts);
                }
            }
            _ => {}
        }
    }
    match commits[..] {
        [commit] if taken == 1 => commit,
        _ => None,
    }
}
