//! One execution's view of the database: a snapshot, its own writes on top, what it read and what it used.
//!
//! This file has the parts common to every execution. Writing documents is in `writing`, scanning ranges in `scan`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use rand::RngCore;
use vestibule_schema::id::DocumentId;
use vestibule_schema::path::ComponentPath;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::Object;

use super::answer_rows::NewAnswer;
use super::catalog::{Catalog, IndexMeta, Owner, TableMeta, encode_entry, entry_key};
use super::commit_ts::{UnresolvedDocument, UnresolvedDocuments};
use super::cursor::CursorSeal;
use super::error::{DatabaseError, LimitError, QueryError};
use super::history::{Definitions, Extension, History};
use super::keys::{IndexId, document_key};
use super::limits::{Limits, Usage};
use super::own_writes::OwnWrites;
use super::pending::PendingRules;
use super::read_set::{Mark, ReadSet, Reads};
use super::session_requests::KnownSessions;
use super::stored::StoredDocument;
use super::write_log::Touched;
use crate::clock::{Clock, UnixNanos};
use crate::probe::Probe;
use crate::storage::{KeyRange, ReadView, StorageError, Write};

/// A document as transactions hand it out: its fields, `_id` and `_creationTime` among them.
#[derive(Clone, Debug, PartialEq)]
pub struct RawDocument {
    /// Its id.
    pub id: DocumentId,
    /// All its fields.
    pub fields: Object,
}

/// The state that all executions of a deployment share.
pub struct Environment {
    /// The tables and indexes, and what is kept with them, at each timestamp.
    pub definitions: History,
    /// The bounds of one execution.
    pub limits: Limits,
    /// Seals pagination cursors.
    pub seal: CursorSeal,
    /// Measures how long an execution takes.
    pub clock: Arc<dyn Clock>,
    /// The probe to which steps are stated, for a watcher.
    pub probe: Probe,
    /// An execution met stored data that is damaged. Nothing here resets this.
    pub damaged: AtomicBool,
    /// The services that the rooms above keep for every execution, whatever its timestamp. They must not hold the
    /// database.
    pub services: OnceLock<Extension>,
}

/// A dependency of executions that is not a document. Nothing is stored under its key, which appears only in read sets
/// and in the touched keys of commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency<'n> {
    /// The code of a module and of all that it imports.
    Module(&'n str),
    /// The value of an environment variable.
    Variable(&'n str),
}

impl Dependency<'_> {
    fn key(self) -> Bytes {
        let (kind, name) = match self {
            Dependency::Module(name) => (b'm', name),
            Dependency::Variable(name) => (b'v', name),
        };
        IndexId::DEPENDENCIES.key(&[&[kind], name.as_bytes()].concat())
    }
}

/// The state that writing needs beyond a snapshot.
pub struct WriteContext<'v> {
    /// Source of new ids.
    pub rng: &'v mut (dyn RngCore + Send),
    /// The creation time of the newest document, in milliseconds; the next one is later.
    pub last_creation_time: &'v mut f64,
    /// The timestamp that the transaction's commit will carry; beside the lane, the earliest that it may.
    pub commit_ts: Timestamp,
    /// The lane's knowledge of the kept answers; `None` beside the lane.
    pub known_sessions: Option<&'v mut KnownSessions>,
}

/// The changes of a transaction, ready to be committed.
#[derive(Default)]
pub struct Changes {
    /// The store's new entries.
    pub writes: Vec<Write>,
    /// Every index key, old or new, of every written document: what makes read sets stale.
    pub touched: Touched,
    /// Documents that will not fit the schema of a push under way, with the message for each.
    pub misfits: Vec<(Arc<PendingRules>, String)>,
    /// The parts of the definitions that this commit puts in the place of others.
    pub redefinition: Redefinition,
    /// The answer that is kept in a row of its batch.
    pub answer: Option<NewAnswer>,
    /// Documents among `writes` that are to hold the timestamp of the commit.
    pub unresolved: Vec<UnresolvedDocument>,
}

