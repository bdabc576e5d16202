//! The pushes that are kept, and going back to one. Official tools know nothing of it; `vestibule` does.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value as Json, json as object};

use crate::http::Http;
use crate::http::respond::{WireError, json};
use crate::push::StoredPush;

type Answer = Result<Response, WireError>;

#[derive(Deserialize)]
struct Rollback {
    id: String,
}

/// `GET /api/vestibule/deployments`: the newest first, which is live.
pub async fn deployments(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    let history = http.pushes.history().await?;
    let shown: Vec<Json> = history.iter().map(shown).collect();
    answer(object!({ "deployments": shown }))
}

/// `POST /api/vestibule/rollback`: answered when it is live.
pub async fn rollback(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let Rollback { id } = http.read_push(request).await?;
    http.pushes.roll_back(&id).await?;
    let live = http.pushes.live();
    answer(object!({ "id": live.push.as_ref().map(|push| &push.id) }))
}

fn shown(push: &StoredPush) -> Json {
    object!({ "id": push.id, "message": push.message, "pushedAt": push.pushed_at_millis })
}

fn answer(body: Json) -> Answer {
    Ok(json(StatusCode::OK, body.to_string()))
}
