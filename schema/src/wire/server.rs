//! The messages of servers. Clients stop at anything they do not know, so there are no other messages and no other
//! fields.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

use super::shared::write_number;
use super::{Journal, MessageError, QueryId, RequestId, StateVersion, check_length, present, tag};
use crate::timestamp::Timestamp;
use crate::value::Value;

/// One message from a server.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type")]
pub enum ServerMessage {
    /// One atomic change of results.
    Transition(Transition),
    /// A piece of a Transition too long to be sent at once.
    TransitionChunk(TransitionChunk),
    /// How a mutation ended.
    MutationResponse(MutationResponse),
    /// How an action ended.
    ActionResponse(ActionResponse),
    /// The identity is not, or no longer, accepted; the connection closes.
    AuthError(AuthError),
    /// The client broke the protocol. JavaScript clients never connect again after it.
    FatalError {
        /// The client's mistake.
        error: String,
    },
    /// A sign of life while there is nothing to send.
    Ping,
}

/// One atomic change: after it, every query of the set has exactly its result as of `end_version`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// The end version of the Transition before it.
    pub start_version: StateVersion,
    /// The state told to the client after it.
    pub end_version: StateVersion,
    /// The queries whose results changed, each at most once.
    pub modifications: Vec<StateModification>,
    /// For measuring how long the message took. Both of its fields are sent, or none.
    #[serde(flatten)]
    pub clock: Option<ClockStamp>,
}

/// The clock readings with which a client measures how long a message was on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockStamp {
    /// The client's clock minus the server's, in milliseconds, when the client connected.
    pub client_clock_skew: i64,
    /// The server's clock just before sending, in nanoseconds since the Unix epoch.
    pub server_ts: u64,
}

/// The change of one query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum StateModification {
    /// It returned.
    QueryUpdated {
        /// The subscription.
        query_id: QueryId,
        /// The result.
        value: Value,
        /// Its log lines.
        log_lines: Vec<String>,
        /// Where its page ended.
        #[serde(default)]
        journal: Journal,
    },
    /// It threw.
    QueryFailed {
        /// The subscription.
        query_id: QueryId,
        /// Its text.
        error_message: String,
        /// Its log lines.
        log_lines: Vec<String>,
        /// Where its page ended.
        #[serde(default)]
        journal: Journal,
        /// The data of a `ConvexError`, `null` included; nothing for any other error.
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            deserialize_with = "present"
        )]
        error_data: Option<Value>,
    },
    /// It is no longer watched.
    QueryRemoved {
        /// The subscription.
        query_id: QueryId,
    },
}

/// A piece of the text of a Transition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransitionChunk {
    /// The piece. All pieces in order are the text.
    pub chunk: String,
    /// Its place, from 0.
    pub part_number: u32,
    /// How many pieces there are.
    pub total_parts: u32,
    /// The same for all pieces of one Transition.
    pub transition_id: String,
}

/// How a mutation ended.
#[derive(Clone, Debug, PartialEq)]
pub struct MutationResponse {
    /// Which one.
    pub request_id: RequestId,
    /// The returned value and the commit's timestamp, or why the mutation failed.
    pub outcome: Result<(Value, Timestamp), CallFailure>,
    /// Its log lines.
    pub log_lines: Vec<String>,
}

/// How an action ended.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionResponse {
    /// Which one.
    pub request_id: RequestId,
    /// The returned value, or why the action failed.
    pub outcome: Result<Value, CallFailure>,
    /// Its log lines.
    pub log_lines: Vec<String>,
}

/// Why a call did not return.
#[derive(Clone, Debug, PartialEq)]
pub struct CallFailure {
    /// For people.
    pub message: String,
    /// The data of a `ConvexError`, `null` included; nothing for any other error.
    pub data: Option<Value>,
}

/// Why an identity is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthError {
    /// For people.
    pub error: String,
    /// The identity version that the rejected one was to replace.
    #[serde(default)]
    pub base_version: u32,
    /// Whether an Authenticate was rejected; otherwise the current identity ran out.
    #[serde(default = "yes")]
    pub auth_update_attempted: bool,
}

/// Clients take a missing `authUpdateAttempted` for true.
fn yes() -> bool {
    true
}

impl ServerMessage {
    /// Reads one text message. Unknown keys are ignored, unknown types refused.
    pub fn parse(text: &str) -> Result<ServerMessage, MessageError> {
        #[derive(Deserialize)]
        struct FatalError {
            error: String,
        }

        check_length(text)?;
        let message = match &*tag(text)? {
            "Transition" => ServerMessage::Transition(serde_json::from_str(text)?),
            "TransitionChunk" => ServerMessage::TransitionChunk(serde_json::from_str(text)?),
            "MutationResponse" => ServerMessage::MutationResponse(serde_json::from_str(text)?),
            "ActionResponse" => ServerMessage::ActionResponse(serde_json::from_str(text)?),
            "AuthError" => ServerMessage::AuthError(serde_json::from_str(text)?),
            "FatalError" => {
                let FatalError { error } = serde_json::from_str(text)?;
                ServerMessage::FatalError { error }
            }
            "Ping" => ServerMessage::Ping,
            other => return Err(MessageError::UnknownType(other.to_owned())),
        };
        Ok(message)
    }

    /// The text to send.
    pub fn to_json(&self) -> String {
        let returned = match self {
            ServerMessage::MutationResponse(response) => response.returned_json(),
            _ => None,
        };
        returned.unwrap_or_else(|| json(self))
    }
}

