//! Looking into a deployment, and what tools ask of servers that are none of ours.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json as object;

use crate::http::Http;
use crate::http::respond::{WireError, json};

type Answer = Result<Response, WireError>;

/// `GET /api/shapes2`: what the documents of each table look like.
pub async fn shapes2(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    let shapes = http.pushes.shapes().await?;
    Ok(json(StatusCode::OK, shapes.to_string()))
}

/// `GET /api/get_indexes`
pub async fn get_indexes(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    Ok(json(StatusCode::OK, http.pushes.indexes().to_string()))
}

/// `GET /api/v1/deployment_info`
pub async fn deployment_info(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    Ok(json(
        StatusCode::OK,
        object!({"kind": "selfHosted"}).to_string(),
    ))
}

/// `GET /api/v1/get_current_usage`, `GET /api/v1/list_usage_limits`: there is nobody to bill.
pub async fn get_usage(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    let message = "This server does not count usage: see /metrics.";
    Err(WireError::bad_request("UsageNotCounted", message))
}

/// `POST /api/run_test_function`: refused in a way that tools do not try again.
pub async fn run_test_function(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    let message = "This server cannot run inline queries yet: push the query as a function.";
    Err(WireError::bad_request("InlineQueriesNotSupported", message))
}

/// `HEAD /api/authorize`: lets tools start that want an account of a cloud. Nothing is given away with it.
pub async fn authorize() -> StatusCode {
    StatusCode::OK
}

/// `POST /api/check_opt_ins`: there are no terms to accept.
pub async fn check_opt_ins() -> Response {
    json(StatusCode::OK, object!({"optInsToAccept": []}).to_string())
}
