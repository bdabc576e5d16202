//! Bringing a store in line with a schema, before anything is served: tables are created, stored documents are
//! checked, indexes are built or removed.
//!
//! Documents that do not fit refuse the start and change nothing. Index builds are cut into bounded commits; the
//! catalog says which indexes are complete, so a start that was killed builds the incomplete ones again.

mod checks;

use std::collections::BTreeMap;

use bytes::Bytes;
use vestibule_schema::id::{InternalId, TableNumber};
use vestibule_schema::key::decode_key;
use vestibule_schema::path::FieldPath;
use vestibule_schema::table::{IndexDefinition, Schema, TableDefinition};
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::validator::Validator;
use vestibule_schema::value::{Object, Value};

use super::catalog::{
    Catalog, IndexMeta, Owner, TABLES_MAX, TableMeta, decode_entry, encode_entry,
};
use super::error::OpenError;
use super::keys::{IndexId, document_key, id_of_entry, index_key};
use super::system_tables::{SYSTEM_TABLES, SystemTable};
use crate::clock::Clock;
use crate::storage::{
    AppendError, Appender, Commit, Cursor, Direction, Entry, Head, KeyRange, LogRow, ReadView,
    StorageError, Store, Write, successor,
};

/// Writes of one commit while an index is built or removed.
pub(super) const BUILD_WRITES_MAX: usize = 2_000;

/// Makes the store fit `schema` and returns the catalog that transactions use.
pub fn set_up(
    store: &Store,
    appender: &mut Appender,
    clock: &dyn Clock,
    schema: &Schema,
) -> Result<Catalog, OpenError> {
    schema.validate()?;
    let system = SYSTEM_TABLES.iter().map(SystemTable::definition);
    let schema = &system.fold(schema.clone(), Schema::define);
    let mut setup = SetUp {
        head: store.head(),
        appender,
        clock,
    };
    let stored = setup.load_tables()?;
    let mut tables = with_declarations(&stored, schema)?;
    let is_changed = |table: &&TableMeta| match stored.get(&table.name) {
        Some(stored) => stored.document != table.document,
        None => true,
    };
    let changed: Vec<TableMeta> = tables.values().filter(is_changed).cloned().collect();
    setup.check_documents(&changed, &tables)?;
    setup.check_unique(&tables, schema)?;
    setup.store_entries(&changed)?;
    // Indexes of pushed tables are built and removed while serving.
    let is_ours = |table: &&TableMeta| table.owner != Owner::Pushed;
    let ours = tables.values().filter(is_ours);
    let names: Vec<String> = ours.map(|table| table.name.clone()).collect();
    for name in names {
        setup.bring_indexes_in_line(&mut tables, &name, schema.table_named(&name))?;
    }
    setup.leave_a_first_commit()?;
    Ok(catalog_of(&tables))
}

type Tables = BTreeMap<String, TableMeta>;

fn catalog_of(tables: &Tables) -> Catalog {
    let mut catalog = Catalog::default();
    for table in tables.values() {
        catalog.set(table.clone());
    }
    catalog
}

/// The tables as they will be, but for their declared indexes. Tables of the schema have its validators. Program tables
/// that it no longer names keep their documents and are free of rules.
fn with_declarations(stored: &Tables, schema: &Schema) -> Result<Tables, OpenError> {
    let mut tables = stored.clone();
    // Pushed tables keep their rules: only another push changes them.
    let programs = tables
        .values_mut()
        .filter(|table| table.owner == Owner::Program);
    programs.for_each(|table| table.document = Validator::Any);
    for definition in schema.tables() {
        let owned = tables.get(&definition.name);
        if owned.is_some_and(|table| table.owner == Owner::Pushed) {
            return Err(OpenError::TableIsPushed(definition.name.clone()));
        }
        if !tables.contains_key(&definition.name) {
            let table = new_table(&tables, definition);
            tables.insert(definition.name.clone(), table);
        }
        let table = tables.get_mut(&definition.name);
        let table = table.expect("it was there or has just been added");
        if schema.checks_documents() {
            table.document = definition.document.clone();
        }
    }
    // Tables that are stored already do not stop a start.
    match schema.tables().len() > TABLES_MAX {
        true => Err(OpenError::TooManyTables),
        false => Ok(tables),
    }
}

