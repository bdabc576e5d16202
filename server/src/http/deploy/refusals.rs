//! The answers to tools when a change of the deployment is refused.

use axum::http::StatusCode;

use crate::http::respond::{self, WireError};
use crate::push::PushError;

impl From<PushError> for WireError {
    fn from(error: PushError) -> WireError {
        match &error {
            PushError::System(system) => respond::system(system),
            PushError::Stored(why) => {
                tracing::error!(why, "a stored push cannot be read");
                WireError::internal()
            }
            PushError::Analyze(_)
            | PushError::Deployment(_)
            | PushError::Variable(_)
            | PushError::Provisioning(_)
            | PushError::NodeVersion(_)
            | PushError::NativeFunction(_)
            | PushError::NativeRoute(_)
            | PushError::RepeatedRoute(_)
            | PushError::NativeTable(_)
            | PushError::SystemTable(_)
            | PushError::DeclaredTable(_)
            | PushError::UnknownTable(_)
            | PushError::ReferredTable { .. }
            | PushError::MountedComponent(_)
            | PushError::UnknownComponent(_)
            | PushError::Schema(_)
            | PushError::Cron(_)
            | PushError::MissingVariables(_)
            | PushError::RequiredVariables(_)
            | PushError::Race(_)
            | PushError::UnknownPush(_)
            | PushError::NotPaused
            | PushError::Origin(_) => {
                tracing::info!(
                    code = error.code(),
                    "a change of the deployment was refused"
                );
                WireError::new(StatusCode::BAD_REQUEST, error.code(), error.to_string())
            }
        }
    }
}
