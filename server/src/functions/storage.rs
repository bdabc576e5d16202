//! The file operations of functions: `ctx.storage()`.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use vestibule_schema::id::DocumentId;
use vestibule_schema::identity::IdentityKey;

use super::error::{Error, Result};
use crate::database::{Extension, Transaction};
use crate::files::{FileError, FileMetadata, FileStore, Files, LoadedFile, OpenFile};

/// Files as queries see them. Both calls are reads: a query runs again when a file that it asked for is deleted.
pub struct StorageReader<'c, 'v> {
    pub(super) tx: &'c mut Transaction<'v>,
}

/// Files as mutations see them. Stored and deleted files are part of the transaction.
pub struct StorageWriter<'c, 'v> {
    pub(super) tx: &'c mut Transaction<'v>,
    pub(super) asked_by: Option<IdentityKey>,
}

/// Files as actions see them. Each call is a transaction of its own.
#[derive(Clone)]
pub struct StorageActions {
    pub(super) files: Option<Arc<Files>>,
    pub(super) asked_by: Option<IdentityKey>,
}

/// Content to store, and its announced metadata.
///
/// ```
/// use vestibule_server::prelude::*;
///
/// let text = NewFile::new("hello").content_type("text/plain");
/// let bytes = NewFile::new(vec![0xff, 0xd8]).content_type("image/jpeg");
/// ```
#[derive(Clone, Debug, Default)]
pub struct NewFile {
    content: Bytes,
    content_type: Option<String>,
    sha256: Option<[u8; 32]>,
}

impl NewFile {
    /// A file without a content type.
    pub fn new(content: impl Into<Bytes>) -> NewFile {
        NewFile {
            content: content.into(),
            ..NewFile::default()
        }
    }

    /// The same with a content type.
    pub fn content_type(mut self, content_type: impl Into<String>) -> NewFile {
        self.content_type = Some(content_type.into());
        self
    }

    /// The same with the SHA-256 that its content must have.
    pub fn sha256(mut self, sha256: [u8; 32]) -> NewFile {
        self.sha256 = Some(sha256);
        self
    }
}

impl StorageReader<'_, '_> {
    /// The public URL of the file, until it is deleted; `None` when there is none.
    ///
    /// ```
    /// use vestibule_server::prelude::*;
    ///
    /// fn picture(ctx: &mut QueryCtx, id: String) -> Result<Option<String>> {
    ///     ctx.storage().get_url(id)
    /// }
    /// ```
    pub fn get_url(&mut self, id: impl fmt::Display) -> Result<Option<String>> {
        store_of(self.tx)?
            .url(self.tx, &id.to_string())
            .map_err(told)
    }

    /// The metadata of the file; `None` when there is none.
    pub fn get_metadata(&mut self, id: impl fmt::Display) -> Result<Option<FileMetadata>> {
        store_of(self.tx)?
            .metadata(self.tx, &id.to_string())
            .map_err(told)
    }
}

impl StorageWriter<'_, '_> {
    /// A URL to which a client sends a file within an hour. The `storageId` in its answer names the file.
    ///
    /// ```
    /// use vestibule_server::prelude::*;
    ///
    /// fn upload_url(ctx: &mut MutationCtx, _: ()) -> Result<String> {
    ///     ctx.identity()?.ok_or_else(|| Error::application("NotSignedIn"))?;
    ///     ctx.storage().generate_upload_url()
    /// }
    /// ```
    pub fn generate_upload_url(&mut self) -> Result<String> {
        Ok(store_of(self.tx)?.generate_upload_url(self.asked_by.as_ref()))
    }

    /// As in queries.
    pub fn get_url(&mut self, id: impl fmt::Display) -> Result<Option<String>> {
        StorageReader { tx: self.tx }.get_url(id)
    }

    /// As in queries.
    pub fn get_metadata(&mut self, id: impl fmt::Display) -> Result<Option<FileMetadata>> {
        StorageReader { tx: self.tx }.get_metadata(id)
    }

