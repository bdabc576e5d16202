//! Reading encoded JSON, from a parser directly or from a tree. Both refuse what breaks a limit as soon as they see it.

use std::fmt;

use data_encoding::BASE64;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value as Json;

use super::{BYTES, FLOAT, INTEGER, is_special};
use crate::convert::reads_natively;
use crate::value::{
    ARRAY_LENGTH_MAX, OBJECT_FIELDS_MAX, Object, Value, ValueError, check_array_length,
    check_field_count, check_field_name, check_nesting,
};

/// The one-field objects that stand for what plain JSON lacks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrapper {
    Integer,
    Float,
    Bytes,
}

impl Wrapper {
    fn named(name: &str) -> Option<Wrapper> {
        match name {
            INTEGER => Some(Wrapper::Integer),
            FLOAT => Some(Wrapper::Float),
            BYTES => Some(Wrapper::Bytes),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Wrapper::Integer => INTEGER,
            Wrapper::Float => FLOAT,
            Wrapper::Bytes => BYTES,
        }
    }

    fn must_hold(self, expected: &'static str) -> ValueError {
        ValueError::Wrapper {
            wrapper: self.name(),
            expected,
        }
    }

    fn unwrap(self, text: &str) -> Result<Value, ValueError> {
        let decoded = BASE64.decode(text.as_bytes());
        let bytes = decoded.map_err(|_| self.must_hold("base64"))?;
        match self {
            Wrapper::Integer => Ok(Value::Int64(i64::from_le_bytes(self.eight(&bytes)?))),
            Wrapper::Float => {
                let number = f64::from_le_bytes(self.eight(&bytes)?);
                if !is_special(number) {
                    return Err(
                        self.must_hold("a NaN, an infinity or -0; others are plain numbers")
                    );
                }
                Ok(Value::Float64(number))
            }
            Wrapper::Bytes => Ok(Value::Bytes(bytes)),
        }
    }

    fn eight(self, bytes: &[u8]) -> Result<[u8; 8], ValueError> {
        bytes
            .try_into()
            .map_err(|_| self.must_hold("the base64 of eight bytes"))
    }
}

/// Reads a tree that lies inside `depth` containers.
pub(super) fn from_tree(json: &Json, depth: usize) -> Result<Value, ValueError> {
    match json {
        Json::Null => Ok(Value::Null),
        Json::Bool(truth) => Ok(Value::Boolean(*truth)),
        Json::Number(number) => match number.as_f64() {
            Some(number) => Ok(Value::Float64(number)),
            None => Err(ValueError::NumberRange {
                number: number.to_string(),
            }),
        },
        Json::String(text) => Ok(Value::String(text.clone())),
        Json::Array(elements) => {
            check_nesting(depth + 1)?;
            check_array_length(elements.len())?;
            let element = |json| from_tree(json, depth + 1);
            elements
                .iter()
                .map(element)
                .collect::<Result<_, _>>()
                .map(Value::Array)
        }
        Json::Object(fields) => object_from_tree(fields, depth),
    }
}

fn object_from_tree(
    fields: &serde_json::Map<String, Json>,
    depth: usize,
) -> Result<Value, ValueError> {
    if fields.len() == 1
        && let Some((name, content)) = fields.iter().next()
        && let Some(wrapper) = Wrapper::named(name)
    {
        let text = content.as_str().ok_or(wrapper.must_hold("base64"))?;
        return wrapper.unwrap(text);
    }
    check_nesting(depth + 1)?;
    check_field_count(fields.len())?;
    let field = |(name, json): (&String, &Json)| {
        check_field_name(name)?;
        Ok((name.clone(), from_tree(json, depth + 1)?))
    };
    fields
        .iter()
        .map(field)
        .collect::<Result<_, _>>()
        .map(Value::Object)
}

/// From encoded JSON. The result keeps every limit of [`crate::check_value`] but that on the whole size.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        ValueVisitor { depth: 0 }.deserialize(deserializer)
    }
}

/// Reads a value that lies inside `depth` containers.
#[derive(Clone, Copy)]
pub(crate) struct ValueVisitor {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for ValueVisitor {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value in encoded JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Boolean(truth))
    }

    // However it is written, a JSON number is a float64; beyond 2^53 it is rounded as JavaScript would. Where a value is
    // read from a value instead, an `i64` is an int64 and whole float64s may come as narrower integers.
    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(match reads_natively() {
            true => Value::Int64(number),
            false => Value::Float64(number as f64),
        })
    }

    fn visit_i32<E: Error>(self, number: i32) -> Result<Value, E> {
        Ok(Value::Float64(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Float64(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float64(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    // JSON has no bytes; a value that is read from a value has.
    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.to_vec()))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Bytes(bytes))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.inside().map_err(A::Error::custom)?;
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element_seed(inner)? {
            elements.push(element);
            if elements.len() > ARRAY_LENGTH_MAX {
                let mut length = elements.len();
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    length += 1;
                }
                return Err(A::Error::custom(ValueError::ArrayTooLong { length }));
            }
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut next = map.next_key_seed(NameSeed)?;
        if let Some(Name::Wrapper(wrapper)) = next {
            return unwrap_map(wrapper, map);
        }
        let inner = self.inside().map_err(A::Error::custom)?;
        let mut object = Object::new();
        while let Some(name) = next {
            let name = name.of_field().map_err(A::Error::custom)?;
            object.insert(name, map.next_value_seed(inner)?);
            if object.len() > OBJECT_FIELDS_MAX {
                let mut fields = object.len();
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    fields += 1;
                }
                return Err(A::Error::custom(ValueError::TooManyFields { fields }));
            }
            next = map.next_key_seed(NameSeed)?;
        }
        Ok(Value::Object(object))
    }
}

impl ValueVisitor {
    /// For what lies inside a container that lies where `self` does.
    fn inside(self) -> Result<ValueVisitor, ValueError> {
        let depth = self.depth + 1;
        check_nesting(depth).map(|()| ValueVisitor { depth })
    }
}

/// Reads the rest of an object whose first name is that of a wrapper. A second name makes it none; as everywhere, the
/// last of duplicates wins.
fn unwrap_map<'de, A: MapAccess<'de>>(wrapper: Wrapper, mut map: A) -> Result<Value, A::Error> {
    let mut value = map.next_value_seed(ContentSeed(wrapper))?;
    while let Some(name) = map.next_key_seed(NameSeed)? {
        if !matches!(name, Name::Wrapper(again) if again == wrapper) {
            let name = Name::Wrapper(wrapper).of_field();
            return Err(A::Error::custom(
                name.expect_err("a wrapper's name starts with $"),
            ));
        }
        value = map.next_value_seed(ContentSeed(wrapper))?;
    }
    Ok(value)
}

/// The name of an object's field: a wrapper's, or another.
enum Name {
    Wrapper(Wrapper),
    Field(String),
}

impl Name {
    /// The name, if a field of a plain object may have it.
    fn of_field(self) -> Result<String, ValueError> {
        let name = match self {
            Name::Wrapper(wrapper) => wrapper.name().to_owned(),
            Name::Field(name) => name,
        };
        check_field_name(&name)?;
        Ok(name)
    }
}

struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
        Ok(match Wrapper::named(name) {
            Some(wrapper) => Name::Wrapper(wrapper),
            None => Name::Field(name.to_owned()),
        })
    }
}

/// Reads what a wrapper holds.
struct ContentSeed(Wrapper);

impl<'de> DeserializeSeed<'de> for ContentSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for ContentSeed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "base64 in `{}`", self.0.name())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.0.unwrap(text).map_err(E::custom)
    }
}
