//! Tests of schemas: every rule with its text, and the exported form both ways.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;
use crate::id::DocumentId;
use crate::validator::Field;

#[derive(Serialize, Deserialize)]
struct Room {
    owner: DocumentId<Room>,
    meta: Meta,
    slug: String,
}

#[derive(Serialize, Deserialize)]
struct Meta {
    rank: f64,
}

impl Room {
    const BY_OWNER: Index<Room> = Index::new("by_owner", &["owner", "meta.rank"]);
    const BY_SLUG: Index<Room> = Index::unique("by_slug", &["slug"]);
}

impl Table for Room {
    const NAME: &'static str = "rooms";
    const INDEXES: &'static [Index<Room>] = &[Room::BY_OWNER, Room::BY_SLUG];
}

fn rooms(indexes: Vec<IndexDefinition>) -> Schema {
    let document = Validator::Any;
    let name = "rooms".to_owned();
    Schema::new().define(TableDefinition {
        name,
        indexes,
        document,
    })
}

fn index(name: &str, fields: &[&str]) -> IndexDefinition {
    IndexDefinition::new(name, fields, false).unwrap()
}

#[track_caller]
fn refused(indexes: Vec<IndexDefinition>, text: &str) {
    let error = rooms(indexes).validate().unwrap_err();
    assert_eq!(error.to_string(), text);
}

fn exported_rooms() -> serde_json::Value {
    json!({
        "schemaValidation": true,
        "tables": [{
            "tableName": "rooms",
            "indexes": [
                {"indexDescriptor": "by_owner", "fields": ["owner", "meta.rank"]},
                {"indexDescriptor": "by_slug", "fields": ["slug"], "unique": true},
            ],
            "stagedDbIndexes": [], "searchIndexes": [], "stagedSearchIndexes": [],
            "vectorIndexes": [], "stagedVectorIndexes": [],
            "documentType": {"type": "object", "value": {
                "owner": {"fieldType": {"type": "id", "tableName": "rooms"}, "optional": false},
                "meta": {"optional": false, "fieldType": {"type": "object", "value": {
                    "rank": {"fieldType": {"type": "number"}, "optional": false},
                }}},
                "slug": {"fieldType": {"type": "string"}, "optional": false},
            }},
        }],
    })
}

#[test]
fn a_schema_of_types_has_its_exported_form() {
    let schema = Schema::new().table::<Room>();
    assert_eq!(schema.validate(), Ok(()));
    assert_eq!(schema.to_json(), exported_rooms());
    assert_eq!(Schema::from_json(&exported_rooms()).unwrap(), schema);
    let rooms = schema.table_named("rooms").unwrap();
    assert!(rooms.indexes[1].unique && !rooms.indexes[0].unique);
    assert_eq!(schema.table_named("users"), None);
}

#[test]
fn an_exported_table_may_leave_things_out() {
    let json = json!({"tables": [{"tableName": "a", "indexes": [], "searchIndexes": null, "documentType": null}]});
    let schema = Schema::from_json(&json).unwrap();
    assert_eq!(schema.tables(), [TableDefinition::new("a")]);
    assert!(!schema.checks_documents());
    let unchecked = Schema::new()
        .define(TableDefinition::new("a"))
        .without_document_checks();
    assert_eq!(schema, unchecked);
}

#[test]
fn an_index_is_named_by_an_identifier() {
    refused(
        vec![index("x y", &["a"])],
        "Invalid index name: \"x y\". Identifiers must be 64 characters or less, start with a letter, and only contain \
         letters, digits, underscores.",
    );
    assert!(
        rooms(vec![index(&"x".repeat(65), &["a"])])
            .validate()
            .is_err()
    );
    for reserved in ["by_id", "by_creation_time", "_mine"] {
        refused(
            vec![index(reserved, &["a"])],
            &format!(
                "In table \"rooms\" cannot name an index \"{reserved}\" because the name is reserved. Indexes may not \
                 start with an underscore or be named \"by_id\" or \"by_creation_time\"."
            ),
        );
    }
}

#[test]
fn an_index_has_between_one_and_fifteen_fields() {
    refused(
        vec![index("i", &[])],
        "In table \"rooms\" index \"i\" must have at least one field.",
    );
    let names: Vec<String> = (0..16).map(|n| format!("f{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    refused(
        vec![index("i", &names)],
        "Indexes may have up to 16 fields.",
    );
    assert_eq!(rooms(vec![index("i", &names[..15])]).validate(), Ok(()));
}

#[test]
fn an_index_has_fields_of_its_own() {
    refused(
        vec![index("i", &["_id"])],
        "`_id` is not a valid index field. To load documents by ID, use `db.get(id)`.",
    );
    let error = rooms(vec![index("i", &["_creationTime"])])
        .validate()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("`_creationTime` is automatically added to the end of each index.")
    );
    for field in ["_x", "a._id"] {
        refused(
            vec![index("i", &[field])],
            "Reserved fields (starting with `_`) are not allowed in indexes.",
        );
    }
    refused(
        vec![index("i", &["a", "b", "a"])],
        "Duplicate field \"a\". Index fields must be unique within an index.",
    );
    let error = IndexDefinition::new("i", &["a-b"], false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "In index \"i\": Invalid index field: \"a-b\""
    );
}