fn json(part: &impl Serialize) -> String {
    serde_json::to_string(part).expect("every part of a server message has a JSON form")
}

impl<'de> Deserialize<'de> for ServerMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        ServerMessage::parse(raw.get()).map_err(de::Error::custom)
    }
}

impl StateModification {
    /// Which query it is about.
    pub fn query_id(&self) -> QueryId {
        match self {
            StateModification::QueryUpdated { query_id, .. }
            | StateModification::QueryFailed { query_id, .. }
            | StateModification::QueryRemoved { query_id } => *query_id,
        }
    }
}

impl TransitionChunk {
    /// Cuts the text of a Transition into pieces of at most `bytes_max` bytes, between characters. The longest
    /// character has four bytes, so `bytes_max` is taken as four at least.
    pub fn split(text: &str, bytes_max: usize) -> Vec<TransitionChunk> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let longest = bytes_max.max(4).min(rest.len());
            let cut = (0..=longest)
                .rfind(|index| rest.is_char_boundary(*index))
                .expect("zero is a character boundary");
            let (piece, after) = rest.split_at(cut);
            pieces.push(piece);
            rest = after;
        }
        let total_parts = u32::try_from(pieces.len()).expect("a message has less than 4 GiB");
        (0..total_parts)
            .zip(pieces)
            .map(|(part_number, chunk)| TransitionChunk {
                chunk: chunk.to_owned(),
                part_number,
                total_parts,
                transition_id: text.len().to_string(),
            })
            .collect()
    }
}

/// A response as its fields stand on the wire. The type of `result` depends on `success`, and the presence of `ts` on
/// the kind of call.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseFields<'a> {
    request_id: RequestId,
    success: bool,
    result: ResultField<'a>,
    /// Outside nothing: no such field. Inside nothing: `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<Option<Timestamp>>,
    log_lines: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    error_data: Option<&'a Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ResultField<'a> {
    Returned(&'a Value),
    Threw(&'a str),
}

impl<'a> ResponseFields<'a> {
    fn new(
        request_id: RequestId,
        outcome: Result<&'a Value, &'a CallFailure>,
        ts: Option<Option<Timestamp>>,
        log_lines: &'a [String],
    ) -> ResponseFields<'a> {
        let (result, error_data) = match outcome {
            Ok(value) => (ResultField::Returned(value), None),
            Err(failure) => (ResultField::Threw(&failure.message), failure.data.as_ref()),
        };
        ResponseFields {
            request_id,
            success: outcome.is_ok(),
            result,
            ts,
            log_lines,
            error_data,
        }
    }
}

/// A response as it was read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadResponse {
    request_id: RequestId,
    success: bool,
    result: Value,
    #[serde(default)]
    ts: Option<Timestamp>,
    log_lines: Vec<String>,
    #[serde(default, deserialize_with = "present")]
    error_data: Option<Value>,
}

impl ReadResponse {
    fn outcome<E: de::Error>(self) -> Result<Result<Value, CallFailure>, E> {
        match (self.success, self.result) {
            (true, value) => Ok(Ok(value)),
            (false, Value::String(message)) => Ok(Err(CallFailure {
                message,
                data: self.error_data,
            })),
            (false, _) => Err(E::custom("the result of a failed call must be a string")),
        }
    }
}

/// More than a response has outside its result and its log lines.
const RETURNED_BYTES: usize = 128;

impl MutationResponse {
    /// The text of a mutation that returned, as serde writes it. Servers write nothing as often.
    fn returned_json(&self) -> Option<String> {
        let (value, ts) = self.outcome.as_ref().ok()?;
        let mut out = String::with_capacity(RETURNED_BYTES);
        out.push_str(r#"{"type":"MutationResponse","requestId":"#);
        write_number(&mut out, self.request_id);
        out.push_str(r#","success":true,"result":"#);
        match value {
            Value::Null => out.push_str("null"),
            value => out.push_str(&json(value)),
        }
        out.push_str(r#","ts":""#);
        ts.write_wire(&mut out);
        out.push_str(r#"","logLines":"#);
        match &self.log_lines[..] {
            [] => out.push_str("[]"),
            lines => out.push_str(&json(&lines)),
        }
        out.push('}');
        Some(out)
    }
}

impl Serialize for MutationResponse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ts = self.outcome.as_ref().ok().map(|(_, ts)| *ts);
        let outcome = self.outcome.as_ref().map(|(value, _)| value);
        ResponseFields::new(self.request_id, outcome, Some(ts), &self.log_lines)
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for MutationResponse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut read = ReadResponse::deserialize(deserializer)?;
        let (request_id, ts) = (read.request_id, read.ts);
        let log_lines = std::mem::take(&mut read.log_lines);
        let outcome = match read.outcome()? {
            Ok(value) => Ok((value, ts.ok_or_else(|| de::Error::missing_field("ts"))?)),
            Err(failure) => Err(failure),
        };
        Ok(MutationResponse {
            request_id,
            outcome,
            log_lines,
        })
    }
}

impl Serialize for ActionResponse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ResponseFields::new(
            self.request_id,
            self.outcome.as_ref(),
            None,
            &self.log_lines,
        )
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ActionResponse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut read = ReadResponse::deserialize(deserializer)?;
        Ok(ActionResponse {
            request_id: read.request_id,
            log_lines: std::mem::take(&mut read.log_lines),
            outcome: read.outcome()?,
        })
    }
}
