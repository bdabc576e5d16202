//! Tests of validators: every text, every node both ways.

mod properties;

use serde_json::json;

use super::*;
use crate::id::{DocumentId, InternalId, TableNumber};
use crate::object;
use crate::value::Value;

/// Tables `users` (10001), `rooms` (10002) and the system table `_storage` (513).
struct Tables;

impl TableNames for Tables {
    fn table_number(&self, name: &str) -> Option<TableNumber> {
        let number = match name {
            "users" => 10_001,
            "rooms" => 10_002,
            "_storage" => 513,
            _ => return None,
        };
        TableNumber::new(number)
    }

    fn table_name(&self, number: TableNumber) -> Option<&str> {
        match number.get() {
            10_001 => Some("users"),
            10_002 => Some("rooms"),
            513 => Some("_storage"),
            _ => None,
        }
    }
}

fn id(table: u32) -> String {
    let table = TableNumber::new(table).unwrap();
    DocumentId::<()>::new(table, InternalId([7; 16])).to_string()
}

fn text(validator: &Validator, value: impl Into<Value>) -> String {
    let checked = validator.check(&value.into(), &Tables);
    checked.unwrap_err().to_string()
}

fn accepts(validator: &Validator, value: impl Into<Value>) -> bool {
    validator.check(&value.into(), &Tables).is_ok()
}

fn literal(value: impl Into<Value>) -> Validator {
    Validator::Literal(value.into())
}

#[test]
fn each_node_has_its_json_and_its_display() {
    let cases = [
        (Validator::Null, json!({"type": "null"}), "v.null()"),
        (
            Validator::Boolean,
            json!({"type": "boolean"}),
            "v.boolean()",
        ),
        (Validator::Number, json!({"type": "number"}), "v.float64()"),
        (Validator::Bigint, json!({"type": "bigint"}), "v.int64()"),
        (
            Validator::CommitTs,
            json!({"type": "commitTs"}),
            "v.commitTs()",
        ),
        (Validator::String, json!({"type": "string"}), "v.string()"),
        (
            Validator::Function(Box::default()),
            json!({"type": "function"}),
            "v.function()",
        ),
        (
            Validator::Function(Box::new(FunctionType {
                kind: Some("query".to_string()),
                args: Some(Validator::Object(BTreeMap::new())),
                returns: Some(Validator::Null),
            })),
            json!({
                "type": "function", "fnType": "query", "args": {"type": "object", "value": {}},
                "returns": {"type": "null"},
            }),
            "v.function()",
        ),
        (Validator::Bytes, json!({"type": "bytes"}), "v.bytes()"),
        (Validator::Any, json!({"type": "any"}), "v.any()"),
        (
            Validator::id("t"),
            json!({"type": "id", "tableName": "t"}),
            r#"v.id("t")"#,
        ),
        (
            literal("x"),
            json!({"type": "literal", "value": "x"}),
            r#"v.literal("x")"#,
        ),
        (
            literal(1.5),
            json!({"type": "literal", "value": 1.5}),
            "v.literal(1.5)",
        ),
        (
            literal(true),
            json!({"type": "literal", "value": true}),
            "v.literal(true)",
        ),
        (
            literal(1_i64),
            json!({"type": "literal", "value": {"$integer": "AQAAAAAAAAA="}}),
            "v.literal(1)",
        ),
        (
            Validator::array(Validator::Any),
            json!({"type": "array", "value": {"type": "any"}}),
            "v.array(v.any())",
        ),
        (
            Validator::object([
                ("b", Field::optional(Validator::Null)),
                ("a", Field::required(Validator::Bytes)),
            ]),
            json!({"type": "object", "value": {
                "a": {"fieldType": {"type": "bytes"}, "optional": false},
                "b": {"fieldType": {"type": "null"}, "optional": true},
            }}),
            "v.object({a: v.bytes(), b: v.optional(v.null())})",
        ),
        (
            Validator::Object(BTreeMap::new()),
            json!({"type": "object", "value": {}}),
            "v.object({})",
        ),
        (
            Validator::record(Validator::String, Validator::Number),
            json!({
                "type": "record", "keys": {"type": "string"},
                "values": {"fieldType": {"type": "number"}, "optional": false},
            }),
            "v.record(v.string(), v.float64())",
        ),
        (
            Validator::Union(vec![Validator::Null, Validator::String]),
            json!({"type": "union", "value": [{"type": "null"}, {"type": "string"}]}),
            "v.union(v.null(), v.string())",
        ),
        (
            Validator::Union(vec![]),
            json!({"type": "union", "value": []}),
            "v.union()",
        ),
    ];
    for (validator, json, display) in cases {
        assert_eq!(validator.to_json(), json);
        assert_eq!(Validator::from_json(&json).unwrap(), validator);
        assert_eq!(validator.to_string(), display);
        assert_eq!(serde_json::to_value(&validator).unwrap(), json);
        assert_eq!(
            serde_json::from_value::<Validator>(json).unwrap(),
            validator
        );
    }
}