#[test]
fn indexes_of_a_table_differ_in_name_and_fields() {
    refused(
        vec![index("a", &["x"]), index("b", &["x"])],
        "In table \"rooms\" index \"a\" and index \"b\" have the same fields. Indexes must be unique within a table.",
    );
    refused(
        vec![index("i", &["x"]), index("i", &["y"])],
        "Table \"rooms\" has two or more definitions of index \"i\".",
    );
    let indexes = |count| {
        (0..count)
            .map(|n| index(&format!("i{n}"), &[&format!("f{n}")]))
            .collect()
    };
    assert_eq!(rooms(indexes(64)).validate(), Ok(()));
    refused(
        indexes(65),
        "Table \"rooms\" cannot have more than 64 indexes.",
    );
}

#[test]
fn an_index_field_can_be_in_a_document_unless_documents_are_unchecked() {
    let schema = |fields: &[&str]| {
        Schema::new().define(TableDefinition {
            name: "rooms".to_owned(),
            indexes: vec![index("i", fields)],
            document: Validator::object([("a", Field::required(Validator::String))]),
        })
    };
    assert_eq!(schema(&["a"]).validate(), Ok(()));
    assert_eq!(
        schema(&["x"]).validate().unwrap_err().to_string(),
        "In table \"rooms\" the index \"i\" is invalid because it references the field \"x\" that does not exist."
    );
    assert_eq!(schema(&["x"]).without_document_checks().validate(), Ok(()));
}

#[test]
fn tables_have_names_of_their_own_and_documents_that_are_objects() {
    let text = |schema: Schema| schema.validate().unwrap_err().to_string();
    let named = |name: &str| Schema::new().define(TableDefinition::new(name));
    assert_eq!(
        text(named("_x")),
        "Invalid table name _x starts with metadata prefix '_'"
    );
    assert!(text(named("a b")).starts_with("Invalid table name: \"a b\". Identifiers must be"));
    assert_eq!(
        text(named("a").define(TableDefinition::new("a"))),
        "Table \"a\" is defined more than once."
    );
    let strings = TableDefinition {
        document: Validator::String,
        ..TableDefinition::new("a")
    };
    assert!(text(Schema::new().define(strings)).starts_with(
        "Table \"a\": The document validator in a schema must be an object, a union of objects, or `v.any()`. Found \
         v.string()."
    ));
    let many = (0..=10_000).fold(Schema::new(), |schema, n| {
        schema.define(TableDefinition::new(format!("t{n}")))
    });
    assert_eq!(text(many), "Number of tables cannot exceed 10000.");
}

#[test]
fn a_type_with_a_malformed_index_field_is_reported_on_validation() {
    #[derive(Serialize, Deserialize)]
    struct Odd {}
    impl Table for Odd {
        const NAME: &'static str = "odd";
        const INDEXES: &'static [Index<Odd>] = &[Index::new("i", &["a-b"])];
    }
    let error = Schema::new()
        .table::<Odd>()
        .table::<Room>()
        .validate()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "In index \"i\": Invalid index field: \"a-b\""
    );
}

#[test]
fn json_that_is_no_schema_is_refused_in_words() {
    let table = |table: serde_json::Value| json!({"tables": [table]});
    let cases = [
        (json!([]), "Invalid schema: expected a schema, found []"),
        (
            json!({"tables": 1}),
            "Invalid schema: expected a list of `tables`, found 1",
        ),
        (
            table(json!({})),
            "Invalid schema: expected a table with a `tableName`, found null",
        ),
        (
            table(json!({"tableName": "a", "documentType": {"type": "x"}})),
            "Table \"a\": Invalid validator: expected a validator type, found \"x\"",
        ),
        (
            table(json!({"tableName": "a", "stagedDbIndexes": [{}]})),
            "Table \"a\" declares `stagedDbIndexes`, which this server does not support.",
        ),
        (
            table(
                json!({"tableName": "a", "indexes": [{"indexDescriptor": "i", "fields": ["a-b"]}]}),
            ),
            "In index \"i\": Invalid index field: \"a-b\"",
        ),
        (
            table(
                json!({"tableName": "a", "indexes": [{"indexDescriptor": "i", "fields": [], "unique": 1}]}),
            ),
            "Invalid schema: expected `unique` to be a boolean, found 1",
        ),
    ];
    for (json, text) in cases {
        assert_eq!(Schema::from_json(&json).unwrap_err().to_string(), text);
    }
}

#[test]
fn filter_fields_are_fields_that_documents_store_each_named_once() {
    let refusal = |filters: &[&str], method: IndexMethod| {
        let fields: Vec<&str> = std::iter::once("text")
            .chain(filters.iter().copied())
            .collect();
        let index = IndexDefinition {
            method,
            ..IndexDefinition::new("by_text", &fields, false).unwrap()
        };
        let table = TableDefinition {
            indexes: vec![index],
            ..TableDefinition::new("notes")
        };
        Schema::new().define(table).validate().err()
    };
    for method in [IndexMethod::Search, IndexMethod::Vector { dimensions: 2 }] {
        let refusal = |filters: &[&str]| refusal(filters, method);
        assert_eq!(refusal(&["owner", "kind", "_creationTime"]), None);
        assert_eq!(refusal(&["_id"]), Some(SchemaError::IdField));
        assert_eq!(
            refusal(&["owner", "_rev"]),
            Some(SchemaError::ReservedField)
        );
        let twice = Some(SchemaError::DuplicateField("owner".to_owned()));
        assert_eq!(refusal(&["owner", "owner"]), twice);
    }
}
