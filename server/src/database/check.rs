//! Holding a whole database against itself: every table's entry, every document, every index in both directions.
//!
//! It walks a state from end to end and reports what it finds, for tools that work on a state of their own.

use std::collections::BTreeMap;

use bytes::Bytes;
use vestibule_schema::id::{DocumentId, InternalId};
use vestibule_schema::key::decode_key;
use vestibule_schema::path::FieldPath;
use vestibule_schema::value::{Object, Value};

use super::catalog::{Catalog, IndexMeta, TableMeta, decode_entry, entry_key};
use super::keys::{IndexId, document_key, id_of_entry, index_key};
use crate::storage::{
    Cursor, Direction, Entry, GROUP_TAIL_BYTES, KeyRange, ReadView, StorageError,
};

/// Something in a database that does not fit the rest of it.
#[derive(Debug, thiserror::Error)]
pub enum Inconsistency {
    #[error("the catalog's entry of table {number} cannot be read: {reason}")]
    Catalog { number: String, reason: String },
    #[error("table {table} and table {other} use the same place for an index")]
    SharedPlace { table: String, other: String },
    #[error("table {table} holds something that is no document")]
    NoDocument { table: String },
    #[error("document {id} of table {table} cannot be decoded")]
    Undecodable { table: String, id: DocumentId },
    #[error("document {id} of table {table} has no entry in index {index}")]
    MissingEntry {
        table: String,
        index: String,
        id: DocumentId,
    },
    #[error("index {index} of table {table} holds an entry of document {id}, {reason}")]
    StrayEntry {
        table: String,
        index: String,
        id: DocumentId,
        reason: &'static str,
    },
    #[error("documents {one} and {other} of table {table} are equal in the unique index {index}")]
    Duplicate {
        table: String,
        index: String,
        one: DocumentId,
        other: DocumentId,
    },
    #[error("there are entries of index number {number}, which no table has")]
    UnknownIndex { number: u32 },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// How much was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Tables, the server's own included.
    pub tables: u64,
    /// Documents in them.
    pub documents: u64,
    /// Entries of their indexes.
    pub index_entries: u64,
}

type Found<'f> = &'f mut dyn FnMut(Inconsistency);

/// The tables of a state. Entries that cannot be read go to `found`.
pub fn read_catalog(view: &dyn ReadView, found: Found<'_>) -> Catalog {
    let mut catalog = Catalog::default();
    let mut places: BTreeMap<IndexId, String> = BTreeMap::new();
    each(view, IndexId::CATALOG.range(), found, |entry, found| {
        let number = data_encoding::HEXLOWER.encode(&entry.key[IndexId::BYTES..]);
        match decode_entry(&entry.value) {
            Ok(table) if entry_key(&table) == entry.key => {
                for place in table.places() {
                    if let Some(other) = places.insert(place, table.name.clone()) {
                        let table = table.name.clone();
                        found(Inconsistency::SharedPlace { table, other });
                    }
                }
                catalog.set(table);
            }
            Ok(table) => found(Inconsistency::Catalog {
                number,
                reason: format!("it is that of table {}", table.number.get()),
            }),
            Err(reason) => found(Inconsistency::Catalog { number, reason }),
        }
    });
    catalog
}

/// Compares every document with every index of its table, both ways, and looks for entries that belong to no table.
pub fn compare(view: &dyn ReadView, catalog: &Catalog, found: Found<'_>) -> Compared {
    let mut compared = Compared::default();
    for table in catalog.tables() {
        let comparison = Comparison { view, table };
        compared.tables += 1;
        compared.documents += comparison.documents(found);
        let creation = (table.by_creation_time, "by_creation_time", &[][..], false);
        let declared = table.ordered();
        let declared = declared.map(|index| {
            let IndexMeta {
                id, name, fields, ..
            } = index;
            (*id, name.as_str(), &fields[..], index.unique && index.ready)
        });
        for (id, name, fields, is_unique) in std::iter::once(creation).chain(declared) {
            let index = ComparedIndex {
                id,
                name,
                fields,
                is_unique,
            };
            compared.index_entries += comparison.entries(&index, found);
        }
        for index in table.derived() {
            compared.index_entries += comparison.derived_entries(index, found);
        }
    }
    find_unknown(view, catalog, found);
    compared
}

/// The document of a table; `None` when there is none.
pub fn read_document(
    view: &dyn ReadView,
    table: &TableMeta,
    id: InternalId,
) -> Result<Option<Object>, StorageError> {
    let key = document_key(table.by_id, id);
    let Some(bytes) = view.get(&key)? else {
        return Ok(None);
    };
    match decode(&bytes) {
        Some(fields) => Ok(Some(fields)),
        None => Err(StorageError::misplaced(
            &Bytes::copy_from_slice(&key),
            "a stored document cannot be decoded",
        )),
    }
}

