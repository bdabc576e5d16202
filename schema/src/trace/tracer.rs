//! The deserializer that a traced type is run against.

use std::any::type_name;
use std::cell::Cell;

use serde::de::{Deserializer, Visitor};

use super::access::{Elements, EntryAccess, StructAccess, VariantTracer};
use super::node::{Node, Shape, TraceError};
use super::probe::{ANYTHING, BYTES, FLOATS, ID_TEXT, Probe, SIGNED, TEXTS, UNSIGNED};
use super::shapes::{Fields, Held, MapShape, Tuple};
use super::variants::Variants;
use crate::id::TYPED_ID;
use crate::validator::Validator;

type Result<T> = std::result::Result<T, TraceError>;

/// How deep a type may nest; values nest no deeper.
const DEPTH_MAX: usize = 64;

/// Where in a run a part is read.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    steps_left: &'a Cell<u32>,
    depth: usize,
    ancestors: Option<&'a Ancestor<'a>>,
}

/// A named type that is being read around this part.
struct Ancestor<'a> {
    visitor: &'static str,
    parent: Option<&'a Ancestor<'a>>,
}

impl<'a> Context<'a> {
    pub(super) fn new(steps_left: &'a Cell<u32>) -> Self {
        Context {
            steps_left,
            depth: 0,
            ancestors: None,
        }
    }

    /// Counts one part asked for. Fails when all runs together have asked for too many.
    pub(super) fn spend_step(&self) -> Result<()> {
        let left = self.steps_left.get().checked_sub(1);
        self.steps_left.set(left.ok_or(TraceError::Other)?);
        Ok(())
    }

    fn is_within(&self, visitor: &'static str) -> bool {
        let parents = std::iter::successors(self.ancestors, |ancestor| ancestor.parent);
        parents
            .into_iter()
            .any(|ancestor| ancestor.visitor == visitor)
    }

    fn deeper(self) -> Self {
        let depth = self.depth + 1;
        Context { depth, ..self }
    }
}

/// The announcements of a typed id so far.
#[derive(Clone, Copy)]
enum Announced {
    Nothing,
    /// The name asked for next is that of the id's table.
    AnId,
    Table(&'static str),
}

/// Stands for one part of a type in one run.
pub(super) struct Tracer<'a> {
    node: &'a mut Node,
    context: Context<'a>,
    announced: Announced,
}

impl<'a> Tracer<'a> {
    pub(super) fn new(node: &'a mut Node, context: Context<'a>) -> Self {
        Tracer {
            node,
            context,
            announced: Announced::Nothing,
        }
    }

    fn scalar<'de, V: Visitor<'de>>(
        self,
        validator: Validator,
        probes: &'static [Probe],
        visitor: V,
    ) -> Result<V::Value> {
        if let Shape::Unknown = self.node.shape {
            let next = 0;
            self.node.shape = Shape::Scalar {
                validator: validator.clone(),
                probes,
                next,
            };
        }
        match &self.node.shape {
            Shape::Scalar {
                validator: known,
                probes,
                next,
            } if *known == validator => {
                let probe = probes.get(*next).or(probes.last());
                probe.ok_or(TraceError::Other)?.visit(visitor)
            }
            _ => Err(self.give_up()),
        }
    }

    /// For a type that says by itself that it holds any value.
    fn anything<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.node.shape = Shape::Anything;
        visitor.visit_unit()
    }

    /// For a type without end, or one that asks for something else than it did before: nothing can be said of it.
    fn give_up(self) -> TraceError {
        self.node.shape = Shape::Scalar {
            validator: Validator::Any,
            probes: &[],
            next: 0,
        };
        self.node.settle_unreadable();
        TraceError::Other
    }

    /// Goes on with `run` inside the named type that `V` reads, unless that type is already being read around here.
    fn inside<V, T>(self, run: impl FnOnce(Tracer<'_>) -> Result<T>) -> Result<T> {
        let visitor = type_name::<V>();
        if self.context.is_within(visitor) || self.context.depth >= DEPTH_MAX {
            return Err(self.give_up());
        }
        let ancestor = Ancestor {
            visitor,
            parent: self.context.ancestors,
        };
        let context = Context {
            ancestors: Some(&ancestor),
            ..self.context
        };
        run(Tracer {
            node: self.node,
            context,
            announced: self.announced,
        })
    }

    pub(super) fn tuple<'de, V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        if let Shape::Unknown = self.node.shape {
            self.node.shape = Shape::Tuple(Tuple::new(length));
        }
        let Shape::Tuple(tuple) = &mut self.node.shape else {
            return Err(self.give_up());
        };
        let elements = tuple.offer().iter_mut();
        let context = self.context.deeper();
        visitor.visit_seq(Elements { elements, context })
    }

    pub(super) fn fields<'de, V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        if let Shape::Unknown = self.node.shape {
            self.node.shape = Shape::Struct(Fields::new(name, fields));
        }
        let Shape::Struct(fields) = &mut self.node.shape else {
            return Err(self.give_up());
        };
        visitor.visit_map(StructAccess {
            fields: fields.offer().into_iter(),
            current: None,
            context: self.context.deeper(),
        })
    }
}