#[test]
fn json_that_is_no_validator_is_refused_in_words() {
    let record = |keys: serde_json::Value, optional: bool| json!({"type": "record", "keys": keys, "values": {"fieldType": {"type": "any"}, "optional": optional}});
    let literal_key = json!({"type": "union", "value": [{"type": "literal", "value": "a"}]});
    let cases = [
        (json!(3), "Invalid validator: expected a validator, found 3"),
        (
            json!({}),
            "Invalid validator: expected a validator with a `type`, found {}",
        ),
        (
            json!({"type": "float64"}),
            r#"Invalid validator: expected a validator type, found "float64""#,
        ),
        (
            json!({"type": "id"}),
            r#"Invalid validator: expected an id validator with a `tableName`, found {"type":"id"}"#,
        ),
        (
            json!({"type": "object", "value": {"a": {"fieldType": {"type": "any"}, "optional": 1}}}),
            "Invalid validator: expected `optional` to be a boolean, found 1",
        ),
        (
            json!({"type": "literal", "value": null}),
            "`v.literal(null)` is not supported. Literals are strings, booleans, numbers or int64s.",
        ),
        (
            record(json!({"type": "any"}), false),
            "Records can only have string keys. Found v.any().",
        ),
        (
            record(literal_key, false),
            "Records cannot have string literal keys",
        ),
        (
            record(json!({"type": "id", "tableName": "t"}), true),
            "Records cannot have optional values",
        ),
    ];
    for (json, text) in cases {
        assert_eq!(Validator::from_json(&json).unwrap_err().to_string(), text);
    }
    let field = json!({"type": "object", "value": {"a-b": {"fieldType": {"type": "any"}}}});
    let error = Validator::from_json(&field).unwrap_err();
    assert!(matches!(error, ValidatorError::FieldName(_)), "{error}");
}

#[test]
fn arguments_are_an_object_and_documents_objects() {
    let object = || Validator::Object(BTreeMap::new());
    assert_eq!(object().check_describes_args(), Ok(()));
    assert_eq!(Validator::Any.check_describes_args(), Ok(()));
    let error = Validator::String.check_describes_args().unwrap_err();
    assert_eq!(error.to_string(), "Args validator must be an object or any");

    let objects = Validator::Union(vec![object(), object()]);
    assert_eq!(objects.check_describes_documents(), Ok(()));
    let error = Validator::String.check_describes_documents().unwrap_err();
    assert_eq!(
        error.to_string(),
        "The document validator in a schema must be an object, a union of objects, or `v.any()`. Found v.string(). \
         To learn more, see the schema documentation at https://docs.convex.dev/database/schemas."
    );
}

#[test]
fn one_of_is_as_plain_as_it_can_be() {
    use Validator::{Any, Null, Number, String, Union};
    assert_eq!(Validator::one_of([String]), String);
    assert_eq!(Validator::one_of([String, String]), String);
    assert_eq!(Validator::one_of([String, Any]), Any);
    assert_eq!(
        Validator::one_of([Union(vec![String, Null]), Null, Number]),
        Union(vec![String, Null, Number])
    );
    assert_eq!(Validator::one_of([]), Union(vec![]));
}

#[test]
fn a_field_may_be_found_where_the_validator_leaves_room() {
    let nested = Validator::object([("b", Field::optional(Validator::Any))]);
    let validator = Validator::one_of([
        Validator::object([("a", Field::required(nested))]),
        Validator::object([(
            "r",
            Field::required(Validator::record(Validator::String, Validator::Number)),
        )]),
    ]);
    let has = |path: &str| validator.may_have_field(&path.parse().unwrap());
    for path in ["a", "a.b", "a.b.c", "r.x"] {
        assert!(has(path), "{path}");
    }
    for path in ["b", "a.c", "r.x.y"] {
        assert!(!has(path), "{path}");
    }
}

