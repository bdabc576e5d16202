//! The routes of imports and exports, as official tools ask them. Only the holder of an admin key may.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::Http;
use super::body::ReadBody;
use super::credentials::{note_deployer, query_parameter};
use super::files::parts_of;
use super::path_text::PathText;
use super::respond::{self, WireError, json};
use crate::auth::AdminRights;
use crate::functions::SystemError;
use crate::transfer::{Format, ImportRequest, Mode, TransferError};

type Answer = Result<Response, WireError>;

/// Longest body of a request about a transfer, in bytes: ten thousand part tokens, and the fields around them.
const BODY_BYTES_MAX: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FinishBody {
    import: ImportBody,
    upload_token: String,
    part_tokens: Vec<Json>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImportBody {
    #[serde(default)]
    table_name: Option<String>,
    #[serde(default)]
    component_path: Option<String>,
    mode: String,
    format: Json,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImportIdBody {
    import_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExpirationBody {
    expiration_ts_ns: i64,
}

/// `POST /api/import/start_upload`
pub(super) async fn start_upload(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_writing_admin(&parts).await?;
    let token = http.transfers.start_upload().map_err(refused)?;
    answer(&serde_json::json!({ "uploadToken": token }))
}

/// `POST /api/import/upload_part`: bytes as they are.
pub(super) async fn upload_part(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let mut content = body.into_data_stream();
    let taken = async {
        http.verify_writing_admin(&parts).await?;
        let token = query_parameter(&parts, "uploadToken").unwrap_or_default();
        let number = query_parameter(&parts, "partNumber").unwrap_or_default();
        let number = number.parse().map_err(|_| {
            WireError::bad_request("BadQueryArgs", "partNumber must be a whole number.")
        })?;
        let content = parts_of(&mut content);
        let part = http.transfers.take_part(&token, number, content).await;
        part.map_err(refused)
    };
    let taken = taken.await;
    answer(&taken?.into())
}

/// `POST /api/import/finish_upload`
pub(super) async fn finish_upload(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let finish: FinishBody = http.read_transfer(request).await?;
    let import = finish.import.read(&http)?;
    let tokens = finish.part_tokens.iter().map(|token| match token {
        Json::String(token) => token.clone(),
        other => other.to_string(),
    });
    let tokens: Vec<String> = tokens.collect();
    let made = http
        .transfers
        .finish_upload(import, &finish.upload_token, &tokens);
    let id = made.await.map_err(refused)?;
    answer(&serde_json::json!({ "importId": id.to_string() }))
}

/// `POST /api/perform_import`
pub(super) async fn perform_import(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let body: ImportIdBody = http.read_transfer(request).await?;
    let performed = http.transfers.perform_import(body.import_id).await;
    performed.map_err(refused)?;
    answer(&Json::Null)
}

/// `POST /api/cancel_import`
pub(super) async fn cancel_import(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let body: ImportIdBody = http.read_transfer(request).await?;
    let canceled = http.transfers.cancel_import(body.import_id).await;
    canceled.map_err(refused)?;
    answer(&Json::Null)
}

/// `POST /api/import`: a file as a whole, without confirmation.
pub(super) async fn import(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let mut content = body.into_data_stream();
    let imported = async {
        http.verify_writing_admin(&parts).await?;
        let asked = ImportBody {
            table_name: query_parameter(&parts, "tableName"),
            component_path: query_parameter(&parts, "componentPath"),
            mode: query_parameter(&parts, "mode").unwrap_or_default(),
            format: query_parameter(&parts, "format").unwrap_or_default().into(),
        };
        let import = asked.read(&http)?;
        let content = parts_of(&mut content);
        let imported = http.transfers.import_now(import, content).await;
        imported.map_err(refused)
    };
    let imported = imported.await;
    answer(&serde_json::json!({ "numWritten": imported? }))
}

/// `POST /api/export/request/zip`
pub(super) async fn request_export(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_writing_admin(&parts).await?;
    let with_files = match query_parameter(&parts, "includeStorage").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            let message = "includeStorage must be true or false.";
            return Err(WireError::bad_request("BadQueryArgs", message));
        }
    };
    if query_parameter(&parts, "component").is_some_and(|component| !component.is_empty()) {
        let message = "An export holds the app with all its components: leave component out.";
        return Err(WireError::bad_request("BadQueryArgs", message));
    }
    let requested = http.transfers.request_export(with_files).await;
    requested.map_err(refused)?;
    answer(&Json::Null)
}

/// `GET /api/export/zip/{id}`
pub(super) async fn download_export(
    State(http): State<Arc<Http>>,
    PathText(id): PathText,
    request: Request,
) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_admin(&parts).await?;
    let export = http.transfers.open_export(id).await.map_err(refused)?;
    let name = &http.options.deployment_name;
    // Official tools take the whole text after the equals sign for the name.
    let disposition = format!("attachment; filename=snapshot_{name}_{}.zip", export.ts);
    let disposition = HeaderValue::from_str(&disposition).unwrap_or(HeaderValue::from_static(
        "attachment; filename=snapshot.zip",
    ));
    let mut response = Response::new(Body::from_stream(export.content));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(CONTENT_LENGTH, export.bytes.into());
    headers.insert(CONTENT_DISPOSITION, disposition);
    Ok(response)
}

