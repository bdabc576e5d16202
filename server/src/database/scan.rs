//! Scanning: the snapshot's entries of a range with the transaction's own writes over them, as documents, through a
//! query's operators.

use std::borrow::Cow;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;
use vestibule_schema::id::{DocumentId, InternalId};

use super::catalog::{Catalog, TableMeta};
use super::error::{DatabaseError, QueryError};
use super::filter::Expression;
use super::keys::{self, document_key};
use super::limits::Usage;
use super::own_writes::OwnWrites;
use super::query::{Compiled, Operator, Order, Place, Query, Scan, compile, plain_lookup};
use super::search::{Hits, position};
use super::stored::{StoredDocument, Unusable};
use super::transaction::{RawDocument, Transaction};
use crate::storage::{Cursor, Direction, Entry, KeyRange, StorageError, successor};

impl Transaction<'_> {
    /// Runs `query` and hands each document that passes to `visit`, which may stop the scan. Only what was scanned
    /// until then is charged and enters the read set.
    pub fn scan(
        &mut self,
        query: &Query,
        visit: impl FnMut(StoredDocument) -> ControlFlow<()>,
    ) -> Result<(), DatabaseError> {
        self.scan_limited(query, None, visit)
    }

    /// Every document that passes.
    pub fn collect(&mut self, query: &Query) -> Result<Vec<RawDocument>, DatabaseError> {
        let stored = self.collect_stored(query, None)?;
        stored.iter().map(|stored| self.decode(stored)).collect()
    }

    /// At most `n` documents that pass; `take(0)` reads nothing.
    pub fn take(&mut self, query: &Query, n: usize) -> Result<Vec<RawDocument>, DatabaseError> {
        let stored = self.collect_stored(query, Some(n))?;
        stored.iter().map(|stored| self.decode(stored)).collect()
    }

    /// The only document that passes; an error names them when there are two.
    pub fn unique(&mut self, query: &Query) -> Result<Option<RawDocument>, DatabaseError> {
        let stored = self.unique_stored(query)?;
        stored.map(|stored| self.decode(&stored)).transpose()
    }

    pub(super) fn unique_stored(
        &mut self,
        query: &Query,
    ) -> Result<Option<StoredDocument>, DatabaseError> {
        const CLASH: usize = 2;
        if let Some(Group { place, entries }) = self.group(query, Some(CLASH))? {
            let only = entries.first();
            return only.map(|entry| self.document_of(place, entry)).transpose();
        }
        let mut found = self.collect_stored(query, Some(CLASH))?;
        if let [first, second] = &found[..] {
            let ids = format!("{}, {}", first.id(), second.id());
            let table = query.table.to_string();
            return Err(QueryError::NotUnique { table, ids }.into());
        }
        Ok(found.pop())
    }

    pub(super) fn collect_stored(
        &mut self,
        query: &Query,
        limit: Option<usize>,
    ) -> Result<Vec<StoredDocument>, DatabaseError> {
        if let Some(Group { place, entries }) = self.group(query, limit)? {
            let documents = entries.iter().map(|entry| self.document_of(place, entry));
            let mut documents = documents.collect::<Result<Vec<_>, _>>()?;
            if query.order == Order::Desc {
                documents.reverse();
            }
            return Ok(documents);
        }
        let mut documents = Vec::new();
        self.scan_limited(query, limit, |document| {
            documents.push(document);
            ControlFlow::Continue(())
        })?;
        Ok(documents)
    }

    /// The entries of a look-up, if there is a short way to all of them. That takes a group at hand in the snapshot, no
    /// write of this transaction there, and a `limit` that does not cut it short. They lead to the same documents as
    /// [`Self::scan_limited`], without a place to keep between one document and the next.
    fn group(
        &mut self,
        query: &Query,
        limit: Option<usize>,
    ) -> Result<Option<Group>, DatabaseError> {
        if !self.has_groups() {
            return Ok(None);
        }
        let catalog = self.catalog();
        let mut prefix = std::mem::take(&mut self.key_buffer);
        prefix.clear();
        prefix.reserve(KEY_BUFFER_BYTES);
        let table = plain_lookup(query, &catalog, &mut prefix);
        let group = match table {
            Some(table) => self.group_at(table, &prefix, limit),
            None => Ok(None),
        };
        self.key_buffer = prefix;
        group
    }

    fn group_at(
        &mut self,
        table: &TableMeta,
        prefix: &[u8],
        limit: Option<usize>,
    ) -> Result<Option<Group>, DatabaseError> {
        if self.has_written(prefix) {
            return Ok(None);
        }
        let group = self.guard(|view| view.group(prefix))?;
        let Some(entries) = group.filter(|group| limit.is_none_or(|limit| group.len() < limit))
        else {
            return Ok(None);
        };
        self.check_time()?;
        self.record_prefix(Bytes::copy_from_slice(prefix))?;
        let place = Place {
            table: table.number,
            by_id: table.by_id,
            is_by_id: false,
        };
        Ok(Some(Group { place, entries }))
    }

    fn document_of(
        &mut self,
        place: Place,
        Entry { key, .. }: &Entry,
    ) -> Result<StoredDocument, DatabaseError> {
        let id = self.id_of_entry(key)?;
        let stored = self.document_behind(place, key, id)?;
        self.charged(DocumentId::new(place.table, id), stored)
    }

    /// Looks up a query's names. `None` when its table does not exist.
    pub(super) fn compiled<'c>(
        &mut self,
        query: &Query,
        catalog: &'c Catalog,
    ) -> Result<Option<Compiled<'c>>, DatabaseError> {
        match compile(query, catalog) {
            Ok(Some(compiled)) => Ok(Some(compiled)),
            other => {
                self.record_catalog()?;
                Ok(other?)
            }
        }
    }

    /// Whether a key that begins with `prefix` was written.
    fn has_written(&self, prefix: &[u8]) -> bool {
        if self.writes.is_empty() {
            return false;
        }
        let KeyRange { start, end } = KeyRange::prefix(Bytes::copy_from_slice(prefix));
        let end = end.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut written = self.writes.range((Bound::Included(&start), end));
        written.next().is_some()
    }

    fn scan_limited(
        &mut self,
        query: &Query,
        limit: Option<usize>,
        mut visit: impl FnMut(StoredDocument) -> ControlFlow<()>,
    ) -> Result<(), DatabaseError> {
        let catalog = self.catalog();
        let Some(compiled) = self.compiled(query, &catalog)? else {
            return Ok(());
        };
        let Some(mut pipeline) = Pipeline::new(&query.operators, limit) else {
            return Ok(());
        };
        let mut pass = |document: StoredDocument| -> Result<ControlFlow<()>, Unusable> {
            Ok(match pipeline.push(document)? {
                Passed::Dropped => ControlFlow::Continue(()),
                Passed::Through(document) => visit(document),
                Passed::Last(document) => {
                    document.map(&mut visit);
                    ControlFlow::Break(())
                }
            })
        };
        match compiled {
            Compiled::Scan(scan) => {
                self.scan_range(&scan, scan.range.clone(), |_, _, document| pass(document))?;
            }
            Compiled::Search(search) => {
                self.scan_hits(&mut Hits::new(search), |_, document| pass(document))?;
            }
        }
        Ok(())
    }

    /// Hands the documents of a text search to `visit`, the best first, as [`Self::scan_range`] does with a range.
    pub(super) fn scan_hits(
        &mut self,
        hits: &mut Hits,
        mut visit: impl FnMut(Bytes, StoredDocument) -> Result<ControlFlow<()>, Unusable>,
    ) -> Result<bool, DatabaseError> {
        while let Some((rank, document)) = self.next_hit(hits)? {
            match visit(position(&rank), document) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return Ok(false),
                Err(error) => return Err(self.unusable(error)),
            }
        }
        Ok(true)
    }

    /// The error of a document that a scan cannot use.
    pub(super) fn unusable(&mut self, error: Unusable) -> DatabaseError {
        match error {
            Unusable::Query(error) => error.into(),
            Unusable::Damaged(error) => self.break_with(error),
        }
    }

    /// Walks `range` of a scan; whether its end was met. `visit` gets the entry's key and the document; whatever
    /// happens, what was walked is in the read set afterwards.
    pub(super) fn scan_range(
        &mut self,
        scan: &Scan<'_>,
        range: KeyRange,
        mut visit: impl FnMut(&Usage, &Bytes, StoredDocument) -> Result<ControlFlow<()>, Unusable>,
    ) -> Result<bool, DatabaseError> {
        let mut stream = Stream::new(range, scan.direction);
        if scan.is_lookup && stream.range == scan.range {
            self.look_up(&mut stream)?;
        }
        let outcome = loop {
            match self.scan_step(scan.place(), &mut stream) {
                Ok(None) => break Ok(true),
                Ok(Some((key, document))) => match visit(&self.usage, &key, document) {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => break Ok(false),
                    Err(error) => break Err(self.unusable(error)),
                },
                Err(error) => break Err(error),
            }
        };
        let is_exhausted = outcome.as_ref().is_ok_and(|is_exhausted| *is_exhausted);
        self.record(stream.walked(is_exhausted))?;
        outcome
    }

    pub(super) fn scan_step(
        &mut self,
        place: Place,
        stream: &mut Stream,
    ) -> Result<Option<(Bytes, StoredDocument)>, DatabaseError> {
        self.check_time()?;
        let Some((key, value)) = self.next_entry(stream)? else {
            return Ok(None);
        };
        let id = self.id_of_entry(&key)?;
        let stored = match place.is_by_id {
            true => value,
            false => self.document_behind(place, &key, id)?,
        };
        let document = self.charged(DocumentId::new(place.table, id), stored)?;
        Ok(Some((key, document)))
    }

    fn document_behind(
        &mut self,
        place: Place,
        key: &Bytes,
        id: InternalId,
    ) -> Result<Bytes, DatabaseError> {
        let stored = self.entry(&document_key(place.by_id, id))?;
        stored.ok_or_else(|| {
            self.break_with(StorageError::misplaced(
                key,
                "an index entry leads to no document",
            ))
        })
    }

    /// The id that an index entry's key ends in.
    pub(super) fn id_of_entry(&mut self, key: &Bytes) -> Result<InternalId, DatabaseError> {
        keys::id_of_entry(key).ok_or_else(|| {
            self.break_with(StorageError::misplaced(key, "an index entry is too short"))
        })
    }

    /// The number of documents in a table; `None` when it does not exist. Reads no document, and depends on all of
    /// them.
    pub fn count_table(&mut self, table: &str) -> Result<usize, DatabaseError> {
        let catalog = self.catalog();
        let Some(table) = catalog.table(table) else {
            self.record_catalog()?;
            return Ok(0);
        };
        let range = table.by_creation_time.range();
        self.record(range.clone())?;
        let mut stream = Stream::new(range, Direction::Forward);
        let mut count = 0;
        while self.next_entry(&mut stream)?.is_some() {
            self.check_time()?;
            count += 1;
        }
        Ok(count)
    }

    /// At most `max` entries of a range that holds no documents, in the direction. Not charged to the function, and not
    /// in its read set.
    pub fn scan_system(
        &mut self,
        range: KeyRange,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, DatabaseError> {
        let mut stream = Stream::new(range, direction);
        let mut entries = Vec::new();
        while entries.len() < max {
            match self.next_entry(&mut stream)? {
                Some(entry) => entries.push(entry),
                None => break,
            }
        }
        Ok(entries)
    }

    /// Reads all of a stream that is one group of index keys at once, where that is quick.
    pub(super) fn look_up(&mut self, stream: &mut Stream) -> Result<(), DatabaseError> {
        if self.is_bulk {
            return Ok(());
        }
        let group = self.guard(|view| view.group(&stream.range.start))?;
        stream.group = group.map(|group| {
            let mut entries = group.to_vec();
            if stream.direction == Direction::Reverse {
                entries.reverse();
            }
            entries.into_iter()
        });
        Ok(())
    }

    /// The next entry of a stream.
    pub(super) fn next_entry(
        &mut self,
        stream: &mut Stream,
    ) -> Result<Option<(Bytes, Bytes)>, DatabaseError> {
        loop {
            if stream.ahead.is_none() {
                stream.ahead = Some(match &mut stream.group {
                    Some(group) => group.next(),
                    None => self.guard(|view| view.next(&mut stream.cursor))?,
                });
            }
            let stored = stream.ahead.as_ref().and_then(Option::as_ref);
            let own = match self.writes.is_empty() {
                true => None,
                false => stream.next_own(&self.writes),
            };
            let Some((key, value)) = own.filter(|(own, _)| stream.precedes(own, stored)) else {
                let Some(Entry { key, value }) = stream.ahead.take().flatten() else {
                    // The end stays known: a stream may be asked again.
                    stream.ahead = Some(None);
                    return Ok(None);
                };
                stream.position = Some(key.clone());
                return Ok(Some((key, value)));
            };
            let (key, value) = (key.clone(), value.clone());
            if stored.is_some_and(|stored| stored.key == key) {
                stream.ahead = None;
            }
            stream.position = Some(key.clone());
            if let Some(value) = value {
                return Ok(Some((key, value)));
            }
        }
    }
}

