//! Rust types as values, through serde: what a function's arguments, results and documents are in Rust.
//!
//! | Rust | value |
//! | --- | --- |
//! | `i64`, `u64`, `isize`, `usize` | int64; 128-bit integers are refused |
//! | `f32`, `f64`, `i8`..`i32`, `u8`..`u32` | float64; an integer is read from a whole number in its range only |
//! | `bool`, `String`, `char` | boolean, string, string |
//! | bytes (as `serde_bytes` writes them) | bytes |
//! | `Vec`, tuples, sets | array |
//! | structs, maps with string keys | object |
//! | `Option` | `None` is missing: a field left out of its struct or map. Where nothing can be missing, in an array, it is null. Both are read as `None` |
//! | [`Nullable`] | null, which is something, where it holds nothing |
//! | a newtype struct | what it holds; around `None` it is null, since its field must be there |
//! | `()` | null; an object without fields is read as `()` too, so that a function may take no arguments |
//! | enums | a unit variant is its name, any other an object with one field of that name |
//! | [`Value`], `DocumentId` | themselves, exactly |
//!
//! A rule of serde's own meets the one on `None`: an `Option` field with `deserialize_with` may be left out only if it also
//! has `default`.

mod de;
mod error;
mod native;
mod nullable;
mod ser;
mod stored;
#[cfg(test)]
mod tests;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::value::Value;

pub use error::ConvertError;
pub(crate) use native::reads_natively;
pub use nullable::Nullable;

/// The name under which `Value` hands an encoded wrapper (`{"$integer": ..}`) to a serializer. By it our serializer
/// tells the wrapper from a map that looks the same. Formats like JSON write only the content.
pub(crate) const WRAPPED_VALUE: &str = "$vestibule::Value";

/// The value that stands for `source`. The limits on values and the rules for names are not applied here.
///
/// ```
/// use vestibule_schema::{Value, object, to_value};
///
/// #[derive(serde::Serialize)]
/// struct Visit { room: &'static str, guests: u32, note: Option<String> }
///
/// let visit = Visit { room: "A", guests: 2, note: None };
/// assert_eq!(to_value(&visit)?, Value::from(object! { "room" => "A", "guests" => 2.0 }));
/// # Ok::<(), vestibule_schema::ConvertError>(())
/// ```
pub fn to_value<T: Serialize + ?Sized>(source: &T) -> Result<Value, ConvertError> {
    ser::write(source)
}

/// The value of a field that holds `source`, or none where `source` is `None`: then the field is missing.
///
/// ```
/// use vestibule_schema::{Nullable, Value, to_field};
///
/// assert_eq!(to_field(&None::<f64>)?, None);
/// assert_eq!(to_field(&Nullable(None::<f64>))?, Some(Value::Null));
/// # Ok::<(), vestibule_schema::ConvertError>(())
/// ```
pub fn to_field<T: Serialize + ?Sized>(source: &T) -> Result<Option<Value>, ConvertError> {
    ser::write_field(source)
}

/// Reads a `T` out of `value`. The error names the part that did not fit.
///
/// ```
/// use vestibule_schema::{Value, from_value, object};
///
/// #[derive(Debug, serde::Deserialize)]
/// struct Visit { room: String, guests: u32 }
///
/// let error = from_value::<Visit>(object! { "room" => "A", "guests" => 2.5 }.into()).unwrap_err();
/// assert_eq!(error.to_string(), "at `.guests`: expected u32, found the number 2.5");
/// ```
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, ConvertError> {
    native::reading_natively(|| T::deserialize(de::ValueDeserializer(value)))
}

/// Reads a `T` out of a stored document, the encoding of an object, and its `_creationTime` beside it: 0 in a document
/// that has none. As [`from_value`] of the other fields, without making a value of them.
pub fn from_document<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, f64), ConvertError> {
    let mut creation_time = None;
    let document = stored::DocumentDeserializer {
        bytes,
        creation_time: &mut creation_time,
    };
    let read = native::reading_natively(|| T::deserialize(document))?;
    Ok((read, creation_time.unwrap_or(0.0)))
}
