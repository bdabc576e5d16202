//! The text of a value in error messages. It is for people and is never read back.

use std::fmt;

use super::{Object, Value};
use crate::path::check_identifier;

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Int64(number) => write!(f, "{number}"),
            // Debug, unlike Display, keeps the `.0` that tells a float from an int64.
            Value::Float64(number) => write!(f, "{number:?}"),
            Value::Boolean(truth) => write!(f, "{truth}"),
            Value::String(text) => write!(f, "{text:?}"),
            Value::Bytes(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii()),
            Value::Array(elements) => write_array(f, elements),
            Value::Object(object) => write_object(f, object),
        }
    }
}

fn write_array(f: &mut fmt::Formatter<'_>, elements: &[Value]) -> fmt::Result {
    f.write_str("[")?;
    for (position, element) in elements.iter().enumerate() {
        let separator = if position == 0 { "" } else { ", " };
        write!(f, "{separator}{element}")?;
    }
    f.write_str("]")
}

pub(super) fn write_object(f: &mut fmt::Formatter<'_>, object: &Object) -> fmt::Result {
    f.write_str("{")?;
    for (position, (name, value)) in object.iter().enumerate() {
        let separator = if position == 0 { "" } else { ", " };
        match check_identifier(name) {
            Ok(()) => write!(f, "{separator}{name}: {value}")?,
            Err(_) => write!(f, "{separator}{name:?}: {value}")?,
        }
    }
    f.write_str("}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object;

    #[test]
    fn each_type_has_its_text() {
        let nested = object! { "k" => vec![Value::from(1), Value::Null], "two words" => true };
        for (value, text) in [
            (Value::Null, "null"),
            (Value::from(true), "true"),
            (Value::from(3_i64), "3"),
            (Value::from(1.0), "1.0"),
            (Value::from(1.5), "1.5"),
            (Value::from(-0.0), "-0.0"),
            (Value::from("a\"b"), r#""a\"b""#),
            (Value::from(vec![b'h', 0]), r#"b"h\x00""#),
            (Value::from(object! {}), "{}"),
            (
                Value::from(nested),
                r#"{k: [1.0, null], "two words": true}"#,
            ),
        ] {
            assert_eq!(value.to_string(), text);
        }
    }
}
