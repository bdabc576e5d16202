//! Answers of mutations, kept so that a mutation sent again is answered and does not run again.
//!
//! The record is written in the mutation's own transaction, under (session id, request id), and names the identity.
//! Another identity that learned both ids is told nothing.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use hashlink::LruCache;
use parking_lot::Mutex;
use vestibule_schema::key::{decode_key, encode_fields};
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::{Object, Value};

use super::committer::{CommitError, Committed, Mutation, Verdict};
use super::error::DatabaseError;
use super::keys::{IndexId, session_request_key};
use super::transaction::Transaction;
use crate::storage::{Direction, KeyRange, StorageError, successor};

/// The sender and number of a request: they identify a mutation that is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRequest {
    /// One client across its reconnects.
    pub session: [u8; 16],
    /// The call's number in its session.
    pub request: u32,
    /// The identity the call runs as: its identity key, empty without an identity.
    pub identity: String,
}

/// The recorded answer of a mutation.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedAnswer {
    /// Its commit.
    pub ts: Timestamp,
    /// The returned value.
    pub value: Value,
    /// The log lines.
    pub log_lines: Vec<String>,
}

/// The records' answer about a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorded {
    /// It has not committed.
    Nothing,
    /// It committed with this answer.
    Answer(RecordedAnswer),
    /// The ids belong to another identity's request.
    OtherIdentity,
}

/// How long answers are kept.
pub const RETENTION_DAYS: u64 = 14;
const NANOS_PER_DAY: u64 = 86_400_000_000_000;

/// The newest request of each session that has a record, or had one: a later request was never answered. Saves the lane
/// a lookup for a record that cannot exist.
pub struct KnownSessions(LruCache<[u8; 16], Option<u32>>);

/// The number of sessions known at once, some MiB. For another session the records are looked up when its request
/// comes.
const KNOWN_SESSIONS_MAX: usize = 1 << 16;

impl Default for KnownSessions {
    fn default() -> Self {
        KnownSessions(LruCache::new(KNOWN_SESSIONS_MAX))
    }
}

impl SessionRequest {
    fn key(&self) -> Bytes {
        session_request_key(&self.session, self.request)
    }

    /// Whether there may be a record of it.
    fn may_be_known(&self, tx: &mut Transaction<'_>) -> Result<bool, DatabaseError> {
        let Some(known) = tx.known_sessions() else {
            return Ok(true);
        };
        let newest = match known.0.get(&self.session) {
            Some(newest) => *newest,
            None => {
                let newest = newest_request(tx, &self.session)?;
                if let Some(known) = tx.known_sessions() {
                    known.0.insert(self.session, newest);
                }
                newest
            }
        };
        Ok(newest.is_some_and(|newest| self.request <= newest))
    }

    /// Looks for the answer of an earlier run.
    pub fn find(&self, tx: &mut Transaction<'_>) -> Result<Recorded, DatabaseError> {
        if !self.may_be_known(tx)? {
            return Ok(Recorded::Nothing);
        }
        let key = self.key();
        let Some(bytes) = tx.read_system(&key)? else {
            return Ok(Recorded::Nothing);
        };
        let (identity, answer) = decode(&bytes).ok_or_else(|| {
            StorageError::misplaced(&key, "the record of an answered mutation cannot be decoded")
        })?;
        Ok(match identity == self.identity {
            true => Recorded::Answer(answer),
            false => Recorded::OtherIdentity,
        })
    }

    /// Keeps the answer, in the mutation's own transaction.
    pub fn record(&self, tx: &mut Transaction<'_>, answer: &RecordedAnswer) {
        tx.write_system(self.key(), Some(encode(&self.identity, answer)));
        let known = tx.known_sessions();
        // If this is not committed, the next lookup finds nothing, as it would have without this entry.
        if let Some(newest) = known.and_then(|known| known.0.get_mut(&self.session)) {
            *newest = (*newest).max(Some(self.request));
        }
    }
}

/// The newest request of a session that has a record.
fn newest_request(
    tx: &mut Transaction<'_>,
    session: &[u8; 16],
) -> Result<Option<u32>, DatabaseError> {
    let range = KeyRange::new(
        session_request_key(session, 0),
        successor(&session_request_key(session, u32::MAX)),
    );
    let last = tx.scan_system(range, Direction::Reverse, 1)?;
    Ok(last.first().map(|(key, _)| {
        let request = key.last_chunk();
        u32::from_be_bytes(*request.expect("every key of the range ends in a request"))
    }))
}

