//! Tests of conversion: what each Rust type becomes, what is read back, and what is refused where.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::id::{DocumentId, InternalId, TableNumber};
use crate::key::{encode_object, encoded_size};
use crate::object;
use crate::table::Table;
use crate::value::Object;
use crate::value::arbitrary::arb_value;

#[track_caller]
fn both_ways<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    rust: T,
    value: impl Into<Value>,
) {
    let value = value.into();
    assert_eq!(to_value(&rust).unwrap(), value);
    same_when_stored::<T>(&value);
    assert_eq!(from_value::<T>(value).unwrap(), rust);
}

/// Checks that a document is read like the value it is, by itself and as a field.
#[track_caller]
fn same_when_stored<T: DeserializeOwned + Debug>(value: &Value) {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Holder<T> {
        held: T,
    }

    let holder = object! { "held" => value.clone() };
    same_as_document::<Holder<T>>(&holder);
    let holder =
        object! { "Aside" => vec![value.clone()], "held" => value.clone(), "z" => value.clone() };
    same_as_document::<Holder<T>>(&holder);
    if let Value::Object(fields) = value {
        same_as_document::<T>(fields);
    }
}

#[track_caller]
fn same_as_document<T: DeserializeOwned + Debug>(fields: &Object) {
    let expected = from_value::<T>(Value::Object(fields.clone())).map_err(|e| e.to_string());
    for time in [None, Some(1.5)] {
        let mut stored = fields.clone();
        stored.extend(time.map(|time| ("_creationTime".to_owned(), Value::Float64(time))));
        let mut bytes = Vec::new();
        encode_object(&mut bytes, &stored);
        let read = from_document::<T>(&bytes).map_err(|e| e.to_string());
        let expected = expected.as_ref().map(|read| (read, time.unwrap_or(0.0)));
        match (&read, expected) {
            // Not a number is not even equal to itself.
            (Ok(read), Ok(expected)) => assert_eq!(format!("{read:?}"), format!("{expected:?}")),
            (Err(read), Err(expected)) => assert_eq!(read, expected),
            (read, expected) => panic!("{read:?} is not {expected:?}"),
        }
        let value = Value::Object(stored);
        assert_eq!(encoded_size(&bytes), Ok(value.size()));
    }
}

#[track_caller]
fn refused<T: DeserializeOwned + Debug>(value: impl Into<Value>) -> String {
    let value = value.into();
    same_when_stored::<T>(&value);
    from_value::<T>(value).unwrap_err().to_string()
}

fn list<V: Into<Value>>(elements: impl IntoIterator<Item = V>) -> Value {
    Value::Array(elements.into_iter().map(Into::into).collect())
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
}

impl Table for User {
    const NAME: &'static str = "users";
}

#[test]
fn wide_integers_are_int64s_and_narrow_ones_numbers() {
    both_ways(-3_i64, -3_i64);
    both_ways(3_u64, 3_i64);
    both_ways(3_usize, 3_i64);
    both_ways(-3_isize, -3_i64);
    both_ways(i64::MIN, i64::MIN);
    both_ways(-3_i8, -3.0);
    both_ways(i32::MIN, f64::from(i32::MIN));
    both_ways(255_u8, 255.0);
    both_ways(u32::MAX, f64::from(u32::MAX));
    both_ways(1.5_f32, 1.5);
    both_ways(-0.25_f64, -0.25);
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    assert_eq!(refused::<u32>(2.5), "expected u32, found the number 2.5");
    assert_eq!(refused::<u32>(-1.0), "expected u32, found the number -1");
    assert_eq!(
        refused::<i32>(f64::NAN),
        "expected i32, found the number NaN"
    );
    assert_eq!(
        refused::<u8>(256.0),
        "invalid value: integer `256`, expected u8"
    );
    assert_eq!(refused::<i32>(1_i64), "expected i32, found the int64 1");
    assert_eq!(refused::<f64>(1_i64), "expected f64, found the int64 1");
    assert_eq!(refused::<i64>(1.0), "expected i64, found the number 1");
    assert_eq!(refused::<u64>(-1_i64), "expected u64, found the int64 -1");
    assert!(refused::<f32>(1e300).starts_with("expected f32"));
    assert!(
        from_value::<f32>(f64::INFINITY.into())
            .unwrap()
            .is_infinite()
    );

    let too_big = to_value(&u64::MAX).unwrap_err().to_string();
    assert_eq!(
        too_big,
        "18446744073709551615 is more than an int64 can hold"
    );
    assert!(to_value(&1_i128).is_err() && to_value(&1_u128).is_err());
    assert!(from_value::<i128>(1_i64.into()).is_err() && from_value::<u128>(1_i64.into()).is_err());
}

