//! The work around every request: its id, its client's age, its time, its panics, its counters.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use futures_util::FutureExt;
use tracing::Instrument;

use super::Http;
use super::client_version::ClientVersion;
use super::cors::Cors;
use super::respond::WireError;
use super::routes::{ACTION_ROUTES, SPARE_ROUTES, UNAUDITED_ROUTES, UNHURRIED_ROUTES};
use super::serve::OpenConnection;
use crate::auth::KeyId;
use crate::clock::timeout;
use crate::outbound::Face;

const REQUEST_ID_HEADER: &str = "convex-request-id";
/// Longest request id that a client may choose, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 64;
/// The label of requests that no route takes.
const NO_ROUTE: &str = "none";

/// The known facts about a request before its route sees it.
#[derive(Clone)]
pub(super) struct Asked {
    /// Names this request in errors and logs.
    pub request_id: Arc<str>,
    /// The client that sent it.
    pub client: ClientVersion,
    /// The admin key that may change the deployment, once it was verified.
    pub deployer: Arc<OnceLock<KeyId>>,
}

/// Runs one request.
pub(super) async fn around(
    State(http): State<Arc<Http>>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    http.look_at_host(Face::Api, route, &request);
    run(&http, route, request, next).await
}

/// Runs one request of the site, where all paths are the app's.
pub(super) async fn around_site(
    State(http): State<Arc<Http>>,
    request: Request,
    next: Next,
) -> Response {
    let [_, route] = ACTION_ROUTES;
    http.look_at_host(Face::Site, route, &request);
    run(&http, route, request, next).await
}

async fn run(http: &Http, route: &str, request: Request, next: Next) -> Response {
    let clock = &http.clock;
    let (began, _in_flight) = (clock.elapsed(), http.metrics.request_began());
    let is_action = ACTION_ROUTES.contains(&route);
    let cors = (!is_action).then(|| Cors::of(&http.options, request.method(), request.headers()));
    let mut response = match cors.as_ref().is_some_and(Cors::is_preflight) {
        true => StatusCode::OK.into_response(),
        false => answer(http, route, request, next).await,
    };
    if let Some(cors) = cors {
        cors.mark(response.headers_mut());
    }
    http.metrics.request_ended(
        route,
        response.status().as_u16(),
        clock.elapsed().saturating_sub(began),
    );
    response
}

/// Runs a request that is no preflight.
async fn answer(http: &Http, route: &str, mut request: Request, next: Next) -> Response {
    // The sender of a request for an HTTP action is no client of ours, and says nothing to this server.
    let none = HeaderMap::new();
    let headers = match ACTION_ROUTES.contains(&route) {
        true => &none,
        false => request.headers(),
    };
    let connection = request.extensions().get::<OpenConnection>();
    if connection.is_some_and(|connection| connection.is_spare) && !SPARE_ROUTES.contains(&route) {
        return WireError::too_many_connections().into_response();
    }
    if let Err(error) = check_size(http, &request) {
        return error.into_response();
    }
    let asked = match asked(headers) {
        Ok(asked) => asked,
        Err(error) => return error.into_response(),
    };
    let client = asked.client.clone();
    let audit = Audit::of(&asked, route);
    let span = tracing::debug_span!("request", method = %request.method(), route, request_id = %asked.request_id);
    request.extensions_mut().insert(asked);
    let running = async {
        match client.check_supported() {
            Ok(()) => guarded(http, route, request, next).await,
            Err(error) => error.into_response(),
        }
    };
    let mut response = running.instrument(span).await;
    audit.answered(response.status());
    client.mark(response.headers_mut());
    response
}

/// The log's line on a request with an admin key that may change the deployment. It is written also where the client leaves
/// before the answer: the change goes on.
struct Audit<'r> {
    asked: Asked,
    route: &'r str,
    status: Option<StatusCode>,
}

impl<'r> Audit<'r> {
    fn of(asked: &Asked, route: &'r str) -> Audit<'r> {
        Audit {
            asked: asked.clone(),
            route,
            status: None,
        }
    }

    fn answered(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for Audit<'_> {
    fn drop(&mut self) {
        let Some(key) = self.asked.deployer.get() else {
            return;
        };
        if UNAUDITED_ROUTES.contains(&self.route) {
            return;
        }
        let (route, request_id) = (self.route, &*self.asked.request_id);
        // None for a client that has left.
        let status = self.status.map(|status| status.as_u16());
        tracing::info!(
            admin_key = %key,
            route,
            status,
            request_id,
            "an admin key changed the deployment, or tried to"
        );
    }
}

/// Refuses a header that is too long, in words and where pages can read them.
fn check_size(http: &Http, request: &Request) -> Result<(), WireError> {
    let (bytes_max, lines_max) = (http.options.header_bytes_max, http.options.header_lines_max);
    let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    let lines = request.headers();
    let target = request.uri().path_and_query();
    let bytes =
        target.map_or(0, |target| target.as_str().len()) + lines.iter().map(line).sum::<usize>();
    match bytes > bytes_max || lines.len() > lines_max {
        true => Err(WireError::header_too_long(bytes_max, lines_max)),
        false => Ok(()),
    }
}

/// Runs the route, within its time. A panic ends this request alone.
async fn guarded(http: &Http, route: &str, request: Request, next: Next) -> Response {
    let running = AssertUnwindSafe(next.run(request)).catch_unwind();
    let in_time = match UNHURRIED_ROUTES.contains(&route) {
        true => Some(running.await),
        false => timeout(&*http.clock, http.options.request_timeout, running).await,
    };
    match in_time {
        Some(Ok(response)) => response,
        Some(Err(_)) => {
            // The panic hook has said where.
            tracing::error!("a request panicked");
            http.metrics.panicked();
            WireError::internal().into_response()
        }
        None => WireError::too_slow().into_response(),
    }
}

fn asked(headers: &HeaderMap) -> Result<Asked, WireError> {
    Ok(Asked {
        request_id: request_id(headers)?,
        client: ClientVersion::of(headers)?,
        deployer: Arc::default(),
    })
}

/// The id that the client chose, or one of 8 random bytes.
fn request_id(headers: &HeaderMap) -> Result<Arc<str>, WireError> {
    let Some(header) = headers.get(REQUEST_ID_HEADER) else {
        return Ok(HEXLOWER.encode(&rand::random::<[u8; 8]>()).into());
    };
    let is_fine = |text: &&str| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    header.to_str().ok().filter(is_fine).map(Arc::from).ok_or_else(|| {
        let message = format!(
            "A request id is made of 1 to {REQUEST_ID_BYTES_MAX} letters, digits, hyphens and underscores."
        );
        WireError::bad_request("InvalidRequestId", message)
    })
}

/// Takes doubled slashes from the front of the path: clients join an address that ends in one with a path that begins
/// with one.
pub(super) async fn single_leading_slash(mut request: Request) -> Request {
    if request.uri().path().starts_with("//") {
        let path = format!("/{}", request.uri().path().trim_start_matches('/'));
        let path_and_query = match request.uri().query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        // A valid path stays valid without its first slashes.
        if let Ok(uri) = path_and_query.parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    request
}
