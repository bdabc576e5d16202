//! Rows of answers: the answers of one batch to one session, packed into few entries of the store.
//!
//! A session's requests mostly come in ascending order and many to a batch. Such answers share an entry, under the
//! session and the last request in it. An answer is packed only when its request is behind all others of its session
//! that have one. So the rows of a session never overlap. The first row that ends at a request or behind it is the
//! only one that can hold its answer. Every other answer is an entry of its own, as all were in the store's format 1.

use bytes::{BufMut, Bytes, BytesMut};
use vestibule_schema::timestamp::Timestamp;

use super::error::DatabaseError;
use super::keys::{IndexId, session_request_key};
use super::session_requests::recorded_at;
use super::transaction::Transaction;
use crate::storage::{Direction, KeyRange, StorageError, Write, successor};

/// An answer that waits for the end of its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAnswer {
    /// The session that asked.
    pub session: [u8; 16],
    /// The request in its session.
    pub request: u32,
    /// The encoded record.
    pub record: Bytes,
}

/// Bytes of a row with more than one answer. With its key and checksum such a row stays within a page of the tables'
/// trees. SQLite moves longer rows than about 1,000 bytes to a page of their own.
const ROW_BYTES_MAX: usize = 900;
/// The request, and the length of the record.
const HEADER_BYTES: usize = 2 * size_of::<u32>();

/// Entries that hold the answers. Each session's requests ascend in them.
pub(super) fn pack(mut answers: Vec<NewAnswer>) -> Vec<Write> {
    answers.sort_unstable_by_key(|answer| (answer.session, answer.request));
    let mut writes = Vec::new();
    let mut rest = &answers[..];
    while let Some(first) = rest.first() {
        let mut bytes = 0;
        let row = rest.iter().take_while(|answer| {
            let is_first = bytes == 0;
            bytes += HEADER_BYTES + answer.record.len();
            let has_room = is_first || bytes <= ROW_BYTES_MAX;
            has_room && answer.session == first.session
        });
        let len = row.count();
        let (row, behind) = rest.split_at(len);
        writes.push(row_of(row));
        rest = behind;
    }
    writes
}

fn row_of(answers: &[NewAnswer]) -> Write {
    let bytes = answers
        .iter()
        .map(|answer| HEADER_BYTES + answer.record.len());
    let mut row = BytesMut::with_capacity(bytes.sum());
    for NewAnswer {
        request, record, ..
    } in answers
    {
        let len = u32::try_from(record.len()).expect("an answer is far below 4 GiB");
        row.put_u32_le(*request);
        row.put_u32_le(len);
        row.put_slice(record);
    }
    let last = answers.last().expect("a row holds an answer");
    let key = session_request_key(IndexId::SESSION_ANSWERS, &last.session, last.request);
    Write {
        key,
        value: Some(row.freeze()),
    }
}

/// The answers of a row, in ascending order of their requests. A row that is cut off ends in `None`.
fn answers(row: &Bytes) -> impl Iterator<Item = Option<(u32, Bytes)>> {
    let mut rest = row.clone();
    let mut is_broken = false;
    std::iter::from_fn(move || {
        if rest.is_empty() || is_broken {
            return None;
        }
        let next = take_answer(&mut rest);
        is_broken = next.is_none();
        Some(next)
    })
}

fn take_answer(rest: &mut Bytes) -> Option<(u32, Bytes)> {
    let mut header = rest.get(..HEADER_BYTES)?;
    let mut number = || header.split_off(..size_of::<u32>())?.try_into().ok();
    let (request, len) = (number()?, number()?);
    let len = usize::try_from(u32::from_le_bytes(len)).ok()?;
    let end = HEADER_BYTES.checked_add(len)?;
    if rest.len() < end {
        return None;
    }
    let record = rest.split_to(end).slice(HEADER_BYTES..);
    Some((u32::from_le_bytes(request), record))
}

