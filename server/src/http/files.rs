//! The routes of files: sending one to an upload URL, and reading one at its own. Bodies stream both ways; no more than
//! a part of a file is held.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use data_encoding::BASE64;
use futures_util::{Stream, StreamExt};
use vestibule_schema::identity::IdentityKey;

use super::Http;
use super::credentials::query_parameter;
use super::path_text::PathText;
use super::ranges::Asked;
use super::respond::{self, NoCaller, WireError, json};
use crate::auth::Verified;
use crate::files::{Announced, BrokenOff, FileError, FileRow, Files, parse_sha256, parse_uuid};

/// The header that announces a SHA-256, and tells it.
const DIGEST: HeaderName = HeaderName::from_static("digest");
/// How long a reader may keep a file, in seconds: 30 days. The content under a URL never changes.
const KEPT_FOR: HeaderValue = HeaderValue::from_static("private, max-age=2592000");
/// The type of what has none.
const UNTYPED: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// `POST /api/storage/upload`
pub(super) async fn upload(
    State(http): State<Arc<Http>>,
    request: Request,
) -> Result<Response, WireError> {
    let (parts, body) = request.into_parts();
    let mut content = body.into_data_stream();
    let received = match http.announced(&parts).await {
        Ok(announced) => {
            let content = parts_of(&mut content);
            let received = http.files.receive(announced, content).await;
            received.map_err(|error| respond::file(&error))
        }
        Err(refused) => Err(refused),
    };
    let body = serde_json::json!({ "storageId": received?.to_string() });
    Ok(json(StatusCode::OK, body.to_string()))
}

/// `GET` and `HEAD /api/storage/{id}`
pub(super) async fn download(
    State(http): State<Arc<Http>>,
    PathText(path): PathText,
    request: Request,
) -> Result<Response, WireError> {
    let uuid = parse_uuid(&path).ok_or_else(|| bad_path(&path))?;
    let found = http.files.find(uuid).await;
    let row = found
        .map_err(|error| respond::file(&error))?
        .ok_or_else(no_such_file)?;
    let asked = Asked::of(request.headers(), row.bytes, &etag(&row));
    answer(&http.files, row, asked, request.method()).await
}

async fn answer(
    files: &Files,
    row: FileRow,
    asked: Asked,
    method: &Method,
) -> Result<Response, WireError> {
    let mut headers = described(&row);
    let (bytes, digest) = (row.bytes, digest(&row));
    let (status, range) = match asked {
        Asked::Whole => {
            headers.insert(DIGEST, digest);
            (StatusCode::OK, None)
        }
        Asked::Part(range) => {
            let (first, last) = (range.start, range.end - 1);
            let range_text = format!("bytes {first}-{last}/{bytes}");
            headers.insert(CONTENT_RANGE, header(&range_text));
            (StatusCode::PARTIAL_CONTENT, Some(range))
        }
        Asked::Unchanged => {
            headers.remove(CONTENT_TYPE);
            return Ok(response(StatusCode::NOT_MODIFIED, headers, Body::empty()));
        }
        Asked::Unsatisfiable => {
            tracing::info!(code = "InvalidRange", "a request for a file was refused");
            headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, header(&format!("bytes */{bytes}")));
            headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            return Ok(response(status, headers, Body::empty()));
        }
    };
    let length = range
        .as_ref()
        .map_or(bytes, |range| range.end - range.start);
    headers.insert(CONTENT_LENGTH, header(&length.to_string()));
    let body = match method == Method::HEAD {
        true => Body::empty(),
        false => {
            let open = files.open(row, range).await;
            let open = open.map_err(|error| respond::file(&error))?;
            Body::from_stream(open.content.inspect(|part| {
                if let Err(error) = part {
                    tracing::error!(%error, "a file broke off while it was read");
                }
            }))
        }
    };
    Ok(response(status, headers, body))
}

impl Http {
    /// The facts announced about a file, if it may arrive at all. A sender with an auth token passes the gate first, so
    /// that nothing is stored for an identity that is not let in.
    async fn announced(&self, parts: &Parts) -> Result<Announced, WireError> {
        let refuse = |error: FileError| respond::file(&error);
        let token = query_parameter(parts, "token").unwrap_or_default();
        let grant = self.files.check_token(&token).map_err(refuse)?;
        let sender = self.sender(parts).await?;
        grant.check_sender(sender.as_ref()).map_err(refuse)?;
        let length = parts.headers.get(CONTENT_LENGTH);
        Ok(Announced {
            content_type: content_type(&parts.headers)?,
            sha256: announced_sha256(&parts.headers)?,
            bytes: length.and_then(|length| length.to_str().ok()?.parse().ok()),
        })
    }

