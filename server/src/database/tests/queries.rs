//! Queries: how ranges compile, orders, operators and limits.

use std::time::Duration;

use vestibule_schema::object;

use super::*;

fn rooms() -> Schema {
    let indexes: [(&str, &[&str]); 2] = [("by_ab", &["a", "b.c"]), ("by_b", &["b"])];
    schema([table("rooms", &indexes)])
}

/// Documents `{a, n}` in the order of their creation, with `n` counting up from 0.
fn filled(values: &[i32]) -> Rig {
    let mut rig = Rig::new(rooms());
    for (n, a) in values.iter().enumerate() {
        rig.insert("rooms", object! {"a" => *a, "n" => n as f64});
    }
    rig
}

fn numbers(rig: &Rig, query: &Query) -> Vec<f64> {
    let (found, _) = rig.query(|tx| tx.collect(query).unwrap());
    column(&found, "n")
        .into_iter()
        .map(|n| n.unwrap().as_f64().unwrap())
        .collect()
}

fn is_above(field: &str, limit: f64) -> Operator {
    let field = Expression::field(field.parse().unwrap());
    Operator::Filter(Expression::compare(
        Comparison::Greater,
        field,
        Expression::literal(limit),
    ))
}

const HELP: &str = "For more information see https://docs.convex.dev/using/indexes.";

#[test]
fn a_range_that_does_not_fit_its_index_is_refused_in_words() {
    use BoundKind::{Eq, Gt, Gte, Lt, Lte};
    let rig = Rig::new(rooms());
    let not_indexed = format!(
        "The index range included a comparison with \"x\", but rooms.by_ab with fields \
         [\"a\", \"b.c\", \"_creationTime\"] doesn't index this field. {HELP}"
    );
    let not_in_order = |query: &str, first: &str| {
        format!(
            "Tried to query index rooms.by_ab but the query didn't use the index fields in order.\n\
             Index fields: [\"a\", \"b.c\", \"_creationTime\"]\nQuery fields: {query}\n\
             First incorrect field: \"{first}\"\n{HELP}"
        )
    };
    let already = |what: &str| {
        format!(
            "Already defined {what} bound in index range. Can't add {}.",
            "\"a\" "
        )
    };
    let already =
        |what: &str, added: &str| already(what).replace("\"a\" .", &format!("\"a\" {added}."));
    let cases: Vec<(Vec<Bound>, String)> = vec![
        (vec![bound(Eq, "x", 1)], not_indexed.clone()),
        (
            vec![bound(Eq, "b", 1)],
            not_indexed.replace("\"x\"", "\"b\""),
        ),
        (vec![bound(Eq, "b.c", 1)], not_in_order("[\"b.c\"]", "b.c")),
        (vec![bound(Lt, "b.c", 1)], not_in_order("[\"b.c\"]", "b.c")),
        (
            vec![bound(Eq, "a", 1), bound(Gt, "_creationTime", 1)],
            not_in_order("[\"a\", \"_creationTime\"]", "_creationTime"),
        ),
        (
            vec![bound(Eq, "a", 1), bound(Gt, "a", 0)],
            not_in_order("[\"a\", \"a\"]", "a"),
        ),
        (
            vec![bound(Eq, "a", 1), bound(Eq, "a", 1)],
            already("equality", "== 1.0"),
        ),
        (
            vec![bound(Gt, "a", 1), bound(Gte, "a", 2)],
            already("lower", ">= 2.0"),
        ),
        (
            vec![bound(Lt, "a", 1), undefined(Lte, "a")],
            already("upper", "<= undefined"),
        ),
        (
            vec![bound(Gt, "a", 1), bound(Gt, "a", "x")],
            already("lower", "> \"x\""),
        ),
        (
            vec![bound(Lte, "a", 1), bound(Lt, "a", 1)],
            already("upper", "< 1.0"),
        ),
        (
            vec![
                bound(Eq, "a", 1),
                bound(Gt, "b.c", 1),
                bound(Lt, "_creationTime", 1),
            ],
            format!(
                "Upper and lower bounds in `range` can only be applied to a single index field. This query against \
                 index rooms.by_ab attempted to set a lower bound on \"b.c\" and an upper bound on \
                 \"_creationTime\". {HELP}"
            ),
        ),
    ];
    for (bounds, expected) in cases {
        let source = Source::IndexRange {
            index: "by_ab".into(),
            bounds,
        };
        let query = Query {
            source,
            ..Query::table("rooms")
        };
        let (refused, _) = rig.query(|tx| tx.collect(&query));
        assert_eq!(text(refused), expected);
    }
}

