//! Postings: a document's entries in an index of words.
//!
//! A document has one posting for each of its words, in each of several lists: one list of all documents, and one for each
//! filter field, which begins with the field's value. A search reads one list, so its work depends on the
//! documents that have that value and not on all others. The keys of a word go from the newest document to the oldest:
//!
//! | bytes | content |
//! | --- | --- |
//! | 4 | the index |
//! | 1 | the list: 0, or the position of the filter field from 1 |
//! | 16 | in the list of a filter field, the document's value |
//! | any, then 00 | the word |
//! | 8 | the creation time, such that later ones come first |
//! | 4 for each filter field | the head of the document's value |
//! | 16 | the document's id |

use std::collections::BTreeMap;

use bytes::Bytes;
use vestibule_schema::id::{INTERNAL_ID_BYTES, InternalId};
use vestibule_schema::key::{KeyError, decode_key, encoded_at, encoded_field};
use vestibule_schema::value::Value;

use super::super::catalog::IndexMeta;
use super::super::derived::FilterValue;
use super::super::keys::IndexId;
use super::super::read_set::Mark;
use super::super::writing::CREATION_TIME;
use super::tokens::tokens;
use crate::storage::Entry;

/// Distinct words of one document that are indexed, the first ones: more than books have.
pub const TERMS_INDEXED_MAX: usize = 16_384;

/// Ends a word in a key. No word contains it.
pub(super) const TERM_END: u8 = 0;

const NEWNESS_BYTES: usize = size_of::<f64>();

/// The creation time of a document such that later ones come first.
pub(super) type Newness = [u8; NEWNESS_BYTES];

/// A word in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Posting {
    /// The document.
    pub id: InternalId,
    /// Its creation time.
    pub newness: Newness,
    /// How often the word occurs.
    pub frequency: u32,
    /// How many words the document has.
    pub length: u32,
}

/// A document's postings. It has none where its field is no text.
pub(in super::super) fn entries(
    index: &IndexMeta,
    document: &[u8],
    id: InternalId,
) -> Result<Vec<Entry>, KeyError> {
    let (content, filters) = index.content_and_filters();
    let Some(text) = encoded_at(document, content)? else {
        return Ok(Vec::new());
    };
    let (Some(Value::String(text)), _) = decode_key(text)? else {
        return Ok(Vec::new());
    };
    let values = filters.iter().map(|path| FilterValue::at(document, path));
    let values: Vec<FilterValue> = values.collect::<Result<_, _>>()?;
    let tail = tail(document, &values, id)?;
    let (terms, length) = count(&text);
    let mut entries = Vec::with_capacity(terms.len() * (1 + values.len()));
    let lists = std::iter::once(list(index.id, None)).chain(
        (0..)
            .zip(&values)
            .map(|(at, value)| list(index.id, Some((at, value)))),
    );
    for list in lists {
        for (term, frequency) in &terms {
            let key = [&list[..], term.as_bytes(), &[TERM_END], &tail].concat();
            let value = [frequency.to_be_bytes(), length.to_be_bytes()].concat();
            entries.push(Entry {
                key: key.into(),
                value: value.into(),
            });
        }
    }
    Ok(entries)
}

/// What the keys of a list begin with. The filter field is named by its position.
pub(super) fn list(index: IndexId, filter: Option<(u8, &FilterValue)>) -> Vec<u8> {
    let mut list = index.0.to_be_bytes().to_vec();
    match filter {
        None => list.push(0),
        Some((at, value)) => {
            list.push(at + 1);
            list.extend_from_slice(&value.0);
        }
    }
    list
}

/// The mark in keys of documents whose filter field at `position`, of `count`, has a value.
pub(super) fn mark(position: usize, count: usize, value: &FilterValue) -> Mark {
    Mark {
        from_end: INTERNAL_ID_BYTES + (count - position) * Mark::BYTES,
        bytes: value.short(),
    }
}

/// The distinct words of a text with how often each occurs, and how many words there are.
fn count(text: &str) -> (BTreeMap<String, u32>, u32) {
    let mut terms: BTreeMap<String, u32> = BTreeMap::new();
    let mut length = 0;
    for term in tokens(text) {
        length += 1;
        if let Some(frequency) = terms.get_mut(&term) {
            *frequency += 1;
        } else if terms.len() < TERMS_INDEXED_MAX {
            terms.insert(term, 1);
        }
    }
    (terms, length)
}

fn tail(document: &[u8], values: &[FilterValue], id: InternalId) -> Result<Vec<u8>, KeyError> {
    let time =
        encoded_field(document, CREATION_TIME)?.and_then(|time| time.last_chunk::<NEWNESS_BYTES>());
    // The encoding of a number is in its order.
    let newness = time.map_or([u8::MAX; NEWNESS_BYTES], |time: &Newness| {
        time.map(|byte| !byte)
    });
    let mut tail = newness.to_vec();
    values
        .iter()
        .for_each(|value| tail.extend_from_slice(&value.short()));
    tail.extend_from_slice(&id.0);
    Ok(tail)
}

impl Posting {
    /// Reads an entry of an index with so many filter fields. `None`: it is no posting.
    pub fn read(key: &[u8], value: &[u8], filters: usize) -> Option<Posting> {
        let (rest, id) = key.split_last_chunk()?;
        let rest = rest.get(..rest.len().checked_sub(filters * Mark::BYTES)?)?;
        let (_, newness) = rest.split_last_chunk()?;
        let (frequency, length) = value.split_first_chunk()?;
        Some(Posting {
            id: InternalId(*id),
            newness: *newness,
            frequency: u32::from_be_bytes(*frequency),
            length: u32::from_be_bytes(length.try_into().ok()?),
        })
    }
}

/// The word of a key of a list.
pub(super) fn term_of(key: &Bytes, list: &[u8]) -> Option<Bytes> {
    let rest = key.strip_prefix(list)?;
    let end = rest.iter().position(|&byte| byte == TERM_END)?;
    Some(key.slice(list.len()..list.len() + end))
}
