//! Answers that the lane keeps batch by batch, against a plain map.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;

use super::super::answer_rows::answers_until;
use super::super::keys::session_request_key;
use super::super::session_requests::{RETENTION_DAYS, Sweep};
use super::committer::Line;
use super::*;
use crate::storage::{Direction, StorageError, Write};

/// A session and a request in it.
type Asked = (u8, u32);

fn request((session, request): Asked) -> SessionRequest {
    SessionRequest {
        session: [session; 16],
        request,
        identity: "ada".to_string(),
    }
}

/// Looks for an answer and records one where there is none. The records' answer, and that of the first run.
fn answer_once(
    asked: Asked,
    text: String,
) -> impl FnOnce(&mut Transaction<'_>) -> (Recorded, RecordedAnswer) + Send {
    move |tx| {
        let request = request(asked);
        let found = request.find(tx).unwrap();
        let answer = RecordedAnswer {
            ts: tx.commit_ts().unwrap(),
            value: Value::from(text),
            log_lines: Vec::new(),
        };
        if found == Recorded::Nothing {
            request.record(tx, &answer);
        }
        (found, answer)
    }
}

fn entries(line: &Line, index: IndexId) -> usize {
    line.read(|tx| {
        let entries = tx.scan_system(index.range(), Direction::Forward, usize::MAX);
        entries.unwrap().len()
    })
}

#[test]
fn the_answers_of_a_batch_to_one_session_share_an_entry() {
    let mut line = Line::new();
    let mut batch = line.lane.open_batch();
    let numbers = (0..10).flat_map(|number| (0..3).map(move |session| (session, number)));
    // The last comes too late for its session's row.
    let asked = numbers.chain([(3, 9), (3, 2)]);
    let run = |asked| line.run(&mut batch, answer_once(asked, String::new()));
    let _outcomes: Vec<_> = asked.map(run).collect();
    line.lane.close_batch(&mut batch);
    line.writer.write(batch).unwrap();
    assert_eq!(entries(&line, IndexId::SESSION_ANSWERS), 4);
    assert_eq!(entries(&line, IndexId::SESSION_REQUESTS), 1);
    let found = line.read(|tx| request((3, 2)).find(tx).unwrap());
    assert!(matches!(found, Recorded::Answer(_)));
}

/// One batch that answers these requests of one session.
fn answer_batch(line: &mut Line, numbers: std::ops::Range<u32>) {
    let mut batch = line.lane.open_batch();
    let run = |number| line.run(&mut batch, answer_once((7, number), String::new()));
    let _outcomes: Vec<_> = numbers.map(run).collect();
    line.lane.close_batch(&mut batch);
    line.writer.write(batch).unwrap();
}

#[test]
fn a_row_is_forgotten_once_its_newest_answer_is_old() {
    let mut line = Line::new();
    let days = |days| Duration::from_secs(days * 86_400);
    answer_batch(&mut line, 0..4);
    line.clock.advance(days(10));
    answer_batch(&mut line, 4..8);
    line.clock.advance(days(RETENTION_DAYS - 9));
    let mut batch = line.lane.open_batch();
    let sweep = Sweep::new(&Arc::default());
    line.lane.run(Box::new(sweep), &mut batch);
    line.lane.close_batch(&mut batch);
    line.writer.write(batch).unwrap();
    let is_there = |number: &u32| {
        let find = |tx: &mut Transaction<'_>| request((7, *number)).find(tx).unwrap();
        line.read(find) != Recorded::Nothing
    };
    let left: Vec<u32> = (0..8).filter(is_there).collect();
    assert_eq!(left, [4, 5, 6, 7]);
}

#[test]
fn a_state_within_a_batch_keeps_the_answers_of_its_commits() {
    let mut line = Line::new();
    let mut batch = line.lane.open_batch();
    let run = |number| line.run(&mut batch, answer_once((7, number), String::new()));
    let outcomes: Vec<_> = (0..6).map(run).collect();
    line.lane.close_batch(&mut batch);
    line.writer.write(batch).unwrap();
    let moments = outcomes.iter().map(|outcome| {
        let ((_, answer), _) = outcome.try_recv().unwrap();
        answer.ts
    });
    let moments: Vec<Timestamp> = moments.collect();
    let all = IndexId::SESSION_ANSWERS.range();
    let rows = line.read(|tx| tx.scan_system(all, Direction::Forward, 2).unwrap());
    let [(key, value)] = &rows[..] else {
        panic!("{rows:?}");
    };
    let row = Write {
        key: key.clone(),
        value: Some(value.clone()),
    };
    assert_eq!(answers_until(&row, moments[5]), Some(row.clone()));
    let cut = answers_until(&row, moments[2]).unwrap();
    let session = [7; 16];
    assert_eq!(
        cut.key,
        session_request_key(IndexId::SESSION_ANSWERS, &session, 2)
    );
    assert!(value.starts_with(&cut.value.unwrap()));
    assert_eq!(answers_until(&row, Timestamp(moments[0].0 - 1)), None);
    let other = Write {
        key: session_request_key(IndexId::SESSION_REQUESTS, &session, 2),
        value: Some(value.clone()),
    };
    assert_eq!(answers_until(&other, moments[5]), None);
}

/// Batches that are written or not, restarts, requests in any order and sent again.
fn any_batches(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut line = Line::new();
    let mut durable: BTreeMap<Asked, RecordedAnswer> = BTreeMap::new();
    let mut newest = 0;
    for _ in 0..60 {
        let mut batch = line.lane.open_batch();
        let mut runs = Vec::new();
        for _ in 0..rng.random_range(1..40) {
            newest += rng.random_range(0..2);
            let behind = match rng.random_ratio(1, 5) {
                true => rng.random_range(0..60),
                false => 0,
            };
            let asked = (rng.random_range(0..4), u32::saturating_sub(newest, behind));
            let text = "x".repeat(rng.random_range(0..600));
            runs.push((asked, line.run(&mut batch, answer_once(asked, text))));
        }
        line.lane.close_batch(&mut batch);
        let is_written = rng.random_ratio(4, 5);
        match is_written {
            true => line.writer.write(batch).unwrap(),
            false => {
                let cause = Arc::new(StorageError::RolledBack);
                line.writer.roll_back(batch, cause);
            }
        }
        let mut answers = durable.clone();
        for (asked, outcome) in runs {
            let ((found, answer), _) = outcome.try_recv().unwrap();
            match answers.get(&asked) {
                Some(known) => assert_eq!(found, Recorded::Answer(known.clone()), "seed {seed}"),
                None => {
                    assert_eq!(found, Recorded::Nothing, "seed {seed}");
                    answers.insert(asked, answer);
                }
            }
        }
        if is_written {
            durable = answers;
        }
        if rng.random_ratio(1, 4) {
            line.fold();
        }
        if rng.random_ratio(1, 10) {
            line = line.reopen();
        }
    }
    for session in 0..5 {
        for number in 0..=newest + 1 {
            let asked = (session, number);
            let expected = match durable.get(&asked) {
                Some(answer) => Recorded::Answer(answer.clone()),
                None => Recorded::Nothing,
            };
            let found = line.read(|tx| request(asked).find(tx).unwrap());
            assert_eq!(found, expected, "seed {seed}");
        }
    }
}

#[test]
fn every_answer_that_is_durable_is_found_and_no_other() {
    let seed: u64 = rand::random();
    (0..8).for_each(|turn| any_batches(seed.wrapping_add(turn)));
}
