//! The cost of a row's work in things that can be counted: they do not depend on how busy the machine is.

use std::alloc::System;

use stats_alloc::{Region, StatsAlloc};

use crate::row::Scene;

/// The counts of some units of work, all threads together.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Units of work.
    pub units: u64,
    /// Allocations of memory, and those that were made larger or smaller.
    pub allocations: u64,
    /// Bytes that these asked for.
    pub bytes: u64,
    /// Runs of functions.
    pub runs: u64,
    /// Batches that were made durable.
    pub appends: u64,
}

impl Counts {
    /// The amount for each unit.
    pub fn each(&self, of: u64) -> f64 {
        of as f64 / self.units as f64
    }
}

/// Makes the work so many times and counts. `allocator` is the one of this program.
pub fn count(scene: &mut dyn Scene, rounds: u64, allocator: &StatsAlloc<System>) -> Counts {
    let (runs, appends) = (runs(scene), scene.rig().appends());
    let region = Region::new(allocator);
    let units = measured(scene, rounds);
    let allocated = region.change();
    Counts {
        units,
        allocations: (allocated.allocations + allocated.reallocations) as u64,
        bytes: allocated.bytes_allocated as u64,
        runs: self::runs(scene) - runs,
        appends: scene.rig().appends() - appends,
    }
}

fn runs(scene: &dyn Scene) -> u64 {
    let runs = scene.rig().functions.registry().runs();
    runs.iter().map(|function| function.runs).sum()
}

/// The work that is counted, and nothing else: callgrind is told to begin and to end with this function.
#[inline(never)]
pub fn measured(scene: &mut dyn Scene, rounds: u64) -> u64 {
    (0..rounds).map(|_| scene.once()).sum()
}
