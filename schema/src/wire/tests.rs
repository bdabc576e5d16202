//! Every message as its exact text, what reading forgives, and random texts.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::path::FunctionPath;
use crate::value::{Object, Value};

const SESSION: &str = "3f2b1c9e-5d4a-4c3b-8a7f-0123456789ab";
/// A commit a little after the one most messages speak of.
const T1: Timestamp = Timestamp(1760000000000000100);

fn session() -> SessionId {
    SESSION.parse().unwrap()
}

fn path(text: &str) -> PathText {
    PathText::Valid(text.parse::<FunctionPath>().unwrap())
}

fn object(fields: &[(&str, Value)]) -> Value {
    let fields = fields
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()));
    Value::Object(fields.collect::<Object>())
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn version(query_set: u32, identity: u32, ts: Timestamp) -> StateVersion {
    StateVersion {
        query_set,
        identity,
        ts,
    }
}

/// The message reads from the text and is written as the same text.
#[track_caller]
fn client_message_is(message: &ClientMessage, text: &str) {
    assert_eq!(message.to_json().unwrap(), text);
    assert_eq!(&ClientMessage::parse(text).unwrap(), message);
    assert_eq!(
        &serde_json::from_str::<ClientMessage>(text).unwrap(),
        message
    );
}

#[track_caller]
fn server_message_is(message: &ServerMessage, text: &str) {
    assert_eq!(message.to_json(), text);
    assert_eq!(&ServerMessage::parse(text).unwrap(), message);
    assert_eq!(
        &serde_json::from_str::<ServerMessage>(text).unwrap(),
        message
    );
}

#[track_caller]
fn client(text: &str) -> ClientMessage {
    ClientMessage::parse(text).unwrap()
}

mod client_texts {
    use super::*;

    #[test]
    fn connect() {
        client_message_is(
            &ClientMessage::Connect(Connect {
                session_id: session(),
                connection_count: 0,
                last_close_reason: Some("InitialConnect".to_owned()),
                max_observed_timestamp: None,
                client_ts: Some(1760000000123),
            }),
            r#"{"type":"Connect","sessionId":"3f2b1c9e-5d4a-4c3b-8a7f-0123456789ab","connectionCount":0,"lastCloseReason":"InitialConnect","clientTs":1760000000123}"#,
        );
    }

    #[test]
    fn connect_after_a_lost_connection() {
        client_message_is(
            &ClientMessage::Connect(Connect {
                session_id: session(),
                connection_count: 1,
                last_close_reason: None,
                max_observed_timestamp: Some(T1),
                client_ts: None,
            }),
            r#"{"type":"Connect","sessionId":"3f2b1c9e-5d4a-4c3b-8a7f-0123456789ab","connectionCount":1,"lastCloseReason":null,"maxObservedTimestamp":"ZACw1KzGbBg="}"#,
        );
    }

    #[test]
    fn authenticate_as_a_user() {
        client_message_is(
            &ClientMessage::Authenticate(Authenticate {
                base_version: 0,
                credential: Credential::User("eyJ.A".to_owned()),
            }),
            r#"{"type":"Authenticate","tokenType":"User","value":"eyJ.A","baseVersion":0}"#,
        );
    }

    #[test]
    fn authenticate_as_an_admin() {
        client_message_is(
            &ClientMessage::Authenticate(Authenticate {
                base_version: 3,
                credential: Credential::Admin {
                    key: "cosy-otter-7|a1b2".to_owned(),
                    acting_as: None,
                },
            }),
            r#"{"type":"Authenticate","tokenType":"Admin","value":"cosy-otter-7|a1b2","baseVersion":3}"#,
        );
        client_message_is(
            &ClientMessage::Authenticate(Authenticate {
                base_version: 0,
                credential: Credential::Admin {
                    key: "k|s".to_owned(),
                    acting_as: Some(json!({"issuer": "i", "subject": "s"})),
                },
            }),
            r#"{"type":"Authenticate","tokenType":"Admin","value":"k|s","impersonating":{"issuer":"i","subject":"s"},"baseVersion":0}"#,
        );
    }

