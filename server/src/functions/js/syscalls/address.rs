//! Which function a host operation means, and function handles.
//!
//! A handle names its function by a keyed hash of the path, so making one stores nothing and gives the same text each time.
//! The path behind the hash is for people, and saves a look at all functions.

use vestibule_schema::path::{ComponentPath, FunctionPath};

use super::args::Args;
use super::error::SyscallError;
use crate::deployment::{CHILD_REFERENCE, Visibility};
use crate::functions::Registry;
use crate::functions::handles::{HandleKey, keyless_id};
use crate::functions::registry::no_public_function;

const HANDLE_PREFIX: &str = "function://";
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
pub fn handle_of(path: &FunctionPath, scope: Scope<'_>) -> String {
    format!("{HANDLE_PREFIX}{}#{path}", scope.handle_key().id_of(path))
}

/// The function of a handle; `None` when the text is none that this deployment made. One whose path is absent, or is not of
/// its id, is looked up among the functions that exist.
pub fn function_of_handle(handle: &str, scope: Scope<'_>) -> Option<FunctionPath> {
    let text = handle.strip_prefix(HANDLE_PREFIX)?;
    let (id, path) = match text.split_once('#') {
        Some((id, path)) => (id, read_displayed(path)),
        None => (text, None),
    };
    let key = scope.handle_key();
    let is_meant = |path: &FunctionPath| key.is_id_of(id, path) || scope.has_made(id, path);
    let found = || {
        let mut paths = scope.registry?.functions().map(|function| &function.path);
        paths.find(|path| is_meant(path)).cloned()
    };
    path.filter(is_meant).or_else(found)
}

impl Scope<'_> {
    fn handle_key(&self) -> HandleKey {
        let key = self.registry.map(Registry::handle_key);
        key.unwrap_or_default()
    }

    /// Whether the app may have made this handle of its own function before handles had a key. Anyone can make such a one,
    /// so it opens nothing to components.
    fn has_made(&self, id: &str, path: &FunctionPath) -> bool {
        let is_of_app = self.component.is_root() && path.component().is_root();
        is_of_app && keyless_id(path) == id
    }
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
            return function_of_handle(&handle, scope).ok_or_else(|| {
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
