//! Results that many connections share: serialized once, then copied into each connection's Transition.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;

use super::{ClockStamp, Journal, QueryId, StateVersion};
use crate::value::Value;

/// One result of a query, ready to be copied into Transitions: the JSON of everything a modification says except
/// which query it is about. A clone shares the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OutcomeJson {
    kind: Kind,
    /// The fields without braces: `"value":…,"logLines":[…],"journal":…`.
    fields: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Updated,
    Failed,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UpdatedFields<'a> {
    value: &'a Value,
    log_lines: &'a [String],
    journal: &'a Journal,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FailedFields<'a> {
    error_message: &'a str,
    log_lines: &'a [String],
    journal: &'a Journal,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_data: Option<&'a Value>,
}

impl OutcomeJson {
    /// A query that returned.
    pub fn updated(value: &Value, log_lines: &[String], journal: &Journal) -> OutcomeJson {
        OutcomeJson {
            kind: Kind::Updated,
            fields: fields(&UpdatedFields {
                value,
                log_lines,
                journal,
            }),
        }
    }

    /// A query that threw. `error_data` is there for a `ConvexError` alone.
    pub fn failed(
        error_message: &str,
        error_data: Option<&Value>,
        log_lines: &[String],
        journal: &Journal,
    ) -> OutcomeJson {
        OutcomeJson {
            kind: Kind::Failed,
            fields: fields(&FailedFields {
                error_message,
                log_lines,
                journal,
                error_data,
            }),
        }
    }

    /// How many bytes it adds to a Transition, but for the query id.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Never: a result has at least its log lines.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

/// The JSON of a struct without its braces.
fn fields(of: &impl Serialize) -> Arc<str> {
    let json = serde_json::to_string(of).expect("every result has a JSON form");
    Arc::from(&json[1..json.len() - 1])
}

/// Assembles the text of one Transition from shared results. The text is the one that serializing the same
/// [`Transition`](super::Transition) gives.
///
/// ```
/// use vestibule_schema::value::Value;
/// use vestibule_schema::wire::{
///     Journal, OutcomeJson, QueryId, ServerMessage, StateVersion, TransitionWriter,
/// };
///
/// let shared = OutcomeJson::updated(&Value::Null, &[], &Journal::default());
/// let mut writer = TransitionWriter::new(StateVersion::default(), StateVersion::default());
/// writer.outcome(QueryId(0), &shared);
/// writer.outcome(QueryId(1), &shared);
/// writer.removed(QueryId(2));
/// let text = writer.finish(None);
/// assert!(matches!(ServerMessage::parse(&text), Ok(ServerMessage::Transition(_))));
/// ```
#[derive(Debug)]
pub struct TransitionWriter {
    out: String,
    is_first: bool,
}

/// More than a Transition has outside its modifications.
const FRAME_BYTES: usize = 256;
/// More than a modification has outside its shared text.
const MODIFICATION_BYTES: usize = 48;

impl TransitionWriter {
    /// Begins a Transition between two versions.
    pub fn new(start: StateVersion, end: StateVersion) -> TransitionWriter {
        let mut out = String::with_capacity(FRAME_BYTES);
        out.push_str(r#"{"type":"Transition","startVersion":"#);
        write_version(&mut out, start);
        out.push_str(r#","endVersion":"#);
        write_version(&mut out, end);
        out.push_str(r#","modifications":["#);
        TransitionWriter {
            out,
            is_first: true,
        }
    }

    /// Assembles a whole Transition; a query without an outcome has been removed.
    pub fn write<'a>(
        start: StateVersion,
        end: StateVersion,
        modifications: impl IntoIterator<Item = (QueryId, Option<&'a OutcomeJson>)>,
        clock: Option<ClockStamp>,
    ) -> String {
        let mut writer = TransitionWriter::new(start, end);
        for (query_id, outcome) in modifications {
            match outcome {
                Some(outcome) => writer.outcome(query_id, outcome),
                None => writer.removed(query_id),
            }
        }
        writer.finish(clock)
    }

    /// Adds the result of one query. Each query may be mentioned once.
    pub fn outcome(&mut self, query_id: QueryId, outcome: &OutcomeJson) {
        self.out.reserve(outcome.len() + MODIFICATION_BYTES);
        self.begin(match outcome.kind {
            Kind::Updated => r#"{"type":"QueryUpdated","queryId":"#,
            Kind::Failed => r#"{"type":"QueryFailed","queryId":"#,
        });
        write_number(&mut self.out, query_id);
        self.out.push(',');
        self.out.push_str(&outcome.fields);
        self.out.push('}');
    }

    /// Adds that one query is no longer watched.
    pub fn removed(&mut self, query_id: QueryId) {
        self.begin(r#"{"type":"QueryRemoved","queryId":"#);
        write_number(&mut self.out, query_id);
        self.out.push('}');
    }

    /// Completes the text, stamping it with the clocks if they are known.
    pub fn finish(mut self, clock: Option<ClockStamp>) -> String {
        self.out.push(']');
        if let Some(ClockStamp {
            client_clock_skew,
            server_ts,
        }) = clock
        {
            self.out.push_str(r#","clientClockSkew":"#);
            write_number(&mut self.out, client_clock_skew);
            self.out.push_str(r#","serverTs":"#);
            write_number(&mut self.out, server_ts);
        }
        self.out.push('}');
        self.out
    }

    fn begin(&mut self, opening: &str) {
        if !self.is_first {
            self.out.push(',');
        }
        self.is_first = false;
        self.out.push_str(opening);
    }
}

fn write_version(out: &mut String, version: StateVersion) {
    out.push_str(r#"{"querySet":"#);
    write_number(out, version.query_set);
    out.push_str(r#","identity":"#);
    write_number(out, version.identity);
    out.push_str(r#","ts":""#);
    version.ts.write_wire(out);
    out.push_str(r#""}"#);
}

pub(super) fn write_number(out: &mut String, number: impl std::fmt::Display) {
    write!(out, "{number}").expect("writing to a String cannot fail");
}