    /// The sender of a file, where an auth token identifies it.
    async fn sender(&self, parts: &Parts) -> Result<Option<IdentityKey>, WireError> {
        if !parts.headers.contains_key(AUTHORIZATION) {
            return Ok(None);
        }
        let verified = self.verify(parts).await?;
        if !matches!(verified, Verified::User(_)) {
            return Ok(None);
        }
        // Letting an identity in runs a function, so it takes a turn as other requests do.
        let calls = || vec![parts.uri.path().to_string()];
        match self.admit(verified, self.slot()?, calls).await {
            Ok(admitted) => Ok(admitted.caller.identity_key()),
            Err(NoCaller::Refused(error)) => Err(error),
            Err(NoCaller::NotProvisioned(thrown)) => Err(WireError::new(
                StatusCode::FORBIDDEN,
                "NotProvisioned",
                thrown.message,
            )),
        }
    }
}

/// A body as the files room takes it.
pub(super) fn parts_of<E>(
    body: impl Stream<Item = Result<Bytes, E>> + Send,
) -> impl Stream<Item = Result<Bytes, BrokenOff>> + Send {
    body.map(|part| part.map_err(|_| BrokenOff))
}

fn content_type(headers: &HeaderMap) -> Result<Option<String>, WireError> {
    let Some(given) = headers.get(CONTENT_TYPE) else {
        return Ok(None);
    };
    let text = given.to_str().map_err(|_| {
        let why = "The Content-Type cannot be read.";
        respond::file_refused(WireError::bad_request("InvalidContentType", why))
    })?;
    Ok(Some(text.to_string()).filter(|text| !text.is_empty()))
}

/// The SHA-256 of a `Digest` header; other algorithms are passed over.
fn announced_sha256(headers: &HeaderMap) -> Result<Option<[u8; 32]>, WireError> {
    let digests = headers.get_all(DIGEST).into_iter();
    let digests = digests.filter_map(|value| value.to_str().ok());
    let mut digests = digests.flat_map(|value| value.split(','));
    let sha256 = digests.find_map(|digest| {
        let (algorithm, value) = digest.split_once('=')?;
        let is_sha256 = algorithm.trim().eq_ignore_ascii_case("sha-256");
        is_sha256.then(|| value.trim())
    });
    let Some(text) = sha256 else { return Ok(None) };
    let parsed = parse_sha256(text).ok_or_else(|| FileError::InvalidSha256(text.to_string()));
    parsed.map(Some).map_err(|error| respond::file(&error))
}

/// The headers of every answer with a file.
fn described(row: &FileRow) -> HeaderMap {
    let content_type = row.content_type.as_deref();
    let typed = content_type.and_then(|text| HeaderValue::from_str(text).ok());
    let mut headers = HeaderMap::from_iter([
        (CONTENT_TYPE, typed.unwrap_or(UNTYPED)),
        (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (CACHE_CONTROL, KEPT_FOR),
        (ETAG, etag(row)),
        // A browser takes the type for what it says, or not at all.
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ]);
    if content_type.is_none_or(is_run_by_browsers) {
        // Files come from any sender: a page among them would run with all the rights of this origin.
        let policy = HeaderValue::from_static("sandbox; default-src 'none'");
        headers.insert(CONTENT_SECURITY_POLICY, policy);
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    }
    headers
}

/// Whether a browser that is sent there might run the content: pages, anything in XML, scripts.
fn is_run_by_browsers(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let Some((kind, subtype)) = essence.split_once('/') else {
        return true;
    };
    match kind {
        "audio" | "video" | "font" => false,
        "image" => subtype.contains("svg") || subtype.contains("xml"),
        "text" => !matches!(subtype, "plain" | "csv" | "markdown" | "calendar"),
        "application" => !matches!(subtype, "json" | "pdf" | "octet-stream" | "zip" | "gzip"),
        _ => true,
    }
}

fn etag(row: &FileRow) -> HeaderValue {
    header(&format!(
        "\"{}\"",
        data_encoding::HEXLOWER.encode(&row.sha256)
    ))
}

fn digest(row: &FileRow) -> HeaderValue {
    header(&format!("sha-256={}", BASE64.encode(&row.sha256)))
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and base64 are visible characters")
}

fn response(status: StatusCode, headers: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn bad_path(path: &str) -> WireError {
    let message = format!(
        "Invalid storage path: \"{}\". A file is read at the URL that storage.getUrl gives.",
        path.escape_default()
    );
    respond::file_refused(WireError::bad_request("InvalidStoragePath", message))
}

fn no_such_file() -> WireError {
    respond::file_refused(WireError::new(
        StatusCode::NOT_FOUND,
        "FileNotFound",
        "There is no file at this address.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_browsers_would_run_is_downloaded_instead() {
        for run in [
            "text/html",
            "TEXT/HTML; charset=utf-8",
            "application/xhtml+xml",
            "image/svg+xml",
            "image/svg",
            "text/xml",
            "application/xml",
            "application/atom+xml",
            "text/javascript",
            "application/javascript",
            "application/ecmascript",
            "application/wasm",
            "text/css",
            "text/cache-manifest",
            "multipart/x-mixed-replace",
            "x",
            "",
        ] {
            assert!(is_run_by_browsers(run), "{run}");
        }
        for shown in [
            "image/png",
            "image/jpeg",
            "text/plain; charset=utf-8",
            "text/csv",
            "application/json",
            "application/pdf",
            "video/mp4",
            "audio/mpeg",
        ] {
            assert!(!is_run_by_browsers(shown), "{shown}");
        }
    }
}
