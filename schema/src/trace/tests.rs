//! Tests of tracing: what is learned of each kind of type.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::*;
use crate::id::DocumentId;
use crate::table::Table;
use crate::value::Value;

#[track_caller]
fn learns<T: DeserializeOwned>(expected: &str) {
    assert_eq!(Validator::of::<T>().to_string(), expected);
}

#[derive(Serialize, Deserialize)]
struct User {
    name: String,
    friend: Option<DocumentId<User>>,
}

impl Table for User {
    const NAME: &'static str = "users";
}

#[test]
fn scalars_are_learned() {
    learns::<bool>("v.boolean()");
    learns::<i64>("v.int64()");
    learns::<u64>("v.int64()");
    learns::<usize>("v.int64()");
    learns::<f64>("v.float64()");
    learns::<f32>("v.float64()");
    learns::<i32>("v.float64()");
    learns::<u8>("v.float64()");
    learns::<String>("v.string()");
    learns::<char>("v.string()");
    learns::<serde_bytes::ByteBuf>("v.bytes()");
    learns::<()>("v.null()");
    learns::<i128>("v.any()");
    learns::<Value>("v.any()");
    learns::<serde_json::Value>("v.any()");
}

#[test]
fn containers_are_learned() {
    learns::<Vec<f64>>("v.array(v.float64())");
    learns::<Vec<Vec<String>>>("v.array(v.array(v.string()))");
    learns::<[f64; 3]>("v.array(v.float64())");
    learns::<(f64, String, f64)>("v.array(v.union(v.float64(), v.string()))");
    learns::<Option<f64>>("v.union(v.float64(), v.null())");
    learns::<Option<Value>>("v.any()");
    learns::<HashMap<String, i64>>("v.record(v.string(), v.int64())");
    learns::<BTreeMap<DocumentId<User>, bool>>(r#"v.record(v.id("users"), v.boolean())"#);
    learns::<BTreeMap<char, Option<Plain>>>(
        "v.record(v.string(), v.union(v.object({a: v.float64(), b: v.array(v.string())}), v.null()))",
    );
    learns::<HashMap<u32, i64>>("v.any()");
    learns::<std::collections::BTreeSet<String>>("v.array(v.string())");
    learns::<Box<str>>("v.string()");
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Plain {
    a: u32,
    b: Vec<String>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only traced")]
struct Optionals {
    plain: Plain,
    maybe: Option<Plain>,
    #[serde(default)]
    defaulted: i64,
    #[serde(skip)]
    skipped: i64,
    #[serde(rename = "renamedTo")]
    renamed: (f64, f64),
    unit: (),
    tail: String,
}

#[test]
fn fields_are_required_unless_they_may_be_left_out() {
    let plain = "v.object({a: v.float64(), b: v.array(v.string())})";
    learns::<Optionals>(&format!(
        "v.object({{defaulted: v.optional(v.int64()), maybe: v.optional(v.union({plain}, v.null())), plain: {plain}, \
         renamedTo: v.array(v.float64()), tail: v.string(), unit: v.null()}})"
    ));
}

#[test]
fn ids_know_their_table() {
    learns::<DocumentId<User>>(r#"v.id("users")"#);
    learns::<DocumentId>("v.string()");
    learns::<User>(
        r#"v.object({friend: v.optional(v.union(v.id("users"), v.null())), name: v.string()})"#,
    );
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only traced")]
enum Color {
    DeepRed,
    Green,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only traced")]
enum Shape {
    Point,
    Circle(f64),
    Box(f64, String),
    Text { text: String, color: Option<Color> },
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only traced")]
enum Open {
    Known,
    Held(f64),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
enum Never {}

#[test]
fn enums_are_names_or_objects_of_one_field() {
    let color = r#"v.literal("deepRed"), v.literal("Green")"#.replace("Green", "green");
    learns::<Color>(&format!("v.union({color})"));
    learns::<Shape>(&format!(
        r#"v.union(v.literal("Point"), v.object({{Circle: v.float64()}}), v.object({{Box: v.array(v.union(v.float64(), v.string()))}}), v.object({{Text: v.object({{color: v.optional(v.union({color}, v.null())), text: v.string()}})}}))"#
    ));
    learns::<Open>("v.union(v.object({Held: v.float64()}), v.string())");
    learns::<Never>("v.union()");
    learns::<HashMap<Color2, f64>>("v.record(v.string(), v.float64())");
}

#[derive(PartialEq, Eq, Hash, Deserialize)]
enum Color2 {
    Red,
    Blue,
}

#[derive(Deserialize)]
#[serde(tag = "kind")]
#[allow(dead_code, reason = "only traced")]
enum Tagged {
    A { n: i64 },
}

#[derive(Deserialize)]
#[serde(tag = "t", content = "c")]
#[allow(dead_code, reason = "only traced")]
enum Adjacent {
    Nothing,
    Number(f64),
}

#[derive(Deserialize)]
#[serde(untagged)]
#[allow(dead_code, reason = "only traced")]
enum Untagged {
    Text(String),
    Number(f64),
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only traced")]
struct Flattens {
    own: String,
    #[serde(flatten)]
    plain: Plain,
}

#[test]
fn what_reads_anything_is_any() {
    learns::<Tagged>("v.any()");
    learns::<Untagged>("v.any()");
    learns::<Flattens>("v.any()");
    learns::<Adjacent>(
        r#"v.object({c: v.optional(v.any()), t: v.union(v.literal("Nothing"), v.literal("Number"))})"#,
    );
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only traced")]
struct Tree {
    value: f64,
    children: Vec<Tree>,
    left: Option<Box<Tree>>,
    right: Option<Box<Tree>>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only traced")]
struct Nest(Vec<Nest>);

#[derive(Deserialize)]
#[allow(dead_code, reason = "only traced")]
struct Page<T> {
    items: Vec<T>,
}

#[test]
fn recursion_ends_in_any_and_generics_do_not() {
    learns::<Tree>(
        "v.object({children: v.array(v.any()), left: v.optional(v.any()), right: v.optional(v.any()), value: \
         v.float64()})",
    );
    learns::<Nest>("v.array(v.any())");
    learns::<Page<Page<f64>>>(
        "v.object({items: v.array(v.object({items: v.array(v.float64())}))})",
    );
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Long(#[allow(dead_code, reason = "only traced")] String);

impl TryFrom<String> for Long {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.len() > 100 {
            true => Ok(Long(text)),
            false => Err(text),
        }
    }
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only traced")]
struct Parsed {
    address: std::net::IpAddr,
    count: std::num::NonZeroU32,
    first: String,
    maybe: Option<Long>,
    #[serde(default)]
    defaulted: i64,
    long: Long,
    last: Plain,
    list: Vec<Long>,
}

#[test]
fn a_type_that_refuses_what_it_is_given_is_learned_as_far_as_it_goes() {
    learns::<Long>("v.string()");
    // Whether `last` and `list` are needed cannot be seen behind `long`, which no made-up text satisfies.
    learns::<Parsed>(
        "v.object({address: v.string(), count: v.float64(), defaulted: v.optional(v.int64()), first: \
         v.string(), last: v.optional(v.object({a: v.float64(), b: v.array(v.string())})), list: \
         v.optional(v.array(v.string())), long: v.string(), maybe: v.optional(v.union(v.string(), v.null()))})",
    );
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only traced")]
struct Aliased {
    #[serde(alias = "old", alias = "older")]
    new: String,
    other: f64,
}

#[test]
fn either_name_of_an_aliased_field_will_do() {
    let validator = Validator::of::<Aliased>();
    let Validator::Object(fields) = &validator else {
        panic!("{validator}");
    };
    assert!(fields["new"].optional);
    assert!(
        fields
            .get("old")
            .is_none_or(|old| old.optional && old.validator == Validator::String)
    );
    assert!(!fields["other"].optional);
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only traced")]
struct OddName {
    #[serde(rename = "odd-name")]
    odd: f64,
}

#[test]
fn fields_whose_names_no_validator_can_have_make_any() {
    learns::<OddName>("v.any()");
}

#[test]
fn a_part_that_cannot_be_learnt_is_named() {
    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only traced")]
    #[serde(untagged)]
    enum Untagged {
        Text(String),
        Number(f64),
    }
    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only traced")]
    #[serde(tag = "kind")]
    enum Tagged {
        One { text: String },
    }
    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only traced")]
    struct Flat {
        own: f64,
        #[serde(flatten)]
        rest: Plain,
    }
    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only traced")]
    struct Tree {
        label: String,
        children: Vec<Tree>,
    }
    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only traced")]
    struct Holder<T> {
        name: String,
        held: BTreeMap<String, Vec<Option<T>>>,
    }
    fn part<T: serde::de::DeserializeOwned>() -> Option<String> {
        Validator::learn::<T>().err().map(|error| error.part)
    }
    assert_eq!(part::<Untagged>().as_deref(), Some(""));
    assert_eq!(part::<Tagged>().as_deref(), Some(""));
    assert_eq!(part::<Flat>().as_deref(), Some(""));
    assert_eq!(part::<Tree>().as_deref(), Some(".children[]"));
    assert_eq!(part::<OddName>().as_deref(), Some(".odd-name"));
    assert_eq!(part::<HashMap<i32, f64>>().as_deref(), Some(""));
    assert_eq!(part::<Holder<Untagged>>().as_deref(), Some(".held{}[]"));
    assert_eq!(part::<Holder<Value>>(), None);
    assert_eq!(part::<Holder<serde_json::Value>>(), None);
    assert_eq!(part::<(f64, Plain)>(), None);
    assert_eq!(part::<Aliased>(), None);
    assert_eq!(
        Validator::of_args::<Holder<Untagged>>()
            .unwrap_err()
            .to_string(),
        "the shape of `vestibule_schema::trace::tests::a_part_that_cannot_be_learnt_is_named::Holder<\
         vestibule_schema::trace::tests::a_part_that_cannot_be_learnt_is_named::Untagged>.held{}[]` cannot be learnt \
         from its `Deserialize`, as that of an untagged enum, a flattened struct or a recursive type; declare its validator"
    );
}

#[test]
fn the_arguments_of_a_function_are_an_object() {
    let of = |validator: Result<Validator, ArgsError>| validator.unwrap().to_string();
    assert_eq!(of(Validator::of_args::<()>()), "v.object({})");
    assert_eq!(
        of(Validator::of_args::<Plain>()),
        "v.object({a: v.float64(), b: v.array(v.string())})"
    );
    assert_eq!(of(Validator::of_args::<HashMap<String, f64>>()), "v.any()");
    assert_eq!(of(Validator::of_args::<Option<Plain>>()), "v.any()");
    assert_eq!(of(Validator::of_args::<Value>()), "v.any()");
    assert_eq!(
        Validator::of_args::<Vec<f64>>().unwrap_err().to_string(),
        "the arguments of a function are one object, so `alloc::vec::Vec<f64>` should be a struct with named fields; \
         it is read from v.array(v.float64())"
    );
    assert!(Validator::of_args::<(f64, f64)>().is_err());
    assert!(Validator::of_args::<String>().is_err());
}

/// A validator accepts every value that its type writes.
#[test]
fn a_validator_accepts_what_its_type_writes() {
    struct NoTables;
    impl crate::validator::TableNames for NoTables {
        fn table_number(&self, _: &str) -> Option<crate::id::TableNumber> {
            None
        }
        fn table_name(&self, _: crate::id::TableNumber) -> Option<&str> {
            None
        }
    }
    #[derive(Serialize, Deserialize)]
    struct All {
        wide: i64,
        narrow: i16,
        list: Vec<Option<String>>,
        map: BTreeMap<String, (f64, bool)>,
        variants: Vec<Variant>,
        none: Option<i64>,
        value: Value,
    }
    #[derive(Serialize, Deserialize)]
    enum Variant {
        Unit,
        New(i64),
        Struct { a: f64 },
    }
    let all = All {
        wide: 1,
        narrow: 2,
        list: vec![None, Some("a".to_owned())],
        map: BTreeMap::from([("k".to_owned(), (1.0, true))]),
        variants: vec![Variant::Unit, Variant::New(1), Variant::Struct { a: 1.0 }],
        none: None,
        value: Value::Bytes(vec![1]),
    };
    let value = crate::to_value(&all).unwrap();
    assert_eq!(Validator::of::<All>().check(&value, &NoTables), Ok(()));
}
