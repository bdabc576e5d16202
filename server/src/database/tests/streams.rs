//! Queries read one document at a time.

use proptest::prelude::*;
use vestibule_schema::object;

use super::*;
use crate::storage::KeyRange;

fn rig(numbers: impl IntoIterator<Item = i64>) -> Rig {
    let mut rig = Rig::new(schema([table("rooms", &[("by_n", &["n"])])]));
    rig.commit(|tx| {
        for n in numbers {
            tx.insert("rooms", object! { "n" => n }).unwrap();
        }
    });
    rig
}

fn next(tx: &mut Transaction<'_>, stream: &mut QueryStream) -> Option<i64> {
    let document = tx.stream_next(stream).unwrap()?;
    document.fields().unwrap()["n"].as_i64()
}

fn rest(tx: &mut Transaction<'_>, stream: &mut QueryStream) -> Vec<i64> {
    std::iter::from_fn(|| next(tx, stream)).collect()
}

fn open(tx: &mut Transaction<'_>, query: Query) -> QueryStream {
    tx.open_stream(query)
        .unwrap_or_else(|error| panic!("{error}"))
}

fn by_n(order: Order, operators: Vec<Operator>) -> Query {
    Query {
        order,
        operators,
        ..index("rooms", "by_n")
    }
}

fn at_least(n: i64) -> Operator {
    let field = Expression::field("n".parse().unwrap());
    let literal = Expression::literal(n);
    Operator::Filter(Expression::compare(
        Comparison::GreaterOrEqual,
        field,
        literal,
    ))
}

#[test]
fn only_what_was_passed_is_charged_and_recorded() {
    let rig = rig(0..6);
    let (ids, _) = rig.query(|tx| ids(&tx.collect(&index("rooms", "by_n")).unwrap()));
    let catalog = rig
        .environment
        .definitions
        .at(rig.head.last_ts())
        .catalog
        .clone();
    let table = catalog.table("rooms").unwrap();
    let entry = |at: usize| {
        let snapshot = rig.store.snapshot().unwrap();
        let range = table.index("by_n").unwrap().id.range();
        let entries = snapshot.scan(range, crate::storage::Direction::Forward);
        entries.map(|entry| entry.unwrap().key).nth(at).unwrap()
    };
    for (order, passed, not_passed) in [(Order::Asc, 0..3, 3..6), (Order::Desc, 3..6, 0..3)] {
        let (usage, reads) = rig.query(|tx| {
            let mut stream = open(tx, by_n(order, Vec::new()));
            assert_eq!(tx.usage(), Usage::default());
            (0..3).for_each(|_| assert!(next(tx, &mut stream).is_some()));
            tx.usage()
        });
        assert_eq!(usage.documents_read, 3);
        assert!(passed.clone().all(|at| reads.contains(&entry(at))));
        assert!(!not_passed.clone().any(|at| reads.contains(&entry(at))));
        assert_eq!(reads.into_ranges().len(), 1, "{ids:?}");
    }
}

#[test]
fn an_exhausted_stream_has_read_its_whole_range() {
    let rig = rig(0..3);
    for order in [Order::Asc, Order::Desc] {
        let (_, stepwise) = rig.query(|tx| {
            let mut stream = open(tx, by_n(order, Vec::new()));
            assert_eq!(rest(tx, &mut stream).len(), 3);
            assert_eq!(next(tx, &mut stream), None);
        });
        let (_, at_once) = rig.query(|tx| tx.collect(&by_n(order, Vec::new())).unwrap());
        assert_eq!(stepwise.into_ranges(), at_once.into_ranges());
    }
}

#[test]
fn own_writes_ahead_of_the_stream_are_seen_and_those_behind_it_are_not() {
    let mut rig = rig([0, 2, 4, 6]);
    for (order, expected) in [(Order::Asc, vec![3, 6]), (Order::Desc, vec![1, 0])] {
        let seen = rig.attempt(|tx| {
            let all = tx.collect(&index("rooms", "by_n")).unwrap();
            let mut stream = open(tx, by_n(order, Vec::new()));
            let passed = [next(tx, &mut stream), next(tx, &mut stream)];
            assert_eq!(
                passed.map(Option::unwrap).iter().sum::<i64>(),
                match order {
                    Order::Asc => 2,
                    Order::Desc => 10,
                }
            );
            for n in [1, 3] {
                tx.insert("rooms", object! { "n" => n as i64 }).unwrap();
            }
            let deleted = if order == Order::Asc { 2 } else { 1 };
            tx.delete(all[deleted].id).unwrap();
            rest(tx, &mut stream)
        });
        // Descending, 3 is ahead as well.
        let expected = if order == Order::Desc {
            vec![3, 1, 0]
        } else {
            expected
        };
        assert_eq!(seen, expected, "{order:?}");
    }
}

