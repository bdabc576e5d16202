//! Tests of the room, by theme, and the rig they share: a database driven step by step, without threads.

mod answers;
mod checkpoints;
mod committer;
mod documents;
mod leases;
mod missing;
mod model;
mod pagination;
mod queries;
mod reads;
mod savepoints;
mod session_requests;
mod setup;
mod streams;
mod threads;

use std::sync::Arc;
use std::task::Waker;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;
use vestibule_schema::id::DocumentId;
use vestibule_schema::table::{IndexDefinition, Schema, TableDefinition};
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::{Object, Value};

use super::answer_rows::pack;
use super::session_requests::KnownSessions;
use super::setup::stored_catalog;
use super::transaction::Changes;
use super::*;
use crate::clock::{ManualClock, UnixNanos};
use crate::storage::{Appender, Commit, FoldProgress, Head, ReadView};

/// When every test begins, in seconds since the epoch.
const START: u64 = 1_760_000_000;

/// A database whose commits are made one by one by the test itself.
pub(crate) struct Rig {
    clock: Arc<ManualClock>,
    environment: Environment,
    head: Head,
    appender: Appender,
    store: Store,
    rng: StdRng,
    last_creation_time: f64,
    known_sessions: KnownSessions,
    dir: TempDir,
}

/// Runs `body` on the database as a function meets it, in a test's transaction.
fn with_writer<R>(tx: &mut Transaction<'_>, body: impl FnOnce(&mut DatabaseWriter<'_>) -> R) -> R {
    let mut db = DatabaseWriter::new(tx.lend(), PageBorders::default());
    let result = body(&mut db);
    tx.take_back(db.into_transaction());
    result
}

impl Rig {
    pub(crate) fn new(schema: Schema) -> Rig {
        Rig::with_limits(schema, Limits::default())
    }

    pub(crate) fn with_limits(schema: Schema, limits: Limits) -> Rig {
        let mut rig = Rig::try_open(tempfile::tempdir().unwrap(), schema).unwrap();
        rig.environment.limits = limits;
        rig
    }

    fn try_open(dir: TempDir, schema: Schema) -> Result<Rig, OpenError> {
        let clock = manual_clock();
        let (store, appender) = Store::open(dir.path(), StoreOptions::default())?;
        let (appender, catalog) = set_up(&store, appender, &clock, &schema)?;
        Ok(Rig {
            environment: environment(catalog, clock.clone()),
            clock,
            head: store.head(),
            appender,
            // Another one for each open, so that no id comes twice.
            rng: StdRng::seed_from_u64(store.epoch()),
            store,
            last_creation_time: START as f64 * 1000.0,
            known_sessions: KnownSessions::default(),
            dir,
        })
    }

    /// Closes the database and opens it with another schema.
    pub(crate) fn reopen(self, schema: Schema) -> Result<Rig, OpenError> {
        Rig::try_open(self.close(), schema)
    }

    fn close(self) -> TempDir {
        self.dir
    }

