//! Entries of documents in indexes of words and of vectors. A document has any number of them in such an index, and they
//! have values. A writer, a build and a check make them alike.

use std::collections::BTreeMap;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use vestibule_schema::id::InternalId;
use vestibule_schema::key::{KeyError, encode_key, encoded_at, push_encoded};
use vestibule_schema::path::FieldPath;
use vestibule_schema::table::IndexMethod;
use vestibule_schema::value::Value;

use super::catalog::{IndexMeta, TableMeta};
use super::error::{DatabaseError, QueryError};
use super::stored::{StoredDocument, damaged};
use super::transaction::Transaction;
use super::{search, vectors};
use crate::storage::{Entry, Write};

/// A value to filter by, as keys hold it: of one length, and alike for equal values. `undefined` is a value too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FilterValue(pub [u8; FilterValue::BYTES]);

impl FilterValue {
    /// Bytes that it takes in a key.
    pub const BYTES: usize = 16;

    /// Of the value that a query compares with.
    pub fn of(value: Option<&Value>) -> FilterValue {
        let mut encoded = Vec::new();
        encode_key(&mut encoded, value);
        FilterValue::of_encoded(&encoded)
    }

    /// Of the value at `path` in a document.
    pub fn at(document: &[u8], path: &FieldPath) -> Result<FilterValue, KeyError> {
        let mut encoded = Vec::new();
        push_encoded(&mut encoded, encoded_at(document, path)?);
        Ok(FilterValue::of_encoded(&encoded))
    }

    fn of_encoded(encoded: &[u8]) -> FilterValue {
        let hash = Sha256::digest(encoded);
        let head = hash.first_chunk().copied();
        FilterValue(head.expect("a SHA-256 has more than sixteen bytes"))
    }

    /// The part of it that stands in keys for which its whole length is too much. Readers of those look at the document.
    pub fn short(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.0;
        [a, b, c, d]
    }
}

impl IndexMeta {
    /// A document's entries in this index, as it is stored. An index of order has none of this kind.
    pub(super) fn derived_entries(
        &self,
        document: &[u8],
        id: InternalId,
    ) -> Result<Vec<Entry>, KeyError> {
        match self.method {
            IndexMethod::Order => Ok(Vec::new()),
            IndexMethod::Search => search::entries(self, document, id),
            IndexMethod::Vector { dimensions } => vectors::entries(self, dimensions, document, id),
        }
    }
}

impl TableMeta {
    /// At least as many entries as a document of this size has in the indexes of words and of vectors.
    pub fn derived_entries_max(&self, document_bytes: usize) -> usize {
        // A word of one letter, and what parts it from the next one.
        const WORD_BYTES_MIN: usize = 2;
        let entries = self.derived().map(|index| {
            let each = match index.method {
                IndexMethod::Search => {
                    (document_bytes / WORD_BYTES_MIN + 1).min(search::TERMS_INDEXED_MAX)
                }
                IndexMethod::Order | IndexMethod::Vector { .. } => 1,
            };
            each * index.fields.len()
        });
        entries.sum()
    }
}

impl Transaction<'_> {
    /// The changes of the indexes of words and of vectors when a document changes from `old` to `new`. They are charged
    /// index by index, so that no more than one index's share is held beyond the limit.
    pub(super) fn derived_changes(
        &mut self,
        table: &TableMeta,
        old: Option<&StoredDocument>,
        new: Option<&StoredDocument>,
    ) -> Result<Vec<Write>, DatabaseError> {
        let mut changes = Vec::new();
        for index in table.derived() {
            if let Some((old, new)) = old.zip(new)
                && self.is_equal_in(index, old, new)?
            {
                continue;
            }
            let old = self.derived_of(index, old)?;
            let new = self.derived_of(index, new)?;
            let before = changes.len();
            changes.extend(difference(old, new));
            let charged = self
                .usage
                .write_entries(changes.len() - before, &self.limits);
            charged.map_err(QueryError::Limit)?;
        }
        Ok(changes)
    }

    /// Writes them. Readers depend on all of these entries.
    pub(super) fn write_derived(&mut self, changes: Vec<Write>) {
        for Write { key, value } in changes {
            self.touched.push(&key);
            self.writes.insert(key, value);
        }
    }

    fn derived_of(
        &mut self,
        index: &IndexMeta,
        document: Option<&StoredDocument>,
    ) -> Result<Vec<Entry>, DatabaseError> {
        let Some(document) = document else {
            return Ok(Vec::new());
        };
        let id = document.id();
        let entries = index.derived_entries(document.bytes(), id.internal());
        entries.map_err(|_| self.break_with(damaged(id)))
    }

    /// Whether two states of a document have the same entries in an index.
    fn is_equal_in(
        &mut self,
        index: &IndexMeta,
        old: &StoredDocument,
        new: &StoredDocument,
    ) -> Result<bool, DatabaseError> {
        let is_equal = |field: &FieldPath| -> Result<bool, KeyError> {
            Ok(encoded_at(old.bytes(), field)? == encoded_at(new.bytes(), field)?)
        };
        for field in &index.fields {
            let is_equal = is_equal(field);
            if !is_equal.map_err(|_| self.break_with(damaged(old.id())))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The writes that make `new` of `old`.
pub(super) fn difference(old: Vec<Entry>, new: Vec<Entry>) -> impl Iterator<Item = Write> {
    let mut entries: BTreeMap<Bytes, [Option<Bytes>; 2]> = BTreeMap::new();
    for (at, side) in [old, new].into_iter().enumerate() {
        for Entry { key, value } in side {
            entries.entry(key).or_default()[at] = Some(value);
        }
    }
    let changed = entries.into_iter().filter(|(_, [old, new])| old != new);
    changed.map(|(key, [_, value])| Write { key, value })
}
