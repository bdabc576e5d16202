//! Null by its name, where `None` means that there is nothing at all.

use serde::{Deserialize, Serialize};

use crate::value::Value;

/// A field that is there and may be null. `None` of an `Option` is a field that is missing.
///
/// ```
/// use vestibule_schema::{Nullable, Value, object, to_value};
///
/// #[derive(serde::Serialize)]
/// struct Person { nickname: Option<String>, died: Nullable<f64> }
///
/// let ada = Person { nickname: None, died: Nullable(None) };
/// assert_eq!(to_value(&ada)?, Value::from(object! { "died" => Value::Null }));
/// # Ok::<(), vestibule_schema::ConvertError>(())
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Nullable<T>(
    /// Its value; null without one.
    pub Option<T>,
);

impl<T> From<Option<T>> for Nullable<T> {
    fn from(value: Option<T>) -> Nullable<T> {
        Nullable(value)
    }
}

impl<T> From<Nullable<T>> for Option<T> {
    fn from(Nullable(value): Nullable<T>) -> Option<T> {
        value
    }
}

impl<T: Into<Value>> From<Nullable<T>> for Value {
    fn from(Nullable(value): Nullable<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}
