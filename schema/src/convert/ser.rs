//! A serde serializer that builds values.

use serde::ser::{self, Serialize, Serializer};

use super::{ConvertError, WRAPPED_VALUE};
use crate::value::{Object, Value};

type Result<T> = std::result::Result<T, ConvertError>;

/// The value that stands for `source`.
pub(super) fn write<T: Serialize + ?Sized>(source: &T) -> Result<Value> {
    let written = source.serialize(ValueSerializer)?;
    Ok(written.unwrap_or(Value::Null))
}

/// The value of a field that holds `source`; none where it is missing.
pub(super) fn write_field<T: Serialize + ?Sized>(source: &T) -> Result<Option<Value>> {
    source.serialize(ValueSerializer)
}

/// Builds a value, or nothing from an `Option`'s `None`: a struct or a map leaves that field out, all else holds a null.
struct ValueSerializer;

type Written = Result<Option<Value>>;

impl Serializer for ValueSerializer {
    type Ok = Option<Value>;
    type Error = ConvertError;
    type SerializeSeq = ArrayBuilder;
    type SerializeTuple = ArrayBuilder;
    type SerializeTupleStruct = ArrayBuilder;
    type SerializeTupleVariant = ArrayBuilder;
    type SerializeMap = MapBuilder;
    type SerializeStruct = StructBuilder;
    type SerializeStructVariant = StructBuilder;

    fn serialize_bool(self, truth: bool) -> Written {
        Ok(Some(Value::Boolean(truth)))
    }

    fn serialize_i8(self, number: i8) -> Written {
        Ok(Some(Value::Float64(number.into())))
    }

    fn serialize_i16(self, number: i16) -> Written {
        Ok(Some(Value::Float64(number.into())))
    }

    fn serialize_i32(self, number: i32) -> Written {
        Ok(Some(Value::Float64(number.into())))
    }

    fn serialize_i64(self, number: i64) -> Written {
        Ok(Some(Value::Int64(number)))
    }

    fn serialize_i128(self, _: i128) -> Written {
        Err(too_wide())
    }

    fn serialize_u8(self, number: u8) -> Written {
        Ok(Some(Value::Float64(number.into())))
    }

    fn serialize_u16(self, number: u16) -> Written {
        Ok(Some(Value::Float64(number.into())))
    }

    fn serialize_u32(self, number: u32) -> Written {
        Ok(Some(Value::Float64(number.into())))
    }

    fn serialize_u64(self, number: u64) -> Written {
        match i64::try_from(number) {
            Ok(number) => Ok(Some(Value::Int64(number))),
            Err(_) => Err(ConvertError::new(format_args!(
                "{number} is more than an int64 can hold"
            ))),
        }
    }

    fn serialize_u128(self, _: u128) -> Written {
        Err(too_wide())
    }

    fn serialize_f32(self, number: f32) -> Written {
        Ok(Some(Value::Float64(number.into())))
    }

    fn serialize_f64(self, number: f64) -> Written {
        Ok(Some(Value::Float64(number)))
    }

    fn serialize_char(self, letter: char) -> Written {
        Ok(Some(Value::String(letter.into())))
    }

