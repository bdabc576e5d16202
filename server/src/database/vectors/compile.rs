//! The rules of a vector search.

use serde::Serialize;
use vestibule_schema::convert::to_field;
use vestibule_schema::path::FieldPath;
use vestibule_schema::table::IndexMethod;
use vestibule_schema::value::Value;

use super::super::catalog::{Catalog, TableMeta};
use super::super::derived::FilterValue;
use super::super::error::QueryError;
use super::super::keys::IndexId;
use super::super::query::find_index;
use super::entries::{list, unit};

/// Documents that one search gives.
pub const VECTOR_RESULTS_MAX: usize = 256;
/// The same where the search does not say.
pub const VECTOR_RESULTS_DEFAULT: usize = 10;
/// Equalities that one search filters by.
pub const VECTOR_FILTERS_MAX: usize = 64;

/// A vector search before it runs.
#[derive(Clone, Debug)]
pub struct VectorQuery {
    /// The table's name.
    pub table: String,
    /// The vector index's name.
    pub index: String,
    /// The vector that others are held against.
    pub vector: Vec<f64>,
    /// Documents at the most; [`VECTOR_RESULTS_DEFAULT`] where it does not say.
    pub limit: Option<f64>,
    /// Which documents take part; all where there is none.
    pub filter: Option<VectorFilter>,
}

/// The documents of which one of some equalities holds.
#[derive(Clone, Debug)]
pub struct VectorFilter {
    equalities: Result<Vec<(String, Option<Value>)>, QueryError>,
}

impl VectorFilter {
    /// Those whose `field` equals `value`; with `None` it is missing.
    pub fn eq(field: &str, value: impl Serialize) -> VectorFilter {
        let value = to_field(&value).map_err(|error| {
            QueryError::VectorSearch(format!("the value compared with \"{field}\": {error}"))
        });
        VectorFilter {
            equalities: value.map(|value| vec![(field.to_owned(), value)]),
        }
    }

    /// Those that this filter or `other` lets pass.
    pub fn or(self, other: VectorFilter) -> VectorFilter {
        let equalities = self
            .equalities
            .and_then(|one| Ok([one, other.equalities?].concat()));
        VectorFilter { equalities }
    }
}

impl FromIterator<(String, Option<Value>)> for VectorFilter {
    fn from_iter<I: IntoIterator<Item = (String, Option<Value>)>>(equalities: I) -> VectorFilter {
        VectorFilter {
            equalities: Ok(equalities.into_iter().collect()),
        }
    }
}

/// A vector search whose names have been looked up.
pub(super) struct Search<'c> {
    /// The table that the documents are of.
    pub table: &'c TableMeta,
    /// The index.
    pub index: IndexId,
    /// The vector that others are held against, of length one.
    pub vector: Vec<f32>,
    /// Documents at the most.
    pub limit: usize,
    /// The lists of the documents that take part; `None` for all.
    pub lists: Option<Vec<Vec<u8>>>,
}

/// Resolves a search. `None` when its table does not exist, which is answered with nothing.
pub(super) fn compile<'c>(
    query: &VectorQuery,
    catalog: &'c Catalog,
) -> Result<Option<Search<'c>>, QueryError> {
    let limit = limit(query.limit)?;
    if catalog.table(&query.table).is_none() {
        return Ok(None);
    }
    let is_vector = |method| match method {
        IndexMethod::Vector { .. } => true,
        IndexMethod::Order | IndexMethod::Search => false,
    };
    let (table, index) = find_index(catalog, &query.table, &query.index, "vector", is_vector)?;
    if let IndexMethod::Vector { dimensions } = index.method
        && dimensions as usize != query.vector.len()
    {
        return Err(QueryError::VectorSearch(format!(
            "Expected a vector with dimensions {dimensions}, received {}.",
            query.vector.len()
        )));
    }
    let label = format!("{}.{}", table.name, index.name);
    let (_, filter_fields) = index.content_and_filters();
    let lists = match &query.filter {
        Some(filter) => Some(lists(&label, index.id, filter_fields, filter)?),
        None => None,
    };
    Ok(Some(Search {
        table,
        index: index.id,
        vector: unit(&query.vector).collect(),
        limit,
        lists,
    }))
}

fn limit(requested: Option<f64>) -> Result<usize, QueryError> {
    let refuse = |text: String| Err(QueryError::VectorSearch(text));
    match requested {
        None => Ok(VECTOR_RESULTS_DEFAULT),
        Some(limit) if limit > VECTOR_RESULTS_MAX as f64 => refuse(format!(
            "Vector queries can fetch at most {VECTOR_RESULTS_MAX} results, requested {limit}."
        )),
        Some(limit) if limit >= 1.0 && limit.fract() == 0.0 => Ok(limit as usize),
        Some(limit) => refuse(format!(
            "The limit of a vector query must be a positive integer, not {limit}."
        )),
    }
}

/// The lists of the equalities, each once.
fn lists(
    label: &str,
    index: IndexId,
    filter_fields: &[FieldPath],
    filter: &VectorFilter,
) -> Result<Vec<Vec<u8>>, QueryError> {
    let equalities = filter.equalities.as_ref().map_err(QueryError::clone)?;
    if equalities.len() > VECTOR_FILTERS_MAX {
        return Err(QueryError::VectorSearch(format!(
            "Vector query against {label} has too many conditions. Max: {VECTOR_FILTERS_MAX} Actual: {}",
            equalities.len()
        )));
    }
    let list_of = |(field, value): &(String, Option<Value>)| {
        let at = (0..).zip(filter_fields).find(|(_, path)| **path == **field);
        let (at, _) = at.ok_or_else(|| {
            QueryError::VectorSearch(format!(
                "Vector query against {label} contains a filter on \"{field}\" but that field isn't indexed for \
                 filtering in `filterFields`."
            ))
        })?;
        Ok(list(index, at, &FilterValue::of(value.as_ref())))
    };
    let lists: Result<Vec<Vec<u8>>, QueryError> = equalities.iter().map(list_of).collect();
    let mut lists = lists?;
    lists.sort_unstable();
    lists.dedup();
    Ok(lists)
}
