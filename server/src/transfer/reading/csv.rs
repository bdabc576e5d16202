//! Documents as lines of cells. A cell is a number where it looks like one, and a text everywhere else.

use std::collections::BTreeSet;
use std::io::BufRead;

use csv::{ReaderBuilder, StringRecord};
use vestibule_schema::value::{Object, Value};

use super::super::error::TransferError;
use super::{DOCUMENT_TEXT_BYTES_MAX, Visit, at, document};

/// Hands every line below the first to `visit`.
pub fn read(file: &str, reader: impl BufRead, visit: &mut Visit<'_>) -> Result<(), TransferError> {
    let mut reader = ReaderBuilder::new().from_reader(reader);
    let names = reader.headers().map_err(|error| broken(file, &error))?;
    let names: Vec<String> = names.iter().map(str::to_string).collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
        let problem = format!("the column \"{twice}\" is there twice");
        return Err(at(file, 1, problem.into()));
    }
    let mut record = StringRecord::new();
    while reader
        .read_record(&mut record)
        .map_err(|error| broken(file, &error))?
    {
        let line = record.position().map_or(0, csv::Position::line);
        let done = match record.as_slice().len() > DOCUMENT_TEXT_BYTES_MAX {
            true => Err("a document that is too long".to_string().into()),
            false => document(fields(&names, &record)).and_then(&mut *visit),
        };
        done.map_err(|problem| at(file, line, problem))?;
    }
    Ok(())
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

fn broken(file: &str, error: &csv::Error) -> TransferError {
    let line = error.position().map_or(1, csv::Position::line);
    let problem = match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("{len} cells where the first line has {expected_len}"),
        csv::ErrorKind::Utf8 { .. } => "the text is not UTF-8".to_string(),
        _ => error.to_string(),
    };
    at(file, line, problem.into())
}
