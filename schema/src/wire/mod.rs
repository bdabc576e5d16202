//! The messages of Convex's sync protocol, for both ends: a client writes what a server reads, and the other way round.
//! One WebSocket text message holds one JSON object with a `type`. The order of messages is not known here.
//!
//! - `client`: what clients send. Read with [`ClientMessage::parse`], which survives everything a browser sends.
//! - `server`: what servers send.
//! - `shared`: a Transition assembled from results that were serialized once for all their subscribers.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::timestamp::Timestamp;

mod client;
mod one_pass;
mod server;
mod shared;
#[cfg(test)]
mod tests;

pub use client::{
    AddQuery, Args, Authenticate, CallMessage, ClientMessage, Connect, Credential, ModifyQuerySet,
    PathText, QuerySetModification, TelemetryEvent,
};
pub use server::{
    ActionResponse, AuthError, CallFailure, ClockStamp, MutationResponse, ServerMessage,
    StateModification, Transition, TransitionChunk,
};
pub use shared::{OutcomeJson, TransitionWriter};

/// The longest text message either side accepts; the official clients' libraries stop at the same length.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why a text is not a message of the protocol.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum MessageError {
    /// Longer than [`MESSAGE_BYTES_MAX`].
    #[error("the message has {bytes} bytes, more than {MESSAGE_BYTES_MAX}")]
    TooLong { bytes: usize },
    /// A message this side does not know.
    #[error("unknown message type `{0}`")]
    UnknownType(String),
    /// Not JSON, or not the fields that its type has.
    #[error("the message is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// A number a client chose for one of its queries; kept over reconnects and never used twice.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct QueryId(pub u32);

/// The number of a mutation or action within its session.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RequestId(pub u32);

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The state told to a connection: query set version, identity version and timestamp. Starts at zero in all parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateVersion {
    /// The newest query set version included.
    pub query_set: u32,
    /// How many Authenticate messages are included.
    pub identity: u32,
    /// The snapshot at which all results were computed.
    pub ts: Timestamp,
}

/// The state that a query left behind to keep a page's end in place: an opaque text, or nothing (`null` on the wire).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Journal(pub Option<Arc<str>>);

/// One client across its reconnects: the 16 bytes of a UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 16]);

/// A text that is not a hyphenated UUID.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a session id is a UUID: 32 hex digits in groups of 8-4-4-4-12")]
pub struct SessionIdError;

/// Where the hyphens of a UUID's text stand.
const UUID_HYPHENS: [usize; 4] = [8, 13, 18, 23];
const UUID_TEXT_BYTES: usize = 36;

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<SessionId, SessionIdError> {
        if text.len() != UUID_TEXT_BYTES {
            return Err(SessionIdError);
        }
        let mut bytes = [0; 16];
        let mut digits = 0;
        for (index, character) in text.bytes().enumerate() {
            if UUID_HYPHENS.contains(&index) {
                if character != b'-' {
                    return Err(SessionIdError);
                }
                continue;
            }
            let digit = char::from(character).to_digit(16).ok_or(SessionIdError)?;
            let digit = u8::try_from(digit).expect("a hex digit is below 16");
            bytes[digits / 2] = bytes[digits / 2] << 4 | digit;
            digits += 1;
        }
        Ok(SessionId(bytes))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The `type` of a JSON object, whatever else it holds.
#[derive(Deserialize)]
struct Tagged<'a> {
    #[serde(rename = "type", borrow)]
    tag: Cow<'a, str>,
}

/// Reads the `type` without building anything of the rest, so that the rest can be read as what it is.
fn tag(text: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    if let Some(tag) = tag_in_front(text) {
        return Ok(Cow::Borrowed(tag));
    }
    serde_json::from_str::<Tagged>(text).map(|object| object.tag)
}

/// The `type` of a message that begins with it, as those of the official clients do, if it cannot have another one, in
/// whatever spelling. Whether the rest is JSON shows when it is read.
fn tag_in_front(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(r#"{"type":""#)?;
    let (tag, rest) = rest.split_once('"')?;
    let is_only = !tag.contains('\\') && !rest.contains(r#""type""#) && !rest.contains('\\');
    is_only.then_some(tag)
}

fn check_length(text: &str) -> Result<(), MessageError> {
    if text.len() > MESSAGE_BYTES_MAX {
        return Err(MessageError::TooLong { bytes: text.len() });
    }
    Ok(())
}

/// For a field whose absence differs from `null`: a present `null` is something.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A JSON text that is passed on unread.
#[derive(Clone, Debug)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// Takes a JSON text as it is, if it is one.
    pub fn new(text: String) -> Result<RawJson, serde_json::Error> {
        RawValue::from_string(text).map(RawJson)
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Default for RawJson {
    fn default() -> Self {
        RawJson(RawValue::NULL.to_owned())
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(RawJson)
    }
}