    #[test]
    fn authenticate_as_nobody() {
        client_message_is(
            &ClientMessage::Authenticate(Authenticate {
                base_version: 1,
                credential: Credential::None,
            }),
            r#"{"type":"Authenticate","tokenType":"None","baseVersion":1}"#,
        );
    }

    #[test]
    fn modify_query_set() {
        client_message_is(
            &ClientMessage::ModifyQuerySet(ModifyQuerySet {
                base_version: 0,
                new_version: 1,
                modifications: vec![],
            }),
            r#"{"type":"ModifyQuerySet","baseVersion":0,"newVersion":1,"modifications":[]}"#,
        );
        client_message_is(
            &ClientMessage::ModifyQuerySet(ModifyQuerySet {
                base_version: 1,
                new_version: 2,
                modifications: vec![
                    QuerySetModification::Add(AddQuery {
                        query_id: QueryId(0),
                        path: path("rooms:list"),
                        args: Args::Ok(vec![object(&[("city", text("Oslo"))])]),
                        journal: None,
                        component_path: None,
                    }),
                    QuerySetModification::Add(AddQuery {
                        query_id: QueryId(3),
                        path: path("log:page"),
                        args: Args::Ok(vec![object(&[])]),
                        journal: Some(Journal(Some("J-c1".into()))),
                        component_path: Some("a/b".to_owned()),
                    }),
                    QuerySetModification::Remove {
                        query_id: QueryId(2),
                    },
                ],
            }),
            &[
                r#"{"type":"ModifyQuerySet","baseVersion":1,"newVersion":2,"modifications":["#,
                r#"{"type":"Add","queryId":0,"udfPath":"rooms:list","args":[{"city":"Oslo"}]},"#,
                r#"{"type":"Add","queryId":3,"udfPath":"log:page","args":[{}],"journal":"J-c1","componentPath":"a/b"},"#,
                r#"{"type":"Remove","queryId":2}]}"#,
            ]
            .concat(),
        );
    }

    #[test]
    fn mutation_and_action() {
        let call = Call {
            request_id: RequestId(0),
            path: path("msgs:send"),
            args: Args::Ok(vec![object(&[("text", text("hi"))])]),
            component_path: None,
        };
        client_message_is(
            &ClientMessage::Mutation(call.clone()),
            r#"{"type":"Mutation","requestId":0,"udfPath":"msgs:send","args":[{"text":"hi"}]}"#,
        );
        client_message_is(
            &ClientMessage::Action(call),
            r#"{"type":"Action","requestId":0,"udfPath":"msgs:send","args":[{"text":"hi"}]}"#,
        );
    }

    #[test]
    fn event() {
        client_message_is(
            &ClientMessage::Event(TelemetryEvent {
                event_type: "NetworkRecoveryReconnect".to_owned(),
                event: RawJson::new(r#"{"timeSavedMs":12}"#.to_owned()).unwrap(),
            }),
            r#"{"type":"Event","eventType":"NetworkRecoveryReconnect","event":{"timeSavedMs":12}}"#,
        );
    }
}

mod server_texts {
    use super::*;

    fn transition(start: StateVersion, end: StateVersion) -> Transition {
        Transition {
            start_version: start,
            end_version: end,
            modifications: vec![],
            clock: None,
        }
    }

    #[test]
    fn a_transition_that_only_advances() {
        server_message_is(
            &ServerMessage::Transition(transition(StateVersion::default(), version(1, 0, T1))),
            r#"{"type":"Transition","startVersion":{"querySet":0,"identity":0,"ts":"AAAAAAAAAAA="},"endVersion":{"querySet":1,"identity":0,"ts":"ZACw1KzGbBg="},"modifications":[]}"#,
        );
    }

