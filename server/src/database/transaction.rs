//! One execution's view of the database: a snapshot, its own writes on top, what it read and what it used.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rand::RngCore;
use vestibule_schema::id::{DocumentId, InternalId};
use vestibule_schema::key::decode_key;
use vestibule_schema::path::FieldPath;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::{Object, Value, check_document, object_size};

use super::catalog::{Catalog, TableMeta};
use super::cursor::CursorSeal;
use super::error::{DatabaseError, LimitError, QueryError};
use super::keys::{self, document_key, index_key, index_prefix};
use super::limits::{Limits, Usage};
use super::query::{Operator, Query, Scan, compile};
use super::read_set::ReadSet;
use crate::storage::{Cursor, Direction, KeyRange, ReadView, StorageError, Write, successor};

/// A document as transactions hand it out: its fields, `_id` and `_creationTime` among them.
#[derive(Clone, Debug, PartialEq)]
pub struct RawDocument {
    /// Its id.
    pub id: DocumentId,
    /// All its fields.
    pub fields: Object,
}

/// What all executions of a deployment share.
pub struct Environment {
    /// The tables and indexes.
    pub catalog: Catalog,
    /// The bounds of one execution.
    pub limits: Limits,
    /// Seals pagination cursors.
    pub seal: CursorSeal,
}

/// What writing needs beyond a snapshot. Only the committer's lane has one.
pub struct WriteContext<'v> {
    /// Source of new ids.
    pub rng: &'v mut (dyn RngCore + Send),
    /// The creation time of the newest document, in milliseconds; the next one is later.
    pub last_creation_time: &'v mut f64,
    /// The timestamp that the transaction's commit will carry.
    pub commit_ts: Timestamp,
}

/// What a transaction changed, ready to be committed.
pub struct Changes {
    /// The store's new entries.
    pub writes: Vec<Write>,
    /// Every index key, old or new, of every written document: what makes read sets stale.
    pub touched: Vec<Bytes>,
}

/// One execution's reads and writes.
pub struct Transaction<'v> {
    view: &'v dyn ReadView,
    environment: &'v Environment,
    writer: Option<WriteContext<'v>>,
    writes: BTreeMap<Bytes, Option<Bytes>>,
    touched: Vec<Bytes>,
    reads: ReadSet,
    usage: Usage,
    started: Instant,
    broken: Option<Arc<StorageError>>,
    refused_write: bool,
}

impl<'v> Transaction<'v> {
    /// A transaction that can only read.
    pub fn read_only(view: &'v dyn ReadView, environment: &'v Environment) -> Self {
        Transaction {
            view,
            environment,
            writer: None,
            writes: BTreeMap::new(),
            touched: Vec::new(),
            reads: ReadSet::default(),
            usage: Usage::default(),
            started: Instant::now(),
            broken: None,
            refused_write: false,
        }
    }

    /// A transaction that can also write.
    pub fn writable(view: &'v dyn ReadView, environment: &'v Environment, writer: WriteContext<'v>) -> Self {
        Transaction { writer: Some(writer), ..Transaction::read_only(view, environment) }
    }

    /// The timestamp of the snapshot that is read.
    pub fn snapshot_ts(&self) -> Timestamp {
        self.view.ts()
    }

    /// The timestamp the commit will carry; `None` in a query.
    pub fn commit_ts(&self) -> Option<Timestamp> {
        self.writer.as_ref().map(|writer| writer.commit_ts)
    }

