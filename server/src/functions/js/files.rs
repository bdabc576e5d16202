//! Files as JavaScript functions ask for them: the files room's own functions, on the calling function's transaction,
//! or by themselves for actions.

use serde_json::Value as Json;
use vestibule_schema::id::DocumentId;

use super::syscalls::{ErrorKind, FileMetadata, FileToStore, StorageId, StoredFile, SyscallError};
use crate::auth::Caller;
use crate::database::Transaction;
use crate::files::{FileError, FileStore, parse_uuid};
use crate::functions::action::ActionCtx;
use crate::functions::error::{Error, Result as FunctionResult};
use crate::functions::storage::store_of;

type Result<T> = std::result::Result<T, SyscallError>;

pub(super) fn url(tx: &mut Transaction<'_>, id: &StorageId) -> Result<Option<String>> {
    store(tx)?.url(tx, &text_of(id)).map_err(told)
}

pub(super) fn metadata(tx: &mut Transaction<'_>, id: &StorageId) -> Result<Option<FileMetadata>> {
    let found = store(tx)?.metadata(tx, &text_of(id)).map_err(told)?;
    let internal = || SyscallError::new(ErrorKind::Internal, "a file's metadata is damaged");
    let Some(found) = found else { return Ok(None) };
    let sha256 = data_encoding::HEXLOWER.decode(found.sha256.as_bytes());
    let sha256 = sha256.ok().and_then(|hash| hash.try_into().ok());
    Ok(Some(FileMetadata {
        uuid: parse_uuid(&found.storage_id).ok_or_else(internal)?,
        sha256: sha256.ok_or_else(internal)?,
        bytes: found.size as u64,
        content_type: found.content_type,
    }))
}

pub(super) fn upload_url(tx: &mut Transaction<'_>, caller: &Caller) -> Result<String> {
    let asked_by = caller.identity_key();
    Ok(store(tx)?.generate_upload_url(asked_by.as_ref()))
}

pub(super) fn delete(tx: &mut Transaction<'_>, id: &StorageId) -> Result<()> {
    store(tx)?.delete(tx, &text_of(id)).map_err(told)
}

pub(super) fn keep(tx: &mut Transaction<'_>, file: &FileToStore) -> Result<DocumentId> {
    let FileToStore {
        bytes,
        content_type,
        sha256,
    } = file;
    let kept = store(tx)?.store_within(tx, bytes, content_type.as_deref(), *sha256);
    kept.map_err(told)
}

pub(super) fn load(tx: &mut Transaction<'_>, id: &StorageId) -> Result<Option<StoredFile>> {
    let loaded = store(tx)?.load_within(tx, &text_of(id)).map_err(told)?;
    Ok(loaded.map(|file| StoredFile {
        bytes: file.content.to_vec(),
        content_type: file.content_type,
    }))
}

/// Performs an action's operation, and returns its answer as JSON. `None` when it is none about files.
pub(super) async fn perform(
    ctx: &ActionCtx,
    op: &str,
    args: &str,
) -> Option<FunctionResult<String>> {
    let (storage, id) = (ctx.storage(), |api| storage_id(api, args));
    let answer = match op {
        "1.0/storageGenerateUploadUrl" => storage.generate_upload_url().map(Json::from),
        "1.0/storageGetUrl" => match id("storage.getUrl") {
            Ok(id) => storage.get_url(id).await.map(Json::from),
            Err(error) => Err(error),
        },
        "1.0/storageGetMetadata" => match id("storage.getMetadata") {
            Ok(id) => storage.get_metadata(id).await.map(|found| {
                found.map_or(Json::Null, |found| {
                    serde_json::json!({
                        "storageId": found.storage_id,
                        "sha256": found.sha256,
                        "size": found.size as u64,
                        "contentType": found.content_type,
                    })
                })
            }),
            Err(error) => Err(error),
        },
        "1.0/storageDelete" => match id("storage.delete") {
            Ok(id) => storage.delete(id).await.map(|()| Json::Null),
            Err(error) => Err(error),
        },
        _ => return None,
    };
    Some(answer.map(|answer| answer.to_string()))
}

fn storage_id(api: &str, args: &str) -> FunctionResult<String> {
    let args: Json = serde_json::from_str(args)
        .map_err(|error| Error::plain(format!("Received invalid json: {error}")))?;
    match &args["storageId"] {
        Json::String(id) => Ok(id.clone()),
        _ => Err(Error::plain(format!(
            "Invalid argument `storageId` for `{api}`: expected a string"
        ))),
    }
}

fn store<'v>(tx: &Transaction<'v>) -> Result<&'v FileStore> {
    store_of(tx).map_err(|error| SyscallError::bad_request(error.to_string()))
}

fn text_of(id: &StorageId) -> String {
    match id {
        StorageId::Document(id) => id.to_string(),
        StorageId::Uuid(uuid) => uuid.to_string(),
    }
}

fn told(error: FileError) -> SyscallError {
    match error {
        FileError::Database(error) => error.into(),
        error if error.is_trouble() => {
            tracing::error!(%error, "a function's call about a file failed");
            let text = "Your request couldn't be completed. Try again later.";
            SyscallError::new(ErrorKind::Internal, text)
        }
        error => SyscallError::bad_request(error.to_string()),
    }
}
