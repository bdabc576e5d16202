//! Histories with one planted fault each: every judge notices those that are its own, and none of a right history.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vestibule_schema::timestamp::Timestamp;

use super::{Books, Entry, Event, Graph, replay};
use crate::clients::Work;
use crate::model::Model;
use crate::record::{Op, Outcome};
use crate::steps::{Kind, Step};

/// A right history: transactions one after the other, whose answers overlap with later ones.
fn history(seed: u64, count: u64) -> Vec<Event> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut work = Work::new("c", seed, Default::default());
    let mut model = Model::default();
    (0..count)
        .map(|place| {
            let is_mutation = rng.random_ratio(2, 3);
            let (id, steps) = match is_mutation {
                true => work.transaction(),
                false => work.read(),
            };
            let results = model.run(&id, &steps);
            let has_ts = rng.random_ratio(2, 3);
            Event {
                id,
                is_mutation,
                session: None,
                begun: Some(place * 10),
                ended: Some(place * 10 + rng.random_range(5..100)),
                ts: has_ts.then_some(Timestamp(place + 1)),
                steps,
                results,
            }
        })
        .collect()
}

fn graph(events: &[Event]) -> Vec<String> {
    Graph::new(events).order().1
}

fn event(id: &str, steps: Vec<Step>, results: &[&str]) -> Event {
    Event {
        id: id.into(),
        is_mutation: true,
        session: None,
        begun: Some(0),
        ended: Some(1_000),
        ts: None,
        steps,
        results: results.iter().map(|result| result.to_string()).collect(),
    }
}

fn append(key: &str, value: &str) -> Step {
    Step::new(Kind::Append, key, value, 0)
}

fn read(key: &str) -> Step {
    Step::new(Kind::Read, key, "", 0)
}

fn leave(side: &str) -> Step {
    Step::new(Kind::Leave, "p", side, 0)
}

fn join(group: &str, most: u32) -> Step {
    Step::new(Kind::Join, group, "", most)
}

#[test]
fn a_right_history_has_no_breach() {
    for seed in 0..20 {
        let mut events = history(seed, 300);
        // The order in which they were noted means nothing.
        events.reverse();
        assert_eq!(graph(&events), [""; 0], "seed {seed}");
        assert_eq!(replay(&events), [""; 0], "seed {seed}");
    }
}

#[test]
fn a_transaction_that_is_left_out_is_noticed() {
    let mut noticed = 0;
    for seed in 0..20 {
        let mut events = history(seed, 300);
        let is_seen = |event: &Event| event.is_mutation && event.steps[0].kind == Kind::Append;
        let place = events[..150].iter().position(is_seen).unwrap();
        events.remove(place);
        noticed += usize::from(!graph(&events).is_empty() && !replay(&events).is_empty());
    }
    assert!(noticed >= 18, "{noticed} of 20");
}

#[test]
fn each_anomaly_is_noticed() {
    let lost_update = vec![
        event("a", vec![append("l", "1")], &["0"]),
        event("b", vec![append("l", "2")], &["0"]),
    ];
    let write_skew = vec![
        event("a", vec![leave("left")], &["0,0,true,false"]),
        event("b", vec![leave("right")], &["0,0,true,false"]),
    ];
    let phantom = vec![
        event("a", vec![join("g", 1), append("l", "1")], &["", "0"]),
        event("b", vec![join("g", 1)], &[""]),
    ];
    // Each of two reads sees one of two writes, and not the same.
    let long_fork = vec![
        event("a", vec![append("x", "1")], &["0"]),
        event("b", vec![append("y", "2")], &["0"]),
        event("c", vec![read("x"), read("y")], &["1", ""]),
        event("d", vec![read("x"), read("y")], &["", "2"]),
    ];
    let circular = vec![
        event("a", vec![append("x", "1"), read("y")], &["0", "2"]),
        event("b", vec![append("y", "2"), read("x")], &["0", "1"]),
    ];
    let aborted_read = vec![event("a", vec![read("x")], &["1"])];
    let half = vec![
        event("a", vec![append("x", "1"), append("y", "1")], &["0", "0"]),
        event("b", vec![read("x"), read("y")], &["1", ""]),
    ];
    let other_value = vec![
        event("a", vec![append("x", "1")], &["0"]),
        event("b", vec![read("x")], &["7"]),
    ];
    let within = vec![event("a", vec![append("x", "1"), read("x")], &["0", ""])];
    let histories = [
        ("lost update", lost_update),
        ("write skew", write_skew),
        ("phantom", phantom),
        ("long fork", long_fork),
        ("circular information flow", circular),
        ("aborted read", aborted_read),
        ("half a transaction", half),
        ("another value", other_value),
        ("no own writes", within),
    ];
    for (name, events) in histories {
        assert!(!graph(&events).is_empty(), "{name}");
        assert!(!replay(&events).is_empty(), "{name}");
    }
}

