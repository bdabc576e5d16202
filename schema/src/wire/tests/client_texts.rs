//! Each client message as its exact text.

use serde_json::json;

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
    let call = CallMessage {
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
