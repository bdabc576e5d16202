//! The one road to HTTP actions, in either language: request and answer are streams, and the action learns when its client
//! has gone.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Http;
use super::actions::{Asking, refused_body, take_framing, token_text, without_head};
use super::around::Asked;
use super::body::BodyError;
use super::respond::{self, WireError};
use super::within::FromWithin;
use crate::clock::{Clock, timeout};
use crate::functions::{
    BodyCut, Chunks, RegisteredRoute, RequestMetadata, RequestName, StreamError, StreamedBody,
    StreamedRequest, StreamedResponse, SystemError, Thrown,
};

/// In which a proxy says how it was asked.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
/// The host of an address for requests that name none.
const NO_HOST: &str = "localhost";

/// The body of a request on its way to an action.
struct Arriving {
    body: Option<Chunks>,
    trouble: Trouble,
    /// The share of the budget of a body that is all there.
    held: Option<Box<dyn Any + Send>>,
}

/// Why a body broke off, once it did.
type Trouble = Arc<Mutex<Option<BodyError>>>;

impl Http {
    /// Asks an action. It is answered as soon as there is a head to answer with.
    pub(super) async fn ask(
        &self,
        asked: &Asked,
        route: Arc<RegisteredRoute>,
        path: String,
        parts: Parts,
        body: Body,
    ) -> Result<Response, WireError> {
        let arriving = match route.takes_whole() {
            true => self.whole(&parts, body).await?,
            false => self.arriving(&parts, body).await?,
        };
        let slot = self.slot()?;
        let (asking, slot) = self.asking(asked, &parts, slot).await?;
        let gone = CancellationToken::new();
        // Dropped with the request, and with the answer's body.
        let leaving = gone.clone().drop_guard();
        let request = StreamedRequest {
            url: self.url(&parts, &path),
            path,
            query: parts.uri.query().map(str::to_string),
            body: arriving.body,
            gone,
            held: arriving.held,
            method: without_head(parts.method),
            headers: parts.headers,
        };
        let Asking { asker, refused } = asking;
        let (functions, refusal) = (self.functions.clone(), asker.refusal.clone());
        // The function goes on when its caller leaves.
        let running = async move {
            let _slot = slot;
            functions.answer(&route, request, asker).await
        };
        let thrown = match self.spawn(running).await {
            Ok(Some(Ok(response))) => return Ok(written(response, leaving)),
            Ok(Some(Err(thrown))) => thrown,
            Ok(None) => return Err(respond::system(&SystemError::ShuttingDown)),
            Err(error) => {
                tracing::error!(%error, "the task of an HTTP action failed");
                return Err(WireError::internal());
            }
        };
        match (refused, refusal) {
            (Some(refused), Some(refusal)) if thrown.is_of(&refusal) => Ok(refused),
            _ => self.threw(asked, &thrown, &arriving.trouble),
        }
    }

    /// The answer when an action throws. A body that broke off has an answer of its own, if that is what it threw.
    fn threw(
        &self,
        asked: &Asked,
        thrown: &Thrown,
        trouble: &Trouble,
    ) -> Result<Response, WireError> {
        let refused = trouble.lock().take().map(refused_body);
        match refused {
            Some(refused) if refused.message == thrown.message => Err(refused),
            Some(_) | None => {
                let redact = self.connections.redacts();
                Ok(respond::uncaught(thrown, &asked.request_id, redact))
            }
        }
    }

    /// The body once all of it is there.
    async fn whole(&self, parts: &Parts, body: Body) -> Result<Arriving, WireError> {
        let read = self.read_action_body(parts, body).await?;
        let bytes = read.as_ref().map(|read| read.bytes.clone());
        Ok(Arriving {
            body: bytes.map(|bytes| stream::iter([Ok(bytes)]).boxed()),
            trouble: Trouble::default(),
            held: read.map(|read| -> Box<dyn Any + Send> { Box::new(read) }),
        })
    }

    /// The body as it arrives. A body whose announced length is too long is refused at once.
    async fn arriving(&self, parts: &Parts, body: Body) -> Result<Arriving, WireError> {
        let trouble = Trouble::default();
        let arriving = |body| Arriving {
            body,
            trouble: trouble.clone(),
            held: None,
        };
        if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(arriving(None));
        }
        let limit = self.options.action_body_bytes_max;
        let promised = parts.headers.get(CONTENT_LENGTH);
        let promised = promised.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let stream = body.into_data_stream();
        if promised.is_some_and(|promised| promised > limit) {
            return Err(refused_body(BodyError::TooLong { limit }));
        }
        let (wait_max, clock) = (self.options.body_timeout, self.clock.clone());
        let chunks = bounded(stream, limit, wait_max, clock, trouble.clone());
        Ok(arriving(Some(chunks)))
    }

    /// The address as the client wrote it. A trusted proxy says whether the request came over TLS.
    fn url(&self, parts: &Parts, path: &str) -> String {
        let text = |name: &HeaderName| parts.headers.get(name)?.to_str().ok();
        let is_trusted = self.is_from_trusted_proxy(&parts.extensions);
        let scheme = match parts.extensions.get::<FromWithin>() {
            Some(FromWithin { is_https: true }) => "https",
            None if is_trusted => forwarded_scheme(text(&FORWARDED_PROTO), text(&FORWARDED)),
            Some(FromWithin { is_https: false }) | None => "http",
        };
        let host = text(&HOST).unwrap_or(NO_HOST);
        let query = parts.uri.query();
        let (mark, query) = query.map_or(("", ""), |query| ("?", query));
        format!("{scheme}://{host}{path}{mark}{query}")
    }

    /// The facts that functions may learn of a request.
    pub(super) fn metadata(&self, asked: &Asked, parts: &Parts) -> Arc<RequestMetadata> {
        let ip = self.client_address(&parts.extensions, &parts.headers);
        Arc::new(RequestMetadata {
            ip,
            user_agent: user_agent(&parts.headers),
            request_id: RequestName::Given(asked.request_id.to_string()),
            scheduled_function_id: None,
            auth_token: token_text(&parts.headers).map(Arc::from),
        })
    }
}