    /// The tables and indexes.
    pub fn catalog(&self) -> &'v Catalog {
        &self.environment.catalog
    }

    /// The bounds of this execution.
    pub fn limits(&self) -> &'v Limits {
        &self.environment.limits
    }

    pub(super) fn seal(&self) -> &'v CursorSeal {
        &self.environment.seal
    }

    /// What was used so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// What was read so far; leaves an empty read set behind.
    pub fn take_reads(&mut self) -> ReadSet {
        std::mem::take(&mut self.reads)
    }

    /// The storage trouble that this execution met, whatever the function did with the error.
    pub fn storage_failure(&self) -> Option<&Arc<StorageError>> {
        self.broken.as_ref()
    }

    /// Whether a write was asked of a transaction that can only read.
    pub fn refused_a_write(&self) -> bool {
        self.refused_write
    }

    /// What there is to commit.
    pub fn into_changes(self) -> Changes {
        let writes = self.writes.into_iter().map(|(key, value)| Write { key, value }).collect();
        Changes { writes, touched: self.touched }
    }

    /// Reads an entry that is not a document: the database's own bookkeeping. Not charged to the function.
    pub fn read_system(&mut self, key: &Bytes) -> Result<Option<Bytes>, DatabaseError> {
        match self.writes.get(key) {
            Some(own) => Ok(own.clone()),
            None => self.guard(|view| view.get(key)),
        }
    }

    /// Writes an entry that is not a document. Not charged to the function, and nothing subscribes to it.
    pub fn write_system(&mut self, key: Bytes, value: Option<Bytes>) {
        self.writes.insert(key, value);
    }

    /// At most `max` entries of a range that holds no documents, in key order. Not charged to the function.
    pub fn scan_system(&mut self, range: KeyRange, max: usize) -> Result<Vec<(Bytes, Bytes)>, DatabaseError> {
        let mut stream = Stream::new(range, Direction::Forward);
        let mut entries = Vec::new();
        while entries.len() < max {
            let Some(key) = self.next_key(&mut stream)? else { break };
            if let Some(value) = self.read_system(&key)? {
                entries.push((key, value));
            }
        }
        Ok(entries)
    }

    // ---- single documents ------------------------------------------------------------------------------------

    /// The document with this id, `None` when there is none.
    pub fn get(&mut self, id: DocumentId) -> Result<Option<RawDocument>, DatabaseError> {
        self.check_time()?;
        let Some(table) = self.catalog().table_numbered(id.table()).cloned() else { return Ok(None) };
        let key = document_key(table.by_id, id.internal());
        self.reads.record(KeyRange::point(key.clone()), self.limits().ranges_read_max)?;
        let document = self.load(&table, &key, id.internal())?;
        if let Some(document) = &document {
            self.charge_read(document)?;
        }
        Ok(document)
    }

    /// Adds a document to `table` and returns its id.
    pub fn insert(&mut self, table: &str, mut fields: Object) -> Result<DocumentId, DatabaseError> {
        self.check_time()?;
        let table = self.table_for_write(table, "insert")?;
        let writer = self.writer.as_mut().ok_or(QueryError::ReadOnly("insert"))?;
        let internal = new_internal_id(writer.rng, writer.commit_ts);
        *writer.last_creation_time = writer.last_creation_time.next_up();
        let creation_time = *writer.last_creation_time;
        let id = DocumentId::new(table.number, internal);
        set_system_fields(&mut fields, id, creation_time)?;
        let document = RawDocument { id, fields };
        self.write(&table, None, Some(document))?;
        Ok(id)
    }

    /// Merges `fields` into a document, top level only; `None` removes a field.
    pub fn patch(&mut self, id: DocumentId, fields: BTreeMap<String, Option<Value>>) -> Result<(), DatabaseError> {
        let (table, old) = self.existing(id, "patch", "Update")?;
        let mut merged = old.fields.clone();
        for (name, value) in fields {
            match value {
                Some(value) => merged.insert(name, value),
                None => merged.remove(&name),
            };
        }
        self.overwrite(&table, old, merged)
    }

    /// Replaces a document's fields. `_id` and `_creationTime` stay and may be given unchanged.
    pub fn replace(&mut self, id: DocumentId, fields: Object) -> Result<(), DatabaseError> {
        let (table, old) = self.existing(id, "replace", "Replace")?;
        self.overwrite(&table, old, fields)
    }

    /// Removes a document.
    pub fn delete(&mut self, id: DocumentId) -> Result<(), DatabaseError> {
        let (table, old) = self.existing(id, "delete", "Delete")?;
        self.write(&table, Some(old), None)
    }

    fn existing(
        &mut self,
        id: DocumentId,
        method: &'static str,
        verb: &'static str,
    ) -> Result<(Arc<TableMeta>, RawDocument), DatabaseError> {
        self.require_writer(method)?;
        let Some(table) = self.catalog().table_numbered(id.table()).cloned() else {
            return Err(QueryError::TableOfIdNotFound { method, id: id.to_string() }.into());
        };
        match self.get(id)? {
            Some(document) => Ok((table, document)),
            None => Err(QueryError::NonexistentDocument { verb, id: id.to_string() }.into()),
        }
    }

    fn overwrite(&mut self, table: &TableMeta, old: RawDocument, mut fields: Object) -> Result<(), DatabaseError> {
        let creation_time = match old.fields.get("_creationTime") {
            Some(Value::Float64(time)) => *time,
            _ => 0.0,
        };
        set_system_fields(&mut fields, old.id, creation_time)?;
        if fields == old.fields {
            return Ok(());
        }
        let new = RawDocument { id: old.id, fields };
        self.write(table, Some(old), Some(new))
    }

    // ---- writing ---------------------------------------------------------------------------------------------

    fn require_writer(&mut self, method: &'static str) -> Result<(), QueryError> {
        self.refused_write |= self.writer.is_none();
        match self.refused_write {
            true => Err(QueryError::ReadOnly(method)),
            false => Ok(()),
        }
    }

    fn table_for_write(&mut self, name: &str, method: &'static str) -> Result<Arc<TableMeta>, DatabaseError> {
        self.require_writer(method)?;
        let table = self.catalog().table(name).cloned();
        Ok(table.ok_or_else(|| QueryError::UnknownTable(name.to_string()))?)
    }

    fn write(
        &mut self,
        table: &TableMeta,
        old: Option<RawDocument>,
        new: Option<RawDocument>,
    ) -> Result<(), DatabaseError> {
        if let Some(new) = &new {
            self.check_new(table, new)?;
        }
        let size = new.as_ref().map_or(0, |new| object_size(&new.fields));
        self.usage.write(size, self.limits())?;
        self.write_entry(table.by_creation_time, &[], &old, &new);
        for index in &table.indexes {
            self.write_entry(index.id, &index.fields, &old, &new);
        }
        let id = old.as_ref().or(new.as_ref()).expect("a write has an old or a new document").id;
        let key = document_key(table.by_id, id.internal());
        self.touched.push(key.clone());
        self.writes.insert(key, new.map(|new| keys::encode_document(&new.fields)));
        Ok(())
    }

    fn check_new(&mut self, table: &TableMeta, new: &RawDocument) -> Result<(), DatabaseError> {
        check_document(&new.fields).map_err(QueryError::InvalidDocument)?;
        let fields = Value::Object(user_fields(&new.fields));
        table.document.check(&fields, self.catalog()).map_err(|error| QueryError::SchemaMismatch {
            table: table.name.clone(),
            reason: error.to_string(),
        })?;
        for index in table.indexes.iter().filter(|index| index.unique) {
            if let Some(existing) = self.holder(index.id, &index.fields, new)? {
                return Err(QueryError::UniqueViolation {
                    table: table.name.clone(),
                    index: index.name.clone(),
                    values: describe_fields(&index.fields, &new.fields),
                    existing: DocumentId::<()>::new(table.number, existing).to_string(),
                }
                .into());
            }
        }
        Ok(())
    }

    /// Another document that holds the same values in a unique index. Documents that lack one of the indexed fields
    /// do not compete, as NULLs do not in SQL.
    fn holder(
        &mut self,
        index: keys::IndexId,
        fields: &[FieldPath],
        new: &RawDocument,
    ) -> Result<Option<InternalId>, DatabaseError> {
        if fields.iter().any(|field| field.lookup(&new.fields).is_none()) {
            return Ok(None);
        }
        let range = KeyRange::prefix(index_prefix(index, fields, &new.fields));
        self.reads.record(range.clone(), self.limits().ranges_read_max)?;
        let mut stream = Stream::new(range, Direction::Forward);
        while let Some(key) = self.next_key(&mut stream)? {
            let holder = self.entry_id(&key)?;
            if holder != new.id.internal() {
                return Ok(Some(holder));
            }
        }
        Ok(None)
    }

    fn write_entry(
        &mut self,
        index: keys::IndexId,
        fields: &[FieldPath],
        old: &Option<RawDocument>,
        new: &Option<RawDocument>,
    ) {
        let key_of = |document: &RawDocument| index_key(index, fields, &document.fields, document.id.internal());
        let old_key = old.as_ref().map(key_of);
        let new_key = new.as_ref().map(key_of);
        if old_key != new_key {
            if let Some(key) = &old_key {
                self.writes.insert(key.clone(), None);
            }
            if let Some(key) = &new_key {
                self.writes.insert(key.clone(), Some(Bytes::new()));
                self.touched.push(key.clone());
            }
        }
        self.touched.extend(old_key);
    }

    // ---- scanning --------------------------------------------------------------------------------------------

    /// Runs `query` and hands each document that passes to `visit`, which may stop the scan. Only what was scanned
    /// until then is charged and enters the read set.
    pub fn scan(
        &mut self,
        query: &Query,
        mut visit: impl FnMut(RawDocument) -> ControlFlow<()>,
    ) -> Result<(), DatabaseError> {
        let Some(scan) = compile(query, self.catalog())? else { return Ok(()) };
        let Some(mut pipeline) = Pipeline::new(&query.operators) else { return Ok(()) };
        self.scan_range(&scan, scan.range.clone(), |_, _, document| {
            Ok(match pipeline.push(document)? {
                Passed::Dropped => ControlFlow::Continue(()),
                Passed::Through(document) => visit(document),
                Passed::Last(document) => {
                    document.map(&mut visit);
                    ControlFlow::Break(())
                }
            })
        })?;
        Ok(())
    }

    /// Every document that passes.
    pub fn collect(&mut self, query: &Query) -> Result<Vec<RawDocument>, DatabaseError> {
        let mut documents = Vec::new();
        self.scan(query, |document| {
            documents.push(document);
            ControlFlow::Continue(())
        })?;
        Ok(documents)
    }

    /// At most `n` documents that pass; `take(0)` reads nothing.
    pub fn take(&mut self, query: &Query, n: usize) -> Result<Vec<RawDocument>, DatabaseError> {
        let mut limited = query.clone();
        limited.operators.push(Operator::Limit(n));
        self.collect(&limited)
    }

    /// The only document that passes; an error names them when there are two.
    pub fn unique(&mut self, query: &Query) -> Result<Option<RawDocument>, DatabaseError> {
        let mut found = self.take(query, 2)?;
        if found.len() > 1 {
            let ids = found.iter().map(|document| document.id.to_string()).collect::<Vec<_>>().join(", ");
            return Err(QueryError::NotUnique { table: query.table.clone(), ids }.into());
        }
        Ok(found.pop())
    }

    /// Walks `range` of a scan. `visit` gets the entry's key and the document; whatever happens, what was walked is
    /// in the read set afterwards.
    pub(super) fn scan_range(
        &mut self,
        scan: &Scan,
        range: KeyRange,
        mut visit: impl FnMut(&Usage, &Bytes, RawDocument) -> Result<ControlFlow<()>, DatabaseError>,
    ) -> Result<Walked, DatabaseError> {
        self.check_time()?;
        let mut stream = Stream::new(range, scan.direction);
        let mut last = None;
        let outcome = loop {
            let step = self.scan_step(scan, &mut stream, &mut last);
            match step {
                Ok(None) => break Ok(Walked { exhausted: true, last: last.clone() }),
                Ok(Some((key, document))) => match visit(&self.usage, &key, document) {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => break Ok(Walked { exhausted: false, last: last.clone() }),
                    Err(error) => break Err(error),
                },
                Err(error) => break Err(error),
            }
        };
        let exhausted = outcome.as_ref().is_ok_and(|walked| walked.exhausted);
        let read = if exhausted { stream.range } else { walked_range(stream.range, scan.direction, last) };
        self.reads.record(read, self.limits().ranges_read_max)?;
        outcome
    }

    fn scan_step(
        &mut self,
        scan: &Scan,
        stream: &mut Stream,
        last: &mut Option<Bytes>,
    ) -> Result<Option<(Bytes, RawDocument)>, DatabaseError> {
        self.check_time()?;
        let Some(key) = self.next_key(stream)? else { return Ok(None) };
        *last = Some(key.clone());
        let id = self.entry_id(&key)?;
        let document_key = if scan.is_by_id { key.clone() } else { document_key(scan.table.by_id, id) };
        let document = self.load(&scan.table, &document_key, id)?.ok_or_else(|| {
            self.break_with(StorageError::misplaced(&key, "an index entry leads to no document"))
        })?;
        self.charge_read(&document)?;
        Ok(Some((key, document)))
    }

    /// The next key of a stream: the snapshot's entries with this transaction's own writes over them.
    fn next_key(&mut self, stream: &mut Stream) -> Result<Option<Bytes>, DatabaseError> {
        loop {
            if stream.ahead.is_none() {
                let entry = self.guard(|view| view.next(&mut stream.cursor))?;
                stream.ahead = Some(entry.map(|entry| entry.key));
            }
            let base = stream.ahead.as_ref().and_then(Option::as_ref);
            let own = stream.next_own(&self.writes);
            let own_is_first = match (&own, base) {
                (None, None) => return Ok(None),
                (Some((own, _)), Some(base)) => stream.precedes_or_equals(own, base),
                (own, None) => own.is_some(),
                (None, Some(_)) => false,
            };
            if !own_is_first {
                let key = stream.ahead.take().flatten().expect("the snapshot's entry was looked at above");
                stream.position = Some(key.clone());
                return Ok(Some(key));
            }
            let (key, present) = own.expect("own writes come first only when there is one");
            if base == Some(&key) {
                stream.ahead = None;
            }
            stream.position = Some(key.clone());
            if present {
                return Ok(Some(key));
            }
        }
    }

    fn load(&mut self, table: &TableMeta, key: &Bytes, id: InternalId) -> Result<Option<RawDocument>, DatabaseError> {
        let stored = match self.writes.get(key) {
            Some(own) => own.clone(),
            None => self.guard(|view| view.get(key))?,
        };
        let Some(bytes) = stored else { return Ok(None) };
        let id = DocumentId::new(table.number, id);
        match decode_key(&bytes) {
            Ok((Some(Value::Object(mut fields)), used)) if used == bytes.len() => {
                fields.insert("_id".to_string(), Value::String(id.to_string()));
                Ok(Some(RawDocument { id, fields }))
            }
            _ => Err(self.break_with(StorageError::misplaced(key, "a stored document cannot be decoded"))),
        }
    }

    fn entry_id(&mut self, key: &Bytes) -> Result<InternalId, DatabaseError> {
        keys::id_of_entry(key)
            .ok_or_else(|| self.break_with(StorageError::misplaced(key, "an index entry is too short")))
    }

    fn charge_read(&mut self, document: &RawDocument) -> Result<(), DatabaseError> {
        Ok(self.usage.read(object_size(&document.fields), self.limits())?)
    }

    fn check_time(&self) -> Result<(), DatabaseError> {
        let max = self.limits().user_millis_max;
        match self.started.elapsed().as_millis() > u128::from(max) {
            true => Err(LimitError::UserTime(max).into()),
            false => Ok(()),
        }
    }

    fn guard<T>(
        &mut self,
        read: impl FnOnce(&dyn ReadView) -> Result<T, StorageError>,
    ) -> Result<T, DatabaseError> {
        read(self.view).map_err(|error| self.break_with(error))
    }

    fn break_with(&mut self, error: StorageError) -> DatabaseError {
        let error = Arc::new(error);
        self.broken = Some(error.clone());
        DatabaseError::Storage(error)
    }
}