#[test]
fn texts_and_bytes_are_themselves() {
    both_ways(true, true);
    both_ways("ü".to_owned(), "ü");
    both_ways('ü', "ü");
    both_ways(
        serde_bytes::ByteBuf::from(vec![1, 2]),
        Value::Bytes(vec![1, 2]),
    );
    both_ways(vec![1_u8, 2], list([1.0, 2.0]));
    assert_eq!(
        refused::<bool>("true"),
        "expected a boolean, found a string"
    );
}

#[test]
fn types_with_a_readable_form_use_it() {
    let address: std::net::IpAddr = "127.0.0.1".parse().unwrap();
    both_ways(address, "127.0.0.1");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Options {
    absent: Option<String>,
    list: Vec<Option<f64>>,
}

#[test]
fn none_is_left_out_of_structs_and_maps_and_null_in_arrays() {
    let options = Options {
        absent: None,
        list: vec![None, Some(1.0)],
    };
    both_ways(
        options,
        object! { "list" => list([Value::Null, Value::from(1.0)]) },
    );
    both_ways(Some(1.5), 1.5);
    both_ways(None::<f64>, Value::Null);
    let map = BTreeMap::from([("a", None), ("b", Some(1.5))]);
    assert_eq!(to_value(&map).unwrap(), object! { "b" => 1.5 }.into());
    both_ways(
        BTreeMap::from([("a".to_owned(), Nullable(None::<f64>))]),
        object! { "a" => Value::Null },
    );
    assert_eq!(to_field(&None::<f64>).unwrap(), None);
    assert_eq!(to_field(&Some(None::<f64>)).unwrap(), None);
    assert_eq!(to_field(&Nullable(None::<f64>)).unwrap(), Some(Value::Null));
    assert_eq!(to_field(&()).unwrap(), Some(Value::Null));

    let read: Options =
        from_value(object! { "absent" => Value::Null, "list" => list::<Value>([]) }.into())
            .unwrap();
    assert_eq!(read.absent, None);
}

#[test]
fn unit_is_null_and_is_read_from_an_empty_object_too() {
    both_ways((), Value::Null);
    from_value::<()>(object! {}.into()).unwrap();
    assert_eq!(
        refused::<()>(object! { "a" => 1.0 }),
        "expected unit, found an object"
    );
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Box(f64, f64),
    Text { text: String, font: Option<String> },
}

#[test]
fn variants_are_names_or_objects_of_one_field() {
    both_ways(Shape::Point, "Point");
    both_ways(Shape::Circle(1.5), object! { "Circle" => 1.5 });
    both_ways(Shape::Box(1.5, 2.5), object! { "Box" => list([1.5, 2.5]) });
    let text = Shape::Text {
        text: "t".to_owned(),
        font: None,
    };
    both_ways(text, object! { "Text" => object! { "text" => "t" } });

    assert_eq!(
        refused::<Shape>(object! { "Circle" => "x" }),
        "at `.Circle`: expected f64, found a string"
    );
    assert_eq!(
        refused::<Shape>("Circle"),
        "expected an object {Circle: ..}, found the string \"Circle\""
    );
    assert_eq!(
        refused::<Shape>(object! { "Point" => Value::Null }),
        "expected the string \"Point\", found an object"
    );
    assert!(refused::<Shape>("Blob").starts_with("unknown variant `Blob`"));
    assert_eq!(
        refused::<Shape>(object! { "a" => 1.0, "b" => 1.0 }),
        "expected enum Shape, found an object"
    );
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Meters(f64);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Named {
    maybe: Maybe,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Maybe(Option<f64>);

#[test]
fn a_newtype_around_none_is_null_in_a_struct_too() {
    let named = Named { maybe: Maybe(None) };
    both_ways(named, object! { "maybe" => Value::Null });
}

#[test]
fn newtypes_are_what_they_hold_and_tuples_are_arrays() {
    both_ways(Meters(1.5), 1.5);
    both_ways(
        (1_i64, "a".to_owned()),
        list([Value::from(1_i64), Value::from("a")]),
    );
    assert_eq!(
        refused::<(f64, f64)>(list([1.0, 2.0, 3.0])),
        "expected an array of 2 elements, found one of 3"
    );
    assert_eq!(
        refused::<(f64, f64)>(list([1.0])),
        "invalid length 1, expected a tuple of size 2"
    );
    assert_eq!(
        refused::<(f64, f64)>(list([Value::from(1.0), Value::Null])),
        "at `[1]`: expected f64, found null"
    );
}

#[test]
fn maps_have_string_keys() {
    both_ways(
        HashMap::from([("a b".to_owned(), 1.5)]),
        object! { "a b" => 1.5 },
    );
    let error = to_value(&HashMap::from([(1, 2)])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the keys of a map must be strings, not 1.0"
    );
}

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "read only to fail")]
struct Message {
    author: User,
    parts: Vec<User>,
}

#[test]
fn errors_name_the_part_that_does_not_fit() {
    let user = |name: Value| Value::from(object! { "name" => name });
    let message = object! { "author" => user("a".into()), "parts" => list([user("b".into()), user(1.0.into())]) };
    assert_eq!(
        refused::<Message>(message),
        "at `.parts[1].name`: expected a string, found the number 1"
    );
    let message = object! { "author" => object! {} };
    assert_eq!(
        refused::<Message>(message),
        "at `.author`: missing field `name`"
    );

    #[derive(Serialize)]
    struct TooWide {
        a: Vec<BTreeMap<&'static str, i128>>,
    }
    let error = to_value(&TooWide {
        a: vec![BTreeMap::from([("b", 1)])],
    })
    .unwrap_err();
    assert_eq!(error.path(), ".a[0].b");
    assert_eq!(
        error.reason(),
        "128-bit integers are not values; use i64, or a string"
    );
}

#[test]
fn ids_are_their_texts() {
    let id = DocumentId::<User>::new(TableNumber::new(10_001).unwrap(), InternalId([7; 16]));
    both_ways(id, id.to_string());
    both_ways(id.untyped(), id.to_string());
    both_ways(
        BTreeMap::from([(id, 1.5)]),
        Value::Object([(id.to_string(), Value::from(1.5))].into()),
    );
    let json = serde_json::to_string(&id).unwrap();
    assert_eq!(serde_json::from_str::<DocumentId<User>>(&json).unwrap(), id);
    assert_eq!(
        refused::<DocumentId<User>>("x"),
        "Unable to decode ID: Invalid ID length 1"
    );
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    id: DocumentId<User>,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    by: DocumentId<User>,
    age: u8,
    count: i64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
enum Tagged {
    Move {
        steps: i32,
        speed: f64,
        payload: Value,
    },
    Held(Inner),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Integer(i64),
    Text(String),
    Value(Value),
}

#[test]
fn flattened_and_tagged_parts_keep_numbers_apart() {
    let id = DocumentId::<User>::new(TableNumber::new(10_001).unwrap(), InternalId([7; 16]));
    let inner = || Inner {
        by: id,
        age: 200,
        count: -5_000_000_000,
    };
    let rest = object! {
        "whole" => 3.0, "negative" => -3.0, "zero" => -0.0, "integer" => -5_000_000_000_i64, "bytes" => Value::Bytes(vec![1]),
    };
    let mut fields = rest.clone();
    fields
        .extend(object! { "id" => id, "by" => id, "age" => 200.0, "count" => -5_000_000_000_i64 });
    both_ways(
        Flat {
            id,
            inner: inner(),
            rest,
        },
        fields,
    );

    let payload = || list([Value::from(-1_i64), Value::from(-1.0)]);
    let moved = Tagged::Move {
        steps: -3,
        speed: 2.0,
        payload: payload(),
    };
    both_ways(
        moved,
        object! { "kind" => "move", "steps" => -3.0, "speed" => 2.0, "payload" => payload() },
    );
    let held =
        object! { "kind" => "held", "by" => id, "age" => 200.0, "count" => -5_000_000_000_i64 };
    both_ways(Tagged::Held(inner()), held);

    both_ways(Untagged::Integer(-1), -1_i64);
    both_ways(Untagged::Text("a".to_owned()), "a");
    both_ways(Untagged::Value(Value::from(0.5)), 0.5);
}

#[test]
fn json_numbers_stay_floats_after_values_were_read() {
    from_value::<Value>(Value::from(-3_i64)).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>("-3").unwrap(),
        Value::from(-3.0)
    );
    let panicked = std::panic::catch_unwind(|| {
        #[derive(Debug)]
        struct Panics;
        impl<'de> Deserialize<'de> for Panics {
            fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
                panic!("on purpose")
            }
        }
        from_value::<Panics>(Value::Null)
    });
    assert!(panicked.is_err());
    assert_eq!(
        serde_json::from_str::<Value>("-3").unwrap(),
        Value::from(-3.0)
    );
}