/// New definitions, part by part: a commit beside the lane must leave alone the part that it did not change.
#[derive(Default)]
pub struct Redefinition {
    /// The catalog, where it is another one.
    pub catalog: Option<Arc<Catalog>>,
    /// The extension, where it is another one.
    pub extension: Option<Extension>,
}

impl Redefinition {
    /// Whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        self.catalog.is_none() && self.extension.is_none()
    }

    /// The definitions that follow `now`.
    pub(super) fn of(self, now: &Definitions) -> Definitions {
        Definitions {
            catalog: self.catalog.unwrap_or_else(|| now.catalog.clone()),
            extension: self.extension.unwrap_or_else(|| now.extension.clone()),
        }
    }
}

impl Changes {
    /// Whether there is nothing to make durable.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.answer.is_none()
    }
}

/// The parts of a transaction's definitions that are its own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Redefined {
    catalog: bool,
    extension: bool,
}

/// One execution's reads and writes.
pub struct Transaction<'v> {
    view: &'v dyn ReadView,
    environment: &'v Environment,
    /// The component that ids belong to: that of the function that runs.
    component: ComponentPath,
    pub(super) definitions: Arc<Definitions>,
    pub(super) redefined: Redefined,
    pub(super) writer: Option<WriteContext<'v>>,
    pub(super) writes: OwnWrites,
    pub(super) touched: Touched,
    pub(super) misfits: Vec<(Arc<PendingRules>, String)>,
    /// The answer that its batch is to keep.
    pub(super) answer: Option<NewAnswer>,
    pub(super) unresolved: UnresolvedDocuments,
    reads: Reads,
    /// The reads of [`Self::at_snapshot`] for this one.
    stale_reads: ReadSet,
    /// A buffer for keys that are looked up.
    pub(super) key_buffer: Vec<u8>,
    pub(super) usage: Usage,
    pub(super) limits: Limits,
    /// On the environment's clock.
    started: Duration,
    broken: Option<Arc<StorageError>>,
    pub(super) refused_write: bool,
    /// Its reads are no sign that anybody asks for the same again.
    pub(super) is_bulk: bool,
}

impl<'v> Transaction<'v> {
    /// A transaction that can only read.
    pub fn read_only(view: &'v dyn ReadView, environment: &'v Environment) -> Self {
        Transaction {
            view,
            environment,
            component: ComponentPath::ROOT,
            definitions: environment.definitions.at(view.ts()),
            redefined: Redefined::default(),
            writer: None,
            writes: OwnWrites::default(),
            touched: Touched::default(),
            misfits: Vec::new(),
            answer: None,
            unresolved: UnresolvedDocuments::new(),
            reads: Reads::default(),
            stale_reads: ReadSet::default(),
            key_buffer: Vec::new(),
            usage: Usage::default(),
            limits: environment.limits,
            started: environment.clock.elapsed(),
            broken: None,
            refused_write: false,
            is_bulk: false,
        }
    }

    /// A transaction that can also write.
    pub fn writable(
        view: &'v dyn ReadView,
        environment: &'v Environment,
        writer: WriteContext<'v>,
    ) -> Self {
        Transaction {
            writer: Some(writer),
            ..Transaction::read_only(view, environment)
        }
    }

    /// The timestamp of the snapshot that is read.
    pub fn snapshot_ts(&self) -> Timestamp {
        self.view.ts()
    }

    /// The timestamp the commit will carry; `None` in a query.
    pub fn commit_ts(&self) -> Option<Timestamp> {
        self.writer.as_ref().map(|writer| writer.commit_ts)
    }

    /// The creation time of the newest document, this transaction's own included; zero in a query.
    pub fn last_creation_time(&self) -> f64 {
        let writer = self.writer.as_ref();
        writer.map_or(0.0, |writer| *writer.last_creation_time)
    }

