//! Function paths: which export of which module a call means.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::component::ComponentPath;
use super::identifier::{IdentifierError, check_identifier};

/// The longest part of a module's path, in characters, its `.js` not counted.
pub const FUNCTION_PATH_PART_LENGTH_MAX: usize = 64;

const EXTENSION: &str = ".js";
const DEFAULT_FUNCTION: &str = "default";
/// The first part of the paths of the functions only admins may call.
const SYSTEM_DIRECTORY: &str = "_system";

/// The path of a function, `module:export`.
///
/// Spellings of one function are equal: `rooms`, `rooms:default`, `rooms.js` and `rooms.js:default` are. It displays as
/// `rooms/list:recent`, or `rooms` for a default export. Cloning is cheap.
///
/// A text always means a function of the app itself. [`FunctionPath::in_component`] makes it one of a component, which
/// displays as `workflow/workpool:lib:enqueue`: no text of a client reads back as that.
///
/// ```
/// use vestibule_schema::FunctionPath;
///
/// let path: FunctionPath = "rooms/messages.js:list".parse()?;
/// assert_eq!((path.module(), path.function()), ("rooms/messages", "list"));
/// assert_eq!(path.to_string(), "rooms/messages:list");
/// # Ok::<(), vestibule_schema::FunctionPathError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionPath {
    /// The canonical spelling: `module.js:function`.
    canonical: Arc<str>,
    /// Where the module ends in it, `.js` not included.
    module_end: usize,
    /// The component whose module it is.
    component: ComponentPath,
}

/// Why a text is not a function path.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum FunctionPathError {
    #[error("Module path {module:?} has an empty part")]
    EmptyPart { module: String },
    #[error("Module path part is too long ({length} > maximum {FUNCTION_PATH_PART_LENGTH_MAX})")]
    PartTooLong { length: usize },
    #[error(
        "Module path part {part:?} has invalid character {character:?}: parts are made of letters, digits, \
         underscores and periods"
    )]
    PartCharacter { part: String, character: char },
    #[error("Module path part {part:?} has neither a letter nor a digit")]
    PartWithoutName { part: String },
    #[error("Module path {module:?} has an extension other than .js")]
    Extension { module: String },
    #[error("Invalid function name: {0}")]
    Function(#[from] IdentifierError),
}

impl FunctionPath {
    /// The path of the export `function` of `module`, which may end in `.js`.
    pub fn new(module: &str, function: &str) -> Result<FunctionPath, FunctionPathError> {
        let stem = module.strip_suffix(EXTENSION).unwrap_or(module);
        let has_extension = stem.len() < module.len();
        let parts_checked = stem
            .split('/')
            .try_for_each(|part| check_part(part, module));
        parts_checked?;
        let last = stem.rsplit('/').next().unwrap_or(stem);
        if !has_extension && last.contains('.') {
            let module = module.to_owned();
            return Err(FunctionPathError::Extension { module });
        }
        check_identifier(function)?;
        Ok(FunctionPath {
            canonical: [stem, EXTENSION, ":", function].concat().into(),
            module_end: stem.len(),
            component: ComponentPath::ROOT,
        })
    }

    /// The module without its extension, as in `rooms/messages`.
    pub fn module(&self) -> &str {
        &self.canonical[..self.module_end]
    }

    /// The module's file, as in `rooms/messages.js`.
    pub fn module_file(&self) -> &str {
        &self.canonical[..self.module_end + EXTENSION.len()]
    }

    /// The name of the export, `default` when the path names none.
    pub fn function(&self) -> &str {
        &self.canonical[self.module_end + EXTENSION.len() + ":".len()..]
    }

    /// The full spelling, as in `rooms/messages.js:list`.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The component whose module it is; the root for a function of the app itself.
    pub fn component(&self) -> &ComponentPath {
        &self.component
    }

    /// The same function of another component.
    pub fn in_component(self, component: ComponentPath) -> FunctionPath {
        FunctionPath { component, ..self }
    }

    /// The module among those of all components, as in `workflow/workpool:lib.js`; the module's file alone in the app.
    pub fn module_key(&self) -> Cow<'_, str> {
        match self.component.is_root() {
            true => Cow::Borrowed(self.module_file()),
            false => Cow::Owned(format!("{}:{}", self.component, self.module_file())),
        }
    }

    /// The path within its component, as in `rooms/list:recent`.
    pub fn local(&self) -> FunctionPath {
        self.clone().in_component(ComponentPath::ROOT)
    }

    /// Whether this is a system function, which only admins may call.
    pub fn is_system(&self) -> bool {
        self.module().split('/').next() == Some(SYSTEM_DIRECTORY)
    }
}

