//! Verdicts on a record, by three judges: the books, the graph and the replay. The replay asks the graph only where to put
//! events without a timestamp.

mod books;
mod graph;
mod replay;
#[cfg(test)]
mod tests;

pub use books::{Books, Entry, Told};
pub use graph::{Graph, GraphCounts};
pub use replay::replay;

use vestibule_schema::timestamp::Timestamp;

use crate::record::Moment;
use crate::steps::Step;

/// A transaction or a read that took effect, with all that is known of it.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its name.
    pub id: String,
    /// Whether it may have changed something.
    pub is_mutation: bool,
    /// Its session and its place in it.
    pub session: Option<(usize, u32)>,
    /// When it was sent.
    pub begun: Option<Moment>,
    /// When its answer came.
    pub ended: Option<Moment>,
    /// Its timestamp, if a client was told.
    pub ts: Option<Timestamp>,
    /// Its steps.
    pub steps: Vec<Step>,
    /// The result of each step.
    pub results: Vec<String>,
}
