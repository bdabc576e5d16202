//! Reading a query a page at a time, with page borders that stay where they are while documents come and go.

use std::ops::ControlFlow;

use bytes::Bytes;
use serde::Deserialize;

use super::cursor::{CursorSeal, Fingerprint, Position, fingerprint};
use super::error::{DatabaseError, QueryError};
use super::keys::IndexId;
use super::query::{Compiled, Operator, Query, Scan};
use super::search::{Hits, Search};
use super::stored::{StoredDocument, Unusable};
use super::transaction::{RawDocument, Transaction};
use crate::storage::{Direction, KeyRange, successor};

/// A client's request for a page: the `paginationOpts` argument.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaginationOptions {
    /// Documents wanted on a first run; later runs keep the borders instead.
    pub num_items: f64,
    /// Where the page starts; null is the beginning.
    pub cursor: Option<String>,
    /// Where the page ends, when the client knows.
    #[serde(default)]
    pub end_cursor: Option<String>,
    /// Told apart pages of one view from those of another; not looked at.
    #[serde(default)]
    pub id: Option<f64>,
    /// Documents scanned at the most.
    #[serde(default)]
    pub maximum_rows_read: Option<f64>,
    /// Bytes scanned at the most.
    #[serde(default)]
    pub maximum_bytes_read: Option<f64>,
}

/// One page.
#[derive(Clone, Debug, PartialEq)]
pub struct RawPage<D = RawDocument> {
    /// The documents.
    pub page: Vec<D>,
    /// Whether the page ends where the query does.
    pub is_done: bool,
    /// Where the next page starts.
    pub continue_cursor: String,
    /// A position in the middle, for clients that split a page that grew.
    pub split_cursor: Option<String>,
    /// Whether the client should or must split it.
    pub page_status: Option<PageStatus>,
}

/// Why a page should be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStatus {
    /// It came near a limit.
    SplitRecommended,
    /// A limit cut it; what lies between the cut and its end is missing until it is split.
    SplitRequired,
}

impl PageStatus {
    /// As clients read it.
    pub fn as_str(self) -> &'static str {
        match self {
            PageStatus::SplitRecommended => "SplitRecommended",
            PageStatus::SplitRequired => "SplitRequired",
        }
    }
}

/// Documents of one page above which a split is recommended.
const PAGE_DOCUMENTS_RECOMMENDED_MAX: usize = 6_144;

impl<S> RawPage<S> {
    /// The same page with each document turned into something else, up to the first error.
    pub fn try_map<D, E>(self, map: impl FnMut(S) -> Result<D, E>) -> Result<RawPage<D>, E> {
        let RawPage {
            page,
            is_done,
            continue_cursor,
            split_cursor,
            page_status,
        } = self;
        Ok(RawPage {
            page: page.into_iter().map(map).collect::<Result<_, _>>()?,
            is_done,
            continue_cursor,
            split_cursor,
            page_status,
        })
    }
}

/// Where the paginated read of an execution starts from, and what it leaves for the next one.
#[derive(Clone, Debug, Default)]
pub struct PageBorders {
    /// The end of the page when the same query ran before.
    pub previous: Option<String>,
    /// The end of the page now.
    pub next: Option<String>,
    /// A paginated read has run.
    pub used: bool,
    /// `previous` may be that of another query: then it is left alone.
    pub is_inherited: bool,
}

const MULTIPLE_PAGINATED: &str = "This query or mutation function ran multiple paginated queries. Convex only \
                                  supports a single paginated query in each function.";

impl Transaction<'_> {
    /// Reads one page of `query`. An execution may read one; its borders then stay where they are when the query runs
    /// again for a subscriber.
    pub fn paginate(
        &mut self,
        query: &Query,
        options: &PaginationOptions,
        borders: &mut PageBorders,
    ) -> Result<RawPage<StoredDocument>, DatabaseError> {
        if std::mem::replace(&mut borders.used, true) {
            return Err(refuse(MULTIPLE_PAGINATED.to_string()).into());
        }
        let page = match paginate_stored(self, query, options, borders.previous.as_deref()) {
            Err(DatabaseError::Query(QueryError::ForeignCursor)) if borders.is_inherited => {
                paginate_stored(self, query, options, None)?
            }
            page => page?,
        };
        borders.next = Some(page.continue_cursor.clone());
        Ok(page)
    }
}

/// As [`paginate_stored`], with the documents decoded.
#[cfg(test)]
pub fn paginate(
    tx: &mut Transaction<'_>,
    query: &Query,
    options: &PaginationOptions,
    journal: Option<&str>,
) -> Result<RawPage, DatabaseError> {
    let page = paginate_stored(tx, query, options, journal)?;
    page.try_map(|stored| tx.decode(&stored))
}

