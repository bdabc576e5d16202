//! The WebSocket handshake. Compression is never negotiated, and later messages are the sync room's.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::header::{
    CONNECTION, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::Http;
use super::around::Asked;
use super::client_version::ClientVersion;
use super::path_text::PathText;
use super::respond::WireError;
use super::serve::OpenConnection;
use super::streamed::user_agent;
use crate::sync::Peer;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
/// The only version there is.
const VERSION: HeaderValue = HeaderValue::from_static("13");
/// Bytes of a refused origin that are logged.
const ORIGIN_BYTES_LOGGED_MAX: usize = 256;
/// Bytes of a handshake's key.
const KEY_BYTES: usize = 16;

/// `GET /api/sync`
pub(super) async fn sync(
    State(http): State<Arc<Http>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Result<Response, WireError> {
    http.upgrade_or_tell(asked.client, request)
}

/// `GET /api/{version}/sync`: the JavaScript client, which cannot set headers in a browser.
pub(super) async fn versioned_sync(
    State(http): State<Arc<Http>>,
    Extension(asked): Extension<Asked>,
    PathText(version): PathText,
    request: Request,
) -> Result<Response, WireError> {
    if !asked.client.is_unknown() {
        return http.upgrade_or_tell(asked.client, request);
    }
    let client = ClientVersion::of_path(&version)?;
    let supported = client.check_supported();
    let answer = supported.and_then(|()| http.upgrade_or_tell(client.clone(), request));
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    client.mark(response.headers_mut());
    Ok(response)
}

impl Http {
    /// Answers the handshake, and counts a refusal: its client only sees that no socket opens, and tries for ever.
    fn upgrade_or_tell(
        &self,
        client: ClientVersion,
        request: Request,
    ) -> Result<Response, WireError> {
        let origin = request.headers().get(ORIGIN).cloned();
        self.upgrade(client, request).inspect_err(|error| {
            self.metrics.refused_upgrade(error.code);
            let Some(left_out) = self.upgrade_warnings.pass(self.clock.elapsed()) else {
                return;
            };
            let origin = origin.as_ref().map(|origin| quoted(origin.as_bytes()));
            tracing::warn!(
                code = error.code,
                origin = origin.as_deref().unwrap_or("none"),
                left_out,
                "a WebSocket handshake was refused"
            );
        })
    }

    /// Answers the handshake and hands the socket over.
    fn upgrade(&self, client: ClientVersion, mut request: Request) -> Result<Response, WireError> {
        let accept = accept_key(&request)?;
        let mut origins = request.headers().get_all(ORIGIN).iter();
        if !origins.all(|origin| self.options.allows_origin(origin.as_bytes())) {
            let message = "Pages of this origin may not open a socket here.";
            return Err(WireError::new(
                StatusCode::FORBIDDEN,
                "OriginNotAllowed",
                message,
            ));
        }
        if !self.connections.has_room() {
            return Err(WireError::too_many_connections());
        }
        let upgrading = hyper::upgrade::on(&mut request);
        let connection = request.extensions().get::<OpenConnection>().cloned();
        let peer = Peer {
            ip: self.client_address(request.extensions(), request.headers()),
            user_agent: user_agent(request.headers()),
        };
        let connections = self.connections.clone();
        let serving = async move {
            // The connection counts as open until the socket ends.
            let _connection = connection;
            match upgrading.await {
                Ok(upgraded) => {
                    connections
                        .serve(TokioIo::new(upgraded), client.features(), peer)
                        .await
                }
                Err(error) => tracing::debug!(%error, "a client left during its handshake"),
            }
        };
        self.spawn(serving);
        Ok(switching_protocols(&accept))
    }
}

/// A client's text, cut short and with everything odd escaped, for the log.
fn quoted(text: &[u8]) -> String {
    let text = &text[..text.len().min(ORIGIN_BYTES_LOGGED_MAX)];
    text.escape_ascii().to_string()
}

fn switching_protocols(accept: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, WEBSOCKET);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(
        SEC_WEBSOCKET_ACCEPT,
        HeaderValue::try_from(accept).expect("base64 is a header value"),
    );
    response
}

/// Checks the handshake and derives the answer to its key.
fn accept_key(request: &Request) -> Result<String, WireError> {
    let bad = |message: &str| WireError::bad_request("BadWebSocketRequest", message);
    let headers = request.headers();
    if request.version() != Version::HTTP_11 || !lists(headers, CONNECTION, "upgrade") {
        return Err(bad(
            "This address speaks WebSocket only: ask with Connection: Upgrade over HTTP/1.1.",
        ));
    }
    if !lists(headers, UPGRADE, "websocket") {
        return Err(bad(
            "This address speaks WebSocket only: ask with Upgrade: websocket.",
        ));
    }
    if headers.get(SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
        return Err(bad("The Sec-WebSocket-Version must be 13."));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let is_key = |key: &&[u8]| {
        BASE64
            .decode(key)
            .is_ok_and(|bytes| bytes.len() == KEY_BYTES)
    };
    let key = key
        .filter(is_key)
        .ok_or_else(|| bad("The Sec-WebSocket-Key must be 16 bytes in base64."))?;
    Ok(derive_accept_key(key))
}

/// Whether a header's comma-separated values hold a word, in any case.
fn lists(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(word))
}
