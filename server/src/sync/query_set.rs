//! The bytes of the queries that one connection watches.

use std::collections::BTreeMap;

use vestibule_schema::wire::QueryId;

use super::budget::{FREE_BYTES, Purse, SHARE_BYTES, Share};

/// Queries of this many bytes are not counted: their number is bounded.
const SMALL_BYTES: usize = 256;

/// The sizes of a connection's queries.
pub(super) struct QuerySetBytes {
    sizes: BTreeMap<QueryId, usize>,
    total: usize,
    max: usize,
    purse: Purse,
    shares: Vec<Share>,
}

impl QuerySetBytes {
    /// No queries yet, of at most `max` bytes.
    pub fn new(max: usize, purse: Purse) -> QuerySetBytes {
        QuerySetBytes {
            sizes: BTreeMap::new(),
            total: 0,
            max,
            purse,
            shares: Vec::new(),
        }
    }

    /// Counts a query, if there is room for it.
    #[must_use]
    pub fn add(&mut self, query: QueryId, bytes: usize) -> bool {
        if bytes <= SMALL_BYTES {
            return true;
        }
        let total = self.total + bytes;
        if total > self.max {
            return false;
        }
        while total > FREE_BYTES + self.shares.len() * SHARE_BYTES {
            match self.purse.take(SHARE_BYTES) {
                Some(share) => self.shares.push(share),
                None => {
                    self.give_back();
                    return false;
                }
            }
        }
        self.total = total;
        self.sizes.insert(query, bytes);
        true
    }

    /// A query is no longer watched.
    pub fn remove(&mut self, query: QueryId) {
        if let Some(bytes) = self.sizes.remove(&query) {
            self.total -= bytes;
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        let counted = self.total.saturating_sub(FREE_BYTES);
        self.shares.truncate(counted.div_ceil(SHARE_BYTES));
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::Purses;
    use super::*;

    #[test]
    fn queries_count_while_they_are_watched() {
        let purses = Purses::new(2 * SHARE_BYTES, 2 * SHARE_BYTES);
        let mut queries = QuerySetBytes::new(1 << 20, purses.of(None));
        assert!(queries.add(QueryId(0), SMALL_BYTES));
        assert!(queries.add(QueryId(1), FREE_BYTES + SHARE_BYTES));
        assert!(!queries.add(QueryId(2), 2 << 20), "more than one may watch");
        assert!(
            !queries.add(QueryId(3), 2 * SHARE_BYTES),
            "more than there is for all"
        );
        let mut others = QuerySetBytes::new(1 << 20, purses.of(None));
        assert!(
            others.add(QueryId(0), FREE_BYTES + 1),
            "what was refused took nothing"
        );
        assert!(!queries.add(QueryId(4), SHARE_BYTES));
        others.remove(QueryId(0));
        assert!(queries.add(QueryId(4), SHARE_BYTES));
        queries.remove(QueryId(1));
        queries.remove(QueryId(4));
        queries.remove(QueryId(9));
        assert!(others.add(QueryId(0), 2 * SHARE_BYTES));
    }
}
