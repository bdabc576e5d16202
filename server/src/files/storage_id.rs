//! How functions name files: by the id of the file's document, or, as old apps do, by the UUID in its URL.

use uuid::Uuid;
use vestibule_schema::id::DocumentId;

use super::error::FileError;
use super::rows::STORAGE;
use crate::database::Catalog;

/// Characters of a UUID as it is written here.
const UUID_CHARS: usize = 36;

/// The file that a text names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageId {
    /// A document of `_storage`.
    Document(DocumentId),
    /// The UUID of a file's URL.
    Uuid(Uuid),
}

impl StorageId {
    /// Reads `text`, which was given to the function `api`, as in `storage.getUrl`.
    pub fn parse(api: &'static str, text: &str, catalog: &Catalog) -> Result<StorageId, FileError> {
        if let Ok(id) = text.parse::<DocumentId>() {
            let table = catalog.table_numbered(id.table());
            return match table.is_some_and(|table| table.name == STORAGE) {
                true => Ok(StorageId::Document(id)),
                false => Err(FileError::IdOfOtherTable { api }),
            };
        }
        let uuid = parse_uuid(text).ok_or_else(|| FileError::InvalidId {
            api,
            given: text.to_string(),
        })?;
        Ok(StorageId::Uuid(uuid))
    }
}

/// A UUID in its usual form; none of the other forms was ever in a URL of ours.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok();
    uuid.filter(|_| text.len() == UUID_CHARS && !text.contains(['{', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usual_form_of_a_uuid_is_read() {
        let uuid = "01234567-89ab-cdef-8123-456789abcdef";
        assert_eq!(parse_uuid(uuid).unwrap().to_string(), uuid);
        for hostile in [
            "",
            "0123456789abcdef8123456789abcdef",
            "{01234567-89ab-cdef-8123-456789abcdef}",
            "urn:uuid:01234567-89ab-cdef-8123-456789abcdef",
            "../../../../../../../../../etc/passwd",
            "01234567-89ab-cdef-8123-456789abcde/",
            "01234567-89ab-cdef-8123-456789abcdeé",
        ] {
            assert_eq!(parse_uuid(hostile), None, "{hostile}");
        }
    }
}
