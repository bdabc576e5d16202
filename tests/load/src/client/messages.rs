//! Messages of the sync protocol: written byte by byte, and read no further than they have to be.

use memchr::memmem;

/// Appends a number in decimal.
pub fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// `Connect` of a new session.
pub fn connect(out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"type":"Connect","sessionId":""#);
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let session = uuid::Uuid::new_v4().hyphenated();
    out.extend_from_slice(session.encode_lower(&mut text).as_bytes());
    out.extend_from_slice(br#"","connectionCount":0,"lastCloseReason":"InitialConnect"}"#);
}

/// `Authenticate` with a user's token, as the connection's first identity.
pub fn authenticate(out: &mut Vec<u8>, token: &str) {
    out.extend_from_slice(
        br#"{"type":"Authenticate","baseVersion":0,"tokenType":"User","value":""#,
    );
    out.extend_from_slice(token.as_bytes());
    out.extend_from_slice(br#""}"#);
}

/// `Mutation` with arguments that `args` writes as one JSON object.
pub fn mutation(out: &mut Vec<u8>, request: u32, path: &str, args: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(br#"{"type":"Mutation","requestId":"#);
    number(out, request.into());
    out.extend_from_slice(br#","udfPath":""#);
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(br#"","args":["#);
    args(out);
    out.extend_from_slice(b"]}");
}

/// `ModifyQuerySet` from `base` to the version after it. The queries of `removed` are no longer watched. Those of
/// `added` are from now on, each with its number, and arguments that `args` writes as one JSON object.
pub fn modify_query_set<'q, A: FnMut(&mut Vec<u8>)>(
    out: &mut Vec<u8>,
    base: u32,
    removed: impl IntoIterator<Item = u32>,
    added: impl IntoIterator<Item = (u32, &'q str, A)>,
) {
    out.extend_from_slice(br#"{"type":"ModifyQuerySet","baseVersion":"#);
    number(out, base.into());
    out.extend_from_slice(br#","newVersion":"#);
    number(out, u64::from(base) + 1);
    out.extend_from_slice(br#","modifications":["#);
    let start = out.len();
    for query in removed {
        comma(out, start);
        out.extend_from_slice(br#"{"type":"Remove","queryId":"#);
        number(out, query.into());
        out.push(b'}');
    }
    for (query, path, mut args) in added {
        comma(out, start);
        out.extend_from_slice(br#"{"type":"Add","queryId":"#);
        number(out, query.into());
        out.extend_from_slice(br#","udfPath":""#);
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(br#"","args":["#);
        args(out);
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}");
}

fn comma(out: &mut Vec<u8>, start: usize) {
    if out.len() > start {
        out.push(b',');
    }
}

/// `POST /api/query`, or of another kind of function, with arguments that `args` writes as one JSON object.
pub fn post(out: &mut Vec<u8>, kind: &str, path: &str, args: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"POST /api/");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(
        b" HTTP/1.1\r\nHost: load\r\nContent-Type: application/json\r\nContent-Length: ",
    );
    // The length stands before what it is of, so its place is filled in afterwards.
    let length = out.len();
    out.extend_from_slice(b"     \r\n\r\n");
    let body = out.len();
    out.extend_from_slice(br#"{"path":""#);
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(br#"","format":"json","args":"#);
    args(out);
    out.push(b'}');
    let mut text = itoa::Buffer::new();
    let digits = text.format(out.len() - body).as_bytes();
    out[length..length + digits.len()].copy_from_slice(digits);
}

/// The kind of a server's message, as far as load needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'m> {
    /// A mutation's outcome.
    MutationResponse {
        /// Which call it answers.
        request: u32,
        /// Whether it succeeded.
        success: bool,
    },
    /// Results have changed.
    Transition,
    /// A sign of life.
    Ping,
    /// Anything else, which load never asks for: its type.
    Other(&'m str),
}

/// Reads a server's message. Vestibule says what load needs in the first hundred bytes and always in the same order; a
/// server that does not is searched.
pub fn told(message: &[u8]) -> Told<'_> {
    match kind(message) {
        "MutationResponse" => match request(message) {
            Some(request) => Told::MutationResponse {
                request,
                success: memmem::find(message, br#""success":true"#).is_some(),
            },
            None => Told::Other("MutationResponse without a request"),
        },
        "Transition" => Told::Transition,
        "Ping" => Told::Ping,
        other => Told::Other(other),
    }
}

const KIND: &[u8] = br#""type":""#;
const REQUEST: &[u8] = br#""requestId":"#;

fn request(message: &[u8]) -> Option<u32> {
    let (request, _) = number_after(message, REQUEST)?;
    request.try_into().ok()
}

/// The number behind the first `name` in a text, where `name` ends in a colon, and where the number ends.
pub fn number_after(text: &[u8], name: &[u8]) -> Option<(u64, usize)> {
    let start = memmem::find(text, name)? + name.len();
    let digits = &text[start..];
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    let number = std::str::from_utf8(&digits[..end]).ok()?.parse().ok()?;
    Some((number, start + end))
}

/// The value of `type`; empty where there is none.
fn kind(message: &[u8]) -> &str {
    let start = match message.get(1..1 + KIND.len()) {
        Some(KIND) => 1 + KIND.len(),
        _ => match memmem::find(message, KIND) {
            Some(at) => at + KIND.len(),
            None => return "",
        },
    };
    let rest = &message[start..];
    let end = memchr::memchr(b'"', rest).unwrap_or(0);
    std::str::from_utf8(&rest[..end]).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use vestibule_schema::wire::ClientMessage;

    fn message(write: impl FnOnce(&mut Vec<u8>)) -> ClientMessage {
        let mut out = Vec::new();
        write(&mut out);
        ClientMessage::parse(std::str::from_utf8(&out).unwrap()).unwrap()
    }

    #[test]
    fn what_is_written_is_what_the_protocol_says() {
        assert!(matches!(message(connect), ClientMessage::Connect(_)));
        let call = message(|out| mutation(out, 7, "a:b", |out| out.extend(br#"{"x":1}"#)));
        let ClientMessage::Mutation(call) = call else {
            panic!("{call:?}")
        };
        assert_eq!(
            (call.request_id.0, call.path.to_string()),
            (7, "a:b".into())
        );
    }

    #[test]
    fn queries_are_added_and_removed_in_one_message() {
        let args = |out: &mut Vec<u8>| out.extend(b"{}");
        let added = [(4, "a:b", args), (5, "a:c", args)];
        let modify = message(|out| modify_query_set(out, 2, [1, 3], added));
        let ClientMessage::ModifyQuerySet(modify) = modify else {
            panic!("{modify:?}")
        };
        assert_eq!((modify.base_version, modify.new_version), (2, 3));
        assert_eq!(modify.modifications.len(), 4);
        let nothing = message(|out| modify_query_set(out, 0, [], added.into_iter().take(0)));
        assert!(matches!(nothing, ClientMessage::ModifyQuerySet(_)));
    }

    #[test]
    fn an_outcome_is_found_wherever_its_fields_are() {
        let told_success = |text: &str| {
            told(text.as_bytes())
                == Told::MutationResponse {
                    request: 12,
                    success: true,
                }
        };
        assert!(told_success(
            r#"{"type":"MutationResponse","requestId":12,"success":true,"result":null}"#
        ));
        assert!(told_success(
            r#"{"success":true, "requestId":12,"type":"MutationResponse"}"#
        ));
        let failed = br#"{"type":"MutationResponse","requestId":3,"success":false,"result":"no"}"#;
        assert_eq!(
            told(failed),
            Told::MutationResponse {
                request: 3,
                success: false
            }
        );
        assert_eq!(told(br#"{"type":"Ping"}"#), Told::Ping);
        assert_eq!(
            told(br#"{"type":"FatalError","error":"x"}"#),
            Told::Other("FatalError")
        );
        assert_eq!(told(b"{"), Told::Other(""));
    }
}
