//! A serde deserializer over a value.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Expected, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use super::ConvertError;
use crate::value::{Object, Value};

type Result<T> = std::result::Result<T, ConvertError>;

pub(super) struct ValueDeserializer(pub(super) Value);

/// Types that read any value, and serde's buffers (of flattened structs, tagged and untagged enums), get numbers as the
/// serializer takes them. That is `i64` for an int64, narrower integers or `f64` for a float64.
fn visit_float<'de, V: Visitor<'de>>(number: f64, visitor: V) -> Result<V::Value> {
    let keeps = |whole: f64| whole.to_bits() == number.to_bits();
    if keeps(f64::from(number as i32)) {
        visitor.visit_i32(number as i32)
    } else if keeps(f64::from(number as u32)) {
        visitor.visit_u32(number as u32)
    } else {
        visitor.visit_f64(number)
    }
}

/// Whether a float64 is an integer that a type of 32 bits might hold.
fn is_whole(number: f64) -> bool {
    number.trunc() == number && number.abs() <= f64::from(u32::MAX)
}

impl ValueDeserializer {
    fn mismatch<T>(&self, expected: &dyn Expected) -> Result<T> {
        Err(mismatch(&self.0, expected))
    }

    /// An integer of 32 bits or fewer, kept as a float64. The visitor checks its own range.
    fn narrow_integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::Float64(number) if is_whole(number) => visitor.visit_i64(number as i64),
            _ => self.mismatch(&visitor),
        }
    }

    fn narrow_unsigned<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::Float64(number) if is_whole(number) && number >= 0.0 => {
                visitor.visit_u64(number as u64)
            }
            _ => self.mismatch(&visitor),
        }
    }

    fn wide_integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::Int64(number) => visitor.visit_i64(number),
            _ => self.mismatch(&visitor),
        }
    }

    fn wide_unsigned<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::Int64(number) if number >= 0 => visitor.visit_u64(number as u64),
            _ => self.mismatch(&visitor),
        }
    }

    fn text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::String(text) => visitor.visit_string(text),
            _ => self.mismatch(&visitor),
        }
    }

    fn bytes<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::Bytes(bytes) => visitor.visit_byte_buf(bytes),
            _ => self.mismatch(&visitor),
        }
    }

    fn unit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match &self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Object(object) if object.is_empty() => visitor.visit_unit(),
            _ => self.mismatch(&visitor),
        }
    }

    fn array<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::Array(elements) => visit_array(elements, visitor),
            _ => self.mismatch(&visitor),
        }
    }

    fn object<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::Object(object) => visit_object(object, visitor),
            _ => self.mismatch(&visitor),
        }
    }
}

