//! The made-up values that a traced type is given.

use serde::de::{self, DeserializeSeed, Visitor};

use super::node::TraceError;

pub(super) const ID_TEXT: &str = "0400000000000000000000000000248";

/// Texts that parsed strings may accept, most common first.
pub(super) const TEXTS: &[Probe] = &[
    Probe::Text(""),
    Probe::Text("a"),
    Probe::Text("0"),
    Probe::Text(ID_TEXT),
    Probe::Text("00000000-0000-0000-0000-000000000000"),
    Probe::Text("1970-01-01T00:00:00Z"),
    Probe::Text("1970-01-01"),
    Probe::Text("00:00:00"),
    Probe::Text("http://a.example/"),
    Probe::Text("a@a.example"),
    Probe::Text("127.0.0.1"),
    Probe::Text("::1"),
    Probe::Text("a:a"),
];
pub(super) const SIGNED: &[Probe] = &[Probe::Integer(0), Probe::Integer(1)];
pub(super) const UNSIGNED: &[Probe] = &[Probe::Unsigned(0), Probe::Unsigned(1)];
pub(super) const FLOATS: &[Probe] = &[Probe::Float(0.0), Probe::Float(1.0)];
pub(super) const BYTES: &[Probe] = &[
    Probe::Bytes(&[]),
    Probe::Bytes(&[0; 16]),
    Probe::Bytes(&[0; 32]),
];
pub(super) const ANYTHING: &[Probe] = &[
    Probe::Null,
    Probe::Text(""),
    Probe::Float(0.0),
    Probe::Boolean,
    Probe::EmptyMap,
    Probe::EmptyList,
];

/// A made-up value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Probe {
    Null,
    Boolean,
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'static str),
    Bytes(&'static [u8]),
    EmptyList,
    EmptyMap,
}

impl Probe {
    pub(super) fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TraceError> {
        match self {
            Probe::Null => visitor.visit_unit(),
            Probe::Boolean => visitor.visit_bool(false),
            Probe::Integer(number) => visitor.visit_i64(number),
            Probe::Unsigned(number) => visitor.visit_u64(number),
            Probe::Float(number) => visitor.visit_f64(number),
            Probe::Text(text) => visitor.visit_str(text),
            Probe::Bytes(bytes) => visitor.visit_bytes(bytes),
            Probe::EmptyList => visitor.visit_seq(Empty),
            Probe::EmptyMap => visitor.visit_map(Empty),
        }
    }
}

struct Empty;

impl<'de> de::SeqAccess<'de> for Empty {
    type Error = TraceError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        _: S,
    ) -> Result<Option<S::Value>, TraceError> {
        Ok(None)
    }
}

impl<'de> de::MapAccess<'de> for Empty {
    type Error = TraceError;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        _: S,
    ) -> Result<Option<S::Value>, TraceError> {
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, _: S) -> Result<S::Value, TraceError> {
        Err(TraceError::Other)
    }
}
