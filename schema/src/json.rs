//! Values as JSON. The encoded form carries every value exactly, and clients and functions exchange it. The clean and
//! export forms are for readers of HTTP answers and cannot always be read back.

pub(crate) mod decode;

use std::fmt::Write;
use std::str::FromStr;

use data_encoding::BASE64;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Number, Value as Json};
use thiserror::Error;

use crate::convert::WRAPPED_VALUE;
use crate::value::{Object, Value, ValueError};

const INTEGER: &str = "$integer";
const FLOAT: &str = "$float";
const BYTES: &str = "$bytes";

/// Which JSON a value becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JsonFormat {
    /// Exact: what plain JSON lacks is wrapped, as in `{"$integer": "AQAAAAAAAAA="}`.
    Encoded,
    /// For people: integers as decimal strings, bytes as base64, NaN and infinities as words.
    Clean,
    /// For export files: integers as JSON integers, bytes, NaN and infinities wrapped.
    Export,
}

/// A format name that names no [`JsonFormat`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("unknown format {0:?}: use json, convex_encoded_json or export_json")]
pub struct JsonFormatError(pub String);

impl FromStr for JsonFormat {
    type Err = JsonFormatError;

    fn from_str(name: &str) -> Result<JsonFormat, JsonFormatError> {
        match name {
            "convex_encoded_json" | "convex_json" => Ok(JsonFormat::Encoded),
            "json" | "convex_clean_json" => Ok(JsonFormat::Clean),
            "export_json" => Ok(JsonFormat::Export),
            _ => Err(JsonFormatError(name.to_owned())),
        }
    }
}

impl Value {
    /// Reads encoded JSON. The result keeps every limit of [`crate::check_value`] but that on the whole size.
    pub fn from_json(json: &Json) -> Result<Value, ValueError> {
        decode::from_tree(json, 0)
    }

    /// This value as encoded JSON.
    pub fn to_json(&self) -> Json {
        self.to_format(JsonFormat::Encoded)
    }

    /// This value as JSON of the given format.
    pub fn to_format(&self, format: JsonFormat) -> Json {
        match self {
            Value::Null => Json::Null,
            Value::Int64(number) => integer_to_format(*number, format),
            Value::Float64(number) => float_to_format(*number, format),
            Value::Boolean(truth) => Json::Bool(*truth),
            Value::String(text) => Json::String(text.clone()),
            Value::Bytes(bytes) => match format {
                JsonFormat::Encoded | JsonFormat::Export => wrapped(BYTES, bytes),
                JsonFormat::Clean => Json::String(BASE64.encode(bytes)),
            },
            Value::Array(elements) => elements.iter().map(|e| e.to_format(format)).collect(),
            Value::Object(object) => {
                let field =
                    |(name, value): (&String, &Value)| (name.clone(), value.to_format(format));
                Json::Object(object.iter().map(field).collect())
            }
        }
    }

    /// Appends this value as encoded JSON, without building a tree of it.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Value::Null => out.push_str("null"),
            Value::Int64(number) => write_wrapped(INTEGER, &number.to_le_bytes(), out),
            Value::Float64(number) => write_float(*number, out),
            Value::Boolean(true) => out.push_str("true"),
            Value::Boolean(false) => out.push_str("false"),
            Value::String(text) => write_string(text, out),
            Value::Bytes(bytes) => write_wrapped(BYTES, bytes, out),
            Value::Array(elements) => write_array(elements, out),
            Value::Object(object) => write_object(object, out),
        }
    }
}

/// Whether encoded JSON wraps this float: plain JSON has no NaN and no infinities, and many readers lose `-0`.
fn is_special(number: f64) -> bool {
    !number.is_finite() || is_negative_zero(number)
}

fn is_negative_zero(number: f64) -> bool {
    number == 0.0 && number.is_sign_negative()
}

fn wrapped(wrapper: &str, bytes: &[u8]) -> Json {
    let content = Json::String(BASE64.encode(bytes));
    Json::Object(Map::from_iter([(wrapper.to_owned(), content)]))
}

