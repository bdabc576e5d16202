//! Which function a host operation means, and function handles.
//!
//! A handle names its function by a hash of the path, so making one stores nothing and gives the same text each time. The
//! path behind the hash is for people, and saves a look at all functions.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use vestibule_schema::path::FunctionPath;

use super::args::Args;
use super::error::SyscallError;
use crate::functions::Registry;

const HANDLE_PREFIX: &str = "function://";
/// Bytes of the hash that a handle carries.
const HANDLE_ID_BYTES: usize = 16;

/// The handle of a function, which may be kept in documents and used in place of its path.
pub fn handle_of(path: &FunctionPath) -> String {
    format!("{HANDLE_PREFIX}{}#{path}", handle_id(path))
}

/// The function of a handle; `None` when the text is no handle. One whose path is absent, or is not of its hash, is
/// looked up among the functions that exist.
pub fn function_of_handle(handle: &str, registry: Option<&Registry>) -> Option<FunctionPath> {
    let text = handle.strip_prefix(HANDLE_PREFIX)?;
    let (id, path) = match text.split_once('#') {
        Some((id, path)) => (id, path.parse().ok()),
        None => (text, None),
    };
    let is_meant = |path: &FunctionPath| handle_id(path) == id;
    let found = || {
        let mut paths = registry?.functions().map(|function| &function.path);
        paths.find(|path| is_meant(path)).cloned()
    };
    path.filter(is_meant).or_else(found)
}

fn handle_id(path: &FunctionPath) -> String {
    let hash = Sha256::digest(path.canonical());
    HEXLOWER.encode(&hash[..HANDLE_ID_BYTES])
}

/// The function that the arguments of operation `api` mean.
pub fn function_address(
    api: &'static str,
    text: &str,
    registry: &Registry,
) -> Result<FunctionPath, SyscallError> {
    Args::parse(api, text)?.function(Some(registry))
}

/// Why what a reference names cannot be called, as in `_reference/childComponent/rateLimiter/lib/limit`.
fn no_components(reference: &str) -> String {
    let of_child = reference.strip_prefix("_reference/childComponent/");
    match of_child.map(|path| path.split_once('/').unwrap_or((path, ""))) {
        Some((component, function)) => format!(
            "The component {component:?} cannot be called ({function}): pushes may bring components, but this server \
             cannot run them yet."
        ),
        None => format!("{reference:?} names nothing that can be called."),
    }
}

impl Args<'_> {
    /// The function that is meant: by its name, or by a handle of one of the functions that exist.
    pub fn function(&self, registry: Option<&Registry>) -> Result<FunctionPath, SyscallError> {
        if let Some(handle) = self.optional_text("functionHandle")? {
            return function_of_handle(&handle, registry).ok_or_else(|| {
                SyscallError::bad_request(format!("Invalid function handle {handle}"))
            });
        }
        if let Some(reference) = self.optional_text("reference")? {
            return Err(SyscallError::bad_request(no_components(&reference)));
        }
        let name = self.text("name")?;
        name.parse().map_err(|error| self.refuse("name", error))
    }
}
