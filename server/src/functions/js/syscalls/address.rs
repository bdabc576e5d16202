//! Which function a host operation means, and function handles.
//!
//! A handle names its function by a hash of the path, so making one stores nothing and gives the same text each time. The
//! path behind the hash is for people, and saves a look at all functions.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use vestibule_schema::path::{ComponentPath, FunctionPath};

use super::args::Args;
use super::error::SyscallError;
use crate::deployment::{CHILD_REFERENCE, Visibility};
use crate::functions::Registry;
use crate::functions::registry::no_public_function;

const HANDLE_PREFIX: &str = "function://";
/// Bytes of the hash that a handle carries.
const HANDLE_ID_BYTES: usize = 16;
/// The beginning of a reference to a function of the component that makes it.
const OWN_REFERENCE: &str = "_reference/function/";

/// Where functions are named: names are those of this component, and of what it mounts.
#[derive(Clone, Copy)]
pub struct Scope<'s> {
    /// The component whose function runs.
    pub component: &'s ComponentPath,
    /// The functions that exist.
    pub registry: Option<&'s Registry>,
}

/// The handle of a function, which may be kept in documents and used in place of its path, in every component.
pub fn handle_of(path: &FunctionPath) -> String {
    format!("{HANDLE_PREFIX}{}#{path}", handle_id(path))
}

/// The function of a handle; `None` when the text is no handle. One whose path is absent, or is not of its hash, is
/// looked up among the functions that exist.
pub fn function_of_handle(handle: &str, registry: Option<&Registry>) -> Option<FunctionPath> {
    let text = handle.strip_prefix(HANDLE_PREFIX)?;
    let (id, path) = match text.split_once('#') {
        Some((id, path)) => (id, read_displayed(path)),
        None => (text, None),
    };
    let is_meant = |path: &FunctionPath| handle_id(path) == id;
    let found = || {
        let mut paths = registry?.functions().map(|function| &function.path);
        paths.find(|path| is_meant(path)).cloned()
    };
    path.filter(is_meant).or_else(found)
}

/// Reads a path as it is displayed, that of a component's function too.
fn read_displayed(text: &str) -> Option<FunctionPath> {
    if let Ok(path) = text.parse() {
        return Some(path);
    }
    let (component, path) = text.split_once(':')?;
    let path: FunctionPath = path.parse().ok()?;
    Some(path.in_component(component.parse().ok()?))
}

fn handle_id(path: &FunctionPath) -> String {
    let mut hasher = Sha256::new();
    if !path.component().is_root() {
        hasher.update(path.component().as_str());
        hasher.update(":");
    }
    hasher.update(path.canonical());
    HEXLOWER.encode(&hasher.finalize()[..HANDLE_ID_BYTES])
}

/// The function that the arguments of operation `api` mean.
pub fn function_address(
    api: &'static str,
    text: &str,
    scope: Scope<'_>,
) -> Result<FunctionPath, SyscallError> {
    Args::parse(api, text)?.function(scope)
}

impl Args<'_> {
    /// The function that is meant: by its name, by a reference, or by a handle of one of the functions that exist.
    pub fn function(&self, scope: Scope<'_>) -> Result<FunctionPath, SyscallError> {
        if let Some(handle) = self.optional_text("functionHandle")? {
            return function_of_handle(&handle, scope.registry).ok_or_else(|| {
                SyscallError::bad_request(format!("Invalid function handle {handle}"))
            });
        }
        if let Some(reference) = self.optional_text("reference")? {
            let found = referenced(&reference, scope)?;
            return found.ok_or_else(|| {
                let text = format!("{reference:?} names nothing that can be called.");
                SyscallError::bad_request(text)
            });
        }
        let name = self.text("name")?;
        let path: FunctionPath = name.parse().map_err(|error| self.refuse("name", error))?;
        Ok(path.in_component(scope.component.clone()))
    }
}

/// The function of a reference, as in `_reference/childComponent/rateLimiter/lib/limit`; `None` where it has no such form.
/// A component exports its public functions.
fn referenced(reference: &str, scope: Scope<'_>) -> Result<Option<FunctionPath>, SyscallError> {
    if let Some(path) = reference.strip_prefix(OWN_REFERENCE) {
        let path: Option<FunctionPath> = path.parse().ok();
        return Ok(path.map(|path| path.in_component(scope.component.clone())));
    }
    let Some(path) = exported(reference, scope.component) else {
        return Ok(None);
    };
    let function = scope.registry.and_then(|registry| registry.get(&path));
    match function.is_some_and(|function| function.visibility == Visibility::Internal) {
        true => Err(SyscallError::bad_request(no_public_function(&path))),
        false => Ok(Some(path)),
    }
}

fn exported(reference: &str, component: &ComponentPath) -> Option<FunctionPath> {
    let path = reference.strip_prefix(CHILD_REFERENCE)?;
    let (child, path) = path.split_once('/')?;
    let (module, function) = path.rsplit_once('/')?;
    let path = FunctionPath::new(module, function).ok()?;
    Some(path.in_component(component.child(child).ok()?))
}
