//! A text search over a typed table.

use serde::Serialize;
use vestibule_schema::convert::to_field;
use vestibule_schema::table::{SearchIndex, Table};

use super::super::error::QueryError;
use super::super::query::Source;
use super::super::search::SearchFilter;
use super::TableQuery;

impl<T: Table> TableQuery<'_, '_, T> {
    /// Reads the documents that match a text, the best first. The last word may be the beginning of one. A search gives 1,024
    /// documents at the most, and has an order of its own.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use vestibule_server::prelude::*;
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Message { channel: String, body: String }
    ///
    /// impl Message {
    ///     const BY_BODY: SearchIndex<Message> = SearchIndex::new("by_body", "body", &["channel"]);
    /// }
    ///
    /// impl Table for Message {
    ///     const NAME: &'static str = "messages";
    ///     const SEARCH_INDEXES: &'static [SearchIndex<Message>] = &[Message::BY_BODY];
    /// }
    ///
    /// fn search(ctx: &mut QueryCtx, (channel, text): (String, String)) -> Result<Vec<Document<Message>>> {
    ///     let messages = ctx.db().query::<Message>();
    ///     let found = messages.with_search_index(Message::BY_BODY, |q| q.search("body", &text).eq("channel", channel));
    ///     Ok(found.take(20)?)
    /// }
    /// # let app = App::new(Schema::new().table::<Message>());
    /// ```
    pub fn with_search_index(
        mut self,
        index: SearchIndex<T>,
        filters: impl FnOnce(SearchFilters) -> SearchFilters,
    ) -> Self {
        let SearchFilters { filters } = filters(SearchFilters {
            filters: Ok(Vec::new()),
        });
        if let Ok(query) = &mut self.query {
            match filters {
                Ok(filters) => {
                    query.source = Source::Search {
                        index: index.name().into(),
                        filters,
                    }
                }
                Err(error) => self.query = Err(error),
            }
        }
        self
    }
}

/// The conditions of a text search.
pub struct SearchFilters {
    filters: Result<Vec<SearchFilter>, QueryError>,
}

impl SearchFilters {
    /// The index's search field contains one of the words of `text`.
    pub fn search(self, field: &str, text: &str) -> Self {
        self.with(Ok(SearchFilter::Search {
            field: field.to_owned().into(),
            text: text.to_owned(),
        }))
    }

    /// A filter field equals `value`; with `None` it is missing.
    pub fn eq(self, field: &str, value: impl Serialize) -> Self {
        let value = to_field(&value).map_err(|error| {
            QueryError::Search(format!("the value compared with \"{field}\": {error}"))
        });
        self.with(value.map(|value| SearchFilter::Eq {
            field: field.to_owned().into(),
            value,
        }))
    }

    fn with(self, filter: Result<SearchFilter, QueryError>) -> Self {
        let filters = self.filters.and_then(|mut filters| {
            filters.push(filter?);
            Ok(filters)
        });
        SearchFilters { filters }
    }
}
