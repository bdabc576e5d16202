//! Answers kept for mutations that are sent again, and how they are forgotten.

use std::time::Duration;

use super::super::session_requests::SWEEP_RECORDS_MAX;
use super::*;

fn request(number: u32, identity: &str) -> SessionRequest {
    SessionRequest {
        session: [7; 16],
        request: number,
        identity: identity.to_string(),
    }
}

fn answer(tx: &Transaction<'_>, value: f64) -> RecordedAnswer {
    RecordedAnswer {
        ts: tx.commit_ts().unwrap(),
        value: Value::from(value),
        log_lines: vec!["[LOG] 'ran'".to_string()],
    }
}

fn record(rig: &mut Rig, request: &SessionRequest) -> RecordedAnswer {
    rig.commit(|tx| {
        let answer = answer(tx, request.request.into());
        request.record(tx, &answer);
        answer
    })
}

fn find(rig: &Rig, request: &SessionRequest) -> Recorded {
    rig.query(|tx| request.find(tx).unwrap()).0
}

#[test]
fn a_request_sent_again_meets_its_recorded_answer_also_after_a_restart() {
    let mut rig = Rig::new(Schema::new());
    let first = request(1, "ada");
    assert_eq!(find(&rig, &first), Recorded::Nothing);
    let recorded = record(&mut rig, &first);
    record(&mut rig, &request(2, "ada"));
    assert_eq!(recorded.ts.0, rig.store.durable_ts().0 - 1);
    assert_eq!(find(&rig, &first), Recorded::Answer(recorded.clone()));
    let rig = rig.reopen(Schema::new()).unwrap();
    assert_eq!(find(&rig, &first), Recorded::Answer(recorded));
    assert_eq!(find(&rig, &request(3, "ada")), Recorded::Nothing);
    let elsewhere = SessionRequest {
        session: [8; 16],
        ..first
    };
    assert_eq!(find(&rig, &elsewhere), Recorded::Nothing);
}

#[test]
fn an_answer_is_seen_by_whatever_runs_next_in_the_same_batch() {
    let mut rig = Rig::new(Schema::new());
    rig.attempt(|tx| {
        let answer = answer(tx, 1.0);
        request(1, "ada").record(tx, &answer);
        assert_eq!(
            request(1, "ada").find(tx).unwrap(),
            Recorded::Answer(answer)
        );
    });
    assert_eq!(
        find(&rig, &request(1, "ada")),
        Recorded::Nothing,
        "it was not committed"
    );
}

#[test]
fn another_identity_is_told_nothing() {
    let mut rig = Rig::new(Schema::new());
    record(&mut rig, &request(1, "ada"));
    for identity in ["grace", "", "ad", "ada2"] {
        assert_eq!(find(&rig, &request(1, identity)), Recorded::OtherIdentity);
    }
}

#[test]
fn bookkeeping_is_neither_charged_nor_part_of_what_was_read() {
    let mut rig = Rig::new(Schema::new());
    record(&mut rig, &request(1, "ada"));
    let ((usage, reads), changes) = rig.run(|tx| {
        request(1, "ada").find(tx).unwrap();
        let answer = answer(tx, 2.0);
        request(2, "ada").record(tx, &answer);
        (tx.usage(), tx.take_reads())
    });
    assert_eq!(usage, Usage::default());
    assert_eq!(reads.into_ranges(), []);
    assert!(changes.touched.is_empty());
}

#[test]
fn what_the_lane_knows_of_sessions_changes_no_answer() {
    let mut rig = Rig::new(Schema::new());
    // Newest first, so that what is known of the session is not what was recorded last.
    for number in [9, 4, 6] {
        record(&mut rig, &request(number, "ada"));
    }
    let check = |rig: &mut Rig| {
        for number in 0..12 {
            let request = request(number, "ada");
            let expected = find(rig, &request);
            let found = rig.attempt(|tx| request.find(tx).unwrap());
            assert_eq!(found, expected, "request {number}");
            if rig.known_sessions.is_new(&request.session, number) {
                assert_eq!(found, Recorded::Nothing, "request {number}");
            }
        }
        assert!(rig.known_sessions.is_new(&[7; 16], 12));
        assert!(!rig.known_sessions.is_new(&[8; 16], 12));
    };
    check(&mut rig);
    let mut rig = rig.reopen(Schema::new()).unwrap();
    record(&mut rig, &request(5, "ada"));
    check(&mut rig);
    rig.attempt(|tx| {
        let answer = answer(tx, 0.0);
        request(11, "ada").record(tx, &answer);
    });
    record(&mut rig, &request(10, "ada"));
    check(&mut rig);
}

fn open(dir: &TempDir, clock: &Arc<ManualClock>) -> Database {
    threads::open(dir, Schema::new(), clock.clone(), |_| {})
}

fn recorded(database: &Database, numbers: std::ops::Range<u32>) -> Vec<u32> {
    threads::read(database, move |tx| {
        let is_there =
            |number: &u32| request(*number, "ada").find(tx).unwrap() != Recorded::Nothing;
        numbers.filter(is_there).collect()
    })
}

#[test]
fn sweeps_forget_old_answers_only_and_a_bounded_number_at_a_time() {
    let clock = manual_clock();
    let dir = tempfile::tempdir().unwrap();
    let database = open(&dir, &clock);
    let per_sweep = SWEEP_RECORDS_MAX as u32;
    let write = |numbers: std::ops::Range<u32>| {
        threads::mutate(&database, move |tx| {
            for number in numbers {
                let answer = answer(tx, 0.0);
                request(number, "ada").record(tx, &answer);
            }
        });
    };
    write(0..per_sweep + 10);
    clock.advance(Duration::from_secs(14 * 86_400 - 1));
    let young = per_sweep + 10..per_sweep + 20;
    write(young.clone());
    let all = 0..per_sweep + 20;
    let swept = || {
        database.sweep_session_requests();
        // Queued behind the sweep, so it has run when this has.
        threads::mutate(&database, |_| {});
        recorded(&database, all.clone())
    };
    assert_eq!(
        swept(),
        all.clone().collect::<Vec<_>>(),
        "two weeks are not over"
    );
    clock.advance(Duration::from_secs(2));
    // The first sweep stopped after its thousand records; this one goes on there, and the next starts over.
    assert_eq!(
        swept(),
        (0..per_sweep).chain(young.clone()).collect::<Vec<_>>()
    );
    assert_eq!(swept(), young.clone().collect::<Vec<_>>());
    assert_eq!(swept(), young.collect::<Vec<_>>());
}
