//! Answers of mutations, kept so that a mutation sent again is answered and does not run again.
//!
//! The record is durable with the mutation's own writes, is found by (session id, request id), and names the identity.
//! Another identity that learned both ids is told nothing. On the lane, records of one batch share entries
//! (`answer_rows.rs`).

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use hashlink::LruCache;
use parking_lot::Mutex;
use vestibule_schema::key::{decode_key, encode_fields};
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::{Object, Value};

use super::answer_rows::{self, NewAnswer};
use super::committer::{CommitError, Committed, Mutation, Verdict};
use super::error::DatabaseError;
use super::keys::{IndexId, session_request_key};
use super::transaction::Transaction;
use crate::storage::{Direction, KeyRange, StorageError, Write, successor};

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

/// The lane's knowledge of the records.
pub struct KnownSessions {
    /// The newest request of each session that has a record, or had one: a later request was never answered. Saves the
    /// lane a lookup for a record that cannot exist.
    newest: LruCache<[u8; 16], Option<u32>>,
    /// Answers of the batch that is being gathered, in the order of their commits.
    gathered: Vec<NewAnswer>,
}

/// The number of sessions known at once, some MiB. For another session the records are looked up when its request
/// comes.
const KNOWN_SESSIONS_MAX: usize = 1 << 16;

impl Default for KnownSessions {
    fn default() -> Self {
        KnownSessions {
            newest: LruCache::new(KNOWN_SESSIONS_MAX),
            gathered: Vec::new(),
        }
    }
}

impl KnownSessions {
    /// Whether a request is certainly without a record, as far as is known without a look-up.
    pub(super) fn is_new(&self, session: &[u8; 16], request: u32) -> bool {
        let newest = self.newest.peek(session);
        newest.is_some_and(|newest| newest.is_none_or(|newest| newest < request))
    }

    /// Keeps an answer until its batch is closed.
    pub(super) fn gather(&mut self, answer: NewAnswer) {
        self.gathered.push(answer);
    }

    /// The entries that hold the answers of the batch that is closed.
    pub(super) fn take_gathered(&mut self) -> Vec<Write> {
        answer_rows::pack(std::mem::take(&mut self.gathered))
    }

    /// The batch that was being gathered is rolled back.
    pub(super) fn forget_gathered(&mut self) {
        self.gathered.clear();
    }

    /// The newest request of a session in the batch that is being gathered.
    fn newest_gathered(&self, session: &[u8; 16]) -> Option<u32> {
        let of_session = self.gathered.iter().filter(|new| new.session == *session);
        of_session.map(|new| new.request).max()
    }
}

impl SessionRequest {
    fn key(&self) -> Bytes {
        session_request_key(IndexId::SESSION_REQUESTS, &self.session, self.request)
    }