/// Whether the type that is read by this visitor holds any value: our own `Value`, and that of `serde_json`. Other types
/// that ask for anything, such as an enum without a tag, accept some values only.
fn holds_anything(visitor: &str) -> bool {
    visitor == type_name::<crate::json::decode::ValueVisitor>()
        || visitor.starts_with("serde_json::value::")
        || visitor.starts_with("serde_json::raw::")
}

macro_rules! deserialize_scalars {
    ($($method:ident $validator:ident $probes:expr),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.scalar(Validator::$validator, $probes, visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = TraceError;

    deserialize_scalars!(
        deserialize_identifier Any TEXTS,
        deserialize_bool Boolean &[Probe::Boolean],
        deserialize_i8 Number SIGNED,
        deserialize_i16 Number SIGNED,
        deserialize_i32 Number SIGNED,
        deserialize_i64 Bigint SIGNED,
        deserialize_i128 Any &[],
        deserialize_u8 Number UNSIGNED,
        deserialize_u16 Number UNSIGNED,
        deserialize_u32 Number UNSIGNED,
        deserialize_u64 Bigint UNSIGNED,
        deserialize_u128 Any &[],
        deserialize_f32 Number FLOATS,
        deserialize_f64 Number FLOATS,
        deserialize_char String &[Probe::Text("a")],
        deserialize_bytes Bytes BYTES,
        deserialize_byte_buf Bytes BYTES,
        deserialize_unit Null &[Probe::Null],
    );

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if holds_anything(type_name::<V>()) {
            return self.anything(visitor);
        }
        self.scalar(Validator::Any, ANYTHING, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.anything(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.announced {
            Announced::Table(table) => {
                self.scalar(Validator::id(table), &[Probe::Text(ID_TEXT)], visitor)
            }
            Announced::Nothing | Announced::AnId => self.scalar(Validator::String, TEXTS, visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if let Shape::Unknown = self.node.shape {
            self.node.shape = Shape::Option(Held::default());
        }
        let Shape::Option(held) = &mut self.node.shape else {
            return Err(self.give_up());
        };
        let context = self.context.deeper();
        match held.offer() {
            Some(inner) if context.depth < DEPTH_MAX => {
                inner.attempt(context, |tracer| visitor.visit_some(tracer))
            }
            Some(_) | None => visitor.visit_none(),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        let announced = match self.announced {
            Announced::Nothing if name == TYPED_ID => Announced::AnId,
            Announced::AnId => Announced::Table(name),
            Announced::Nothing | Announced::Table(_) => {
                return self.inside::<V, _>(|tracer| visitor.visit_newtype_struct(tracer));
            }
        };
        visitor.visit_newtype_struct(Tracer { announced, ..self })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if let Shape::Unknown = self.node.shape {
            self.node.shape = Shape::List(Held::default());
        }
        let Shape::List(held) = &mut self.node.shape else {
            return Err(self.give_up());
        };
        let context = self.context.deeper();
        let inner = held.offer().filter(|_| context.depth < DEPTH_MAX);
        let elements = inner.map(std::slice::from_mut).unwrap_or_default();
        visitor.visit_seq(Elements {
            elements: elements.iter_mut(),
            context,
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        self.inside::<V, _>(|tracer| tracer.tuple(length, visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if let Shape::Unknown = self.node.shape {
            self.node.shape = Shape::Map(MapShape::default());
        }
        let Shape::Map(map) = &mut self.node.shape else {
            return Err(self.give_up());
        };
        let context = self.context.deeper();
        let (key, value) = match map.offer().filter(|_| context.depth < DEPTH_MAX) {
            Some((key, value)) => (Some(key), Some(value)),
            None => (None, None),
        };
        visitor.visit_map(EntryAccess {
            key,
            value,
            context,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.inside::<V, _>(|tracer| tracer.fields(name, fields, visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.inside::<V, _>(|tracer| {
            if let Shape::Unknown = tracer.node.shape {
                tracer.node.shape = Shape::Enum(Variants::new(name, variants));
            }
            let Shape::Enum(variants) = &mut tracer.node.shape else {
                return Err(tracer.give_up());
            };
            visitor.visit_enum(VariantTracer {
                variant: variants.offer(),
                context: tracer.context.deeper(),
            })
        })
    }
}
