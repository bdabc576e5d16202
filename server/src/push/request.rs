//! The requests of tools: the bodies of pushes.

use serde::Deserialize;
use serde_json::Value as Json;

use crate::deployment::{ModuleEnvironment, NodeDependency, SourceModule};

/// The body of `start_push`, and of the calls that ask what it would do.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartPush {
    /// The folder of the functions, as in `convex/`.
    pub functions: String,
    /// Whether only to say what would happen.
    #[serde(default)]
    pub dry_run: bool,
    /// The app.
    pub app_definition: AppBody,
    /// Its components.
    #[serde(default)]
    pub component_definitions: Vec<ComponentBody>,
    /// Packages that modules in Node.js need.
    #[serde(default)]
    pub node_dependencies: Vec<NodeDependency>,
    /// The version of Node.js that the app asks for.
    #[serde(default)]
    pub node_version: Option<String>,
}

/// The app in a push.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppBody {
    /// `convex.config.js`.
    #[serde(default)]
    pub definition: Option<ModuleBody>,
    /// The paths of the components that the definition imports.
    #[serde(default)]
    pub dependencies: Vec<String>,
    /// `schema.js`.
    #[serde(default)]
    pub schema: Option<ModuleBody>,
    /// Modules that are new or changed. Old tools send all of them as `functions`.
    #[serde(default, alias = "functions")]
    pub changed_modules: Vec<ModuleBody>,
    /// Modules that stay as they are.
    #[serde(default)]
    pub unchanged_module_hashes: Vec<UnchangedModule>,
    /// The version of the package that the app was bundled with.
    #[serde(default)]
    pub udf_server_version: Option<String>,
}

/// A component in a push.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentBody {
    /// Its folder, from that of the app's functions.
    pub definition_path: String,
    /// Its `convex.config.js`.
    pub definition: ModuleBody,
    /// The paths of the components that its definition imports.
    #[serde(default)]
    pub dependencies: Vec<String>,
    /// Its `schema.js`.
    #[serde(default)]
    pub schema: Option<ModuleBody>,
    /// All its modules.
    #[serde(default)]
    pub functions: Vec<ModuleBody>,
    /// The version of the package that it was bundled with.
    #[serde(default)]
    pub udf_server_version: Option<String>,
}

/// One module with its texts.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleBody {
    pub path: String,
    pub source: String,
    #[serde(default)]
    pub source_map: Option<String>,
    #[serde(default)]
    pub environment: ModuleEnvironment,
}

/// One module that the deployment has already.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnchangedModule {
    pub path: String,
    #[serde(default)]
    pub environment: ModuleEnvironment,
    pub sha256: String,
}

/// The body of `wait_for_schema`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitForSchema {
    /// The part of the reply to `start_push` that names the push.
    pub schema_change: Json,
    #[serde(default)]
    pub timeout_ms: Option<f64>,
    #[serde(default)]
    pub dry_run: bool,
}

/// The body of `finish_push`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FinishPush {
    /// The reply to `start_push`.
    pub start_push: Json,
    #[serde(default)]
    pub dry_run: bool,
    #[serde(default)]
    pub message: Option<String>,
}

impl From<ModuleBody> for SourceModule {
    fn from(body: ModuleBody) -> SourceModule {
        SourceModule {
            path: body.path,
            environment: body.environment,
            source: body.source.into(),
            source_map: body.source_map.map(Into::into),
        }
    }
}

/// The id of a push in the reply data that tools send back.
pub fn push_id(schema_change: &Json) -> &str {
    schema_change["schemaIds"][""].as_str().unwrap_or_default()
}