/// How far a scan went.
pub(super) struct Walked {
    /// The end of the range was met.
    pub exhausted: bool,
    /// The last entry's key.
    pub last: Option<Bytes>,
}

/// A position in a range, over the snapshot and the transaction's own writes.
struct Stream {
    range: KeyRange,
    direction: Direction,
    cursor: Cursor,
    /// The snapshot's next key when it was already fetched; `Some(None)` is the end.
    ahead: Option<Option<Bytes>>,
    position: Option<Bytes>,
}

impl Stream {
    fn new(range: KeyRange, direction: Direction) -> Stream {
        let cursor = Cursor::new(range.clone(), direction);
        Stream { range, direction, cursor, ahead: None, position: None }
    }

    /// The next of the transaction's own writes in this range, and whether it puts or deletes.
    fn next_own(&self, writes: &BTreeMap<Bytes, Option<Bytes>>) -> Option<(Bytes, bool)> {
        if writes.is_empty() {
            return None;
        }
        let mut left = self.range.clone();
        match (&self.position, self.direction) {
            (Some(position), Direction::Forward) => left.start = successor(position),
            (Some(position), Direction::Reverse) => left.end = Some(position.clone()),
            (None, _) => {}
        }
        if left.is_empty() {
            return None;
        }
        let start = Bound::Included(&left.start);
        let end = left.end.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut own = writes.range::<Bytes, _>((start, end));
        let (key, value) = match self.direction {
            Direction::Forward => own.next()?,
            Direction::Reverse => own.next_back()?,
        };
        Some((key.clone(), value.is_some()))
    }