fn encode(identity: &str, answer: &RecordedAnswer) -> Bytes {
    let log_lines = answer.log_lines.iter();
    let log_lines = log_lines.map(|line| Value::from(line.as_str())).collect();
    let fields = [
        ("identity", &Value::from(identity)),
        ("logLines", &Value::Array(log_lines)),
        ("ts", &Value::Int64(answer.ts.0 as i64)),
        ("value", &answer.value),
    ];
    let mut bytes = Vec::with_capacity(128);
    encode_fields(&mut bytes, fields);
    bytes.into()
}

fn decode(bytes: &[u8]) -> Option<(String, RecordedAnswer)> {
    let Ok((Some(Value::Object(mut record)), _)) = decode_key(bytes) else {
        return None;
    };
    let ts = recorded_ts(&record)?;
    let Some(Value::String(identity)) = record.remove("identity") else {
        return None;
    };
    let Some(Value::Array(lines)) = record.remove("logLines") else {
        return None;
    };
    let log_lines = lines
        .into_iter()
        .filter_map(|line| line.as_str().map(str::to_string))
        .collect();
    Some((
        identity,
        RecordedAnswer {
            ts,
            value: record.remove("value")?,
            log_lines,
        },
    ))
}

fn recorded_ts(record: &Object) -> Option<Timestamp> {
    match record.get("ts") {
        Some(Value::Int64(ts)) => Some(Timestamp(*ts as u64)),
        _ => None,
    }
}

/// Records that one sweep looks at.
pub const SWEEP_RECORDS_MAX: usize = 1_000;

/// Forgets old answers among the next [`SWEEP_RECORDS_MAX`] records, as a mutation like any other.
pub(super) struct Sweep {
    /// The last record that earlier sweeps looked at; `None` at the beginning.
    place: Arc<Mutex<Option<Bytes>>>,
    next_place: Option<Bytes>,
}

impl Sweep {
    pub fn new(place: &Arc<Mutex<Option<Bytes>>>) -> Sweep {
        Sweep {
            place: place.clone(),
            next_place: None,
        }
    }
}

impl Mutation for Sweep {
    fn run<'v>(&mut self, mut tx: Transaction<'v>) -> (Transaction<'v>, Verdict) {
        let place = self.place.lock().clone();
        let verdict = match forget_old(&mut tx, place, SWEEP_RECORDS_MAX) {
            Ok(next_place) => {
                self.next_place = next_place;
                Verdict::Commit
            }
            Err(error) => {
                tracing::warn!(%error, "old answers could not be looked for");
                Verdict::Abort
            }
        };
        (tx, verdict)
    }

    fn finish(self: Box<Self>, outcome: Result<Committed, CommitError>) -> Option<Waker> {
        if outcome.is_ok() {
            *self.place.lock() = self.next_place;
        }
        None
    }
}

/// Forgets answers older than [`RETENTION_DAYS`] among the next `scan_max` records behind `after`. Returns where to go
/// on, `None` at the end.
fn forget_old(
    tx: &mut Transaction<'_>,
    after: Option<Bytes>,
    scan_max: usize,
) -> Result<Option<Bytes>, DatabaseError> {
    let now = tx.commit_ts().unwrap_or(tx.snapshot_ts());
    let oldest = now.0.saturating_sub(RETENTION_DAYS * NANOS_PER_DAY);
    let mut range = IndexId::SESSION_REQUESTS.range();
    if let Some(after) = after {
        range.start = successor(&after);
    }
    let mut records = tx.scan_system(range, Direction::Forward, scan_max)?;
    let is_end = records.len() < scan_max;
    let last = records.last().map(|(key, _)| key.clone());
    records.retain(|(_, bytes)| decode(bytes).is_none_or(|(_, answer)| answer.ts.0 < oldest));
    for (key, _) in records {
        tx.write_system(key, None);
    }
    Ok(last.filter(|_| !is_end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_survives_its_encoding() {
        let answer = RecordedAnswer {
            ts: Timestamp(1_760_000_000_000_000_100),
            value: Value::Array(vec![Value::Int64(4), Value::Null]),
            log_lines: vec!["[LOG] hello".into()],
        };
        assert_eq!(
            decode(&encode("issuer|subject", &answer)),
            Some(("issuer|subject".into(), answer))
        );
        assert_eq!(decode(b"\x03"), None);
    }
}
