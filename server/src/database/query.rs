//! Queries over one table, and how their range compiles to a key range.

use std::borrow::Cow;

use bytes::Bytes;
use vestibule_schema::id::TableNumber;
use vestibule_schema::key::encode_key;
use vestibule_schema::path::FieldPath;
use vestibule_schema::table::IndexMethod;
use vestibule_schema::value::Value;

use super::catalog::{BY_CREATION_TIME, BY_ID, Catalog, IndexMeta, TableMeta};
use super::error::QueryError;
use super::filter::Expression;
use super::id_bounds::IdPlace;
use super::keys::IndexId;
use super::search::{self, Search, SearchFilter};
use super::writing::ID;
use crate::storage::{Direction, KeyRange};

/// A query before it runs: where it reads, in which order, and what happens to each document.
#[derive(Clone, Debug)]
pub struct Query {
    /// The table's name.
    pub table: Cow<'static, str>,
    /// The table or index that is scanned.
    pub source: Source,
    /// The order of the scan.
    pub order: Order,
    /// Applied in this order to each scanned document.
    pub operators: Vec<Operator>,
}

/// The table or index that a query scans.
#[derive(Clone, Debug)]
pub enum Source {
    /// The whole table by creation time.
    FullTableScan,
    /// A range of an index.
    IndexRange {
        index: Cow<'static, str>,
        bounds: Vec<Bound>,
    },
    /// The documents that match a text, the best first.
    Search {
        /// The search index's name.
        index: Cow<'static, str>,
        /// The searched words, and equalities.
        filters: Vec<SearchFilter>,
    },
}

/// One comparison of an index range. `None` is `undefined`, the value of a missing field.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The comparison.
    pub kind: BoundKind,
    /// The path to the indexed field.
    pub field: Cow<'static, str>,
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
    pub fn table(table: impl Into<Cow<'static, str>>) -> Query {
        Query {
            table: table.into(),
            source: Source::FullTableScan,
            order: Order::Asc,
            operators: Vec::new(),
        }
    }
}

/// A query whose names have been looked up.
pub(super) struct Scan<'c> {
    /// The table that the documents are of.
    pub table: &'c TableMeta,
    /// The index that is scanned.
    pub index: IndexId,
    /// The fields of its keys before `_creationTime`.
    pub fields: &'c [FieldPath],
    /// Whether the scanned keys are the documents' own.
    pub is_by_id: bool,
    /// The keys to scan.
    pub range: KeyRange,
    /// Whether all its keys are equal but for what every index key ends in.
    pub is_lookup: bool,
    pub direction: Direction,
}

impl Scan<'_> {
    pub fn place(&self) -> Place {
        Place {
            table: self.table.number,
            by_id: self.table.by_id,
            is_by_id: self.is_by_id,
        }
    }
}

/// Where the documents behind a scan's keys are.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub table: TableNumber,
    pub by_id: IndexId,
    pub is_by_id: bool,
}

/// A query whose names have been looked up, by the way in which it is read.
pub(super) enum Compiled<'c> {
    /// A range of keys.
    Scan(Scan<'c>),
    /// The ranking of a text search.
    Search(Search),
}

/// Resolves a query. `None` when its table does not exist, which a full scan answers with nothing.
pub(super) fn compile<'c>(
    query: &Query,
    catalog: &'c Catalog,
) -> Result<Option<Compiled<'c>>, QueryError> {
    if query.operators.len() > OPERATORS_MAX {
        return Err(QueryError::TooManyOperators(query.operators.len()));
    }
    let table = catalog.table(&query.table);
    let mut is_lookup = false;
    let (keys, range) = match &query.source {
        Source::FullTableScan => {
            let Some(table) = table else {
                return Ok(None);
            };
            let keys = IndexKeys::find(table, BY_CREATION_TIME)?;
            let range = keys.id.range();
            (keys, range)
        }
        Source::IndexRange { index, bounds } => {
            let table = table.ok_or_else(|| QueryError::UnknownIndex {
                table: query.table.to_string(),
                index: index.to_string(),
            })?;
            let keys = IndexKeys::find(table, index)?;
            let range = keys.range(bounds)?;
            is_lookup = keys.is_lookup(bounds);
            (keys, range)
        }
        Source::Search { .. } if query.order == Order::Desc => {
            let text =
                "Search queries must always be in relevance order. Can not set order manually.";
            return Err(QueryError::Search(text.to_string()));
        }
        Source::Search { index, filters } => {
            let search = search::compile(&query.table, index, filters, catalog)?;
            return Ok(Some(Compiled::Search(search)));
        }
    };
    Ok(Some(Compiled::Scan(Scan {
        table: keys.table,
        index: keys.id,
        fields: keys.fields,
        is_by_id: keys.id == keys.table.by_id,
        is_lookup,
        range,
        direction: query.order.direction(),
    })))
}