    #[test]
    fn a_transition_with_all_kinds_of_modifications() {
        let failed = |query_id, error_data| StateModification::QueryFailed {
            query_id: QueryId(query_id),
            error_message: "[Request ID: 9a00000000000000] Server Error".to_owned(),
            log_lines: vec!["[WARN] full".to_owned()],
            journal: Journal(Some("J".into())),
            error_data,
        };
        let message = ServerMessage::Transition(Transition {
            modifications: vec![
                StateModification::QueryUpdated {
                    query_id: QueryId(0),
                    value: Value::Array(vec![]),
                    log_lines: vec![],
                    journal: Journal(None),
                },
                failed(1, None),
                failed(2, Some(Value::Null)),
                failed(3, Some(object(&[("code", text("FULL"))]))),
                StateModification::QueryRemoved {
                    query_id: QueryId(4),
                },
            ],
            clock: Some(ClockStamp {
                client_clock_skew: -12,
                server_ts: 1760000000000000200,
            }),
            ..transition(version(1, 0, T1), version(2, 1, T1))
        });
        server_message_is(
            &message,
            &[
                r#"{"type":"Transition","startVersion":{"querySet":1,"identity":0,"ts":"ZACw1KzGbBg="},"#,
                r#""endVersion":{"querySet":2,"identity":1,"ts":"ZACw1KzGbBg="},"modifications":["#,
                r#"{"type":"QueryUpdated","queryId":0,"value":[],"logLines":[],"journal":null},"#,
                r#"{"type":"QueryFailed","queryId":1,"errorMessage":"[Request ID: 9a00000000000000] Server Error","logLines":["[WARN] full"],"journal":"J"},"#,
                r#"{"type":"QueryFailed","queryId":2,"errorMessage":"[Request ID: 9a00000000000000] Server Error","logLines":["[WARN] full"],"journal":"J","errorData":null},"#,
                r#"{"type":"QueryFailed","queryId":3,"errorMessage":"[Request ID: 9a00000000000000] Server Error","logLines":["[WARN] full"],"journal":"J","errorData":{"code":"FULL"}},"#,
                r#"{"type":"QueryRemoved","queryId":4}],"#,
                r#""clientClockSkew":-12,"serverTs":1760000000000000200}"#,
            ]
            .concat(),
        );
    }

    #[test]
    fn a_mutation_that_committed() {
        server_message_is(
            &ServerMessage::MutationResponse(MutationResponse {
                request_id: RequestId(0),
                outcome: Ok((Value::Null, T1)),
                log_lines: vec!["[LOG] sent".to_owned()],
            }),
            r#"{"type":"MutationResponse","requestId":0,"success":true,"result":null,"ts":"ZACw1KzGbBg=","logLines":["[LOG] sent"]}"#,
        );
    }

    #[test]
    fn a_mutation_that_threw() {
        let response = |data| {
            ServerMessage::MutationResponse(MutationResponse {
                request_id: RequestId(1),
                outcome: Err(CallFailure {
                    message: "[Request ID: 9a] Server Error".to_owned(),
                    data,
                }),
                log_lines: vec![],
            })
        };
        server_message_is(
            &response(Some(object(&[("code", text("FULL"))]))),
            r#"{"type":"MutationResponse","requestId":1,"success":false,"result":"[Request ID: 9a] Server Error","ts":null,"logLines":[],"errorData":{"code":"FULL"}}"#,
        );
        server_message_is(
            &response(Some(Value::Null)),
            r#"{"type":"MutationResponse","requestId":1,"success":false,"result":"[Request ID: 9a] Server Error","ts":null,"logLines":[],"errorData":null}"#,
        );
        server_message_is(
            &response(None),
            r#"{"type":"MutationResponse","requestId":1,"success":false,"result":"[Request ID: 9a] Server Error","ts":null,"logLines":[]}"#,
        );
    }

    #[test]
    fn actions_that_returned_and_threw() {
        server_message_is(
            &ServerMessage::ActionResponse(ActionResponse {
                request_id: RequestId(2),
                outcome: Ok(text("done")),
                log_lines: vec![],
            }),
            r#"{"type":"ActionResponse","requestId":2,"success":true,"result":"done","logLines":[]}"#,
        );
        server_message_is(
            &ServerMessage::ActionResponse(ActionResponse {
                request_id: RequestId(2),
                outcome: Err(CallFailure {
                    message: "no".to_owned(),
                    data: None,
                }),
                log_lines: vec![],
            }),
            r#"{"type":"ActionResponse","requestId":2,"success":false,"result":"no","logLines":[]}"#,
        );
    }

