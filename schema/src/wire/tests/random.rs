//! Random messages survive the wire, random texts are read or refused.

use proptest::prelude::*;

use super::*;
use crate::value::arbitrary::arb_value;

fn any_journal() -> impl Strategy<Value = Journal> {
    prop::option::of(".{0,8}")
        .prop_map(|journal| Journal(journal.map(|text: String| text.as_str().into())))
}

fn any_version() -> impl Strategy<Value = StateVersion> {
    (any::<u32>(), any::<u32>(), 0..=i64::MAX as u64)
        .prop_map(|(query_set, identity, ts)| version(query_set, identity, Timestamp(ts)))
}

fn any_log_lines() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(".{0,12}", 0..3)
}

fn any_modification() -> impl Strategy<Value = StateModification> {
    let query_id = any::<u32>().prop_map(QueryId);
    prop_oneof![
        (
            query_id.clone(),
            arb_value(),
            any_log_lines(),
            any_journal()
        )
            .prop_map(|(query_id, value, log_lines, journal)| {
                StateModification::QueryUpdated {
                    query_id,
                    value,
                    log_lines,
                    journal,
                }
            }),
        (
            query_id.clone(),
            ".{0,12}",
            any_log_lines(),
            any_journal(),
            prop::option::of(arb_value())
        )
            .prop_map(
                |(query_id, error_message, log_lines, journal, error_data)| {
                    StateModification::QueryFailed {
                        query_id,
                        error_message,
                        log_lines,
                        journal,
                        error_data,
                    }
                }
            ),
        query_id.prop_map(|query_id| StateModification::QueryRemoved { query_id }),
    ]
}

fn any_transition() -> impl Strategy<Value = Transition> {
    let clock = prop::option::of((any::<i64>(), any::<u64>()).prop_map(
        |(client_clock_skew, server_ts)| ClockStamp {
            client_clock_skew,
            server_ts,
        },
    ));
    let modifications = prop::collection::vec(any_modification(), 0..4);
    (any_version(), any_version(), modifications, clock).prop_map(
        |(start_version, end_version, modifications, clock)| Transition {
            start_version,
            end_version,
            modifications,
            clock,
        },
    )
}

fn any_client_message() -> impl Strategy<Value = ClientMessage> {
    let args = || prop::collection::vec(arb_value(), 0..3).prop_map(Args::Ok);
    let path = || ".{0,6}|[a-z]{1,5}(/[a-z]{1,3})?(\\.js)?(:[a-z]{1,4})?".prop_map(PathText::new);
    let call = (any::<u32>(), path(), args(), any::<bool>()).prop_map(
        |(request_id, path, args, is_action)| {
            let call = CallMessage {
                request_id: RequestId(request_id),
                path,
                args,
                component_path: None,
            };
            if is_action {
                ClientMessage::Action(call)
            } else {
                ClientMessage::Mutation(call)
            }
        },
    );
    let add = (
        any::<u32>(),
        path(),
        args(),
        prop::option::of(any_journal()),
    )
        .prop_map(|(query_id, path, args, journal)| {
            QuerySetModification::Add(AddQuery {
                query_id: QueryId(query_id),
                path,
                args,
                journal,
                component_path: None,
            })
        });
    prop_oneof![
        (any::<[u8; 16]>(), any::<u32>(), any::<Option<i64>>()).prop_map(
            |(session_id, connection_count, client_ts)| {
                ClientMessage::Connect(Connect {
                    session_id: SessionId(session_id),
                    connection_count,
                    last_close_reason: None,
                    max_observed_timestamp: Some(T1),
                    client_ts,
                })
            }
        ),
        (any::<u32>(), ".{0,9}").prop_map(|(base_version, auth_token)| {
            ClientMessage::Authenticate(Authenticate {
                base_version,
                credential: Credential::User(auth_token),
            })
        }),
        (any::<u32>(), prop::collection::vec(add, 0..3)).prop_map(
            |(base_version, modifications)| {
                ClientMessage::ModifyQuerySet(ModifyQuerySet {
                    base_version,
                    new_version: base_version.saturating_add(1),
                    modifications,
                })
            }
        ),
        call,
    ]
}