/// The table of a query in the plainest form of a look-up. That is an equality on each declared field of an index, in
/// their order, without operators. The beginning of its keys is added to `prefix`. `None` for any other query, also
/// for one that [`compile`] would refuse.
pub(super) fn plain_lookup<'c>(
    query: &Query,
    catalog: &'c Catalog,
    prefix: &mut Vec<u8>,
) -> Option<&'c TableMeta> {
    let Source::IndexRange { index, bounds } = &query.source else {
        return None;
    };
    let table = catalog.table(&query.table)?;
    let index = table.index(index)?;
    let is_plain = query.operators.is_empty()
        && bounds.len() == index.fields.len()
        && !index.is_derived()
        && check_usable(table, index).is_ok();
    if !is_plain {
        return None;
    }
    prefix.extend_from_slice(&index.id.0.to_be_bytes());
    for (bound, field) in bounds.iter().zip(&index.fields) {
        if bound.kind != BoundKind::Eq || bound.field == ID || *field != *bound.field {
            return None;
        }
        encode_key(prefix, bound.value.as_ref());
    }
    Some(table)
}

/// The index of this name, if queries may use it and its method is one that `is_kind` allows.
pub(super) fn find_index<'c>(
    catalog: &'c Catalog,
    table: &str,
    index: &str,
    kind: &'static str,
    is_kind: impl Fn(IndexMethod) -> bool,
) -> Result<(&'c TableMeta, &'c IndexMeta), QueryError> {
    let of_other_kind = || QueryError::IndexOfOtherKind {
        table: table.to_string(),
        index: index.to_string(),
        kind,
    };
    let meta = catalog.table(table);
    if meta.is_some() && matches!(index, BY_ID | BY_CREATION_TIME) {
        return Err(of_other_kind());
    }
    let found = meta.and_then(|table| Some((&**table, table.index(index)?)));
    let Some((table, index)) = found else {
        return Err(QueryError::UnknownIndex {
            table: table.to_string(),
            index: index.to_string(),
        });
    };
    if !is_kind(index.method) {
        return Err(of_other_kind());
    }
    check_usable(table, index)?;
    Ok((table, index))
}

/// Refuses an index that queries may not use yet.
fn check_usable(table: &TableMeta, index: &IndexMeta) -> Result<(), QueryError> {
    if index.is_usable() {
        return Ok(());
    }
    let (table, name) = (table.name.clone(), index.name.clone());
    Err(match index.staged {
        true => QueryError::IndexStaged { table, index: name },
        false => QueryError::IndexBackfilling { table, index: name },
    })
}

/// The parts of an index's keys, in order: declared fields, then what every key of the kind ends in.
struct IndexKeys<'c> {
    table: &'c TableMeta,
    name: &'c str,
    id: IndexId,
    fields: &'c [FieldPath],
    tail: &'static [&'static str],
}

impl<'c> IndexKeys<'c> {
    fn find(table: &'c TableMeta, name: &str) -> Result<Self, QueryError> {
        let keys = |name, id, fields, tail| {
            Ok(IndexKeys {
                table,
                name,
                id,
                fields,
                tail,
            })
        };
        const TAIL: &[&str] = &["_creationTime", "_id"];
        match name {
            BY_ID => keys(BY_ID, table.by_id, &[], &["_id"]),
            BY_CREATION_TIME => keys(BY_CREATION_TIME, table.by_creation_time, &[], TAIL),
            _ => match table.index(name) {
                Some(index) if index.is_derived() => Err(QueryError::IndexOfOtherKind {
                    table: table.name.clone(),
                    index: name.to_string(),
                    kind: "database",
                }),
                Some(index) => {
                    check_usable(table, index)?;
                    keys(&index.name, index.id, &index.fields, TAIL)
                }
                None => Err(QueryError::UnknownIndex {
                    table: table.name.clone(),
                    index: name.to_string(),
                }),
            },
        }
    }