    /// Whether there may be a record of it.
    fn may_be_known(&self, tx: &mut Transaction<'_>) -> Result<bool, DatabaseError> {
        let Some(known) = tx.known_sessions() else {
            return Ok(true);
        };
        let newest = match known.newest.get(&self.session) {
            Some(newest) => *newest,
            None => {
                let gathered = known.newest_gathered(&self.session);
                let newest = newest_request(tx, &self.session)?.max(gathered);
                if let Some(known) = tx.known_sessions() {
                    known.newest.insert(self.session, newest);
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
        let Some(record) = self.find_record(tx)? else {
            return Ok(Recorded::Nothing);
        };
        let (identity, answer) = decode(&record).ok_or_else(|| {
            let what = "the record of an answered mutation cannot be decoded";
            StorageError::misplaced(&self.key(), what)
        })?;
        Ok(match identity == self.identity {
            true => Recorded::Answer(answer),
            false => Recorded::OtherIdentity,
        })
    }

    /// The record, wherever it is: in this transaction, in the batch that is being gathered, or in the store.
    fn find_record(&self, tx: &mut Transaction<'_>) -> Result<Option<Bytes>, DatabaseError> {
        let is_it = |new: &&NewAnswer| new.session == self.session && new.request == self.request;
        let own = tx.answer.as_ref().filter(is_it).cloned();
        let gathered = || tx.known_sessions()?.gathered.iter().find(is_it).cloned();
        if let Some(new) = own.or_else(gathered) {
            return Ok(Some(new.record));
        }
        match tx.read_system(&self.key())? {
            Some(record) => Ok(Some(record)),
            None => answer_rows::find(tx, &self.session, self.request),
        }
    }

    /// Keeps the answer, with the mutation's own transaction.
    pub fn record(&self, tx: &mut Transaction<'_>, answer: &RecordedAnswer) {
        let record = encode(&self.identity, answer);
        let has_answer = tx.answer.is_some();
        let known = tx.known_sessions().filter(|_| !has_answer);
        let newest = known.and_then(|known| known.newest.get_mut(&self.session));
        match newest {
            // If this is not committed, the next lookup finds nothing, as it would have without this entry.
            Some(newest) if newest.is_none_or(|newest| newest < self.request) => {
                *newest = Some(self.request);
                tx.answer = Some(NewAnswer {
                    session: self.session,
                    request: self.request,
                    record,
                });
            }
            _ => tx.write_system(self.key(), Some(record)),
        }
    }
}

/// The newest request of a session that has a record.
fn newest_request(
    tx: &mut Transaction<'_>,
    session: &[u8; 16],
) -> Result<Option<u32>, DatabaseError> {
    let mut newest = None;
    for index in RECORDS {
        let key = |request| session_request_key(index, session, request);
        let range = KeyRange::new(key(0), successor(&key(u32::MAX)));
        let last = tx.scan_system(range, Direction::Reverse, 1)?;
        let request = last.first().map(|(key, _)| {
            let request = key.last_chunk();
            u32::from_be_bytes(*request.expect("every key of the range ends in a request"))
        });
        newest = newest.max(request);
    }
    Ok(newest)
}

/// Where records are kept: each by itself, or rows of them.
const RECORDS: [IndexId; 2] = [IndexId::SESSION_REQUESTS, IndexId::SESSION_ANSWERS];

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

/// The commit whose answer a record is.
pub(super) fn recorded_at(record: &[u8]) -> Option<Timestamp> {
    match decode_key(record) {
        Ok((Some(Value::Object(record)), _)) => recorded_ts(&record),
        _ => None,
    }
}

fn recorded_ts(record: &Object) -> Option<Timestamp> {
    match record.get("ts") {
        Some(Value::Int64(ts)) => Some(Timestamp(*ts as u64)),
        _ => None,
    }
}

/// Entries of records that one sweep looks at.
pub const SWEEP_RECORDS_MAX: usize = 1_000;

/// Forgets old answers among the next [`SWEEP_RECORDS_MAX`] entries, as a mutation like any other.
pub(super) struct Sweep {
    /// The last entry that earlier sweeps looked at; `None` at the beginning.
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

/// Forgets answers older than [`RETENTION_DAYS`] among the next `scan_max` entries behind `after`. Returns where to go
/// on, `None` at the end. A row goes with its newest answer.
fn forget_old(
    tx: &mut Transaction<'_>,
    after: Option<Bytes>,
    scan_max: usize,
) -> Result<Option<Bytes>, DatabaseError> {
    let now = tx.commit_ts().unwrap_or(tx.snapshot_ts());
    let oldest = now.0.saturating_sub(RETENTION_DAYS * NANOS_PER_DAY);
    let mut left = scan_max;
    for index in RECORDS {
        let mut range = index.range();
        if let Some(after) = &after {
            range.start = range.start.max(successor(after));
        }
        let entries = tx.scan_system(range, Direction::Forward, left)?;
        left -= entries.len();
        let last = entries.last().map(|(key, _)| key.clone());
        for (key, value) in entries {
            let record = match index {
                IndexId::SESSION_ANSWERS => answer_rows::last_record(&value),
                _ => Some(value),
            };
            let answer = record.and_then(|record| decode(&record));
            if answer.is_none_or(|(_, answer)| answer.ts.0 < oldest) {
                tx.write_system(key, None);
            }
        }
        if left == 0 {
            return Ok(last);
        }
    }
    Ok(None)
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
