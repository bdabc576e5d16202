//! Bringing a store in line with a schema, before anything is served: tables are created, stored documents are
//! checked, indexes are built or removed.
//!
//! Documents that do not fit refuse the start and change nothing. Index builds are cut into bounded commits; the
//! catalog says which indexes are complete, so a start that was killed builds the incomplete ones again.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use vestibule_schema::id::{DocumentId, InternalId, TableNumber};
use vestibule_schema::key::decode_key;
use vestibule_schema::path::FieldPath;
use vestibule_schema::table::{IndexDefinition, Schema, TableDefinition};
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::validator::Validator;
use vestibule_schema::value::{Object, Value};

use super::catalog::{Catalog, IndexMeta, TableMeta, decode_entry, encode_entry};
use super::error::{Duplicate, Misfit, OFFENDERS_LISTED_MAX, OpenError};
use super::keys::{IndexId, document_key, id_of_entry, index_key, index_prefix};
use super::transaction::{describe_fields, user_fields};
use crate::clock::Clock;
use crate::storage::{
    AppendError, Appender, Commit, Cursor, Direction, Entry, Head, KeyRange, ReadView, StorageError, Store, Write,
    successor,
};

/// User tables count up from here, as in every Convex deployment.
const FIRST_TABLE_NUMBER: u32 = 10_001;
const TABLES_MAX: usize = 10_000;
/// Writes of one commit while an index is built or removed.
const BUILD_WRITES_MAX: usize = 2_000;

/// Makes the store fit `schema` and returns the catalog that transactions use.
pub fn set_up(store: &Store, appender: &mut Appender, clock: &dyn Clock, schema: &Schema) -> Result<Catalog, OpenError> {
    schema.validate()?;
    let mut setup = SetUp { head: store.head(), appender, clock };
    let mut tables = setup.load_tables()?;
    assign_validators(&mut tables, schema);
    let new_tables = declare_new_tables(&mut tables, schema)?;
    setup.check_documents(&tables)?;
    setup.check_unique(&tables, schema)?;
    for table in new_tables {
        setup.store_entry(&tables[&table])?;
    }
    for definition in schema.tables() {
        setup.bring_indexes_in_line(&mut tables, definition)?;
    }
    setup.leave_a_first_commit()?;
    let mut catalog = Catalog::default();
    for table in tables.into_values() {
        catalog.set(table);
    }
    Ok(catalog)
}

type Tables = BTreeMap<String, TableMeta>;

/// Only declared tables have a validator; the others keep what they hold.
fn assign_validators(tables: &mut Tables, schema: &Schema) {
    for definition in schema.tables() {
        if let Some(table) = tables.get_mut(&definition.name) {
            table.document = definition.document.clone();
        }
    }
}

fn declare_new_tables(tables: &mut Tables, schema: &Schema) -> Result<Vec<String>, OpenError> {
    let mut new = Vec::new();
    for definition in schema.tables() {
        if tables.contains_key(&definition.name) {
            continue;
        }
        let number = tables.values().map(|table| table.number.get() + 1).max().unwrap_or(FIRST_TABLE_NUMBER);
        let first_index = next_index_id(tables);
        let table = TableMeta {
            name: definition.name.clone(),
            number: TableNumber::new(number).expect("table numbers count up from 10001"),
            by_id: first_index,
            by_creation_time: IndexId(first_index.0 + 1),
            indexes: Vec::new(),
            document: definition.document.clone(),
        };
        tables.insert(definition.name.clone(), table);
        new.push(definition.name.clone());
    }
    match tables.len() > TABLES_MAX {
        true => Err(OpenError::TooManyTables),
        false => Ok(new),
    }
}

/// The id behind every id in use. Ids of removed indexes are used again only after their entries are gone.
fn next_index_id(tables: &Tables) -> IndexId {
    let used = tables.values().flat_map(|table| {
        let declared = table.indexes.iter().map(|index| index.id);
        declared.chain([table.by_id, table.by_creation_time])
    });
    IndexId(used.map(|id| id.0 + 1).max().unwrap_or(IndexId::FIRST_USER))
}

struct SetUp<'s> {
    head: Head,
    appender: &'s mut Appender,
    clock: &'s dyn Clock,
}

