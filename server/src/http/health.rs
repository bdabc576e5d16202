//! The health of the deployment, and its description of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Request, State};
use axum::http::header::X_CONTENT_TYPE_OPTIONS;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use prometheus_client::encoding::text::encode;
use serde_json::json as object;

use super::Http;
use super::options::ECHO_BYTES_MAX;
use super::respond::{WireError, json, text, with_type};
use crate::auth::{AdminRights, KeysState};
use crate::deployment::ModuleEnvironment;

/// The type of the metrics' text form.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the deployment can do its work. A server listens only once it can.
#[derive(Default)]
pub(super) struct HealthState {
    is_draining: AtomicBool,
}

impl HealthState {
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }
}

fn unfit(status: &str, reason: &str) -> Response {
    json(
        StatusCode::SERVICE_UNAVAILABLE,
        object!({ "status": status, "reason": reason }).to_string(),
    )
}

/// `GET /healthz`: is the process alive? A server that is full, or about to end, is.
pub(super) async fn healthz(State(http): State<Arc<Http>>) -> Response {
    http.damage()
        .unwrap_or_else(|| json(StatusCode::OK, http.ready().to_string()))
}

/// `GET /readyz`: should I get traffic?
pub(super) async fn readyz(State(http): State<Arc<Http>>) -> Response {
    if let Some(damaged) = http.damage() {
        return damaged;
    }
    if http.health.is_draining.load(Ordering::Relaxed) {
        return unfit("draining", "The server is shutting down.");
    }
    if http.functions.js().is_some_and(|js| js.is_warming()) {
        return unfit(
            "starting",
            "The code of the deployment is being made ready.",
        );
    }
    if http.metrics.open_connections() >= http.options.connections_max
        || !http.connections.has_room()
    {
        return unfit("full", "As many connections are open as may be.");
    }
    json(StatusCode::OK, http.ready().to_string())
}

impl Http {
    fn damage(&self) -> Option<Response> {
        let why = "Stored data is damaged; the server's log says where. Restore a backup.";
        let is_damaged = self.functions.database().is_damaged();
        is_damaged.then(|| unfit("damaged", why))
    }

    /// Whether the deployment has modules for Node.js, which is known to be missing.
    fn lacks_node(&self) -> bool {
        let js = self.functions.js();
        let is_missing = js.is_some_and(|js| js.node_refusal().is_some());
        is_missing && {
            let registry = self.functions.registry();
            let modules = &registry.deployment().modules;
            modules
                .values()
                .any(|module| module.environment == ModuleEnvironment::Node)
        }
    }

    /// That all is well, with what may soon not be.
    fn ready(&self) -> serde_json::Value {
        let health = self.authenticator.provider_health();
        let mut warnings: Vec<&str> = health
            .iter()
            .filter_map(|provider| match (provider.keys, &provider.failing) {
                (KeysState::Stale { .. }, _) => {
                    Some("The keys of an auth provider are past their age.")
                }
                (_, Some(_)) => Some("An auth provider cannot be asked for its keys."),
                (KeysState::Inline | KeysState::Unknown | KeysState::Fresh, None) => None,
            })
            .collect();
        if self.lacks_node() {
            warnings.push("Actions with \"use node\" cannot run, because there is no Node.js.");
        }
        match warnings.is_empty() {
            true => object!({ "status": "ok" }),
            false => object!({ "status": "ok", "warnings": warnings }),
        }
    }
}

/// `GET /version`, `GET /instance_version`
pub(super) async fn version() -> Response {
    text(env!("CARGO_PKG_VERSION"))
}

/// `GET /instance_name`
pub(super) async fn instance_name(State(http): State<Arc<Http>>) -> Response {
    text(http.options.deployment_name.clone())
}

/// `POST /echo`: the body, as it came.
pub(super) async fn echo(
    State(http): State<Arc<Http>>,
    request: Request,
) -> Result<Response, WireError> {
    let (parts, body) = request.into_parts();
    let body = http.read_body(&parts.headers, body, ECHO_BYTES_MAX).await?;
    // Never a page: the sent content would otherwise run as a page of this server.
    let mut response = with_type(
        StatusCode::OK,
        "application/octet-stream",
        body.bytes.into(),
    );
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// `GET /metrics`
pub(super) async fn metrics(State(http): State<Arc<Http>>) -> Result<Response, WireError> {
    if !http.options.expose_metrics {
        return Err(WireError::not_found());
    }
    let mut body = String::new();
    encode(&mut body, &http.registry).map_err(|_| WireError::internal())?;
    Ok(with_type(StatusCode::OK, METRICS_TYPE, body.into()))
}

/// `GET /api/check_admin_key`
pub(super) async fn check_admin_key(
    State(http): State<Arc<Http>>,
    request: Request,
) -> Result<Response, WireError> {
    let (parts, _) = request.into_parts();
    let admin = http.verify_admin(&parts).await?;
    let is_read_only = admin.rights() == AdminRights::ReadOnly;
    // Official tools take an empty list of operations for all of them.
    let allowed: [&str; 0] = [];
    let body = object!({ "success": true, "allowedOps": allowed, "isReadOnly": is_read_only });
    Ok(json(StatusCode::OK, body.to_string()))
}

/// `POST /api/debug_event`: taken and forgotten.
pub(super) async fn debug_event() -> StatusCode {
    StatusCode::NO_CONTENT
}