    fn serialize_str(self, text: &str) -> Written {
        Ok(Some(Value::String(text.to_owned())))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Written {
        Ok(Some(Value::Bytes(bytes.to_vec())))
    }

    fn serialize_none(self) -> Written {
        Ok(None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, inner: &T) -> Written {
        inner.serialize(self)
    }

    fn serialize_unit(self) -> Written {
        Ok(Some(Value::Null))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Written {
        Ok(Some(Value::Null))
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Written {
        Ok(Some(Value::String(variant.to_owned())))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        inner: &T,
    ) -> Written {
        // A newtype around `None` is no `None`: read back, its field must be there.
        let value = write(inner)?;
        match name {
            WRAPPED_VALUE => Value::from_json(&value.to_json())
                .map(Some)
                .map_err(ConvertError::new),
            _ => Ok(Some(value)),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        inner: &T,
    ) -> Written {
        let inner = write(inner).map_err(|error| error.in_field(variant))?;
        Ok(Some(wrap(Some(variant), inner)))
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<ArrayBuilder> {
        Ok(ArrayBuilder::new(None, length))
    }

    fn serialize_tuple(self, length: usize) -> Result<ArrayBuilder> {
        Ok(ArrayBuilder::new(None, Some(length)))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<ArrayBuilder> {
        Ok(ArrayBuilder::new(None, Some(length)))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<ArrayBuilder> {
        Ok(ArrayBuilder::new(Some(variant), Some(length)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<MapBuilder> {
        Ok(MapBuilder {
            object: Object::new(),
            key: None,
        })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<StructBuilder> {
        Ok(StructBuilder::new(None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<StructBuilder> {
        Ok(StructBuilder::new(Some(variant)))
    }
}

fn too_wide() -> ConvertError {
    ConvertError::new("128-bit integers are not values; use i64, or a string")
}

/// The value of an enum's variant that carries `content`; the content itself where there is no variant.
fn wrap(variant: Option<&'static str>, content: Value) -> Value {
    match variant {
        Some(variant) => Value::Object(Object::from([(variant.to_owned(), content)])),
        None => content,
    }
}

fn in_variant(variant: Option<&'static str>, error: ConvertError) -> ConvertError {
    match variant {
        Some(variant) => error.in_field(variant),
        None => error,
    }
}

/// An array in the making, maybe of a variant.
pub(super) struct ArrayBuilder {
    variant: Option<&'static str>,
    elements: Vec<Value>,
}

impl ArrayBuilder {
    /// A length is a hint of the type's own `Serialize`, so no more than this is set aside for it.
    const PREPARED_ELEMENTS_MAX: usize = 1024;

    fn new(variant: Option<&'static str>, length: Option<usize>) -> Self {
        let prepared = length.unwrap_or(0).min(Self::PREPARED_ELEMENTS_MAX);
        let elements = Vec::with_capacity(prepared);
        ArrayBuilder { variant, elements }
    }

    fn push<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<()> {
        let index = self.elements.len();
        let located = |error: ConvertError| in_variant(self.variant, error.in_element(index));
        let element = write(element).map_err(located)?;
        self.elements.push(element);
        Ok(())
    }

    fn finish(self) -> Value {
        wrap(self.variant, Value::Array(self.elements))
    }
}

macro_rules! build_array {
    ($($kind:ident $push:ident),*) => {$(
        impl ser::$kind for ArrayBuilder {
            type Ok = Option<Value>;
            type Error = ConvertError;

            fn $push<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<()> {
                self.push(element)
            }

            fn end(self) -> Written {
                Ok(Some(self.finish()))
            }
        }
    )*};
}

build_array!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

/// An object in the making, from a map: keys come apart from their values.
pub(super) struct MapBuilder {
    object: Object,
    key: Option<String>,
}

impl ser::SerializeMap for MapBuilder {
    type Ok = Option<Value>;
    type Error = ConvertError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.key = match write(key)? {
            Value::String(key) => Some(key),
            other => {
                return Err(ConvertError::new(format_args!(
                    "the keys of a map must be strings, not {other}"
                )));
            }
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let key = self.key.take();
        let key = key.expect("serde serializes a key before its value");
        let value = value.serialize(ValueSerializer);
        if let Some(value) = value.map_err(|error| error.in_field(&key))? {
            self.object.insert(key, value);
        }
        Ok(())
    }

    fn end(self) -> Written {
        Ok(Some(Value::Object(self.object)))
    }
}

/// An object in the making, from a struct, maybe of a variant.
pub(super) struct StructBuilder {
    variant: Option<&'static str>,
    object: Object,
}

impl StructBuilder {
    fn new(variant: Option<&'static str>) -> Self {
        let object = Object::new();
        StructBuilder { variant, object }
    }

    fn insert<T: Serialize + ?Sized>(&mut self, name: &'static str, field: &T) -> Result<()> {
        let located = |error: ConvertError| in_variant(self.variant, error.in_field(name));
        if let Some(value) = field.serialize(ValueSerializer).map_err(located)? {
            self.object.insert(name.to_owned(), value);
        }
        Ok(())
    }

    fn finish(self) -> Value {
        wrap(self.variant, Value::Object(self.object))
    }
}

macro_rules! build_struct {
    ($($kind:ident),*) => {$(
        impl ser::$kind for StructBuilder {
            type Ok = Option<Value>;
            type Error = ConvertError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                field: &T,
            ) -> Result<()> {
                self.insert(name, field)
            }

            fn end(self) -> Written {
                Ok(Some(self.finish()))
            }
        }
    )*};
}

build_struct!(SerializeStruct, SerializeStructVariant);
