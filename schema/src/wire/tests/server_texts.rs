//! Each server message as its exact text.

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
