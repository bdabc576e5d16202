//! A serde deserializer over a stored document: its encoding is read straight into a Rust type. Structs, strings and
//! options are; rarer types become a value first, so that there is one set of rules.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::ConvertError;
use super::de::ValueDeserializer;
use crate::key::{KeyError, Reader, Shape};
use crate::value::Value;

type Result<T> = std::result::Result<T, ConvertError>;

/// The field of every document that is not its type's own.
const CREATION_TIME: &str = "_creationTime";

fn damaged(error: KeyError) -> ConvertError {
    ConvertError::new(error)
}

/// The fields of a document but its creation time, which is put aside.
pub(super) struct DocumentDeserializer<'c, 'a> {
    pub bytes: &'a [u8],
    pub creation_time: &'c mut Option<f64>,
}

impl<'a> DocumentDeserializer<'_, 'a> {
    fn fields<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        let mut reader = Reader::new(self.bytes);
        let tag = reader.byte().map_err(damaged)?;
        if Shape::of(tag) != Shape::Object {
            return Err(damaged(KeyError::Tag(tag)));
        }
        let read = Fields::read(&mut reader, 1, Some(self.creation_time), visitor)?;
        reader.finish().map_err(damaged)?;
        Ok(read)
    }

    /// The document as a value without its creation time.
    fn value(self) -> Result<ValueDeserializer> {
        let mut reader = Reader::new(self.bytes);
        let tag = reader.byte().map_err(damaged)?;
        let mut value = reader.value(tag, 0).map_err(damaged)?;
        reader.finish().map_err(damaged)?;
        if let Value::Object(fields) = &mut value
            && let Some(Value::Float64(time)) = fields.remove(CREATION_TIME)
        {
            *self.creation_time = Some(time);
        }
        Ok(ValueDeserializer(value))
    }
}

/// The content after `tag`, inside `depth` containers.
struct StoredDeserializer<'r, 'a> {
    reader: &'r mut Reader<'a>,
    tag: u8,
    depth: usize,
}

impl StoredDeserializer<'_, '_> {
    fn value(self) -> Result<ValueDeserializer> {
        let value = self.reader.value(self.tag, self.depth).map_err(damaged)?;
        Ok(ValueDeserializer(value))
    }
}

impl<'a> StoredDeserializer<'_, 'a> {
    fn text<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        if Shape::of(self.tag) != Shape::String {
            return self.value()?.deserialize_str(visitor);
        }
        match self.reader.text().map_err(damaged)? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn object<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        if Shape::of(self.tag) != Shape::Object {
            return self.value()?.deserialize_map(visitor);
        }
        Fields::read(self.reader, self.depth + 1, None, visitor)
    }
}

/// A field's name.
struct Name<'a>(&'a str);

impl Name<'_> {
    fn value(self) -> Result<ValueDeserializer> {
        Ok(ValueDeserializer(Value::String(self.0.to_owned())))
    }
}

/// Reads what it does not name through a value.
macro_rules! through_a_value {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
            self.value()?.$method(visitor)
        }
    )*};
}

/// As [`through_a_value`], for the methods with names and lengths.
macro_rules! named_through_a_value {
    () => {
        fn deserialize_unit_struct<V: Visitor<'a>>(
            self,
            name: &'static str,
            visitor: V,
        ) -> Result<V::Value> {
            self.value()?.deserialize_unit_struct(name, visitor)
        }

        fn deserialize_newtype_struct<V: Visitor<'a>>(
            self,
            _: &'static str,
            visitor: V,
        ) -> Result<V::Value> {
            visitor.visit_newtype_struct(self)
        }

        fn deserialize_tuple<V: Visitor<'a>>(self, len: usize, visitor: V) -> Result<V::Value> {
            self.value()?.deserialize_tuple(len, visitor)
        }

        fn deserialize_tuple_struct<V: Visitor<'a>>(
            self,
            name: &'static str,
            len: usize,
            visitor: V,
        ) -> Result<V::Value> {
            self.value()?.deserialize_tuple_struct(name, len, visitor)
        }

        fn deserialize_enum<V: Visitor<'a>>(
            self,
            name: &'static str,
            variants: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value> {
            self.value()?.deserialize_enum(name, variants, visitor)
        }
    };
}

