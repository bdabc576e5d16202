//! The keys that auth tokens of this deployment are checked with: those that its functions had signed, and in
//! development those of the development issuer.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value as Json, json};

use super::Http;
use super::respond::{self, WireError};

/// `GET /.well-known/jwks.json`
pub(super) async fn key_set(State(http): State<Arc<Http>>) -> Result<Response, WireError> {
    let signed = http.functions.signing_keys().await;
    let mut keys = signed.map_err(|error| respond::system(&error))?;
    if let Some(issuer) = &http.dev_issuer
        && let Some(Json::Array(development)) = issuer.jwks_json().get_mut("keys")
    {
        keys.append(development);
    }
    let set = json!({ "keys": keys });
    Ok(respond::json(StatusCode::OK, set.to_string()))
}