/// `POST /api/export/cancel/{id}`
pub(super) async fn cancel_export(
    State(http): State<Arc<Http>>,
    PathText(id): PathText,
    request: Request,
) -> Answer {
    let (parts, _) = request.into_parts();
    http.verify_writing_admin(&parts).await?;
    http.transfers.cancel_export(id).await.map_err(refused)?;
    answer(&Json::Null)
}

/// `POST /api/export/set_expiration/{id}`
pub(super) async fn set_expiration(
    State(http): State<Arc<Http>>,
    PathText(id): PathText,
    request: Request,
) -> Answer {
    let body: ExpirationBody = http.read_transfer(request).await?;
    let set = http.transfers.set_expiration(id, body.expiration_ts_ns);
    set.await.map_err(|error| match error {
        TransferError::BadRequest(message) => WireError::bad_request("InvalidExport", message),
        error => refused(error),
    })?;
    answer(&Json::Null)
}

impl ImportBody {
    fn read(self, http: &Http) -> Result<ImportRequest, WireError> {
        let component = http.component_named(self.component_path.as_deref())?;
        let mode = Mode::named(&self.mode);
        // Some tools say more of a format than its name.
        let format = self.format.get("format").unwrap_or(&self.format);
        let format = format.as_str().and_then(Format::named);
        let (Some(mode), Some(format)) = (mode, format) else {
            let message = "mode is requireEmpty, append, replace or replaceAll; format is csv, jsonLines, jsonArray or zip.";
            return Err(WireError::bad_request("InvalidImport", message));
        };
        Ok(ImportRequest {
            table: self.table_name,
            component,
            mode,
            format,
        })
    }
}

impl Http {
    /// Verifies that the request presents an admin key that may write.
    pub(super) async fn verify_writing_admin(&self, parts: &Parts) -> Result<(), WireError> {
        let admin = self.verify_admin(parts).await?;
        match admin.rights() {
            AdminRights::All => {
                note_deployer(parts, &admin);
                Ok(())
            }
            AdminRights::ReadOnly => Err(respond::read_only()),
        }
    }

    async fn read_transfer<T: DeserializeOwned>(&self, request: Request) -> Result<T, WireError> {
        let (parts, body) = request.into_parts();
        self.verify_writing_admin(&parts).await?;
        let body: ReadBody = self.read_body(&parts.headers, body, BODY_BYTES_MAX).await?;
        body.json()
    }
}

fn answer(body: &Json) -> Answer {
    Ok(json(StatusCode::OK, body.to_string()))
}

/// The error of an import or an export. The log has the code of each refusal.
fn refused(error: TransferError) -> WireError {
    let answer = answer_to(&error);
    let is_of_files = matches!(error, TransferError::Files(_));
    if answer.status.is_client_error() && !is_of_files {
        tracing::info!(
            code = answer.code,
            "a request for an import or an export was refused"
        );
    }
    answer
}

/// Never a 404: official tools try those again for half a minute.
fn answer_to(error: &TransferError) -> WireError {
    let bad = |code| WireError::bad_request(code, error.to_string());
    match error {
        TransferError::UnknownUpload => bad("UploadNotFound"),
        TransferError::BadParts(_) => bad("InvalidParts"),
        TransferError::UnknownImport(_) => bad("ImportNotFound"),
        TransferError::UnknownExport(_) => bad("ExportNotFound"),
        TransferError::WrongState(_) => bad("WrongImportState"),
        TransferError::ExportInProgress => bad("ExportInProgress"),
        TransferError::TableExists(_) => bad("TableExists"),
        TransferError::TooManyUploads => bad("TooManyImports"),
        TransferError::BadRequest(_)
        | TransferError::Canceled
        | TransferError::Expired(_)
        | TransferError::Document { .. }
        | TransferError::File { .. }
        | TransferError::Archive(_)
        | TransferError::TableName(_)
        | TransferError::NumberOutside { .. }
        | TransferError::NumberTaken { .. }
        | TransferError::NumberReferred { .. }
        | TransferError::SchemaChanged
        | TransferError::Zip(_) => bad("InvalidImport"),
        TransferError::Interrupted => respond::system(&SystemError::ShuttingDown),
        TransferError::Files(error) => respond::file(error),
        TransferError::Database(_) | TransferError::Io(_) => {
            tracing::error!(%error, "an import or an export failed");
            WireError::internal()
        }
    }
}
