//! The facts a function may learn of its caller, its transaction and its deployment.

use serde_json::{Value as Json, json};
use vestibule_schema::path::ComponentPath;
use vestibule_schema::value::Value;

use super::Syscalls;
use super::error::{ErrorKind, SyscallError};
use crate::database::{Limits, Usage};
use crate::functions::{FunctionKind, RequestMetadata};

/// The deployment that a function runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentMetadata {
    /// Its name.
    pub name: String,
    /// Its size, in the words of Convex.
    pub class: &'static str,
}

impl Syscalls<'_, '_> {
    pub(super) fn snapshot_ts(&mut self) -> Result<String, SyscallError> {
        self.state.observed.time = true;
        let ts = self.tx.snapshot_ts().0;
        let ts = i64::try_from(ts).expect("nanoseconds since the epoch fit until the year 2262");
        Ok(Value::Int64(ts).to_json().to_string())
    }

    /// The caller's identity, which only the app sees.
    pub(super) fn user_identity(&mut self) -> Result<String, SyscallError> {
        if !self.component().is_root() {
            return Ok("null".to_string());
        }
        let identity = self.state.observed.look_at(&self.state.caller);
        let identity =
            identity.map_err(|error| SyscallError::new(ErrorKind::Suspended, error.to_string()))?;
        Ok(match identity {
            Some(identity) => identity.to_value().to_json().to_string(),
            None => "null".to_string(),
        })
    }

    pub(super) fn transaction_metrics(&mut self) -> Result<String, SyscallError> {
        let ranges = self.tx.ranges_read();
        Ok(metrics(&self.tx.usage(), ranges, self.tx.limits()).to_string())
    }

    pub(super) fn function_metadata(&mut self) -> Result<String, SyscallError> {
        let path = &self.state.path;
        let name = format!("{}:{}", path.module(), path.function());
        Ok(json!({ "name": name, "componentPath": path.component() }).to_string())
    }

    pub(super) fn deployment_metadata(&mut self) -> Result<String, SyscallError> {
        let DeploymentMetadata { name, class } = &*self.state.deployment;
        Ok(json!({ "name": name, "region": null, "class": class }).to_string())
    }

    pub(super) fn request_metadata(&mut self) -> Result<String, SyscallError> {
        if self.state.kind == FunctionKind::Query {
            let text = "Cannot get request metadata in a Query";
            return Err(SyscallError::bad_request(text));
        }
        // It holds the caller's token, so the caller must be one that may be seen.
        self.user_identity()?;
        Ok(request_of(&self.state.request, self.component()).to_string())
    }
}

/// The request as functions of `component` read it. The token of its sender is for the app alone.
pub fn request_of(request: &RequestMetadata, component: &ComponentPath) -> Json {
    let mut shown = request.to_json();
    if !component.is_root() {
        shown["authToken"] = Json::Null;
    }
    shown
}

fn metrics(usage: &Usage, ranges_read: usize, limits: &Limits) -> Json {
    let metric = |used: usize, max: usize| {
        let (used, max) = (used as i64, max as i64);
        json!({ "used": used, "remaining": max - used })
    };
    json!({
        "bytesRead": metric(usage.bytes_read, limits.bytes_read_max),
        "bytesWritten": metric(usage.bytes_written, limits.bytes_written_max),
        "databaseQueries": metric(ranges_read, limits.ranges_read_max),
        "documentsRead": metric(usage.documents_read, limits.documents_read_max),
        "documentsWritten": metric(usage.documents_written, limits.documents_written_max),
        "functionsScheduled": metric(usage.functions_scheduled, limits.functions_scheduled_max),
        "scheduledFunctionArgsBytes":
            metric(usage.scheduled_args_bytes, limits.scheduled_args_bytes_max),
        "filesWritten": metric(usage.files_written, limits.files_written_max),
        "fileWriteBytes": metric(usage.file_bytes_written, limits.file_bytes_written_max),
        "filesRead": metric(usage.files_read, limits.files_read_max),
        "fileReadBytes": metric(usage.file_bytes_read, limits.file_bytes_read_max),
    })
}
