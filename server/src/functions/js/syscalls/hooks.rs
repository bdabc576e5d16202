//! Operations whose work is done elsewhere: nested calls, the scheduler, files and tokens. Their arguments arrive here
//! already read.

use serde_json::{Map, Value as Json};
use uuid::Uuid;
use vestibule_schema::id::DocumentId;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::value::{Object, Value};

use super::error::SyscallError;
use crate::database::{Budget, CommitTsPlaces, Transaction};
use crate::functions::context::Observed;

/// The function and transaction of a nested call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NestedKind {
    /// A query in the same transaction.
    Query,
    /// A mutation in the same transaction, which is taken back when it fails.
    Mutation,
    /// A query on the snapshot, without this transaction's writes; its reads do not enter the read set.
    SnapshotQuery,
}

/// A call that a query or mutation makes.
#[derive(Clone, Debug, PartialEq)]
pub struct NestedCall {
    /// The kind of call.
    pub kind: NestedKind,
    /// The function.
    pub path: FunctionPath,
    /// Its argument.
    pub args: Object,
    /// The places in it that hold the timestamp of the commit.
    pub places: CommitTsPlaces,
    /// The most it may use, where that is less than the caller's bounds.
    pub budget: Option<Budget>,
}

/// A function to run later.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduledCall {
    /// The function.
    pub path: FunctionPath,
    /// When, in seconds since the epoch.
    pub at_seconds: f64,
    /// Its arguments, mostly one object.
    pub args: Vec<Value>,
}

/// How functions name a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageId {
    /// By its document in `_storage`.
    Document(DocumentId),
    /// By the name in its address, as older apps do.
    Uuid(Uuid),
}

/// A file to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileToStore {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its type, where one was given.
    pub content_type: Option<String>,
    /// The expected hash of the content.
    pub sha256: Option<[u8; 32]>,
}

/// A stored file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// The content.
    pub bytes: Vec<u8>,
    /// Its type, where one was given.
    pub content_type: Option<String>,
}

/// The metadata of a stored file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMetadata {
    /// The name in its address.
    pub uuid: Uuid,
    /// The hash of its content.
    pub sha256: [u8; 32],
    /// Its size in bytes.
    pub bytes: u64,
    /// Its type, where one was given.
    pub content_type: Option<String>,
}

/// A token to sign.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenToSign {
    /// Its claims.
    pub claims: Map<String, Json>,
    /// How long it holds.
    pub expires_in_seconds: f64,
}

/// Does the work of other rooms, within the transaction of the calling function.
pub trait Hooks {
    /// Runs a function in the same transaction and returns what it returned. Savepoints, budgets and snapshots are the
    /// callee's to handle. It adds to `observed`: the caller's result depends on the callee's observations.
    fn run_nested(
        &mut self,
        tx: &mut Transaction<'_>,
        observed: &mut Observed,
        call: NestedCall,
    ) -> Result<Value, SyscallError>;

    /// Schedules a function and returns its job's id.
    fn schedule(
        &mut self,
        tx: &mut Transaction<'_>,
        call: ScheduledCall,
    ) -> Result<DocumentId, SyscallError>;

    /// Warns the developer in the function's log.
    fn warn(&mut self, text: String);

    /// Cancels a job.
    fn cancel_job(&mut self, tx: &mut Transaction<'_>, id: DocumentId) -> Result<(), SyscallError>;

    /// A file's address, if there is such a file.
    fn file_url(
        &mut self,
        tx: &mut Transaction<'_>,
        id: StorageId,
    ) -> Result<Option<String>, SyscallError>;

    /// The metadata of a file, if there is such a file.
    fn file_metadata(
        &mut self,
        tx: &mut Transaction<'_>,
        id: StorageId,
    ) -> Result<Option<FileMetadata>, SyscallError>;

    /// An address to send a file to.
    fn upload_url(&mut self, tx: &mut Transaction<'_>) -> Result<String, SyscallError>;

    /// Removes a file.
    fn delete_file(&mut self, tx: &mut Transaction<'_>, id: StorageId) -> Result<(), SyscallError>;

    /// Stores a file and returns the id of its document.
    fn store_file(
        &mut self,
        tx: &mut Transaction<'_>,
        file: FileToStore,
    ) -> Result<DocumentId, SyscallError>;

    /// A file's content, if there is such a file.
    fn file(
        &mut self,
        tx: &mut Transaction<'_>,
        id: StorageId,
    ) -> Result<Option<StoredFile>, SyscallError>;

    /// Signs a token.
    fn sign_token(
        &mut self,
        tx: &mut Transaction<'_>,
        token: TokenToSign,
    ) -> Result<String, SyscallError>;
}
