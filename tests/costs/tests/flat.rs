//! The costs that must stay flat, checked by counting: nothing here looks at a clock.

use std::alloc::System;
use std::sync::Arc;

use costs::app;
use costs::counts::{Counts, count};
use costs::row::{ROWS, Scene};
use costs::watching::{Missed, Shared};
use parking_lot::Mutex;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;
/// Allocations are counted for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

const SMALL: usize = 10;
const LARGE: usize = 10_000;

/// Counts of a row at a small and at a large size.
fn both(row: &str, rounds: u64) -> [Counts; 2] {
    let row = ROWS.iter().find(|known| known.name == row);
    let row = row.expect("the row exists");
    [SMALL, LARGE].map(|size| {
        let mut scene = (row.scene)(size);
        scene.once();
        count(&mut *scene, rounds, ALLOCATOR)
    })
}

/// How many times as many allocations the large one takes for each unit.
fn growth([small, large]: &[Counts; 2]) -> f64 {
    large.each(large.allocations) / small.each(small.allocations)
}

/// Trees that are larger are deeper: a thousand times as much may be half as much again, and no more.
const DEEPER: f64 = 1.5;

/// In a small table all documents are in slots after the first few operations. In a large one most operations are the
/// first to ask for their document. Putting it in a slot takes so many allocations more.
const FIRST_TOUCH: f64 = 12.0;

#[test]
fn a_write_runs_nothing_that_it_misses() {
    let _alone = ALONE.lock();
    let counts = both("write-beside-subscriptions", 50);
    for counts in &counts {
        // The mutation, and the one query that reads what it wrote.
        assert_eq!((counts.units, counts.runs), (50, 100), "{counts:?}");
    }
    assert!(growth(&counts) < DEEPER, "{counts:?}");

    let mut missed = Missed::new(LARGE);
    missed.once();
    let runs = missed.rig().runs(app::RANGE);
    missed.once();
    assert_eq!(missed.rig().runs(app::RANGE), runs);
    assert_eq!(missed.missed_deliveries(), 0);
}

#[test]
fn a_change_is_run_once_and_shared_by_all_subscribers() {
    let _alone = ALONE.lock();
    for subscribers in [SMALL, LARGE] {
        let mut shared = Shared::new(subscribers);
        let runs = shared.rig().runs(app::ONE);
        let sent = shared.deliver();
        assert_eq!(sent.len(), subscribers);
        assert_eq!(shared.rig().runs(app::ONE), runs + 1);
        // The first connection to send the result writes the message's fragment into it.
        assert!(sent.iter().all(|result| Arc::ptr_eq(result, &sent[0])));
    }
}

#[test]
fn mutations_that_meet_run_once_each() {
    let _alone = ALONE.lock();
    let row = ROWS.iter().find(|row| row.name == "writes-spread-over");
    let row = row.expect("the row exists");
    for spread_over in [1, LARGE] {
        let mut scene = (row.scene)(spread_over);
        let counts = count(&mut *scene, 4, ALLOCATOR);
        assert_eq!(counts.runs, counts.units, "{counts:?}");
    }
}

#[test]
fn a_draft_is_checked_at_the_cost_of_what_it_read() {
    let _alone = ALONE.lock();
    let counts = both("draft-beside-commits", 4);
    for counts in &counts {
        assert_eq!(counts.runs, counts.units, "{counts:?}");
    }
    assert!(growth(&counts) < DEEPER, "{counts:?}");
}

#[test]
fn a_read_takes_as_many_allocations_in_a_large_table() {
    let _alone = ALONE.lock();
    for row in ["read-by-index", "write-by-index"] {
        let counts = both(row, 8);
        let [small, large] = counts.each_ref().map(|it| it.each(it.allocations));
        assert!(large < DEEPER * small + FIRST_TOUCH, "{row}: {counts:?}");
        for counts in counts {
            assert_eq!(counts.runs, counts.units, "{row}: {counts:?}");
        }
    }
}

#[test]
fn known_users_sign_in_without_a_write() {
    let _alone = ALONE.lock();
    let counts = both("known-user", 4);
    for counts in &counts {
        assert_eq!(counts.appends, 0, "{counts:?}");
    }
    assert!(growth(&counts) < DEEPER, "{counts:?}");
}

#[test]
fn a_first_login_is_one_commit_and_no_more_of_anything_where_many_are_known() {
    let _alone = ALONE.lock();
    let counts = both("first-login", 2);
    for counts in &counts {
        // Once where it cannot write, and once on the lane.
        assert_eq!(counts.runs, 2 * counts.units, "{counts:?}");
        assert!(counts.appends <= counts.units, "{counts:?}");
    }
    assert!(growth(&counts) < DEEPER, "{counts:?}");
}
