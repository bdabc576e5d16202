//! The rules of a text search, and what it looks for where.

use std::borrow::Cow;

use vestibule_schema::id::TableNumber;
use vestibule_schema::key::{encode_key, encoded_at};
use vestibule_schema::path::FieldPath;
use vestibule_schema::table::IndexMethod;
use vestibule_schema::value::Value;

use super::super::catalog::{Catalog, IndexMeta};
use super::super::derived::FilterValue;
use super::super::error::QueryError;
use super::super::keys::IndexId;
use super::super::query::find_index;
use super::super::read_set::Mark;
use super::super::stored::{StoredDocument, Unusable, damaged};
use super::matching::POSTINGS_READ_MAX;
use super::postings::{list, mark};
use super::tokens::tokens;

/// Words of a search that count, the first ones.
pub const QUERY_TERMS_MAX: usize = 16;
/// Conditions that one search filters by.
pub const SEARCH_FILTERS_MAX: usize = 8;

/// One condition of a text search. `None` is `undefined`, the value of a missing field.
#[derive(Clone, Debug)]
pub enum SearchFilter {
    /// The field contains a word of the text.
    Search {
        /// The index's search field.
        field: Cow<'static, str>,
        /// The words. The last one may be the beginning of a word.
        text: String,
    },
    /// The field equals the value.
    Eq {
        /// One of the index's filter fields.
        field: Cow<'static, str>,
        /// The value compared with.
        value: Option<Value>,
    },
}

/// A text search whose names have been looked up.
pub(in super::super) struct Search {
    /// The table that the documents are of.
    pub table: TableNumber,
    /// Where its documents are.
    pub by_id: IndexId,
    /// The fields of the index.
    pub fields: Vec<FieldPath>,
    /// Distinct words, in their order.
    pub terms: Vec<String>,
    /// The beginning that the last word may be.
    pub prefix: Option<String>,
    /// The lists that have all documents to be found. Each word is read in one of them.
    pub lists: Vec<List>,
    /// Postings that it reads.
    pub postings_max: usize,
    conditions: Vec<Condition>,
}

/// A list of postings, and what those of wanted documents have there.
pub(in super::super) struct List {
    /// The beginning of its keys.
    pub prefix: Vec<u8>,
    /// The values that keys must hold: those that the list is not for.
    pub marks: Vec<Mark>,
}

struct Condition {
    path: FieldPath,
    /// As the value is encoded in documents; `None` where it must be missing.
    encoded: Option<Vec<u8>>,
}

/// Resolves a search.
pub(in super::super) fn compile(
    table: &str,
    index: &str,
    filters: &[SearchFilter],
    catalog: &Catalog,
) -> Result<Search, QueryError> {
    let is_search = |method| match method {
        IndexMethod::Search => true,
        IndexMethod::Order | IndexMethod::Vector { .. } => false,
    };
    let (table, index) = find_index(catalog, table, index, "search", is_search)?;
    let label = format!("{}.{}", table.name, index.name);
    let (content, filter_fields) = index.content_and_filters();
    let text = searched_text(&label, content, filters)?;
    let equalities = equalities(&label, filter_fields, filters)?;
    let (terms, prefix) = query_terms(text);
    let conditions = equalities.iter().map(|(at, value)| Condition {
        path: filter_fields[*at].clone(),
        encoded: value.map(|value| {
            let mut encoded = Vec::new();
            encode_key(&mut encoded, Some(value));
            encoded
        }),
    });
    Ok(Search {
        table: table.number,
        by_id: table.by_id,
        fields: index.fields.clone(),
        terms,
        prefix,
        lists: lists(index, &equalities),
        postings_max: POSTINGS_READ_MAX,
        conditions: conditions.collect(),
    })
}

/// An equality: the position of its filter field, and the value.
type Equality<'f> = (usize, Option<&'f Value>);