    #[test]
    fn errors_and_the_rest() {
        server_message_is(
            &ServerMessage::AuthError(AuthError {
                error: "the auth token has expired".to_owned(),
                base_version: 3,
                auth_update_attempted: false,
            }),
            r#"{"type":"AuthError","error":"the auth token has expired","baseVersion":3,"authUpdateAttempted":false}"#,
        );
        server_message_is(
            &ServerMessage::FatalError {
                error: "no".to_owned(),
            },
            r#"{"type":"FatalError","error":"no"}"#,
        );
        server_message_is(&ServerMessage::Ping, r#"{"type":"Ping"}"#);
        server_message_is(
            &ServerMessage::TransitionChunk(TransitionChunk {
                chunk: "{\"type\":".to_owned(),
                part_number: 0,
                total_parts: 2,
                transition_id: "8000000".to_owned(),
            }),
            r#"{"type":"TransitionChunk","chunk":"{\"type\":","partNumber":0,"totalParts":2,"transitionId":"8000000"}"#,
        );
    }
}

/// What one side says over a whole connection, as the official clients spell it.
#[test]
fn the_texts_of_whole_conversations_are_read() {
    let signed_in_and_out = [
        r#"{"type":"Connect","sessionId":"3f2b1c9e-5d4a-4c3b-8a7f-0123456789ab","connectionCount":0,"lastCloseReason":"InitialConnect","clientTs":1760000000500}"#,
        r#"{"type":"Authenticate","tokenType":"User","value":"eyJ.A","baseVersion":0}"#,
        r#"{"type":"ModifyQuerySet","baseVersion":0,"newVersion":1,"modifications":[{"type":"Add","queryId":0,"udfPath":"me:profile","args":[{}]}]}"#,
        r#"{"type":"Authenticate","tokenType":"User","value":"eyJ.B","baseVersion":1}"#,
        r#"{"type":"Authenticate","tokenType":"None","baseVersion":2}"#,
        r#"{"type":"ModifyQuerySet","baseVersion":1,"newVersion":2,"modifications":[{"type":"Remove","queryId":0}]}"#,
    ];
    let reconnected = [
        r#"{"type":"Connect","sessionId":"3f2b1c9e-5d4a-4c3b-8a7f-0123456789ab","connectionCount":1,"lastCloseReason":"closed with code 1006","maxObservedTimestamp":"ZACw1KzGbBg="}"#,
        r#"{"type":"ModifyQuerySet","baseVersion":0,"newVersion":1,"modifications":[{"type":"Add","queryId":0,"udfPath":"msgs:list","args":[{}],"journal":null}]}"#,
        r#"{"type":"Mutation","requestId":7,"udfPath":"msgs:send","args":[{"text":"hi"}]}"#,
    ];
    for text in signed_in_and_out.iter().chain(&reconnected) {
        assert_eq!(&client(text).to_json().unwrap(), text);
    }
    let answers = [
        r#"{"type":"Transition","startVersion":{"querySet":0,"identity":0,"ts":"AAAAAAAAAAA="},"endVersion":{"querySet":0,"identity":1,"ts":"ZACw1KzGbBg="},"modifications":[]}"#,
        r#"{"type":"Transition","startVersion":{"querySet":0,"identity":1,"ts":"ZACw1KzGbBg="},"endVersion":{"querySet":1,"identity":1,"ts":"ZACw1KzGbBg="},"modifications":[{"type":"QueryUpdated","queryId":0,"value":{"continueCursor":"c1","isDone":false,"page":["a","b"],"pageStatus":null,"splitCursor":null},"logLines":[],"journal":"J-c1"}]}"#,
        r#"{"type":"MutationResponse","requestId":7,"success":true,"result":null,"ts":"kF+Ah63GbBg=","logLines":[]}"#,
        r#"{"type":"Transition","startVersion":{"querySet":1,"identity":1,"ts":"kF+Ah63GbBg="},"endVersion":{"querySet":1,"identity":1,"ts":"kF+Ah63GbBg="},"modifications":[]}"#,
    ];
    for text in answers {
        assert_eq!(ServerMessage::parse(text).unwrap().to_json(), text);
    }
}

mod leniency {
    use super::*;

