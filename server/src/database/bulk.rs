//! Documents in bulk: importing them with the ids they have, into hidden tables or into tables in use, and
//! clearing tables away. All of it in transactions as any others, each of bounded size.

use std::sync::Arc;

use bytes::Bytes;
use vestibule_schema::id::{DocumentId, INTERNAL_ID_BYTES, InternalId, TableNumber};
use vestibule_schema::key::decode_key;
use vestibule_schema::validator::TableNames;
use vestibule_schema::value::{Object, Value};

use super::catalog::{Catalog, Owner, TableMeta};
use super::error::{DatabaseError, QueryError};
use super::keys::{IndexId, document_key, encode_document, id_of_entry};
use super::stored::{StoredDocument, damaged};
use super::transaction::Transaction;
use super::writing::{CREATION_TIME, ID};
use crate::storage::{
    Cursor, Direction, Entry, KeyRange, ReadView, Snapshot, StorageError, successor,
};

/// A commit that is read as a whole.
pub struct ReadAt {
    /// The commit. Held, it keeps the write-ahead log from starting anew.
    pub snapshot: Snapshot,
    /// The tables and indexes.
    pub catalog: Arc<Catalog>,
}

/// Where documents are imported to.
#[derive(Clone)]
pub struct Destination {
    /// The name of their table, which a hidden table gets only later.
    pub name: String,
    /// The table that holds them.
    pub table: Arc<TableMeta>,
    /// The number in their ids, which a hidden table has only later.
    pub number: TableNumber,
    /// The tables as they will be, by which ids in documents are checked.
    pub names: Arc<dyn TableNames + Send + Sync>,
}

/// A document to import.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedDocument {
    /// Its id; a new one when it has none.
    pub id: Option<DocumentId>,
    /// Its creation time in milliseconds; that of this commit when it has none.
    pub creation_time: Option<f64>,
    /// Its other fields.
    pub fields: Object,
}

/// How far ahead of a commit's own time a document's creation time may lie: two clocks differ, no clock differs by days.
const CREATION_TIME_AHEAD_MILLIS_MAX: f64 = 86_400_000.0;

impl Transaction<'_> {
    /// Adds a document with the id and the creation time that it has.
    pub fn import(
        &mut self,
        to: &Destination,
        document: ImportedDocument,
    ) -> Result<DocumentId, DatabaseError> {
        let imported = self.in_bulk(|tx| tx.try_import(to, document));
        imported.map_err(|error| in_table(to, error))
    }

    /// Refuses a document that could not be imported, as far as that can be told before others of its import are there.
    /// Writes nothing.
    pub fn check_import(
        &mut self,
        to: &Destination,
        document: ImportedDocument,
    ) -> Result<(), DatabaseError> {
        let now = self.now().0 as f64 / 1e6;
        // An id that no document has.
        let fresh = InternalId([0; INTERNAL_ID_BYTES]);
        let checked = self.checked_import(to, document, fresh, now);
        let checked = checked.and_then(|new| {
            let keys = self.index_keys(&to.table, &new)?;
            self.check_unique(&to.table, &new, &[], &keys)
        });
        checked.map_err(|error| in_table(to, error))
    }

    fn try_import(
        &mut self,
        to: &Destination,
        document: ImportedDocument,
    ) -> Result<DocumentId, DatabaseError> {
        self.require_writer("import")?;
        let (fresh, now) = self.new_identity();
        let new = self.checked_import(to, document, fresh, now)?;
        self.write(&to.table, &new, None)?;
        Ok(new.id())
    }

    /// A document as it is to be stored, if it may be.
    fn checked_import(
        &mut self,
        to: &Destination,
        document: ImportedDocument,
        fresh: InternalId,
        now: f64,
    ) -> Result<StoredDocument, DatabaseError> {
        let ImportedDocument {
            id,
            creation_time,
            mut fields,
        } = document;
        let is_given = id.is_some();
        let id = id.unwrap_or_else(|| DocumentId::new(to.number, fresh));
        if id.table() != to.number {
            return Err(QueryError::ImportedIdOfOtherTable {
                table: to.name.clone(),
                id: id.to_string(),
                number: id.table(),
                expected: to.number,
            }
            .into());
        }
        let creation_time = creation_time.unwrap_or(now);
        if creation_time > now + CREATION_TIME_AHEAD_MILLIS_MAX {
            let id = id.to_string();
            return Err(QueryError::ImportedFromTheFuture { id }.into());
        }
        let key = document_key(to.table.by_id, id.internal());
        if is_given && self.entry(&key)?.is_some() {
            let id = id.to_string();
            return Err(QueryError::ImportedTwice { id }.into());
        }
        fields.insert(ID.to_string(), Value::String(id.to_string()));
        fields.insert(CREATION_TIME.to_string(), Value::Float64(creation_time));
        let fields = self.check_fields(&to.table, fields, &*to.names)?;
        let new = StoredDocument::new(id, encode_document(fields));
        new.map_err(|error| self.break_with(error))
    }

    /// Whether a table holds no document.
    pub fn is_empty(&mut self, table: &TableMeta) -> Result<bool, DatabaseError> {
        let range = table.by_creation_time.range();
        Ok(self.scan_system(range, Direction::Forward, 1)?.is_empty())
    }

    /// Removes at most `max` documents of a hidden table, and returns their fields. Their entries in other indexes stay.
    pub fn take_hidden(
        &mut self,
        table: &TableMeta,
        max: usize,
    ) -> Result<Vec<Object>, DatabaseError> {
        self.require_writer("take_hidden")?;
        let documents = self.scan_system(table.by_id.range(), Direction::Forward, max)?;
        let mut taken = Vec::with_capacity(documents.len());
        for (key, bytes) in documents {
            let internal = id_of_entry(&key)
                .ok_or_else(|| StorageError::misplaced(&key, "it is too short for a document"))?;
            taken.push(ExportedDocument { internal, bytes }.fields(table.number)?);
            self.write_system(key, None);
        }
        Ok(taken)
    }

    /// Removes at most `max` entries of a hidden table. Returns how many there were.
    pub fn clear_some(&mut self, table: &TableMeta, max: usize) -> Result<usize, DatabaseError> {
        self.require_writer("clear_some")?;
        let declared = table.indexes.iter().map(|index| index.id);
        let mut cleared = 0;
        for index in declared.chain([table.by_creation_time, table.by_id]) {
            let entries = self.scan_system(index.range(), Direction::Forward, max - cleared)?;
            cleared += entries.len();
            for (key, _) in entries {
                self.write_system(key, None);
            }
            if cleared == max {
                break;
            }
        }
        Ok(cleared)
    }
}

