//! Looking into a deployment, and requests of tools that only a cloud could serve.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json as object;
use serde_json::value::RawValue;
use vestibule_schema::path::FunctionPath;

use crate::http::Http;
use crate::http::around::Asked;
use crate::http::credentials::query_parameter;
use crate::http::prepared::{bad_identifier, read_args, read_format};
use crate::http::respond::{WireError, Writing, json};
use crate::push::InlineSource;

type Answer = Result<Response, WireError>;

/// `GET /api/shapes2`: what the documents of each table look like.
pub async fn shapes2(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    let component = query_parameter(&parts, "component");
    let component = http.component_named(component.as_deref())?;
    let shapes = http.pushes.shapes(component).await?;
    Ok(json(StatusCode::OK, shapes.to_string()))
}

/// `GET /api/get_indexes`
pub async fn get_indexes(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    let component = query_parameter(&parts, "componentId");
    let component = http.component_named(component.as_deref())?;
    let indexes = http.pushes.indexes(&component);
    Ok(json(StatusCode::OK, indexes.to_string()))
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

/// `GET /api/v1/get_current_usage`, `GET /api/v1/list_usage_limits`: there is no customer to bill.
pub async fn get_usage(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    let message = "This server does not count usage: see /metrics.";
    Err(WireError::bad_request("UsageNotCounted", message))
}

/// `POST /api/prepare_schema`, `POST /api/push_config`, `GET /api/schema_state/{id}`: how package `convex` before 1.28 pushes
/// an app without a `convex.config.ts`. Its tools try an address again that is not there, and show the text of a refusal.
pub async fn old_push(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    let message = "This version of the package `convex` pushes in a way that this server does not know. \
                   Run `npm install convex@latest`.";
    Err(WireError::bad_request("PackageTooOld", message))
}

/// The body of `run_test_function`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InlineBody<'b> {
    bundle: Bundle,
    #[serde(borrow)]
    args: &'b RawValue,
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    component_id: Option<String>,
}

#[derive(Deserialize)]
struct Bundle {
    path: String,
    source: String,
}

/// `POST /api/run_test_function`: runs a query that is sent with the call.
pub async fn run_test_function(
    State(http): State<Arc<Http>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let admin = http.verify_admin(&parts).await?;
    let body = http.read_json(&parts.headers, body).await?;
    let (bundle, args, format, component) = {
        let InlineBody {
            bundle,
            args,
            format,
            component_id,
        } = body.json()?;
        let component = http.component_named(component_id.as_deref())?;
        let function = FunctionPath::new(&bundle.path, "default")
            .map_err(|error| bad_identifier(error.to_string()))?;
        let args = read_args(&function, args.get())
            .map_err(|thrown| WireError::bad_body(thrown.message))?;
        let format = read_format(format.as_deref(), asked.client.default_format())?;
        (bundle, args, format, component)
    };
    let _slot = http.slot()?;
    let caller = admin.caller();
    let Bundle { path, source } = bundle;
    let request = http.metadata(&asked, &parts);
    let query = InlineSource {
        path,
        source,
        component,
    };
    let run = http.pushes.run_inline(query, args, caller, request);
    let run = run.await?;
    let writing = Writing {
        redact: false,
        ..http.writing(&asked, format)
    };
    Ok(writing.answer(&run.outcome, &run.log_lines))
}

/// `HEAD /api/authorize`: lets tools start that want an account of a cloud. It gives nothing away.
pub async fn authorize() -> StatusCode {
    StatusCode::OK
}

/// `POST /api/check_opt_ins`: there are no terms to accept.
pub async fn check_opt_ins() -> Response {
    json(StatusCode::OK, object!({"optInsToAccept": []}).to_string())
}
