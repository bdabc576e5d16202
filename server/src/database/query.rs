//! Queries over one table, and how their range compiles to a key range.

use std::sync::Arc;

use bytes::Bytes;
use vestibule_schema::key::encode_key;
use vestibule_schema::path::FieldPath;
use vestibule_schema::value::Value;

use super::catalog::{BY_CREATION_TIME, BY_ID, Catalog, TableMeta};
use super::error::QueryError;
use super::filter::Expression;
use super::keys::IndexId;
use crate::storage::{Direction, KeyRange};

/// A query before it runs: where it reads, in which order, and what happens to each document.
#[derive(Clone, Debug)]
pub struct Query {
    /// The table's name.
    pub table: String,
    /// What is scanned.
    pub source: Source,
    /// The order of the scan.
    pub order: Order,
    /// Applied in this order to each scanned document.
    pub operators: Vec<Operator>,
}

/// What a query scans.
#[derive(Clone, Debug)]
pub enum Source {
    /// The whole table by creation time.
    FullTableScan,
    /// A range of an index.
    IndexRange { index: String, bounds: Vec<Bound> },
}

/// One comparison of an index range. `None` is `undefined`, the value of a missing field.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The comparison.
    pub kind: BoundKind,
    /// The indexed field.
    pub field: FieldPath,
    /// The value compared with.
    pub value: Option<Value>,
}

/// How a bound limits its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundKind {
    Eq,
    Gt,
    Gte,
    Lt,
    Lte,
}

/// Ascending or descending, over the whole index key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Asc,
    Desc,
}

impl Order {
    pub(super) fn direction(self) -> Direction {
        match self {
            Order::Asc => Direction::Forward,
            Order::Desc => Direction::Reverse,
        }
    }
}

/// A step that each scanned document passes.
#[derive(Clone, Debug)]
pub enum Operator {
    /// Only documents that it accepts go on.
    Filter(Expression),
    /// No more than this many go on.
    Limit(usize),
}

/// Operators of one query at the most.
pub const OPERATORS_MAX: usize = 256;

impl Query {
    /// The whole table in ascending creation time.
    pub fn table(table: impl Into<String>) -> Query {
        Query { table: table.into(), source: Source::FullTableScan, order: Order::Asc, operators: Vec::new() }
    }
}

/// A query whose names have been looked up.
pub(super) struct Scan {
    /// The table that the documents are of.
    pub table: Arc<TableMeta>,
    /// Whether the scanned keys are the documents' own.
    pub is_by_id: bool,
    /// The keys to scan.
    pub range: KeyRange,
    pub direction: Direction,
}

/// Resolves a query. `None` when its table does not exist, which a full scan answers with nothing.
pub(super) fn compile(query: &Query, catalog: &Catalog) -> Result<Option<Scan>, QueryError> {
    if query.operators.len() > OPERATORS_MAX {
        return Err(QueryError::IndexRange(format!("Query has too many operators: {}", query.operators.len())));
    }
    let table = catalog.table(&query.table);
    let direction = query.order.direction();
    match (&query.source, table) {
        (Source::FullTableScan, None) => Ok(None),
        (Source::FullTableScan, Some(table)) => {
            let range = table.by_creation_time.range();
            Ok(Some(Scan { table: table.clone(), is_by_id: false, range, direction }))
        }
        (Source::IndexRange { index, .. }, None) => {
            Err(QueryError::UnknownIndex { table: query.table.clone(), index: index.clone() })
        }
        (Source::IndexRange { index, bounds }, Some(table)) => {
            let index = IndexKeys::find(table, index)?;
            let range = index.range(bounds)?;
            Ok(Some(Scan { table: table.clone(), is_by_id: index.id == table.by_id, range, direction }))
        }
    }
}

/// The parts of an index's keys, in order, by the names a range may use.
struct IndexKeys {
    label: String,
    id: IndexId,
    /// Field names up to and including `_id`.
    fields: Vec<String>,
}

impl IndexKeys {
    fn find(table: &TableMeta, name: &str) -> Result<IndexKeys, QueryError> {
        let label = format!("{}.{name}", table.name);
        let keys = |id, fields: Vec<String>| Ok(IndexKeys { label: label.clone(), id, fields });
        match name {
            BY_ID => return keys(table.by_id, vec!["_id".into()]),
            BY_CREATION_TIME => return keys(table.by_creation_time, vec!["_creationTime".into(), "_id".into()]),
            _ => {}
        }
        let Some(index) = table.index(name) else {
            return Err(QueryError::UnknownIndex { table: table.name.clone(), index: name.to_string() });
        };
        let mut fields: Vec<String> = index.fields.iter().map(|field| field.to_string()).collect();
        fields.extend(["_creationTime".to_string(), "_id".to_string()]);
        keys(index.id, fields)
    }

