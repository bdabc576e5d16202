//! Walking the vectors of an index, and keeping the nearest.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

use bytes::Bytes;
use vestibule_schema::id::{DocumentId, InternalId};

use super::super::error::{DatabaseError, QueryError};
use super::super::keys::id_of_entry;
use super::super::transaction::Environment;
use super::compile::{Search, VectorQuery, compile};
use super::entries::{NUMBER_BYTES, entry_key, vectors};
use crate::storage::{Cursor, Direction, Entry, KeyRange, ReadView, StorageError};

/// How long one search may take.
pub const VECTOR_SEARCH_TIME_MAX: Duration = Duration::from_secs(15);
/// Vectors between two looks at the time.
const VECTORS_TIMED: usize = 1_024;
/// Numbers that are multiplied side by side.
const LANES: usize = 16;

/// A document that a vector search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// The document.
    pub id: DocumentId,
    /// The cosine of the angle between the vectors, from -1 to 1.
    pub score: f64,
}

/// The documents whose vectors are nearest, the nearest first; of equally near ones, the greatest id. Not bounded but in time:
/// for threads of their own.
pub fn nearest(
    view: &dyn ReadView,
    environment: &Environment,
    query: &VectorQuery,
) -> Result<Vec<Nearest>, DatabaseError> {
    let definitions = environment.definitions.at(view.ts());
    let Some(search) = compile(query, &definitions.catalog)? else {
        return Ok(Vec::new());
    };
    let clock = &environment.clock;
    let until = clock.elapsed() + VECTOR_SEARCH_TIME_MAX;
    let in_time = move || match clock.elapsed() > until {
        true => Err(QueryError::VectorSearch(format!(
            "Vector search took longer than {VECTOR_SEARCH_TIME_MAX:?}. Use a filter field to look at fewer vectors."
        ))),
        false => Ok(()),
    };
    let mut best = Best::new(search.limit);
    let scan = Scan { view, in_time };
    match &search.lists {
        None => scan.all(&search, &mut best)?,
        Some(lists) => scan.listed(&search, lists, &mut best)?,
    }
    let table = search.table.number;
    let found = best.into_sorted().map(|Candidate { score, id }| Nearest {
        id: DocumentId::new(table, id),
        score: f64::from(score),
    });
    Ok(found.collect())
}

struct Scan<'v, T> {
    view: &'v dyn ReadView,
    in_time: T,
}

impl<T: Fn() -> Result<(), QueryError>> Scan<'_, T> {
    fn all(&self, search: &Search<'_>, best: &mut Best) -> Result<(), DatabaseError> {
        self.each(vectors(search.index), |key, vector| {
            best.offer(search, key, vector)
        })
    }

    /// The vectors of the documents in some lists, each once.
    fn listed(
        &self,
        search: &Search<'_>,
        lists: &[Vec<u8>],
        best: &mut Best,
    ) -> Result<(), DatabaseError> {
        let mut ids = BTreeSet::new();
        for list in lists {
            self.each(list.clone(), |key, _| {
                ids.insert(id_of_entry(key).ok_or_else(|| damaged(key))?.0);
                Ok(())
            })?;
        }
        let all = vectors(search.index);
        for (at, id) in ids.into_iter().enumerate() {
            if at.is_multiple_of(VECTORS_TIMED) {
                (self.in_time)()?;
            }
            let key = entry_key(&all, InternalId(id));
            let vector = self.view.peek(&key)?;
            best.offer(search, &key, &vector.ok_or_else(|| damaged(&key))?)?;
        }
        Ok(())
    }

    fn each(
        &self,
        prefix: Vec<u8>,
        mut visit: impl FnMut(&Bytes, &Bytes) -> Result<(), StorageError>,
    ) -> Result<(), DatabaseError> {
        let mut cursor = Cursor::new(KeyRange::prefix(prefix), Direction::Forward);
        let mut count = 0_usize;
        while let Some(Entry { key, value }) = self.view.next(&mut cursor)? {
            if count.is_multiple_of(VECTORS_TIMED) {
                (self.in_time)()?;
            }
            count += 1;
            visit(&key, &value)?;
        }
        Ok(())
    }
}

fn damaged(key: &Bytes) -> StorageError {
    StorageError::misplaced(key, "an entry of a vector index cannot be read")
}

/// The nearest vectors so far.
struct Best {
    limit: usize,
    found: BinaryHeap<Reverse<Candidate>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    score: f32,
    id: InternalId,
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let by_score = self.score.total_cmp(&other.score);
        by_score.then(self.id.0.cmp(&other.id.0))
    }
}

impl Best {
    fn new(limit: usize) -> Best {
        Best {
            limit,
            found: BinaryHeap::with_capacity(limit + 1),
        }
    }

    fn offer(
        &mut self,
        search: &Search<'_>,
        key: &Bytes,
        vector: &[u8],
    ) -> Result<(), StorageError> {
        if vector.len() != search.vector.len() * NUMBER_BYTES {
            return Err(damaged(key));
        }
        let id = id_of_entry(key).ok_or_else(|| damaged(key))?;
        let score = dot(&search.vector, vector).clamp(-1.0, 1.0);
        self.found.push(Reverse(Candidate { score, id }));
        if self.found.len() > self.limit {
            self.found.pop();
        }
        Ok(())
    }

    fn into_sorted(self) -> impl Iterator<Item = Candidate> {
        let sorted = self.found.into_sorted_vec();
        sorted.into_iter().map(|Reverse(candidate)| candidate)
    }
}

/// The sum of the products. Sums go side by side, so that the compiler can add many at once.
fn dot(vector: &[f32], stored: &[u8]) -> f32 {
    let (numbers, few) = vector.as_chunks::<LANES>();
    let (bytes, few_bytes) = stored.as_chunks::<{ LANES * NUMBER_BYTES }>();
    let mut sums = [0.0_f32; LANES];
    for (numbers, bytes) in numbers.iter().zip(bytes) {
        let (bytes, _) = bytes.as_chunks::<NUMBER_BYTES>();
        for ((sum, number), bytes) in sums.iter_mut().zip(numbers).zip(bytes) {
            *sum += number * f32::from_le_bytes(*bytes);
        }
    }
    let (few_bytes, _) = few_bytes.as_chunks::<NUMBER_BYTES>();
    let rest = few.iter().zip(few_bytes);
    let rest = rest.map(|(number, bytes)| number * f32::from_le_bytes(*bytes));
    sums.iter().sum::<f32>() + rest.sum::<f32>()
}
