//! The invariants of mutations, actions and HTTP calls.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use vestibule_schema::value::Value;
use vestibule_schema::wire::ServerMessage;
use vestibule_server::probe::Event;

use super::Violation;
use super::reading::{Reading, frame};

/// G7: a call that was taken under an identity version runs as that identity or not at all.
pub fn g7_calls_run_as_whom_they_were_taken_from(reading: &Reading<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, event) in reading.events() {
        let Event::Started(execution) = event else {
            continue;
        };
        let Some(call) = execution.call else { continue };
        let identity = execution.identity.as_ref();
        let is_current = reading.who(call.seat, call.version) == Some(identity);
        // An HTTP request has one identity from its beginning.
        let was_taken = call.request.is_none_or(|request| {
            reading.before(at).any(|event| match event {
                Event::Accepted {
                    seat,
                    version,
                    request: taken,
                } => {
                    *seat == call.seat
                        && *taken == request
                        && reading.who(*seat, *version) == Some(identity)
                }
                _ => false,
            })
        });
        if !is_current || !was_taken {
            let says = format!("{} of {call:?} runs as {identity:?}", execution.path);
            violations.push(Violation::at("G7", at, says));
        }
    }
    violations
}

/// G7: a call ran as the identity its client meant, and no client is given the answer to another identity's call.
pub fn g7_answers_are_of_whom_the_call_was_meant(reading: &Reading<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for seat in &reading.seats {
        let mut meant: BTreeMap<u64, Vec<Json>> = BTreeMap::new();
        for (at, event) in reading.events() {
            if let Event::Received { seat: of, message } = event
                && of == seat
                && let Some(request) = message["requestId"].as_u64()
            {
                let whom = message["args"][0]["meant"].clone();
                meant.entry(request).or_default().push(whom);
            }
            let (request, note) = match frame(event, *seat) {
                Some(ServerMessage::MutationResponse(response)) => match response.outcome {
                    Ok((note, _)) => (response.request_id, note),
                    Err(_) => continue,
                },
                Some(ServerMessage::ActionResponse(response)) => match response.outcome {
                    Ok(note) => (response.request_id, note),
                    Err(_) => continue,
                },
                _ => continue,
            };
            let whoms = meant.entry(u64::from(request.0)).or_default();
            let (said, ran) = (field(&note, "meant"), field(&note, "ranAs"));
            match whoms.iter().position(|whom| *whom == said) {
                Some(place) if said == ran => {
                    whoms.remove(place);
                }
                _ => {
                    let says = format!("request {request:?}, meant as {whoms:?}, ran as {ran}");
                    violations.push(Violation::at("G7", at, says));
                }
            }
        }
    }
    violations
}

fn field(note: &Value, name: &str) -> Json {
    match note {
        Value::Object(note) => note.get(name).map_or(Json::Null, Value::to_json),
        _ => Json::Null,
    }
}

/// A request commits once, however often it is sent.
pub fn a_request_commits_once(reading: &Reading<'_>) -> Vec<Violation> {
    let mut sessions: BTreeMap<u64, String> = BTreeMap::new();
    let mut answers: BTreeMap<(String, u32, String), u64> = BTreeMap::new();
    let mut violations = Vec::new();
    for (at, event) in reading.events() {
        match event {
            Event::Received { seat, message } => {
                if let Some(session) = message["sessionId"].as_str() {
                    sessions.insert(*seat, session.to_string());
                }
            }
            Event::Sent { seat, .. } => {
                let Some(ServerMessage::MutationResponse(response)) = frame(event, *seat) else {
                    continue;
                };
                let (Some(session), Ok((note, ts))) = (sessions.get(seat), response.outcome) else {
                    continue;
                };
                let whom = field(&note, "ranAs").to_string();
                let request = response.request_id.0;
                let first = *answers
                    .entry((session.clone(), request, whom))
                    .or_insert(ts.0);
                if first != ts.0 {
                    let says = format!("request {request} committed at {first} and at {}", ts.0);
                    violations.push(Violation::at("R10", at, says));
                }
            }
            _ => {}
        }
    }
    violations
}
