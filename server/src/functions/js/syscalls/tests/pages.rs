//! Paginated queries.

use serde_json::{Value as Json, json};

use super::*;

fn page(function: &mut Function<'_, '_>, index: &str, options: Json) -> Result<Json, SyscallError> {
    let mut args = json!({
        "query": {
            "source": { "type": "IndexRange", "indexName": index, "range": [], "order": null },
            "operators": [],
        },
        "cursor": null,
        "endCursor": null,
        "pageSize": 2,
        "maximumRowsRead": null,
        "version": "1.49.0",
    });
    for (name, value) in options.as_object().unwrap() {
        args[name] = value.clone();
    }
    let answer = function.try_call("queryPage", &args.to_string())?;
    Ok(serde_json::from_str(&answer).unwrap())
}

fn numbers(page: &Json) -> Vec<f64> {
    let documents = page["page"].as_array().unwrap().iter();
    documents
        .map(|document| document["n"].as_f64().unwrap())
        .collect()
}

#[test]
fn pages_follow_each_other_and_leave_a_journal() {
    let world = World::new(4);
    let mut cursor = Json::Null;
    for (expected, is_done) in [
        (vec![0.0, 1.0], false),
        (vec![2.0, 3.0], false),
        (vec![], true),
    ] {
        let (page, _) = world.query(|function| {
            let page = page(function, "rooms.by_n", json!({ "cursor": cursor })).unwrap();
            let left = function.0.state.borders.next.clone();
            assert_eq!(left.as_deref(), page["continueCursor"].as_str());
            page
        });
        assert_eq!(numbers(&page), expected);
        assert_eq!(page["isDone"], is_done);
        assert_eq!(page["pageStatus"], Json::Null);
        assert_eq!(page["splitCursor"], Json::Null);
        cursor = page["continueCursor"].clone();
    }
}

#[test]
fn a_live_page_keeps_the_end_that_its_journal_names() {
    let mut world = World::new(4);
    let (first, _) = world.query(|function| page(function, "rooms.by_n", json!({})).unwrap());
    let end = first["continueCursor"].as_str().unwrap().to_string();
    world.mutation(|function| {
        function.json("insert", r#"{"table":"rooms","value":{"n":0.5}}"#);
        function.0.state.borders.previous = Some(end.clone());
        let again = page(function, "rooms.by_n", json!({})).unwrap();
        assert_eq!(numbers(&again), [0.0, 0.5, 1.0]);
        assert_eq!(again["continueCursor"], end);
    });
}

#[test]
fn unusable_options_and_cursors_are_refused() {
    let world = World::new(4);
    let refused = |options: Json| {
        let (refused, _) = world.query(|function| page(function, "rooms.by_n", options));
        refused.unwrap_err()
    };
    let cases = [
        (
            json!({ "pageSize": 0 }),
            "Must request at least 1 document while paginating",
        ),
        (
            json!({ "pageSize": 40_000 }),
            "Requested too many items: 40000",
        ),
        (
            json!({ "pageSize": 1.5 }),
            "Invalid argument `pageSize` for `queryPage`: expected an integer",
        ),
        (
            json!({ "maximumRowsRead": 0 }),
            "maximumRowsRead and maximumBytesRead must be greater than 0",
        ),
        (
            json!({ "cursor": 5 }),
            "Invalid argument `cursor` for `queryPage`: expected a string, got 5",
        ),
    ];
    for (options, expected) in cases {
        let refused = refused(options);
        assert_eq!(refused.to_string(), expected);
        assert_eq!(refused.data_json, None);
    }
    let (foreign, _) = world.query(|function| page(function, "rooms.by_id", json!({})).unwrap());
    let cases = [
        (
            json!({ "cursor": foreign["continueCursor"] }),
            "InvalidCursor: Tried to run a query starting from a cursor, but it looks like this cursor is from a \
             different query.",
        ),
        (
            json!({ "cursor": "x" }),
            "InvalidCursor: Failed to parse cursor.",
        ),
        (
            json!({ "cursor": "" }),
            "InvalidCursor: Failed to parse cursor.",
        ),
        (
            json!({ "endCursor": "x" }),
            "InvalidCursor: Failed to parse cursor.",
        ),
    ];
    for (options, expected) in cases {
        let refused = refused(options);
        assert!(refused.to_string().starts_with(expected), "{refused}");
        let data: Json = serde_json::from_str(&refused.data_json.unwrap()).unwrap();
        assert_eq!(
            data,
            json!({ "isConvexSystemError": true, "paginationError": "InvalidCursor" })
        );
    }
}

#[test]
fn a_page_that_meets_a_limit_asks_to_be_split() {
    let world = World::new(6);
    let options = json!({ "pageSize": 6, "maximumRowsRead": 4 });
    let (cut, _) = world.query(|function| page(function, "rooms.by_n", options).unwrap());
    assert_eq!(numbers(&cut).len(), 4);
    assert_eq!(cut["pageStatus"], "SplitRequired");
    assert!(cut["splitCursor"].is_string());
    assert_eq!(cut["isDone"], false);
}

#[test]
fn a_function_reads_one_page_and_an_unknown_table_is_done() {
    let world = World::new(1);
    let (second, _) = world.query(|function| {
        page(function, "rooms.by_n", json!({})).unwrap();
        page(function, "rooms.by_n", json!({}))
            .unwrap_err()
            .to_string()
    });
    assert_eq!(
        second,
        "This query or mutation function ran multiple paginated queries. Convex only supports a single paginated query \
         in each function."
    );
    for table in ["nowhere", "_modules"] {
        let source = json!({ "type": "FullTableScan", "tableName": table, "order": null });
        let query = json!({ "query": { "source": source, "operators": [] } });
        let (empty, _) = world.query(|function| page(function, "", query).unwrap());
        assert_eq!(numbers(&empty), Vec::<f64>::new());
        assert_eq!(empty["isDone"], true);
    }
}
