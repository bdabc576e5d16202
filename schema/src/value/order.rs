//! The total order of values, with equality and hashing that agree with it.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use super::Value;

impl Value {
    /// The place of this value's type among the types. Undefined, which is no value, would come before null.
    fn rank(&self) -> u8 {
        match self {
            Value::Null => 0,
            Value::Int64(_) => 1,
            Value::Float64(_) => 2,
            Value::Boolean(_) => 3,
            Value::String(_) => 4,
            Value::Bytes(_) => 5,
            Value::Array(_) => 6,
            Value::Object(_) => 7,
        }
    }
}

impl Ord for Value {
    // Arrays and objects compare as their standard collections do: element by element, or (name, value) pair by pair,
    // and a prefix before what continues it. Strings compare by UTF-8 bytes.
    fn cmp(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Value::Int64(a), Value::Int64(b)) => a.cmp(b),
            (Value::Float64(a), Value::Float64(b)) => a.total_cmp(b),
            (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
            (Value::String(a), Value::String(b)) => a.cmp(b),
            (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            (Value::Array(a), Value::Array(b)) => a.cmp(b),
            (Value::Object(a), Value::Object(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Value) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    // Not `cmp(..).is_eq()`: unequal lengths settle most comparisons of collections at once.
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Int64(a), Value::Int64(b)) => a == b,
            (Value::Float64(a), Value::Float64(b)) => a.to_bits() == b.to_bits(),
            (Value::Boolean(a), Value::Boolean(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Array(a), Value::Array(b)) => a == b,
            (Value::Object(a), Value::Object(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        match self {
            Value::Null => {}
            Value::Int64(number) => number.hash(state),
            Value::Float64(number) => number.to_bits().hash(state),
            Value::Boolean(truth) => truth.hash(state),
            Value::String(text) => text.hash(state),
            Value::Bytes(bytes) => bytes.hash(state),
            Value::Array(elements) => elements.hash(state),
            Value::Object(object) => object.hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary::arb_value;
    use super::*;
    use crate::object;

    /// One value after another in strictly ascending order, crossing every type and every rule within one.
    fn ascending() -> Vec<Value> {
        let float = |bits: u64| Value::Float64(f64::from_bits(bits));
        vec![
            Value::Null,
            Value::from(i64::MIN),
            Value::from(-1_i64),
            Value::from(0_i64),
            Value::from(i64::MAX),
            float(0xfff8_0000_0000_0001),
            float(0xfff8_0000_0000_0000),
            Value::from(f64::NEG_INFINITY),
            Value::from(-1.0),
            Value::from(-0.0),
            Value::from(0.0),
            Value::from(1.0),
            Value::from(f64::INFINITY),
            float(0x7ff8_0000_0000_0000),
            float(0x7ff8_0000_0000_0001),
            Value::from(false),
            Value::from(true),
            Value::from(""),
            Value::from("a"),
            Value::from("a\0"),
            Value::from("ab"),
            Value::from("b"),
            Value::from("\u{ff5e}"),
            // Above U+FF5E by code point, below it by UTF-16 code unit.
            Value::from("\u{1f600}"),
            Value::from(vec![0_u8; 0]),
            Value::from(vec![0_u8]),
            Value::from(vec![0_u8, 0xff]),
            Value::from(vec![0xff_u8]),
            Value::from(Vec::<Value>::new()),
            Value::from(vec![Value::Null]),
            Value::from(vec![Value::Null, Value::Null]),
            Value::from(vec![Value::from(1.0)]),
            Value::from(object! {}),
            Value::from(object! { "" => 1.0 }),
            Value::from(object! { "a" => 1.0 }),
            Value::from(object! { "a" => 1.0, "b" => 0.0 }),
            Value::from(object! { "a" => 2.0 }),
            Value::from(object! { "ab" => 0.0 }),
            Value::from(object! { "b" => 0.0 }),
        ]
    }

    #[test]
    fn the_listed_values_ascend_strictly() {
        let values = ascending();
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert_eq!(a.cmp(b), i.cmp(&j), "{a} and {b}");
                assert_eq!(a == b, i == j, "{a} and {b}");
            }
        }
    }

    proptest! {
        #[test]
        fn equality_agrees_with_the_order(a in arb_value(), b in arb_value()) {
            prop_assert_eq!(a == b, a.cmp(&b).is_eq());
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(&a.clone(), &a);
        }
    }
}
