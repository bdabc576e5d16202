//! Queries: read step by step, a page at a time, or counted.

use std::collections::BTreeMap;

use serde_json::json;
use vestibule_schema::value::Value;

use super::args::Args;
use super::commit_ts::encoded;
use super::error::SyscallError;
use super::query_json::parse_query;
use super::tables::{TableKind, shown};
use super::{Syscalls, json_string};
use crate::database::{
    OPERATORS_MAX, PageStatus, PaginationOptions, Query, QueryError, QueryStream, Source,
    StoredDocument,
};
use crate::functions::scheduled::SCHEDULED_FUNCTIONS;

/// The queries that a function is reading.
#[derive(Default)]
pub(super) struct Streams {
    /// `None` for a table that functions do not know, which holds nothing.
    open: BTreeMap<u32, Option<(QueryStream, Table)>>,
    last: u32,
}

/// Queries that one function may have open.
pub const OPEN_QUERIES_MAX: usize = 16_384;

impl Streams {
    fn add(&mut self, stream: Option<(QueryStream, Table)>) -> Result<u32, SyscallError> {
        if self.open.len() >= OPEN_QUERIES_MAX {
            return Err(SyscallError::bad_request(format!(
                "Too many queries are open at once (limit: {OPEN_QUERIES_MAX})"
            )));
        }
        let id = self.last;
        self.last += 1;
        self.open.insert(id, stream);
        Ok(id)
    }
}

impl Syscalls<'_, '_> {
    pub(super) fn query_stream(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("queryStream", text)?;
        let stream = match self.visible_query(&args)? {
            Some((query, table)) => Some((self.tx.open_stream(query)?, table)),
            None => None,
        };
        let id = self.state.streams.add(stream)?;
        Ok(format!("{{\"queryId\":{id}}}"))
    }

    pub(super) fn query_stream_next(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("queryStreamNext", text)?;
        let id = query_id(&args)?;
        let stream = self.state.streams.open.get_mut(&id);
        let stream = stream.ok_or_else(|| args.refuse("queryId", "no such query is open"))?;
        let next = match stream {
            Some((stream, table)) => self.tx.stream_next(stream)?.map(|next| (next, *table)),
            None => None,
        };
        Ok(match next {
            Some((document, table)) => {
                let document = self.encoded(table, &document)?;
                format!("{{\"value\":{document},\"done\":false}}")
            }
            None => "{\"value\":null,\"done\":true}".to_string(),
        })
    }

    fn encoded(&mut self, table: Table, document: &StoredDocument) -> Result<String, SyscallError> {
        let fields = shown(table, self.tx.decode(document)?.fields);
        Ok(encoded(fields, self.tx.commit_ts_places(document.id())))
    }

    pub(super) fn query_cleanup(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("queryCleanup", text)?;
        let id = query_id(&args)?;
        let existed = self.state.streams.open.remove(&id).is_some();
        Ok(existed.to_string())
    }

    pub(super) fn query_page(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("queryPage", text)?;
        let options = PaginationOptions {
            num_items: args.number("pageSize")?,
            cursor: args.optional_text("cursor")?,
            end_cursor: args.optional_text("endCursor")?,
            id: None,
            maximum_rows_read: args.optional_number("maximumRowsRead")?,
            maximum_bytes_read: args.optional_number("maximumBytesRead")?,
        };
        for (name, number) in [
            ("pageSize", Some(options.num_items)),
            ("maximumRowsRead", options.maximum_rows_read),
            ("maximumBytesRead", options.maximum_bytes_read),
        ] {
            if number.is_some_and(|number| number.fract() != 0.0) {
                return Err(args.refuse(name, "expected an integer"));
            }
        }
        // To functions there is no such table: it is as empty as one that does not exist.
        let query = self.visible_query(&args)?;
        let (query, table) = query.unwrap_or_else(|| (Query::table(NO_TABLE), USER_TABLE));
        let page = self
            .tx
            .paginate(&query, &options, &mut self.state.borders)?;
        let mut documents = Vec::with_capacity(page.page.len());
        for document in &page.page {
            documents.push(self.encoded(table, document)?);
        }
        Ok(format!(
            "{{\"page\":[{}],\"isDone\":{},\"continueCursor\":{},\"splitCursor\":{},\"pageStatus\":{}}}",
            documents.join(","),
            page.is_done,
            json_string(&page.continue_cursor),
            json!(page.split_cursor),
            json!(page.page_status.map(PageStatus::as_str)),
        ))
    }

    pub(super) fn count(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("db.count", text)?;
        let table = args.text("table")?;
        let count = match TableKind::named(&table) {
            TableKind::Hidden => 0,
            TableKind::User | TableKind::PublicSystem => match self.own_only(&table) {
                None => {
                    let stored = self.stored_name(&table);
                    self.tx.count_table(&stored)?
                }
                Some(own) => {
                    let mut query = Query::table(table);
                    query.operators.push(own);
                    self.tx.collect(&query)?.len()
                }
            },
        };
        Ok(Value::Float64(count as f64).to_json().to_string())
    }

    /// The query of an operation; `None` for all of a table that functions do not know.
    fn visible_query(&mut self, args: &Args<'_>) -> Result<Option<(Query, Table)>, SyscallError> {
        let query = parse_query(args)?;
        if query.operators.len() > OPERATORS_MAX {
            return Err(QueryError::TooManyOperators(query.operators.len()).into());
        }
        let kind = TableKind::named(&query.table);
        let index = match &query.source {
            Source::FullTableScan => None,
            Source::IndexRange { index, .. } => Some(index),
            // The server's own tables have no words to search.
            Source::Search { index, .. } if kind != TableKind::User => {
                return Err(unknown_index(&query.table, index));
            }
            Source::Search { .. } => return Ok(Some(self.stored_query(query))),
        };
        let is_automatic = index.is_none_or(|index| AUTOMATIC_INDEXES.contains(&&**index));
        match (kind, index) {
            (TableKind::Hidden, None) => Ok(None),
            (TableKind::Hidden, Some(index)) => Err(unknown_index(&query.table, index)),
            (TableKind::PublicSystem, Some(index)) if !is_automatic => {
                Err(unknown_index(&query.table, index))
            }
            (TableKind::PublicSystem | TableKind::User, _) => Ok(Some(self.stored_query(query))),
        }
    }

    /// The query by the stored name of its table.
    fn stored_query(&self, mut query: Query) -> (Query, Table) {
        match self.own_only(&query.table) {
            Some(own) => {
                query.operators.insert(0, own);
                (query, SCHEDULED_FUNCTIONS)
            }
            None => {
                if !self.component().is_root() {
                    query.table = self.stored_name(&query.table).into_owned().into();
                }
                (query, USER_TABLE)
            }
        }
    }
}

/// A table of the server's own whose documents are shown in part, or any other.
type Table = &'static str;

/// Any other table.
const USER_TABLE: Table = "";

/// No table has this name.
const NO_TABLE: &str = "";

/// Indexes that every table has.
const AUTOMATIC_INDEXES: [&str; 2] = ["by_id", "by_creation_time"];

fn unknown_index(table: &str, index: &str) -> SyscallError {
    QueryError::UnknownIndex {
        table: table.to_string(),
        index: index.to_string(),
    }
    .into()
}

fn query_id(args: &Args<'_>) -> Result<u32, SyscallError> {
    let number = args.number("queryId")?;
    let is_id = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
    match is_id {
        true => Ok(number as u32),
        false => Err(args.refuse("queryId", "expected the id of a query")),
    }
}