/// Reads a page of `query`. `journal` is the end of the page when the same query ran before.
fn paginate_stored(
    tx: &mut Transaction<'_>,
    query: &Query,
    options: &PaginationOptions,
    journal: Option<&str>,
) -> Result<RawPage<StoredDocument>, DatabaseError> {
    if query
        .operators
        .iter()
        .any(|operator| matches!(operator, Operator::Limit(_)))
    {
        return Err(refuse("A query with a limit cannot be paginated.".to_string()).into());
    }
    let catalog = tx.catalog();
    let compiled = tx.compiled(query, &catalog)?;
    let fields = match &compiled {
        None => &[][..],
        Some(Compiled::Scan(scan)) => scan.fields,
        Some(Compiled::Search(search)) => &search.fields,
    };
    let fingerprint = fingerprint(query, fields);
    let bounds = PageBounds::read(tx, fingerprint, options, journal)?;
    let mut page = PageReader {
        bounds: &bounds,
        query,
        documents: Vec::new(),
        scanned: Vec::new(),
        bytes: 0,
        is_cut: false,
        is_ranked: matches!(compiled, Some(Compiled::Search(_))),
    };
    let is_exhausted = match compiled {
        Some(Compiled::Scan(scan)) => page.fill(tx, &scan)?,
        Some(Compiled::Search(search)) => page.fill_from(tx, search)?,
        None => true,
    };
    Ok(page.finish(tx.seal(), is_exhausted))
}

struct PageBounds {
    fingerprint: Fingerprint,
    items: usize,
    start: Option<Position>,
    end: Option<Position>,
    rows_max: usize,
    bytes_max: usize,
}

impl PageBounds {
    fn read(
        tx: &Transaction<'_>,
        fingerprint: Fingerprint,
        options: &PaginationOptions,
        journal: Option<&str>,
    ) -> Result<PageBounds, QueryError> {
        let limits = tx.limits();
        // A nested call with less to use gets a shorter page.
        let items_max = tx.environment().limits.documents_read_max;
        let open = |text: &str| tx.seal().open(fingerprint, text);
        Ok(PageBounds {
            fingerprint,
            items: items(options.num_items, items_max)?,
            start: options.cursor.as_deref().map(open).transpose()?,
            end: options
                .end_cursor
                .as_deref()
                .or(journal)
                .map(open)
                .transpose()?,
            rows_max: maximum(options.maximum_rows_read, limits.documents_read_max)?,
            bytes_max: maximum(options.maximum_bytes_read, limits.bytes_read_max)?,
        })
    }

    /// The part of the scan between the page's borders; `None` when there is nothing to read.
    fn range(&self, scan: &Scan<'_>) -> Option<KeyRange> {
        let mut range = scan.range.clone();
        match &self.start {
            Some(Position::End) => return None,
            Some(Position::After(key)) => behind(&mut range, scan.direction, scan.index.key(key)),
            None => {}
        }
        if let Some(Position::After(key)) = &self.end {
            up_to(&mut range, scan.direction, scan.index.key(key));
        }
        (!range.is_empty()).then_some(range)
    }
}

fn refuse(text: String) -> QueryError {
    QueryError::Pagination(text)
}

fn items(requested: f64, max: usize) -> Result<usize, QueryError> {
    if requested.is_nan() || requested < 0.0 || requested.fract() != 0.0 {
        return Err(refuse(format!(
            "`options.numItems` must be a positive number. Received `{requested}`."
        )));
    }
    match requested as usize {
        0 => Err(refuse(
            "Must request at least 1 document while paginating".to_string(),
        )),
        items if items > max => Err(refuse(format!("Requested too many items: {items}"))),
        items => Ok(items),
    }
}

fn maximum(requested: Option<f64>, limit: usize) -> Result<usize, QueryError> {
    match requested {
        None => Ok(limit),
        Some(requested) if requested >= 1.0 => Ok((requested as usize).min(limit)),
        Some(_) => {
            let text = "maximumRowsRead and maximumBytesRead must be greater than 0";
            Err(refuse(text.to_string()))
        }
    }
}

fn behind(range: &mut KeyRange, direction: Direction, key: Bytes) {
    match direction {
        Direction::Forward => raise_start(range, successor(&key)),
        Direction::Reverse => lower_end(range, key),
    }
}

fn up_to(range: &mut KeyRange, direction: Direction, key: Bytes) {
    match direction {
        Direction::Forward => lower_end(range, successor(&key)),
        Direction::Reverse => raise_start(range, key),
    }
}

