//! The outbound room: the one client for requests that functions make, and where on the network they may go.
//!
//! Entry point: [`Outbound::send`]. Redirects are followed here, one request at a time, so that each target is checked.
//! The resolver checks the addresses of each name, and the connection goes to a checked address.

mod clients;
mod error;
mod networks;
mod own;
mod policy;
mod redirects;
mod resolver;
#[cfg(test)]
mod tests;

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::{HeaderMap, Method, StatusCode};
use url::Url;

pub use clients::{Outbound, OutboundOptions, ProxyVariables};
pub use error::OutboundError;
pub use networks::{Network, NotANetwork};
pub use own::{Face, Origins, Own, OwnAnswer, OwnServer};
pub use policy::is_public;
pub use redirects::REDIRECTS_MAX;
#[cfg(test)]
pub use resolver::Names;

use redirects::Step;

/// Bytes as they arrive.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, OutboundError>> + Send>>;

/// A request to send.
pub struct OutboundRequest {
    /// Where to; without a fragment.
    pub url: Url,
    /// Its method.
    pub method: Method,
    /// Its headers. Those that frame the message are the client's own.
    pub headers: HeaderMap,
    /// Its body.
    pub body: RequestBody,
    /// The handling of a redirect.
    pub redirect: Redirect,
}

/// The body of a request.
pub enum RequestBody {
    /// None.
    Nothing,
    /// Bytes, which can be sent again after a redirect.
    Bytes(Bytes),
    /// Bytes as they arrive, which cannot.
    Stream(ByteStream),
}

/// The handling of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// It is followed.
    Follow,
    /// It is the answer.
    Manual,
    /// It is an error.
    Error,
}

/// An answer whose body has not been read yet.
pub struct OutboundResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Where it came from in the end.
    pub url: Url,
    /// Whether that is another place than was asked.
    pub is_redirected: bool,
    /// Its body, decompressed; none where there can be none. Dropping it ends the request.
    pub body: Option<ByteStream>,
}

impl Outbound {
    /// Sends a request, and gives the answer as soon as its headers are there.
    pub async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let mut request = request;
        redirects::take_framing(&mut request.headers);
        let mut followed = 0;
        loop {
            let body = request.body.lend();
            let OutboundRequest {
                url,
                method,
                headers,
                redirect,
                ..
            } = &request;
            let response = self.send_once(url, method, headers, body).await?;
            let step = redirects::step(*redirect, response.status(), response.headers(), url)?;
            let Step::To(target) = step else {
                return Ok(answer(response, request, followed > 0));
            };
            if followed == REDIRECTS_MAX {
                return Err(OutboundError::TooManyRedirects);
            }
            followed += 1;
            redirects::turn(&mut request, response.status(), target)?;
        }
    }
}

fn answer(
    response: reqwest::Response,
    request: OutboundRequest,
    is_redirected: bool,
) -> OutboundResponse {
    let status = response.status();
    let has_none = request.method == Method::HEAD
        || matches!(status.as_u16(), 101 | 103 | 204 | 205 | 304)
        || response.content_length() == Some(0);
    OutboundResponse {
        status,
        headers: response.headers().clone(),
        url: request.url,
        is_redirected,
        body: (!has_none).then(|| {
            let chunks = response.bytes_stream();
            let chunks = chunks.map_err(|error| OutboundError::body(&error));
            Box::pin(chunks) as ByteStream
        }),
    }
}

impl RequestBody {
    /// The body for one request. A stream leaves a sign that it was sent.
    fn lend(&mut self) -> RequestBody {
        match self {
            RequestBody::Nothing => RequestBody::Nothing,
            RequestBody::Bytes(bytes) => RequestBody::Bytes(bytes.clone()),
            RequestBody::Stream(stream) => {
                let sent: ByteStream = Box::pin(futures_util::stream::once(async {
                    Err(OutboundError::BodyTwice)
                }));
                RequestBody::Stream(std::mem::replace(stream, sent))
            }
        }
    }

    fn into_body(self) -> Option<reqwest::Body> {
        match self {
            RequestBody::Nothing => None,
            RequestBody::Bytes(bytes) => Some(bytes.into()),
            RequestBody::Stream(stream) => Some(reqwest::Body::wrap_stream(stream)),
        }
    }

    fn into_stream(self) -> Option<ByteStream> {
        match self {
            RequestBody::Nothing => None,
            RequestBody::Bytes(bytes) => Some(Box::pin(futures_util::stream::once(
                std::future::ready(Ok(bytes)),
            ))),
            RequestBody::Stream(stream) => Some(stream),
        }
    }
}