    /// Equalities on a prefix of the fields, then at most one lower and one upper bound on the next field.
    fn range(&self, bounds: &[Bound]) -> Result<KeyRange, QueryError> {
        let Sorted {
            equalities,
            lower,
            upper,
        } = self.sort(bounds)?;
        let mut prefix = Vec::with_capacity(64);
        prefix.extend_from_slice(&self.id.0.to_be_bytes());
        for (_, bound) in &equalities {
            match self.component(bound) {
                Component::Is(bytes) => prefix.extend(bytes),
                // No id is equal to it.
                Component::Between(_) => {
                    let nothing = Bytes::from(prefix);
                    return Ok(KeyRange::new(nothing.clone(), nothing));
                }
            }
        }
        let mut range = KeyRange::prefix(prefix.clone());
        let end = |prefix: &[u8]| KeyRange::prefix(prefix.to_vec()).end;
        let with = |bytes: Vec<u8>| [&prefix[..], &bytes].concat();
        if let Some((_, bound)) = lower {
            range.start = match self.component(bound) {
                Component::Is(bytes) if bound.kind == BoundKind::Gt => after_prefix(&with(bytes)),
                Component::Is(bytes) | Component::Between(Some(bytes)) => with(bytes).into(),
                Component::Between(None) => end(&prefix).unwrap_or(range.start),
            };
        }
        if let Some((_, bound)) = upper {
            range.end = match self.component(bound) {
                Component::Is(bytes) if bound.kind == BoundKind::Lte => {
                    Some(after_prefix(&with(bytes)))
                }
                Component::Is(bytes) | Component::Between(Some(bytes)) => Some(with(bytes).into()),
                Component::Between(None) => range.end,
            };
        }
        Ok(range)
    }

    /// Whether `bounds`, which make a range, are an equality on each declared field and nothing else.
    fn is_lookup(&self, bounds: &[Bound]) -> bool {
        let is_field = |bound: &Bound| self.fields.iter().any(|field| *field == *bound.field);
        let is_declared = |bound: &Bound| bound.kind == BoundKind::Eq && is_field(bound);
        !self.fields.is_empty()
            && bounds.len() == self.fields.len()
            && bounds.iter().all(is_declared)
    }

