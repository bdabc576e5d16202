//! Queries read step by step, and counted.

use super::*;

fn stream(query: &str) -> String {
    format!(r#"{{"query":{query},"version":"1.49.0"}}"#)
}

fn full_scan(operators: &str) -> String {
    stream(&format!(
        r#"{{"source":{{"type":"FullTableScan","tableName":"rooms","order":null}},"operators":{operators}}}"#
    ))
}

fn range(index: &str, range: &str, order: &str) -> String {
    stream(&format!(
        r#"{{"source":{{"type":"IndexRange","indexName":"{index}","range":{range},"order":{order}}},"operators":[]}}"#
    ))
}

/// Opens a query, reads it to its end and tells the `n` of each document.
fn numbers(function: &mut Function<'_, '_>, query: &str) -> Vec<f64> {
    let id = function.json("queryStream", query)["queryId"].to_string();
    let args = format!(r#"{{"queryId":{id}}}"#);
    let mut numbers = Vec::new();
    loop {
        let next = function.json("queryStreamNext", &args);
        if next["done"] == true {
            assert!(next["value"].is_null());
            break;
        }
        numbers.push(next["value"]["n"].as_f64().unwrap());
    }
    assert_eq!(function.call("queryCleanup", &args), "true");
    numbers
}

#[test]
fn sources_orders_and_operators_are_as_the_package_writes_them() {
    let world = World::new(5);
    let id = world.id("$ROOM2");
    let field = r#"{"$field":"n"}"#;
    let cases = [
        (full_scan("[]"), vec![0.0, 1.0, 2.0, 3.0, 4.0]),
        (
            range("rooms.by_n", "[]", r#""desc""#),
            vec![4.0, 3.0, 2.0, 1.0, 0.0],
        ),
        (
            range(
                "rooms.by_n",
                r#"[{"type":"Gte","fieldPath":"n","value":3}]"#,
                "null",
            ),
            vec![3.0, 4.0],
        ),
        (
            range(
                "rooms.by_n",
                r#"[{"type":"Gt","fieldPath":"n","value":1},{"type":"Lte","fieldPath":"n","value":3}]"#,
                r#""asc""#,
            ),
            vec![2.0, 3.0],
        ),
        (
            range(
                "rooms.by_ab",
                r#"[{"type":"Eq","fieldPath":"a","value":{"$undefined":null}}]"#,
                "null",
            ),
            vec![0.0, 1.0, 2.0, 3.0, 4.0],
        ),
        (
            range(
                "rooms.by_id",
                &format!(r#"[{{"type":"Eq","fieldPath":"_id","value":"{id}"}}]"#),
                "null",
            ),
            vec![2.0],
        ),
        (full_scan(r#"[{"limit":2}]"#), vec![0.0, 1.0]),
        (full_scan(r#"[{"limit":0}]"#), vec![]),
        (
            full_scan(&format!(
                r#"[{{"filter":{{"$gt":[{field},{{"$literal":1}}]}}}},{{"limit":2}}]"#
            )),
            vec![2.0, 3.0],
        ),
        (
            full_scan(&format!(
                r#"[{{"filter":{{"$eq":[{{"$mod":[{field},{{"$literal":2}}]}},{{"$literal":0}}]}}}}]"#
            )),
            vec![0.0, 2.0, 4.0],
        ),
        (
            full_scan(&format!(
                r#"[{{"filter":{{"$and":[{{"$not":{{"$eq":[{field},{{"$literal":1}}]}}}},
                   {{"$or":[{{"$lt":[{field},{{"$literal":2}}]}},{{"$eq":[{{"$neg":{field}}},{{"$literal":-4}}]}}]}}]}}}}]"#
            )),
            vec![0.0, 4.0],
        ),
        (
            full_scan(
                r#"[{"filter":{"$eq":[{"$field":"x.y"},{"$literal":{"$undefined":null}}]}},{"limit":1}]"#,
            ),
            vec![0.0],
        ),
    ];
    for (query, expected) in cases {
        let (found, _) = world.query(|function| numbers(function, &query));
        assert_eq!(found, expected, "{query}");
    }
}

#[test]
fn an_unknown_table_is_empty_and_its_indexes_do_not_exist() {
    let world = World::new(1);
    let scan = |table: &str| {
        stream(&format!(
            r#"{{"source":{{"type":"FullTableScan","tableName":"{table}","order":null}},"operators":[]}}"#
        ))
    };
    for table in ["nowhere", "_modules"] {
        let (found, _) = world.query(|function| numbers(function, &scan(table)));
        assert_eq!(found, Vec::<f64>::new());
        let count = format!(r#"{{"table":"{table}"}}"#);
        assert_eq!(
            world.query(|function| function.call("count", &count)).0,
            "0.0"
        );
    }
    let refused = |query: String| {
        world
            .query(|function| function.call("queryStream", &query))
            .0
    };
    assert_eq!(
        refused(range("nowhere.by_id", "[]", "null")),
        "! Index nowhere.by_id not found."
    );
    assert_eq!(
        refused(range("_modules.by_path", "[]", "null")),
        "! Index _modules.by_path not found."
    );
    assert_eq!(
        refused(range("rooms.by_x", "[]", "null")),
        "! Index rooms.by_x not found."
    );
}

#[test]
fn text_searches_find_words_and_equal_values() {
    let mut world = World::new(0);
    for (text, owner) in [("A fish!", "ada"), ("fish fish", "bob"), ("a bird", "ada")] {
        let note = object! { "text" => text, "owner" => owner };
        world.rig.insert("notes", note);
    }
    let search = |filters: &str| {
        format!(
            r#"{{"source":{{"type":"Search","indexName":"notes.by_text","filters":{filters}}},"operators":[{{"limit":9}}]}}"#
        )
    };
    let found = |filters: &str| {
        let search = stream(&search(filters));
        let (found, _) = world.query(|function| {
            let opened = function.call("queryStream", &search);
            if opened.starts_with("! ") {
                return opened;
            }
            let mut texts = Vec::new();
            loop {
                let next = function.call("queryStreamNext", &opened);
                let next: serde_json::Value = serde_json::from_str(&next).unwrap();
                match next["value"]["text"].as_str() {
                    Some(text) => texts.push(text.to_owned()),
                    None => return texts.join("|"),
                }
            }
        });
        found
    };
    let fish = r#"{"type":"Search","fieldPath":"text","value":"fis"}"#;
    let ada = r#"{"type":"Eq","fieldPath":"owner","value":"ada"}"#;
    let missing = r#"{"type":"Eq","fieldPath":"owner","value":{"$undefined":null}}"#;
    assert_eq!(found(&format!("[{fish}]")), "fish fish|A fish!");
    assert_eq!(found(&format!("[{fish},{ada}]")), "A fish!");
    assert_eq!(found(&format!("[{fish},{missing}]")), "");
    let refused = found(r#"[{"type":"Search","fieldPath":"x","value":"a"}]"#);
    assert!(
        refused.contains("doesn't match the indexed `searchField` \"text\""),
        "{refused}"
    );
    let refused = found(r#"[{"type":"Like","fieldPath":"x","value":"a"}]"#);
    assert!(
        refused.contains("unknown search filter \"Like\""),
        "{refused}"
    );
}

#[test]
fn text_searches_find_search_indexes_only() {
    let world = World::new(1);
    let search = |index: &str| {
        stream(&format!(
            r#"{{"source":{{"type":"Search","indexName":"{index}","filters":[]}},"operators":[]}}"#
        ))
    };
    let refused = |index: &str| {
        world
            .query(|function| function.call("queryStream", &search(index)))
            .0
    };
    assert_eq!(
        refused("rooms.by_n"),
        "! Index rooms.by_n is not a search index"
    );
    assert_eq!(
        refused("rooms.by_id"),
        "! Index rooms.by_id is not a search index"
    );
    assert_eq!(refused("rooms.search"), "! Index rooms.search not found.");
    assert_eq!(
        refused("nowhere.search"),
        "! Index nowhere.search not found."
    );
    assert_eq!(
        refused("_storage.by_id"),
        "! Index _storage.by_id not found."
    );
    let ranged = range("notes.by_text", "[]", "null");
    assert_eq!(
        world
            .query(|function| function.call("queryStream", &ranged))
            .0,
        "! Index notes.by_text is not a database index"
    );
}

#[test]
fn a_range_that_the_index_does_not_allow_is_refused_when_the_query_is_opened() {
    let world = World::new(0);
    const HELP: &str = "For more information see https://docs.convex.dev/using/indexes.";
    let cases = [
        (
            r#"[{"type":"Eq","fieldPath":"x","value":1}]"#,
            format!(
                "! The index range included a comparison with \"x\", but rooms.by_ab with fields [\"a\", \"b.c\", \
                 \"_creationTime\"] doesn't index this field. {HELP}"
            ),
        ),
        (
            r#"[{"type":"Eq","fieldPath":"b.c","value":1}]"#,
            format!(
                "! Tried to query index rooms.by_ab but the query didn't use the index fields in order.\nIndex \
                 fields: [\"a\", \"b.c\", \"_creationTime\"]\nQuery fields: [\"b.c\"]\nFirst incorrect field: \
                 \"b.c\"\n{HELP}"
            ),
        ),
        (
            r#"[{"type":"Eq","fieldPath":"a","value":1},{"type":"Eq","fieldPath":"a","value":1}]"#,
            "! Already defined equality bound in index range. Can't add \"a\" == 1.0.".to_string(),
        ),
        (
            r#"[{"type":"Gt","fieldPath":"a","value":1},{"type":"Gte","fieldPath":"a","value":"x"}]"#,
            "! Already defined lower bound in index range. Can't add \"a\" >= \"x\".".to_string(),
        ),
        (
            r#"[{"type":"Lt","fieldPath":"a","value":1},{"type":"Lte","fieldPath":"a","value":null}]"#,
            "! Already defined upper bound in index range. Can't add \"a\" <= null.".to_string(),
        ),
    ];
    for (bounds, expected) in cases {
        let query = range("rooms.by_ab", bounds, "null");
        let (refused, _) = world.query(|function| function.call("queryStream", &query));
        assert_eq!(refused, expected);
    }
    let query = range(
        "rooms.by_ab",
        r#"[{"type":"Gt","fieldPath":"a","value":1},{"type":"Lt","fieldPath":"b.c","value":1}]"#,
        "null",
    );
    let (refused, _) = world.query(|function| function.call("queryStream", &query));
    assert!(refused.starts_with(
        "! Upper and lower bounds in `range` can only be applied to a single index field."
    ));
}

#[test]
fn queries_that_cannot_be_read_say_why() {
    let world = World::new(0);
    let too_many = format!("[{}]", vec![r#"{"limit":1}"#; 257].join(","));
    let cases = [
        (full_scan(&too_many), "! Query has too many operators: 257"),
        (
            full_scan(r#"[{"limit":1.5}]"#),
            "! Invalid argument `query` for `queryStream`: a limit must be a non-negative integer, not 1.5",
        ),
        (
            full_scan(r#"[{"filter":{"$pow":[1,2]}}]"#),
            "! Invalid argument `query` for `queryStream`: unknown expression \"$pow\"",
        ),
        (
            full_scan(r#"[{"filter":{"$eq":[{"$literal":1}]}}]"#),
            "! Invalid argument `query` for `queryStream`: expected two operands, got 1",
        ),
        (
            full_scan(r#"[{"filter":{"$literal":{"$bytes":1}}}]"#),
            "! Invalid argument `query` for `queryStream`: `$bytes` must hold base64",
        ),
        (
            stream(r#"{"source":{"type":"Other"},"operators":[]}"#),
            "! Invalid argument `query` for `queryStream`: unknown source \"Other\"",
        ),
        (
            stream(r#"{"operators":[]}"#),
            "! Invalid argument `query` for `queryStream`: missing field `source`",
        ),
        (
            range("rooms", "[]", "null"),
            "! Invalid argument `query` for `queryStream`: \"rooms\" is not the name of a table and an index",
        ),
        (
            "{}".to_string(),
            "! Invalid arguments for `queryStream`: Missing required argument 'query'",
        ),
    ];
    for (query, expected) in cases {
        let (refused, _) = world.query(|function| function.call("queryStream", &query));
        assert_eq!(refused, expected);
    }
}

#[test]
fn a_filter_that_goes_wrong_fails_where_it_does() {
    let world = World::new(1);
    let query = full_scan(r#"[{"filter":{"$field":"n"}}]"#);
    let (answers, _) = world.query(|function| {
        function.json("queryStream", &query);
        let next = r#"{"queryId":0}"#;
        [
            function.call("queryStreamNext", next),
            function.call("queryStreamNext", next),
        ]
    });
    assert_eq!(
        answers[0],
        "! Cannot use value 0.0 (type Float64) as a Boolean"
    );
    assert_eq!(answers[1], r#"{"value":null,"done":true}"#);
}

#[test]
fn queries_have_ids_of_their_own_and_can_be_closed_early() {
    let world = World::new(3);
    world.query(|function| {
        let all = full_scan("[]");
        assert_eq!(function.call("queryStream", &all), r#"{"queryId":0}"#);
        assert_eq!(function.call("queryStream", &all), r#"{"queryId":1}"#);
        let next = |function: &mut Function<'_, '_>, id: u32| {
            let args = format!(r#"{{"queryId":{id}}}"#);
            function.json("queryStreamNext", &args)["value"]["n"].as_f64()
        };
        assert_eq!(next(function, 1), Some(0.0));
        assert_eq!(next(function, 0), Some(0.0));
        assert_eq!(next(function, 1), Some(1.0));
        assert_eq!(function.call("queryCleanup", r#"{"queryId":1}"#), "true");
        assert_eq!(function.call("queryCleanup", r#"{"queryId":1}"#), "false");
        assert_eq!(
            function.call("queryStreamNext", r#"{"queryId":1}"#),
            "! Invalid argument `queryId` for `queryStreamNext`: no such query is open"
        );
        assert_eq!(function.0.tx.usage().documents_read, 3);
    });
}

#[test]
fn counting_reads_no_document_and_depends_on_the_table() {
    let mut world = World::new(3);
    let (answer, reads) = world.query(|function| {
        let answer = function.call("count", r#"{"table":"rooms"}"#);
        assert_eq!(function.0.tx.usage().documents_read, 0);
        answer
    });
    assert_eq!(answer, "3.0");
    assert_eq!(reads.into_ranges().len(), 1);
    world.mutation(|function| {
        function.json("insert", r#"{"table":"rooms","value":{}}"#);
        assert_eq!(function.call("count", r#"{"table":"rooms"}"#), "4.0");
    });
}

#[test]
fn limits_on_reads_are_told() {
    const HELP: &str = "Consider using smaller limits in your queries, paginating your queries, or using indexed \
                        queries with a selective index range expressions.";
    let read_all = |limits: Limits| {
        let world = World::with_limits(3, limits);
        let (refused, _) = world.query(|function| {
            function.json("queryStream", &full_scan("[]"));
            loop {
                match function.try_call("queryStreamNext", r#"{"queryId":0}"#) {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            }
        });
        assert_eq!(refused.kind, ErrorKind::Limit);
        refused.to_string()
    };
    let limits = Limits {
        documents_read_max: 2,
        ..Limits::default()
    };
    assert_eq!(
        read_all(limits),
        format!("Too many documents read in a single function execution (limit: 2). {HELP}")
    );
    let limits = Limits {
        bytes_read_max: 100,
        ..Limits::default()
    };
    assert_eq!(
        read_all(limits),
        format!("Too many bytes read in a single function execution (limit: 100 bytes). {HELP}")
    );
    let limits = Limits {
        ranges_read_max: 1,
        ..Limits::default()
    };
    let world = World::with_limits(2, limits);
    let (answers, _) = world.query(|function| {
        ["$ROOM0", "$ROOM1"].map(|name| {
            let args = world.filled_in(&format!(r#"{{"id":"{name}"}}"#));
            function.call("get", &args)
        })
    });
    assert_eq!(
        answers[1],
        format!("! Too many reads in a single function execution (limit: 1). {HELP}")
    );
}
