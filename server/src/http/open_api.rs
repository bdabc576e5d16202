//! The API's own description, made from the routes.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value as Json, json};

use super::respond;
use super::routes::{ROUTES, Role, Route, Takes};

/// `GET /api/public_openapi.json`
pub(super) async fn public() -> Response {
    respond::json(StatusCode::OK, describe().to_string())
}

fn describe() -> Json {
    let mut paths = Map::new();
    for route in ROUTES.iter().filter(|route| is_public(route)) {
        // OpenAPI has no parameter that spans slashes; this is as near as it comes.
        let path = paths
            .entry(route.path.replace("{*", "{"))
            .or_insert_with(|| json!({}));
        path[route.method] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Vestibule", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": { "authToken": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
        },
    })
}

/// The routes that apps call: those of functions, without those for administrators.
fn is_public(route: &Route) -> bool {
    route.takes != Takes::Other && route.role != Role::Admin
}

fn operation(route: &Route) -> Json {
    let answer = match route.takes {
        Takes::Timestamp => "Timestamp",
        Takes::Batch => "Outcomes",
        Takes::Call | Takes::CallInAddress | Takes::CallAt | Takes::Run | Takes::Other => "Outcome",
    };
    let mut operation = json!({
        "summary": route.summary,
        "responses": {
            "200": content("What the function gave.", answer),
            "default": content("The request was refused.", "Error"),
        },
    });
    if route.role == Role::Caller {
        operation["security"] = json!([{}, { "authToken": [] }]);
    }
    match route.takes {
        Takes::Call => operation["requestBody"] = body("Call"),
        Takes::Run => {
            operation["requestBody"] = body("Arguments");
            operation["parameters"] = json!([parameter("path", "path", true)]);
        }
        Takes::CallAt => operation["requestBody"] = body("CallAt"),
        Takes::Batch => operation["requestBody"] = body("Calls"),
        Takes::CallInAddress => {
            let parameters = [("path", true), ("args", true), ("format", false)];
            operation["parameters"] = parameters
                .map(|(name, required)| parameter(name, "query", required))
                .into();
        }
        Takes::Timestamp | Takes::Other => {}
    }
    operation
}

fn reference(schema: &str) -> Json {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn content(description: &str, schema: &str) -> Json {
    json!({ "description": description, "content": { "application/json": { "schema": reference(schema) } } })
}

fn body(schema: &str) -> Json {
    json!({ "required": true, "content": { "application/json": { "schema": reference(schema) } } })
}

fn parameter(name: &str, place: &str, required: bool) -> Json {
    json!({ "name": name, "in": place, "required": required, "schema": { "type": "string" } })
}

fn schemas() -> Json {
    let text = json!({ "type": "string" });
    let format = json!({ "enum": ["json", "convex_encoded_json", "export_json"] });
    let call = json!({ "path": text, "args": {}, "format": format });
    let call_at = json!({ "path": text, "args": {}, "format": format, "ts": text });
    json!({
        "Call": { "type": "object", "required": ["path", "args"], "properties": call },
        "CallAt": { "type": "object", "required": ["path", "args", "ts"], "properties": call_at },
        "Calls": {
            "type": "object",
            "required": ["queries"],
            "properties": { "queries": { "type": "array", "items": reference("Call") } },
        },
        "Arguments": {
            "type": "object",
            "required": ["args"],
            "properties": { "args": {}, "format": format },
        },
        "Outcome": {
            "oneOf": [
                {
                    "type": "object",
                    "required": ["status", "value"],
                    "properties": {
                        "status": { "const": "success" },
                        "value": {},
                        "logLines": { "type": "array", "items": text },
                    },
                },
                {
                    "type": "object",
                    "required": ["status", "errorMessage"],
                    "properties": {
                        "status": { "const": "error" },
                        "errorMessage": text,
                        "errorData": {},
                        "logLines": { "type": "array", "items": text },
                    },
                },
            ],
        },
        "Outcomes": {
            "type": "object",
            "required": ["results"],
            "properties": { "results": { "type": "array", "items": reference("Outcome") } },
        },
        "Timestamp": { "type": "object", "required": ["ts"], "properties": { "ts": text } },
        "Error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": { "code": text, "message": text },
        },
    })
}