impl<'a> Deserializer<'a> for DocumentDeserializer<'_, 'a> {
    type Error = ConvertError;

    through_a_value!(
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_option deserialize_unit deserialize_seq deserialize_identifier deserialize_ignored_any
    );
    named_through_a_value!();

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.fields(visitor)
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.fields(visitor)
    }
}

impl<'a> Deserializer<'a> for StoredDeserializer<'_, 'a> {
    type Error = ConvertError;

    through_a_value!(
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
        deserialize_char deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_seq
        deserialize_identifier
    );
    named_through_a_value!();

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.text(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        match Shape::of(self.tag) {
            Shape::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.object(visitor)
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.object(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.reader.skip(self.tag, self.depth).map_err(damaged)?;
        visitor.visit_unit()
    }
}

impl<'a> Deserializer<'a> for Name<'a> {
    type Error = ConvertError;

    through_a_value!(
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
        deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_seq deserialize_map
        deserialize_ignored_any
    );
    named_through_a_value!();

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_char<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.value()?.deserialize_struct(name, fields, visitor)
    }
}

/// The fields of one object.
struct Fields<'r, 'c, 'a> {
    reader: &'r mut Reader<'a>,
    depth: usize,
    /// Where a document's creation time goes.
    creation_time: Option<&'c mut Option<f64>>,
    /// The field whose name was given out last, while its value is still there to be read.
    current: Option<&'a str>,
    is_at_end: bool,
}

impl<'r, 'c, 'a> Fields<'r, 'c, 'a> {
    /// Shows the fields to `visitor`, and passes those that it leaves.
    fn read<V: Visitor<'a>>(
        reader: &'r mut Reader<'a>,
        depth: usize,
        creation_time: Option<&'c mut Option<f64>>,
        visitor: V,
    ) -> Result<V::Value> {
        let mut fields = Fields {
            reader,
            depth,
            creation_time,
            current: None,
            is_at_end: false,
        };
        let read = visitor.visit_map(&mut fields)?;
        fields.pass_current()?;
        while fields.next_name()?.is_some() {
            fields.pass_current()?;
        }
        Ok(read)
    }

    fn next_name(&mut self) -> Result<Option<&'a str>> {
        while !self.is_at_end {
            let name = self.reader.name().map_err(damaged)?;
            self.is_at_end = name.is_none();
            if let Some(aside) = self.creation_time.as_deref_mut()
                && name == Some(CREATION_TIME)
            {
                let tag = self.reader.byte().map_err(damaged)?;
                let time = self.reader.value(tag, self.depth).map_err(damaged)?;
                *aside = time.as_f64();
                continue;
            }
            self.current = name;
            return Ok(name);
        }
        Ok(None)
    }

    fn pass_current(&mut self) -> Result<()> {
        if self.current.take().is_some() {
            let tag = self.reader.byte().map_err(damaged)?;
            self.reader.skip(tag, self.depth).map_err(damaged)?;
        }
        Ok(())
    }
}

impl<'a> MapAccess<'a> for &mut Fields<'_, '_, 'a> {
    type Error = ConvertError;

    fn next_key_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let Some(name) = self.next_name()? else {
            return Ok(None);
        };
        let key = seed.deserialize(Name(name));
        key.map(Some).map_err(|error| error.in_field(name))
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value> {
        let current = self.current.take();
        let name = current.expect("serde reads a key before its value");
        let tag = self.reader.byte().map_err(damaged)?;
        let value = StoredDeserializer {
            reader: &mut *self.reader,
            tag,
            depth: self.depth,
        };
        seed.deserialize(value)
            .map_err(|error| error.in_field(name))
    }
}
