//! The record of clients: what each asked, when, and what it was told. Verdicts are reached on it alone.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use vestibule_schema::timestamp::Timestamp;

use crate::steps::Step;

/// Nanoseconds since the record began.
pub type Moment = u64;

/// A transaction of a client, or a read.
#[derive(Clone, Debug)]
pub struct Op {
    /// Its name, once among all.
    pub id: String,
    /// Whether it is a mutation, which may change something.
    pub is_mutation: bool,
    /// The session and the place in it, for mutations over a WebSocket.
    pub session: Option<(usize, u32)>,
    /// The identity that it runs as.
    pub person: Option<String>,
    /// When it was first sent. A result of a live query has no beginning.
    pub begun: Option<Moment>,
    /// When its answer came.
    pub ended: Option<Moment>,
    /// Its steps.
    pub steps: Vec<Step>,
    /// The answer.
    pub outcome: Outcome,
}

/// The answer to a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its results, with the timestamp where one is told.
    Done(Vec<String>, Option<Timestamp>),
    /// The server said that it did not happen.
    Failed(String),
    /// No answer came.
    Unknown,
}

impl Op {
    /// The results, if they were told.
    pub fn results(&self) -> Option<&[String]> {
        match &self.outcome {
            Outcome::Done(results, _) => Some(results),
            _ => None,
        }
    }

    /// The timestamp, if it was told.
    pub fn ts(&self) -> Option<Timestamp> {
        match &self.outcome {
            Outcome::Done(_, ts) => *ts,
            _ => None,
        }
    }
}

/// The record under way, shared by all clients.
#[derive(Clone)]
pub struct Record {
    begun: Instant,
    ops: Arc<Mutex<Vec<Op>>>,
    /// Breaches that a client saw at once.
    breaches: Arc<Mutex<Vec<String>>>,
}

impl Default for Record {
    fn default() -> Self {
        Record {
            begun: Instant::now(),
            ops: Arc::default(),
            breaches: Arc::default(),
        }
    }
}

impl Record {
    /// The time.
    pub fn now(&self) -> Moment {
        u64::try_from(self.begun.elapsed().as_nanos()).expect("a run takes less than 500 years")
    }

    /// Notes an operation that is over, or given up.
    pub fn note(&self, op: Op) {
        self.ops.lock().push(op);
    }

    /// Notes something that must not happen.
    pub fn breach(&self, what: String) {
        self.breaches.lock().push(what);
    }

    /// Everything noted so far.
    pub fn ops(&self) -> Vec<Op> {
        self.ops.lock().clone()
    }

    /// Everything noted since the last time, which is forgotten here.
    pub fn take(&self) -> Vec<Op> {
        std::mem::take(&mut *self.ops.lock())
    }

    /// The number of operations that have an answer.
    pub fn len(&self) -> usize {
        self.ops.lock().len()
    }

    /// Whether nothing is noted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Events that must not have happened.
    pub fn breaches(&self) -> Vec<String> {
        self.breaches.lock().clone()
    }
}
