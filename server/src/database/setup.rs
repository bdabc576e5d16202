//! Bringing a store in line with a schema, before anything is served: tables are created, stored documents are
//! checked, indexes are built or removed.
//!
//! Each change is an ordinary transaction of the lane and the log writer, which have no threads yet. Documents that do not
//! fit refuse the start and change nothing. Index builds are cut into bounded commits, which say how far they are: a
//! start that was killed is continued by the next one.

mod checks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::task::Waker;

use bytes::Bytes;
use vestibule_schema::id::TableNumber;
use vestibule_schema::table::{IndexDefinition, Schema, TableDefinition};
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::validator::Validator;

use super::catalog::{Catalog, IndexMeta, Owner, TABLES_MAX, TableMeta, decode_entry};
use super::committer::{CommitError, Committed, Mutation, Verdict};
use super::error::{DatabaseError, OpenError};
use super::keys::IndexId;
use super::lane::Lane;
use super::limits::Limits;
use super::log_writer::LogWriter;
use super::system_tables::{SYSTEM_TABLES, SystemTable};
use super::transaction::{Environment, Transaction};
use crate::storage::{Cursor, Direction, Entry, ReadView, Store};

/// Writes of one commit while an index is built or removed.
pub(super) const BUILD_WRITES_MAX: usize = 2_000;

/// The catalog that the store holds.
pub fn stored_catalog(store: &Store) -> Result<Catalog, OpenError> {
    let view = store.snapshot()?;
    let mut catalog = Catalog::default();
    let mut cursor = Cursor::new(IndexId::CATALOG.range(), Direction::Forward);
    while let Some(Entry { value, .. }) = view.next(&mut cursor)? {
        catalog.set(decode_entry(&value).map_err(OpenError::Catalog)?);
    }
    Ok(catalog)
}

/// The way by which a start commits, and what its checks read.
pub struct SetUp<'s> {
    /// The store.
    pub store: &'s Store,
    /// Its lane, which no thread drives yet.
    pub lane: &'s mut Lane,
    /// The log writer behind the lane.
    pub writer: &'s mut LogWriter,
    /// The environment of the lane, with the stored catalog.
    pub environment: &'s Environment,
}

impl SetUp<'_> {
    /// Makes the store fit `schema`.
    pub fn run(mut self, schema: &Schema) -> Result<(), OpenError> {
        schema.validate()?;
        let system = SYSTEM_TABLES.iter().map(SystemTable::definition);
        let schema = &system.fold(schema.clone(), Schema::define);
        let stored = tables_of(&self.catalog());
        let tables = with_declarations(&stored, schema)?;
        let is_changed = |table: &&TableMeta| match stored.get(&table.name) {
            Some(stored) => stored.document != table.document,
            None => true,
        };
        let changed: Vec<TableMeta> = tables.values().filter(is_changed).cloned().collect();
        self.check_documents(&changed, &tables)?;
        self.check_unique(&tables, schema)?;
        self.set_tables(changed)?;
        // Indexes of pushed tables are built and removed while serving.
        let is_ours = |table: &&TableMeta| table.owner != Owner::Pushed;
        for table in tables.values().filter(is_ours) {
            self.bring_indexes_in_line(&table.name, schema.table_named(&table.name))?;
        }
        self.leave_a_first_commit()
    }
}

type Tables = BTreeMap<String, TableMeta>;

fn tables_of(catalog: &Catalog) -> Tables {
    let tables = catalog.tables();
    let tables = tables.map(|table| (table.name.clone(), TableMeta::clone(table)));
    tables.collect()
}

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
            method: index.method,
            ready: true,
            staged: false,
        })
        .collect();
    table
}

