//! The contents of pushed modules as a runtime finds them, as texts and plain fields: nothing here has been checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::manifest::NodeDependency;
use super::modules::ModuleEnvironment;

/// Evaluates pushed modules. Implemented by the room that has an engine.
pub trait Analyzer: Send + Sync {
    /// Evaluates the modules of `input`. Runs for up to some seconds, so never on a thread that others wait for.
    fn analyze(self: Arc<Self>, input: AnalyzeInput) -> Result<Analysis, AnalyzeError>;
}

/// The modules to evaluate. Absent parts are not evaluated.
#[derive(Clone, Debug, Default)]
pub struct AnalyzeInput {
    /// All modules of the app: entry points, `_deps/` chunks, `auth.config.js`.
    pub modules: Vec<SourceModule>,
    /// `schema.js`, which is evaluated alone: without variables, and without other modules.
    pub schema: Option<SourceModule>,
    /// `convex.config.js`.
    pub definition: Option<SourceModule>,
    /// The components that the definition may import: the name of each by the path of its definition.
    pub components: BTreeMap<String, String>,
    /// The variables that modules see, the built-in ones among them.
    pub variables: BTreeMap<String, String>,
    /// The version of Node.js that the app asks for.
    pub node_version: Option<String>,
    /// Packages that modules in Node.js need beside what is bundled.
    pub node_dependencies: Vec<NodeDependency>,
    /// Seed of random numbers while modules are imported.
    pub seed: [u8; 32],
    /// The time that modules see while they are imported, in milliseconds since 1970.
    pub time_millis: f64,
}

/// One module with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceModule {
    /// Relative to the functions folder, as in `rooms/list.js`.
    pub path: String,
    /// Where it runs.
    pub environment: ModuleEnvironment,
    /// Its text.
    pub source: Arc<str>,
    /// Its source map, as JSON text.
    pub source_map: Option<Arc<str>>,
}

/// The result of an analysis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Analysis {
    /// By module path: every module but chunks and `auth.config.js`.
    pub modules: BTreeMap<String, ModuleAnalysis>,
    /// The JSON text that the schema exports.
    pub schema: Option<String>,
    /// The default export of `auth.config.js` as JSON text.
    pub auth_config: Option<String>,
    /// The exports of the app's definition, as JSON text.
    pub definition: Option<String>,
}

/// The analysis of one module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleAnalysis {
    /// Its queries, mutations and actions.
    pub functions: Vec<AnalyzedFunction>,
    /// Of `http.js`: path and method of each route, prefixes as `/pre/*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_routes: Option<Vec<(String, String)>>,
    /// Of `crons.js`: its jobs as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crons: Option<String>,
}

/// One registered function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnalyzedFunction {
    /// The name of the export.
    pub name: String,
    /// Its kind.
    pub kind: FunctionKind,
    /// The callers it admits; `None` where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// The JSON text of `exportArgs()`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<String>,
    /// The JSON text of `exportReturns()`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returns: Option<String>,
    /// Where it stands in the original file, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

/// The three kinds of function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FunctionKind {
    /// It reads.
    Query,
    /// It reads and writes, in one transaction.
    Mutation,
    /// It has side effects.
    Action,
}

impl FunctionKind {
    /// As error texts name it.
    pub fn name(self) -> &'static str {
        match self {
            FunctionKind::Query => "Query",
            FunctionKind::Mutation => "Mutation",
            FunctionKind::Action => "Action",
        }
    }
}

/// The callers of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Every client.
    Public,
    /// Other functions and administrators; for every other caller it does not exist.
    Internal,
}

impl Visibility {
    /// As replies name it.
    pub fn name(self) -> &'static str {
        match self {
            Visibility::Public => "public",
            Visibility::Internal => "internal",
        }
    }
}

/// Why modules cannot be analysed. Texts are the engine's own.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AnalyzeError {
    /// `error` is the JavaScript error with its stack, and what the module logged.
    #[error("Failed to analyze {path}: {error}")]
    Module { path: String, error: String },
    #[error("`convex/http.js` must have a default export of a Router.")]
    NotRouter,
    #[error("`convex/crons.js` must have a default export of Crons.")]
    NotCrons,
    #[error("Hit an error while evaluating your schema:\n{0}")]
    Schema(String),
    #[error("Hit an error while evaluating your auth config file:\n{0}")]
    AuthConfig(String),
    /// The auth config read a variable that is not set.
    #[error(
        "Environment variable {0} is used in auth config file but its value was not set. Set it first, and push again."
    )]
    AuthConfigVariable(String),
    #[error("Hit an error while evaluating your convex.config.js:\n{0}")]
    Definition(String),
    #[error("Failed to analyze {path}: it took longer than {seconds} seconds.")]
    TimedOut { path: String, seconds: u64 },
    #[error(
        "convex.json asks for Node.js {asked}, and this server has {found}: start it with --node PATH of another one, or \
         change \"nodeVersion\"."
    )]
    NodeVersion { asked: String, found: String },
    #[error("{0}")]
    NodePackages(String),
    #[error("{0}")]
    NodeProcess(String),
    #[error("This server cannot run JavaScript: it was built without it.")]
    Unsupported,
    #[error("The server failed to analyze the modules. Its log says why.")]
    Broken,
}

impl AnalyzeError {
    /// The code that tools see.
    pub fn code(&self) -> &'static str {
        match self {
            AnalyzeError::Module { .. }
            | AnalyzeError::NotRouter
            | AnalyzeError::NotCrons
            | AnalyzeError::TimedOut { .. } => "InvalidModules",
            AnalyzeError::Schema(_) => "InvalidSchema",
            AnalyzeError::AuthConfig(_) => "InvalidAuthConfig",
            AnalyzeError::AuthConfigVariable(_) => "AuthConfigMissingEnvironmentVariable",
            AnalyzeError::Definition(_) => "InvalidConvexConfig",
            AnalyzeError::NodeVersion { .. } => "NodeVersionNotSupported",
            AnalyzeError::NodePackages(_) => "NodePackagesNotInstalled",
            AnalyzeError::NodeProcess(_) => "NodeProcessNotStarted",
            AnalyzeError::Unsupported => "JavaScriptNotSupported",
            AnalyzeError::Broken => "InternalServerError",
        }
    }
}

/// Evaluates nothing: for a server that was built without JavaScript.
pub struct NoJavaScript;

impl Analyzer for NoJavaScript {
    fn analyze(self: Arc<Self>, _: AnalyzeInput) -> Result<Analysis, AnalyzeError> {
        Err(AnalyzeError::Unsupported)
    }
}