    fn precedes_or_equals(&self, a: &Bytes, b: &Bytes) -> bool {
        match self.direction {
            Direction::Forward => a <= b,
            Direction::Reverse => a >= b,
        }
    }
}

/// The operators of a query, with how much each limit still lets through.
struct Pipeline<'q> {
    stages: Vec<Stage<'q>>,
}

enum Stage<'q> {
    Filter(&'q super::filter::Expression),
    Limit(usize),
}

enum Passed {
    Dropped,
    Through(RawDocument),
    /// A limit lets nothing behind this document through, which itself passed or not.
    Last(Option<RawDocument>),
}

impl<'q> Pipeline<'q> {
    /// `None` when a limit of zero lets nothing through.
    fn new(operators: &'q [Operator]) -> Option<Self> {
        let stages = operators.iter().map(|operator| match operator {
            Operator::Filter(expression) => Some(Stage::Filter(expression)),
            Operator::Limit(0) => None,
            Operator::Limit(n) => Some(Stage::Limit(*n)),
        });
        Some(Pipeline { stages: stages.collect::<Option<_>>()? })
    }

    fn push(&mut self, document: RawDocument) -> Result<Passed, QueryError> {
        let mut is_last = false;
        for stage in &mut self.stages {
            match stage {
                Stage::Filter(expression) => {
                    if !expression.accepts(&document.fields)? {
                        return Ok(if is_last { Passed::Last(None) } else { Passed::Dropped });
                    }
                }
                Stage::Limit(left) => {
                    *left -= 1;
                    is_last |= *left == 0;
                }
            }
        }
        Ok(if is_last { Passed::Last(Some(document)) } else { Passed::Through(document) })
    }
}

