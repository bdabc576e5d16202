//! Documents as JSON.

use std::cell::Cell;
use std::fmt;
use std::io::BufRead;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, SeqAccess, Visitor};
use serde_json::Value as Json;
use serde_json::value::RawValue;
use vestibule_schema::value::{Object, Value};

use super::super::error::{DocumentProblem, TransferError};
use super::bounded::Bounded;
use super::{DOCUMENT_VALUES_MAX, Visit, at, document};

/// The type of a number in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// A float, always.
    Float,
    /// An integer when it is written as one. Values that plain JSON lacks are wrapped.
    Exact,
}

/// The object that `text` holds.
pub fn parse_object(text: &[u8], numbers: Numbers) -> Result<Object, DocumentProblem> {
    check_values(text)?;
    let json: Json = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    to_object(json, numbers)
}

/// Refuses a text of more values than any document has, before they take memory. In JSON each value but the first
/// follows a comma or a bracket.
fn check_values(text: &[u8]) -> Result<(), DocumentProblem> {
    let (mut values, mut in_text, mut escaped) = (0, false, false);
    for byte in text {
        match (byte, in_text) {
            (_, true) if escaped => escaped = false,
            (b'\\', true) => escaped = true,
            (b'"', _) => in_text = !in_text,
            (b',' | b'[' | b'{', false) => values += 1,
            _ => {}
        }
    }
    match values > DOCUMENT_VALUES_MAX {
        true => Err(format!("a document of more than {DOCUMENT_VALUES_MAX} values").into()),
        false => Ok(()),
    }
}

fn to_object(json: Json, numbers: Numbers) -> Result<Object, DocumentProblem> {
    match (json, numbers) {
        (Json::Object(fields), numbers) => fields
            .into_iter()
            .map(|(name, field)| Ok((name, to_value(field, numbers)?)))
            .collect(),
        (other, _) => Err(format!("a document is an object, not {}", kind(&other)).into()),
    }
}

fn to_value(json: Json, numbers: Numbers) -> Result<Value, DocumentProblem> {
    match json {
        Json::Null => Ok(Value::Null),
        Json::Bool(truth) => Ok(Value::Boolean(truth)),
        Json::String(text) => Ok(Value::String(text)),
        Json::Number(number) => match (numbers, number.as_i64()) {
            (Numbers::Exact, Some(integer)) => Ok(Value::Int64(integer)),
            (Numbers::Exact, None) if number.is_u64() => {
                Err(format!("{number} does not fit into 64 bits").into())
            }
            _ => Ok(Value::Float64(number.as_f64().unwrap_or(f64::NAN))),
        },
        Json::Array(elements) => {
            let elements = elements.into_iter();
            let elements = elements.map(|element| to_value(element, numbers));
            Ok(Value::Array(elements.collect::<Result<_, _>>()?))
        }
        Json::Object(fields) if numbers == Numbers::Exact && is_wrapper(&fields) => {
            let wrapped = Value::from_json(&Json::Object(fields));
            Ok(wrapped.map_err(|error| error.to_string())?)
        }
        object @ Json::Object(_) => Ok(Value::Object(to_object(object, numbers)?)),
    }
}

fn is_wrapper(fields: &serde_json::Map<String, Json>) -> bool {
    fields.len() == 1 && fields.keys().all(|name| name.starts_with('$'))
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

/// Hands every element of the array that `reader` holds to `visit`. A file of nothing is an array of nothing.
pub fn read_array(
    file: &str,
    mut reader: impl BufRead,
    visit: &mut Visit<'_>,
) -> Result<(), TransferError> {
    if is_blank(&mut reader)? {
        return Ok(());
    }
    let mut failed = None;
    let (bytes, count) = (Cell::new(0), Cell::new(0));
    let mut json = serde_json::Deserializer::from_reader(Bounded {
        reader,
        bytes: &bytes,
    });
    let elements = Elements {
        visit,
        failed: &mut failed,
        bytes: &bytes,
        count: &count,
    };
    let read = json.deserialize_seq(elements).and_then(|()| json.end());
    match (read, failed) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(DocumentProblem::Other(error))) => Err(error),
        (Err(error), Some(problem)) => Err(at(file, error.line() as u64, problem)),
        // The parser does not tell where it was.
        (Err(error), None) if error.is_io() => Err(TransferError::File {
            file: file.to_string(),
            problem: format!("element {}: {error}", count.get() + 1),
        }),
        (Err(error), None) => {
            let line = error.line() as u64;
            Err(at(file, line, error.to_string().into()))
        }
    }
}

/// Whether there is nothing but white space.
fn is_blank(reader: &mut impl BufRead) -> std::io::Result<bool> {
    loop {
        let ahead = reader.fill_buf()?;
        if ahead.is_empty() || !ahead.iter().all(u8::is_ascii_whitespace) {
            return Ok(ahead.is_empty());
        }
        let blank = ahead.len();
        reader.consume(blank);
    }
}

struct Elements<'a, 'v> {
    visit: &'a mut Visit<'v>,
    failed: &'a mut Option<DocumentProblem>,
    bytes: &'a Cell<usize>,
    /// Elements so far.
    count: &'a Cell<u64>,
}

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element_seed(Element)? {
            self.bytes.set(0);
            self.count.set(self.count.get() + 1);
            let done = parse_object(element.get().as_bytes(), Numbers::Float)
                .and_then(document)
                .and_then(&mut *self.visit);
            if let Err(problem) = done {
                *self.failed = Some(problem);
                return Err(A::Error::custom("a document is refused"));
            }
        }
        Ok(())
    }
}

struct Element;

impl<'de> DeserializeSeed<'de> for Element {
    type Value = Box<RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Box<RawValue>, D::Error> {
        serde::Deserialize::deserialize(json)
    }
}
