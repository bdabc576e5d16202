//! The headers for pages of other origins.

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method};

use super::options::HttpOptions;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS, PATCH, DELETE, PUT");
const VARIES_BY: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers",
);
/// How long a browser may remember a preflight's answer, in seconds: a day.
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("86400");

/// The origin headers of one request's answer.
pub(super) struct Cors {
    /// The page's origin, if it may read the answer.
    origin: Option<HeaderValue>,
    /// The headers a preflight asks for, if it is one.
    preflight: Option<Option<HeaderValue>>,
}

impl Cors {
    pub fn of(options: &HttpOptions, method: &Method, headers: &HeaderMap) -> Cors {
        let origin = headers
            .get(ORIGIN)
            .filter(|origin| options.allows_origin(origin.as_bytes()));
        let is_preflight = method == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        Cors {
            origin: origin.cloned(),
            preflight: is_preflight.then(|| headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned()),
        }
    }

    /// Whether a browser asks if it may ask: answered at once, by whatever [`Cors::mark`] adds.
    pub fn is_preflight(&self) -> bool {
        self.preflight.is_some()
    }

    /// Adds the headers to an answer.
    pub fn mark(self, headers: &mut HeaderMap) {
        headers.append(VARY, VARIES_BY);
        let Some(origin) = self.origin else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
        if let Some(wanted) = self.preflight {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS);
            if let Some(wanted) = wanted {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted);
            }
        }
    }
}