/// The program that asks, as it names itself.
pub(super) fn user_agent(headers: &HeaderMap) -> Option<Arc<str>> {
    let agent = headers.get(USER_AGENT)?.as_bytes();
    Some(String::from_utf8_lossy(agent).into())
}

/// The last of `X-Forwarded-Proto`, else the last `proto` of `Forwarded`.
fn forwarded_scheme(proto: Option<&str>, forwarded: Option<&str>) -> &'static str {
    let last = |text: &str| {
        text.rsplit(',')
            .next()
            .map(|text| text.trim().to_lowercase())
    };
    let proto_of = |text: &str| {
        let pairs = text.rsplit([',', ';']).map(str::trim);
        let values = pairs.filter_map(|pair| pair.split_once('='));
        let mut protos = values.filter(|(name, _)| name.trim().eq_ignore_ascii_case("proto"));
        let (_, value) = protos.next()?;
        Some(value.trim().trim_matches('"').to_lowercase())
    };
    let scheme = proto
        .and_then(last)
        .or_else(|| forwarded.and_then(proto_of));
    match scheme.as_deref() {
        Some("https") => "https",
        _ => "http",
    }
}

/// A body of at most `limit` bytes, each part of which arrives in time.
fn bounded(
    body: BodyDataStream,
    limit: usize,
    wait_max: Duration,
    clock: Arc<dyn Clock>,
    trouble: Trouble,
) -> Chunks {
    let state = Some((body, 0, clock, trouble));
    let chunks = stream::unfold(state, move |state| async move {
        let (mut body, before, clock, trouble) = state?;
        let next = match timeout(&*clock, wait_max, body.next()).await {
            Some(next) => next?.map_err(|_| BodyError::EndedEarly),
            None => Err(BodyError::TooSlow),
        };
        let next = next.and_then(|chunk| match before + chunk.len() > limit {
            true => Err(BodyError::TooLong { limit }),
            false => Ok(chunk),
        });
        Some(match next {
            Ok(chunk) => {
                let arrived = before + chunk.len();
                (Ok(chunk), Some((body, arrived, clock, trouble)))
            }
            Err(error) => {
                *trouble.lock() = Some(error);
                let text = WireError::from(error).message;
                (Err(StreamError::network(text)), None)
            }
        })
    });
    chunks.boxed()
}

fn written(response: StreamedResponse, leaving: DropGuard) -> Response {
    let StreamedResponse {
        status,
        mut headers,
        body,
    } = response;
    take_framing(&mut headers);
    let body = match body {
        StreamedBody::Whole(bytes) => {
            leaving.disarm();
            Body::from(bytes)
        }
        StreamedBody::Arriving(chunks) => Body::from_stream(watched(chunks, leaving)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A body that, when dropped before its end, signals that its reader has gone.
fn watched(
    chunks: mpsc::Receiver<Result<Bytes, BodyCut>>,
    leaving: DropGuard,
) -> impl futures_util::Stream<Item = Result<Bytes, BodyCut>> + Send {
    stream::unfold((chunks, Some(leaving)), |(mut chunks, mut leaving)| async {
        match chunks.recv().await {
            Some(next) => Some((next, (chunks, leaving))),
            None => {
                leaving.take().map(DropGuard::disarm);
                None
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_nearest_to_us_says_how_it_was_asked() {
        for (proto, forwarded, expected) in [
            (None, None, "http"),
            (Some("https"), None, "https"),
            (Some("http, HTTPS"), None, "https"),
            (Some("https, http"), None, "http"),
            (Some("gopher"), None, "http"),
            (None, Some("for=1.2.3.4;proto=https;host=a"), "https"),
            (
                None,
                Some("proto=https, for=1.2.3.4; Proto=\"http\""),
                "http",
            ),
            (None, Some("for=1.2.3.4"), "http"),
            (Some("http"), Some("proto=https"), "http"),
        ] {
            assert_eq!(
                forwarded_scheme(proto, forwarded),
                expected,
                "{proto:?} {forwarded:?}"
            );
        }
    }
}
