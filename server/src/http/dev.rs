//! The routes of the development issuer. They exist only where there is one.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, Version};
use axum::response::Response;

use super::Http;
use super::respond::{self, WireError, json};
use super::serve::OpenConnection;
use crate::auth::dev_issuer::{check_dev_origin, check_dev_peer};
use crate::auth::{DevIssuer, DevRefused, TokenRequest, TokenResponse};

impl Http {
    fn dev_issuer(&self) -> Result<&DevIssuer, WireError> {
        let issuer = self.dev_issuer.as_ref();
        // A push may have put real providers in its place.
        let trusted = issuer.filter(|issuer| self.authenticator.trusts(issuer.issuer()));
        trusted.ok_or_else(WireError::not_found)
    }
}

/// `POST /dev/token`: a token for the requested user, for programs and pages of this machine.
pub(super) async fn token(
    State(http): State<Arc<Http>>,
    request: Request,
) -> Result<Response, WireError> {
    let issuer = http.dev_issuer()?;
    let (parts, body) = request.into_parts();
    check_asker(&parts).map_err(|error| respond::dev_refused(&error))?;
    let body = http.read_json(&parts.headers, body).await?;
    let wanted: TokenRequest = body.json()?;
    let now = http.clock.now();
    let token = issuer
        .mint(&wanted, now)
        .map_err(|error| respond::dev_token(&error))?;
    let answer =
        serde_json::to_string(&TokenResponse { token }).map_err(|_| WireError::internal())?;
    let mut response = json(StatusCode::OK, answer);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `GET /.well-known/openid-configuration`
pub(super) async fn discovery(State(http): State<Arc<Http>>) -> Result<Response, WireError> {
    Ok(json(
        StatusCode::OK,
        http.dev_issuer()?.discovery_json().to_string(),
    ))
}

/// Refuses requests that a page of another host may have sent, and all requests through a proxy. A header that is there
/// twice or is no text is refused.
fn check_asker(request: &Parts) -> Result<(), DevRefused> {
    let connection = request.extensions.get::<OpenConnection>();
    let names = request.headers.keys().map(HeaderName::as_str);
    check_dev_peer(connection.map(|connection| connection.peer), names)?;
    // Some proxies add no header, and speak to their upstream in a version that no other program uses any more.
    if request.version == Version::HTTP_10 {
        return Err(DevRefused::Forwarded);
    }
    let host = single(request, HOST).map_err(|Odd| DevRefused::Host)?;
    let origin = single(request, ORIGIN).map_err(|Odd| DevRefused::Origin)?;
    check_dev_origin(host, origin)
}

struct Odd;

fn single(request: &Parts, name: HeaderName) -> Result<Option<&str>, Odd> {
    let mut values = request.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Odd),
        (Some(_), Some(_)) => Err(Odd),
    }
}
