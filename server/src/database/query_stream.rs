//! Queries that are read one document at a time, with other reads and writes of the transaction in between.

use super::error::DatabaseError;
use super::query::{Compiled, Place, Query};
use super::scan::{Passed, Pipeline, Stream};
use super::search::Hits;
use super::stored::StoredDocument;
use super::transaction::Transaction;

/// A query that is being read.
///
/// It borrows nothing. The snapshot stays as it is; of the transaction's own writes it sees those ahead of its place,
/// as they are when it gets there. A text search sees those made before its first document was asked for. Only passed
/// entries are charged and in the read set.
pub struct QueryStream {
    /// `None` when nothing more can come.
    open: Option<Open>,
}

struct Open {
    from: Origin,
    pipeline: Pipeline<'static>,
}

/// The source of a stream's documents.
#[expect(
    clippy::large_enum_variant,
    reason = "most queries read a range, and none of them should pay for a box"
)]
enum Origin {
    Range {
        place: Place,
        stream: Stream,
        /// Whether the range is one group of keys that can be had at once, and was not asked for yet.
        is_lookup: bool,
    },
    Search(Box<Hits>),
}

impl Transaction<'_> {
    /// Opens a query. A range that its index does not allow is refused here; nothing is read yet.
    pub fn open_stream(&mut self, query: Query) -> Result<QueryStream, DatabaseError> {
        let catalog = self.catalog();
        let Some(compiled) = self.compiled(&query, &catalog)? else {
            return Ok(QueryStream { open: None });
        };
        let from = match compiled {
            Compiled::Scan(scan) => Origin::Range {
                place: scan.place(),
                is_lookup: scan.is_lookup,
                stream: Stream::new(scan.range, scan.direction),
            },
            Compiled::Search(search) => Origin::Search(Box::new(Hits::new(search))),
        };
        let pipeline = Pipeline::owned(query.operators);
        let open = pipeline.map(|pipeline| Open { from, pipeline });
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
        if let Origin::Range { stream, .. } = &mut open.from {
            let is_exhausted = matches!(advanced, Ok(Advanced::Exhausted));
            self.record(stream.walked(is_exhausted))?;
        }
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
        while let Some(document) = self.next_from(&mut open.from)? {
            match open.pipeline.push(document) {
                Ok(Passed::Dropped) => {}
                Ok(Passed::Through(document)) => return Ok(Advanced::To(document)),
                Ok(Passed::Last(document)) => return Ok(Advanced::ToLast(document)),
                Err(error) => return Err(self.unusable(error)),
            }
        }
        Ok(Advanced::Exhausted)
    }

    fn next_from(&mut self, from: &mut Origin) -> Result<Option<StoredDocument>, DatabaseError> {
        match from {
            Origin::Range {
                place,
                stream,
                is_lookup,
            } => {
                if std::mem::take(is_lookup) {
                    self.look_up(stream)?;
                }
                let step = self.scan_step(*place, stream)?;
                Ok(step.map(|(_, document)| document))
            }
            Origin::Search(hits) => Ok(self.next_hit(hits)?.map(|(_, document)| document)),
        }
    }
}

enum Advanced {
    To(StoredDocument),
    /// A limit lets nothing behind it through.
    ToLast(Option<StoredDocument>),
    Exhausted,
}
