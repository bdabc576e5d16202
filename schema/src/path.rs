//! Names and paths: identifiers, paths to fields inside documents, to components, and to functions.

mod component;
mod function;
mod identifier;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::value::{Object, Value};

pub use component::ComponentPath;
pub use function::{FUNCTION_PATH_PART_LENGTH_MAX, FunctionPath, FunctionPathError};
pub use identifier::{IDENTIFIER_LENGTH_MAX, IdentifierError, check_identifier};

/// The way to a field inside a document: identifiers joined by dots, as in `author.name`.
///
/// ```
/// use vestibule_schema::{FieldPath, Value, object};
///
/// let path: FieldPath = "author.name".parse()?;
/// let message = object! { "author" => object! { "name" => "Ada" } };
/// assert_eq!(path.lookup(&message), Some(&Value::from("Ada")));
/// # Ok::<(), vestibule_schema::IdentifierError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Arc<[String]>);

impl FieldPath {
    /// The identifiers from the top of the document down; never empty.
    pub fn fields(&self) -> &[String] {
        &self.0
    }

    /// The value at this path in `document`; `None` (undefined) when there is none.
    pub fn lookup<'a>(&self, document: &'a Object) -> Option<&'a Value> {
        let (first, rest) = self.0.split_first()?;
        rest.iter().try_fold(document.get(first)?, |value, name| {
            value.as_object()?.get(name)
        })
    }
}

/// A path is equal to its text.
impl PartialEq<str> for FieldPath {
    fn eq(&self, text: &str) -> bool {
        text.split('.').eq(self.0.iter())
    }
}

impl FromStr for FieldPath {
    type Err = IdentifierError;

    fn from_str(text: &str) -> Result<FieldPath, IdentifierError> {
        let field = |name: &str| check_identifier(name).map(|()| name.to_owned());
        text.split('.')
            .map(field)
            .collect::<Result<_, _>>()
            .map(FieldPath)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl Serialize for FieldPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FieldPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FieldPath, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_path_is_identifiers_joined_by_dots() {
        for text in ["a", "_creationTime", "a.b.c2"] {
            let path: FieldPath = text.parse().unwrap();
            assert_eq!(path.to_string(), text);
            assert_eq!(path.fields().join("."), text);
            for other in ["", "a", "_creationTime", "a.b", "a.b.c2", "a.b.c2.d"] {
                assert_eq!(path == *other, other == text);
            }
        }
        for text in ["", ".", "a.", ".a", "a..b", "a-b", "a.$b", "a. b"] {
            assert!(text.parse::<FieldPath>().is_err(), "{text}");
        }
    }
}