#[test]
fn an_id_of_another_table_is_named() {
    let found = id(10_001);
    assert_eq!(
        text(&Validator::id("rooms"), found.as_str()),
        format!(
            "Found ID \"{found}\" from table `users`, which does not match the table name in validator `v.id(\"rooms\")`."
        )
    );
    let found = id(513);
    assert_eq!(
        text(&Validator::id("rooms"), found.as_str()),
        format!(
            "Found ID \"{found}\" from a system table, which does not match the table name in validator `v.id(\"rooms\")`."
        )
    );
    assert!(accepts(&Validator::id("_storage"), found));
    assert!(accepts(&Validator::id("rooms"), id(10_002)));
}

#[test]
fn what_is_no_id_of_any_table_just_does_not_match() {
    assert_eq!(
        text(&Validator::id("rooms"), "x"),
        "Value does not match validator.\n\nValue: \"x\"\nValidator: v.id(\"rooms\")\n"
    );
    let unknown = id(10_009);
    assert_eq!(
        text(&Validator::id("rooms"), unknown.as_str()),
        format!(
            "Value does not match validator.\n\nValue: \"{unknown}\"\nValidator: v.id(\"rooms\")\n"
        )
    );
    assert!(!accepts(&Validator::id("rooms"), 3.0));
}

#[test]
fn another_literal_is_named() {
    assert_eq!(
        text(&literal("a"), "b"),
        "`\"b\"` does not match literal validator `v.literal(\"a\")`."
    );
    assert!(accepts(&literal("a"), "a"));
    assert!(!accepts(&literal(0.0), -0.0));
    assert!(!accepts(&literal(1_i64), 1.0));
}

#[test]
fn a_missing_field_is_named_with_its_object() {
    let validator = Validator::object([
        ("a", Field::required(Validator::Number)),
        ("n", Field::required(Validator::String)),
    ]);
    assert_eq!(
        text(&validator, object! { "a" => 1.0 }),
        "Object is missing the required field `n`. Consider wrapping the field validator in `v.optional(...)` if this \
         is expected.\n\nObject: {a: 1.0}\nValidator: v.object({a: v.float64(), n: v.string()})\n"
    );
    let outer = Validator::object([("list", Field::required(Validator::array(validator)))]);
    assert_eq!(
        text(
            &outer,
            object! { "list" => vec![Value::from(object! { "a" => 1.0 })] }
        ),
        "Object is missing the required field `n`. Consider wrapping the field validator in `v.optional(...)` if this \
         is expected.\nPath: .list[0]\nObject: {a: 1.0}\nValidator: v.object({a: v.float64(), n: v.string()})\n"
    );
}

#[test]
fn an_extra_field_is_named_after_the_declared_ones_are_checked() {
    let validator = Validator::object([("n", Field::optional(Validator::String))]);
    assert_eq!(
        text(&validator, object! { "a" => 1.0, "n" => "s" }),
        "Object contains extra field `a` that is not in the validator.\n\nObject: {a: 1.0, n: \"s\"}\nValidator: \
         v.object({n: v.optional(v.string())})\n"
    );
    assert_eq!(
        text(&validator, object! { "a" => 1.0, "n" => 2.0 }),
        "Value does not match validator.\nPath: .n\nValue: 2.0\nValidator: v.string()\n"
    );
}

#[test]
fn an_optional_field_may_be_absent_and_not_null() {
    let validator = Validator::object([("n", Field::optional(Validator::String))]);
    assert!(accepts(&validator, object! {}));
    assert!(!accepts(&validator, object! { "n" => Value::Null }));
}