/// A table that is not stored yet. It holds nothing, so its indexes are complete. System tables have numbers of their own.
fn new_table(tables: &Tables, definition: &TableDefinition) -> TableMeta {
    let catalog = catalog_of(tables);
    let name = &definition.name;
    let mut table = match SystemTable::named(name) {
        Some(system) => {
            let number = TableNumber::new(system.number).expect("system tables count from one");
            catalog.new_table(name, number, Owner::System)
        }
        None => catalog.new_table(name, catalog.next_number(), Owner::Program),
    };
    let behind = table.by_creation_time.0 + 1;
    let indexes = (behind..).zip(&definition.indexes);
    table.indexes = indexes
        .map(|(id, index)| IndexMeta {
            id: IndexId(id),
            name: index.name.clone(),
            fields: index.fields.clone(),
            unique: index.unique,
            ready: true,
            staged: false,
        })
        .collect();
    table
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

    /// Removes indexes that are no longer declared or were left half-built, and builds those that are missing. A table
    /// that is not declared keeps its indexes.
    fn bring_indexes_in_line(
        &mut self,
        tables: &mut Tables,
        table: &str,
        definition: Option<&TableDefinition>,
    ) -> Result<(), OpenError> {
        let is_wanted = |index: &IndexMeta| {
            definition.is_none_or(|table| table.indexes.iter().any(|wanted| is_same(index, wanted)))
        };
        let indexes = tables[table].indexes.iter().cloned();
        let (kept, mut removed): (Vec<_>, Vec<_>) =
            indexes.partition(|index| index.ready && is_wanted(index));
        if !removed.is_empty() {
            // Until its entries are gone it must not pass for complete, whatever the next start declares.
            removed.iter_mut().for_each(|index| index.ready = false);
            self.set_indexes(tables, table, [&kept[..], &removed].concat())?;
            for index in &removed {
                self.clear(index.id)?;
            }
            self.set_indexes(tables, table, kept)?;
        }
        for wanted in definition.map_or(&[][..], |table| &table.indexes) {
            if tables[table].index(&wanted.name).is_none() {
                self.build(tables, table, wanted)?;
            }
        }
        Ok(())
    }

    fn build(
        &mut self,
        tables: &mut Tables,
        table: &str,
        wanted: &IndexDefinition,
    ) -> Result<(), OpenError> {
        let mut index = IndexMeta {
            id: catalog_of(tables).next_index_id(),
            name: wanted.name.clone(),
            fields: wanted.fields.clone(),
            unique: wanted.unique,
            ready: false,
            staged: false,
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

    fn fill(
        &mut self,
        table: &TableMeta,
        index: IndexId,
        fields: &[FieldPath],
    ) -> Result<usize, OpenError> {
        let mut after = table.by_id.range();
        let mut entries = 0;
        loop {
            let mut writes = Vec::new();
            let mut cursor = Cursor::new(after.clone(), Direction::Forward);
            while writes.len() < BUILD_WRITES_MAX {
                let Some(Entry { key, value }) = self.head.next(&mut cursor)? else {
                    break;
                };
                let damaged =
                    || StorageError::misplaced(&key, "a stored document cannot be decoded");
                let id = id_of_entry(&key).ok_or_else(damaged)?;
                let key = index_key(index, fields, &value, id).map_err(|_| damaged())?;
                writes.push(Write {
                    key,
                    value: Some(Bytes::new()),
                });
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
        let mut left = index.range();
        loop {
            let mut writes = Vec::new();
            let mut cursor = Cursor::new(left.clone(), Direction::Forward);
            while writes.len() < BUILD_WRITES_MAX {
                let Some(Entry { key, .. }) = self.head.next(&mut cursor)? else {
                    break;
                };
                writes.push(Write { key, value: None });
            }
            let Some(last) = writes.last() else {
                return Ok(());
            };
            left.start = successor(&last.key);
            self.commit(writes)?;
        }
    }

    fn set_indexes(
        &mut self,
        tables: &mut Tables,
        table: &str,
        indexes: Vec<IndexMeta>,
    ) -> Result<(), OpenError> {
        let table = tables
            .get_mut(table)
            .expect("every declared table was added to the map");
        table.indexes = indexes;
        self.store_entry(table)
    }

    fn store_entry(&mut self, table: &TableMeta) -> Result<(), OpenError> {
        self.store_entries(std::slice::from_ref(table))
    }

    /// Stores catalog entries in one commit, so that a first start waits for one sync.
    fn store_entries(&mut self, tables: &[TableMeta]) -> Result<(), OpenError> {
        let entries = tables.iter().map(encode_entry);
        let writes = entries.map(|(key, value)| Write {
            key,
            value: Some(value),
        });
        let writes: Vec<Write> = writes.collect();
        match writes.is_empty() {
            true => Ok(()),
            false => self.commit(writes),
        }
    }

    /// Clients are told the newest commit's timestamp, which must never be zero.
    fn leave_a_first_commit(&mut self) -> Result<(), OpenError> {
        match self.head.last_ts() {
            Timestamp(0) => self.commit(vec![Write {
                key: IndexId::STARTS.key(&[]),
                value: Some(Bytes::new()),
            }]),
            _ => Ok(()),
        }
    }

    fn commit(&mut self, writes: Vec<Write>) -> Result<(), OpenError> {
        let ts = Timestamp(self.clock.now().0.max(self.head.last_ts().0 + 1));
        let commit = Commit { ts, writes };
        let mut row = LogRow::default();
        self.head.apply(&commit, &mut row);
        self.appender.append(row).map_err(|error| match error {
            AppendError::NotCommitted(cause) | AppendError::Unknown(cause) => cause,
        })?;
        self.appender.publish(self.head.freeze());
        while self.head.unfolded_bytes() > UNFOLDED_BYTES_MAX {
            self.appender.fold()?;
            self.head.refresh();
        }
        // No other code runs yet that could do so at the same time.
        self.appender.checkpoint_if_due()?;
        Ok(())
    }
}

/// Bytes an index build lets wait before it folds.
const UNFOLDED_BYTES_MAX: usize = 64 << 20;

fn is_same(existing: &IndexMeta, wanted: &IndexDefinition) -> bool {
    existing.name == wanted.name
        && existing.fields == wanted.fields
        && existing.unique == wanted.unique
}
