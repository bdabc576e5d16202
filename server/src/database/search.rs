//! Full text search: an index of words as an ordinary part of the ordered key space, so that snapshots, a transaction's
//! own writes, read sets and rollbacks hold for it as for any other.

mod compile;
mod hits;
mod matching;
mod postings;
mod shortest;
#[cfg(test)]
pub(super) mod tests;
mod tokens;

pub use compile::SearchFilter;
pub(super) use compile::{Search, compile};
pub use hits::SEARCH_RESULTS_MAX;
pub(super) use hits::{Hits, position};
pub(super) use postings::{TERMS_INDEXED_MAX, entries};
