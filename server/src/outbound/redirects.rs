//! The effect of a redirect on a request.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_LOCATION, CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderName, LOCATION,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use super::error::OutboundError;
use super::{OutboundRequest, Redirect, RequestBody};

/// Redirects that are followed.
pub const REDIRECTS_MAX: usize = 20;

/// Headers that frame a message, which the client writes itself.
const FRAMING: [HeaderName; 7] = [
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    CONNECTION,
    UPGRADE,
    TE,
    TRAILER,
    EXPECT,
];
/// Headers that describe a body.
const OF_BODIES: [HeaderName; 4] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LOCATION,
    CONTENT_TYPE,
];
/// Headers that are meant for one origin alone.
const OF_ORIGINS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

/// The step after an answer.
pub(super) enum Step {
    /// Nothing: it is the answer.
    Stop,
    /// A request to this place.
    To(Url),
}

pub(super) fn take_framing(headers: &mut HeaderMap) {
    take(headers, &FRAMING);
}

fn take(headers: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        headers.remove(name);
    }
}

/// The step after an answer with this status and these headers from `url`.
pub(super) fn step(
    redirect: Redirect,
    status: StatusCode,
    headers: &HeaderMap,
    url: &Url,
) -> Result<Step, OutboundError> {
    let is_redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = headers.get(LOCATION).filter(|_| is_redirect) else {
        return Ok(Step::Stop);
    };
    match redirect {
        Redirect::Manual => return Ok(Step::Stop),
        Redirect::Error => return Err(OutboundError::UnexpectedRedirect),
        Redirect::Follow => {}
    }
    let target = std::str::from_utf8(location.as_bytes()).ok();
    let target = target.and_then(|location| url.join(location).ok());
    let target = target.filter(|target| matches!(target.scheme(), "http" | "https"));
    let mut target = target.ok_or(OutboundError::RedirectLocation)?;
    target.set_fragment(None);
    let has_credentials = !target.username().is_empty() || target.password().is_some();
    match has_credentials {
        true => Err(OutboundError::RedirectLocation),
        false => Ok(Step::To(target)),
    }
}

/// Makes a request the one that follows an answer with this status.
pub(super) fn turn(
    request: &mut OutboundRequest,
    status: StatusCode,
    target: Url,
) -> Result<(), OutboundError> {
    let becomes_get = match status.as_u16() {
        301 | 302 => request.method == Method::POST,
        303 => !matches!(request.method, Method::GET | Method::HEAD),
        _ => false,
    };
    if becomes_get {
        request.method = Method::GET;
        request.body = RequestBody::Nothing;
        take(&mut request.headers, &OF_BODIES);
    } else if let RequestBody::Stream(_) = request.body {
        return Err(OutboundError::BodyTwice);
    }
    if target.origin() != request.url.origin() {
        take(&mut request.headers, &OF_ORIGINS);
    }
    request.headers.remove(HOST);
    request.url = target;
    Ok(())
}
