//! Holding every file's document against its content.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use sha2::{Digest, Sha256};
use uuid::Uuid;
use vestibule_schema::value::Value;

use super::blobs::content_file;
use super::rows::{OBJECTS, STORAGE, parse_sha256};
use crate::database::{Catalog, each_stored, read_document};
use crate::storage::{ReadView, StorageError};

/// Bytes of a content that are read at a time.
const READ_BYTES: usize = 256 << 10;

/// A file whose document and content do not fit.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    #[error("a document of {OBJECTS} names no file: {0}")]
    Object(String),
    #[error("the content {0} has no document in {STORAGE}")]
    NoDocument(Uuid),
    #[error("the content of the file {id} is missing ({uuid})")]
    Missing { id: String, uuid: Uuid },
    #[error("the content of the file {id} has {found} bytes instead of {expected} ({uuid})")]
    Size {
        id: String,
        uuid: Uuid,
        found: u64,
        expected: u64,
    },
    #[error("the content of the file {id} does not match its SHA-256 ({uuid})")]
    Sha256 { id: String, uuid: Uuid },
    #[error("the content of the file {id} cannot be read ({uuid}): {source}")]
    Unreadable {
        id: String,
        uuid: Uuid,
        source: std::io::Error,
    },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Reads the content of every file of a state, below `data`. Returns how many files and bytes there are.
pub fn check_contents(
    view: &dyn ReadView,
    catalog: &Catalog,
    data: &Path,
    found: &mut dyn FnMut(FileFault),
) -> (u64, u64) {
    let (mut files, mut bytes) = (0, 0);
    let (Some(objects), Some(storage)) = (catalog.table(OBJECTS), catalog.table(STORAGE)) else {
        return (0, 0);
    };
    let walked = each_stored::<StorageError>(view, objects, |object| {
        let fields = object.fields(objects.number)?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        let id = text("storageId").to_owned();
        let (Ok(uuid), Ok(file)) = (
            Uuid::try_parse(text("uuid")),
            id.parse::<vestibule_schema::id::DocumentId>(),
        ) else {
            found(FileFault::Object(id));
            return Ok(());
        };
        match read_document(view, storage, file.internal())? {
            None => found(FileFault::NoDocument(uuid)),
            Some(document) => {
                files += 1;
                let sha256 = document.get("sha256").and_then(Value::as_str);
                let size = document.get("size").and_then(Value::as_f64);
                let expected = Expected {
                    id,
                    uuid,
                    sha256: sha256.and_then(parse_sha256),
                    bytes: size.unwrap_or_default() as u64,
                };
                bytes += expected.bytes;
                if let Err(fault) = expected.check(data) {
                    found(fault);
                }
            }
        }
        Ok(())
    });
    if let Err(error) = walked {
        found(error.into());
    }
    (files, bytes)
}

/// A file as its document describes it.
struct Expected {
    id: String,
    uuid: Uuid,
    sha256: Option<[u8; 32]>,
    bytes: u64,
}

impl Expected {
    fn check(self, data: &Path) -> Result<(), FileFault> {
        let Expected {
            id, uuid, bytes, ..
        } = self;
        let read = hash(&content_file(data, uuid));
        let (sha256, found) = match read {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(FileFault::Missing { id, uuid });
            }
            Err(source) => return Err(FileFault::Unreadable { id, uuid, source }),
        };
        if found != bytes {
            let expected = bytes;
            return Err(FileFault::Size {
                id,
                uuid,
                found,
                expected,
            });
        }
        match self.sha256 == Some(sha256) {
            true => Ok(()),
            false => Err(FileFault::Sha256 { id, uuid }),
        }
    }
}

/// The SHA-256 of a file, and how many bytes it has.
fn hash(path: &Path) -> std::io::Result<([u8; 32], u64)> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let mut part = vec![0; READ_BYTES];
    loop {
        match file.read(&mut part)? {
            0 => return Ok((hash.finalize().into(), bytes)),
            read => {
                hash.update(&part[..read]);
                bytes += read as u64;
            }
        }
    }
}
