//! The faults that reading forgives.

use serde_json::json;

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
