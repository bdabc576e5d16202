//! Finding the documents of a text search, and ranking them. Each word is read in one list, the shortest (`shortest.rs`).
//!
//! The score is BM25 with the same rarity for all words, and with lengths held against a constant. So a document's score
//! depends on the document and the search alone: no write of another document moves it, and a cursor, which is a score,
//! stays where it is. A word and those that begin so count once, by the best of them.

use std::collections::HashMap;

use bytes::Bytes;
use vestibule_schema::id::{INTERNAL_ID_BYTES, InternalId};

use super::super::error::DatabaseError;
use super::super::read_set::Mark;
use super::super::scan::Stream;
use super::super::transaction::Transaction;
use super::compile::{List, Search};
use super::postings::{Newness, Posting, TERM_END, term_of};
use crate::storage::{Direction, KeyRange, StorageError};

/// Distinct words that one search looks for, those that begin as its last word does included.
pub const SEARCH_TERMS_MAX: usize = 64;
/// Postings that one search reads. Of words with more, the newest documents are found.
pub const POSTINGS_READ_MAX: usize = 65_536;
/// Postings between two looks at the time.
pub(super) const POSTINGS_TIMED: usize = 256;

/// The weight of a word that only begins as the last word does.
const PREFIX_WEIGHT: f64 = 0.5;
/// How soon more occurrences of a word add little.
const SATURATION: f64 = 1.2;
/// How far long documents are held back.
const LENGTH_WEIGHT: f64 = 0.75;
/// Words of a document that is neither held back nor preferred.
const LENGTH_USUAL: f64 = 64.0;

const SCORE_BYTES: usize = size_of::<f64>();
/// Bytes of a [`Rank`].
pub(super) const RANK_BYTES: usize = SCORE_BYTES + size_of::<Newness>() + INTERNAL_ID_BYTES;

/// The place of a document in a result: the best score first, then the newest document, then the greatest id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Rank(pub [u8; RANK_BYTES]);

impl Rank {
    fn new(score: f64, newness: Newness, id: InternalId) -> Rank {
        let mut rank = [0; RANK_BYTES];
        let (head, tail) = rank.split_at_mut(SCORE_BYTES);
        // No score is below zero, so its bits are in its order.
        head.copy_from_slice(&(!score.to_bits()).to_be_bytes());
        let (time, last) = tail.split_at_mut(newness.len());
        time.copy_from_slice(&newness);
        last.copy_from_slice(&id.0.map(|byte| !byte));
        Rank(rank)
    }

    /// The document.
    pub fn id(&self) -> InternalId {
        let id = self.0.last_chunk::<INTERNAL_ID_BYTES>();
        let id = id.expect("a rank ends in an id");
        InternalId(id.map(|byte| !byte))
    }
}

/// A word with the postings of it that were read.
struct Found {
    weight: f64,
    /// Whether it is the last word of the search, or begins so.
    is_last: bool,
    postings: Vec<Posting>,
}

/// The postings that a search has walked, and may still walk.
pub(super) struct Walks<'s> {
    /// Postings that it may still read.
    pub left: usize,
    /// With the marks that it looked for there.
    walked: Vec<(KeyRange, &'s [Mark])>,
    /// Those that told it which lists to walk.
    pub compared: Vec<KeyRange>,
    /// Whether a walk ended because it had read all that it may.
    is_cut: bool,
}

impl Walks<'_> {
    /// An equal part of what is left, for one of `parts`.
    fn share(&self, parts: usize) -> usize {
        self.left / parts.max(1)
    }
}

