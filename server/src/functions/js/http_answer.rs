//! The answer of an HTTP action: its head as soon as the function returns, its body while it arrives.

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::headers::from_pairs;
use super::streams::{Streams, Taken};
use crate::functions::Console;
use crate::functions::HTTP_RESPONSE_BYTES_MAX;
use crate::functions::error::Result;
use crate::functions::streamed::{
    BodyCut, Chunks, NO_ROUTE, StreamError, StreamedBody, StreamedResponse,
};

/// Chunks of a body that its reader has not taken yet.
const CHUNKS_AHEAD_MAX: usize = 1;

/// How the sending of a body ended.
pub(super) enum PumpEnd {
    /// All of it was sent, or its reader has gone.
    Over,
    /// It has more bytes than an answer may have.
    TooLarge,
    /// Its stream failed.
    Broken(StreamError),
}

/// An answer, from the call's beginning to its end.
pub(super) struct Answering {
    head: Option<oneshot::Sender<Result<StreamedResponse>>>,
    /// The stream that is being sent.
    sending: Option<u64>,
    /// Cuts the body off when the call ends before it.
    cut: Option<DropGuard>,
    pub(super) status: Option<StatusCode>,
}

/// An answer as the package tells it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    status: u16,
    header_pairs: Vec<(String, String)>,
    stream_id: Option<u64>,
}

impl Answering {
    pub fn new(head: oneshot::Sender<Result<StreamedResponse>>) -> Answering {
        Answering {
            head: Some(head),
            sending: None,
            cut: None,
            status: None,
        }
    }

    /// Whether nothing was answered yet.
    pub fn is_waiting(&self) -> bool {
        self.head.is_some()
    }

    /// Whether all was answered.
    pub fn is_done(&self) -> bool {
        self.head.is_none() && self.sending.is_none()
    }

    /// Whether the function may still add to the body.
    pub fn is_fed(&self, streams: &Streams) -> bool {
        self.sending.is_some_and(|id| streams.is_fed(id))
    }

    /// Answers with what the function returned. `at_end` is told how the sending of the body ended.
    pub fn begin(
        &mut self,
        text: &str,
        streams: &mut Streams,
        handle: &Handle,
        at_end: impl FnOnce(PumpEnd) + Send + 'static,
    ) -> Result<(), String> {
        let told: Told = serde_json::from_str(text)
            .map_err(|error| format!("HTTP actions must return a Response: {error}"))?;
        let status = StatusCode::from_u16(told.status)
            .ok()
            .filter(|status| !status.is_informational())
            .ok_or_else(|| format!("A Response cannot have the status {}", told.status))?;
        let headers = from_pairs(&told.header_pairs)?;
        let taken = told.stream_id.and_then(|id| streams.take(id));
        let body = match taken {
            None => StreamedBody::Whole(Bytes::new()),
            Some(Taken {
                chunks,
                length: Some(length),
            }) if length <= HTTP_RESPONSE_BYTES_MAX => StreamedBody::Whole(whole(chunks)),
            Some(Taken { chunks, .. }) => {
                let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD_MAX);
                let cut = CancellationToken::new();
                self.cut = Some(cut.clone().drop_guard());
                let is_fed = told.stream_id.is_some_and(|id| streams.is_fed(id));
                let pump = Pump {
                    chunks,
                    cut,
                    is_fed,
                };
                handle.spawn(async move { at_end(pump.run(sender).await) });
                self.sending = told.stream_id;
                StreamedBody::Arriving(receiver)
            }
        };
        self.status = Some(status);
        let response = StreamedResponse {
            status,
            headers,
            body,
        };
        if let Some(head) = self.head.take() {
            // The client may have gone.
            let _ = head.send(Ok(response));
        }
        Ok(())
    }

    /// The sending of the body has ended.
    pub fn end(&mut self, end: PumpEnd, console: &mut Console) {
        self.sending = None;
        match end {
            PumpEnd::Over => {}
            PumpEnd::TooLarge => console.error(format!(
                "HttpResponseTooLarge: HTTP actions support responses up to {} MiB",
                HTTP_RESPONSE_BYTES_MAX >> 20
            )),
            PumpEnd::Broken(error) => {
                console.error(format!("The response's body broke off: {}", error.message));
            }
        }
    }

    /// Answers that there is no such route.
    pub fn unrouted(self) {
        let headers = [(CONTENT_TYPE, HeaderValue::from_static("text/plain"))];
        let response = StreamedResponse {
            status: StatusCode::NOT_FOUND,
            headers: HeaderMap::from_iter(headers),
            body: StreamedBody::Whole(Bytes::from_static(NO_ROUTE.as_bytes())),
        };
        if let Some(head) = self.head {
            // The client may have gone.
            let _ = head.send(Ok(response));
        }
    }

    /// The way to tell of a call that answered nothing.
    pub fn into_head(self) -> Option<oneshot::Sender<Result<StreamedResponse>>> {
        self.head
    }
}

/// The only chunk of a stream whose bytes are there.
fn whole(mut chunks: Chunks) -> Bytes {
    let first = chunks.next().now_or_never().flatten();
    first.and_then(|chunk| chunk.ok()).unwrap_or_default()
}

/// A body on its way.
struct Pump {
    chunks: Chunks,
    cut: CancellationToken,
    /// Whether the function makes it. Then its end is waited for when its reader has gone: the function learns of that
    /// by its request's signal alone.
    is_fed: bool,
}

impl Pump {
    /// Sends the body as it arrives, and no faster than it is taken.
    async fn run(mut self, to: mpsc::Sender<Result<Bytes, BodyCut>>) -> PumpEnd {
        let mut sent = 0;
        loop {
            let next = tokio::select! {
                () = to.closed(), if !self.is_fed => return PumpEnd::Over,
                () = self.cut.cancelled() => {
                    Some(Err(StreamError::plain("The function has ended")))
                }
                next = self.chunks.next() => next,
            };
            let end = match next {
                None => return PumpEnd::Over,
                Some(Ok(mut bytes)) => {
                    let length = bytes.len();
                    // Chunks that may still be sent are sent, so that the status goes out before the answer is cut off.
                    bytes.truncate(HTTP_RESPONSE_BYTES_MAX - sent);
                    sent += bytes.len();
                    let is_whole = bytes.len() == length;
                    let is_taken = to.send(Ok(bytes)).await.is_ok();
                    match is_whole {
                        true if is_taken || self.is_fed => continue,
                        true => return PumpEnd::Over,
                        false => PumpEnd::TooLarge,
                    }
                }
                Some(Err(error)) => PumpEnd::Broken(error),
            };
            // The body's reader may have gone.
            let _ = to.send(Err(BodyCut)).await;
            return end;
        }
    }
}