#[test]
fn a_map_that_looks_like_a_wrapper_stays_a_map() {
    let map = BTreeMap::from([("$integer", "AQAAAAAAAAA=")]);
    let value = to_value(&map).unwrap();
    assert!(matches!(value, Value::Object(_)));
}

proptest! {
    #[test]
    fn a_value_converts_to_itself(value in arb_value()) {
        prop_assert_eq!(&to_value(&value).unwrap(), &value);
        prop_assert_eq!(&from_value::<Value>(value.clone()).unwrap(), &value);
    }

    #[test]
    fn a_document_is_read_like_its_value(value in arb_value()) {
        same_when_stored::<Value>(&value);
        same_when_stored::<Option<String>>(&value);
        same_when_stored::<BTreeMap<String, Value>>(&value);
        same_when_stored::<f64>(&value);
        same_when_stored::<Vec<Value>>(&value);
    }

    #[test]
    fn a_cut_document_is_refused(fields in arb_value(), cut: prop::sample::Index) {
        let mut bytes = Vec::new();
        encode_object(&mut bytes, &object! { "held" => fields });
        let cut = cut.index(bytes.len());
        prop_assert!(from_document::<BTreeMap<String, Value>>(&bytes[..cut]).is_err());
        prop_assert!(encoded_size(&bytes[..cut]).is_err());
    }

    #[test]
    fn a_value_survives_inside_a_buffered_type(value in arb_value()) {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        enum Holder { Holds { value: Value } }
        let holder = Holder::Holds { value };
        let converted = to_value(&holder).unwrap();
        prop_assert_eq!(from_value::<Holder>(converted).unwrap(), holder);
    }

    #[test]
    fn numbers_survive(wide: i64, narrow: i32, unsigned: u32, float: f64) {
        let numbers = (wide, narrow, unsigned, float);
        prop_assert_eq!(from_value::<(i64, i32, u32, f64)>(to_value(&numbers).unwrap()).unwrap(), numbers);
    }
}
