//! Learns a type's validator by running its `Deserialize`, so that a Rust type is all a function or a table declares.
//!
//! The type is run again and again against a deserializer that notes what it asks for and gives it small made-up values.
//! Each run settles one more question: the shape of a field, whether it may be left out, what an enum's variant holds. A
//! part that cannot be learned becomes `Any`: an untagged enum, a flattened struct, a recursion, a part that is never
//! reached. A field of unknown need is optional. So a validator learned here refuses nothing the type needs. It may accept
//! a value that the type then refuses, with an error of its own. Functions and tables take no such part silently:
//! [`Validator::learn`] refuses it by its name.

mod access;
mod node;
mod probe;
mod shapes;
#[cfg(test)]
mod tests;
mod tracer;
mod variants;

use std::cell::Cell;

use serde::de::DeserializeOwned;

use crate::validator::Validator;
use node::Node;
use tracer::Context;

/// How often parts of a type may be asked for, over all runs. Reached only by types with hundreds of fields.
const STEPS_MAX: u32 = 1_000_000;

/// A type that does not tell its shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the shape of `{type_name}{part}` cannot be learnt from its `Deserialize`, as that of an untagged enum, a flattened \
     struct or a recursive type; declare its validator"
)]
pub struct LearnError {
    /// The whole type.
    pub type_name: &'static str,
    /// The path to the part that cannot be learnt, empty for the whole: `.items[]`.
    pub part: String,
}

/// A type that cannot be a function's arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// It is never read from an object.
    #[error(
        "the arguments of a function are one object, so `{type_name}` should be a struct with named fields; it is read \
         from {found}"
    )]
    NotAnObject {
        /// The type.
        type_name: &'static str,
        /// The validator of what the type is read from.
        found: String,
    },
    /// It does not tell its shape.
    #[error(transparent)]
    Unlearnt(#[from] LearnError),
}

impl Validator {
    /// The validator of what `T` is read from, with `Any` for each part that cannot be learnt.
    ///
    /// ```
    /// use vestibule_schema::Validator;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Visit { room: String, guests: u32, note: Option<String> }
    ///
    /// assert_eq!(
    ///     Validator::of::<Visit>().to_string(),
    ///     "v.object({guests: v.float64(), note: v.optional(v.union(v.string(), v.null())), room: v.string()})"
    /// );
    /// ```
    pub fn of<T: DeserializeOwned>() -> Validator {
        trace::<T>().validator()
    }

    /// The validator of what `T` is read from, where all of it can be learnt. `Any` then stands for types that hold any
    /// value, as [`Value`](crate::Value) does, and for no others.
    ///
    /// ```
    /// use vestibule_schema::Validator;
    ///
    /// #[derive(serde::Deserialize)]
    /// #[serde(untagged)]
    /// enum Price { Free, Cents(u32) }
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Offer { name: String, price: Price }
    ///
    /// let refused = Validator::learn::<Offer>().unwrap_err();
    /// assert_eq!(refused.part, ".price");
    /// ```
    pub fn learn<T: DeserializeOwned>() -> Result<Validator, LearnError> {
        let learned = trace::<T>();
        match learned.unlearned() {
            None => Ok(learned.validator()),
            Some(part) => Err(LearnError {
                type_name: std::any::type_name::<T>(),
                part,
            }),
        }
    }

    /// The validator of the arguments of a function that takes a `T`. It is an object, or `Any` for a type that reads
    /// objects with keys of any name. `()` is a function without arguments.
    pub fn of_args<T: DeserializeOwned>() -> Result<Validator, ArgsError> {
        match Validator::learn::<T>()? {
            Validator::Null => Ok(Validator::Object(Default::default())),
            object @ Validator::Object(_) => Ok(object),
            other if reads_objects(&other) => Ok(Validator::Any),
            other => Err(ArgsError::NotAnObject {
                type_name: std::any::type_name::<T>(),
                found: other.to_string(),
            }),
        }
    }
}

fn reads_objects(validator: &Validator) -> bool {
    match validator {
        Validator::Any | Validator::Object(_) | Validator::Record { .. } => true,
        Validator::Union(members) => members.iter().any(reads_objects),
        Validator::Null
        | Validator::Boolean
        | Validator::Number
        | Validator::Bigint
        | Validator::CommitTs
        | Validator::String
        | Validator::Bytes
        | Validator::Id { .. }
        | Validator::Literal(_)
        | Validator::Function(_)
        | Validator::Array(_) => false,
    }
}

fn trace<T: DeserializeOwned>() -> Node {
    let mut root = Node::default();
    let steps_left = Cell::new(STEPS_MAX);
    while !root.is_settled() && steps_left.get() > 0 {
        // The outcome, even an error, is noted in the node.
        let _ = root.read::<std::marker::PhantomData<T>>(
            std::marker::PhantomData,
            Context::new(&steps_left),
        );
    }
    root
}
