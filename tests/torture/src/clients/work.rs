//! The choice of transactions, from a seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::steps::{Kind, SIDES, Step};

/// The members of a group at the most.
const GROUP_MEMBERS_MAX: u32 = 6;
/// Transactions until other lists and groups take the place of the present ones, so that none grows without end.
const EPOCH_TRANSACTIONS: u32 = 200;
const STEPS_MAX: usize = 4;

/// A client's choices.
pub struct Work {
    name: String,
    rng: StdRng,
    made: u32,
    /// Transactions of all clients.
    all: Arc<AtomicU32>,
}

impl Work {
    /// The choices of the client called `name`, whose transactions count among `all`.
    pub fn new(name: impl Into<String>, seed: u64, all: Arc<AtomicU32>) -> Work {
        Work {
            name: name.into(),
            rng: StdRng::seed_from_u64(seed),
            made: 0,
            all,
        }
    }

    /// A transaction, with its id.
    pub fn transaction(&mut self) -> (String, Vec<Step>) {
        let id = format!("m{}-{}", self.name, self.made);
        self.made += 1;
        let epoch = self.all.fetch_add(1, Ordering::Relaxed) / EPOCH_TRANSACTIONS;
        let count = self.rng.random_range(1..=STEPS_MAX);
        let steps = (0..count).map(|place| self.step(&id, place, epoch));
        (id.clone(), steps.collect())
    }

    /// A read, with its id.
    pub fn read(&mut self) -> (String, Vec<Step>) {
        let id = format!("r{}-{}", self.name, self.made);
        self.made += 1;
        let epoch = self.all.load(Ordering::Relaxed) / EPOCH_TRANSACTIONS;
        let count = self.rng.random_range(1..=STEPS_MAX);
        let steps = (0..count).map(|_| self.read_step(epoch));
        (id, steps.collect())
    }

    /// Whether to, so often of a hundred times.
    pub fn chance(&mut self, of_100: u32) -> bool {
        self.rng.random_ratio(of_100, 100)
    }

    fn list(&mut self, epoch: u32) -> String {
        format!("l{epoch}-{}", self.rng.random_range(0..5))
    }

    fn group(&mut self, epoch: u32) -> String {
        format!("g{epoch}-{}", self.rng.random_range(0..3))
    }

    fn read_step(&mut self, epoch: u32) -> Step {
        match self.rng.random_range(0..10) {
            0..7 => Step::new(Kind::Read, self.list(epoch), "", 0),
            7 => Step::new(Kind::Total, "", "", 0),
            _ => Step::new(Kind::Members, self.group(epoch), "", 0),
        }
    }

    fn step(&mut self, id: &str, place: usize, epoch: u32) -> Step {
        match self.rng.random_range(0..100) {
            0..40 => Step::new(Kind::Append, self.list(epoch), format!("{id}.{place}"), 0),
            40..62 => self.read_step(epoch),
            62..77 => {
                let from = self.rng.random_range(0..10);
                let to = (from + self.rng.random_range(1..10)) % 10;
                let amount = self.rng.random_range(1..100);
                Step::new(Kind::Transfer, format!("a{from}"), format!("a{to}"), amount)
            }
            77..87 => {
                let kind = [Kind::Leave, Kind::Leave, Kind::Return];
                let kind = *kind.choose(&mut self.rng).expect("there are three");
                let side = *SIDES.choose(&mut self.rng).expect("there are two");
                Step::new(kind, format!("p{}", self.rng.random_range(0..3)), side, 0)
            }
            87..96 => Step::new(Kind::Join, self.group(epoch), "", GROUP_MEMBERS_MAX),
            _ => {
                let delay = self.rng.random_range(0..30);
                Step::new(Kind::Schedule, "", format!("{id}.{place}"), delay)
            }
        }
    }
}
