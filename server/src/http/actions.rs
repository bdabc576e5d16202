//! The app's HTTP actions, below `/http` and at the root of the site: which action takes a request, the sender's
//! identity, and the answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::header::{ALLOW, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;

use super::Http;
use super::around::Asked;
use super::body::{BodyError, ReadBody};
use super::credentials::Admitted;
use super::respond::{self, NoCaller, WireError};
use crate::auth::{AuthorizationError, Caller, Credentials, Verified, parse_authorization};
use crate::functions::{HttpAsker, NO_ROUTE, PAUSED, RouteFound};

/// The prefix that stands for the site's address of other servers.
const PREFIX: &str = "/http";
/// The answer where the app has no routes at all.
const NO_ROUTES: &str = "This Convex deployment does not have HTTP actions enabled.";
/// Headers that frame a message, which the server writes itself.
const FRAMING: [axum::http::HeaderName; 3] = [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION];

/// The sender of a request, and the answer where its action looks at an identity that was not let in.
pub(super) struct Asking {
    pub asker: HttpAsker,
    pub refused: Option<Response>,
}

/// Any method, any path below `/http/`.
pub(super) async fn answer(
    State(http): State<Arc<Http>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Result<Response, WireError> {
    let path = request.uri().path();
    let path = path.strip_prefix(PREFIX).unwrap_or(path).to_string();
    http.ask_route(asked, path, request).await
}

/// Any method, any path of the site.
pub(super) async fn answer_at_root(
    State(http): State<Arc<Http>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Result<Response, WireError> {
    let path = request.uri().path().to_string();
    http.ask_route(asked, path, request).await
}

impl Http {
    async fn ask_route(
        &self,
        asked: Asked,
        path: String,
        request: Request,
    ) -> Result<Response, WireError> {
        let (parts, body) = request.into_parts();
        let registry = self.functions.registry();
        if registry.deployment().settings.is_paused {
            // The senders of webhooks send them again.
            return Err(WireError::unavailable("DeploymentPaused", PAUSED));
        }
        let route = match registry.http_routes().find(&parts.method, &path) {
            RouteFound::Route(route) => route,
            RouteFound::OtherMethods(methods) => return Ok(not_with_this_method(methods)),
            RouteFound::Nothing => return Ok(not_found(NO_ROUTE)),
            RouteFound::NoRoutes => return Ok(not_found(NO_ROUTES)),
        };
        self.ask(&asked, route, path, parts, body).await
    }
}

impl Http {
    /// The body of a request whose action is asked once all of it is there.
    pub(super) async fn read_action_body(
        &self,
        parts: &Parts,
        body: Body,
    ) -> Result<Option<ReadBody>, WireError> {
        if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(None);
        }
        let limit = self.options.action_body_bytes_max;
        match self.read_body(&parts.headers, body, limit).await {
            Ok(body) => Ok(Some(body)),
            Err(error) => Err(refused_body(error)),
        }
    }

    /// The sender of a request. Only an auth token identifies it, and a refused token refuses nothing by itself. A
    /// webhook's credential is often a secret between it and the app.
    pub(super) async fn asking(
        &self,
        asked: &Asked,
        parts: &Parts,
        slot: OwnedSemaphorePermit,
    ) -> Result<(Asking, OwnedSemaphorePermit), WireError> {
        let verified = match bearer(&parts.headers) {
            Ok(None) => Ok(Verified::Nobody),
            Ok(Some(credentials)) => self.verify_bearer(parts, &credentials).await,
            Err(error) => Err(respond::authorization(error)),
        };
        let admitted = match verified {
            Ok(verified) => {
                let calls = || vec![format!("{} {}", parts.method, parts.uri.path())];
                let admitted = self.admit(verified, slot, calls).await;
                admitted.map_err(|no_caller| (no_caller, None))
            }
            Err(error) => Err((NoCaller::Refused(error), Some(slot))),
        };
        let (admitted, refusal, refused) = match admitted {
            Ok(admitted) => (admitted, None, None),
            // The action runs all the same, in a place of its own.
            Err((no_caller, slot)) => {
                let slot = slot.map_or_else(|| self.slot(), Ok)?;
                let (refusal, refused) = respond::refused_asker(no_caller);
                let (caller, call) = (Caller::unidentified(), None);
                let stranger = Admitted { caller, slot, call };
                (stranger, Some(refusal), Some(refused))
            }
        };
        let Admitted { caller, slot, call } = admitted;
        let asker = HttpAsker {
            request: self.metadata(asked, parts),
            caller,
            call,
            refusal,
        };
        Ok((Asking { asker, refused }, slot))
    }

    async fn verify_bearer(
        &self,
        parts: &Parts,
        credentials: &Credentials,
    ) -> Result<Verified, WireError> {
        // A credential that does not even look like an auth token is no attempt at guessing one.
        let is_like_a_token = matches!(credentials, Credentials::User(token)
            if token.expose().split('.').count() == 3);
        let from = self.client_address(&parts.extensions, &parts.headers);
        let door = self.authenticator.door(from.filter(|_| is_like_a_token));
        let verified = door.verify(credentials).await;
        verified.map_err(|error| respond::credentials(&error, self.connections.redacts()))
    }
}

/// The auth token that a request presents, as it was sent.
pub(super) fn token_text(headers: &HeaderMap) -> Option<String> {
    match bearer(headers) {
        Ok(Some(Credentials::User(token))) => Some(token.expose().to_string()),
        _ => None,
    }
}

/// The auth token of a request, if it presents one. Other schemes are the app's own affair.
fn bearer(headers: &HeaderMap) -> Result<Option<Credentials>, AuthorizationError> {
    let values = headers.get_all(AUTHORIZATION).iter();
    match parse_authorization(values.map(HeaderValue::as_bytes), None) {
        Ok(Credentials::User(token)) => Ok(Some(Credentials::User(token))),
        Ok(Credentials::Nobody | Credentials::Admin(_)) => Ok(None),
        Err(AuthorizationError::Unreadable | AuthorizationError::UnknownScheme) => Ok(None),
        Err(AuthorizationError::Repeated) => Err(AuthorizationError::Repeated),
    }
}

/// The answer to a body that is not taken.
pub(super) fn refused_body(error: BodyError) -> WireError {
    match error {
        BodyError::TooLong { limit } => WireError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "HttpRequestTooLarge",
            format!("The body is longer than {limit} bytes."),
        ),
        error => error.into(),
    }
}

/// `HEAD` goes to the routes for `GET`; the server leaves the body out.
pub(super) fn without_head(method: Method) -> Method {
    match method {
        Method::HEAD => Method::GET,
        method => method,
    }
}

/// Takes away what the server writes itself.
pub(super) fn take_framing(headers: &mut HeaderMap) {
    for name in FRAMING {
        headers.remove(name);
    }
}

fn not_found(text: &'static str) -> Response {
    respond::with_type(StatusCode::NOT_FOUND, "text/plain", Body::from(text))
}

fn not_with_this_method(methods: Vec<Method>) -> Response {
    let head = methods.contains(&Method::GET).then_some(Method::HEAD);
    let methods: Vec<Method> = methods.into_iter().chain(head).collect();
    let allow: Vec<&str> = methods.iter().map(Method::as_str).collect();
    let mut response = WireError::method_not_allowed().into_response();
    let allow = HeaderValue::try_from(allow.join(", ")).expect("methods are tokens");
    response.headers_mut().insert(ALLOW, allow);
    response
}