    /// The tables and indexes.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.definitions.catalog.clone()
    }

    /// The extension that the rooms above keep with the catalog.
    pub fn extension(&self) -> &Extension {
        &self.definitions.extension
    }

    /// The environment that all executions share.
    pub fn environment(&self) -> &'v Environment {
        self.environment
    }

    /// The component that ids are read for.
    pub fn component(&self) -> &ComponentPath {
        &self.component
    }

    /// Reads ids for this component from now on: a number may have a table in each. Returns the component before.
    pub fn enter(&mut self, component: ComponentPath) -> ComponentPath {
        std::mem::replace(&mut self.component, component)
    }

    /// The table of an id.
    pub fn table_of(&self, id: DocumentId) -> Option<&Arc<TableMeta>> {
        let catalog = &self.definitions.catalog;
        catalog.table_numbered_in(self.component.as_str(), id.table())
    }

    /// Hands this transaction over to a function that needs one of its own; [`take_back`](Self::take_back) ends that.
    pub fn lend(&mut self) -> Transaction<'v> {
        let placeholder = Transaction::read_only(self.view, self.environment);
        std::mem::replace(self, placeholder)
    }

    /// Takes back what [`lend`](Self::lend) handed over.
    pub fn take_back(&mut self, lent: Transaction<'v>) {
        *self = lent;
    }

    /// The definitions that this transaction uses.
    pub fn definitions(&self) -> &Arc<Definitions> {
        &self.definitions
    }

    /// Puts another catalog in place from this commit on; the rest of this transaction uses it too.
    pub fn set_catalog(&mut self, catalog: Catalog) -> Result<(), DatabaseError> {
        self.require_writer("set_catalog")?;
        let old = self.catalog();
        for table in catalog.tables() {
            let known = old.same_entry(table);
            if known.is_some_and(|known| Arc::ptr_eq(known, table)) {
                continue;
            }
            if known.is_some_and(|known| known.has_index_that_is_gone_from(table)) {
                // Queries that used it recorded ranges of its entries, which nobody touches any more.
                self.touch_everything();
            }
            let has = |index: &IndexMeta| {
                known.is_some_and(|known| known.indexes.iter().any(|other| other.id == index.id))
            };
            for index in table
                .indexes
                .iter()
                .filter(|index| !index.ready && !has(index))
            {
                self.forget_fill(index.id);
            }
            let (key, value) = encode_entry(table);
            self.write_system(key, Some(value));
            self.touched.push(&entry_key(table));
        }
        for gone in old.tables() {
            if catalog.same_entry(gone).is_none() {
                self.write_system(entry_key(gone), None);
                self.touched.push(&entry_key(gone));
            }
        }
        Arc::make_mut(&mut self.definitions).catalog = Arc::new(catalog);
        self.redefined.catalog = true;
        Ok(())
    }

    /// Makes a table without rules, unless there is one of that name. The caller has checked the name.
    pub fn ensure_table(&mut self, name: &str) -> Result<(), DatabaseError> {
        if self.definitions.catalog.table(name).is_some() {
            return Ok(());
        }
        self.require_writer("insert")?;
        let mut catalog = Catalog::clone(&self.catalog());
        if catalog.is_full() {
            return Err(QueryError::TooManyTables.into());
        }
        catalog.set(catalog.new_table(name, catalog.next_number(), Owner::Pushed));
        self.set_catalog(catalog)
    }

    /// Puts another extension in place from this commit on.
    pub fn set_extension(&mut self, extension: Extension) -> Result<(), DatabaseError> {
        self.require_writer("set_extension")?;
        Arc::make_mut(&mut self.definitions).extension = extension;
        self.redefined.extension = true;
        Ok(())
    }

    /// The bounds of this execution.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Sets other bounds, and returns those that held until now: a nested call may have less to use.
    pub fn set_limits(&mut self, limits: Limits) -> Limits {
        std::mem::replace(&mut self.limits, limits)
    }

    /// A transaction that reads the same snapshot without this one's writes. Its reads are not in this one's read set.
    /// Its usage counts from this one's usage, and [`Self::count_usage_of`] takes it over.
    pub fn at_snapshot(&self) -> Transaction<'v> {
        Transaction {
            usage: self.usage,
            limits: self.limits,
            started: self.started,
            ..Transaction::read_only(self.view, self.environment)
        }
    }

    /// Takes over the usage of a transaction that [`Self::at_snapshot`] made, and the trouble that it met. Its reads stay
    /// apart.
    pub fn count_usage_of(&mut self, other: &mut Transaction<'_>) {
        self.usage = other.usage;
        let reads = other.take_reads().and(other.take_stale_reads());
        self.stale_reads = std::mem::take(&mut self.stale_reads).and(reads);
        let trouble = || other.broken.clone();
        self.broken = self.broken.take().or_else(trouble);
    }

    pub(super) fn seal(&self) -> &'v CursorSeal {
        &self.environment.seal
    }

    /// The present moment, by the environment's clock.
    pub fn now(&self) -> UnixNanos {
        self.environment.clock.now()
    }

    /// The usage so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Counts a function that is scheduled with `bytes` bytes of arguments.
    pub fn count_scheduled(&mut self, bytes: usize) -> Result<(), LimitError> {
        self.usage.schedule(bytes, &self.limits)
    }

    /// Counts a file of `bytes` bytes that is stored.
    pub fn count_file_written(&mut self, bytes: usize) -> Result<(), LimitError> {
        self.usage.write_file(bytes, &self.limits)
    }

    /// Counts a file of `bytes` bytes whose content is read.
    pub fn count_file_read(&mut self, bytes: usize) -> Result<(), LimitError> {
        self.usage.read_file(bytes, &self.limits)
    }

    /// Distinct index ranges that count against the limit so far.
    pub fn ranges_read(&mut self) -> usize {
        self.reads.count()
    }

    /// The read set so far; leaves an empty one behind.
    pub fn take_reads(&mut self) -> ReadSet {
        self.reads.take()
    }

    /// The reads of the snapshot that are not in the read set; leaves none behind.
    pub fn take_stale_reads(&mut self) -> ReadSet {
        std::mem::take(&mut self.stale_reads)
    }

    /// The storage trouble that this execution met, whatever the function did with the error.
    pub fn storage_failure(&self) -> Option<&Arc<StorageError>> {
        self.broken.as_ref()
    }

    /// Whether a write was asked of a transaction that can only read.
    pub fn refused_a_write(&self) -> bool {
        self.refused_write
    }

    /// The changes to commit.
    pub fn into_changes(mut self) -> Changes {
        let unresolved = self.take_unresolved();
        let Redefined { catalog, extension } = self.redefined;
        let redefinition = Redefinition {
            catalog: catalog.then(|| self.definitions.catalog.clone()),
            extension: extension.then(|| self.definitions.extension.clone()),
        };
        Changes {
            writes: self.writes.into_writes(),
            touched: self.touched,
            misfits: self.misfits,
            redefinition,
            answer: self.answer,
            unresolved,
        }
    }

    /// The document with this id, `None` when there is none.
    pub fn get(&mut self, id: DocumentId) -> Result<Option<RawDocument>, DatabaseError> {
        let stored = self.get_stored(id)?;
        stored.map(|stored| self.decode(&stored)).transpose()
    }

    pub(super) fn get_stored(
        &mut self,
        id: DocumentId,
    ) -> Result<Option<StoredDocument>, DatabaseError> {
        let Some(by_id) = self.table_of(id).map(|table| table.by_id) else {
            self.check_time()?;
            self.record_catalog()?;
            return Ok(None);
        };
        self.stored_in(by_id, id)
    }

    /// The document of a table whose index by id this is.
    pub(super) fn stored_in(
        &mut self,
        by_id: IndexId,
        id: DocumentId,
    ) -> Result<Option<StoredDocument>, DatabaseError> {
        self.check_time()?;
        let key = document_key(by_id, id.internal());
        let stored = self.entry(&key)?;
        self.reads
            .record_document(key, self.limits.ranges_read_max)?;
        stored.map(|bytes| self.charged(id, bytes)).transpose()
    }

    // ---- the database's own bookkeeping ----------------------------------------------------------------------

    /// Reads an entry that is not a document. Not charged to the function, and not in its read set.
    pub fn read_system(&mut self, key: &[u8]) -> Result<Option<Bytes>, DatabaseError> {
        self.entry(key)
    }

    /// Writes an entry that is not a document. Not charged to the function, and nothing subscribes to it.
    pub fn write_system(&mut self, key: Bytes, value: Option<Bytes>) {
        self.writes.insert(key, value);
    }

    /// Notes that the execution depends on something that is no document.
    pub fn depend_on(&mut self, dependency: Dependency<'_>) {
        self.reads.depend_on(dependency.key());
    }

    /// Makes stale what depends on something that is no document.
    pub fn touch(&mut self, dependency: Dependency<'_>) {
        self.touched.push(&dependency.key());
    }

    /// Makes every earlier read stale: tables change places.
    pub fn touch_everything(&mut self) {
        self.touched.push_everything();
    }

    /// The services that the rooms above keep beside all definitions.
    pub fn services(&self) -> Option<&'v Extension> {
        self.environment.services.get()
    }

    pub(super) fn known_sessions(&mut self) -> Option<&mut KnownSessions> {
        self.writer.as_mut()?.known_sessions.as_deref_mut()
    }

    // ---- for the room's other files --------------------------------------------------------------------------

    /// The newest value of a key, this transaction's own writes included.
    pub(super) fn entry(&mut self, key: &[u8]) -> Result<Option<Bytes>, DatabaseError> {
        match self.writes.get(key) {
            Some(own) => Ok(own.clone()),
            None if self.is_bulk => self.guard(|view| view.peek(key)),
            None => self.guard(|view| view.get(key)),
        }
    }

    /// A document that was read.
    pub(super) fn charged(
        &mut self,
        id: DocumentId,
        bytes: Bytes,
    ) -> Result<StoredDocument, DatabaseError> {
        let stored = StoredDocument::new(id, bytes).map_err(|error| self.break_with(error))?;
        self.usage.read(stored.size(), &self.limits)?;
        Ok(stored)
    }

    pub(super) fn record(&mut self, range: KeyRange) -> Result<(), LimitError> {
        self.reads.record(range, self.limits.ranges_read_max)
    }

    /// As [`Self::record`], of all keys that begin with `prefix`.
    pub(super) fn record_prefix(&mut self, prefix: Bytes) -> Result<(), LimitError> {
        self.reads
            .record_prefix(prefix, self.limits.ranges_read_max)
    }

    /// As [`Self::record`], of the keys of a range that hold all `marks`.
    pub(super) fn record_narrowed(
        &mut self,
        range: KeyRange,
        marks: &[Mark],
    ) -> Result<(), LimitError> {
        self.reads
            .record_narrowed(range, marks, self.limits.ranges_read_max)
    }

    /// Notes that the execution asked for a table or index that the catalog lacks, so that adding it makes the answer
    /// stale.
    pub fn record_catalog(&mut self) -> Result<(), LimitError> {
        self.record(IndexId::CATALOG.range())
    }

    /// Refuses to go on when the execution has taken longer than it may.
    pub fn check_time(&self) -> Result<(), LimitError> {
        if self.usage.is_uncharged {
            return Ok(());
        }
        let max = Duration::from_millis(self.limits().user_millis_max);
        match self.environment.clock.elapsed() - self.started > max {
            true => Err(LimitError::UserTime(max)),
            false => Ok(()),
        }
    }

    /// Whether look-ups may find their entries at hand.
    pub(super) fn has_groups(&self) -> bool {
        self.view.has_groups()
    }

    /// The snapshot, for tests that look at what is stored.
    #[cfg(test)]
    pub(super) fn view(&self) -> &'v dyn ReadView {
        self.view
    }

    /// Reads the snapshot, and remembers when that failed.
    pub(super) fn guard<T>(
        &mut self,
        read: impl FnOnce(&dyn ReadView) -> Result<T, StorageError>,
    ) -> Result<T, DatabaseError> {
        read(self.view).map_err(|error| self.break_with(error))
    }

    pub(super) fn break_with(&mut self, error: StorageError) -> DatabaseError {
        if error.is_corruption() {
            tracing::error!(%error, "stored data is damaged: restore a backup");
            self.environment.damaged.store(true, Ordering::Relaxed);
        }
        let error = Arc::new(error);
        self.broken = Some(error.clone());
        DatabaseError::Storage(error)
    }
}
