//! The documents of a text search, one after another.

use std::ops::Bound;

use bytes::Bytes;
use vestibule_schema::id::DocumentId;

use super::super::cursor::Position;
use super::super::error::{DatabaseError, QueryError};
use super::super::stored::StoredDocument;
use super::super::transaction::Transaction;
use super::compile::Search;
use super::matching::{RANK_BYTES, Rank, best};

/// Documents that one search gives.
pub const SEARCH_RESULTS_MAX: usize = 1_024;

/// A search that is being read. The documents are found when the first is asked for.
pub(in super::super) struct Hits {
    search: Search,
    between: (Bound<Rank>, Bound<Rank>),
    /// `None` before the first was asked for.
    ranks: Option<std::vec::IntoIter<Rank>>,
    given: usize,
}

impl Hits {
    /// All documents of a search.
    pub fn new(search: Search) -> Hits {
        Hits {
            search,
            between: (Bound::Unbounded, Bound::Unbounded),
            ranks: None,
            given: 0,
        }
    }

    /// Those of a page: behind `start` and up to `end`. `None` for a page behind the last document.
    pub fn between(
        search: Search,
        start: Option<&Position>,
        end: Option<&Position>,
    ) -> Result<Option<Hits>, QueryError> {
        let after = match start {
            None => Bound::Unbounded,
            Some(Position::After(rank)) => Bound::Excluded(rank_at(rank)?),
            Some(Position::End) => return Ok(None),
        };
        let until = match end {
            None | Some(Position::End) => Bound::Unbounded,
            Some(Position::After(rank)) => Bound::Included(rank_at(rank)?),
        };
        Ok(Some(Hits {
            between: (after, until),
            ..Hits::new(search)
        }))
    }

    fn holds(&self, rank: &Rank) -> bool {
        std::ops::RangeBounds::contains(&self.between, rank)
    }
}

/// A position in a search's result is a rank.
pub(in super::super) fn position(rank: &Rank) -> Bytes {
    Bytes::copy_from_slice(&rank.0)
}

fn rank_at(position: &Bytes) -> Result<Rank, QueryError> {
    let rank: Option<[u8; RANK_BYTES]> = position[..].try_into().ok();
    rank.map(Rank).ok_or(QueryError::UnreadableCursor)
}

impl Transaction<'_> {
    /// The next document, with its place; `None` at the end.
    pub(in super::super) fn next_hit(
        &mut self,
        hits: &mut Hits,
    ) -> Result<Option<(Rank, StoredDocument)>, DatabaseError> {
        if hits.given == SEARCH_RESULTS_MAX {
            return Err(QueryError::TooManySearchResults.into());
        }
        if hits.ranks.is_none() {
            let mut ranks = self.ranked(&hits.search)?;
            ranks.retain(|rank| hits.holds(rank));
            hits.ranks = Some(best(ranks, SEARCH_RESULTS_MAX).into_iter());
        }
        while let Some(rank) = hits.ranks.as_mut().and_then(Iterator::next) {
            let id = DocumentId::new(hits.search.table, rank.id());
            // One that this transaction has deleted meanwhile is none any more.
            let Some(document) = self.stored_in(hits.search.by_id, id)? else {
                continue;
            };
            match hits.search.accepts(&document) {
                Ok(true) => {
                    hits.given += 1;
                    return Ok(Some((rank, document)));
                }
                Ok(false) => {}
                Err(error) => return Err(self.unusable(error)),
            }
        }
        Ok(None)
    }
}
