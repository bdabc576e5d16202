//! The file operations of functions. Within a transaction these are its reads and writes, as any others; outside of one
//! each is a transaction of its own.

use bytes::{Bytes, BytesMut};
use data_encoding::HEXLOWER;
use futures_util::TryStreamExt;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use vestibule_schema::id::DocumentId;
use vestibule_schema::identity::IdentityKey;

use super::blobs::{ByteStream, Written};
use super::error::FileError;
use super::options::{CONTENT_TYPE_BYTES_MAX, FILE_IN_MEMORY_BYTES_MAX};
use super::rows::{self, FileRow};
use super::storage_id::StorageId;
use super::work;
use super::{FileStore, Files};
use crate::database::{DatabaseError, Transaction};

/// Where files are read, below the deployment's origin.
pub const FILE_PATH: &str = "/api/storage/";
/// Where files are sent, below the deployment's origin.
pub const UPLOAD_PATH: &str = "/api/storage/upload";

/// The result of `storage.getMetadata`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileMetadata {
    /// The UUID in the file's URL.
    pub storage_id: String,
    /// The SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
    /// How many bytes it has.
    pub size: f64,
    /// Its content type, where one was given.
    pub content_type: Option<String>,
}

/// A file that is being read.
pub struct OpenFile {
    /// The fields of its documents.
    pub row: FileRow,
    /// Its content, or the part that was asked for.
    pub content: ByteStream,
}

/// A file as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedFile {
    /// Its content.
    pub content: Bytes,
    /// Its content type, where one was given.
    pub content_type: Option<String>,
}

impl FileStore {
    /// A URL to which the asker may send files for an hour.
    pub fn generate_upload_url(&self, asked_by: Option<&IdentityKey>) -> String {
        let token = self.tokens.mint(asked_by, self.clock.now(), rand::random());
        format!("{}{UPLOAD_PATH}?token={token}", self.own.origins().cloud)
    }

    // ---- within a transaction --------------------------------------------------------------------------------

    /// The public URL of the file; `None` when there is none.
    pub fn url(&self, tx: &mut Transaction<'_>, id: &str) -> Result<Option<String>, FileError> {
        let id = StorageId::parse("storage.getUrl", id, &tx.catalog())?;
        let uuid = rows::uuid_of(tx, &id)?;
        Ok(uuid.map(|uuid| format!("{}{FILE_PATH}{uuid}", self.own.origins().cloud)))
    }

    /// The metadata of the file; `None` when there is none.
    pub fn metadata(
        &self,
        tx: &mut Transaction<'_>,
        id: &str,
    ) -> Result<Option<FileMetadata>, FileError> {
        let id = StorageId::parse("storage.getMetadata", id, &tx.catalog())?;
        Ok(rows::find(tx, &id)?.map(|row| FileMetadata {
            storage_id: row.uuid.to_string(),
            sha256: HEXLOWER.encode(&row.sha256),
            size: row.bytes as f64,
            content_type: row.content_type,
        }))
    }

    /// Deletes the file. Its content goes once that is committed.
    pub fn delete(&self, tx: &mut Transaction<'_>, id: &str) -> Result<(), FileError> {
        let parsed = StorageId::parse("storage.delete", id, &tx.catalog())?;
        rows::delete(tx, &parsed, id)
    }

    /// Stores a file as part of the transaction. Its content is durable when this returns, and is swept if the
    /// transaction never commits. Waits for the disk: not for threads that run tasks.
    pub fn store_within(
        &self,
        tx: &mut Transaction<'_>,
        content: &[u8],
        content_type: Option<&str>,
        sha256: Option<[u8; 32]>,
    ) -> Result<DocumentId, FileError> {
        check_content_type(content_type)?;
        let written = Written {
            sha256: Sha256::digest(content).into(),
            bytes: content.len() as u64,
        };
        if let Some(expected) = sha256.filter(|expected| *expected != written.sha256) {
            return Err(mismatch(&expected, &written.sha256));
        }
        let _room = self.usage.reserve(written.bytes, &self.options)?;
        tx.count_file_written(content.len())
            .map_err(DatabaseError::from)?;
        let key = Uuid::new_v4();
        // The documents first: a caller that may not write learns so before anything is written.
        let id = rows::insert(tx, key, &written, content_type)?;
        self.under_way.begin_and_forget(key, self.clock.elapsed());
        let writing = async {
            let mut writer = self.blobs.begin(key).await?;
            writer.write(content).await?;
            writer.finish(None).await
        };
        match self.runtime.block_on(writing) {
            Ok(written) => {
                self.usage.add(written.bytes);
                self.metrics.stored_bytes.set(self.usage.bytes());
                Ok(id)
            }
            Err(error) => {
                // The function may catch this and go on: then no document may be left.
                let id_text = id.to_string();
                rows::delete(tx, &StorageId::Document(id), &id_text)?;
                Err(error)
            }
        }
    }