fn check_part(part: &str, module: &str) -> Result<(), FunctionPathError> {
    if part.is_empty() {
        let module = module.to_owned();
        return Err(FunctionPathError::EmptyPart { module });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    if let Some(character) = part.chars().find(|&c| !allowed(c)) {
        let part = part.to_owned();
        return Err(FunctionPathError::PartCharacter { part, character });
    }
    if part.len() > FUNCTION_PATH_PART_LENGTH_MAX {
        return Err(FunctionPathError::PartTooLong { length: part.len() });
    }
    if !part.bytes().any(|byte| byte.is_ascii_alphanumeric()) {
        let part = part.to_owned();
        return Err(FunctionPathError::PartWithoutName { part });
    }
    Ok(())
}

impl FromStr for FunctionPath {
    type Err = FunctionPathError;

    fn from_str(text: &str) -> Result<FunctionPath, FunctionPathError> {
        match text.rsplit_once(':') {
            Some((module, function)) => FunctionPath::new(module, function),
            None => FunctionPath::new(text, DEFAULT_FUNCTION),
        }
    }
}

impl fmt::Display for FunctionPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.module().rsplit('/').next().unwrap_or_default();
        // Without its `.js`, a file such as `a.b.js` would not read back.
        let module = if last.contains('.') {
            self.module_file()
        } else {
            self.module()
        };
        if !self.component.is_root() {
            return write!(f, "{}:{module}:{}", self.component, self.function());
        }
        f.write_str(module)?;
        match self.function() {
            DEFAULT_FUNCTION => Ok(()),
            function => write!(f, ":{function}"),
        }
    }
}

impl Serialize for FunctionPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FunctionPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FunctionPath, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> FunctionPath {
        text.parse().unwrap()
    }

    #[test]
    fn all_spellings_of_one_function_are_equal() {
        for text in ["rooms", "rooms:default", "rooms.js", "rooms.js:default"] {
            assert_eq!(path(text), path("rooms"));
            assert_eq!(path(text).to_string(), "rooms");
            assert_eq!(path(text).canonical(), "rooms.js:default");
        }
        assert_eq!(path("a/b.js:f"), path("a/b:f"));
        assert_ne!(path("a/b:f"), path("a/b:g"));
    }

    #[test]
    fn a_path_has_a_module_and_a_function() {
        let list = path("rooms/messages.js:list");
        assert_eq!(list.module(), "rooms/messages");
        assert_eq!(list.module_file(), "rooms/messages.js");
        assert_eq!(list.function(), "list");
        assert_eq!(list.to_string(), "rooms/messages:list");
        assert!(!list.is_system());
        assert!(path("_system/cli:tables").is_system());
        assert!(!path("a/_system:tables").is_system());
    }

    #[test]
    fn a_dot_in_a_directory_or_before_js_is_kept() {
        assert_eq!(path("v1.2/rooms:list").module(), "v1.2/rooms");
        assert_eq!(path("auth.config.js:f").to_string(), "auth.config.js:f");
    }

    #[test]
    fn bad_paths_are_refused() {
        let long = "x".repeat(65);
        for text in [
            "",
            ":",
            ":list",
            "/rooms:list",
            "rooms/:list",
            "a//b",
            "./rooms",
            "../rooms",
            "a/../b",
            "rooms:",
            "rooms:a-b",
            "rooms:9",
            "rooms:__",
            "a.b",
            "a.ts:list",
            "a.",
            ".js",
            "my-rooms:list",
            "rooms list",
            "a:b:c",
            "é:list",
            "_:list",
            &long,
        ] {
            assert!(text.parse::<FunctionPath>().is_err(), "{text}");
        }
        assert!("x".repeat(64).parse::<FunctionPath>().is_ok());
        assert!(
            format!("{}.js", "x".repeat(64))
                .parse::<FunctionPath>()
                .is_ok()
        );
    }

    #[test]
    fn a_path_in_a_component_is_another_one() {
        let kid = path("lib:f").in_component("kid/sub".parse().unwrap());
        assert_ne!(kid, path("lib:f"));
        assert_eq!(kid.local(), path("lib:f"));
        assert_eq!(kid.to_string(), "kid/sub:lib:f");
        assert!(kid.to_string().parse::<FunctionPath>().is_err());
        assert_eq!(kid.module_key(), "kid/sub:lib.js");
        assert_eq!(path("lib:f").module_key(), "lib.js");
        let default = path("lib").in_component("kid".parse().unwrap());
        assert_eq!(default.to_string(), "kid:lib:default");
    }

    proptest! {
        #[test]
        fn a_displayed_path_reads_back(text in "[a_./:js]{0,12}") {
            if let Ok(path) = text.parse::<FunctionPath>() {
                prop_assert_eq!(path.to_string().parse::<FunctionPath>().unwrap(), path.clone());
                prop_assert_eq!(path.canonical().parse::<FunctionPath>().unwrap(), path);
            }
        }
    }
}
