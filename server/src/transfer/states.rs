//! The documents of imports and exports, as official tools read them, and the steps from one state to the next.

use vestibule_schema::id::DocumentId;
use vestibule_schema::object;
use vestibule_schema::path::ComponentPath;
use vestibule_schema::value::{Object, Value};

use super::error::TransferError;
use super::uploads::Uploaded;
use crate::database::{Patch, Transaction};

/// The table of imports.
pub const IMPORTS: &str = "_imports";
/// The table of exports.
pub const EXPORTS: &str = "_exports";

/// The treatment of existing documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// There must be none.
    RequireEmpty,
    /// They stay.
    Append,
    /// Those of the imported tables go.
    Replace,
    /// All go.
    ReplaceAll,
}

/// The format of the imported file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Cells.
    Csv,
    /// A JSON object a line.
    JsonLines,
    /// JSON objects in an array.
    JsonArray,
    /// Tables and files in an archive.
    Zip,
}

/// The request for an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRequest {
    /// The table, of everything but an archive.
    pub table: Option<String>,
    /// The component whose table it is, or of which it is an archive.
    pub component: ComponentPath,
    /// The treatment of existing documents.
    pub mode: Mode,
    /// The format of the imported file.
    pub format: Format,
}

/// An import as its document keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// Its id.
    pub id: DocumentId,
    /// Its request.
    pub request: ImportRequest,
    /// Where its file is.
    pub upload: Uploaded,
    /// When it was made, in milliseconds since the epoch.
    pub created_at: f64,
    /// Its state, as documents hold it.
    pub state: Object,
}

impl Mode {
    /// The mode of this name.
    pub fn named(name: &str) -> Option<Mode> {
        Some(match name {
            "requireEmpty" => Mode::RequireEmpty,
            "append" => Mode::Append,
            "replace" => Mode::Replace,
            "replaceAll" => Mode::ReplaceAll,
            _ => return None,
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Mode::RequireEmpty => "requireEmpty",
            Mode::Append => "append",
            Mode::Replace => "replace",
            Mode::ReplaceAll => "replaceAll",
        }
    }
}

impl Format {
    /// The format of this name.
    pub fn named(name: &str) -> Option<Format> {
        Some(match name {
            "csv" => Format::Csv,
            "jsonLines" => Format::JsonLines,
            "jsonArray" => Format::JsonArray,
            "zip" => Format::Zip,
            _ => return None,
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::JsonLines => "jsonLines",
            Format::JsonArray => "jsonArray",
            Format::Zip => "zip",
        }
    }
}

impl ImportRequest {
    /// Refuses what makes no sense together.
    pub fn check(&self) -> Result<(), TransferError> {
        match (&self.table, self.format) {
            (Some(_), Format::Zip) => Err(TransferError::BadRequest(
                "A ZIP archive says itself which tables it holds: leave tableName out.",
            )),
            (None, Format::Csv | Format::JsonLines | Format::JsonArray) => {
                Err(TransferError::BadRequest(
                    "Everything but a ZIP archive is imported into one table: give tableName.",
                ))
            }
            (Some(table), _) => check_table_name(table),
            (None, Format::Zip) => Ok(()),
        }
    }
}

/// Refuses names that no table of an app has.
pub fn check_table_name(name: &str) -> Result<(), TransferError> {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_name = (1..=64).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(is_inner);
    match is_name {
        true => Ok(()),
        false => Err(TransferError::TableName(name.escape_debug().to_string())),
    }
}

impl Import {
    /// Adds the document of an import whose file has arrived.
    pub fn insert(
        tx: &mut Transaction<'_>,
        request: &ImportRequest,
        upload: &Uploaded,
    ) -> Result<DocumentId, TransferError> {
        let table = request.table.as_deref();
        let fields = object! {
            "state" => object! { "state" => "uploaded" },
            "tableName" => table.map_or(Value::Null, Value::from),
            "componentPath" => match request.component.is_root() {
                true => Value::Null,
                false => Value::from(request.component.as_str()),
            },
            "mode" => request.mode.name(),
            "format" => request.format.name(),
            "requestor" => "cli",
            "upload" => upload.token.to_string(),
            "parts" => i64::from(upload.parts),
            "size" => i64::try_from(upload.bytes).unwrap_or(i64::MAX),
        };
        Ok(tx.insert(IMPORTS, fields)?)
    }