/// The part of `range` up to and including `last` in scan direction; empty when nothing was scanned.
fn walked_range(range: KeyRange, direction: Direction, last: Option<Bytes>) -> KeyRange {
    match (last, direction) {
        (Some(last), Direction::Forward) => KeyRange { start: range.start, end: Some(successor(&last)) },
        (Some(last), Direction::Reverse) => KeyRange { start: last, end: range.end },
        (None, _) => KeyRange { end: Some(range.start.clone()), start: range.start },
    }
}

/// 14 random bytes, then the day: ids of one day share their last two bytes.
fn new_internal_id(rng: &mut (dyn RngCore + Send), now: Timestamp) -> InternalId {
    const NANOS_PER_DAY: u64 = 86_400_000_000_000;
    let mut id = [0; 16];
    rng.fill_bytes(&mut id[..14]);
    let day = (now.0 / NANOS_PER_DAY) as u16;
    id[14..].copy_from_slice(&day.to_be_bytes());
    InternalId(id)
}

/// Puts `_id` and `_creationTime` in place; values given for them must be the same.
fn set_system_fields(fields: &mut Object, id: DocumentId, creation_time: f64) -> Result<(), QueryError> {
    let id = Value::String(id.to_string());
    if let Some(provided) = fields.get("_id").filter(|provided| **provided != id) {
        return Err(QueryError::IdMismatch { provided: id.to_string(), actual: provided.to_string() });
    }
    let creation_time = Value::Float64(creation_time);
    if let Some(provided) = fields.get("_creationTime").filter(|provided| **provided != creation_time) {
        let provided = provided.to_string();
        return Err(QueryError::CreationTimeMismatch { provided: creation_time.to_string(), actual: provided });
    }
    fields.insert("_id".to_string(), id);
    fields.insert("_creationTime".to_string(), creation_time);
    Ok(())
}

/// The fields a schema speaks of: all but the system's.
pub(super) fn user_fields(fields: &Object) -> Object {
    fields.iter().filter(|(name, _)| !name.starts_with('_')).map(|(k, v)| (k.clone(), v.clone())).collect()
}

pub(super) fn describe_fields(paths: &[FieldPath], fields: &Object) -> String {
    let described = paths.iter().map(|path| {
        let value = path.lookup(fields).map_or("undefined".to_string(), Value::to_string);
        format!("{path} = {value}")
    });
    described.collect::<Vec<_>>().join(", ")
}
