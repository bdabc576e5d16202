//! Files: reading the arguments and writing the answers.

use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;
use vestibule_schema::id::DocumentId;

use super::args::Args;
use super::error::SyscallError;
use super::hooks::{FileToStore, StorageId, TokenToSign};
use super::{Syscalls, json_string};

impl Syscalls<'_, '_> {
    pub(super) fn file_url(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("storage.getUrl", text)?;
        let id = self.storage_id(&args)?;
        let url = self.hooks.file_url(self.tx, id)?;
        Ok(url.map_or("null".to_string(), |url| json_string(&url)))
    }

    pub(super) fn file_metadata(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("storage.getMetadata", text)?;
        let id = self.storage_id(&args)?;
        let metadata = self.hooks.file_metadata(self.tx, id)?;
        let metadata = metadata.map(|metadata| {
            json!({
                "storageId": metadata.uuid.to_string(),
                "sha256": HEXLOWER.encode(&metadata.sha256),
                "size": metadata.bytes,
                "contentType": metadata.content_type,
            })
        });
        Ok(Json::from(metadata).to_string())
    }

    pub(super) fn upload_url(&mut self, text: &str) -> Result<String, SyscallError> {
        Args::parse("storage.generateUploadUrl", text)?;
        self.require_mutation("storage.generateUploadUrl")?;
        Ok(json_string(&self.hooks.upload_url(self.tx)?))
    }

    pub(super) fn delete_file(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("storage.delete", text)?;
        self.require_mutation("storage.delete")?;
        let id = self.storage_id(&args)?;
        self.hooks.delete_file(self.tx, id)?;
        Ok("null".to_string())
    }

    pub(super) fn store_file(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("storage.store", text)?;
        self.require_mutation("storage.store")?;
        let file = FileToStore {
            bytes: base64(&args, "blob", &args.text("blob")?)?,
            content_type: args
                .optional_text("contentType")?
                .filter(|text| !text.is_empty()),
            sha256: sha256(&args)?,
        };
        let id = self.hooks.store_file(self.tx, file)?;
        Ok(json_string(&id.to_string()))
    }

    pub(super) fn file(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("storage.get", text)?;
        self.require_mutation("storage.get")?;
        let id = self.storage_id(&args)?;
        let file = self.hooks.file(self.tx, id)?;
        let file = file.map(|file| {
            json!({
                "blob": BASE64.encode(&file.bytes),
                "contentType": file.content_type,
            })
        });
        Ok(Json::from(file).to_string())
    }

    pub(super) fn sign_jwt(&mut self, text: &str) -> Result<String, SyscallError> {
        let args = Args::parse("auth.signJwt", text)?;
        self.require_mutation("auth.signJwt")?;
        let claims = match args.raw("claims") {
            None => Map::new(),
            Some(raw) => serde_json::from_str(raw.get())
                .map_err(|_| args.refuse("claims", "expected an object"))?,
        };
        let token = TokenToSign {
            claims,
            expires_in_seconds: args.number("expiresInSeconds")?,
        };
        Ok(json_string(&self.hooks.sign_token(self.tx, token)?))
    }

    fn storage_id(&self, args: &Args<'_>) -> Result<StorageId, SyscallError> {
        let text = args.text("storageId")?;
        if let Ok(id) = text.parse::<DocumentId>() {
            let catalog = self.tx.catalog();
            let table = catalog.table_numbered(id.table());
            return match table.is_some_and(|table| table.name == "_storage") {
                true => Ok(StorageId::Document(id)),
                false => Err(args.refuse(
                    "storageId",
                    "Invalid storage ID. Storage ID cannot be an ID on any table other than '_storage'.",
                )),
            };
        }
        let uuid = Uuid::try_parse(&text).map(StorageId::Uuid);
        uuid.map_err(|_| {
            let reason = format!(
                "Invalid storage ID: \"{text}\". Storage ID should be an Id of '_storage' table, or a UUID string."
            );
            args.refuse("storageId", reason)
        })
    }
}

fn base64(args: &Args<'_>, name: &str, text: &str) -> Result<Vec<u8>, SyscallError> {
    let decoded = BASE64.decode(text.as_bytes());
    decoded.map_err(|_| args.refuse(name, "expected base64"))
}

fn sha256(args: &Args<'_>) -> Result<Option<[u8; 32]>, SyscallError> {
    let Some(text) = args.optional_text("sha256")? else {
        return Ok(None);
    };
    let bytes = base64(args, "sha256", &text)?;
    let hash = bytes.try_into();
    hash.map(Some)
        .map_err(|_| args.refuse("sha256", "expected the base64 of 32 bytes"))
}