    /// Runs a transaction at the head and commits what it changed.
    pub(crate) fn commit<R>(&mut self, body: impl FnOnce(&mut Transaction<'_>) -> R) -> R {
        let (
            returned,
            Changes {
                mut writes, answer, ..
            },
        ) = self.run(body);
        writes.extend(pack(answer.into_iter().collect()));
        self.append(writes);
        returned
    }

    /// Commits entries as they are.
    fn append(&mut self, writes: Vec<crate::storage::Write>) {
        let ts = self.next_ts();
        let commit = Commit { ts, writes };
        let mut row = crate::storage::LogRow::default();
        self.head.apply(&commit, &mut row);
        self.appender.append(row).unwrap();
        self.appender.publish(self.head.freeze());
    }

    /// Runs a transaction at the head and tells what it would change.
    fn run<R>(&mut self, body: impl FnOnce(&mut Transaction<'_>) -> R) -> (R, Changes) {
        let writer = WriteContext {
            commit_ts: self.next_ts(),
            rng: &mut self.rng,
            last_creation_time: &mut self.last_creation_time,
            known_sessions: Some(&mut self.known_sessions),
        };
        let mut tx = Transaction::writable(&self.head, &self.environment, writer);
        let returned = body(&mut tx);
        (returned, tx.into_changes())
    }

    /// What a transaction at the head would change.
    pub(crate) fn changes_of(&mut self, body: impl FnOnce(&mut Transaction<'_>)) -> Changes {
        self.run(body).1
    }

    /// Commits what a transaction would change.
    pub(crate) fn append_changes(&mut self, changes: Changes) {
        self.append(changes.writes);
    }

    /// Runs a transaction at the head and forgets what it changed.
    pub(crate) fn attempt<R>(&mut self, body: impl FnOnce(&mut Transaction<'_>) -> R) -> R {
        self.run(body).0
    }

    /// Runs a query at the newest commit, and tells what it read.
    pub(crate) fn query<R>(&self, body: impl FnOnce(&mut Transaction<'_>) -> R) -> (R, ReadSet) {
        let snapshot = self.store.snapshot().unwrap();
        self.query_on(&snapshot, body)
    }

    /// As [`Self::query`], on another view of the store.
    fn query_on<R>(
        &self,
        view: &dyn ReadView,
        body: impl FnOnce(&mut Transaction<'_>) -> R,
    ) -> (R, ReadSet) {
        let mut tx = Transaction::read_only(view, &self.environment);
        let returned = body(&mut tx);
        (returned, tx.take_reads())
    }

    fn next_ts(&self) -> Timestamp {
        Timestamp(self.clock.now().0.max(self.head.last_ts().0 + 1))
    }

    pub(crate) fn fold(&mut self) {
        while self.appender.fold().unwrap() != FoldProgress::Idle {}
        self.head.refresh();
    }

    pub(crate) fn insert(&mut self, table: &str, fields: Object) -> DocumentId {
        self.commit(|tx| tx.insert(table, fields)).unwrap()
    }
}

/// Brings a store in line with `schema`, as a start does.
fn set_up(
    store: &Store,
    appender: Appender,
    clock: &Arc<ManualClock>,
    schema: &Schema,
) -> Result<(Appender, Catalog), OpenError> {
    let environment = Arc::new(environment(stored_catalog(store)?, clock.clone()));
    let rollbacks = Arc::new(AtomicU64::new(0));
    let write_log = Arc::new(WriteLog::new(store.durable_ts()));
    let rng = Box::new(StdRng::seed_from_u64(store.epoch()));
    let mut lane = Lane::new(store, environment.clone(), rng, rollbacks.clone())?;
    let mut writer = LogWriter::new(appender, write_log, rollbacks, 64 << 20);
    let setup = SetUp {
        store,
        lane: &mut lane,
        writer: &mut writer,
        environment: &environment,
    };
    setup.run(schema)?;
    let definitions = environment.definitions.at(store.durable_ts());
    Ok((writer.into_appender(), Catalog::clone(&definitions.catalog)))
}

fn manual_clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(UnixNanos::from_seconds(START)))
}

fn environment(catalog: Catalog, clock: Arc<ManualClock>) -> Environment {
    Environment {
        definitions: History::new(Definitions::new(catalog)),
        limits: Limits::default(),
        seal: CursorSeal::new(&[3; 32]),
        clock,
        probe: Probe::none(),
        damaged: Default::default(),
        services: Default::default(),
    }
}

/// A table without rules, with these indexes; a name that ends in `!` makes one unique.
pub(crate) fn table(name: &str, indexes: &[(&str, &[&str])]) -> TableDefinition {
    let index = |(name, fields): &(&str, &[&str])| {
        let unique = name.ends_with('!');
        IndexDefinition::new(name.trim_end_matches('!'), fields, unique).unwrap()
    };
    TableDefinition {
        indexes: indexes.iter().map(index).collect(),
        ..TableDefinition::new(name)
    }
}

pub(crate) fn schema(tables: impl IntoIterator<Item = TableDefinition>) -> Schema {
    tables.into_iter().fold(Schema::new(), Schema::define)
}

/// A query over a whole index.
fn index(table: &str, index: &str) -> Query {
    range(table, index, [])
}

fn range<const N: usize>(table: &str, index: &str, bounds: [Bound; N]) -> Query {
    Query {
        source: Source::IndexRange {
            index: index.to_string().into(),
            bounds: bounds.into(),
        },
        ..Query::table(table.to_string())
    }
}

fn bound(kind: BoundKind, field: &str, value: impl Into<Value>) -> Bound {
    Bound {
        kind,
        field: field.to_string().into(),
        value: Some(value.into()),
    }
}

fn undefined(kind: BoundKind, field: &str) -> Bound {
    Bound {
        kind,
        field: field.to_string().into(),
        value: None,
    }
}

/// One field of each document.
fn column(documents: &[RawDocument], field: &str) -> Vec<Option<Value>> {
    let value = |document: &RawDocument| document.fields.get(field).cloned();
    documents.iter().map(value).collect()
}

fn ids(documents: &[RawDocument]) -> Vec<DocumentId> {
    documents.iter().map(|document| document.id).collect()
}

fn text<T: std::fmt::Debug, E: std::fmt::Display>(result: Result<T, E>) -> String {
    result.unwrap_err().to_string()
}

/// The answer of a mutation made from a closure.
type Outcome<R> = (R, Result<Committed, CommitError>);

/// A mutation that runs `body` and hands what it returned to `on_finish`, with the outcome.
fn mutation<R: Send + 'static>(
    body: impl FnOnce(&mut Transaction<'_>) -> (R, Verdict) + Send + 'static,
    on_finish: impl FnOnce(Outcome<R>) + Send + 'static,
) -> Box<dyn Mutation> {
    Box::new(Closure {
        body: Some(body),
        returned: None,
        on_finish,
    })
}

struct Closure<R, B, F> {
    body: Option<B>,
    returned: Option<R>,
    on_finish: F,
}

impl<R, B, F> Mutation for Closure<R, B, F>
where
    R: Send,
    B: FnOnce(&mut Transaction<'_>) -> (R, Verdict) + Send,
    F: FnOnce(Outcome<R>) + Send,
{
    fn run<'v>(&mut self, mut tx: Transaction<'v>) -> (Transaction<'v>, Verdict) {
        let body = self.body.take().expect("a mutation runs once");
        let (returned, verdict) = body(&mut tx);
        self.returned = Some(returned);
        (tx, verdict)
    }

    fn finish(self: Box<Self>, outcome: Result<Committed, CommitError>) -> Option<Waker> {
        let returned = self.returned.expect("a mutation runs before it finishes");
        (self.on_finish)((returned, outcome));
        None
    }
}