    fn sort<'b>(&self, bounds: &'b [Bound]) -> Result<Sorted<'b>, QueryError> {
        let mut sorted = Sorted::default();
        for bound in bounds {
            let placed = (self.position(&bound.field)?, bound);
            match bound.kind {
                BoundKind::Eq => {
                    if sorted.equalities.iter().any(|(at, _)| *at == placed.0) {
                        return Err(already("equality", bound));
                    }
                    sorted.equalities.push(placed);
                }
                BoundKind::Gt | BoundKind::Gte => set_once(&mut sorted.lower, placed, "lower")?,
                BoundKind::Lt | BoundKind::Lte => set_once(&mut sorted.upper, placed, "upper")?,
            }
        }
        if let (Some((lower_at, lower)), Some((upper_at, upper))) = (sorted.lower, sorted.upper)
            && lower_at != upper_at
        {
            return Err(QueryError::IndexRange(format!(
                "Upper and lower bounds in `range` can only be applied to a single index field. This query \
                 against index {} attempted to set a lower bound on \"{}\" and an upper bound on \"{}\". {HELP}",
                self.label(),
                lower.field,
                upper.field
            )));
        }
        sorted.equalities.sort_by_key(|(at, _)| *at);
        self.require_prefix(&sorted)?;
        Ok(sorted)
    }

    fn position(&self, field: &str) -> Result<usize, QueryError> {
        let declared = self.fields.iter().position(|indexed| *indexed == *field);
        let found = declared.or_else(|| {
            let at = self.tail.iter().position(|ends_in| *ends_in == field)?;
            Some(self.fields.len() + at)
        });
        found.ok_or_else(|| {
            QueryError::IndexRange(format!(
                "The index range included a comparison with \"{field}\", but {} with fields {:?} doesn't index \
                 this field. {HELP}",
                self.label(),
                self.named_fields()
            ))
        })
    }

    fn require_prefix(&self, sorted: &Sorted<'_>) -> Result<(), QueryError> {
        let inequality = sorted.lower.or(sorted.upper);
        let used = sorted.equalities.iter().copied().chain(inequality);
        let mut wrong = used.clone().enumerate().filter(|(at, used)| *at != used.0);
        let Some((_, (_, wrong))) = wrong.next() else {
            return Ok(());
        };
        let used: Vec<String> = used.map(|(_, bound)| bound.field.to_string()).collect();
        Err(QueryError::IndexRange(format!(
            "Tried to query index {} but the query didn't use the index fields in order.\n\
             Index fields: {:?}\nQuery fields: {used:?}\nFirst incorrect field: {:?}\n{HELP}",
            self.label(),
            self.named_fields(),
            wrong.field.to_string()
        )))
    }

    /// A bound's value as it stands in keys: an `_id` as its raw bytes, everything else encoded.
    fn component(&self, bound: &Bound) -> Component {
        let value = bound.value.as_ref();
        if bound.field != ID {
            let mut bytes = Vec::new();
            encode_key(&mut bytes, value);
            return Component::Is(bytes);
        }
        match IdPlace::of(self.table.number, value) {
            IdPlace::At(id) => Component::Is(id.0.to_vec()),
            IdPlace::Before(id) => Component::Between(Some(id.0.to_vec())),
            IdPlace::Behind => Component::Between(None),
        }
    }

    fn label(&self) -> String {
        format!("{}.{}", self.table.local_name(), self.name)
    }

    /// The fields as error texts list them.
    fn named_fields(&self) -> Vec<String> {
        let declared = self.fields.iter().map(FieldPath::to_string);
        let tail = self.tail.iter().map(|name| name.to_string());
        let hidden = |name: &String| name == "_id" && self.tail.len() > 1;
        declared.chain(tail).filter(|name| !hidden(name)).collect()
    }
}

/// Where a bound's value stands among the values of its field.
enum Component {
    /// It may be one of them.
    Is(Vec<u8>),
    /// It is none of them and comes before this one; behind all of them when there is none.
    Between(Option<Vec<u8>>),
}

const HELP: &str = "For more information see https://docs.convex.dev/using/indexes.";

/// A bound and the position of its field in the index.
type Placed<'b> = (usize, &'b Bound);

#[derive(Default)]
struct Sorted<'b> {
    equalities: Vec<Placed<'b>>,
    lower: Option<Placed<'b>>,
    upper: Option<Placed<'b>>,
}

fn set_once<'b>(
    slot: &mut Option<Placed<'b>>,
    placed: Placed<'b>,
    word: &str,
) -> Result<(), QueryError> {
    match slot.replace(placed) {
        Some(_) => Err(already(word, placed.1)),
        None => Ok(()),
    }
}

fn already(word: &str, bound: &Bound) -> QueryError {
    let sign = match bound.kind {
        BoundKind::Eq => "==",
        BoundKind::Gt => ">",
        BoundKind::Gte => ">=",
        BoundKind::Lt => "<",
        BoundKind::Lte => "<=",
    };
    let value = bound.value.as_ref();
    let value = value.map_or("undefined".to_string(), Value::to_string);
    QueryError::IndexRange(format!(
        "Already defined {word} bound in index range. Can't add \"{}\" {sign} {value}.",
        bound.field
    ))
}

/// The first key behind every key that starts with `prefix`.
fn after_prefix(prefix: &[u8]) -> Bytes {
    KeyRange::prefix(prefix.to_vec())
        .end
        .expect("an index id below u32::MAX precedes every key, so a successor exists")
}
