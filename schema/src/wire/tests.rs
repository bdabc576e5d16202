//! Whole conversations with their refusals, and the parts that the tests beside this one share.

mod client_texts;
mod leniency;
mod random;
mod server_texts;

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

/// One side's messages over a whole connection, as the official clients spell them.
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
