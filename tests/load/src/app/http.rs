//! An HTTP action that reads one document.

use serde_json::Value as Json;
use vestibule_server::prelude::*;

/// Answers with the account whose number the address names.
pub async fn account(ctx: HttpActionCtx, request: HttpRequest) -> Result<HttpResponse> {
    let number = request.parameter("number");
    let Some(number) = number.and_then(|number| number.parse::<f64>().ok()) else {
        return Ok(HttpResponse::text(StatusCode::BAD_REQUEST, "which number?"));
    };
    let args = object! { "number" => number };
    let account: Json = ctx.run_query("accounts:point", args).await?;
    HttpResponse::json(StatusCode::OK, &account)
}
