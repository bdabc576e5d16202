//! Reading a query a page at a time, with page borders that stay where they are while documents come and go.

use std::ops::ControlFlow;

use bytes::Bytes;
use serde::Deserialize;

use super::cursor::{CursorSeal, Fingerprint, Position, fingerprint};
use super::error::{DatabaseError, QueryError};
use super::limits::{Limits, Usage};
use super::query::{Operator, Query, Scan, compile};
use super::transaction::{RawDocument, Transaction};
use crate::storage::{Direction, KeyRange, successor};

/// What a client asks of a page: the `paginationOpts` argument.
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
pub struct RawPage {
    /// The documents.
    pub page: Vec<RawDocument>,
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

/// Reads a page of `query`. `journal` is the end of the page when the same query ran before.
pub fn paginate(
    tx: &mut Transaction<'_>,
    query: &Query,
    options: &PaginationOptions,
    journal: Option<&str>,
) -> Result<RawPage, DatabaseError> {
    let seal = tx.seal();
    let bounds = PageBounds::read(seal, fingerprint(query), options, journal, tx.limits())?;
    let mut page = PageReader { bounds: &bounds, query, documents: Vec::new(), scanned: Vec::new(), bytes: 0, cut: false };
    let exhausted = match compile(query, tx.catalog())? {
        Some(scan) => page.fill(tx, &scan)?,
        None => true,
    };
    Ok(page.finish(seal, exhausted))
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
        seal: &CursorSeal,
        fingerprint: Fingerprint,
        options: &PaginationOptions,
        journal: Option<&str>,
        limits: &Limits,
    ) -> Result<PageBounds, QueryError> {
        let open = |text: &str| seal.open(fingerprint, text);
        Ok(PageBounds {
            fingerprint,
            items: items(options.num_items, limits.documents_read_max)?,
            start: options.cursor.as_deref().map(open).transpose()?,
            end: options.end_cursor.as_deref().or(journal).map(open).transpose()?,
            rows_max: maximum(options.maximum_rows_read, limits.documents_read_max)?,
            bytes_max: maximum(options.maximum_bytes_read, limits.bytes_read_max)?,
        })
    }

    /// The part of the scan between the page's borders; `None` when there is nothing to read.
    fn range(&self, scan: &Scan) -> Option<KeyRange> {
        let mut range = scan.range.clone();
        match &self.start {
            Some(Position::End) => return None,
            Some(Position::After(key)) => behind(&mut range, scan.direction, key),
            None => {}
        }
        if let Some(Position::After(key)) = &self.end {
            up_to(&mut range, scan.direction, key);
        }
        (!range.is_empty()).then_some(range)
    }
}

fn items(requested: f64, max: usize) -> Result<usize, QueryError> {
    let refuse = |text: String| Err(QueryError::Pagination(text));
    if requested.is_nan() || requested < 0.0 || requested.fract() != 0.0 {
        return refuse(format!("`options.numItems` must be a positive number. Received `{requested}`."));
    }
    match requested as usize {
        0 => refuse("Must request at least 1 document while paginating".to_string()),
        items if items > max => refuse(format!("Requested too many items: {items}")),
        items => Ok(items),
    }
}

fn maximum(requested: Option<f64>, limit: usize) -> Result<usize, QueryError> {
    match requested {
        None => Ok(limit),
        Some(requested) if requested >= 1.0 => Ok((requested as usize).min(limit)),
        Some(_) => Err(QueryError::Pagination("maximumRowsRead and maximumBytesRead must be greater than 0".into())),
    }
}

fn behind(range: &mut KeyRange, direction: Direction, key: &Bytes) {
    match direction {
        Direction::Forward => range.start = successor(key).max(range.start.clone()),
        Direction::Reverse => range.end = Some(earlier(range.end.take(), key.clone())),
    }
}

fn up_to(range: &mut KeyRange, direction: Direction, key: &Bytes) {
    match direction {
        Direction::Forward => range.end = Some(earlier(range.end.take(), successor(key))),
        Direction::Reverse => range.start = key.clone().max(range.start.clone()),
    }
}

fn earlier(end: Option<Bytes>, other: Bytes) -> Bytes {
    end.map_or(other.clone(), |end| end.min(other))
}

struct PageReader<'p> {
    bounds: &'p PageBounds,
    query: &'p Query,
    documents: Vec<RawDocument>,
    /// The key of every scanned entry: one of them becomes the split position.
    scanned: Vec<Bytes>,
    /// Bytes of the scanned documents.
    bytes: usize,
    /// A limit ended the page before its end.
    cut: bool,
}

impl PageReader<'_> {
    /// Reads the documents; true when everything up to the end of the query or of the page was read.
    fn fill(&mut self, tx: &mut Transaction<'_>, scan: &Scan) -> Result<bool, DatabaseError> {
        let Some(range) = self.bounds.range(scan) else { return Ok(true) };
        let before = tx.usage();
        let outcome = tx.scan_range(scan, range, |usage, key, document| self.take(&before, usage, key, document));
        match outcome {
            Ok(walked) => Ok(walked.exhausted),
            // The execution's own limit ends the page early, as long as there is something to give.
            Err(DatabaseError::Query(QueryError::Limit(_))) if !self.scanned.is_empty() => {
                self.cut = true;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn take(
        &mut self,
        before: &Usage,
        usage: &Usage,
        key: &Bytes,
        document: RawDocument,
    ) -> Result<ControlFlow<()>, DatabaseError> {
        self.scanned.push(key.clone());
        self.bytes = usage.bytes_read - before.bytes_read;
        let passes = self.query.operators.iter().try_fold(true, |passes, operator| match operator {
            Operator::Filter(expression) => Ok(passes && expression.accepts(&document.fields)?),
            Operator::Limit(_) => {
                Err(QueryError::Pagination("A query with a limit cannot be paginated.".to_string()))
            }
        })?;
        if passes {
            self.documents.push(document);
        }
        if self.bounds.end.is_some() {
            return Ok(ControlFlow::Continue(()));
        }
        let rows = usage.documents_read - before.documents_read;
        self.cut = self.documents.len() < self.bounds.items
            && (rows >= self.bounds.rows_max || self.bytes >= self.bounds.bytes_max);
        Ok(match self.cut || self.documents.len() >= self.bounds.items {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }

    fn finish(self, seal: &CursorSeal, exhausted: bool) -> RawPage {
        let end = match (&self.bounds.end, self.scanned.last()) {
            (Some(end), _) => end.clone(),
            (None, Some(last)) if !exhausted => Position::After(last.clone()),
            (None, _) => Position::End,
        };
        let middle = self.scanned.get(self.scanned.len() / 2).filter(|_| self.scanned.len() > 2);
        let seal_position = |position: &Position| seal.seal(self.bounds.fingerprint, position);
        RawPage {
            is_done: end == Position::End,
            continue_cursor: seal_position(&end),
            split_cursor: middle.map(|key| seal_position(&Position::After(key.clone()))),
            page_status: self.status(),
            page: self.documents,
        }
    }

    fn status(&self) -> Option<PageStatus> {
        let is_long = self.scanned.len() > self.bounds.rows_max / 4 * 3
            || self.bytes > self.bounds.bytes_max / 4 * 3
            || self.documents.len() > PAGE_DOCUMENTS_RECOMMENDED_MAX;
        match (self.cut, is_long) {
            (true, _) => Some(PageStatus::SplitRequired),
            (false, true) => Some(PageStatus::SplitRecommended),
            (false, false) => None,
        }
    }
}