#[test]
fn the_path_leads_through_fields_elements_keys_and_values() {
    let inner = Validator::object([("b", Field::required(Validator::Number))]);
    let validator = Validator::object([("a", Field::required(Validator::array(inner)))]);
    let wrong = object! { "b" => "s" };
    assert_eq!(
        text(&validator, object! { "a" => vec![Value::from(wrong)] }),
        "Value does not match validator.\nPath: .a[0].b\nValue: \"s\"\nValidator: v.float64()\n"
    );
    let record = Validator::record(Validator::id("users"), Validator::Number);
    let validator = Validator::object([("r", Field::required(record))]);
    assert_eq!(
        text(&validator, object! { "r" => object! { "k" => 1.0 } }),
        "Value does not match validator.\nPath: .r.keys()\nValue: \"k\"\nValidator: v.id(\"users\")\n"
    );
    let user = id(10_001);
    let entry = Value::Object([(user, Value::Null)].into());
    assert_eq!(
        text(&validator, object! { "r" => entry }),
        "Value does not match validator.\nPath: .r.values()\nValue: null\nValidator: v.float64()\n"
    );
}

#[test]
fn a_union_of_one_reports_its_member_and_a_larger_one_reports_the_whole() {
    let object = |name: &str| Validator::object([(name, Field::required(Validator::Number))]);
    let one = Validator::Union(vec![object("a")]);
    assert!(text(&one, object! {}).starts_with("Object is missing the required field `a`."));
    let two = Validator::Union(vec![object("a"), object("b")]);
    assert_eq!(
        text(&two, object! {}),
        "Value does not match validator.\n\nValue: {}\nValidator: v.union(v.object({a: v.float64()}), v.object({b: \
         v.float64()}))\n"
    );
    assert!(accepts(&two, object! { "b" => 1.0 }));
    assert_eq!(
        text(&Validator::Union(vec![]), Value::Null),
        "Value does not match validator.\n\nValue: null\nValidator: v.union()\n"
    );
}

#[test]
fn numbers_and_int64s_are_apart() {
    assert!(accepts(&Validator::Number, f64::NAN));
    assert!(!accepts(&Validator::Number, 1_i64));
    assert!(accepts(&Validator::Bigint, 1_i64));
    assert!(!accepts(&Validator::Bigint, 1.0));
    assert!(accepts(&Validator::CommitTs, 1_i64));
    assert!(!accepts(&Validator::CommitTs, 1.0));
}

#[test]
fn a_document_is_checked_without_its_system_fields() {
    let declared = Validator::object([
        ("_id", Field::required(Validator::String)),
        ("n", Field::required(Validator::Number)),
    ]);
    let union = Validator::Union(vec![
        Validator::object([("other", Field::required(Validator::Null))]),
        Validator::object([("n", Field::required(Validator::Number))]),
    ]);
    let stored = Value::from(object! { "_id" => 1.0, "_creationTime" => 2.0, "n" => 3.0 });
    assert_eq!(declared.check_document(&stored, &Tables), Ok(()));
    assert_eq!(union.check_document(&stored, &Tables), Ok(()));
    assert!(declared.check(&stored, &Tables).is_err());

    let wrong = Value::from(object! { "_id" => 1.0, "x" => 3.0, "n" => object! { "_y" => 1.0 } });
    let texts = [
        (
            Validator::object([("n", Field::required(Validator::Object(BTreeMap::new())))]),
            "Object contains extra field `_y` that is not in the validator.\nPath: .n\nObject: {_y: 1.0}\nValidator: \
             v.object({})\n",
        ),
        (
            Validator::object([("n", Field::required(Validator::Any))]),
            "Object contains extra field `x` that is not in the validator.\n\nObject: {n: {_y: 1.0}, x: \
             3.0}\nValidator: v.object({n: v.any()})\n",
        ),
    ];
    for (validator, text) in texts {
        let checked = validator.check_document(&wrong, &Tables);
        assert_eq!(checked.unwrap_err().to_string(), text);
    }
}

#[test]
fn a_function_is_named_by_its_handle() {
    let function = Validator::Function(Box::default());
    let holds = |value: Value| function.check(&value, &Tables).is_ok();
    assert!(holds(Value::from("function://00ff#messages:list")));
    for other in [
        Value::from("messages:list"),
        Value::from("function://"),
        Value::Null,
    ] {
        assert!(!holds(other));
    }
    for wrong in [
        json!({"type": "function", "fnType": "route"}),
        json!({"type": "function", "args": 7}),
    ] {
        assert!(Validator::from_json(&wrong).is_err(), "{wrong}");
    }
}