fn in_table(to: &Destination, error: DatabaseError) -> DatabaseError {
    match error {
        DatabaseError::Query(error) => error.in_table(&to.name).into(),
        storage => storage,
    }
}

/// How many of a table's documents lie behind `after` on `view`, counting to `max` at the most; and where to go on.
pub fn count_some(
    view: &dyn ReadView,
    table: &TableMeta,
    after: Option<Bytes>,
    max: usize,
) -> Result<(usize, Option<Bytes>), StorageError> {
    let mut range = table.by_creation_time.range();
    if let Some(after) = after {
        range.start = successor(&after);
    }
    let mut cursor = Cursor::new(range, Direction::Forward);
    let (mut count, mut last) = (0, None);
    while count < max {
        let Some(Entry { key, .. }) = view.next(&mut cursor)? else {
            return Ok((count, None));
        };
        count += 1;
        last = Some(key);
    }
    Ok((count, last))
}

/// A document as an export carries it, from the snapshot to the archive.
pub struct ExportedDocument {
    internal: InternalId,
    bytes: Bytes,
}

impl ExportedDocument {
    /// Its id within its table, and its bytes as they are stored.
    pub fn parts(&self) -> (&[u8; 16], &[u8]) {
        (&self.internal.0, &self.bytes)
    }

    /// The document of these parts.
    pub fn from_parts(internal: [u8; 16], bytes: Vec<u8>) -> ExportedDocument {
        ExportedDocument {
            internal: InternalId(internal),
            bytes: bytes.into(),
        }
    }

    /// All its fields, as a document of the table with this number.
    pub fn fields(&self, table: TableNumber) -> Result<Object, StorageError> {
        let id = DocumentId::new(table, self.internal);
        match decode_key(&self.bytes) {
            Ok((Some(Value::Object(mut fields)), _)) => {
                fields.insert(ID.to_string(), Value::String(id.to_string()));
                Ok(fields)
            }
            _ => Err(damaged(id)),
        }
    }
}

/// Hands every document of a table to `visit`, by id. Not bounded: for threads of their own.
pub fn each_stored<E: From<StorageError>>(
    view: &dyn ReadView,
    table: &TableMeta,
    mut visit: impl FnMut(ExportedDocument) -> Result<(), E>,
) -> Result<(), E> {
    let range: KeyRange = table.by_id.range();
    let mut cursor = Cursor::new(range, Direction::Forward);
    while let Some(Entry { key, value }) = view.next(&mut cursor)? {
        let internal = id_of_entry(&key)
            .ok_or_else(|| StorageError::misplaced(&key, "it is too short for a document"))?;
        visit(ExportedDocument {
            internal,
            bytes: value,
        })?;
    }
    Ok(())
}

impl TableMeta {
    /// The same table, empty and elsewhere: under another name and number, its indexes from `first` on.
    pub(super) fn hidden(&self, number: TableNumber, first: IndexId) -> TableMeta {
        let mut hidden = self.clone();
        hidden.name = format!("{HIDDEN_PREFIX}{number}");
        hidden.number = number;
        hidden.owner = Owner::System;
        let ids = (first.0..).map(IndexId);
        let indexes = hidden.indexes.iter_mut().map(|index| {
            index.ready = true;
            &mut index.id
        });
        let places = [&mut hidden.by_id, &mut hidden.by_creation_time];
        for (place, id) in places.into_iter().chain(indexes).zip(ids) {
            *place = id;
        }
        hidden
    }

    /// Whether the table is hidden: it is being filled, or waits to be cleared away.
    pub fn is_hidden(&self) -> bool {
        self.name.starts_with(HIDDEN_PREFIX)
    }
}

/// The prefix of the names of hidden tables.
const HIDDEN_PREFIX: &str = "_hidden_";

impl Catalog {
    /// Adds an empty hidden table like this one.
    pub fn add_hidden(&mut self, like: &TableMeta) -> TableMeta {
        let last = self.tables().map(|table| table.number).max();
        let next = last.map_or(Some(TableNumber::FIRST_HIDDEN), |last| {
            let next = last.get().checked_add(1).and_then(TableNumber::new);
            next.map(|next| next.max(TableNumber::FIRST_HIDDEN))
        });
        let number = next.unwrap_or_else(|| self.free_number(TableNumber::FIRST_HIDDEN));
        let hidden = like.hidden(number, self.next_index_id());
        self.set(hidden.clone());
        hidden
    }
}
