//! Arguments of actions' operations.

use data_encoding::BASE64;

use super::error::SyscallError;

/// A hash as `storage.store` gives it.
pub fn action_sha256(text: &str) -> Result<[u8; 32], SyscallError> {
    let bytes = BASE64.decode(text.as_bytes()).ok();
    let hash = bytes.and_then(|bytes| bytes.try_into().ok());
    hash.ok_or_else(|| {
        SyscallError::argument("storage.store", "sha256", "expected the base64 of 32 bytes")
    })
}
