//! Why a push, or another change of the deployment, is refused.

use thiserror::Error;

use crate::deployment::provisioning::RulesError;
use crate::deployment::{AnalyzeError, DeploymentError, VariableError};
use crate::functions::SystemError;

/// Why a push, or another change of the deployment, is refused. All but the last are for the person who made it.
#[derive(Clone, Debug, Error)]
pub enum PushError {
    #[error("Hit an error while pushing:\n{0}")]
    Analyze(#[from] AnalyzeError),
    #[error("Hit an error while pushing:\n{0}")]
    Deployment(#[from] DeploymentError),
    #[error(transparent)]
    Variable(#[from] VariableError),
    #[error(transparent)]
    Provisioning(#[from] RulesError),
    #[error("Node.js {0:?} is not supported: convex.json may name \"20\", \"22\" or \"24\".")]
    NodeVersion(String),
    #[error(
        "The function {0} is one of the server's own program, which a push cannot replace: give yours another name."
    )]
    NativeFunction(String),
    #[error(
        "The table \"{0}\" is defined by the server's own program, which a push cannot replace: take it out of the schema. Functions may use it all the same."
    )]
    NativeTable(String),
    #[error(
        "The HTTP route {0} is one of the server's own program, which a push cannot replace: take it out of http.js."
    )]
    NativeRoute(String),
    #[error(
        "The HTTP route {0} is one of the app's and one of a component's that is mounted there, or one of two components': give one of them another path."
    )]
    RepeatedRoute(String),
    #[error("The table {0:?} is one of the server's own and cannot be deleted.")]
    SystemTable(String),
    #[error(
        "Failed to delete table \"{0}\" because it appears in the schema. Take it out of the schema and push first, or clear it."
    )]
    DeclaredTable(String),
    #[error(
        "Failed to delete table \"{table}\" because `v.id(\"{table}\")` appears in the schema of table \"{referrer}\""
    )]
    ReferredTable { table: String, referrer: String },
    #[error("There is no table {0:?}.")]
    UnknownTable(String),
    #[error("The component {0:?} is mounted. Take it out of convex.config.ts and push first.")]
    MountedComponent(String),
    #[error("There is no component {0:?} that was mounted before and has kept its tables.")]
    UnknownComponent(String),
    #[error("{0}")]
    Schema(String),
    #[error("Hit an error while pushing:\n{0}")]
    Cron(String),
    #[error("Environment variables that the app requires are not set: {}.", .0.join(", "))]
    MissingVariables(Vec<String>),
    #[error(
        "Environment variables that the app requires cannot be removed: {}. Take them out of convex.config.ts first.",
        .0.join(", ")
    )]
    RequiredVariables(Vec<String>),
    /// Tools push again by themselves.
    #[error("{0}: push again.")]
    Race(&'static str),
    #[error(
        "There is no push {0:?} to go back to: `vestibule deployments` lists those that are kept."
    )]
    UnknownPush(String),
    #[error("A stored push cannot be read: {0}")]
    Stored(String),
    #[error("The deployment is not paused.")]
    NotPaused,
    #[error("{0:?} is not the origin of a site, as in https://api.example.com.")]
    Origin(String),
    #[error(transparent)]
    System(#[from] SystemError),
}

impl PushError {
    /// The code that tools see.
    pub fn code(&self) -> &'static str {
        match self {
            PushError::Analyze(error) => error.code(),
            PushError::Deployment(error) => error.code(),
            PushError::Variable(error) => error.code(),
            PushError::Provisioning(error) => error.code(),
            PushError::NodeVersion(_) => "NodeVersionNotSupported",
            PushError::NativeFunction(_)
            | PushError::NativeRoute(_)
            | PushError::RepeatedRoute(_) => "InvalidModules",
            PushError::NativeTable(_) | PushError::Schema(_) => "InvalidSchema",
            PushError::SystemTable(_)
            | PushError::DeclaredTable(_)
            | PushError::ReferredTable { .. } => "TableCannotBeDeleted",
            PushError::UnknownTable(_) => "TableNotFound",
            PushError::MountedComponent(_) => "ComponentMustBeUnmounted",
            PushError::UnknownComponent(_) => "ComponentNotFound",
            PushError::Cron(_) => "InvalidCron",
            PushError::MissingVariables(_) => "MissingEnvironmentVariables",
            PushError::RequiredVariables(_) => "RequiredEnvironmentVariable",
            PushError::Race(_) => "RaceDetected",
            PushError::UnknownPush(_) => "PushNotFound",
            PushError::NotPaused => "UnpauseDeploymentFailed",
            PushError::Origin(_) => "InvalidCanonicalUrl",
            PushError::Stored(_) | PushError::System(_) => "InternalServerError",
        }
    }
}
