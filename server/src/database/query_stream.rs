//! Queries that are read one document at a time, with other reads and writes of the transaction in between.

use super::error::DatabaseError;
use super::query::{Place, Query};
use super::scan::{Passed, Pipeline, Stream};
use super::stored::{StoredDocument, Unusable};
use super::transaction::Transaction;

/// A query that is being read.
///
/// It borrows nothing. The snapshot stays as it is; of the transaction's own writes it sees those ahead of its place,
/// as they are when it gets there. Only passed entries are charged and in the read set.
pub struct QueryStream {
    /// `None` when nothing more can come.
    open: Option<Open>,
}

struct Open {
    place: Place,
    stream: Stream,
    pipeline: Pipeline<'static>,
    /// Whether the range is one group of keys that can be had at once, and was not asked for yet.
    is_lookup: bool,
}

impl Transaction<'_> {
    /// Opens a query. A range that its index does not allow is refused here; nothing is read yet.
    pub fn open_stream(&mut self, query: Query) -> Result<QueryStream, DatabaseError> {
        let catalog = self.catalog();
        let Some(scan) = self.compiled(&query, &catalog)? else {
            return Ok(QueryStream { open: None });
        };
        let (place, is_lookup) = (scan.place(), scan.is_lookup);
        let stream = Stream::new(scan.range, scan.direction);
        let pipeline = Pipeline::owned(query.operators);
        let open = pipeline.map(|pipeline| Open {
            place,
            stream,
            pipeline,
            is_lookup,
        });
        Ok(QueryStream { open })
    }

    /// The next document that passes; `None` at the end, however often it is asked.
    pub fn stream_next(
        &mut self,
        stream: &mut QueryStream,
    ) -> Result<Option<StoredDocument>, DatabaseError> {
        let Some(open) = &mut stream.open else {
            return Ok(None);
        };
        let advanced = self.advance(open);
        let is_exhausted = matches!(advanced, Ok(Advanced::Exhausted));
        self.record(open.stream.walked(is_exhausted))?;
        Ok(match advanced? {
            Advanced::To(document) => Some(document),
            Advanced::ToLast(document) => {
                stream.open = None;
                document
            }
            Advanced::Exhausted => {
                stream.open = None;
                None
            }
        })
    }

    fn advance(&mut self, open: &mut Open) -> Result<Advanced, DatabaseError> {
        if std::mem::take(&mut open.is_lookup) {
            self.look_up(&mut open.stream)?;
        }
        while let Some((_, document)) = self.scan_step(open.place, &mut open.stream)? {
            match open.pipeline.push(document) {
                Ok(Passed::Dropped) => {}
                Ok(Passed::Through(document)) => return Ok(Advanced::To(document)),
                Ok(Passed::Last(document)) => return Ok(Advanced::ToLast(document)),
                Err(Unusable::Query(error)) => return Err(error.into()),
                Err(Unusable::Damaged(error)) => return Err(self.break_with(error)),
            }
        }
        Ok(Advanced::Exhausted)
    }
}

enum Advanced {
    To(StoredDocument),
    /// A limit lets nothing behind it through.
    ToLast(Option<StoredDocument>),
    Exhausted,
}