fn raise_start(range: &mut KeyRange, start: Bytes) {
    if range.start < start {
        range.start = start;
    }
}

fn lower_end(range: &mut KeyRange, end: Bytes) {
    if range.end.as_ref().is_none_or(|old| *old > end) {
        range.end = Some(end);
    }
}

struct PageReader<'p> {
    bounds: &'p PageBounds,
    query: &'p Query,
    documents: Vec<StoredDocument>,
    /// The position of every scanned entry: one of them becomes the split position.
    scanned: Vec<Bytes>,
    /// Bytes of the scanned documents.
    bytes: usize,
    /// A limit ended the page before its end.
    is_cut: bool,
    /// The documents come from a text search. Its pages are not split, and have no maxima of their own.
    is_ranked: bool,
}

impl PageReader<'_> {
    /// Reads the documents; whether everything up to the end of the query or of the page was read.
    fn fill(&mut self, tx: &mut Transaction<'_>, scan: &Scan<'_>) -> Result<bool, DatabaseError> {
        let Some(range) = self.bounds.range(scan) else {
            return Ok(true);
        };
        let bytes_before = tx.usage().bytes_read;
        let outcome = tx.scan_range(scan, range, |usage, key, document| {
            self.bytes = usage.bytes_read - bytes_before;
            // A position in an index outlives the index's rebuilding under another id.
            self.take(key.slice(IndexId::BYTES..), document)
        });
        match outcome {
            // The execution's own limit ends the page early, as long as the page has a document.
            Err(DatabaseError::Query(QueryError::Limit(limit)))
                if limit.is_on_reads() && !self.scanned.is_empty() =>
            {
                self.is_cut = true;
                Ok(false)
            }
            other => other,
        }
    }

    /// As [`Self::fill`], from a text search.
    fn fill_from(
        &mut self,
        tx: &mut Transaction<'_>,
        search: Search,
    ) -> Result<bool, DatabaseError> {
        let (start, end) = (self.bounds.start.as_ref(), self.bounds.end.as_ref());
        let Some(mut hits) = Hits::between(search, start, end)? else {
            return Ok(true);
        };
        tx.scan_hits(&mut hits, |position, document| {
            self.take(position, document)
        })
    }

    fn take(
        &mut self,
        position: Bytes,
        document: StoredDocument,
    ) -> Result<ControlFlow<()>, Unusable> {
        self.scanned.push(position);
        let mut passes = true;
        if !self.query.operators.is_empty() {
            let fields = document.fields()?;
            for operator in &self.query.operators {
                if let Operator::Filter(expression) = operator {
                    passes = passes && expression.accepts(&fields)?;
                }
            }
        }
        if passes {
            self.documents.push(document);
        }
        if self.bounds.end.is_some() {
            return Ok(ControlFlow::Continue(()));
        }
        let is_full = self.documents.len() >= self.bounds.items;
        let is_at_limit = !self.is_ranked
            && (self.scanned.len() >= self.bounds.rows_max || self.bytes >= self.bounds.bytes_max);
        self.is_cut = is_at_limit && !is_full;
        Ok(match is_full || is_at_limit {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }

    fn finish(self, seal: &CursorSeal, is_exhausted: bool) -> RawPage<StoredDocument> {
        let end = match (&self.bounds.end, self.scanned.last()) {
            (Some(end), _) => end.clone(),
            (None, Some(last)) if !is_exhausted => Position::After(last.clone()),
            (None, _) => Position::End,
        };
        let middle = self.scanned.get(self.scanned.len() / 2);
        let middle = middle.filter(|_| self.scanned.len() > 2 && !self.is_ranked);
        let seal_position = |position: &Position| seal.seal(self.bounds.fingerprint, position);
        RawPage {
            is_done: end == Position::End,
            continue_cursor: seal_position(&end),
            split_cursor: middle.map(|middle| seal_position(&Position::After(middle.clone()))),
            page_status: self.status(),
            page: self.documents,
        }
    }

    fn status(&self) -> Option<PageStatus> {
        let nears = |used: usize, max: usize| used * 4 > max * 3;
        let is_long = nears(self.scanned.len(), self.bounds.rows_max)
            || nears(self.bytes, self.bounds.bytes_max)
            || self.documents.len() > PAGE_DOCUMENTS_RECOMMENDED_MAX;
        match (self.is_cut, is_long && !self.is_ranked) {
            (true, _) => Some(PageStatus::SplitRequired),
            (false, true) => Some(PageStatus::SplitRecommended),
            (false, false) => None,
        }
    }
}