#[test]
fn every_index_ends_in_creation_time_and_id() {
    use BoundKind::{Eq, Gt, Gte, Lt, Lte};
    let rig = filled(&[1, 1, 1, 2]);
    let (all, _) = rig.query(|tx| tx.collect(&Query::table("rooms")).unwrap());
    let created = column(&all, "_creationTime")[1].clone().unwrap();
    let id = all[1].id.to_string();

    let after = [
        bound(Eq, "a", 1),
        undefined(Eq, "b.c"),
        bound(Gt, "_creationTime", created.clone()),
    ];
    assert_eq!(numbers(&rig, &range("rooms", "by_ab", after)), [2.0]);
    let exact = [
        bound(Eq, "_id", id.clone()),
        bound(Eq, "_creationTime", created.clone()),
        undefined(Eq, "b.c"),
        bound(Eq, "a", 1),
    ];
    assert_eq!(numbers(&rig, &range("rooms", "by_ab", exact)), [1.0]);
    let until = range(
        "rooms",
        "by_creation_time",
        [bound(Lte, "_creationTime", created)],
    );
    assert_eq!(numbers(&rig, &until), [0.0, 1.0]);
    assert_eq!(
        numbers(&rig, &range("rooms", "by_id", [bound(Eq, "_id", id)])),
        [1.0]
    );
    let by_id =
        |kind, value: Value| numbers(&rig, &range("rooms", "by_id", [bound(kind, "_id", value)]));
    assert_eq!(by_id(Eq, "x".into()), Vec::<f64>::new());
    assert_eq!(by_id(Gt, "".into()).len(), all.len());
    assert_eq!(by_id(Lt, "".into()), Vec::<f64>::new());
    assert_eq!(by_id(Lte, "zz".into()).len(), all.len());
    assert_eq!(by_id(Gte, "zz".into()), Vec::<f64>::new());
}

#[test]
fn a_range_is_contiguous_across_types_and_empty_when_its_bounds_cross() {
    use BoundKind::{Gt, Gte, Lt, Lte};
    let mut rig = Rig::new(rooms());
    let values = [
        None,
        Some(Value::Null),
        Some(Value::from(5_i64)),
        Some(Value::from(3)),
        Some(Value::from("x")),
    ];
    for (n, value) in values.into_iter().enumerate() {
        let mut fields = object! {"n" => n as f64};
        fields.extend(value.map(|value| ("a".to_string(), value)));
        rig.insert("rooms", fields);
    }
    let find = |bounds: Vec<Bound>| {
        let source = Source::IndexRange {
            index: "by_ab".into(),
            bounds,
        };
        numbers(
            &rig,
            &Query {
                source,
                ..Query::table("rooms")
            },
        )
    };
    assert_eq!(find(vec![bound(Gt, "a", 3)]), [4.0]);
    assert_eq!(find(vec![bound(Gte, "a", 3)]), [3.0, 4.0]);
    assert_eq!(find(vec![bound(Lt, "a", 3)]), [0.0, 1.0, 2.0]);
    assert_eq!(find(vec![bound(Lte, "a", ())]), [0.0, 1.0]);
    assert_eq!(
        find(vec![undefined(Gt, "a"), bound(Lt, "a", 3)]),
        [1.0, 2.0]
    );
    assert_eq!(find(vec![bound(Gt, "a", 9), bound(Lt, "a", 3)]), [0.0; 0]);
    assert_eq!(find(vec![bound(Gt, "a", 3), bound(Lt, "a", 3)]), [0.0; 0]);
}