impl SetUp<'_> {
    fn catalog(&self) -> Arc<Catalog> {
        let definitions = &self.environment.definitions;
        definitions.at(self.store.durable_ts()).catalog.clone()
    }

    fn table(&self, name: &str) -> Arc<TableMeta> {
        let table = self.catalog().table(name).cloned();
        table.expect("every declared table was added to the catalog")
    }

    /// Removes indexes that are no longer declared or of which nothing says how far they are built. Builds those that are
    /// missing or incomplete. A table that is not declared keeps its indexes.
    fn bring_indexes_in_line(
        &mut self,
        table: &str,
        definition: Option<&TableDefinition>,
    ) -> Result<(), OpenError> {
        let is_wanted = |index: &IndexMeta| match definition {
            Some(table) => table.indexes.iter().any(|wanted| index.is(wanted)),
            None => index.ready,
        };
        let (mut kept, mut removed) = (Vec::new(), Vec::new());
        for index in self.table(table).indexes.clone() {
            let is_kept = is_wanted(&index) && (index.ready || self.is_begun(table, &index)?);
            match is_kept {
                true => kept.push(index),
                false => removed.push(index),
            }
        }
        if !removed.is_empty() {
            // Until its entries are gone it must not pass for complete or half built, whatever the next start declares.
            removed.iter_mut().for_each(|index| index.ready = false);
            self.retire(table, [&kept[..], &removed].concat(), &removed)?;
            for index in &removed {
                self.clear(index.id)?;
            }
            self.set_indexes(table, kept)?;
        }
        for wanted in definition.map_or(&[][..], |table| &table.indexes) {
            let id = match self.table(table).index(&wanted.name) {
                Some(index) if index.ready => continue,
                Some(index) => index.id,
                None => self.declare(table, wanted)?,
            };
            self.build(table, id)?;
        }
        Ok(())
    }

    /// Whether an earlier start has filled a part of this index.
    fn is_begun(&self, table: &str, index: &IndexMeta) -> Result<bool, OpenError> {
        let (view, table) = (self.store.snapshot()?, self.table(table));
        let filled_to = Transaction::read_only(&view, self.environment).filled_to(&table, index);
        Ok(filled_to.map_err(of_the_store)?.is_some())
    }

    fn retire(
        &mut self,
        table: &str,
        indexes: Vec<IndexMeta>,
        removed: &[IndexMeta],
    ) -> Result<(), OpenError> {
        let removed: Vec<IndexId> = removed.iter().map(|index| index.id).collect();
        let table = with_indexes(&self.table(table), indexes);
        self.commit(move |tx| {
            removed.iter().for_each(|index| tx.forget_fill(*index));
            set_tables(tx, [table.clone()])
        })
    }

    /// Adds an index without entries, and returns its id.
    fn declare(&mut self, table: &str, wanted: &IndexDefinition) -> Result<IndexId, OpenError> {
        let index = IndexMeta {
            id: self.catalog().next_index_id(),
            name: wanted.name.clone(),
            fields: wanted.fields.clone(),
            unique: wanted.unique,
            method: wanted.method,
            ready: false,
            staged: false,
        };
        let id = index.id;
        let others = self.table(table).indexes.clone();
        self.set_indexes(table, [others, vec![index]].concat())?;
        Ok(id)
    }

    /// Fills an index from where an earlier start has stopped.
    fn build(&mut self, table: &str, index: IndexId) -> Result<(), OpenError> {
        let name = table.to_owned();
        let mut entries = 0;
        loop {
            let name = name.clone();
            let step = self.commit(move |tx| {
                let catalog = tx.catalog();
                let table = catalog.table(&name).expect("its index was just declared");
                let mut indexes = table.indexes.clone();
                let index = indexes.iter_mut().find(|other| other.id == index);
                let index = index.expect("it was just declared");
                let step = tx.fill_index(table, index, BUILD_WRITES_MAX)?;
                if step.next.is_none() {
                    index.ready = true;
                    set_tables(tx, [with_indexes(table, indexes)])?;
                }
                Ok(step)
            })?;
            if let Some(problem) = step.problem {
                unreachable!("duplicates refuse a start before anything is built: {problem}");
            }
            entries += step.documents;
            if step.next.is_none() {
                tracing::info!(table, entries, "built an index");
                return Ok(());
            }
        }
    }

    /// Deletes every entry of an index.
    fn clear(&mut self, index: IndexId) -> Result<(), OpenError> {
        while !self.commit(move |tx| tx.clear_index(index, BUILD_WRITES_MAX))? {}
        Ok(())
    }

    fn set_indexes(&mut self, table: &str, indexes: Vec<IndexMeta>) -> Result<(), OpenError> {
        let table = with_indexes(&self.table(table), indexes);
        self.set_tables(vec![table])
    }

    /// Stores tables in one commit, so that a first start waits for one sync.
    fn set_tables(&mut self, tables: Vec<TableMeta>) -> Result<(), OpenError> {
        match tables.is_empty() {
            true => Ok(()),
            false => self.commit(move |tx| set_tables(tx, tables.clone())),
        }
    }

    /// Clients are told the newest commit's timestamp, which must never be zero.
    fn leave_a_first_commit(&mut self) -> Result<(), OpenError> {
        match self.store.durable_ts() {
            Timestamp(0) => self.commit(|tx| {
                tx.write_system(IndexId::STARTS.key(&[]), Some(Bytes::new()));
                Ok(())
            }),
            _ => Ok(()),
        }
    }

    /// Runs `work` as one transaction of the lane, and makes it durable.
    fn commit<T: Send + 'static>(
        &mut self,
        work: impl Fn(&mut Transaction<'_>) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, OpenError> {
        let (told, outcome) = sync_channel(1);
        let change = Change {
            work,
            done: None,
            told,
        };
        let mut batch = self.lane.open_batch();
        self.lane.run(Box::new(change), &mut batch);
        self.lane.close_batch(&mut batch);
        let written = self.writer.write(batch);
        written.map_err(|unknown| OpenError::Storage(unknown.0))?;
        let outcome = outcome.try_recv();
        let done = outcome.expect("a batch that was written has told its outcomes");
        let done = done.map_err(of_the_store)?;
        self.writer.catch_up()?;
        Ok(done)
    }
}