/// The text of the only search filter.
fn searched_text<'f>(
    label: &str,
    content: &FieldPath,
    filters: &'f [SearchFilter],
) -> Result<&'f str, QueryError> {
    let mut searches = filters.iter().filter_map(|filter| match filter {
        SearchFilter::Search { field, text } => Some((field, text)),
        SearchFilter::Eq { .. } => None,
    });
    let Some((field, text)) = searches.next() else {
        return Err(QueryError::Search(format!(
            "Search query against {label} does not contain any search filters. You must include a search filter like \
             `q.search(\"field\", searchText)`."
        )));
    };
    if searches.next().is_some() {
        return Err(QueryError::Search(format!(
            "Search query against {label} contains multiple search filters against \"{field}\". Only one is allowed."
        )));
    }
    if *content != **field {
        return Err(QueryError::Search(format!(
            "Search query against {label} contains a search filter against \"{field}\", which doesn't match the \
             indexed `searchField` \"{content}\"."
        )));
    }
    Ok(text)
}

fn equalities<'f>(
    label: &str,
    filter_fields: &[FieldPath],
    filters: &'f [SearchFilter],
) -> Result<Vec<Equality<'f>>, QueryError> {
    let mut equalities = Vec::new();
    for filter in filters {
        let SearchFilter::Eq { field, value } = filter else {
            continue;
        };
        let at = filter_fields.iter().position(|path| *path == **field);
        let at = at.ok_or_else(|| {
            QueryError::Search(format!(
                "Search query against {label} contains an equality filter on \"{field}\" but that field isn't indexed \
                 for filtering in `filterFields`."
            ))
        })?;
        equalities.push((at, value.as_ref()));
    }
    match equalities.len() > SEARCH_FILTERS_MAX {
        true => Err(QueryError::Search(format!(
            "Search query against {label} has too many filter conditions. Max: {SEARCH_FILTERS_MAX} Actual: {}",
            equalities.len()
        ))),
        false => Ok(equalities),
    }
}

fn query_terms(text: &str) -> (Vec<String>, Option<String>) {
    let mut terms: Vec<String> = Vec::new();
    let mut last = None;
    for term in tokens(text).take(QUERY_TERMS_MAX) {
        if !terms.contains(&term) {
            terms.push(term.clone());
        }
        last = Some(term);
    }
    (terms, last)
}

/// The list of each equality's value, with marks of the other values; without equalities, that of all documents.
fn lists(index: &IndexMeta, equalities: &[Equality<'_>]) -> Vec<List> {
    let (_, filter_fields) = index.content_and_filters();
    let values = equalities.iter();
    let mut values: Vec<(usize, FilterValue)> = values
        .map(|(at, value)| (*at, FilterValue::of(*value)))
        .collect();
    values.sort_unstable();
    values.dedup();
    let marks_beside = |own: &(usize, FilterValue)| {
        let others = values.iter().filter(|other| *other != own);
        others
            .map(|(at, value)| mark(*at, filter_fields.len(), value))
            .collect()
    };
    let of_value = |own: &(usize, FilterValue)| {
        let position = u8::try_from(own.0).expect("an index has sixteen filter fields at the most");
        List {
            prefix: list(index.id, Some((position, &own.1))),
            marks: marks_beside(own),
        }
    };
    match values.is_empty() {
        false => values.iter().map(of_value).collect(),
        true => vec![List {
            prefix: list(index.id, None),
            marks: Vec::new(),
        }],
    }
}

impl Search {
    /// How many fields the index filters by.
    pub fn filter_fields(&self) -> usize {
        self.fields.len() - 1
    }

    /// Whether a document has the values that are filtered by: keys hold only parts of them.
    pub fn accepts(&self, document: &StoredDocument) -> Result<bool, Unusable> {
        for Condition { path, encoded } in &self.conditions {
            let found = encoded_at(document.bytes(), path);
            let found = found.map_err(|_| Unusable::Damaged(damaged(document.id())))?;
            if found != encoded.as_deref() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