fn mismatch(found: &Value, expected: &dyn Expected) -> ConvertError {
    let found = match found {
        Value::Null => "null".to_owned(),
        Value::Int64(number) => format!("the int64 {number}"),
        Value::Float64(number) => format!("the number {number}"),
        Value::Boolean(truth) => format!("{truth}"),
        Value::String(_) => "a string".to_owned(),
        Value::Bytes(_) => "bytes".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    ConvertError::new(format_args!("expected {expected}, found {found}"))
}

fn visit_array<'de, V: Visitor<'de>>(elements: Vec<Value>, visitor: V) -> Result<V::Value> {
    let length = elements.len();
    let mut access = ArrayAccess {
        elements: elements.into_iter(),
        index: 0,
    };
    let read = visitor.visit_seq(&mut access)?;
    match access.elements.len() {
        0 => Ok(read),
        _ => Err(ConvertError::new(format_args!(
            "expected an array of {} elements, found one of {length}",
            access.index
        ))),
    }
}

fn visit_object<'de, V: Visitor<'de>>(object: Object, visitor: V) -> Result<V::Value> {
    visitor.visit_map(ObjectAccess {
        fields: object.into_iter(),
        current: None,
    })
}

macro_rules! deserialize_as {
    ($($method:ident $through:ident),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.$through(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for ValueDeserializer {
    type Error = ConvertError;

    deserialize_as!(
        deserialize_i8 narrow_integer, deserialize_i16 narrow_integer, deserialize_i32 narrow_integer,
        deserialize_u8 narrow_unsigned, deserialize_u16 narrow_unsigned, deserialize_u32 narrow_unsigned,
        deserialize_i64 wide_integer, deserialize_u64 wide_unsigned,
        deserialize_char text, deserialize_str text, deserialize_string text, deserialize_identifier text,
        deserialize_bytes bytes, deserialize_byte_buf bytes,
        deserialize_unit unit, deserialize_seq array, deserialize_map object,
    );

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Int64(number) => visitor.visit_i64(number),
            Value::Float64(number) => visit_float(number, visitor),
            Value::Boolean(truth) => visitor.visit_bool(truth),
            Value::String(text) => visitor.visit_string(text),
            Value::Bytes(bytes) => visitor.visit_byte_buf(bytes),
            Value::Array(elements) => visit_array(elements, visitor),
            Value::Object(object) => visit_object(object, visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::Boolean(truth) => visitor.visit_bool(truth),
            _ => self.mismatch(&visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::Float64(number) if number.is_finite() && (number as f32).is_infinite() => {
                self.mismatch(&visitor)
            }
            Value::Float64(number) => visitor.visit_f64(number),
            _ => self.mismatch(&visitor),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::Float64(number) => visitor.visit_f64(number),
            _ => self.mismatch(&visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.array(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.array(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.object(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let (variant, content) = match self.0 {
            Value::String(variant) => (variant, None),
            Value::Object(mut object) if object.len() == 1 => {
                let (variant, content) = object.pop_first().expect("the object has one field");
                (variant, Some(content))
            }
            _ => return self.mismatch(&visitor),
        };
        visitor.visit_enum(Variant { variant, content })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }
}

struct ArrayAccess {
    elements: std::vec::IntoIter<Value>,
    /// The index of the next element.
    index: usize,
}

impl<'de> SeqAccess<'de> for ArrayAccess {
    type Error = ConvertError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let Some(element) = self.elements.next() else {
            return Ok(None);
        };
        let index = self.index;
        self.index += 1;
        seed.deserialize(ValueDeserializer(element))
            .map(Some)
            .map_err(|error| error.in_element(index))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.elements.len())
    }
}

struct ObjectAccess {
    fields: std::collections::btree_map::IntoIter<String, Value>,
    /// The field whose name was given out last, while its value is still here.
    current: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for ObjectAccess {
    type Error = ConvertError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let Some((name, value)) = self.fields.next() else {
            return Ok(None);
        };
        let key = ValueDeserializer(Value::String(name.clone()));
        let located = |error: ConvertError| error.in_field(&name);
        let key = seed.deserialize(key).map_err(located)?;
        self.current = Some((name, value));
        Ok(Some(key))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        let current = self.current.take();
        let (name, value) = current.expect("serde reads a key before its value");
        seed.deserialize(ValueDeserializer(value))
            .map_err(|error| error.in_field(&name))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.len())
    }
}

struct Variant {
    variant: String,
    /// `None` when the variant came as a string alone.
    content: Option<Value>,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = ConvertError;
    type Variant = Content;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content)> {
        let name = ValueDeserializer(Value::String(self.variant.clone()));
        let read = seed.deserialize(name)?;
        let content = Content {
            variant: self.variant,
            content: self.content,
        };
        Ok((read, content))
    }
}

struct Content {
    variant: String,
    content: Option<Value>,
}

impl Content {
    /// Reads what the variant carries.
    fn read<T>(self, read: impl FnOnce(ValueDeserializer) -> Result<T>) -> Result<T> {
        let Some(content) = self.content else {
            return Err(ConvertError::new(format_args!(
                "expected an object {{{0}: ..}}, found the string \"{0}\"",
                self.variant
            )));
        };
        read(ValueDeserializer(content)).map_err(|error| error.in_field(&self.variant))
    }
}

impl<'de> VariantAccess<'de> for Content {
    type Error = ConvertError;

    fn unit_variant(self) -> Result<()> {
        match self.content {
            None => Ok(()),
            Some(_) => Err(ConvertError::new(format_args!(
                "expected the string {:?}, found an object",
                self.variant
            ))),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        self.read(|content| seed.deserialize(content))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.read(|content| content.array(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.read(|content| content.object(visitor))
    }
}
