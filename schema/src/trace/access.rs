//! How the parts of a traced type are handed out: elements, entries, fields and variants.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::node::{Node, TraceError};
use super::shapes::FieldShape;
use super::tracer::Context;
use super::variants::VariantShape;

type Result<T> = std::result::Result<T, TraceError>;

/// The elements of a list or a tuple.
pub(super) struct Elements<'a> {
    pub(super) elements: std::slice::IterMut<'a, Node>,
    pub(super) context: Context<'a>,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = TraceError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        match self.elements.next() {
            Some(node) => node.read(seed, self.context).map(Some),
            None => Ok(None),
        }
    }
}

/// The one entry of a map, if any.
pub(super) struct EntryAccess<'a> {
    pub(super) key: Option<&'a mut Node>,
    pub(super) value: Option<&'a mut Node>,
    pub(super) context: Context<'a>,
}

impl<'de> MapAccess<'de> for EntryAccess<'_> {
    type Error = TraceError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        match self.key.take() {
            Some(node) => node.read(seed, self.context).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        let node = self.value.take().ok_or(TraceError::Other)?;
        node.read(seed, self.context)
    }
}

/// The fields a struct is given in one run.
pub(super) struct StructAccess<'a> {
    pub(super) fields: std::vec::IntoIter<&'a mut FieldShape>,
    pub(super) current: Option<&'a mut Node>,
    pub(super) context: Context<'a>,
}

impl<'de> MapAccess<'de> for StructAccess<'_> {
    type Error = TraceError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let Some(field) = self.fields.next() else {
            return Ok(None);
        };
        self.current = Some(&mut field.node);
        seed.deserialize(Name(field.name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        let node = self.current.take().ok_or(TraceError::Other)?;
        node.read(seed, self.context)
    }
}

/// The name of a field or a variant.
struct Name(&'static str);

impl<'de> Deserializer<'de> for Name {
    type Error = TraceError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_str(self.0)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The variant an enum is given in one run.
pub(super) struct VariantTracer<'a> {
    pub(super) variant: &'a mut VariantShape,
    pub(super) context: Context<'a>,
}

impl<'de> EnumAccess<'de> for VariantTracer<'_> {
    type Error = TraceError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        let name = seed.deserialize(Name(self.variant.name))?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for VariantTracer<'_> {
    type Error = TraceError;

    fn unit_variant(self) -> Result<()> {
        self.variant.holds_nothing();
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        self.variant.content().read(seed, self.context)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        let node = self.variant.content();
        node.attempt(self.context, |tracer| tracer.tuple(length, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let node = self.variant.content();
        node.attempt(self.context, |tracer| tracer.fields("", fields, visitor))
    }
}