impl SetUp<'_> {
    fn load_tables(&mut self) -> Result<Tables, OpenError> {
        let mut tables = Tables::new();
        self.each(IndexId::CATALOG.range(), |_, value| {
            let table = decode_entry(&value).map_err(OpenError::Catalog)?;
            tables.insert(table.name.clone(), table);
            Ok(())
        })?;
        Ok(tables)
    }

    /// Calls `visit` with each entry of `range`.
    fn each(
        &mut self,
        range: KeyRange,
        mut visit: impl FnMut(Bytes, Bytes) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let mut cursor = Cursor::new(range, Direction::Forward);
        while let Some(Entry { key, value }) = self.head.next(&mut cursor)? {
            visit(key, value)?;
        }
        Ok(())
    }

    fn each_document(
        &mut self,
        table: &TableMeta,
        mut visit: impl FnMut(InternalId, Object) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        self.each(table.by_id.range(), |key, value| {
            let damaged = || StorageError::misplaced(&key, "a stored document cannot be decoded");
            let id = id_of_entry(&key).ok_or_else(damaged)?;
            match decode_key(&value) {
                Ok((Some(Value::Object(fields)), _)) => visit(id, fields),
                _ => Err(damaged().into()),
            }
        })
    }

    fn check_documents(&mut self, tables: &Tables) -> Result<(), OpenError> {
        let mut names = Catalog::default();
        for table in tables.values() {
            names.set(table.clone());
        }
        let mut misfits = Vec::new();
        for table in tables.values().filter(|table| table.document != Validator::Any) {
            self.each_document(table, |id, fields| {
                if misfits.len() >= OFFENDERS_LISTED_MAX {
                    return Ok(());
                }
                if let Err(error) = table.document.check(&Value::Object(user_fields(&fields)), &names) {
                    misfits.push(Misfit {
                        table: table.name.clone(),
                        id: DocumentId::<()>::new(table.number, id).to_string(),
                        reason: error.to_string(),
                    });
                }
                Ok(())
            })?;
        }
        match misfits.is_empty() {
            true => Ok(()),
            false => Err(OpenError::Misfits(misfits)),
        }
    }

    /// Looks for documents that a unique index, about to be built, would not allow. Sorting the indexed values needs
    /// memory in proportion to the table, once, at the start that adds the index.
    fn check_unique(&mut self, tables: &Tables, schema: &Schema) -> Result<(), OpenError> {
        let mut duplicates = Vec::new();
        for definition in schema.tables() {
            let table = &tables[&definition.name];
            for index in definition.indexes.iter().filter(|index| index.unique) {
                if table.index(&index.name).is_some_and(|existing| is_same(existing, index) && existing.ready) {
                    continue;
                }
                self.find_duplicates(table, index, &mut duplicates)?;
            }
        }
        match duplicates.is_empty() {
            true => Ok(()),
            false => Err(OpenError::Duplicates(duplicates)),
        }
    }

    fn find_duplicates(
        &mut self,
        table: &TableMeta,
        index: &IndexDefinition,
        duplicates: &mut Vec<Duplicate>,
    ) -> Result<(), OpenError> {
        let mut holders: BTreeMap<Vec<u8>, InternalId> = BTreeMap::new();
        self.each_document(table, |id, fields| {
            if index.fields.iter().any(|field| field.lookup(&fields).is_none()) {
                return Ok(());
            }
            let values = index_prefix(IndexId::CATALOG, &index.fields, &fields);
            if let Some(first) = holders.insert(values, id) {
                if duplicates.len() < OFFENDERS_LISTED_MAX {
                    let ids = [first, id].map(|id| DocumentId::<()>::new(table.number, id).to_string());
                    let values = describe_fields(&index.fields, &fields);
                    duplicates.push(Duplicate { index: format!("{}.{}", table.name, index.name), values, ids });
                }
            }
            Ok(())
        })
    }

    /// Removes indexes that are no longer declared or were left half-built, and builds those that are missing.
    fn bring_indexes_in_line(&mut self, tables: &mut Tables, definition: &TableDefinition) -> Result<(), OpenError> {
        let table = &tables[&definition.name];
        let keep = |index: &IndexMeta| index.ready && definition.indexes.iter().any(|wanted| is_same(index, wanted));
        let (kept, removed): (Vec<_>, Vec<_>) = table.indexes.iter().cloned().partition(keep);
        for index in &removed {
            self.clear(index.id)?;
        }
        if !removed.is_empty() {
            self.set_indexes(tables, &definition.name, kept)?;
        }
        for wanted in &definition.indexes {
            if tables[&definition.name].index(&wanted.name).is_none() {
                self.build(tables, &definition.name, wanted)?;
            }
        }
        Ok(())
    }

    fn build(&mut self, tables: &mut Tables, table: &str, wanted: &IndexDefinition) -> Result<(), OpenError> {
        let mut index = IndexMeta {
            id: next_index_id(tables),
            name: wanted.name.clone(),
            fields: wanted.fields.clone(),
            unique: wanted.unique,
            ready: false,
        };
        let others = tables[table].indexes.clone();
        let with = |index: &IndexMeta| [others.clone(), vec![index.clone()]].concat();
        self.set_indexes(tables, table, with(&index))?;
        let entries = self.fill(&tables[table], index.id, &index.fields)?;
        index.ready = true;
        self.set_indexes(tables, table, with(&index))?;
        tracing::info!(table, index = index.name, entries, "built an index");
        Ok(())
    }

    fn fill(&mut self, table: &TableMeta, index: IndexId, fields: &[FieldPath]) -> Result<usize, OpenError> {
        let mut after = table.by_id.range();
        let mut entries = 0;
        loop {
            let mut writes = Vec::new();
            let mut cursor = Cursor::new(after.clone(), Direction::Forward);
            while writes.len() < BUILD_WRITES_MAX {
                let Some(Entry { key, value }) = self.head.next(&mut cursor)? else { break };
                let damaged = || StorageError::misplaced(&key, "a stored document cannot be decoded");
                let id = id_of_entry(&key).ok_or_else(damaged)?;
                let Ok((Some(Value::Object(document)), _)) = decode_key(&value) else { return Err(damaged().into()) };
                writes.push(Write { key: index_key(index, fields, &document, id), value: Some(Bytes::new()) });
                after.start = successor(&document_key(table.by_id, id));
            }
            if writes.is_empty() {
                return Ok(entries);
            }
            entries += writes.len();
            self.commit(writes)?;
        }
    }

    /// Deletes every entry of an index.
    fn clear(&mut self, index: IndexId) -> Result<(), OpenError> {
        loop {
            let mut writes = Vec::new();
            let mut cursor = Cursor::new(index.range(), Direction::Forward);
            while writes.len() < BUILD_WRITES_MAX {
                let Some(Entry { key, .. }) = self.head.next(&mut cursor)? else { break };
                writes.push(Write { key, value: None });
            }
            if writes.is_empty() {
                return Ok(());
            }
            self.commit(writes)?;
        }
    }

    fn set_indexes(&mut self, tables: &mut Tables, table: &str, indexes: Vec<IndexMeta>) -> Result<(), OpenError> {
        let table = tables.get_mut(table).expect("every declared table was added to the map");
        table.indexes = indexes;
        self.store_entry(table)
    }

    fn store_entry(&mut self, table: &TableMeta) -> Result<(), OpenError> {
        let (key, value) = encode_entry(table);
        self.commit(vec![Write { key, value: Some(value) }])
    }

    /// Clients are told the newest commit's timestamp, which must never be zero.
    fn leave_a_first_commit(&mut self) -> Result<(), OpenError> {
        match self.head.last_ts() {
            Timestamp(0) => self.commit(vec![Write { key: started_key(), value: Some(Bytes::new()) }]),
            _ => Ok(()),
        }
    }

    fn commit(&mut self, writes: Vec<Write>) -> Result<(), OpenError> {
        let ts = Timestamp(self.clock.now().0.max(self.head.last_ts().0 + 1));
        let commit = Commit { ts, writes };
        self.head.apply(&commit);
        self.appender.append(&[commit]).map_err(|error| match error {
            AppendError::NotCommitted(cause) | AppendError::Unknown(cause) => cause,
        })?;
        self.appender.publish(self.head.freeze());
        while self.head.unfolded_bytes() > UNFOLDED_BYTES_MAX {
            self.appender.fold()?;
            self.head.refresh();
        }
        Ok(())
    }
}

/// Bytes an index build lets wait before it folds.
const UNFOLDED_BYTES_MAX: usize = 64 << 20;

/// A catalog key that no table has: table numbers start at one.
fn started_key() -> Bytes {
    [IndexId::CATALOG.0.to_be_bytes(), [0; 4]].concat().into()
}

fn is_same(existing: &IndexMeta, wanted: &IndexDefinition) -> bool {
    existing.name == wanted.name && existing.fields == wanted.fields && existing.unique == wanted.unique
}