/// Room for the keys of most look-ups.
const KEY_BUFFER_BYTES: usize = 64;

/// All entries of a look-up, in ascending order of their keys.
struct Group {
    place: Place,
    entries: Arc<[Entry]>,
}

/// A position in a range, over the snapshot and the transaction's own writes.
pub(super) struct Stream {
    range: KeyRange,
    direction: Direction,
    cursor: Cursor,
    /// The snapshot's entries that are left, when all of them were read at once.
    group: Option<std::vec::IntoIter<Entry>>,
    /// The snapshot's next entry when it was already fetched; `Some(None)` is the end.
    ahead: Option<Option<Entry>>,
    /// The last key that was passed.
    position: Option<Bytes>,
    /// The last key that [`Self::walked`] has told of.
    told: Option<Bytes>,
}

impl Stream {
    pub fn new(range: KeyRange, direction: Direction) -> Stream {
        Stream {
            cursor: Cursor::new(range.clone(), direction),
            range,
            direction,
            group: None,
            ahead: None,
            position: None,
            told: None,
        }
    }

    /// The next of the transaction's own writes in this range.
    fn next_own<'w>(&self, writes: &'w OwnWrites) -> Option<(&'w Bytes, &'w Option<Bytes>)> {
        if self.range.is_empty() {
            return None;
        }
        let start = Bound::Included(&self.range.start);
        let end = match &self.range.end {
            Some(end) => Bound::Excluded(end),
            None => Bound::Unbounded,
        };
        let passed = self.position.as_ref().map(Bound::Excluded);
        match self.direction {
            Direction::Forward => writes.range((passed.unwrap_or(start), end)).next(),
            Direction::Reverse => writes.range((start, passed.unwrap_or(end))).next_back(),
        }
    }

    /// Whether an own write comes before the snapshot's next entry, or in its place.
    fn precedes(&self, own: &Bytes, stored: Option<&Entry>) -> bool {
        stored.is_none_or(|stored| match self.direction {
            Direction::Forward => *own <= stored.key,
            Direction::Reverse => *own >= stored.key,
        })
    }

    /// The part of the range that was passed since the last call, the last key included. At the end of the range, the
    /// whole rest of it.
    pub fn walked(&mut self, is_exhausted: bool) -> KeyRange {
        let told = std::mem::replace(&mut self.told, self.position.clone());
        let KeyRange { start, end } = self.range.clone();
        let last = self.position.as_ref().filter(|_| !is_exhausted);
        match self.direction {
            Direction::Forward => {
                let start = told.map_or(start, |told| successor(&told));
                match last {
                    Some(last) => KeyRange::new(start, successor(last)),
                    None if is_exhausted => KeyRange { start, end },
                    None => KeyRange::new(start.clone(), start),
                }
            }
            Direction::Reverse => {
                let end = told.or(end);
                match last {
                    Some(last) => KeyRange {
                        start: last.clone(),
                        end,
                    },
                    None if is_exhausted => KeyRange { start, end },
                    None => KeyRange::new(start.clone(), start),
                }
            }
        }
    }
}