/// A text with some characters replaced, doubled or dropped.
fn mutate(text: &str, edits: &[(prop::sample::Index, u8, char)]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for (index, edit, character) in edits {
        if characters.is_empty() {
            break;
        }
        let index = index.index(characters.len());
        match edit % 3 {
            0 => characters[index] = *character,
            1 => characters.insert(index, *character),
            _ => {
                characters.remove(index);
            }
        }
    }
    characters.into_iter().collect()
}

fn any_edits() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, char)>> {
    let character = prop_oneof![
        Just('"'),
        Just('{'),
        Just('}'),
        Just('['),
        Just(']'),
        Just(','),
        Just('\\'),
        Just('$'),
        Just('9'),
        any::<char>()
    ];
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), character), 1..6)
}

/// Reading a text never panics, and what was read from it can be said again.
fn read_both_ways(text: &str) -> Result<(), TestCaseError> {
    if let Ok(message) = ClientMessage::parse(text)
        && let Ok(again) = message.to_json()
    {
        prop_assert_eq!(ClientMessage::parse(&again).unwrap(), message);
    }
    if let Ok(message) = ServerMessage::parse(text) {
        prop_assert_eq!(ServerMessage::parse(&message.to_json()).unwrap(), message);
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_client_message_survives_the_wire(message in any_client_message()) {
        let text = message.to_json().unwrap();
        prop_assert_eq!(ClientMessage::parse(&text).unwrap(), message);
    }

    #[test]
    fn every_transition_survives_the_wire_and_is_assembled_alike(transition in any_transition()) {
        let shared: Vec<_> = transition.modifications.iter().map(|modification| {
            let outcome = match modification {
                StateModification::QueryUpdated { value, log_lines, journal, .. } => {
                    Some(OutcomeJson::updated(value, log_lines, journal))
                }
                StateModification::QueryFailed { error_message, log_lines, journal, error_data, .. } => {
                    Some(OutcomeJson::failed(error_message, error_data.as_ref(), log_lines, journal))
                }
                StateModification::QueryRemoved { .. } => None,
            };
            (modification.query_id(), outcome)
        }).collect();
        let assembled = TransitionWriter::write(
            transition.start_version,
            transition.end_version,
            shared.iter().map(|(query_id, outcome)| (*query_id, outcome.as_ref())),
            transition.clock,
        );
        let message = ServerMessage::Transition(transition);
        prop_assert_eq!(&assembled, &message.to_json());
        prop_assert_eq!(ServerMessage::parse(&assembled).unwrap(), message);
    }

    #[test]
    fn every_answer_is_written_as_serde_writes_it(
        request_id in any::<u32>(),
        value in arb_value(),
        ts in 0..=i64::MAX as u64,
        log_lines in any_log_lines(),
    ) {
        let message = ServerMessage::MutationResponse(MutationResponse {
            request_id: RequestId(request_id),
            outcome: Ok((value, Timestamp(ts))),
            log_lines,
        });
        let text = message.to_json();
        prop_assert_eq!(&text, &serde_json::to_string(&message).unwrap());
        prop_assert_eq!(ServerMessage::parse(&text).unwrap(), message);
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        read_both_ways(&text)?;
    }

    #[test]
    fn any_damaged_message_is_read_or_refused(
        message in any_client_message(),
        transition in any_transition(),
        edits in any_edits(),
    ) {
        read_both_ways(&mutate(&message.to_json().unwrap(), &edits))?;
        read_both_ways(&mutate(&ServerMessage::Transition(transition).to_json(), &edits))?;
    }

    #[test]
    fn every_session_id_survives_its_text(bytes in any::<[u8; 16]>()) {
        prop_assert_eq!(SessionId(bytes).to_string().parse(), Ok(SessionId(bytes)));
    }
}
