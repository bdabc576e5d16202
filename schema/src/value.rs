//! Values: the parts of documents, arguments and results. Their order, limits and display live beside this file;
//! their JSON is in `json`, their order-keeping bytes in `key`.

#[cfg(test)]
pub(crate) mod arbitrary;
mod display;
mod limits;
mod order;

use std::collections::BTreeMap;

use crate::path::FieldPath;

pub use limits::{
    ARRAY_LENGTH_MAX, ByteCount, DOCUMENT_BYTES_MAX, DOCUMENT_NESTING_MAX, DocumentError,
    FIELD_NAME_BYTES_MAX, FieldNameError, OBJECT_FIELDS_MAX, VALUE_BYTES_MAX, VALUE_NESTING_MAX,
    ValueError, check_document, check_field_name, check_value,
};
pub(crate) use limits::{check_array_length, check_field_count, check_nesting};

/// An object: field names in ascending order, each with a value.
pub type Object = BTreeMap<String, Value>;

/// A Convex value.
///
/// Comparison is the total order that indexes use: types in the order of the variants below, every int64 before every
/// float64. Floats compare by IEEE total order (so `-0.0 != 0.0` and a NaN equals itself), strings by their UTF-8
/// bytes.
///
/// ```
/// use vestibule_schema::{Value, object};
///
/// let message = Value::from(object! { "body" => "hello", "likes" => 3.0 });
/// assert_eq!(message.to_string(), r#"{body: "hello", likes: 3.0}"#);
/// assert!(Value::from(7_i64) < Value::from(1.0));
/// ```
#[derive(Clone, Debug)]
pub enum Value {
    /// `null`.
    Null,
    /// A 64-bit integer, a `bigint` in JavaScript.
    Int64(i64),
    /// A number.
    Float64(f64),
    /// A boolean.
    Boolean(bool),
    /// A text.
    String(String),
    /// Bytes, an `ArrayBuffer` in JavaScript.
    Bytes(Vec<u8>),
    /// A list.
    Array(Vec<Value>),
    /// Fields by name.
    Object(Object),
}

impl Value {
    /// The size in bytes that limits measure: one for a tag, two for what has an end mark, then the content.
    pub fn size(&self) -> usize {
        match self {
            Value::Null | Value::Boolean(_) => 1,
            Value::Int64(_) | Value::Float64(_) => 9,
            Value::String(text) => 2 + text.len(),
            Value::Bytes(bytes) => 2 + bytes.len(),
            Value::Array(elements) => 2 + elements.iter().map(Value::size).sum::<usize>(),
            Value::Object(object) => object_size(object),
        }
    }

    /// How many containers lie inside one another: 0 for a scalar, 1 for an empty array or object.
    pub fn nesting(&self) -> usize {
        match self {
            Value::Array(elements) => 1 + elements.iter().map(Value::nesting).max().unwrap_or(0),
            Value::Object(object) => 1 + object.values().map(Value::nesting).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// The word error texts use for this value's type, as in `Cannot add 1 (type Int64)`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "Null",
            Value::Int64(_) => "Int64",
            Value::Float64(_) => "Float64",
            Value::Boolean(_) => "Boolean",
            Value::String(_) => "String",
            Value::Bytes(_) => "Bytes",
            Value::Array(_) => "Array",
            Value::Object(_) => "Object",
        }
    }

    /// The value at `path`; `None` (undefined) when a field is missing or the path leads through a non-object.
    pub fn get_path(&self, path: &FieldPath) -> Option<&Value> {
        path.lookup(self.as_object()?)
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The integer, if this is an int64.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int64(number) => Some(*number),
            _ => None,
        }
    }

    /// The number, if this is a float64. An int64 is not one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Float64(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth value, if this is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Boolean(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes, if this is bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The elements, if this is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The fields, if this is an object.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The fields, if this is an object; otherwise the value itself, unchanged.
    pub fn into_object(self) -> Result<Object, Value> {
        match self {
            Value::Object(object) => Ok(object),
            other => Err(other),
        }
    }
}

/// The size in bytes of an object as [`Value::size`] counts it, for documents kept without their `Value`.
pub fn object_size(object: &Object) -> usize {
    let field_size = |(name, value): (&String, &Value)| name.len() + 1 + value.size();
    2 + object.iter().map(field_size).sum::<usize>()
}

/// Builds an [`Object`] from fields whose values are anything `Value: From` takes.
///
/// ```
/// let user = vestibule_schema::object! { "name" => "Ada", "admin" => true };
/// assert_eq!(user["name"].as_str(), Some("Ada"));
/// ```
#[macro_export]
macro_rules! object {
    ($($name:expr => $value:expr),* $(,)?) => {
        {
            #[allow(unused_mut)]
            let mut object = $crate::value::Object::new();
            $(object.insert(::std::string::String::from($name), $crate::value::Value::from($value));)*
            object
        }
    };
}

impl From<()> for Value {
    fn from((): ()) -> Value {
        Value::Null
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int64(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Float64(number)
    }
}

/// A small integer is a float64, as a number written in JavaScript is; only `i64` means int64.
impl From<i32> for Value {
    fn from(number: i32) -> Value {
        Value::Float64(f64::from(number))
    }
}

/// A small integer is a float64, as a number written in JavaScript is; only `i64` means int64.
impl From<u32> for Value {
    fn from(number: u32) -> Value {
        Value::Float64(f64::from(number))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Boolean(truth)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Value {
        Value::Bytes(bytes.to_owned())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Value {
        Value::Bytes(bytes)
    }
}

impl From<Vec<Value>> for Value {
    fn from(elements: Vec<Value>) -> Value {
        Value::Array(elements)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Value {
        Value::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_count_tags_ends_and_field_names() {
        for (value, size) in [
            (Value::Null, 1),
            (Value::from(true), 1),
            (Value::from(1_i64), 9),
            (Value::from(1.0), 9),
            (Value::from("né"), 5),
            (Value::from(vec![0_u8; 3]), 5),
            (Value::from(vec![Value::Null, Value::from(1.0)]), 12),
            (Value::from(object! { "ab" => (), "c" => "x" }), 11),
        ] {
            assert_eq!(value.size(), size, "{value}");
        }
    }

    #[test]
    fn the_system_fields_of_a_document_add_61_bytes() {
        let id = "j57004926d25askqh2ctneycvqqfznw8";
        let document = object! { "_id" => id, "_creationTime" => 1.5 };
        assert_eq!(object_size(&document), 2 + 38 + 23);
    }

    #[test]
    fn nesting_counts_containers() {
        assert_eq!(Value::from("x").nesting(), 0);
        assert_eq!(Value::from(object! {}).nesting(), 1);
        let inner = Value::from(vec![Value::Null, Value::from(vec![Value::Null])]);
        assert_eq!(Value::from(object! { "a" => inner }).nesting(), 3);
    }

    #[test]
    fn a_path_through_a_missing_field_or_a_scalar_is_undefined() {
        let value = Value::from(object! { "a" => object! { "b" => 1 }, "s" => "x" });
        let at = |path: &str| value.get_path(&path.parse().unwrap());
        assert_eq!(at("a.b"), Some(&Value::from(1.0)));
        assert_eq!(at("a.c"), None);
        assert_eq!(at("s.length"), None);
        assert_eq!(Value::Null.get_path(&"a".parse().unwrap()), None);
    }

    #[test]
    fn only_i64_becomes_an_int64() {
        assert_eq!(Value::from(1), Value::Float64(1.0));
        assert_eq!(Value::from(1_i64), Value::Int64(1));
    }
}