/// The operators of a query, with how much each limit still lets through.
pub(super) struct Pipeline<'q> {
    stages: Vec<Stage<'q>>,
}

enum Stage<'q> {
    Filter(Cow<'q, Expression>),
    Limit(usize),
}

pub(super) enum Passed {
    Dropped,
    Through(StoredDocument),
    /// A limit lets nothing behind this document through, which itself passed or not.
    Last(Option<StoredDocument>),
}

impl<'q> Pipeline<'q> {
    /// `None` when a limit of zero lets nothing through.
    fn new(operators: &'q [Operator], limit: Option<usize>) -> Option<Self> {
        let declared = operators.iter().map(|operator| match operator {
            Operator::Filter(expression) => Stage::Filter(Cow::Borrowed(expression)),
            Operator::Limit(n) => Stage::Limit(*n),
        });
        Pipeline::of(declared.chain(limit.map(Stage::Limit)).collect())
    }

    /// As [`Self::new`], for operators that are to live as long as the pipeline.
    pub fn owned(operators: Vec<Operator>) -> Option<Pipeline<'static>> {
        let stages = operators.into_iter().map(|operator| match operator {
            Operator::Filter(expression) => Stage::Filter(Cow::Owned(expression)),
            Operator::Limit(n) => Stage::Limit(n),
        });
        Pipeline::of(stages.collect())
    }

    fn of(stages: Vec<Stage<'q>>) -> Option<Self> {
        let lets_through = |stage: &Stage<'_>| !matches!(stage, Stage::Limit(0));
        stages
            .iter()
            .all(lets_through)
            .then_some(Pipeline { stages })
    }

    pub fn push(&mut self, document: StoredDocument) -> Result<Passed, Unusable> {
        let mut is_last = false;
        let mut fields = None;
        for stage in &mut self.stages {
            match stage {
                Stage::Filter(expression) => {
                    let fields = match &mut fields {
                        Some(fields) => fields,
                        none => none.insert(document.fields()?),
                    };
                    if !expression.accepts(fields)? {
                        return Ok(match is_last {
                            true => Passed::Last(None),
                            false => Passed::Dropped,
                        });
                    }
                }
                Stage::Limit(left) => {
                    *left -= 1;
                    is_last |= *left == 0;
                }
            }
        }
        Ok(match is_last {
            true => Passed::Last(Some(document)),
            false => Passed::Through(document),
        })
    }
}
