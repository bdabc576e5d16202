//! Vector search: the documents whose vectors point most nearly where another one does.
//!
//! An index holds every vector as single floats of length one, apart from the documents. A search walks them and is exact.

mod compile;
mod entries;
mod nearest;
#[cfg(test)]
mod tests;

pub use compile::{VectorFilter, VectorQuery};
pub(super) use entries::entries;
pub use nearest::{Nearest, nearest};
