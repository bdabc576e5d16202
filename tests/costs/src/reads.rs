//! Queries on a table that was just opened: what one costs beyond its result.

use rand::Rng;
use rand::rngs::SmallRng;
use vestibule_schema::object;
use vestibule_server::functions::{Call, FunctionOutcome, QueryOutcome};

use crate::app;
use crate::rig::{Rig, call, call_of, chance};
use crate::row::Scene;

/// Queries that run one after another on one snapshot, so that waking a reader's thread counts for little.
const BATCH: u64 = 256;
/// Documents of a range.
const RANGE: usize = 20;

/// Queries of random items.
pub struct Reads {
    size: usize,
    make: fn(&mut SmallRng, usize) -> Call,
    chance: SmallRng,
    rig: Rig,
}

impl Reads {
    /// Each of one document, of a table with so many.
    pub fn of_one(size: usize) -> Reads {
        Reads::new(size, |chance, size| {
            call_of(app::ONE, chance.random_range(0..size))
        })
    }

    /// Each of 20 documents, of a table with so many.
    pub fn of_a_range(size: usize) -> Reads {
        Reads::new(size, |chance, size| {
            let first = chance.random_range(0..=size - RANGE) as f64;
            call(
                app::RANGE,
                object! { "first" => first, "count" => RANGE as f64 },
            )
        })
    }

    fn new(size: usize, make: fn(&mut SmallRng, usize) -> Call) -> Reads {
        Reads {
            size,
            make,
            chance: chance(),
            rig: Rig::with_items(size).reopened(),
        }
    }
}

impl Scene for Reads {
    fn once(&mut self) -> u64 {
        let calls: Vec<Call> = (0..BATCH)
            .map(|_| (self.make)(&mut self.chance, self.size))
            .collect();
        let functions = self.rig.functions.clone();
        let read = self.rig.functions.read(move |view| {
            for call in &calls {
                let run = functions.query_on(view, call, None)?;
                let is_returned = matches!(
                    run.outcome,
                    QueryOutcome::Done(FunctionOutcome::Returned(_))
                );
                assert!(is_returned, "{:?}", run.outcome);
            }
            Ok(())
        });
        self.rig.wait(read).expect("the server works");
        BATCH
    }

    fn rig(&self) -> &Rig {
        &self.rig
    }
}
