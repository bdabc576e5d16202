//! Documents as JSON.

use std::cell::Cell;
use std::fmt;
use std::io::{BufRead, Read};

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, SeqAccess, Visitor};
use serde_json::Value as Json;
use vestibule_schema::value::{Object, Value};

use super::super::error::{DocumentProblem, TransferError};
use super::{DOCUMENT_TEXT_BYTES_MAX, Visit, at, document};

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
    let json: Json = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    to_object(json, numbers)
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
    let bytes = Cell::new(0);
    let mut json = serde_json::Deserializer::from_reader(Bounded {
        reader,
        bytes: &bytes,
    });
    let elements = Elements {
        visit,
        failed: &mut failed,
        bytes: &bytes,
    };
    let read = json.deserialize_seq(elements).and_then(|()| json.end());
    match (read, failed) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(DocumentProblem::Other(error))) => Err(error),
        (Err(error), Some(problem)) => Err(at(file, error.line() as u64, problem)),
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

/// Fails when more is read of one element than any document has.
struct Bounded<'c, R> {
    reader: R,
    /// Bytes since the last element.
    bytes: &'c Cell<usize>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes.set(self.bytes.get() + read);
        match self.bytes.get() > DOCUMENT_TEXT_BYTES_MAX {
            true => Err(std::io::Error::other(format!(
                "a document of more than {DOCUMENT_TEXT_BYTES_MAX} bytes"
            ))),
            false => Ok(read),
        }
    }
}

struct Elements<'a, 'v> {
    visit: &'a mut Visit<'v>,
    failed: &'a mut Option<DocumentProblem>,
    bytes: &'a Cell<usize>,
}

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element_seed(Element)? {
            self.bytes.set(0);
            let done = to_object(element, Numbers::Float)
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
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Json, D::Error> {
        serde::Deserialize::deserialize(json)
    }
}
