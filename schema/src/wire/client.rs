//! The messages of clients. Reading is lenient where the official clients differ from each other. It is lenient too
//! where a refusal would end a client for good, although one failed call would do.

use std::borrow::Cow;
use std::fmt;

use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use serde_json::{Number, Value as Json};

use super::{
    Journal, MessageError, QueryId, RawJson, RequestId, SessionId, check_length, one_pass, present,
    tag,
};
use crate::path::FunctionPath;
use crate::timestamp::Timestamp;
use crate::value::Value;

/// One message from a client.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type")]
pub enum ClientMessage {
    /// The first message on every connection.
    Connect(Connect),
    /// Another identity, or none, for everything after it.
    Authenticate(Authenticate),
    /// Queries to watch and to stop watching.
    ModifyQuerySet(ModifyQuerySet),
    /// A mutation to run after all earlier ones.
    Mutation(CallMessage),
    /// An action to run at once.
    Action(CallMessage),
    /// Telemetry, never answered.
    Event(TelemetryEvent),
}

/// Which client this is and what it has seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connect {
    /// The client object; JavaScript clients keep it over reconnects.
    pub session_id: SessionId,
    /// How often this client has connected before, or failed to.
    #[serde(default)]
    pub connection_count: u32,
    /// Why the connection before this one ended; for diagnostics alone. `null` and absent mean the same.
    #[serde(default)]
    pub last_close_reason: Option<String>,
    /// The newest commit the client has seen. It must not be served anything older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_observed_timestamp: Option<Timestamp>,
    /// The client's clock in milliseconds since the Unix epoch. Zero, or any other number, is never an error.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "milliseconds"
    )]
    pub client_ts: Option<i64>,
}

/// Presents an identity. The identity version becomes `base_version + 1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Authenticate {
    /// The identity version this one replaces.
    pub base_version: u32,
    /// The credential that the client presents.
    pub credential: Credential,
}

/// The proof of a client's identity. Its `Debug` form shows none of it.
#[derive(Clone, PartialEq)]
pub enum Credential {
    /// An auth token.
    User(String),
    /// An admin key.
    Admin {
        /// The whole key, `name|opaque`.
        key: String,
        /// The attributes of a user to act as, unchecked.
        acting_as: Option<Json>,
    },
    /// No identity: a sign-out.
    None,
}

/// A change of what the client watches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModifyQuerySet {
    /// The query set version this one replaces.
    pub base_version: u32,
    /// The query set version after it.
    pub new_version: u32,
    /// May be empty.
    pub modifications: Vec<QuerySetModification>,
}

/// One query to watch, or to stop watching.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum QuerySetModification {
    /// Watch this query.
    Add(AddQuery),
    /// Stop watching.
    Remove {
        /// The subscription.
        query_id: QueryId,
    },
}

/// A query to watch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddQuery {
    /// The client's number for it.
    pub query_id: QueryId,
    /// Which function, in any spelling.
    #[serde(rename = "udfPath")]
    pub path: PathText,
    /// Exactly one object, if the client is an official one.
    #[serde(deserialize_with = "args")]
    pub args: Args,
    /// The journal of an earlier run. Absent means that there was none; present and empty is a journal too.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub journal: Option<Journal>,
    /// A component's function; for admins alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_path: Option<String>,
}

/// A mutation or an action to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallMessage {
    /// The number of this call in its session.
    pub request_id: RequestId,
    /// Which function, in any spelling.
    #[serde(rename = "udfPath")]
    pub path: PathText,
    /// Exactly one object, if the client is an official one.
    #[serde(deserialize_with = "args")]
    pub args: Args,
    /// A component's function; for admins alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_path: Option<String>,
}

/// Something a client measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TelemetryEvent {
    /// The kind of measurement; unknown kinds are ignored.
    pub event_type: String,
    /// The measurement, unread.
    #[serde(default)]
    pub event: RawJson,
}

/// A function path as a client wrote it. One that names no function is kept, so that its call alone can fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathText {
    /// A path in any of its spellings.
    Valid(FunctionPath),
    /// Any other text.
    Invalid(String),
}

/// The arguments of a call. Ones that are no values are kept as such, so that their call alone can fail.
#[derive(Clone, Debug, PartialEq)]
pub enum Args {
    /// A list of values.
    Ok(Vec<Value>),
    /// Why they are none, in words for the caller.
    Invalid(String),
}

impl ClientMessage {
    /// Reads one text message. Unknown keys are ignored, unknown types refused. The cost is bounded by the length
    /// of the text, whatever it holds.
    pub fn parse(text: &str) -> Result<ClientMessage, MessageError> {
        check_length(text)?;
        match one_pass::parse(text) {
            Some(message) => Ok(message),
            None => ClientMessage::parse_by_serde(text),
        }
    }

    pub(super) fn parse_by_serde(text: &str) -> Result<ClientMessage, MessageError> {
        let message = match &*tag(text)? {
            "Connect" => ClientMessage::Connect(serde_json::from_str(text)?),
            "Authenticate" => ClientMessage::Authenticate(serde_json::from_str(text)?),
            "ModifyQuerySet" => ClientMessage::ModifyQuerySet(serde_json::from_str(text)?),
            "Mutation" => ClientMessage::Mutation(serde_json::from_str(text)?),
            "Action" => ClientMessage::Action(serde_json::from_str(text)?),
            "Event" => ClientMessage::Event(serde_json::from_str(text)?),
            other => return Err(MessageError::UnknownType(other.to_owned())),
        };
        Ok(message)
    }