#[test]
fn a_stale_read_is_noticed_by_the_time_of_its_answer() {
    let mut write = event("a", vec![append("x", "1")], &["0"]);
    let mut stale = event("b", vec![read("x")], &[""]);
    (stale.begun, stale.ended) = (Some(2_000), Some(2_001));
    assert!(!graph(&[write.clone(), stale.clone()]).is_empty());
    // While the write is under way, or where its answer is not known, both orders are right.
    stale.begun = Some(500);
    assert_eq!(graph(&[write.clone(), stale.clone()]), [""; 0]);
    (write.ended, stale.begun) = (None, Some(2_000));
    assert_eq!(graph(&[write, stale]), [""; 0]);
}

#[test]
fn a_session_out_of_order_is_noticed() {
    let mut first = event("a", vec![append("x", "1")], &["1"]);
    let mut second = event("b", vec![append("x", "2")], &["0"]);
    assert_eq!(graph(&[first.clone(), second.clone()]), [""; 0]);
    (first.session, second.session) = (Some((0, 0)), Some((0, 1)));
    assert!(!graph(&[first, second]).is_empty());
}

#[test]
fn timestamps_that_contradict_the_values_are_noticed() {
    let mut write = event("a", vec![append("x", "1")], &["0"]);
    let mut result = event("b", vec![read("x")], &[""]);
    result.is_mutation = false;
    (write.ts, result.ts) = (Some(Timestamp(5)), Some(Timestamp(4)));
    assert_eq!(replay(&[write.clone(), result.clone()]), [""; 0]);
    // A result of a timestamp holds the commit of that timestamp.
    result.ts = Some(Timestamp(5));
    assert!(!replay(&[write.clone(), result.clone()]).is_empty());
    assert_eq!(graph(&[write.clone(), result]), [""; 0]);
    let mut twin = event("c", vec![append("y", "1")], &["0"]);
    twin.ts = write.ts;
    assert!(!replay(&[write, twin]).is_empty());
}

#[test]
fn money_that_comes_from_nowhere_is_noticed_by_the_replay() {
    let transfer = Step::new(Kind::Transfer, "a", "b", 5);
    let total = Step::new(Kind::Total, "", "", 0);
    let events = |b: &str| {
        let seen = format!("a:999995:1,{b}");
        [
            event("a", vec![transfer.clone()], &["0,0"]),
            event("b", vec![total.clone()], &[&seen]),
        ]
    };
    assert_eq!(replay(&events("b:1000005:1")), [""; 0]);
    assert!(!replay(&events("b:1000006:1")).is_empty());
}

// ---- books -----------------------------------------------------------------------------------------------------

fn op(id: &str, outcome: Outcome) -> Op {
    Op {
        id: id.into(),
        is_mutation: true,
        session: None,
        person: Some("ada".into()),
        begun: Some(0),
        ended: Some(1),
        steps: vec![
            append("x", "1"),
            Step::new(Kind::Schedule, "", format!("{id}.1"), 0),
        ],
        outcome,
    }
}

fn done() -> Outcome {
    Outcome::Done(vec!["0".into(), String::new()], None)
}

fn right() -> (Vec<Op>, Books) {
    let entry = Entry {
        id: "m1".into(),
        results: vec!["0".into(), String::new()],
        user: Some("http://issuer|ada".into()),
    };
    let books = Books {
        journal: vec![entry],
        users: vec!["http://issuer|ada".into()],
        effects: vec!["m1.1".into()],
    };
    let ops = vec![
        op("m1", done()),
        op("m2", Outcome::Unknown),
        op("m3", Outcome::Failed("full".into())),
    ];
    (ops, books)
}

fn breaches(change: impl FnOnce(&mut Vec<Op>, &mut Books)) -> Vec<String> {
    let (mut ops, mut books) = right();
    change(&mut ops, &mut books);
    books.compare(&ops).breaches
}

#[test]
fn each_fault_of_the_books_is_noticed() {
    assert_eq!(breaches(|_, _| {}), [""; 0]);
    let told = |what: &str, breaches: Vec<String>| {
        let is_told = breaches.iter().any(|breach| breach.contains(what));
        assert!(is_told, "{what}: {breaches:?}");
    };
    let twice = breaches(|_, books| books.journal.push(books.journal[0].clone()));
    told("twice: m1", twice);
    told("lost: m1", breaches(|_, books| books.journal.clear()));
    told(
        "half: m1",
        breaches(|_, books| books.journal[0].results[0] = "1".into()),
    );
    told(
        "from nowhere: m9",
        breaches(|_, books| {
            let id = "m9".into();
            books.journal.push(Entry {
                id,
                ..books.journal[0].clone()
            });
        }),
    );
    told(
        "refused",
        breaches(|ops, _| ops[0].outcome = Outcome::Failed("full".into())),
    );
    told(
        "two users of ada",
        breaches(|_, books| books.users.push("http://issuer|ada".into())),
    );
    told("has no user", breaches(|_, books| books.users.clear()));
    told(
        "ran as None",
        breaches(|_, books| books.journal[0].user = None),
    );
    told(
        "before its user",
        breaches(|ops, _| {
            ops[2].outcome = Outcome::Failed("NoUser".into());
        }),
    );
    told("ran 0 times", breaches(|_, books| books.effects.clear()));
    told(
        "ran 2 times",
        breaches(|_, books| books.effects.push("m1.1".into())),
    );
    told(
        "never scheduled",
        breaches(|_, books| books.effects.push("m2.1".into())),
    );
}
