//! Environment variables, the origins that clients know, and pausing.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json as object};

use crate::deployment::VariableChange;
use crate::http::Http;
use crate::http::respond::{WireError, json};

type Answer = Result<Response, WireError>;

/// The changes of one call at the most: each variable there may be, and each taken away.
const CHANGES_MAX: usize = 1_024;

#[derive(Deserialize)]
struct Changes {
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    name: String,
    #[serde(default)]
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CanonicalUrl {
    request_destination: Destination,
    #[serde(default)]
    url: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Destination {
    ConvexCloud,
    ConvexSite,
}

/// `GET /api/v1/get_canonical_urls`
pub async fn get_canonical_urls(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    let origins = http.pushes.origins();
    answer(object!({"convexCloudUrl": origins.cloud, "convexSiteUrl": origins.site}))
}

/// `POST /api/update_canonical_url`
pub async fn update_canonical_url(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let change: CanonicalUrl = http.read_push(request).await?;
    let is_site = change.request_destination == Destination::ConvexSite;
    http.pushes.change_origin(is_site, change.url).await?;
    answer(Json::Null)
}

/// `GET /api/list_environment_variables`
pub async fn list_environment_variables(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    let variables = http.pushes.variables();
    let variables = variables
        .iter()
        .map(|(name, value)| (name.to_owned(), object!(value)));
    answer(object!({"environmentVariables": variables.collect::<Map<_, _>>()}))
}

/// `POST /api/update_environment_variables`
pub async fn update_environment_variables(
    State(http): State<Arc<Http>>,
    request: Request,
) -> Answer {
    let Changes { changes } = http.read_push(request).await?;
    if changes.len() > CHANGES_MAX {
        let message = format!("No more than {CHANGES_MAX} variables are changed at once.");
        return Err(WireError::bad_body(message));
    }
    let changes = changes
        .into_iter()
        .map(|Change { name, value }| VariableChange { name, value });
    http.pushes.change_variables(changes.collect()).await?;
    answer(Json::Null)
}

/// `POST /api/v1/pause_deployment`
pub async fn pause(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_deployer(&parts).await?;
    http.pushes.pause(true).await?;
    answer(Json::Null)
}

/// `POST /api/v1/unpause_deployment`
pub async fn unpause(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_deployer(&parts).await?;
    http.pushes.pause(false).await?;
    answer(Json::Null)
}

fn answer(body: Json) -> Answer {
    Ok(json(StatusCode::OK, body.to_string()))
}
