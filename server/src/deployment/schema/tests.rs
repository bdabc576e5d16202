//! Tests of pushed schemas: what is kept of them, and every refusal with its text.

use serde_json::json;

use super::*;

fn with(changes: Json) -> Result<PushedSchema, PushedSchemaError> {
    let mut table = json!({
        "tableName": "rooms",
        "indexes": [], "stagedDbIndexes": [], "searchIndexes": [], "stagedSearchIndexes": [],
        "vectorIndexes": [], "stagedVectorIndexes": [],
        "documentType": {"type": "object", "value": {
            "title": {"fieldType": {"type": "string"}, "optional": true},
            "n": {"fieldType": {"type": "number"}, "optional": false},
            "emb": {"fieldType": {"type": "array", "value": {"type": "number"}}, "optional": false},
        }},
    });
    for (key, value) in changes.as_object().unwrap() {
        table[key] = value.clone();
    }
    PushedSchema::from_json(json!({"tables": [table], "schemaValidation": true}))
}

#[track_caller]
fn refused(changes: Json, text: &str) {
    assert_eq!(with(changes).unwrap_err().to_string(), text);
}

fn search(name: &str, field: &str) -> Json {
    json!({"indexDescriptor": name, "searchField": field, "filterFields": ["n"]})
}

fn vector(name: &str, field: &str, dimensions: u64) -> Json {
    json!({"indexDescriptor": name, "vectorField": field, "dimensions": dimensions, "filterFields": []})
}

#[test]
fn indexes_of_all_kinds_are_kept_and_only_enabled_ones_are_in_use() {
    let schema = with(json!({
        "indexes": [{"indexDescriptor": "by_n", "fields": ["n"]}],
        "stagedDbIndexes": [{"indexDescriptor": "by_title", "fields": ["title", "n"]}],
        "searchIndexes": [search("words", "title")],
        "stagedVectorIndexes": [vector("near", "emb", 3)],
        "stagedDocumentType": {"type": "any"},
    }))
    .unwrap();
    let rooms = schema.table("rooms").unwrap();
    let shown: Vec<Json> = rooms
        .indexes
        .iter()
        .map(|index| index.to_json("rooms"))
        .collect();
    assert_eq!(
        shown,
        [
            json!({"name": "rooms.by_n", "type": "database", "fields": ["n", "_creationTime"]}),
            json!({"name": "rooms.by_title", "type": "database", "fields": ["title", "n", "_creationTime"], "staged": true}),
            json!({"name": "rooms.words", "type": "search", "searchField": "title", "filterFields": ["n"]}),
            json!({"name": "rooms.near", "type": "vector", "dimensions": 3, "vectorField": "emb", "filterFields": [], "staged": true}),
        ]
    );
    let used = &schema.schema.table_named("rooms").unwrap().indexes;
    let used: Vec<&str> = used.iter().map(|index| &*index.name).collect();
    assert_eq!(used, ["by_n", "words"]);
    assert_eq!(rooms.staged_document, Some(Validator::Any));
    let reply = schema.to_reply();
    assert_eq!(
        reply["tables"][0]["indexes"][0]["fields"],
        json!(["n", "_creationTime"])
    );
    assert_eq!(reply["schemaValidation"], true);
}

#[test]
fn indexes_with_a_mistake_are_refused_in_known_words() {
    refused(
        json!({"stagedDbIndexes": [{"indexDescriptor": "i", "fields": []}]}),
        "In table \"rooms\" staged index \"i\" must have at least one field.",
    );
    refused(
        json!({
            "indexes": [{"indexDescriptor": "a", "fields": ["n"]}],
            "stagedDbIndexes": [{"indexDescriptor": "b", "fields": ["n"]}],
        }),
        "In table \"rooms\" index \"a\" and index \"b\" have the same fields. Indexes must be unique within a table.",
    );
    refused(
        json!({"indexes": [{"indexDescriptor": "a", "fields": ["n"]}], "searchIndexes": [search("a", "title")]}),
        "Table \"rooms\" has two or more definitions of index \"a\".",
    );
    refused(
        json!({"searchIndexes": [search("by_id", "title")]}),
        "In table \"rooms\" cannot name an index \"by_id\" because the name is reserved. Indexes may not start with an \
         underscore or be named \"by_id\" or \"by_creation_time\".",
    );
    refused(
        json!({"searchIndexes": [search("s", "body")]}),
        "In table \"rooms\" the search index \"s\" is invalid because it references the field \"body\" that does not exist.",
    );
    refused(
        json!({"vectorIndexes": [vector("v", "n", 3)]}),
        "In table \"rooms\" the vector index \"v\" is invalid because it references the field \"n\" that is neither an \
         array of float64 or optional array of float64.",
    );
    refused(
        json!({"vectorIndexes": [vector("v", "emb", 1)]}),
        "Dimensions 1 must be between 2 and 4096.",
    );
    let fields: Vec<String> = (0..17).map(|n| format!("f{n}")).collect();
    refused(
        json!({"searchIndexes": [{"indexDescriptor": "s", "searchField": "title", "filterFields": fields}]}),
        "Search indexes may have up to 16 filter fields.",
    );
    refused(
        json!({"indexes": [{"indexDescriptor": "i", "fields": ["a-b"]}]}),
        "In index \"i\": Invalid index field: \"a-b\"",
    );
    refused(
        json!({"indexes": [{"indexDescriptor": "i", "fields": ["x"]}]}),
        "In table \"rooms\" the index \"i\" is invalid because it references the field \"x\" that does not exist.",
    );
    assert!(with(json!({"searchIndexes": [search("s", "title"), search("t", "title")]})).is_err());
    assert!(with(json!({"vectorIndexes": [vector("s", "emb", 3), vector("t", "emb", 4)]})).is_ok());
}

#[test]
fn what_is_no_schema_is_refused() {
    for text in ["", "[]", "{}", r#"{"tables":[1]}"#, r#"{"tables":[{}]}"#] {
        assert_eq!(
            PushedSchema::from_text(text),
            Err(PushedSchemaError::NotSchema),
            "{text}"
        );
    }
    let empty = PushedSchema::from_text(r#"{"tables":[],"schemaValidation":false}"#).unwrap();
    assert!(!empty.checks_documents());
}
