//! Host operations of queries and mutations: the `convex` package's requests to the server, over one transaction.
//!
//! Operations are named and shaped as the package sends them, with JSON text on both sides. Nothing here knows the
//! JavaScript engine. Actions have operations of their own.

mod actions;
mod address;
mod args;
mod calls;
mod commit_ts;
mod documents;
mod error;
mod hooks;
mod metadata;
mod queries;
mod query_json;
mod storage;
mod tables;
#[cfg(test)]
mod tests;
mod vector_query;

use std::collections::HashSet;
use std::sync::Arc;

use vestibule_schema::id::DocumentId;
use vestibule_schema::path::{ComponentPath, FunctionPath};

pub use actions::action_sha256;
pub use address::{Scope, function_address, function_of_handle, handle_of};
pub use calls::{canceled_job, scheduled_call};
pub use error::{ErrorKind, SyscallError};
pub use hooks::{
    FileMetadata, FileToStore, Hooks, NestedCall, NestedKind, ScheduledCall, StorageId, StoredFile,
    TokenToSign,
};
pub use metadata::{DeploymentMetadata, request_of};
pub use queries::OPEN_QUERIES_MAX;
pub use vector_query::{found_json, vector_query};

pub use commit_ts::{may_have_token, put_tokens, read as read_with_tokens};

use self::args::Args;
use self::queries::Streams;
use super::super::context::Observed;
use super::super::request::RequestMetadata;
use super::super::{FunctionKind, Registry};
use crate::auth::Caller;
use crate::database::{CommitTsPlaces, PageBorders, Transaction};

/// The state of host operations for one execution of one function; a nested call has its own.
pub struct FunctionState {
    kind: FunctionKind,
    path: FunctionPath,
    caller: Caller,
    request: Arc<RequestMetadata>,
    deployment: Arc<DeploymentMetadata>,
    streams: Streams,
    /// The documents that it was warned of, each for its size or for its nesting.
    warned: HashSet<(DocumentId, usize)>,
    /// Where its paginated read starts from and ends.
    pub borders: PageBorders,
    pub(in crate::functions) observed: Observed,
    /// The places of its arguments that hold the timestamp of the commit.
    pub args_places: CommitTsPlaces,
}

impl FunctionState {
    /// The state of a query or mutation that begins.
    pub fn new(
        kind: FunctionKind,
        path: FunctionPath,
        caller: Caller,
        request: Arc<RequestMetadata>,
        deployment: Arc<DeploymentMetadata>,
    ) -> FunctionState {
        FunctionState {
            kind,
            path,
            caller,
            request,
            deployment,
            streams: Streams::default(),
            warned: HashSet::new(),
            borders: PageBorders::default(),
            observed: Observed::default(),
            args_places: CommitTsPlaces::default(),
        }
    }
}

impl FunctionState {
    /// The caller that the function runs as.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The function asks what time it is.
    pub(super) fn observe_time(&mut self) {
        self.observed.time = true;
    }
}

/// Answers the operations of a running query or mutation.
pub struct Syscalls<'s, 'v> {
    /// The transaction it reads and writes in.
    pub tx: &'s mut Transaction<'v>,
    /// The state of its operations.
    pub state: &'s mut FunctionState,
    /// The work of other rooms for it.
    pub hooks: &'s mut dyn Hooks,
}

impl Syscalls<'_, '_> {
    /// Answers `Convex.syscall(op, args)`.
    pub fn sync_syscall(&mut self, op: &str, args: &str) -> Result<String, SyscallError> {
        match op {
            "1.0/queryStream" => self.query_stream(args),
            "1.0/queryCleanup" => self.query_cleanup(args),
            "1.0/db/normalizeId" => self.normalize_id(args),
            "1.0/getSnapshotTs" => self.snapshot_ts(),
            "1.0/componentArgument" => component_argument(self.component()),
            _ => Err(SyscallError::bad_request(format!("Unknown operation {op}"))),
        }
    }

    /// Answers `Convex.asyncSyscall(op, args)`. A nested call runs to its end in here.
    pub fn async_syscall(&mut self, op: &str, args: &str) -> Result<String, SyscallError> {
        match op {
            "1.0/get" => self.get(args),
            "1.0/queryStreamNext" => self.query_stream_next(args),
            "1.0/queryPage" => self.query_page(args),
            "1.0/count" => self.count(args),
            "1.0/insert" => self.insert(args),
            "1.0/shallowMerge" => self.shallow_merge(args),
            "1.0/replace" => self.replace(args),
            "1.0/remove" => self.remove(args),
            "1.0/getUserIdentity" => self.user_identity(),
            "1.0/runUdf" => self.run_udf(args),
            "1.0/schedule" => self.schedule(args),
            "1.0/cancel_job" => self.cancel_job(args),
            "1.0/createFunctionHandle" => self.create_function_handle(args),
            "1.0/storageGetUrl" => self.file_url(args),
            "1.0/storageGetMetadata" => self.file_metadata(args),
            "1.0/storageGenerateUploadUrl" => self.upload_url(args),
            "1.0/storageDelete" => self.delete_file(args),
            "1.0/storageStore" => self.store_file(args),
            "1.0/storageGet" => self.file(args),
            "1.0/signJwt" => self.sign_jwt(args),
            "1.0/getTransactionMetrics" => self.transaction_metrics(),
            "1.0/getFunctionMetadata" => self.function_metadata(),
            "1.0/getDeploymentMetadata" => self.deployment_metadata(),
            "1.0/getRequestMetadata" => self.request_metadata(),
            "1.0/auditLog" => audit_log(args),
            _ => Err(SyscallError::bad_request(format!(
                "Unknown async operation {op}"
            ))),
        }
    }

    /// The component whose function runs.
    fn component(&self) -> &ComponentPath {
        self.state.path.component()
    }

    /// Where the functions are that it names.
    fn scope(&self) -> Scope<'_> {
        Scope {
            component: self.component(),
            registry: self.registry(),
        }
    }

    /// The functions that exist.
    fn registry(&self) -> Option<&Registry> {
        self.tx.definitions().extension.downcast_ref()
    }

    /// Refuses an operation that changes something while a query runs.
    fn require_mutation(&self, api: &'static str) -> Result<(), SyscallError> {
        match self.state.kind {
            FunctionKind::Mutation => Ok(()),
            _ => Err(SyscallError::bad_request(format!(
                "A query cannot write. `{api}` needs a mutation."
            ))),
        }
    }
}

/// The answer of `componentArgument`. Components are given variables and no arguments.
pub fn component_argument(component: &ComponentPath) -> Result<String, SyscallError> {
    match component.is_root() {
        true => Err(SyscallError::bad_request(
            "Component arguments are not available within the app",
        )),
        false => Ok("{}".to_string()),
    }
}

/// The package's audit log goes nowhere: what functions log is in their log lines.
fn audit_log(args: &str) -> Result<String, SyscallError> {
    Args::parse("auditLog", args)?;
    tracing::debug!("a function wrote to the audit log");
    Ok("null".to_string())
}

/// A text as JSON.
fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