    /// The text to send. Fails for [`Args::Invalid`] alone, which stands for something that was read.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

impl<'de> Deserialize<'de> for ClientMessage {
    /// Reads from JSON alone: the raw text of a message is needed to survive what it may hold.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        ClientMessage::parse(raw.get()).map_err(de::Error::custom)
    }
}

/// Any JSON number as whole milliseconds: the nearest one that can be counted.
fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let number = Option::<Number>::deserialize(deserializer)?;
    Ok(number.map(|number| {
        number
            .as_i64()
            .unwrap_or_else(|| number.as_f64().unwrap_or(0.0) as i64)
    }))
}

impl<'de> Deserialize<'de> for QuerySetModification {
    /// Reads from JSON text alone, for the same reason as a message does.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        QuerySetModification::parse(text).map_err(de::Error::custom)
    }
}

impl QuerySetModification {
    fn parse(text: &str) -> Result<QuerySetModification, MessageError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Remove {
            query_id: QueryId,
        }

        match &*tag(text)? {
            "Add" => Ok(QuerySetModification::Add(serde_json::from_str(text)?)),
            "Remove" => {
                let Remove { query_id } = serde_json::from_str(text)?;
                Ok(QuerySetModification::Remove { query_id })
            }
            other => Err(MessageError::UnknownType(other.to_owned())),
        }
    }
}

/// Arguments are read from their own text: half a character, or too deep a nesting, must not fail the message.
fn args<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Args, D::Error> {
    <&RawValue>::deserialize(deserializer).map(|raw| Args::from_json(raw.get()))
}

impl Args {
    /// Reads arguments from the text of a JSON array.
    pub fn from_json(text: &str) -> Args {
        serde_json::from_str(text).map_or_else(|_| Args::Invalid(why_invalid(text)), Args::Ok)
    }
}

/// Why a text holds no arguments. The parser's own words would add a line and a column of a text that the user never
/// wrote. So the refusal is found a second time in a tree.
fn why_invalid(text: &str) -> String {
    match serde_json::from_str::<Json>(text) {
        Ok(Json::Array(list)) => list
            .iter()
            .find_map(|json| Value::from_json(json).err())
            .map_or_else(
                || "arguments are not valid values".to_owned(),
                |e| e.to_string(),
            ),
        Ok(_) => "arguments must be an array".to_owned(),
        Err(error) => format!("arguments are not valid JSON: {error}"),
    }
}

impl Serialize for Args {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Args::Ok(values) => values.serialize(serializer),
            Args::Invalid(why) => Err(S::Error::custom(why)),
        }
    }
}

impl PathText {
    /// Reads a path in any spelling, or keeps the text.
    pub fn new(text: impl AsRef<str> + Into<String>) -> PathText {
        match text.as_ref().parse() {
            Ok(path) => PathText::Valid(path),
            Err(_) => PathText::Invalid(text.into()),
        }
    }
}

impl fmt::Display for PathText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathText::Valid(path) => fmt::Display::fmt(path, f),
            PathText::Invalid(text) => f.write_str(text),
        }
    }
}

impl Serialize for PathText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PathText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(PathText::new)
    }
}

/// Authenticate as its fields stand on the wire.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthenticateFields<'a> {
    token_type: TokenType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Cow<'a, str>>,
    /// Rust clients say `acting_as`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        alias = "acting_as",
        rename = "impersonating"
    )]
    acting_as: Option<Cow<'a, Json>>,
    base_version: u32,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum TokenType {
    User,
    Admin,
    None,
}

impl Serialize for Authenticate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (token_type, value, acting_as) = match &self.credential {
            Credential::User(auth_token) => (TokenType::User, Some(auth_token), None),
            Credential::Admin { key, acting_as } => {
                (TokenType::Admin, Some(key), acting_as.as_ref())
            }
            Credential::None => (TokenType::None, None, None),
        };
        let fields = AuthenticateFields {
            token_type,
            value: value.map(|value| Cow::Borrowed(value.as_str())),
            acting_as: acting_as.map(Cow::Borrowed),
            base_version: self.base_version,
        };
        fields.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Authenticate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = AuthenticateFields::deserialize(deserializer)?;
        let value = fields.value.map(Cow::into_owned);
        let missing = || de::Error::missing_field("value");
        let credential = match fields.token_type {
            TokenType::User => Credential::User(value.ok_or_else(missing)?),
            TokenType::Admin => Credential::Admin {
                key: value.ok_or_else(missing)?,
                acting_as: fields.acting_as.map(Cow::into_owned),
            },
            TokenType::None => Credential::None,
        };
        Ok(Authenticate {
            base_version: fields.base_version,
            credential,
        })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credential::User(_) => "User(..)",
            Credential::Admin { .. } => "Admin { .. }",
            Credential::None => "None",
        })
    }
}