/// The part of a write behind `until` that a state as of `until` keeps: the answers of commits up to then. A batch's
/// answers are its last commit, and a mutation whose answer were missing would run twice when it is sent again.
pub fn answers_until(write: &Write, until: Timestamp) -> Option<Write> {
    let (index, key) = write.key.split_first_chunk()?;
    let session = key.first_chunk()?;
    if IndexId(u32::from_be_bytes(*index)) != IndexId::SESSION_ANSWERS {
        return None;
    }
    let mut kept = Vec::new();
    for answer in answers(write.value.as_ref()?) {
        let (request, record) = answer?;
        if recorded_at(&record)? <= until {
            kept.push(NewAnswer {
                session: *session,
                request,
                record,
            });
        }
    }
    (!kept.is_empty()).then(|| row_of(&kept))
}

/// The last record of a row; `None` if it is damaged.
pub(super) fn last_record(row: &Bytes) -> Option<Bytes> {
    let mut last = None;
    for answer in answers(row) {
        last = Some(answer?.1);
    }
    last
}

/// The record of a request, if a row holds it.
pub(super) fn find(
    tx: &mut Transaction<'_>,
    session: &[u8; 16],
    request: u32,
) -> Result<Option<Bytes>, DatabaseError> {
    let key = |request| session_request_key(IndexId::SESSION_ANSWERS, session, request);
    let range = KeyRange::new(key(request), successor(&key(u32::MAX)));
    let rows = tx.scan_system(range, Direction::Forward, 1)?;
    let Some((key, row)) = rows.first() else {
        return Ok(None);
    };
    for answer in answers(row) {
        match answer {
            Some((found, record)) if found == request => return Ok(Some(record)),
            Some(_) => {}
            None => {
                let what = "a row of answers cannot be decoded";
                return Err(StorageError::misplaced(key, what).into());
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_hold_each_answer_once_and_do_not_overlap(
            model in btree_map((0..3u8, any::<u32>()), vec(any::<u8>(), 0..600), 0..40),
        ) {
            let new = model.iter().map(|((session, request), record)| NewAnswer {
                session: [*session; 16],
                request: *request,
                record: record.clone().into(),
            });
            // They come in the order of their commits, mixed over the sessions.
            let mut new: Vec<NewAnswer> = new.collect();
            new.sort_by_key(|answer| answer.request);
            let mut found = BTreeMap::new();
            let mut ends: BTreeMap<u8, u32> = BTreeMap::new();
            for Write { key, value } in pack(new) {
                let row = value.unwrap();
                let (session, last) = (key[4], u32::from_be_bytes(*key.last_chunk().unwrap()));
                let held: Vec<_> = answers(&row).map(Option::unwrap).collect();
                prop_assert!(held.windows(2).all(|pair| pair[0].0 < pair[1].0));
                prop_assert_eq!(held.last().unwrap().0, last);
                prop_assert_eq!(last_record(&row), held.last().map(|(_, record)| record.clone()));
                let end = ends.insert(session, last);
                prop_assert!(end.is_none_or(|end| end < held[0].0));
                prop_assert!(row.len() <= ROW_BYTES_MAX || held.len() == 1);
                found.extend(held.into_iter().map(|(request, record)| ((session, request), record.to_vec())));
            }
            prop_assert_eq!(found, model);
        }

        #[test]
        fn a_row_that_was_cut_off_is_noticed(record in vec(any::<u8>(), 0..20), cut in 1..20usize) {
            let answer = |request, record: &[u8]| NewAnswer {
                session: [7; 16],
                request,
                record: Bytes::copy_from_slice(record),
            };
            let write = row_of(&[answer(1, b"first"), answer(2, &record)]);
            let row = write.value.unwrap();
            let cut = row.slice(..row.len() - cut.min(HEADER_BYTES + record.len() - 1).max(1));
            prop_assert_eq!(answers(&cut).last().unwrap(), None);
            prop_assert_eq!(last_record(&cut), None);
        }
    }
}