#[test]
fn an_order_covers_the_whole_key_and_a_full_scan_goes_by_creation() {
    let rig = filled(&[2, 1, 2, 1]);
    assert_eq!(numbers(&rig, &Query::table("rooms")), [0.0, 1.0, 2.0, 3.0]);
    let descending = |query| Query {
        order: Order::Desc,
        ..query
    };
    assert_eq!(
        numbers(&rig, &descending(Query::table("rooms"))),
        [3.0, 2.0, 1.0, 0.0]
    );
    assert_eq!(
        numbers(&rig, &index("rooms", "by_ab")),
        [1.0, 3.0, 0.0, 2.0]
    );
    assert_eq!(
        numbers(&rig, &descending(index("rooms", "by_ab"))),
        [2.0, 0.0, 3.0, 1.0]
    );
    let mut by_id = numbers(&rig, &index("rooms", "by_id"));
    by_id.sort_by(f64::total_cmp);
    assert_eq!(by_id, [0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn an_unknown_table_is_empty_and_an_unknown_index_is_an_error() {
    let rig = Rig::new(rooms());
    let (found, _) = rig.query(|tx| tx.collect(&Query::table("nowhere")).unwrap());
    assert_eq!(found, []);
    for (table, name) in [("nowhere", "by_id"), ("nowhere", "by_x"), ("rooms", "by_x")] {
        let (refused, _) = rig.query(|tx| tx.collect(&index(table, name)));
        assert_eq!(text(refused), format!("Index {table}.{name} not found."));
    }
}

#[test]
fn operators_apply_in_their_order() {
    let rig = filled(&[1, 2, 3, 4, 5]);
    let find = |operators| {
        numbers(
            &rig,
            &Query {
                operators,
                ..Query::table("rooms")
            },
        )
    };
    assert_eq!(
        find(vec![is_above("a", 2.0), Operator::Limit(2)]),
        [2.0, 3.0]
    );
    assert_eq!(find(vec![Operator::Limit(3), is_above("a", 2.0)]), [2.0]);
    assert_eq!(
        find(vec![is_above("a", 1.0), is_above("n", 2.0)]),
        [3.0, 4.0]
    );
    assert_eq!(
        find(vec![
            Operator::Limit(4),
            is_above("a", 1.0),
            Operator::Limit(2)
        ]),
        [1.0, 2.0]
    );
    assert_eq!(find(vec![Operator::Limit(0)]), [0.0; 0]);
}

#[test]
fn too_many_operators_are_refused() {
    let rig = filled(&[]);
    let operators = |count| vec![is_above("a", 0.0); count];
    let run = |count| {
        let query = Query {
            operators: operators(count),
            ..Query::table("rooms")
        };
        rig.query(|tx| tx.collect(&query)).0
    };
    run(256).unwrap();
    assert_eq!(text(run(257)), "Query has too many operators: 257");
}

#[test]
fn a_filter_that_cannot_be_evaluated_ends_the_query() {
    let rig = filled(&[1]);
    let operators = vec![Operator::Filter(Expression::field("a".parse().unwrap()))];
    let query = Query {
        operators,
        ..Query::table("rooms")
    };
    let (refused, _) = rig.query(|tx| tx.collect(&query));
    assert_eq!(
        text(refused),
        "Cannot use value 1.0 (type Float64) as a Boolean"
    );
}

#[test]
fn take_and_unique_give_no_more_than_asked_for() {
    let rig = filled(&[1, 2, 2]);
    rig.query(|tx| {
        let all = Query::table("rooms");
        assert_eq!(tx.take(&all, 0).unwrap().len(), 0);
        assert_eq!(tx.take(&all, 2).unwrap().len(), 2);
        assert_eq!(tx.take(&all, 9).unwrap().len(), 3);

        let only = |a| range("rooms", "by_ab", [bound(BoundKind::Eq, "a", a)]);
        assert_eq!(tx.unique(&only(7)).unwrap(), None);
        assert_eq!(
            tx.unique(&only(1)).unwrap().unwrap().fields["n"],
            Value::from(0)
        );
        let two = ids(&tx.collect(&only(2)).unwrap());
        assert_eq!(
            text(tx.unique(&only(2))),
            format!(
                "unique() query returned more than one result from table rooms:\n [{}, {}]",
                two[0], two[1]
            )
        );
    });
}

#[test]
fn a_scan_can_be_stopped_and_charges_what_it_passed() {
    let rig = filled(&[1, 2, 3]);
    rig.query(|tx| {
        let mut seen = 0;
        tx.scan(&Query::table("rooms"), |_| {
            seen += 1;
            match seen < 2 {
                true => std::ops::ControlFlow::Continue(()),
                false => std::ops::ControlFlow::Break(()),
            }
        })
        .unwrap();
        let bytes = 2 + 38 + 23 + 2 * (2 + 9);
        assert_eq!(
            (tx.usage().documents_read, tx.usage().bytes_read),
            (2, 2 * bytes)
        );
    });
}

const READ_HELP: &str = "Consider using smaller limits in your queries, paginating your queries, or using indexed \
                         queries with a selective index range expressions.";

#[test]
fn reads_are_limited_in_documents_bytes_and_ranges() {
    let mut rig = filled(&[1, 2, 3, 4]);
    rig.environment.limits.documents_read_max = 3;
    rig.query(|tx| {
        assert_eq!(tx.take(&Query::table("rooms"), 3).unwrap().len(), 3);
        assert_eq!(
            text(tx.take(&Query::table("rooms"), 1)),
            format!(
                "Too many documents read in a single function execution (limit: 3). {READ_HELP}"
            )
        );
    });
    rig.environment.limits = Limits {
        bytes_read_max: 200,
        ..Limits::default()
    };
    let (refused, _) = rig.query(|tx| tx.collect(&Query::table("rooms")));
    assert_eq!(
        text(refused),
        format!(
            "Too many bytes read in a single function execution (limit: 200 bytes). {READ_HELP}"
        )
    );
    rig.environment.limits = Limits {
        ranges_read_max: 2,
        ..Limits::default()
    };
    rig.query(|tx| {
        let only = |a| range("rooms", "by_ab", [bound(BoundKind::Eq, "a", a)]);
        for _ in 0..3 {
            tx.collect(&only(1)).unwrap();
            tx.collect(&only(3)).unwrap();
        }
        assert_eq!(
            text(tx.collect(&only(7))),
            format!("Too many reads in a single function execution (limit: 2). {READ_HELP}")
        );
    });
}

#[test]
fn filtered_documents_are_charged_too() {
    let rig = filled(&[1, 2, 3]);
    let query = Query {
        operators: vec![is_above("a", 2.0)],
        ..Query::table("rooms")
    };
    rig.query(|tx| {
        assert_eq!(tx.collect(&query).unwrap().len(), 1);
        assert_eq!(tx.usage().documents_read, 3);
    });
}

#[test]
fn an_execution_that_takes_too_long_is_stopped_at_its_next_call() {
    let mut rig = filled(&[1]);
    let clock = rig.clock.clone();
    rig.attempt(|tx| {
        let id = tx.insert("rooms", object! {}).unwrap();
        clock.advance(Duration::from_millis(1_000));
        tx.get(id).unwrap();
        clock.advance(Duration::from_millis(1));
        let late = "Function execution timed out (maximum duration: 1s)";
        assert_eq!(text(tx.get(id)), late);
        assert_eq!(text(tx.collect(&Query::table("rooms"))), late);
        assert_eq!(text(tx.insert("rooms", object! {})), late);
        assert_eq!(text(tx.delete(id)), late);
    });
}
