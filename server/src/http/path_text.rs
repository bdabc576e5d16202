//! The part of an address that a route leaves open.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::respond::WireError;

/// The open part of the path, decoded. An answer refuses one that is no text.
pub(super) struct PathText(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = WireError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathText, WireError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(PathText(text)),
            Err(rejection) => Err(WireError::bad_request("BadPathArgs", rejection.body_text())),
        }
    }
}