    /// The import with this id.
    pub fn find(tx: &mut Transaction<'_>, id: &str) -> Result<Import, TransferError> {
        let unknown = || TransferError::UnknownImport(id.escape_debug().to_string());
        let parsed: DocumentId = id.parse().map_err(|_| unknown())?;
        let catalog = tx.catalog();
        let table = catalog.table_numbered(parsed.table());
        if table.is_none_or(|table| table.name != IMPORTS) {
            return Err(unknown());
        }
        let document = tx.get(parsed)?.ok_or_else(unknown)?;
        Import::read(document.id, &document.fields).ok_or_else(unknown)
    }

    /// An import from its document.
    pub fn read(id: DocumentId, fields: &Object) -> Option<Import> {
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let number = |name: &str| fields.get(name).and_then(Value::as_i64);
        Some(Import {
            id,
            request: ImportRequest {
                table: text("tableName").map(str::to_string),
                component: text("componentPath").unwrap_or_default().parse().ok()?,
                mode: Mode::named(text("mode")?)?,
                format: Format::named(text("format")?)?,
            },
            upload: Uploaded {
                token: text("upload")?.parse().ok()?,
                parts: number("parts")?.try_into().ok()?,
                bytes: number("size")?.try_into().ok()?,
            },
            created_at: fields.get("_creationTime")?.as_f64()?,
            state: fields.get("state")?.as_object()?.clone(),
        })
    }

    /// The name of its state.
    pub fn state_name(&self) -> &str {
        name_of(&self.state)
    }

    /// Whether nothing more happens to it.
    pub fn is_over(&self) -> bool {
        matches!(self.state_name(), "completed" | "failed")
    }

    /// Refuses to go on with an import that runs no more.
    pub fn check_in_progress(
        tx: &mut Transaction<'_>,
        id: DocumentId,
    ) -> Result<(), TransferError> {
        let import = tx.get(id)?;
        let state = import
            .as_ref()
            .and_then(|import| import.fields.get("state"));
        match state.and_then(Value::as_object).map(name_of) {
            Some("in_progress") => Ok(()),
            _ => Err(TransferError::Canceled),
        }
    }

    /// Refuses a step that does not follow from its state.
    pub fn require_state(&self, wanted: &str) -> Result<(), TransferError> {
        match self.state_name() == wanted {
            true => Ok(()),
            false => Err(TransferError::WrongState(self.state_name().to_string())),
        }
    }
}

/// The name of a state.
pub fn name_of(state: &Object) -> &str {
    let name = state.get("state").and_then(Value::as_str);
    name.unwrap_or_default()
}

/// Puts a document of this file into another state.
pub fn set_state(
    tx: &mut Transaction<'_>,
    id: DocumentId,
    state: Object,
) -> Result<(), TransferError> {
    Ok(tx.patch(id, Patch::default().set("state", Value::Object(state)))?)
}

/// It waits for an administrator to look at its outlook.
pub fn waiting(message: &str, needs_confirmation: bool) -> Object {
    object! {
        "state" => "waiting_for_confirmation",
        "message_to_confirm" => message,
        "require_manual_confirmation" => needs_confirmation,
    }
}

/// It runs.
pub fn in_progress(message: &str, checkpoints: &[String]) -> Object {
    let checkpoints = checkpoints.iter().map(|text| Value::from(text.as_str()));
    object! {
        "state" => "in_progress",
        "progress_message" => message,
        "checkpoint_messages" => Value::Array(checkpoints.collect()),
    }
}

/// It is done.
pub fn completed(rows_written: u64, at_nanos: u64) -> Object {
    object! {
        "state" => "completed",
        "num_rows_written" => i64::try_from(rows_written).unwrap_or(i64::MAX),
        "timestamp" => i64::try_from(at_nanos).unwrap_or(i64::MAX),
    }
}

/// It did not work.
pub fn failed(message: &str) -> Object {
    object! { "state" => "failed", "error_message" => message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_formats_are_read_by_their_names() {
        for mode in [
            Mode::RequireEmpty,
            Mode::Append,
            Mode::Replace,
            Mode::ReplaceAll,
        ] {
            assert_eq!(Mode::named(mode.name()), Some(mode));
        }
        for format in [
            Format::Csv,
            Format::JsonLines,
            Format::JsonArray,
            Format::Zip,
        ] {
            assert_eq!(Format::named(format.name()), Some(format));
        }
        assert_eq!((Mode::named("x"), Format::named("")), (None, None));
    }

    #[test]
    fn only_names_of_tables_are_taken() {
        for name in ["rooms", "a", "R_2", &"x".repeat(64)] {
            assert!(check_table_name(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "_storage",
            "1a",
            "a-b",
            "a/b",
            "..",
            "é",
            "a b",
            &"x".repeat(65),
        ] {
            assert!(check_table_name(name).is_err(), "{name}");
        }
    }
}
