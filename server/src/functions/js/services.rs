//! What other rooms do for JavaScript functions within a transaction: the scheduler, files, tokens.

use vestibule_schema::id::DocumentId;

use super::syscalls::{
    FileMetadata, FileToStore, ScheduledCall, StorageId, StoredFile, SyscallError, TokenToSign,
};
use crate::auth::Caller;
use crate::database::Transaction;

/// Handed in by the room that builds all others. Each works on the transaction of the function that asks.
pub trait Services: Send + Sync {
    /// Schedules a function and returns its job's id.
    fn schedule(
        &self,
        tx: &mut Transaction<'_>,
        call: ScheduledCall,
    ) -> Result<DocumentId, SyscallError>;

    /// Cancels a job.
    fn cancel_job(&self, tx: &mut Transaction<'_>, id: DocumentId) -> Result<(), SyscallError>;

    /// A file's address, if there is such a file.
    fn file_url(
        &self,
        tx: &mut Transaction<'_>,
        id: StorageId,
    ) -> Result<Option<String>, SyscallError>;

    /// What is known of a file, if there is such a file.
    fn file_metadata(
        &self,
        tx: &mut Transaction<'_>,
        id: StorageId,
    ) -> Result<Option<FileMetadata>, SyscallError>;

    /// An address to send a file to, for whoever asks.
    fn upload_url(&self, tx: &mut Transaction<'_>, caller: &Caller)
    -> Result<String, SyscallError>;

    /// Removes a file.
    fn delete_file(&self, tx: &mut Transaction<'_>, id: StorageId) -> Result<(), SyscallError>;

    /// Stores a file and returns the id of its document.
    fn store_file(
        &self,
        tx: &mut Transaction<'_>,
        file: FileToStore,
    ) -> Result<DocumentId, SyscallError>;

    /// A file's content, if there is such a file.
    fn file(
        &self,
        tx: &mut Transaction<'_>,
        id: StorageId,
    ) -> Result<Option<StoredFile>, SyscallError>;

    /// Signs a token.
    fn sign_token(&self, token: TokenToSign) -> Result<String, SyscallError>;
}
