//! Mutations: the cost of many that meet, and the cost of one in a large table.

use rand::Rng;
use rand::rngs::SmallRng;

use crate::app;
use crate::rig::{Rig, call_of, chance};
use crate::row::Scene;

/// Mutations that are queued at once.
const BATCH: u64 = 256;

/// Writes to a few of many documents. The table is as large whatever they are spread over.
pub struct Contended {
    spread_over: usize,
    chance: SmallRng,
    rig: Rig,
}

impl Contended {
    /// Writes to so many documents of 10,000.
    pub fn new(spread_over: usize) -> Contended {
        Contended {
            spread_over,
            chance: chance(),
            rig: Rig::with_items(ITEMS).reopened(),
        }
    }
}

/// Documents in the table.
const ITEMS: usize = 10_000;

impl Scene for Contended {
    fn once(&mut self) -> u64 {
        write(&self.rig, &mut self.chance, self.spread_over)
    }

    fn rig(&self) -> &Rig {
        &self.rig
    }
}

/// Writes to all documents of a table.
pub struct Scattered {
    size: usize,
    chance: SmallRng,
    rig: Rig,
}

impl Scattered {
    /// A table with so many documents.
    pub fn new(size: usize) -> Scattered {
        Scattered {
            size,
            chance: chance(),
            rig: Rig::with_items(size).reopened(),
        }
    }
}

impl Scene for Scattered {
    fn once(&mut self) -> u64 {
        write(&self.rig, &mut self.chance, self.size)
    }

    fn rig(&self) -> &Rig {
        &self.rig
    }
}

fn write(rig: &Rig, chance: &mut SmallRng, below: usize) -> u64 {
    let bump = |_| call_of(app::BUMP, chance.random_range(0..below));
    rig.mutate_all((0..BATCH).map(bump).collect());
    BATCH
}
