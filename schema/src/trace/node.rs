//! The known facts about one part of a type: the shape it asks for, and whether any made-up value satisfied it.

use serde::de::{self, DeserializeSeed};

use super::probe::Probe;
use super::shapes::{Fields, Held, MapShape, Tuple};
use super::tracer::{Context, Tracer};
use super::variants::Variants;
use crate::validator::Validator;

/// Why a run ended. Most reasons only matter as such; two tell about a struct's fields.
#[derive(Debug)]
pub(super) enum TraceError {
    MissingField(&'static str),
    DuplicateField(&'static str),
    Other,
}

impl std::fmt::Display for TraceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a made-up value was refused")
    }
}

impl std::error::Error for TraceError {}

impl de::Error for TraceError {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        TraceError::Other
    }

    fn missing_field(field: &'static str) -> Self {
        TraceError::MissingField(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        TraceError::DuplicateField(field)
    }
}

/// The shape that a part of a type asks for.
#[derive(Debug, Default)]
pub(super) enum Shape {
    #[default]
    Unknown,
    /// Any value, because the type is one that holds any.
    Anything,
    /// One value without parts; `probes` are tried in turn until one is accepted.
    Scalar {
        validator: Validator,
        probes: &'static [Probe],
        next: usize,
    },
    Option(Held),
    List(Held),
    Tuple(Tuple),
    Map(MapShape),
    Struct(Fields),
    Enum(Variants),
}

/// One part of a type, with all that is known of it so far.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) shape: Shape,
    settled: bool,
    readable: bool,
    asked: bool,
}

/// The result of a run for a node.
pub(super) enum Verdict {
    /// There is more to learn.
    Continue,
    /// All is known. `readable` says whether the next run can satisfy this part.
    Settled { readable: bool },
}

impl Node {
    /// Whether nothing more can be learned here.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Whether a run is known to satisfy this part.
    pub(super) fn is_readable(&self) -> bool {
        self.settled && self.readable
    }

    /// Gives up on this part.
    pub(super) fn settle_unreadable(&mut self) {
        (self.settled, self.readable) = (true, false);
    }

    /// To be called before a run may reach this part.
    pub(super) fn offer(&mut self) {
        self.asked = false;
    }

    /// Whether the last run reached this part.
    pub(super) fn was_asked(&self) -> bool {
        self.asked
    }

    /// Whether more runs that reach this part would teach something.
    pub(super) fn is_learning(&self) -> bool {
        self.asked && !self.settled
    }

    /// Runs the type `seed` reads against this node, and learns from how it ends.
    pub(super) fn read<'de, S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
        context: Context<'_>,
    ) -> Result<S::Value, TraceError> {
        self.attempt(context, |tracer| seed.deserialize(tracer))
    }

    /// As [`Node::read`], for what is not run through a seed.
    pub(super) fn attempt<T>(
        &mut self,
        context: Context<'_>,
        run: impl FnOnce(Tracer<'_>) -> Result<T, TraceError>,
    ) -> Result<T, TraceError> {
        self.asked = true;
        context.spend_step()?;
        let result = run(Tracer::new(self, context));
        if !self.settled {
            match self.shape.judge(result.as_ref().err()) {
                Verdict::Continue => {}
                Verdict::Settled { readable } => (self.settled, self.readable) = (true, readable),
            }
        }
        result
    }

    /// The validator of what is known.
    pub(super) fn validator(&self) -> Validator {
        match &self.shape {
            Shape::Unknown | Shape::Anything => Validator::Any,
            Shape::Scalar { validator, .. } => validator.clone(),
            Shape::Option(held) => Validator::one_of([held.inner().validator(), Validator::Null]),
            Shape::List(held) => Validator::array(held.inner().validator()),
            Shape::Tuple(tuple) => tuple.validator(),
            Shape::Map(map) => map.validator(),
            Shape::Struct(fields) => fields.validator(),
            Shape::Enum(variants) => variants.validator(),
        }
    }
}

impl Node {
    /// The first part, as the path to it, whose shape could not be learned. A part that holds any value by its own type
    /// is known.
    pub(super) fn unlearned(&self) -> Option<String> {
        match &self.shape {
            Shape::Anything => None,
            Shape::Unknown => Some(String::new()),
            Shape::Scalar { validator, .. } => (*validator == Validator::Any).then(String::new),
            Shape::Option(held) => held.inner().unlearned(),
            Shape::List(held) => held.inner().unlearned().map(|rest| format!("[]{rest}")),
            Shape::Tuple(tuple) => tuple.unlearned(),
            Shape::Map(map) => map.unlearned(),
            Shape::Struct(fields) => fields.unlearned(),
            Shape::Enum(variants) => variants.unlearned(),
        }
    }
}

impl Shape {
    fn judge(&mut self, error: Option<&TraceError>) -> Verdict {
        let accepted = error.is_none();
        match self {
            Shape::Unknown | Shape::Anything => Verdict::Settled { readable: accepted },
            Shape::Scalar { .. } if accepted => Verdict::Settled { readable: true },
            Shape::Scalar { probes, next, .. } => {
                *next += 1;
                match *next < probes.len() {
                    true => Verdict::Continue,
                    false => Verdict::Settled { readable: false },
                }
            }
            Shape::Option(held) | Shape::List(held) => held.judge(accepted),
            Shape::Tuple(tuple) => tuple.judge(accepted),
            Shape::Map(map) => map.judge(accepted),
            Shape::Struct(fields) => fields.judge(error),
            Shape::Enum(variants) => variants.judge(accepted),
        }
    }
}