#[test]
fn a_limit_ends_a_stream_without_reading_on() {
    let rig = rig(0..10);
    let (_, reads) = rig.query(|tx| {
        let operators = vec![at_least(2), Operator::Limit(2)];
        let mut stream = open(tx, by_n(Order::Asc, operators));
        assert_eq!(rest(tx, &mut stream), [2, 3]);
        assert_eq!(tx.usage().documents_read, 4);
        let mut nothing = open(tx, by_n(Order::Asc, vec![Operator::Limit(0)]));
        assert_eq!(rest(tx, &mut nothing), Vec::<i64>::new());
        assert_eq!(tx.usage().documents_read, 4);
    });
    assert_eq!(reads.into_ranges().len(), 1);
}

#[test]
fn a_bad_range_is_refused_when_the_stream_is_opened() {
    let rig = rig([]);
    let (refused, _) = rig.query(|tx| {
        let query = range("rooms", "by_n", [bound(BoundKind::Eq, "x", 1i64)]);
        tx.open_stream(query).err().unwrap().to_string()
    });
    assert!(refused.starts_with("The index range included a comparison with \"x\""));
}

#[test]
fn a_table_or_index_that_is_missing_is_a_read_of_the_catalog() {
    let rig = rig([]);
    let catalog = super::super::keys::IndexId::CATALOG.range();
    let reads_catalog = |body: &dyn Fn(&mut Transaction<'_>)| {
        let ((), reads) = rig.query(body);
        let reads: Vec<KeyRange> = reads.into_ranges();
        reads.contains(&catalog)
    };
    assert!(reads_catalog(&|tx| {
        let mut stream = open(tx, Query::table("nowhere"));
        assert_eq!(next(tx, &mut stream), None);
    }));
    assert!(reads_catalog(&|tx| drop(
        tx.open_stream(index("nowhere", "by_id"))
    )));
    assert!(reads_catalog(&|tx| drop(
        tx.open_stream(index("rooms", "by_x"))
    )));
    assert!(reads_catalog(&|tx| drop(
        tx.collect(&Query::table("nowhere"))
    )));
    assert!(reads_catalog(&|tx| {
        let number = vestibule_schema::id::TableNumber::new(20_000).unwrap();
        let id = DocumentId::new(number, vestibule_schema::id::InternalId([0; 16]));
        assert!(tx.get(id).unwrap().is_none());
    }));
    assert!(!reads_catalog(&|tx| drop(
        tx.collect(&index("rooms", "by_n"))
    )));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn streams_that_take_turns_give_and_read_what_whole_reads_do(
        turns in prop::collection::vec(0..3usize, 0..40),
        limits in prop::collection::vec(prop::option::of(0..8usize), 3),
        descending in prop::collection::vec(any::<bool>(), 3),
    ) {
        let rig = rig(0..8);
        let query = |at: usize| {
            let order = if descending[at] { Order::Desc } else { Order::Asc };
            let limit = limits[at].map(Operator::Limit);
            by_n(order, limit.into_iter().chain([at_least(at as i64)]).collect())
        };
        rig.query(|tx| {
            let mut streams: Vec<_> = (0..3).map(|at| open(tx, query(at))).collect();
            let mut given = vec![Vec::new(); 3];
            for at in turns {
                given[at].extend(next(tx, &mut streams[at]));
            }
            for at in 0..3 {
                given[at].extend(rest(tx, &mut streams[at]));
            }
            let stepwise = tx.take_reads().into_ranges();
            for (at, given) in given.into_iter().enumerate() {
                let whole = tx.collect(&query(at)).unwrap();
                let whole = column(&whole, "n").into_iter().map(|n| n.unwrap().as_i64().unwrap());
                assert_eq!(given, whole.collect::<Vec<_>>());
            }
            assert_eq!(stepwise, tx.take_reads().into_ranges());
        });
    }
}