impl Transaction<'_> {
    /// The documents that match, in no order. What was walked is in the read set afterwards.
    pub(super) fn ranked(&mut self, search: &Search) -> Result<Vec<Rank>, DatabaseError> {
        let mut walks = Walks {
            left: search.postings_max,
            walked: Vec::new(),
            compared: Vec::new(),
            is_cut: false,
        };
        let found = self.find(search, &mut walks);
        let Walks {
            walked,
            compared,
            is_cut,
            ..
        } = walks;
        for (range, marks) in walked {
            // Entries without the marks count for a walk that is cut, so its end depends on them too.
            self.record_narrowed(range, if is_cut { &[] } else { marks })?;
        }
        // Any list gives the same, unless not all of it is read.
        for range in compared.into_iter().filter(|_| is_cut) {
            self.record_narrowed(range, &[])?;
        }
        Ok(rank(&found?))
    }

    fn find<'s>(
        &mut self,
        search: &'s Search,
        walks: &mut Walks<'s>,
    ) -> Result<Vec<Found>, DatabaseError> {
        let mut found = Vec::new();
        for (at, term) in search.terms.iter().enumerate() {
            // The prefix takes part in the sharing as one more word.
            let (share, left) = (walks.share(search.terms.len() + 1 - at), walks.left);
            let word = [term.as_bytes(), &[TERM_END]].concat();
            let list = self.shortest(search, &word, share, walks)?;
            let share = share.saturating_sub(left - walks.left);
            found.push(Found {
                weight: 1.0,
                is_last: search.prefix.as_ref() == Some(term),
                postings: self.postings_of(search, list, term.as_bytes(), share, walks)?,
            });
        }
        self.find_beginnings(search, walks, &mut found)?;
        Ok(found)
    }

    /// The words that begin as the last word of the search does, in their order.
    fn find_beginnings<'s>(
        &mut self,
        search: &'s Search,
        walks: &mut Walks<'s>,
        found: &mut Vec<Found>,
    ) -> Result<(), DatabaseError> {
        let Some(prefix) = &search.prefix else {
            return Ok(());
        };
        let list = self.shortest(search, prefix.as_bytes(), walks.left, walks)?;
        let mut rest = KeyRange::prefix([&list.prefix[..], prefix.as_bytes()].concat());
        // The word itself comes first, and has been read.
        rest.start = [&rest.start[..], &[TERM_END + 1]].concat().into();
        while found.len() < SEARCH_TERMS_MAX {
            let Some(term) = self.next_term(list, &rest, walks)? else {
                return Ok(());
            };
            rest.start = [&list.prefix[..], &term, &[TERM_END + 1]].concat().into();
            if search.terms.iter().any(|exact| exact.as_bytes() == term) {
                continue;
            }
            let share = walks.share(SEARCH_TERMS_MAX - found.len());
            found.push(Found {
                weight: PREFIX_WEIGHT,
                is_last: true,
                postings: self.postings_of(search, list, &term, share, walks)?,
            });
        }
        Ok(())
    }

    /// The first word in a part of a list that a document has which the search may find.
    fn next_term<'s>(
        &mut self,
        list: &'s List,
        rest: &KeyRange,
        walks: &mut Walks<'s>,
    ) -> Result<Option<Bytes>, DatabaseError> {
        let mut term = None;
        self.walk(list, rest.clone(), walks.left, walks, |key, _| {
            term = Some(term_of(key, &list.prefix).ok_or_else(|| no_posting(key))?);
            Ok(false)
        })?;
        Ok(term)
    }

    /// At most `max` postings of a word, those of the newest documents.
    fn postings_of<'s>(
        &mut self,
        search: &Search,
        list: &'s List,
        term: &[u8],
        max: usize,
        walks: &mut Walks<'s>,
    ) -> Result<Vec<Posting>, DatabaseError> {
        let range = KeyRange::prefix([&list.prefix[..], term, &[TERM_END]].concat());
        let mut postings = Vec::new();
        self.walk(list, range, max, walks, |key, value| {
            let posting = Posting::read(key, value, search.filter_fields());
            postings.push(posting.ok_or_else(|| no_posting(key))?);
            Ok(true)
        })?;
        Ok(postings)
    }

    /// Hands the entries of a range of `list` that have its marks to `visit`, until it returns false or `max` entries were
    /// read.
    fn walk<'s>(
        &mut self,
        list: &'s List,
        range: KeyRange,
        max: usize,
        walks: &mut Walks<'s>,
        mut visit: impl FnMut(&Bytes, &Bytes) -> Result<bool, StorageError>,
    ) -> Result<(), DatabaseError> {
        let mut stream = Stream::new(range, Direction::Forward);
        let mut step = |tx: &mut Self, read: usize| -> Result<Option<bool>, DatabaseError> {
            if read.is_multiple_of(POSTINGS_TIMED) {
                tx.check_time()?;
            }
            let Some((key, value)) = tx.next_entry(&mut stream)? else {
                return Ok(None);
            };
            match list.marks.iter().all(|mark| mark.is_in(&key)) {
                true => {
                    let goes_on = visit(&key, &value);
                    goes_on.map(Some).map_err(|error| tx.break_with(error))
                }
                false => Ok(Some(true)),
            }
        };
        let mut read = 0;
        let outcome = loop {
            if read == max {
                walks.is_cut = true;
                break Ok(false);
            }
            match step(self, read) {
                Ok(Some(true)) => read += 1,
                Ok(Some(false)) => break Ok(false),
                Ok(None) => break Ok(true),
                Err(error) => break Err(error),
            }
        };
        walks.left = walks.left.saturating_sub(read);
        let is_exhausted = *outcome.as_ref().unwrap_or(&false);
        let walked = stream.walked(is_exhausted);
        walks.walked.push((walked, &list.marks));
        outcome.map(drop)
    }
}

fn no_posting(key: &Bytes) -> StorageError {
    StorageError::misplaced(key, "an entry of a search index is no posting")
}

/// A document that has one of the words.
struct Match {
    newness: Newness,
    /// For the words before the last.
    score: f64,
    /// For the last word, or the best of those that begin so.
    last: f64,
}

/// The matching documents with their scores. Each is a sum in the order of the words, so that equal documents get equal
/// scores.
fn rank(found: &[Found]) -> Vec<Rank> {
    let mut matches: HashMap<InternalId, Match> = HashMap::new();
    for word in found {
        for posting in &word.postings {
            let found = matches.entry(posting.id).or_insert(Match {
                newness: posting.newness,
                score: 0.0,
                last: 0.0,
            });
            let score = word.weight * relevance(posting);
            match word.is_last {
                true => found.last = found.last.max(score),
                false => found.score += score,
            }
        }
    }
    let ranks = matches.into_iter();
    let ranks = ranks.map(|(id, found)| Rank::new(found.score + found.last, found.newness, id));
    ranks.collect()
}

/// How much a document is about a word that it has.
fn relevance(posting: &Posting) -> f64 {
    let frequency = f64::from(posting.frequency);
    let length = f64::from(posting.length) / LENGTH_USUAL;
    let held_back = SATURATION * (1.0 - LENGTH_WEIGHT + LENGTH_WEIGHT * length);
    frequency * (SATURATION + 1.0) / (frequency + held_back)
}

/// The first `max` of `ranks`, in order.
pub(super) fn best(mut ranks: Vec<Rank>, max: usize) -> Vec<Rank> {
    if ranks.len() > max {
        ranks.select_nth_unstable(max);
        ranks.truncate(max);
    }
    ranks.sort_unstable();
    ranks
}