/// The only trouble that a start's own transactions have.
fn of_the_store(error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::Storage(error) => {
            let error = Arc::into_inner(error);
            OpenError::Storage(error.expect("the transaction that met it is gone"))
        }
        DatabaseError::Query(error) => unreachable!("no limit holds here: {error}"),
    }
}

fn with_indexes(table: &TableMeta, indexes: Vec<IndexMeta>) -> TableMeta {
    TableMeta {
        indexes,
        ..table.clone()
    }
}

fn set_tables(
    tx: &mut Transaction<'_>,
    tables: impl IntoIterator<Item = TableMeta>,
) -> Result<(), DatabaseError> {
    let mut catalog = Catalog::clone(&tx.catalog());
    tables.into_iter().for_each(|table| catalog.set(table));
    tx.set_catalog(catalog)
}

/// One change of a start.
struct Change<T, W> {
    work: W,
    done: Option<Result<T, DatabaseError>>,
    told: SyncSender<Result<T, DatabaseError>>,
}

impl<T, W> Mutation for Change<T, W>
where
    T: Send,
    W: Fn(&mut Transaction<'_>) -> Result<T, DatabaseError> + Send,
{
    fn run<'v>(&mut self, mut tx: Transaction<'v>) -> (Transaction<'v>, Verdict) {
        let limits = Limits {
            ranges_read_max: usize::MAX,
            ..*tx.limits()
        };
        tx.set_limits(limits);
        let done = (self.work)(&mut tx);
        let verdict = match &done {
            Ok(_) => Verdict::Commit,
            Err(_) => Verdict::Abort,
        };
        self.done = Some(done);
        (tx, verdict)
    }

    fn finish(self: Box<Self>, outcome: Result<Committed, CommitError>) -> Option<Waker> {
        let done = self.done.expect("it runs before it finishes");
        // The start waits for it.
        drop(self.told.send(match outcome {
            Ok(_) => done,
            Err(CommitError::NotCommitted(error)) => Err(DatabaseError::Storage(error)),
            Err(error) => unreachable!("there is no queue yet: {error}"),
        }));
        None
    }
}
