//! Pushes, in the order of their calls.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use crate::http::Http;
use crate::http::respond::{WireError, json};
use crate::push::{FinishPush, StartPush, WaitForSchema};

type Answer = Result<Response, WireError>;

/// `POST /api/get_config_hashes`: which modules are live.
pub async fn get_config_hashes(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let _: IgnoredAny = http.read_push(request).await?;
    answer(http.pushes.config_hashes())
}

/// `POST /api/deploy2/evaluate_schema`: the effect of a schema on the tables.
pub async fn evaluate_schema(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let push: StartPush = http.read_push(request).await?;
    answer(http.pushes.evaluate_schema(push).await?)
}

/// `POST /api/deploy2/evaluate_push`: what a push would change.
pub async fn evaluate_push(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let push: StartPush = http.read_push(request).await?;
    answer(http.pushes.evaluate_push(push).await?)
}

/// `POST /api/deploy2/start_push`
pub async fn start_push(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let push: StartPush = http.read_push(request).await?;
    answer(http.pushes.start(push).await?)
}

/// `POST /api/deploy2/wait_for_schema`: held until something ends, or for the time that was asked for.
pub async fn wait_for_schema(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let wait: WaitForSchema = http.read_push(request).await?;
    answer(http.pushes.wait_for_schema(wait).await?)
}

/// `POST /api/deploy2/finish_push`
pub async fn finish_push(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let push: FinishPush = http.read_push(request).await?;
    answer(http.pushes.finish(push).await?)
}

/// `POST /api/deploy2/report_push_completed`: how long things took, taken and forgotten.
pub async fn report_push_completed(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let _: IgnoredAny = http.read_push(request).await?;
    answer(Json::Null)
}

fn answer(body: Json) -> Answer {
    Ok(json(StatusCode::OK, body.to_string()))
}
