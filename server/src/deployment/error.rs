//! Why what was pushed cannot be a deployment.

use thiserror::Error;

use super::crons::CronError;
use super::definition::COMPONENTS_MAX;
use super::functions::HTTP_ROUTES_MAX;
use super::modules::{MODULES_BYTES_MAX, MODULES_MAX, ModulePathError};
use super::schema::PushedSchemaError;
use crate::auth::AuthConfigError;

/// Why what was pushed cannot be a deployment.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DeploymentError {
    #[error(transparent)]
    ModulePath(#[from] ModulePathError),
    #[error("A deployment cannot have more than {MODULES_MAX} modules (found {0}).")]
    TooManyModules(usize),
    #[error(
        "The modules are too large: {0} bytes with their source maps (maximum {MODULES_BYTES_MAX} bytes)."
    )]
    ModulesTooLarge(usize),
    #[error("Invalid function name {function:?} in {module}: {reason}")]
    FunctionName {
        module: String,
        function: String,
        reason: String,
    },
    #[error(
        "{path} is a {kind} in a module with \"use node\". Only actions can be defined in Node.js."
    )]
    NotAnAction { path: String, kind: &'static str },
    #[error("{0} cannot run in Node.js: only modules with actions can.")]
    NotForNode(String),
    #[error("Invalid JSON returned from {export}: {reason}")]
    ValidatorJson { export: String, reason: String },
    #[error("Invalid validator returned from {export}: {reason}")]
    Validator { export: String, reason: String },
    #[error("The HTTP route {method} {path} {reason}")]
    Route {
        path: String,
        method: String,
        reason: &'static str,
    },
    #[error("A deployment cannot have more than {HTTP_ROUTES_MAX} HTTP routes (found {0}).")]
    TooManyRoutes(usize),
    #[error(transparent)]
    Cron(#[from] CronError),
    #[error("Hit an error while evaluating your schema:\n{0}")]
    Schema(#[from] PushedSchemaError),
    #[error("{0}")]
    Auth(#[from] AuthConfigError),
    #[error("The auth config is not JSON: {0}")]
    AuthJson(String),
    #[error("The app's definition cannot be read: {0}")]
    Definition(String),
    #[error("The definition of the component at {path:?} cannot be used: {reason}")]
    ComponentDefinition { path: String, reason: String },
    #[error("A component cannot have the name {name:?}: {reason}")]
    ComponentName { name: String, reason: String },
    #[error(
        "An app cannot use more than {COMPONENTS_MAX} components, those of its components included."
    )]
    TooManyComponents,
    #[error(
        "The module {module} of the component at {component:?} begins with \"use node\": components have no Node.js."
    )]
    NodeInComponent { component: String, module: String },
    #[error("Invalid declaration of the environment variable {name}: {reason}")]
    DeclaredVariable { name: String, reason: String },
}

impl DeploymentError {
    /// The code that tools see.
    pub fn code(&self) -> &'static str {
        match self {
            DeploymentError::ModulePath(_) => "BadConvexModuleIdentifier",
            DeploymentError::TooManyModules(_) | DeploymentError::ModulesTooLarge(_) => {
                "ModulesTooLarge"
            }
            DeploymentError::FunctionName { .. } => "InvalidFunctionName",
            DeploymentError::NotAnAction { .. }
            | DeploymentError::NotForNode(_)
            | DeploymentError::ValidatorJson { .. }
            | DeploymentError::Validator { .. }
            | DeploymentError::Route { .. }
            | DeploymentError::TooManyRoutes(_) => "InvalidModules",
            DeploymentError::Cron(_) => "InvalidCron",
            DeploymentError::Schema(_) => "InvalidSchema",
            DeploymentError::Auth(error) => error.code(),
            DeploymentError::AuthJson(_) => "InvalidAuthConfig",
            DeploymentError::Definition(_) => "InvalidConvexConfig",
            DeploymentError::ComponentDefinition { .. }
            | DeploymentError::ComponentName { .. }
            | DeploymentError::TooManyComponents => "InvalidDefinition",
            DeploymentError::NodeInComponent { .. } => "NodeActionsNotSupported",
            DeploymentError::DeclaredVariable { .. } => "InvalidEnvVarDeclaration",
        }
    }
}
