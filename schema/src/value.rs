//! Values: what documents, arguments and results are made of.

use std::collections::BTreeMap;

/// An object: field names in ascending order, each with a value.
pub type Object = BTreeMap<String, Value>;

/// A Convex value.
#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Int64(i64),
    Float64(f64),
    Boolean(bool),
    String(String),
    Bytes(Vec<u8>),
    Array(Vec<Value>),
    Object(Object),
}