fn decode(bytes: &[u8]) -> Option<Object> {
    match decode_key(bytes) {
        Ok((Some(Value::Object(fields)), used)) if used == bytes.len() => Some(fields),
        _ => None,
    }
}

/// Hands every entry of a range to `visit`; a failure ends the range and goes to `found`.
fn each(
    view: &dyn ReadView,
    range: KeyRange,
    found: Found<'_>,
    mut visit: impl FnMut(&Entry, Found<'_>),
) {
    let mut cursor = Cursor::new(range, Direction::Forward);
    loop {
        match view.next(&mut cursor) {
            Ok(Some(entry)) => visit(&entry, found),
            Ok(None) => return,
            Err(error) => return found(error.into()),
        }
    }
}

/// A table that is held against its indexes.
struct Comparison<'c> {
    view: &'c dyn ReadView,
    table: &'c TableMeta,
}

struct ComparedIndex<'c> {
    id: IndexId,
    name: &'c str,
    fields: &'c [FieldPath],
    is_unique: bool,
}

impl Comparison<'_> {
    /// Every document decodes, and has its entry in every index that is complete. Returns how many there are.
    fn documents(&self, found: Found<'_>) -> u64 {
        let mut count = 0;
        each(
            self.view,
            self.table.by_id.range(),
            found,
            |entry, found| {
                count += 1;
                let table = || self.table.name.clone();
                if entry.key.len() != IndexId::BYTES + size_of::<InternalId>() {
                    return found(Inconsistency::NoDocument { table: table() });
                }
                let Some(internal) = id_of_entry(&entry.key) else {
                    return found(Inconsistency::NoDocument { table: table() });
                };
                let id = DocumentId::new(self.table.number, internal);
                if decode(&entry.value).is_none() {
                    return found(Inconsistency::Undecodable { table: table(), id });
                }
                for (index, name, fields) in self.complete() {
                    let missing = match index_key(index, fields, &entry.value, internal) {
                        Ok(key) => self.view.get(&key).map(|value| value.is_none()),
                        Err(_) => return found(Inconsistency::Undecodable { table: table(), id }),
                    };
                    match missing {
                        Ok(false) => {}
                        Ok(true) => found(Inconsistency::MissingEntry {
                            table: table(),
                            index: name.to_owned(),
                            id,
                        }),
                        Err(error) => found(error.into()),
                    }
                }
            },
        );
        count
    }

    /// The indexes that have an entry of every document.
    fn complete(&self) -> impl Iterator<Item = (IndexId, &str, &[FieldPath])> {
        let declared = self.table.ordered().filter(|index| index.ready);
        let declared = declared.map(|index| (index.id, index.name.as_str(), &index.fields[..]));
        let creation = (self.table.by_creation_time, "by_creation_time", &[][..]);
        std::iter::once(creation).chain(declared)
    }

    /// Every entry is that of a document as it is. Returns how many there are.
    fn entries(&self, index: &ComparedIndex<'_>, found: Found<'_>) -> u64 {
        let mut count = 0;
        let mut before: Option<Entry> = None;
        each(self.view, index.id.range(), found, |entry, found| {
            count += 1;
            let Some(internal) = id_of_entry(&entry.key) else {
                let table = self.table.name.clone();
                return found(Inconsistency::NoDocument { table });
            };
            let stray = |reason| Inconsistency::StrayEntry {
                table: self.table.name.clone(),
                index: index.name.to_owned(),
                id: DocumentId::new(self.table.number, internal),
                reason,
            };
            match self.view.get(&document_key(self.table.by_id, internal)) {
                Ok(None) => found(stray("which is not there")),
                Ok(Some(document)) => {
                    let key = index_key(index.id, index.fields, &document, internal);
                    match key {
                        Ok(key) if key == entry.key => {}
                        _ => found(stray("which has other values")),
                    }
                    self.check_unique(index, before.as_ref(), entry, &document, found);
                }
                Err(error) => found(error.into()),
            }
            before = Some(entry.clone());
        });
        count
    }

    /// Every document has its entries of a complete index of words or of vectors, and every entry is that of a document as
    /// it is. Returns how many entries there are.
    fn derived_entries(&self, index: &IndexMeta, found: Found<'_>) -> u64 {
        let expected = match index.ready {
            true => self.missing_derived(index, found),
            false => None,
        };
        let mut count = 0;
        each(self.view, index.id.range(), found, |_, _| count += 1);
        // All that was expected is there: then as many entries as expected leave no room for others.
        if expected != Some(count) {
            self.stray_derived(index, found);
        }
        count
    }

    /// How many entries all documents have; `None` when one is missing.
    fn missing_derived(&self, index: &IndexMeta, found: Found<'_>) -> Option<u64> {
        let (mut expected, mut is_complete) = (0, true);
        let documents = self.table.by_id.range();
        each(self.view, documents, found, |entry, found| {
            // Documents that cannot be read have been found before.
            let Some(internal) = id_of_entry(&entry.key) else {
                return;
            };
            let entries = index.derived_entries(&entry.value, internal);
            for Entry { key, value } in entries.unwrap_or_default() {
                expected += 1;
                match self.view.peek(&key) {
                    Ok(stored) if stored.as_ref() == Some(&value) => continue,
                    Ok(_) => found(Inconsistency::MissingEntry {
                        table: self.table.name.clone(),
                        index: index.name.clone(),
                        id: DocumentId::new(self.table.number, internal),
                    }),
                    Err(error) => found(error.into()),
                }
                is_complete = false;
            }
        });
        is_complete.then_some(expected)
    }

    /// Looks for entries that are not those of a document as it is.
    fn stray_derived(&self, index: &IndexMeta, found: Found<'_>) {
        each(self.view, index.id.range(), found, |entry, found| {
            let Some(internal) = id_of_entry(&entry.key) else {
                let table = self.table.name.clone();
                return found(Inconsistency::NoDocument { table });
            };
            let stray = |reason| Inconsistency::StrayEntry {
                table: self.table.name.clone(),
                index: index.name.clone(),
                id: DocumentId::new(self.table.number, internal),
                reason,
            };
            match self.view.get(&document_key(self.table.by_id, internal)) {
                Ok(None) => found(stray("which is not there")),
                Ok(Some(document)) => {
                    let entries = index.derived_entries(&document, internal);
                    let mut entries = entries.unwrap_or_default().into_iter();
                    let is_its = |own: Entry| own.key == entry.key && own.value == entry.value;
                    if !entries.any(is_its) {
                        found(stray("which has other values"));
                    }
                }
                Err(error) => found(error.into()),
            }
        });
    }

    /// Two documents with the same values are next to each other. One that lacks an indexed field does not compete.
    fn check_unique(
        &self,
        index: &ComparedIndex<'_>,
        before: Option<&Entry>,
        entry: &Entry,
        document: &[u8],
        found: Found<'_>,
    ) {
        let values = |key: &[u8]| key.len().checked_sub(GROUP_TAIL_BYTES);
        let Some(before) = before.filter(|_| index.is_unique) else {
            return;
        };
        let (Some(one), Some(other)) = (values(&before.key), values(&entry.key)) else {
            return;
        };
        if before.key[..one] != entry.key[..other] {
            return;
        }
        let fields = decode(document).unwrap_or_default();
        let competes = index
            .fields
            .iter()
            .all(|field| field.lookup(&fields).is_some());
        let ids = (id_of_entry(&before.key), id_of_entry(&entry.key));
        if let ((Some(one), Some(other)), true) = (ids, competes) {
            found(Inconsistency::Duplicate {
                table: self.table.name.clone(),
                index: index.name.to_owned(),
                one: DocumentId::new(self.table.number, one),
                other: DocumentId::new(self.table.number, other),
            });
        }
    }
}

/// Looks for entries behind the database's own that are in no index of any table.
fn find_unknown(view: &dyn ReadView, catalog: &Catalog, found: Found<'_>) {
    let tables = catalog.tables();
    let mut known: Vec<u32> = tables
        .flat_map(|table| table.places())
        .map(|id| id.0)
        .collect();
    known.sort_unstable();
    let mut from = IndexId::FIRST_USER;
    let ends = known.iter().copied().chain([u32::MAX]);
    for next in ends {
        if from < next {
            let range = KeyRange::new(IndexId(from).key(&[]), IndexId(next).key(&[]));
            let mut cursor = Cursor::new(range, Direction::Forward);
            match view.next(&mut cursor) {
                Ok(Some(entry)) => {
                    let number = entry.key.first_chunk().copied();
                    let number = u32::from_be_bytes(number.unwrap_or_default());
                    found(Inconsistency::UnknownIndex { number });
                }
                Ok(None) => {}
                Err(error) => found(error.into()),
            }
        }
        from = next.saturating_add(1);
    }
}
