//! `fetch` of actions: the request goes out when it is made, its answer comes back as headers and a stream.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::Method;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use url::Url;
use vestibule_isolate::{ErrorClass, HostError};

use super::headers::{from_pairs, to_pairs};
use super::streams::{STREAMS_MAX, Share, Streams};
use crate::functions::streamed::{Chunks, StreamError};
use crate::outbound::{
    Outbound, OutboundError, OutboundRequest, OutboundResponse, Redirect, RequestBody,
};

/// The tokens that end a call's requests early.
#[derive(Default)]
pub(super) struct Aborts(BTreeMap<u64, Weak<CancellationToken>>);

/// A request that is ready to be sent.
pub(super) struct Fetch {
    request: OutboundRequest,
    aborted: Arc<CancellationToken>,
    _share: Option<Share>,
}

/// The answer to a request.
pub(super) struct Fetched {
    /// For JavaScript; the stream's id is still to be added.
    pub json: serde_json::Value,
    pub body: Option<Chunks>,
}

/// A request as the prelude tells it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FetchArgs {
    id: u64,
    url: String,
    method: String,
    headers: Vec<(String, String)>,
    redirect: String,
    stream_id: Option<u64>,
}

impl Aborts {
    /// Ends request `id`, whatever it has come to.
    pub fn abort(&mut self, id: u64) {
        if let Some(token) = self.0.remove(&id).and_then(|token| token.upgrade()) {
            token.cancel();
        }
    }

    fn add(&mut self, id: u64) -> Arc<CancellationToken> {
        if self.0.len() >= STREAMS_MAX {
            self.0.retain(|_, token| token.strong_count() > 0);
        }
        let token = Arc::new(CancellationToken::new());
        self.0.insert(id, Arc::downgrade(&token));
        token
    }
}

impl Fetch {
    /// Reads what the prelude asks for.
    pub fn read(
        text: &str,
        bytes: Option<Vec<u8>>,
        streams: &mut Streams,
        aborts: &mut Aborts,
    ) -> Result<Fetch, HostError> {
        let wrong = |text: String| HostError::new(ErrorClass::TypeError, format!("fetch: {text}"));
        let args: FetchArgs =
            serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let mut share = None;
        let body = match (bytes, args.stream_id) {
            (Some(bytes), _) => {
                share = Some(streams.hold(bytes.len())?);
                RequestBody::Bytes(Bytes::from(bytes))
            }
            (None, Some(id)) => RequestBody::Stream(sent(
                streams
                    .take(id)
                    .map_or_else(|| stream::empty().boxed(), |taken| taken.chunks),
            )),
            (None, None) => RequestBody::Nothing,
        };
        let request = OutboundRequest {
            url: Url::parse(&args.url).map_err(|error| wrong(error.to_string()))?,
            method: Method::from_bytes(args.method.as_bytes())
                .map_err(|error| wrong(error.to_string()))?,
            headers: from_pairs(&args.headers).map_err(wrong)?,
            body,
            redirect: match args.redirect.as_str() {
                "manual" => Redirect::Manual,
                "error" => Redirect::Error,
                _ => Redirect::Follow,
            },
        };
        Ok(Fetch {
            request,
            aborted: aborts.add(args.id),
            _share: share,
        })
    }

    /// Sends it, until the headers of the answer are there.
    pub async fn send(self, outbound: &Outbound) -> Result<Fetched, StreamError> {
        let Fetch {
            request, aborted, ..
        } = self;
        let sent = outbound.send(request);
        match aborted.run_until_cancelled(sent).await {
            Some(Ok(response)) => Ok(fetched(response, aborted)),
            Some(Err(error)) => Err(StreamError::network(error.to_string())),
            None => Err(StreamError::aborted()),
        }
    }
}

fn sent(chunks: Chunks) -> crate::outbound::ByteStream {
    Box::pin(chunks.map_err(|error| OutboundError::RequestBody(error.message)))
}

fn fetched(response: OutboundResponse, aborted: Arc<CancellationToken>) -> Fetched {
    let status = response.status;
    let json = json!({
        "status": status.as_u16(),
        "statusText": status.canonical_reason().unwrap_or_default(),
        "headers": to_pairs(&response.headers),
        "url": response.url.as_str(),
        "redirected": response.is_redirected,
        "streamId": null,
    });
    let body = response.body.map(|chunks| {
        let chunks = stream::unfold((chunks, aborted), |(mut chunks, aborted)| async {
            let next = aborted.run_until_cancelled(chunks.next()).await;
            let next = match next {
                Some(next) => next?.map_err(|error| StreamError::network(error.to_string())),
                None => Err(StreamError::aborted()),
            };
            Some((next, (chunks, aborted)))
        });
        chunks.boxed()
    });
    Fetched { json, body }
}
