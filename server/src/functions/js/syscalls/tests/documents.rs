//! Operations on single documents.

use super::*;

#[test]
fn ids_are_normalised_for_their_table_alone() {
    World::new(1).check_in_query(&[
        (
            "db/normalizeId",
            r#"{"table":"rooms","idString":"$ROOM0"}"#,
            r#"{"id":"$ROOM0"}"#,
        ),
        (
            "db/normalizeId",
            r#"{"table":"users","idString":"$ROOM0"}"#,
            r#"{"id":null}"#,
        ),
        (
            "db/normalizeId",
            r#"{"table":"nowhere","idString":"$ROOM0"}"#,
            r#"{"id":null}"#,
        ),
        (
            "db/normalizeId",
            r#"{"table":"_modules","idString":"$ROOM0"}"#,
            r#"{"id":null}"#,
        ),
        (
            "db/normalizeId",
            r#"{"table":"rooms","idString":"x"}"#,
            r#"{"id":null}"#,
        ),
    ]);
}

#[test]
fn get_answers_the_document_or_null() {
    let world = World::new(1);
    let (answer, reads) = world.query(|function| {
        let args = world.filled_in(r#"{"id":"$ROOM0","isSystem":false,"version":"1.49.0"}"#);
        function.json("get", &args)
    });
    assert_eq!(answer["_id"], world.id("$ROOM0"));
    assert_eq!(answer["n"], 0.0);
    assert!(answer["_creationTime"].is_f64());
    assert_eq!(reads.into_ranges().len(), 1);
    world.check_in_query(&[
        ("get", r#"{"id":"$MISSING","isSystem":false}"#, "null"),
        ("get", r#"{"id":"$NOWHERE","isSystem":false}"#, "null"),
        (
            "get",
            r#"{"id":"hello","isSystem":false}"#,
            "! Invalid argument `id` for `db.get`: Unable to decode ID: Invalid ID length 5",
        ),
        (
            "get",
            r#"{"id":"ilouilouilouilouilouilouilouilou","isSystem":false}"#,
            "! Invalid argument `id` for `db.get`: Unable to decode ID: ID wasn't valid base32",
        ),
        (
            "get",
            r#"{"id":"$ROOM0","isSystem":false,"table":"users"}"#,
            "! Invalid argument `id` for `db.get`: expected to be an Id<\"users\">, got Id<\"rooms\"> instead.",
        ),
        (
            "get",
            r#"{"id":"$ROOM0","isSystem":true}"#,
            "! User tables cannot be accessed with db.system.",
        ),
    ]);
}

#[test]
fn insert_refuses_what_is_no_document_of_the_table() {
    World::new(0).check(&[
        (
            "insert",
            r#"{"table":"rooms","value":3}"#,
            "! Invalid argument `value` for `db.insert`: Value must be an Object",
        ),
        (
            "insert",
            r#"{"table":"rooms","value":{"$bytes":"aGk="}}"#,
            "! Invalid argument `value` for `db.insert`: Value must be an Object",
        ),
        (
            "insert",
            r#"{"table":"_x","value":{}}"#,
            "! Invalid table name _x starts with metadata prefix '_'",
        ),
        ("insert", r#"{"table":"_storage","value":{}}"#, "! _storage is a read-only table"),
        (
            "insert",
            r#"{"table":"rooms","value":{"a":{"$x":1}}}"#,
            "! Invalid argument `value` for `db.insert`: Field name $x starts with '$', which is reserved",
        ),
    ]);
    let mut world = World::new(0);
    let refused = |world: &mut World, value: &str| {
        let args = format!(r#"{{"table":"rooms","value":{value}}}"#);
        world.mutation(|function| function.call("insert", &args))
    };
    let underscored = refused(&mut world, r#"{"_x":1}"#);
    assert!(underscored.ends_with(
        "isn't a valid document: Field '_x' starts with an underscore, which is only allowed for system fields like \
         '_id'"
    ));
    let other_id = refused(&mut world, r#"{"_id":"x"}"#);
    assert!(other_id.starts_with("! Provided document ID "));
    assert!(other_id.ends_with(" doesn't match '_id' field x"));
    let other_time = refused(&mut world, r#"{"_creationTime":1}"#);
    assert!(other_time.starts_with("! Provided creation time "));
    let large = format!(r#"{{"s":"{}"}}"#, "x".repeat((1 << 20) * 6 / 5));
    assert_eq!(
        refused(&mut world, &large),
        "! Value is too large (1.2 MiB > maximum size 1 MiB)"
    );
    let nested = format!(
        "{}{}",
        r#"{"a":"#.repeat(17),
        "1".to_string() + &"}".repeat(17)
    );
    assert!(refused(&mut world, &nested).ends_with(
        "isn't a valid document: Document is too nested (nested 17 levels deep > maximum nesting 16)"
    ));
    let nested = format!("{}1{}", r#"{"a":"#.repeat(65), "}".repeat(65));
    assert_eq!(
        refused(&mut world, &nested),
        "! Invalid argument `value` for `db.insert`: Value is too nested (nested 65 levels deep > maximum nesting 64)"
    );
}

#[test]
fn a_document_must_match_the_schema() {
    World::new(0).check(&[
        (
            "insert",
            r#"{"table":"users","value":{"name":1}}"#,
            "! Failed to insert or update a document in table \"users\" because it does not match the schema: Value \
             does not match validator.\nPath: .name\nValue: 1.0\nValidator: v.string()\n",
        ),
        (
            "insert",
            r#"{"table":"users","value":{}}"#,
            "! Failed to insert or update a document in table \"users\" because it does not match the schema: Object \
             is missing the required field `name`. Consider wrapping the field validator in `v.optional(...)` if this \
             is expected.\n\nObject: {}\nValidator: v.object({name: v.string(), room: v.optional(v.id(\"rooms\"))})\n",
        ),
        (
            "shallowMerge",
            r#"{"id":"$USER","value":{"room":"$USER"}}"#,
            "! Failed to insert or update a document in table \"users\" because it does not match the schema: Found ID \
             \"$USER\" from table `users`, which does not match the table name in validator `v.id(\"rooms\")`.",
        ),
        (
            "shallowMerge",
            r#"{"id":"$USER","value":{"x":{"$integer":"AQAAAAAAAAA="}}}"#,
            "! Failed to insert or update a document in table \"users\" because it does not match the schema: Object \
             contains extra field `x` that is not in the validator.\n\nObject: {name: \"Ada\", x: 1}\nValidator: \
             v.object({name: v.string(), room: v.optional(v.id(\"rooms\"))})\n",
        ),
    ]);
}

#[test]
fn what_is_written_reads_back() {
    let mut world = World::new(2);
    let id = world.id("$ROOM0");
    world.mutation(|function| {
        let inserted = function.json("insert", r#"{"table":"rooms","value":{"n":9,"s":"x"}}"#);
        let new = inserted["_id"].as_str().unwrap().to_string();
        let get = |function: &mut Function<'_, '_>, id: &str| {
            let mut document = function.json("get", &format!(r#"{{"id":"{id}"}}"#));
            if let Some(fields) = document.as_object_mut() {
                fields.remove("_id");
                fields.remove("_creationTime");
            }
            document.to_string()
        };
        assert_eq!(get(function, &new), r#"{"n":9.0,"s":"x"}"#);

        let patch = format!(r#"{{"id":"{new}","value":{{"s":{{"$undefined":null}},"t":[1]}}}}"#);
        assert_eq!(function.call("shallowMerge", &patch), "null");
        assert_eq!(get(function, &new), r#"{"n":9.0,"t":[1.0]}"#);

        // A document that was read may be written back whole.
        let whole = function.call("get", &format!(r#"{{"id":"{id}"}}"#));
        let written = function.0.tx.usage().documents_written;
        let back = format!(r#"{{"id":"{id}","value":{whole}}}"#);
        assert_eq!(function.call("replace", &back), "null");
        assert_eq!(function.call("shallowMerge", &back), "null");
        assert_eq!(function.0.tx.usage().documents_written, written);

        let replace = format!(r#"{{"id":"{id}","value":{{"only":true}}}}"#);
        assert_eq!(function.call("replace", &replace), "null");
        assert_eq!(get(function, &id), r#"{"only":true}"#);

        let args = format!(r#"{{"id":"{id}"}}"#);
        assert_eq!(function.call("remove", &args), "null");
        assert_eq!(function.call("get", &args), "null");
        assert_eq!(
            function.call("remove", &args),
            format!("! Delete on nonexistent document ID {id}")
        );
    });
}

#[test]
fn writes_name_a_document_that_cannot_be_written() {
    World::new(1).check(&[
        (
            "shallowMerge",
            r#"{"id":"$MISSING","value":{}}"#,
            "! Update on nonexistent document ID $MISSING",
        ),
        (
            "replace",
            r#"{"id":"$MISSING","value":{}}"#,
            "! Replace on nonexistent document ID $MISSING",
        ),
        ("remove", r#"{"id":"$MISSING"}"#, "! Delete on nonexistent document ID $MISSING"),
        (
            "shallowMerge",
            r#"{"id":"$NOWHERE","value":{}}"#,
            "! Invalid argument `id` for `db.patch`: Table for ID \"$NOWHERE\" not found",
        ),
        (
            "replace",
            r#"{"id":"$NOWHERE","value":{}}"#,
            "! Invalid argument `id` for `db.replace`: Table for ID \"$NOWHERE\" not found",
        ),
        (
            "remove",
            r#"{"id":"$NOWHERE"}"#,
            "! Invalid argument `id` for `db.delete`: Table for ID \"$NOWHERE\" not found",
        ),
        (
            "shallowMerge",
            r#"{"table":"users","id":"$ROOM0","value":{}}"#,
            "! Invalid argument `id` for `db.patch`: expected to be an Id<\"users\">, got Id<\"rooms\"> instead.",
        ),
        (
            "replace",
            r#"{"table":"users","id":"$ROOM0","value":{}}"#,
            "! Invalid argument `id` for `db.replace`: expected to be an Id<\"users\">, got Id<\"rooms\"> instead.",
        ),
        (
            "remove",
            r#"{"table":"users","id":"$ROOM0"}"#,
            "! Invalid argument `id` for `db.delete`: expected to be an Id<\"users\">, got Id<\"rooms\"> instead.",
        ),
        (
            "remove",
            r#"{"id":"hello"}"#,
            "! Invalid argument `id` for `db.delete`: Unable to decode ID: Invalid ID length 5",
        ),
        (
            "shallowMerge",
            r#"{"id":"$ROOM0","value":[]}"#,
            "! Invalid argument `value` for `db.patch`: Value must be an Object",
        ),
        (
            "shallowMerge",
            r#"{"id":"$ROOM0","value":{"_id":"$USER"}}"#,
            "! Provided document ID $ROOM0 doesn't match '_id' field $USER",
        ),
        (
            "replace",
            r#"{"id":"$ROOM0","value":{"_id":"$USER"}}"#,
            "! Provided document ID $ROOM0 doesn't match '_id' field $USER",
        ),
        (
            "shallowMerge",
            r#"{"id":"$ROOM0","value":{"n":{"$integer":"x"}}}"#,
            "! Invalid argument `value` for `db.patch`: `$integer` must hold base64",
        ),
    ]);
}

/// The parser reads neither of them, and nothing else may be written in their place.
#[test]
fn what_the_parser_cannot_read_is_refused_and_never_stored_as_null() {
    let deep = format!(
        r#"{{"id":"$ROOM0","value":{{"name":{}{}}}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    let surrogate = "! Invalid argument `value` for `db.patch`: Strings must be valid Unicode, and one has half of a \
                     surrogate pair";
    World::new(1).check(&[
        (
            "shallowMerge",
            r#"{"id":"$ROOM0","value":{"name":"\ud83d"}}"#,
            surrogate,
        ),
        (
            "shallowMerge",
            r#"{"id":"$ROOM0","value":{"name":["[\"\\", "a\ude00"]}}"#,
            surrogate,
        ),
        (
            "shallowMerge",
            &deep,
            "! Invalid argument `value` for `db.patch`: Value is too nested (nested 200 levels deep > maximum nesting 64)",
        ),
        (
            "insert",
            r#"{"table":"rooms","value":{"name":"\ud83d"}}"#,
            "! Invalid argument `value` for `db.insert`: Strings must be valid Unicode, and one has half of a surrogate \
             pair",
        ),
    ]);
}

#[test]
fn a_query_cannot_write() {
    World::new(1).check_in_query(&[
        (
            "insert",
            r#"{"table":"rooms","value":{}}"#,
            "! A query cannot write. `db.insert` needs a mutation.",
        ),
        (
            "remove",
            r#"{"id":"$ROOM0"}"#,
            "! A query cannot write. `db.delete` needs a mutation.",
        ),
        (
            "schedule",
            r#"{"name":"a:b","ts":1,"args":{}}"#,
            "! A query cannot write. `scheduler` needs a mutation.",
        ),
    ]);
}

#[test]
fn limits_on_writes_are_told_and_may_be_caught() {
    let limits = Limits {
        documents_written_max: 1,
        ..Limits::default()
    };
    let mut world = World::with_limits(1, limits);
    world.mutation(|function| {
        let insert = r#"{"table":"rooms","value":{}}"#;
        function.json("insert", insert);
        let refused = function.try_call("insert", insert).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Limit);
        assert!(refused.kind.is_catchable());
        assert_eq!(
            refused.to_string(),
            "Too many writes in a single function execution (limit: 1)"
        );
    });
    let limits = Limits {
        bytes_written_max: 1 << 20,
        ..Limits::default()
    };
    let mut world = World::with_limits(0, limits);
    world.mutation(|function| {
        let text = "x".repeat(700_000);
        let insert = format!(r#"{{"table":"rooms","value":{{"s":"{text}"}}}}"#);
        function.json("insert", &insert);
        assert_eq!(
            function.call("insert", &insert),
            "! Too many bytes written in a single function execution (limit: 1 MiB)"
        );
    });
}

#[test]
fn a_document_near_a_limit_is_warned_of_once() {
    let mut world = World::new(1);
    let room = world.id("$ROOM0");
    let deep = format!("{}1{}", r#"{"a":"#.repeat(13), "}".repeat(13));
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(900 << 10));
    let told = world.rig.attempt(|tx| {
        let state = &mut state(FunctionKind::Mutation, Caller::nobody());
        let mut told = Told::default();
        let hooks = &mut told;
        let mut function = Function(Syscalls { tx, state, hooks });
        for (op, value) in [
            ("shallowMerge", &*large),
            ("replace", r#"{"text":"x"}"#),
            ("replace", &large),
            ("replace", &deep),
            ("shallowMerge", r#"{"b":1}"#),
            ("shallowMerge", &deep),
        ] {
            function.json(op, &format!(r#"{{"id":"{room}","value":{value}}}"#));
        }
        function.json("insert", &format!(r#"{{"table":"rooms","value":{large}}}"#));
        told.warnings
    });
    assert_eq!(told.len(), 3, "{told:?}");
    let begins = |at: usize, text: String| assert!(told[at].starts_with(&text), "{}", told[at]);
    begins(
        0,
        format!("Large document written with ID \"{room}\" (actual: 92"),
    );
    let nested =
        format!("Deeply nested document written with ID \"{room}\" (actual: 13, limit: 16)");
    begins(1, nested);
    begins(2, "Large document written with ID \"".to_owned());
}
