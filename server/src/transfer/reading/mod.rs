//! Reading documents from files: CSV, JSON lines, a JSON array, and the JSON lines of an archive. One document at a time,
//! with the line it stands on.

mod bounded;
mod csv;
mod json;
mod lines;

use std::io::BufRead;

use vestibule_schema::id::DocumentId;
use vestibule_schema::value::{Object, Value};

pub use json::Numbers;
pub use lines::each as each_line;

use super::error::{DocumentProblem, TransferError};

/// Longest line or array element, in bytes: a document of a megabyte, with every character escaped.
pub const DOCUMENT_TEXT_BYTES_MAX: usize = 8 << 20;

/// Values in one document's text. A document of a megabyte has no more. A text full of small values is far larger in
/// memory than as text.
pub const DOCUMENT_VALUES_MAX: usize = 1 << 20;

/// How a file holds its documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Lines of cells below a line of names.
    Csv,
    /// A JSON object a line.
    JsonLines(Numbers),
    /// JSON objects in an array.
    JsonArray,
}

/// A document that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadDocument {
    /// Its id, where it has one.
    pub id: Option<DocumentId>,
    /// Its creation time, where it has one.
    pub creation_time: Option<f64>,
    /// Its other fields.
    pub fields: Object,
}

/// The visitor of each document.
pub type Visit<'v> = dyn FnMut(ReadDocument) -> Result<(), DocumentProblem> + 'v;

/// Hands every document of `reader` to `visit`. `file` is its name in errors.
pub fn read_documents(
    file: &str,
    layout: Layout,
    reader: impl BufRead,
    visit: &mut Visit<'_>,
) -> Result<(), TransferError> {
    match layout {
        Layout::Csv => csv::read(file, reader, visit),
        Layout::JsonLines(numbers) => lines::each(file, reader, |line| {
            visit(document(json::parse_object(line, numbers)?)?)
        }),
        Layout::JsonArray => json::read_array(file, reader, visit),
    }
}

/// The number of documents that `reader` holds, as far as can be told without reading each.
pub fn count_documents(
    file: &str,
    layout: Layout,
    reader: impl BufRead,
) -> Result<u64, TransferError> {
    let mut count = 0;
    match layout {
        Layout::JsonLines(_) => lines::each(file, reader, |_| {
            count += 1;
            Ok(())
        })?,
        Layout::Csv | Layout::JsonArray => read_documents(file, layout, reader, &mut |_| {
            count += 1;
            Ok(())
        })?,
    }
    Ok(count)
}

/// The largest creation time that a document may have, in milliseconds since the epoch.
const CREATION_TIME_MAX: f64 = 9_007_199_254_740_992.0;

/// Takes the system's fields out of an object.
fn document(mut fields: Object) -> Result<ReadDocument, DocumentProblem> {
    let id = match fields.remove("_id") {
        None => None,
        Some(Value::String(text)) => {
            let parsed = text.parse::<DocumentId>();
            Some(parsed.map_err(|error| format!("\"{text}\" is not an id: {error}"))?)
        }
        Some(other) => return Err(format!("_id must be a string, not {other}").into()),
    };
    let creation_time = match fields.remove("_creationTime") {
        None => None,
        Some(Value::Float64(time)) if time > 0.0 && time < CREATION_TIME_MAX => Some(time),
        Some(Value::Int64(time)) if time > 0 && (time as f64) < CREATION_TIME_MAX => {
            Some(time as f64)
        }
        Some(other) => {
            return Err(
                format!("_creationTime must be milliseconds since 1970, not {other}").into(),
            );
        }
    };
    Ok(ReadDocument {
        id,
        creation_time,
        fields,
    })
}

