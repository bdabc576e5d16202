//! Each rig in its bounded form.

// Every failure is the test's failure.
#![allow(clippy::unwrap_used)]

use vestibule_torture::rigs::{Bench, Length, kills, serial};
use vestibule_torture::totals::Totals;

fn bench(rig: &str) -> Bench {
    let given = std::env::var("VESTIBULE_SEED");
    let given = given.ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("VESTIBULE_SEED={seed}");
    Bench {
        program: env!("CARGO_BIN_EXE_vestibule-torture").into(),
        length: Length::Rounds(1),
        totals: Totals::resume(rig, seed, None).unwrap(),
        typescript: false,
    }
}

#[test]
fn over_kills_nothing_is_lost_or_happens_twice_or_in_half() {
    let mut bench = bench("kills");
    kills::run(&mut bench, kills::TEST).unwrap();
    assert!(bench.totals.count("acknowledged") > 0);
    assert!(bench.totals.count("scheduled") > 0);
}

#[test]
fn over_kills_and_cuts_transactions_are_strictly_serializable() {
    let mut bench = bench("serial");
    serial::run(&mut bench, serial::TEST).unwrap();
    assert!(bench.totals.count("transactions") > 0);
    assert!(bench.totals.count("reads") > 0);
    assert!(bench.totals.count("transitions") > 0);
}
