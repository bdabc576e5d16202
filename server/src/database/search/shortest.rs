//! The list to read a word in. A search with several equalities may read the list of any of their values, since the keys of
//! each hold marks of the other values. The shortest takes least, and a rare value is found behind a frequent one.

use bytes::Bytes;

use super::super::error::DatabaseError;
use super::super::scan::Stream;
use super::super::transaction::Transaction;
use super::compile::{List, Search};
use super::matching::{POSTINGS_TIMED, Walks};
use crate::storage::{Direction, KeyRange};

/// The part of the postings that a word may read, by which its lists are compared.
const COMPARED_PART: usize = 4;

impl Transaction<'_> {
    /// The list with the fewest entries whose keys go on with `part`. Of `max` postings it leaves three quarters.
    pub(super) fn shortest<'s>(
        &mut self,
        search: &'s Search,
        part: &[u8],
        max: usize,
        walks: &mut Walks<'_>,
    ) -> Result<&'s List, DatabaseError> {
        let lists = &search.lists;
        if let [only] = &lists[..] {
            return Ok(only);
        }
        let of_part = |list: &List| {
            let range = KeyRange::prefix([&list.prefix[..], part].concat());
            Stream::new(range, Direction::Forward)
        };
        let mut streams: Vec<Stream> = lists.iter().map(of_part).collect();
        let rounds = max / (COMPARED_PART * lists.len());
        let compared = self.compare(lists, &mut streams, rounds, &mut walks.left);
        let ended = compared
            .as_ref()
            .ok()
            .and_then(|&(at, is_end)| is_end.then_some(at));
        let streams = streams.iter_mut().enumerate();
        walks
            .compared
            .extend(streams.map(|(at, stream)| stream.walked(ended == Some(at))));
        Ok(&lists[compared?.0])
    }

    /// Walks all lists in step. The first that ends is the shortest. Where none does, it is the one that has come furthest:
    /// all have the same order.
    fn compare(
        &mut self,
        lists: &[List],
        streams: &mut [Stream],
        rounds: usize,
        left: &mut usize,
    ) -> Result<(usize, bool), DatabaseError> {
        let mut reached = vec![Bytes::new(); lists.len()];
        for round in 0..rounds {
            if round.is_multiple_of(POSTINGS_TIMED) {
                self.check_time()?;
            }
            for (at, stream) in streams.iter_mut().enumerate() {
                *left -= 1;
                match self.next_entry(stream)? {
                    Some((key, _)) => reached[at] = key.slice(lists[at].prefix.len()..),
                    None => return Ok((at, true)),
                }
            }
        }
        // Equal ones: the first.
        let furthest = (0..lists.len()).rev().max_by_key(|&at| &reached[at]);
        Ok((furthest.unwrap_or_default(), false))
    }
}