/// Where a problem stands.
fn at(file: &str, line: u64, problem: DocumentProblem) -> TransferError {
    match problem {
        DocumentProblem::Text(problem) => TransferError::Document {
            file: file.to_string(),
            line,
            problem,
        },
        DocumentProblem::Other(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use vestibule_schema::object;

    use super::*;

    const ID: &str = "j57004926d25askqh2ctneycvqqfznw8";

    fn read(layout: Layout, text: &str) -> Result<Vec<ReadDocument>, String> {
        let mut documents = Vec::new();
        let reading = read_documents("f", layout, text.as_bytes(), &mut |document| {
            documents.push(document);
            Ok(())
        });
        reading.map_err(|error| error.to_string())?;
        Ok(documents)
    }

    fn fields(layout: Layout, text: &str) -> Vec<Object> {
        let documents = read(layout, text).unwrap();
        documents
            .into_iter()
            .map(|document| document.fields)
            .collect()
    }

    #[test]
    fn lines_of_json_keep_whole_numbers_apart_only_in_archives() {
        let text = "{\"a\":7,\"b\":7.0,\"c\":-0.0}\n\n{\"a\":1e3}";
        let exact = fields(Layout::JsonLines(Numbers::Exact), text);
        assert_eq!(
            exact,
            [
                object! { "a" => 7_i64, "b" => 7.0, "c" => -0.0 },
                object! { "a" => 1000.0 }
            ]
        );
        let floats = fields(Layout::JsonLines(Numbers::Float), text);
        assert_eq!(floats[0], object! { "a" => 7.0, "b" => 7.0, "c" => -0.0 });
    }

    #[test]
    fn archives_wrap_what_json_has_not() {
        let text =
            r#"{"n":{"$float":"AAAAAAAA+H8="},"b":{"$bytes":"aGk="},"o":{"x":{"$bytes":""}}}"#;
        let read = &fields(Layout::JsonLines(Numbers::Exact), text)[0];
        assert!(matches!(read["n"], Value::Float64(number) if number.is_nan()));
        assert_eq!(read["b"], Value::Bytes(b"hi".to_vec()));
    }

    #[test]
    fn an_exported_document_is_read_back_as_it_was() {
        let document = object! {
            "big" => i64::MAX, "small" => i64::MIN, "zero" => 0_i64, "float" => 1e300, "negative" => -0.0,
            "infinite" => f64::NEG_INFINITY, "bytes" => Value::Bytes(vec![0, 255]),
            "text" => "é\u{1F600}\n\"", "list" => Value::Array(vec![Value::Null, Value::from(1.5), Value::from(2_i64)]),
        };
        let json = Value::Object(document.clone()).to_format(vestibule_schema::JsonFormat::Export);
        let back = fields(Layout::JsonLines(Numbers::Exact), &json.to_string());
        assert_eq!(back, [document]);
    }

    #[test]
    fn csv_cells_are_numbers_or_texts() {
        let text = "name,age,\"say, \"\"hi\"\"\"\r\nAda,36,x\n\"B\nC\",-1.5e2,\nnan,inf,+1\n";
        assert_eq!(
            fields(Layout::Csv, text),
            [
                object! { "name" => "Ada", "age" => 36.0, "say, \"hi\"" => "x" },
                object! { "name" => "B\nC", "age" => -150.0, "say, \"hi\"" => "" },
                object! { "name" => "nan", "age" => "inf", "say, \"hi\"" => 1.0 },
            ]
        );
        assert_eq!(read(Layout::Csv, "").unwrap(), []);
        assert_eq!(read(Layout::Csv, "a,b\n").unwrap(), []);
        assert_eq!(read(Layout::Csv, "a,b").unwrap(), []);
        for whole in [
            "a\n1",
            "a\n1\n",
            "a\r\n1\r\n",
            "a\n\"1\"",
            "a\n1\n\n",
            "a\n1\"\n",
        ] {
            assert_eq!(read(Layout::Csv, whole).unwrap().len(), 1, "{whole:?}");
        }
    }

    #[test]
    fn an_array_is_read_element_by_element() {
        let text = " [ {\"a\": 1} , {\"a\": [\"]\"]} ] ";
        assert_eq!(
            fields(Layout::JsonArray, text),
            [
                object! { "a" => 1.0 },
                object! { "a" => Value::Array(vec!["]".into()]) }
            ]
        );
        assert_eq!(read(Layout::JsonArray, "[]").unwrap(), []);
        assert_eq!(read(Layout::JsonArray, "").unwrap(), []);
    }

    #[test]
    fn system_fields_are_taken_out() {
        let text = format!("{{\"_id\":\"{ID}\",\"_creationTime\":1.5,\"a\":true}}");
        let read = &read(Layout::JsonLines(Numbers::Float), &text).unwrap()[0];
        assert_eq!(read.id.unwrap().to_string(), ID);
        assert_eq!(read.creation_time, Some(1.5));
        assert_eq!(read.fields, object! { "a" => true });
    }

    #[test]
    fn whatever_cannot_be_read_is_named_with_its_line() {
        let lines = Layout::JsonLines(Numbers::Exact);
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(DOCUMENT_TEXT_BYTES_MAX));
        let long_array = format!("[{long}]");
        let crowded = format!("{{\"a\":[{}0]}}", "0,".repeat(DOCUMENT_VALUES_MAX));
        let crowded_array = format!("[{crowded}]");
        let open_quote = format!("a\n\"{}", "x\n".repeat(DOCUMENT_TEXT_BYTES_MAX));
        let open_header = format!("\"{}", "x".repeat(DOCUMENT_TEXT_BYTES_MAX + 100_000));
        let columns: Vec<String> = (0..1_027).map(|column| format!("c{column}")).collect();
        let columns = columns.join(",");
        for (layout, text, problem) in [
            (lines, "{}\n{\"a\":", "f:2: "),
            (lines, "[1]", "f:1: a document is an object"),
            (lines, "{} {}", "f:1: "),
            (lines, "{\"a\":9223372036854775808}", "f:1: "),
            (lines, "{\"a\":{\"$bytes\":\"?\"}}", "f:1: "),
            (lines, "{\"a\":{\"$float\":1}}", "f:1: "),
            (lines, "{\"_id\":\"x\"}", "f:1: \"x\" is not an id"),
            (lines, "{\"_id\":7}", "f:1: _id must be a string"),
            (lines, "{\"_creationTime\":-1.0}", "f:1: _creationTime"),
            (lines, "{\"_creationTime\":\"x\"}", "f:1: _creationTime"),
            (lines, &long, "f:1: a document of more than"),
            (
                lines,
                &crowded,
                "f:1: a document of more than 1048576 values",
            ),
            (
                Layout::JsonArray,
                &crowded_array,
                "f:1: a document of more than 1048576 values",
            ),
            (
                Layout::JsonArray,
                &long_array,
                "f: element 1: a document of more than",
            ),
            (
                Layout::Csv,
                &open_quote,
                "f:2: a document of more than 8388608 bytes",
            ),
            (
                Layout::Csv,
                &open_header,
                "f:1: a document of more than 8388608 bytes",
            ),
            (Layout::Csv, &columns, "f:1: 1027 columns"),
            (Layout::Csv, "a,a\n1,2", "f:1: the column \"a\""),
            (Layout::Csv, "a,b\n1\n", "f:2: 1 cells"),
            (
                Layout::Csv,
                "a,b\n1,2\n3,\"4",
                "f:3: the file ends within quotes",
            ),
            (
                Layout::Csv,
                "a\n\"1\n\n",
                "f:2: the file ends within quotes",
            ),
            (
                Layout::Csv,
                "a,\"b\n1,2\n",
                "f:1: the file ends within quotes",
            ),
            (Layout::Csv, "a,b\n1,2,3\n", "f:2: "),
            (Layout::JsonArray, "[{}", "f:1: "),
            (Layout::JsonArray, "{}", "f:1: "),
            (Layout::JsonArray, "[{},\n 1]", "f:2: "),
            (Layout::JsonArray, "[{}] x", "f:1: "),
        ] {
            let error = read(layout, text).unwrap_err();
            let shown = &text[..text.len().min(40)];
            assert!(error.starts_with(problem), "{shown}: {error}");
        }
        let bytes: &[u8] = b"{\"a\":\"\xff\"}";
        assert!(read_documents("f", lines, bytes, &mut |_| Ok(())).is_err());
        assert!(read_documents("f", Layout::Csv, &b"a\n\xff\n"[..], &mut |_| Ok(())).is_err());
    }

    #[test]
    fn commas_in_texts_are_no_values() {
        let text = format!("{{\"a\":\"\\\"{}\"}}", ",[{".repeat(DOCUMENT_VALUES_MAX));
        assert_eq!(fields(Layout::JsonLines(Numbers::Exact), &text).len(), 1);
        let array = format!("[{text},{text}]");
        assert_eq!(fields(Layout::JsonArray, &array).len(), 2);
    }

    #[test]
    fn files_are_longer_than_any_of_their_documents() {
        let row = format!("{},1\n", "x".repeat(1 << 20));
        let csv = format!("a,b\n{}", row.repeat(20));
        assert_eq!(read(Layout::Csv, &csv).unwrap().len(), 20);
        let element = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
        let array = format!("[{}{element}]", format!("{element},").repeat(19));
        assert_eq!(read(Layout::JsonArray, &array).unwrap().len(), 20);
    }
}
