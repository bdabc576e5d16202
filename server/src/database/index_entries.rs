//! Reading an index without its documents: the key alone finds documents that wait for their time, and documents that
//! commits touched. For the server's own tables.

use bytes::Bytes;
use vestibule_schema::id::{DocumentId, TableNumber};
use vestibule_schema::key::{decode_key, encode_key};
use vestibule_schema::value::Value;

use super::catalog::{Catalog, TableMeta};
use super::error::DatabaseError;
use super::keys::{IndexId, id_of_entry};
use super::transaction::Transaction;
use super::write_log::Touched;
use crate::storage::{Direction, KeyRange, successor};

/// An index of two fields of which the first tells states apart.
#[derive(Clone, Debug)]
pub struct StateIndex {
    table: TableNumber,
    index: IndexId,
}

/// One entry of a [`StateIndex`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateEntry {
    /// Its key. Entries of one state are in the order of their keys.
    pub key: Bytes,
    /// The document.
    pub id: DocumentId,
}

/// An entry that a commit touched, wherever it now is.
#[derive(Clone, Debug, PartialEq)]
pub struct TouchedEntry {
    /// The first field.
    pub state: Option<Value>,
    /// The entry.
    pub entry: StateEntry,
}

impl StateIndex {
    /// The declared index of this name; `None` where there is none of two fields.
    pub fn find(catalog: &Catalog, table: &str, index: &str) -> Option<StateIndex> {
        let table = catalog.table(table)?;
        let index = table.index(index).filter(|index| index.fields.len() == 2)?;
        Some(StateIndex {
            table: table.number,
            index: index.id,
        })
    }

    /// At most `max` entries of a state, those behind `after`, in ascending order. Not charged to anything, and not in
    /// the read set.
    pub fn entries(
        &self,
        tx: &mut Transaction<'_>,
        state: &str,
        after: Option<&Bytes>,
        max: usize,
    ) -> Result<Vec<StateEntry>, DatabaseError> {
        let mut range = KeyRange::prefix(self.prefix(state));
        if let Some(after) = after {
            range.start = successor(after);
        }
        let keys = tx.scan_system(range, Direction::Forward, max)?;
        let entries = keys.into_iter().map(|(key, _)| {
            let id = DocumentId::new(self.table, tx.id_of_entry(&key)?);
            Ok(StateEntry { key, id })
        });
        entries.collect()
    }

    /// The entries of this index among what a commit touched, old and new.
    pub fn touched<'t>(&'t self, touched: &'t Touched) -> impl Iterator<Item = TouchedEntry> + 't {
        let prefix = self.index.0.to_be_bytes();
        let keys = touched.iter_of(self.table);
        let keys = keys.filter(move |key| key.starts_with(&prefix));
        keys.filter_map(|key| {
            let (state, _) = decode_key(&key[IndexId::BYTES..]).ok()?;
            let id = DocumentId::new(self.table, id_of_entry(key)?);
            let key = Bytes::copy_from_slice(key);
            let entry = StateEntry { key, id };
            Some(TouchedEntry { state, entry })
        })
    }

    fn prefix(&self, state: &str) -> Vec<u8> {
        let mut prefix = self.index.0.to_be_bytes().to_vec();
        encode_key(&mut prefix, Some(&Value::from(state)));
        prefix
    }
}

impl StateEntry {
    /// The second field, where it is a number.
    pub fn number(&self) -> Option<f64> {
        let fields = self.key.get(IndexId::BYTES..)?;
        let (_, state_bytes) = decode_key(fields).ok()?;
        match decode_key(&fields[state_bytes..]) {
            Ok((Some(Value::Float64(number)), _)) => Some(number),
            _ => None,
        }
    }
}

impl TableMeta {
    /// Whether a commit that touched this wrote a document of the table.
    pub fn is_touched_by(&self, touched: &Touched) -> bool {
        touched.has_document_in(self.by_id)
    }
}