fn integer_to_format(number: i64, format: JsonFormat) -> Json {
    match format {
        JsonFormat::Encoded => wrapped(INTEGER, &number.to_le_bytes()),
        JsonFormat::Clean => Json::String(number.to_string()),
        JsonFormat::Export => Json::Number(number.into()),
    }
}

fn float_to_format(number: f64, format: JsonFormat) -> Json {
    match (format, Number::from_f64(number)) {
        (JsonFormat::Encoded, _) if is_special(number) => wrapped(FLOAT, &number.to_le_bytes()),
        (_, Some(finite)) => Json::Number(finite),
        (JsonFormat::Encoded | JsonFormat::Export, None) => wrapped(FLOAT, &number.to_le_bytes()),
        (JsonFormat::Clean, None) if number.is_nan() => Json::from("NaN"),
        (JsonFormat::Clean, None) if number > 0.0 => Json::from("Infinity"),
        (JsonFormat::Clean, None) => Json::from("-Infinity"),
    }
}

fn write_wrapped(wrapper: &str, bytes: &[u8], out: &mut String) {
    out.push_str("{\"");
    out.push_str(wrapper);
    out.push_str("\":\"");
    BASE64.encode_append(bytes, out);
    out.push_str("\"}");
}

fn write_float(number: f64, out: &mut String) {
    match Number::from_f64(number) {
        Some(finite) if !is_negative_zero(number) => {
            write!(out, "{finite}").expect("writing to a String cannot fail");
        }
        _ => write_wrapped(FLOAT, &number.to_le_bytes(), out),
    }
}

fn write_array(elements: &[Value], out: &mut String) {
    out.push('[');
    for (position, element) in elements.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        element.write_json(out);
    }
    out.push(']');
}

fn write_object(object: &Object, out: &mut String) {
    out.push('{');
    for (position, (name, value)) in object.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write_string(name, out);
        out.push(':');
        value.write_json(out);
    }
    out.push('}');
}

/// Appends a JSON string, copying what lies between two escapes in one piece.
fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(plain) = find_escape(rest.as_bytes()) {
        out.push_str(&rest[..plain]);
        match rest.as_bytes()[plain] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            byte => write!(out, "\\u{byte:04x}").expect("writing to a String cannot fail"),
        }
        rest = &rest[plain + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// Where the first byte is that a JSON string must escape. Most text has none for long, so whole chunks are looked at
/// without a branch a byte.
fn find_escape(text: &[u8]) -> Option<usize> {
    let must_escape = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
    let (chunks, _) = text.as_chunks::<16>();
    let is_plain = |chunk: &&[u8; 16]| {
        chunk
            .iter()
            .fold(true, |plain, &byte| plain & !must_escape(byte))
    };
    let plain = 16 * chunks.iter().take_while(is_plain).count();
    let escape = text[plain..].iter().position(|&byte| must_escape(byte))?;
    Some(plain + escape)
}

/// As encoded JSON.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Int64(number) => serialize_wrapped(INTEGER, &number.to_le_bytes(), serializer),
            Value::Float64(number) if is_special(*number) => {
                serialize_wrapped(FLOAT, &number.to_le_bytes(), serializer)
            }
            Value::Float64(number) => serializer.serialize_f64(*number),
            Value::Boolean(truth) => serializer.serialize_bool(*truth),
            Value::String(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => serialize_wrapped(BYTES, bytes, serializer),
            Value::Array(elements) => serializer.collect_seq(elements),
            Value::Object(object) => serializer.collect_map(object),
        }
    }
}

fn serialize_wrapped<S: Serializer>(
    wrapper: &'static str,
    bytes: &[u8],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_newtype_struct(WRAPPED_VALUE, &Wrapped { wrapper, bytes })
}

/// A wrapper object such as `{"$bytes": "aGk="}`.
struct Wrapped<'a> {
    wrapper: &'static str,
    bytes: &'a [u8],
}

impl Serialize for Wrapped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.wrapper, &BASE64.encode(self.bytes))?;
        map.end()
    }
}

#[cfg(test)]
mod tests;