    fn connect(fields: &str) -> Connect {
        let text = format!(r#"{{"sessionId":"{SESSION}"{fields},"type":"Connect"}}"#);
        match client(&text) {
            ClientMessage::Connect(connect) => connect,
            other => panic!("{other:?}"),
        }
    }

    fn add(fields: &str) -> AddQuery {
        let text = format!(
            r#"{{"type":"ModifyQuerySet","baseVersion":0,"newVersion":1,"modifications":[{{"queryId":9,"type":"Add"{fields}}}]}}"#
        );
        match client(&text) {
            ClientMessage::ModifyQuerySet(ModifyQuerySet { modifications, .. }) => {
                match modifications.as_slice() {
                    [QuerySetModification::Add(add)] => add.clone(),
                    other => panic!("{other:?}"),
                }
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_close_reason_may_be_null_or_absent() {
        assert_eq!(connect("").last_close_reason, None);
        assert_eq!(
            connect(r#","lastCloseReason":null"#).last_close_reason,
            None
        );
    }

    #[test]
    fn no_client_clock_is_absurd() {
        assert_eq!(connect(r#","clientTs":0"#).client_ts, Some(0));
        assert_eq!(connect(r#","clientTs":-5"#).client_ts, Some(-5));
        assert_eq!(connect(r#","clientTs":1.75"#).client_ts, Some(1));
        assert_eq!(connect(r#","clientTs":1e300"#).client_ts, Some(i64::MAX));
        assert_eq!(connect(r#","clientTs":null"#).client_ts, None);
    }

    #[test]
    fn unknown_keys_are_ignored_and_the_type_may_come_last() {
        let connect = connect(r#","extra":{"type":"Mutation"},"connectionCount":2"#);
        assert_eq!(connect.connection_count, 2);
    }

    #[test]
    fn both_names_of_acting_as_are_read() {
        for key in ["impersonating", "acting_as"] {
            let text = format!(
                r#"{{"type":"Authenticate","baseVersion":0,"tokenType":"Admin","value":"k","{key}":{{"subject":"s"}}}}"#
            );
            let ClientMessage::Authenticate(authenticate) = client(&text) else {
                panic!("another message")
            };
            let acting_as = Some(json!({"subject": "s"}));
            let key = "k".to_owned();
            assert_eq!(
                authenticate.credential,
                Credential::Admin { key, acting_as }
            );
        }
    }

    #[test]
    fn an_absent_an_empty_and_a_full_journal_differ() {
        let journal = |field: &str| {
            let fields = format!(r#","udfPath":"a:b","args":[]{field}"#);
            add(&fields).journal
        };
        assert_eq!(journal(""), None);
        assert_eq!(journal(r#","journal":null"#), Some(Journal(None)));
        assert_eq!(
            journal(r#","journal":"J""#),
            Some(Journal(Some("J".into())))
        );
    }

    #[test]
    fn every_spelling_of_a_path_is_the_same_path() {
        for spelling in ["rooms", "rooms:default", "rooms.js", "rooms.js:default"] {
            let fields = format!(r#","udfPath":"{spelling}","args":[]"#);
            assert_eq!(add(&fields).path, path("rooms"));
        }
    }

    #[test]
    fn a_path_that_names_nothing_keeps_its_text() {
        let add = add(r#","udfPath":"../etc:passwd","args":[]"#);
        assert_eq!(add.path, PathText::Invalid("../etc:passwd".to_owned()));
        assert_eq!(add.path.to_string(), "../etc:passwd");
    }

    #[test]
    fn arguments_that_are_no_values_fail_their_call_alone() {
        let deep = format!("[{}{}]", "[".repeat(5000), "]".repeat(5000));
        for args in [
            r#"[{"$weird":1}]"#,
            r#"[{"$integer":"short"}]"#,
            r#"["half a pair \ud83d"]"#,
            "[1e999]",
            r#"{"text":"hi"}"#,
            "null",
            &deep,
        ] {
            let fields = format!(r#","udfPath":"a:b","args":{args}"#);
            let Args::Invalid(why) = add(&fields).args else {
                panic!("these are values: {args}")
            };
            assert!(!why.is_empty());
        }
    }

    #[test]
    fn an_event_may_hold_anything() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        for event in ["null", "1e999", r#""\ud83d""#, &deep] {
            let text = format!(r#"{{"type":"Event","eventType":"New","event":{event}}}"#);
            assert!(matches!(client(&text), ClientMessage::Event(_)));
        }
        assert!(matches!(
            client(r#"{"type":"Event","eventType":"New"}"#),
            ClientMessage::Event(_)
        ));
    }

    #[test]
    fn an_auth_error_may_be_short() {
        assert_eq!(
            ServerMessage::parse(r#"{"type":"AuthError","error":"no"}"#).unwrap(),
            ServerMessage::AuthError(AuthError {
                error: "no".to_owned(),
                base_version: 0,
                auth_update_attempted: true,
            })
        );
    }

    #[test]
    fn half_a_clock_is_no_clock() {
        for fields in [
            r#","clientClockSkew":3"#,
            r#","serverTs":3"#,
            r#","clientClockSkew":3,"serverTs":null"#,
        ] {
            let zero = r#"{"querySet":0,"identity":0,"ts":"AAAAAAAAAAA="}"#;
            let text = format!(
                r#"{{"type":"Transition","startVersion":{zero},"endVersion":{zero},"modifications":[]{fields}}}"#
            );
            let Ok(ServerMessage::Transition(transition)) = ServerMessage::parse(&text) else {
                panic!("{text}")
            };
            assert_eq!(transition.clock, None);
        }
    }
}

#[test]
fn messages_that_break_the_protocol_are_refused() {
    for text in [
        "",
        "{",
        "null",
        "[]",
        "{}",
        r#"{"type":1}"#,
        r#"{"type":"Subscribe"}"#,
        r#"{"type":"Ping"}"#,
        r#"{"type":"Connect"}"#,
        r#"{"type":"Connect","sessionId":"3f2b1c9e5d4a4c3b8a7f0123456789ab"}"#,
        r#"{"type":"Authenticate","baseVersion":0,"tokenType":"User"}"#,
        r#"{"type":"Authenticate","baseVersion":0,"tokenType":"Guest"}"#,
        r#"{"type":"Authenticate","baseVersion":-1,"tokenType":"None"}"#,
        r#"{"type":"Authenticate","baseVersion":4294967296,"tokenType":"None"}"#,
        r#"{"type":"Authenticate","baseVersion":0.5,"tokenType":"None"}"#,
        r#"{"type":"ModifyQuerySet","baseVersion":0,"newVersion":1}"#,
        r#"{"type":"ModifyQuerySet","baseVersion":0,"newVersion":4294967296,"modifications":[]}"#,
        r#"{"type":"ModifyQuerySet","baseVersion":0,"newVersion":1,"modifications":[{"type":"Change","queryId":1}]}"#,
        r#"{"type":"ModifyQuerySet","baseVersion":0,"newVersion":1,"modifications":[{"type":"Remove","queryId":-1}]}"#,
        r#"{"type":"Mutation","requestId":4294967296,"udfPath":"a:b","args":[]}"#,
        r#"{"type":"Mutation","requestId":0,"udfPath":"a:b"}"#,
        r#"{"type":"Mutation","requestId":0,"udfPath":"a:b","args":[],"type":"Action"}"#,
        r#"{"type":"Mutation","requestId":0,"udfPath":"a:b","args":[]} {}"#,
    ] {
        assert!(ClientMessage::parse(text).is_err(), "{text}");
    }
    for text in [
        r#"{"type":"Welcome"}"#,
        r#"{"type":"MutationResponse","requestId":0,"success":true,"result":null,"logLines":[]}"#,
        r#"{"type":"MutationResponse","requestId":0,"success":false,"result":null,"logLines":[]}"#,
        r#"{"type":"ActionResponse","requestId":0,"success":true,"result":null}"#,
    ] {
        assert!(ServerMessage::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_message_longer_than_a_socket_takes_is_refused_unread() {
    let text = " ".repeat(MESSAGE_BYTES_MAX + 1);
    assert!(matches!(
        ClientMessage::parse(&text),
        Err(MessageError::TooLong { .. })
    ));
    assert!(matches!(
        ServerMessage::parse(&text),
        Err(MessageError::TooLong { .. })
    ));
}

#[test]
fn logs_show_no_credential() {
    let text = r#"{"type":"Authenticate","tokenType":"User","value":"eyJ.secret","baseVersion":0}"#;
    assert!(!format!("{:?}", client(text)).contains("secret"));
}

#[test]
fn a_session_id_has_one_shape() {
    assert_eq!(session().to_string(), SESSION);
    assert_eq!(SESSION.to_uppercase().parse(), Ok(session()));
    for text in [
        "",
        "3f2b1c9e5d4a4c3b8a7f0123456789ab",
        "{3f2b1c9e-5d4a-4c3b-8a7f-0123456789ab}",
        "3f2b1c9e-5d4a-4c3b-8a7f-0123456789a",
        "3f2b1c9e-5d4a-4c3b-8a7f-0123456789abc",
        "3f2b1c9e-5d4a-4c3b-8a7f-0123456789ag",
        "3f2b1c9e-5d4a-4c3b-8a7f00123456789ab",
        "+f2b1c9e-5d4a-4c3b-8a7f-0123456789ab",
        "éf2b1c9e-5d4a-4c3b-8a7f-0123456789a",
    ] {
        assert_eq!(text.parse::<SessionId>(), Err(SessionIdError), "{text}");
    }
}

#[test]
fn a_split_transition_is_whole_again() {
    let text = "añ€😀".repeat(10);
    for bytes_max in [0, 4, 5, 7, 99, 1000] {
        let chunks = TransitionChunk::split(&text, bytes_max);
        let whole: String = chunks.iter().map(|chunk| chunk.chunk.as_str()).collect();
        assert_eq!(whole, text);
        for (index, chunk) in chunks.iter().enumerate() {
            assert_eq!(chunk.part_number as usize, index);
            assert_eq!(chunk.total_parts as usize, chunks.len());
            assert_eq!(chunk.transition_id, text.len().to_string());
            assert!(!chunk.chunk.is_empty() && chunk.chunk.len() <= bytes_max.max(4));
        }
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        any::<i64>().prop_map(Value::Int64),
        any::<f64>().prop_map(Value::Float64),
        Just(Value::Float64(-0.0)),
        ".{0,8}".prop_map(Value::String),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[a-z_][ -~]{0,4}", inner, 0..4).prop_map(Value::Object),
        ]
    })
}

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
            any_value(),
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
            prop::option::of(any_value())
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
    let clock = prop::option::of(
        (any::<i64>(), any::<u64>()).prop_map(|(client_clock_skew, server_ts)| ClockStamp {
            client_clock_skew,
            server_ts,
        }),
    );
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
    let args = || prop::collection::vec(any_value(), 0..3).prop_map(Args::Ok);
    let path = || ".{0,6}|[a-z]{1,5}(/[a-z]{1,3})?(\\.js)?(:[a-z]{1,4})?".prop_map(PathText::new);
    let call = (any::<u32>(), path(), args()).prop_map(|(request_id, path, args)| Call {
        request_id: RequestId(request_id),
        path,
        args,
        component_path: None,
    });
    let add = (any::<u32>(), path(), args(), prop::option::of(any_journal())).prop_map(
        |(query_id, path, args, journal)| {
            QuerySetModification::Add(AddQuery {
                query_id: QueryId(query_id),
                path,
                args,
                journal,
                component_path: None,
            })
        },
    );
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
        call.clone().prop_map(ClientMessage::Mutation),
        call.prop_map(ClientMessage::Action),
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
