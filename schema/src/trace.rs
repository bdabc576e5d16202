//! Learns a type's validator by running its `Deserialize`, so that a Rust type is all a function or a table declares.
//!
//! The type is run again and again against a deserializer that notes what it asks for and gives it small made-up values.
//! Each run settles one more question: the shape of a field, whether it may be left out, what an enum's variant holds.
//! A part that cannot be learned (a type that reads anything, a recursion, a part that is never reached) becomes `Any`,
//! and a field of unknown need is optional. So a validator learned here refuses nothing the type needs. It may accept a
//! value that the type then refuses, with an error of its own.

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

/// A type that cannot be a function's arguments, because it is never read from an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the arguments of a function are one object, so `{type_name}` should be a struct with named fields; it is read from {found}"
)]
pub struct ArgsError {
    pub type_name: &'static str,
    /// The validator of what the type is read from.
    pub found: String,
}

impl Validator {
    /// The validator of what `T` is read from.
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

    /// The validator of the arguments of a function that takes a `T`: an object, or `Any` for a type that reads
    /// objects of many shapes. `()` is a function without arguments.
    pub fn of_args<T: DeserializeOwned>() -> Result<Validator, ArgsError> {
        match Validator::of::<T>() {
            Validator::Null => Ok(Validator::Object(Default::default())),
            object @ Validator::Object(_) => Ok(object),
            other if reads_objects(&other) => Ok(Validator::Any),
            other => Err(ArgsError {
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