    /// The file as a whole; `None` when there is none. Waits for the disk.
    pub fn load_within(
        &self,
        tx: &mut Transaction<'_>,
        id: &str,
    ) -> Result<Option<LoadedFile>, FileError> {
        let id = StorageId::parse("storage.get", id, &tx.catalog())?;
        let Some(row) = rows::find(tx, &id)? else {
            return Ok(None);
        };
        let bytes = usize::try_from(row.bytes).unwrap_or(usize::MAX);
        tx.count_file_read(bytes).map_err(DatabaseError::from)?;
        self.runtime.block_on(self.load_row(row)).map(Some)
    }

    // ---- contents --------------------------------------------------------------------------------------------

    /// Begins to read a file, or part of it, which must lie within it.
    pub async fn open(
        &self,
        row: FileRow,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<OpenFile, FileError> {
        let room = self.downloads.clone().try_acquire_owned();
        let room = room.map_err(|_| FileError::TooManyAtOnce)?;
        let content = self.blobs.read(row.uuid, range).await?;
        self.metrics.downloads.inc();
        let downloaded = self.metrics.downloaded_bytes.clone();
        let content = content.inspect_ok(move |bytes| {
            // Held until the last byte is on its way.
            let _ = &room;
            downloaded.inc_by(bytes.len() as u64);
        });
        Ok(OpenFile {
            row,
            content: Box::pin(content),
        })
    }

    async fn load_row(&self, row: FileRow) -> Result<LoadedFile, FileError> {
        let max = FILE_IN_MEMORY_BYTES_MAX;
        if row.bytes > max {
            return Err(FileError::TooLarge { max });
        }
        let bytes = usize::try_from(row.bytes).unwrap_or_default();
        let OpenFile { row, mut content } = self.open(row, None).await?;
        let mut loaded = BytesMut::with_capacity(bytes);
        while let Some(part) = content.try_next().await? {
            loaded.extend_from_slice(&part);
        }
        Ok(LoadedFile {
            content: loaded.freeze(),
            content_type: row.content_type,
        })
    }
}

// ---- outside of a transaction --------------------------------------------------------------------------------

impl Files {
    /// [`Files::url`], in a transaction of its own.
    pub async fn url_now(&self, id: String) -> Result<Option<String>, FileError> {
        let store = self.store.clone();
        work::read(&self.database, move |tx| store.url(tx, &id)).await
    }

    /// [`Files::metadata`], in a transaction of its own.
    pub async fn metadata_now(&self, id: String) -> Result<Option<FileMetadata>, FileError> {
        let store = self.store.clone();
        work::read(&self.database, move |tx| store.metadata(tx, &id)).await
    }

    /// [`Files::delete`], in a transaction of its own.
    pub async fn delete_now(&self, id: String) -> Result<(), FileError> {
        let store = self.store.clone();
        work::write(&self.database, move |tx| store.delete(tx, &id)).await
    }

    /// The file as a whole; `None` when there is none.
    pub async fn load(&self, id: String) -> Result<Option<LoadedFile>, FileError> {
        match self.row_now(id).await? {
            Some(row) => self.load_row(row).await.map(Some),
            None => Ok(None),
        }
    }

    /// The file, to be read part by part; `None` when there is none.
    pub async fn open_now(&self, id: String) -> Result<Option<OpenFile>, FileError> {
        match self.row_now(id).await? {
            Some(row) => self.open(row, None).await.map(Some),
            None => Ok(None),
        }
    }

    async fn row_now(&self, id: String) -> Result<Option<FileRow>, FileError> {
        let found = work::read(&self.database, move |tx| {
            let id = StorageId::parse("storage.get", &id, &tx.catalog())?;
            rows::find(tx, &id)
        });
        found.await
    }

    /// The file that a URL names; `None` when there is none.
    pub async fn find(&self, uuid: Uuid) -> Result<Option<FileRow>, FileError> {
        work::read(&self.database, move |tx| {
            rows::find(tx, &StorageId::Uuid(uuid))
        })
        .await
    }
}

/// Refuses what no header can carry.
pub(super) fn check_content_type(content_type: Option<&str>) -> Result<(), FileError> {
    let is_visible = |byte: u8| (b' '..=b'~').contains(&byte);
    let is_fine = |text: &str| text.len() <= CONTENT_TYPE_BYTES_MAX && text.bytes().all(is_visible);
    match content_type.is_none_or(is_fine) {
        true => Ok(()),
        false => Err(FileError::InvalidContentType {
            max: CONTENT_TYPE_BYTES_MAX,
        }),
    }
}

pub(super) fn mismatch(expected: &[u8; 32], actual: &[u8; 32]) -> FileError {
    FileError::Sha256Mismatch {
        expected: data_encoding::BASE64.encode(expected),
        actual: data_encoding::BASE64.encode(actual),
    }
}
