//! Modules: their paths, where they run, and the hash by which tools know them again.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use vestibule_schema::path::FunctionPath;

/// Modules of one deployment.
pub const MODULES_MAX: usize = 10_000;
/// Bytes of all sources and source maps together.
pub const MODULES_BYTES_MAX: usize = 230 << 20;

/// The module that holds the router of HTTP actions.
pub const HTTP_MODULE: &str = "http.js";
/// The module that holds the cron jobs.
pub const CRONS_MODULE: &str = "crons.js";
/// The module that holds the auth providers.
pub const AUTH_CONFIG_MODULE: &str = "auth.config.js";
/// The folder of chunks that modules share.
const CHUNKS_FOLDER: &str = "_deps/";

/// Where a module runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModuleEnvironment {
    /// In this server.
    #[default]
    Isolate,
    /// In Node.js.
    Node,
}

impl ModuleEnvironment {
    /// As tools name it.
    pub fn name(self) -> &'static str {
        match self {
            ModuleEnvironment::Isolate => "isolate",
            ModuleEnvironment::Node => "node",
        }
    }
}

/// One module of a deployment. Its texts are chunks in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Module {
    /// Relative to the functions folder, as in `rooms/list.js`.
    pub path: String,
    /// Where it runs.
    pub environment: ModuleEnvironment,
    /// The [`module_hash`] of its texts.
    pub hash: String,
    /// The hash of the chunk with its source, in hexadecimal.
    pub source: String,
    /// The hash of the chunk with its source map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_map: Option<String>,
}

/// A module path that no deployment takes.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ModulePathError {
    #[error("{path} is not a valid path to a Convex module: {reason}")]
    Invalid { path: String, reason: String },
    #[error("{0} is not a valid path to a Convex module: `_system` is reserved")]
    Reserved(String),
    #[error("Module path {0} is given twice")]
    Twice(String),
}

/// The hash of a module, in lower-case hexadecimal, as tools compute it from their own files.
pub fn module_hash(source: &str, source_map: Option<&str>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(source);
    hasher.update(source_map.unwrap_or_default());
    HEXLOWER.encode(&hasher.finalize())
}

/// Refuses a path that is none, and one of the server's own.
pub fn check_module_path(path: &str) -> Result<(), ModulePathError> {
    let invalid = |reason: String| ModulePathError::Invalid {
        path: path.to_owned(),
        reason,
    };
    if !path.ends_with(".js") {
        return Err(invalid("it does not end in .js".to_owned()));
    }
    let checked = FunctionPath::new(path, "default").map_err(|error| invalid(error.to_string()))?;
    match checked.is_system() {
        true => Err(ModulePathError::Reserved(path.to_owned())),
        false => Ok(()),
    }
}

/// Whether a module has functions of its own: chunks and the auth config have none.
pub fn is_entry_point(path: &str) -> bool {
    !path.starts_with(CHUNKS_FOLDER) && path != AUTH_CONFIG_MODULE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_the_source_and_its_map() {
        let of = |text: &str| HEXLOWER.encode(&Sha256::digest(text));
        assert_eq!(module_hash("ab", Some("c")), of("abc"));
        assert_eq!(module_hash("ab", None), of("ab"));
    }

    #[test]
    fn paths_are_those_of_modules() {
        let fine = [
            "rooms.js",
            "a/b.js",
            "auth.config.js",
            "_deps/AB12.js",
            "_deps/node/X.js",
        ];
        for path in fine {
            assert_eq!(check_module_path(path), Ok(()), "{path}");
        }
        for path in [
            "rooms",
            "rooms.ts",
            "../a.js",
            "/a.js",
            "a b.js",
            "_system/a.js",
            ".js",
            "",
        ] {
            assert!(check_module_path(path).is_err(), "{path}");
        }
        assert!(is_entry_point("a/_deps.js") && !is_entry_point("_deps/A.js"));
    }
}
