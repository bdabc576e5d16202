//! A document's entries in an index of vectors: its vector, and for each filter field one that leads to it.
//!
//! | bytes | content |
//! | --- | --- |
//! | 4 | the index |
//! | 1 | the list: 0 for vectors, or the position of the filter field from 1 |
//! | 16 | in the list of a filter field, the document's value; zeros with vectors |
//! | 16 | the document's id |

use bytes::Bytes;
use vestibule_schema::id::InternalId;
use vestibule_schema::key::{KeyError, decode_key, encoded_at};
use vestibule_schema::value::Value;

use super::super::catalog::IndexMeta;
use super::super::derived::FilterValue;
use super::super::keys::IndexId;
use crate::storage::Entry;

/// Bytes of one number of a stored vector.
pub(super) const NUMBER_BYTES: usize = size_of::<f32>();

/// A document's entries. It has none where its field is no vector of so many numbers.
pub(in super::super) fn entries(
    index: &IndexMeta,
    dimensions: u32,
    document: &[u8],
    id: InternalId,
) -> Result<Vec<Entry>, KeyError> {
    let (content, filters) = index.content_and_filters();
    let Some(encoded) = encoded_at(document, content)? else {
        return Ok(Vec::new());
    };
    let Some(vector) = vector_of(decode_key(encoded)?.0, dimensions) else {
        return Ok(Vec::new());
    };
    let mut stored = Vec::with_capacity(vector.len() * NUMBER_BYTES);
    for number in unit(&vector) {
        stored.extend_from_slice(&number.to_le_bytes());
    }
    let mut entries = vec![Entry {
        key: entry_key(&vectors(index.id), id),
        value: stored.into(),
    }];
    for (at, path) in (0..).zip(filters) {
        let value = FilterValue::at(document, path)?;
        entries.push(Entry {
            key: entry_key(&list(index.id, at, &value), id),
            value: Bytes::new(),
        });
    }
    Ok(entries)
}

/// What the keys of all vectors begin with. As long as those of the other lists, so that no vector is taken for a document
/// that is worth remembering.
pub(super) fn vectors(index: IndexId) -> Vec<u8> {
    [&index.0.to_be_bytes()[..], &[0; 1 + FilterValue::BYTES]].concat()
}

/// What the keys of the list of a filter field begin with, which is named by its position.
pub(super) fn list(index: IndexId, filter: u8, value: &FilterValue) -> Vec<u8> {
    [&index.0.to_be_bytes()[..], &[filter + 1], &value.0].concat()
}

/// The key of a document in a list.
pub(super) fn entry_key(list: &[u8], id: InternalId) -> Bytes {
    [list, &id.0].concat().into()
}

fn vector_of(value: Option<Value>, dimensions: u32) -> Option<Vec<f64>> {
    let Some(Value::Array(elements)) = value else {
        return None;
    };
    if elements.len() != dimensions as usize {
        return None;
    }
    let number = |element: &Value| match element {
        Value::Float64(number) => Some(*number),
        _ => None,
    };
    elements.iter().map(number).collect()
}

/// The vector of length one that points the same way. One without a direction is all zeros, and as near to each as to any
/// other.
pub(super) fn unit(vector: &[f64]) -> impl Iterator<Item = f32> + '_ {
    // Squares of large numbers would have no end.
    let largest = vector
        .iter()
        .fold(0.0_f64, |largest, number| largest.max(number.abs()));
    let squares = vector.iter().map(|number| (number / largest).powi(2));
    let length = largest * squares.sum::<f64>().sqrt();
    let has_direction = length.is_finite() && length > 0.0;
    vector.iter().map(move |number| match has_direction {
        true => (number / length) as f32,
        false => 0.0,
    })
}