    /// Deletes the file with this commit; its content is removed afterwards.
    pub fn delete(&mut self, id: impl fmt::Display) -> Result<()> {
        store_of(self.tx)?
            .delete(self.tx, &id.to_string())
            .map_err(told)
    }

    /// Stores a small file with this commit. Other mutations wait until the content is on the disk: store larger files
    /// in actions.
    pub fn store(&mut self, file: NewFile) -> Result<DocumentId> {
        let NewFile {
            content,
            content_type,
            sha256,
        } = file;
        let store = store_of(self.tx)?;
        let stored = store.store_within(self.tx, &content, content_type.as_deref(), sha256);
        stored.map_err(told)
    }

    /// The file as a whole; `None` when there is none. Other mutations wait meanwhile.
    pub fn get(&mut self, id: impl fmt::Display) -> Result<Option<LoadedFile>> {
        store_of(self.tx)?
            .load_within(self.tx, &id.to_string())
            .map_err(told)
    }
}

impl StorageActions {
    /// A URL to which a client sends a file within an hour.
    pub fn generate_upload_url(&self) -> Result<String> {
        Ok(self.files()?.generate_upload_url(self.asked_by.as_ref()))
    }

    /// The public URL of the file; `None` when there is none.
    pub async fn get_url(&self, id: impl fmt::Display) -> Result<Option<String>> {
        self.files()?.url_now(id.to_string()).await.map_err(told)
    }

    /// The metadata of the file; `None` when there is none.
    pub async fn get_metadata(&self, id: impl fmt::Display) -> Result<Option<FileMetadata>> {
        self.files()?
            .metadata_now(id.to_string())
            .await
            .map_err(told)
    }

    /// Deletes the file.
    pub async fn delete(&self, id: impl fmt::Display) -> Result<()> {
        self.files()?.delete_now(id.to_string()).await.map_err(told)
    }

    /// Stores a file, which is there when this returns.
    ///
    /// ```
    /// use vestibule_server::prelude::*;
    ///
    /// async fn keep(ctx: ActionCtx, text: String) -> Result<String> {
    ///     let file = NewFile::new(text).content_type("text/plain");
    ///     let id = ctx.storage().store(file).await?;
    ///     Ok(id.to_string())
    /// }
    /// ```
    pub async fn store(&self, file: NewFile) -> Result<DocumentId> {
        let NewFile {
            content,
            content_type,
            sha256,
        } = file;
        let stored = self.files()?.store(content, content_type, sha256);
        stored.await.map_err(told)
    }

    /// The file as a whole; `None` when there is none.
    pub async fn get(&self, id: impl fmt::Display) -> Result<Option<LoadedFile>> {
        self.files()?.load(id.to_string()).await.map_err(told)
    }

    /// The file, to be read part by part; `None` when there is none.
    pub async fn open(&self, id: impl fmt::Display) -> Result<Option<OpenFile>> {
        self.files()?.open_now(id.to_string()).await.map_err(told)
    }

    fn files(&self) -> Result<&Arc<Files>> {
        self.files.as_ref().ok_or_else(no_files)
    }
}

/// The files that transactions of this deployment use.
pub(super) fn store_of<'v>(tx: &Transaction<'v>) -> Result<&'v FileStore> {
    let services: Option<&'v Extension> = tx.services();
    let store = services.and_then(|services| services.downcast_ref::<FileStore>());
    store.ok_or_else(no_files)
}

/// The error for the function. Limits and cursors keep their own meaning.
fn told(error: FileError) -> Error {
    match error {
        FileError::Database(error) => error.into(),
        error if error.is_trouble() => error.into(),
        // The text that official packages know, as it is.
        error => Error::plain(error),
    }
}

/// Only a deployment that was put together without them has none.
fn no_files() -> Error {
    Error::plain("This deployment keeps no files.")
}
