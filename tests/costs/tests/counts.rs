//! Counts of eleven operations, held so that a step back is noticed: nothing here looks at a clock.
//!
//! Allocations and their bytes depend neither on the machine nor on how busy it is. The work of other threads is an
//! exception: it comes in steps of its own, which more or fewer operations share. So the fewest of several rounds
//! count. Instructions are not held here: callgrind has to be installed, and virtual machines have no counters.

use std::alloc::System;

use costs::counts::{Counts, count};
use costs::row::ROWS;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The counts that a row had at [`SIZE`], for a unit of it.
struct Held {
    row: &'static str,
    allocations: f64,
    bytes: f64,
}

/// The size of each row.
const SIZE: usize = 100;
/// How many times as much is let pass.
const TOLERANCE: f64 = 1.15;
/// Rounds of which the fewest count.
const ROUNDS: usize = 12;

const HELD: [Held; 11] = [
    held("write-beside-subscriptions", 81.0, 10400.0),
    held("subscribers-of-one-query", 1.8, 180.0),
    held("writes-spread-over", 24.2, 3940.0),
    held("write-by-index", 24.2, 3940.0),
    held("transfer", 34.8, 4950.0),
    held("draft-beside-commits", 64.8, 10300.0),
    held("frames", 6.0, 900.0),
    held("read-by-index", 30.0, 3830.0),
    held("read-of-a-range", 183.0, 24400.0),
    held("known-user", 164.2, 15200.0),
    held("first-login", 241.8, 25600.0),
];

const fn held(row: &'static str, allocations: f64, bytes: f64) -> Held {
    Held {
        row,
        allocations,
        bytes,
    }
}

fn fewest(held: &Held) -> (f64, f64) {
    let row = ROWS.iter().find(|row| row.name == held.row);
    let mut scene = (row.expect("the row exists").scene)(SIZE);
    // What is made only once is made here.
    scene.once();
    let rounds: Vec<Counts> = (0..ROUNDS)
        .map(|_| count(&mut *scene, 4, ALLOCATOR))
        .collect();
    let least = |of: fn(&Counts) -> u64| {
        let each = rounds.iter().map(|counts| counts.each(of(counts)));
        each.fold(f64::INFINITY, f64::min)
    };
    (
        least(|counts| counts.allocations),
        least(|counts| counts.bytes),
    )
}

#[test]
fn eleven_operations_take_no_more_than_they_did() {
    let mut more = Vec::new();
    for held in &HELD {
        let (allocations, bytes) = fewest(held);
        let row = held.row;
        println!("{row}: {allocations:.1} allocations, {bytes:.0} bytes");
        let is_more = allocations > TOLERANCE * held.allocations || bytes > TOLERANCE * held.bytes;
        if is_more {
            more.push(format!(
                "{row}: {allocations:.1} allocations for {}, {bytes:.0} bytes for {}",
                held.allocations, held.bytes
            ));
        }
    }
    assert!(more.is_empty(), "{more:#?}");
}
