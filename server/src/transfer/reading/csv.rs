//! Documents as lines of cells. A cell is a number where it looks like one, and a text everywhere else.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{BufRead, Read};

use csv::{ReaderBuilder, StringRecord};
use vestibule_schema::value::{OBJECT_FIELDS_MAX, Object, Value};

use super::super::error::TransferError;
use super::bounded::Bounded;
use super::{Visit, at, document};

/// Columns of a file: the fields of a document, its id and its creation time.
const COLUMNS_MAX: usize = OBJECT_FIELDS_MAX + 2;

/// A mark that is read behind the end of the file. It is a line of its own, unless a quote is still open there. The
/// parser takes an open quote for closed, so a file that was cut within one would pass for whole.
const END: &[u8] = b"\n\0end of the file\0";

/// Hands every line below the first to `visit`.
pub fn read(file: &str, reader: impl BufRead, visit: &mut Visit<'_>) -> Result<(), TransferError> {
    let bytes = Cell::new(0);
    let bounded = Bounded {
        reader,
        bytes: &bytes,
    };
    let mut reader = ReaderBuilder::new()
        .flexible(true)
        .from_reader(bounded.chain(END));
    let names = reader.headers().map_err(|error| broken(file, 1, &error))?;
    if is_end(names) {
        return Ok(());
    }
    check_closed(file, 1, names)?;
    if names.len() > COLUMNS_MAX {
        let problem = format!(
            "{} columns, where a document has {OBJECT_FIELDS_MAX} fields",
            names.len()
        );
        return Err(at(file, 1, problem.into()));
    }
    let names: Vec<String> = names.iter().map(str::to_string).collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
        let problem = format!("the column \"{twice}\" is there twice");
        return Err(at(file, 1, problem.into()));
    }
    let mut record = StringRecord::new();
    bytes.set(0);
    loop {
        let line = reader.position().line();
        let is_there = reader.read_record(&mut record);
        if !is_there.map_err(|error| broken(file, line, &error))? {
            break;
        }
        bytes.set(0);
        if is_end(&record) {
            break;
        }
        let line = record.position().map_or(line, csv::Position::line);
        check_closed(file, line, &record)?;
        if record.len() != names.len() {
            let (found, wanted) = (record.len(), names.len());
            let problem = format!("{found} cells where the first line has {wanted}");
            return Err(at(file, line, problem.into()));
        }
        let done = document(fields(&names, &record)).and_then(&mut *visit);
        done.map_err(|problem| at(file, line, problem))?;
    }
    Ok(())
}

fn is_end(record: &StringRecord) -> bool {
    let end = END.trim_ascii_start();
    record.len() == 1 && record.as_slice().as_bytes() == end
}

/// Refuses a line with which the file ends within quotes.
fn check_closed(file: &str, line: u64, record: &StringRecord) -> Result<(), TransferError> {
    match record.as_slice().as_bytes().ends_with(END) {
        true => Err(at(
            file,
            line,
            "the file ends within quotes".to_string().into(),
        )),
        false => Ok(()),
    }
}

fn fields(names: &[String], record: &StringRecord) -> Object {
    let cells = names.iter().zip(record);
    cells
        .map(|(name, cell)| {
            let value = match (name.as_str(), number(cell)) {
                ("_id", _) | (_, None) => Value::from(cell),
                (_, Some(number)) => Value::Float64(number),
            };
            (name.clone(), value)
        })
        .collect()
}

/// Words such as `inf` and `nan` are more often names than numbers.
fn number(cell: &str) -> Option<f64> {
    let is_number = |byte: u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let number = cell.bytes().all(is_number).then(|| cell.parse().ok());
    number.flatten().filter(|number: &f64| number.is_finite())
}

fn broken(file: &str, line: u64, error: &csv::Error) -> TransferError {
    let line = error.position().map_or(line, csv::Position::line);
    let problem = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "the text is not UTF-8".to_string(),
        _ => error.to_string(),
    };
    at(file, line, problem.into())
}
