//! Following the log lines of functions.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value as Json, json as object};

use crate::clock;
use crate::functions::LogEntry;
use crate::http::Http;
use crate::http::credentials::query_parameter;
use crate::http::respond::{WireError, json};

/// How long a look waits for news. Tools ask again at once.
const HOLD: Duration = Duration::from_secs(30);

/// `GET /api/stream_function_logs`: the entries after the cursor. From the beginning it answers at once, else it waits
/// for an entry.
pub async fn stream_function_logs(
    State(http): State<Arc<Http>>,
    request: Request,
) -> Result<Response, WireError> {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    let cursor = match query_parameter(&parts, "cursor") {
        None => 0.0,
        Some(text) => text
            .parse::<f64>()
            .ok()
            .filter(|it| *it >= 0.0)
            .ok_or_else(|| {
                WireError::bad_request("BadQueryArgs", "The cursor must be a number.")
            })?,
    };
    let cursor = cursor as u64;
    let log = http.functions.log();
    let now_millis = || http.clock.now().0 / 1_000_000;
    let waiting = log.wait_after(cursor, now_millis);
    let waiting = clock::timeout(&*http.clock, HOLD, waiting);
    let page = http.closing.run_until_cancelled(waiting).await.flatten();
    let page = page.unwrap_or_else(|| log.after(cursor, now_millis()));
    let entries: Vec<Json> = page.entries.iter().map(LogEntry::to_json).collect();
    let body = object!({"entries": entries, "newCursor": page.cursor});
    Ok(json(StatusCode::OK, body.to_string()))
}