    /// Equalities on a prefix of the fields, then at most one lower and one upper bound on the next field.
    fn range(&self, bounds: &[Bound]) -> Result<KeyRange, QueryError> {
        let Sorted { equalities, lower, upper } = self.sort(bounds)?;
        let mut prefix = self.id.0.to_be_bytes().to_vec();
        for bound in &equalities {
            self.push_component(&mut prefix, bound)?;
        }
        let mut range = KeyRange::prefix(prefix.clone());
        if let Some(bound) = lower {
            let mut key = prefix.clone();
            self.push_component(&mut key, bound)?;
            range.start = match bound.kind {
                BoundKind::Gt => after_prefix(&key),
                _ => key.into(),
            };
        }
        if let Some(bound) = upper {
            let mut key = prefix;
            self.push_component(&mut key, bound)?;
            range.end = Some(match bound.kind {
                BoundKind::Lte => after_prefix(&key),
                _ => key.into(),
            });
        }
        Ok(range)
    }

    fn sort<'b>(&self, bounds: &'b [Bound]) -> Result<Sorted<'b>, QueryError> {
        let mut sorted = Sorted::default();
        for bound in bounds {
            self.position(&bound.field)?;
            match bound.kind {
                BoundKind::Eq => {
                    if sorted.equalities.iter().any(|other| other.field == bound.field) {
                        return Err(already("equality", bound, "=="));
                    }
                    sorted.equalities.push(bound);
                }
                BoundKind::Gt | BoundKind::Gte => set_once(&mut sorted.lower, bound, "lower")?,
                BoundKind::Lt | BoundKind::Lte => set_once(&mut sorted.upper, bound, "upper")?,
            }
        }
        if let (Some(lower), Some(upper)) = (sorted.lower, sorted.upper) {
            if lower.field != upper.field {
                return Err(QueryError::IndexRange(format!(
                    "Upper and lower bounds in `range` can only be applied to a single index field. This query \
                     against index {} attempted to set a lower bound on \"{}\" and an upper bound on \"{}\". {HELP}",
                    self.label, lower.field, upper.field
                )));
            }
        }
        sorted.equalities.sort_by_key(|bound| self.position(&bound.field).unwrap_or(usize::MAX));
        self.require_prefix(&sorted)?;
        Ok(sorted)
    }

    fn position(&self, field: &FieldPath) -> Result<usize, QueryError> {
        let name = field.to_string();
        self.fields.iter().position(|indexed| *indexed == name).ok_or_else(|| {
            let fields: Vec<&String> = self.fields.iter().filter(|field| *field != "_id").collect();
            QueryError::IndexRange(format!(
                "The index range included a comparison with \"{name}\", but {} with fields {fields:?} doesn't index \
                 this field. {HELP}",
                self.label
            ))
        })
    }

    fn require_prefix(&self, sorted: &Sorted<'_>) -> Result<(), QueryError> {
        let inequality = sorted.lower.or(sorted.upper);
        let used: Vec<String> =
            sorted.equalities.iter().copied().chain(inequality).map(|bound| bound.field.to_string()).collect();
        match used.iter().zip(&self.fields).find(|(used, indexed)| used != indexed) {
            None => Ok(()),
            Some((wrong, _)) => Err(QueryError::IndexRange(format!(
                "Tried to query index {} but the query didn't use the index fields in order.\nIndex fields: {:?}\n\
                 Query fields: {used:?}\nFirst incorrect field: {wrong:?}\n{HELP}",
                self.label, self.fields
            ))),
        }
    }

    /// Appends a bound's value as it stands in keys: an `_id` as its raw bytes, everything else encoded.
    fn push_component(&self, key: &mut Vec<u8>, bound: &Bound) -> Result<(), QueryError> {
        if bound.field.to_string() != "_id" {
            encode_key(key, bound.value.as_ref());
            return Ok(());
        }
        let id = bound.value.as_ref().and_then(Value::as_str).and_then(|text| text.parse().ok());
        let id: vestibule_schema::id::DocumentId = id.ok_or_else(|| {
            QueryError::IndexRange(format!("The index range of {} compares `_id` with a value that is not an id.", self.label))
        })?;
        key.extend_from_slice(&id.internal().0);
        Ok(())
    }
}

const HELP: &str = "For more information see https://docs.convex.dev/using/indexes.";

#[derive(Default)]
struct Sorted<'b> {
    equalities: Vec<&'b Bound>,
    lower: Option<&'b Bound>,
    upper: Option<&'b Bound>,
}

fn set_once<'b>(slot: &mut Option<&'b Bound>, bound: &'b Bound, word: &str) -> Result<(), QueryError> {
    if slot.is_some() {
        let sign = match bound.kind {
            BoundKind::Eq => "==",
            BoundKind::Gt => ">",
            BoundKind::Gte => ">=",
            BoundKind::Lt => "<",
            BoundKind::Lte => "<=",
        };
        return Err(already(word, bound, sign));
    }
    *slot = Some(bound);
    Ok(())
}

fn already(word: &str, bound: &Bound, sign: &str) -> QueryError {
    let value = bound.value.as_ref().map_or("undefined".to_string(), Value::to_string);
    QueryError::IndexRange(format!(
        "Already defined {word} bound in index range. Can't add \"{}\" {sign} {value}.",
        bound.field
    ))
}

/// The first key behind every key that starts with `prefix`.
fn after_prefix(prefix: &[u8]) -> Bytes {
    KeyRange::prefix(prefix.to_vec()).end.expect("an index id below u32::MAX precedes every key, so a successor exists")
}
