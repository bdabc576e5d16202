//! Lines of bounded length.

use std::io::{BufRead, Read};

use super::super::error::{DocumentProblem, TransferError};
use super::bounded::too_long;
use super::{DOCUMENT_TEXT_BYTES_MAX, at};

/// Hands every line that is not blank to `visit`.
pub fn each(
    file: &str,
    mut reader: impl BufRead,
    mut visit: impl FnMut(&[u8]) -> Result<(), DocumentProblem>,
) -> Result<(), TransferError> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let mut bounded = (&mut reader).take(DOCUMENT_TEXT_BYTES_MAX as u64 + 1);
        if bounded.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.len() > DOCUMENT_TEXT_BYTES_MAX {
            return Err(at(file, number, too_long().into()));
        }
        let text = line.trim_ascii();
        if !text.is_empty() {
            visit(text).map_err(|problem| at(file, number, problem))?;
        }
    }
    Ok(())
}
