//! Each rig in its bounded form.

// Every failure is the test's failure.
#![allow(clippy::unwrap_used)]

use vestibule_torture::rigs::{Bench, Length, damage, kills, serial, soak, syscalls};
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

/// The seed of a round of `syscalls` in which the server is killed at its 21st write, when some mutations are answered.
const KILLED_AT_A_WRITE: u64 = 43;

/// Some containers let no process be traced; there the output says that the rig was not tried.
fn may_trace() -> bool {
    let refusal = syscalls::refusal().unwrap();
    if let Some(refusal) = &refusal {
        println!("NOT TRIED, since this machine forbids tracing: {refusal}");
    }
    refusal.is_none()
}

#[test]
fn at_a_killed_or_failed_system_call_no_answer_is_false() {
    if !may_trace() {
        return;
    }
    let mut bench = bench("syscalls");
    bench.length = Length::Rounds(8);
    syscalls::run(&mut bench, false).unwrap();
    assert!(bench.totals.count("met") > 0);
}

#[test]
fn a_damaged_database_gives_right_answers_or_errors() {
    let mut bench = bench("damage");
    damage::run(&mut bench, damage::TEST).unwrap();
    assert!(bench.totals.count("damages") > 0);
}

#[test]
fn when_all_clients_have_gone_no_descriptor_is_left() {
    let mut bench = bench("soak");
    soak::run(&mut bench).unwrap();
    assert!(bench.totals.count("answers") > 0);
}

#[test]
fn each_rig_notices_its_planted_fault() {
    let kills_size = kills::Size {
        rolls_back: true,
        kills: 3,
        ..kills::TEST
    };
    let said = format!(
        "{:?}",
        kills::run(&mut bench("kills"), kills_size).unwrap_err()
    );
    assert!(
        said.contains("lost: ") || said.contains("did not come"),
        "{said}"
    );
    let serial_size = serial::Size {
        rolls_back: true,
        ..serial::TEST
    };
    let said = serial::run(&mut bench("serial"), serial_size).unwrap_err();
    let said = format!("{said:?}");
    assert!(
        said.contains("breaches") || said.contains("did not come"),
        "{said}"
    );
    if may_trace() {
        let mut at_a_write = bench("syscalls");
        at_a_write.totals.next_seed = KILLED_AT_A_WRITE;
        let said = format!("{:?}", syscalls::run(&mut at_a_write, true).unwrap_err());
        assert!(said.contains("lost: "), "{said}");
    }
    let damage_size = damage::Size {
        forgets_last: true,
        ..damage::TEST
    };
    let said = format!(
        "{:?}",
        damage::run(&mut bench("damage"), damage_size).unwrap_err()
    );
    assert!(said.contains("damage "), "{said}");
}
