//! The bodies of requests, read on where an answer came before all of them had arrived. A client that is still sending would
//! otherwise see a reset connection in place of its answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures_util::StreamExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;

use super::Http;
use crate::clock::timeout;

/// Bytes that are thrown away behind an answer, at most. Then the connection ends.
const THROWN_AWAY_BYTES_MAX: usize = 32 << 20;

/// A body. Dropped before its end, it is read on for a bounded time, and thrown away.
pub(super) struct Lingering {
    body: Option<Incoming>,
    /// The client sends nothing before it is asked to, and reading is asking.
    is_unasked: bool,
    /// Where it is read on. The thread of an action drops the body of its request, and has no runtime.
    runtime: Handle,
    http: Arc<Http>,
}

impl Lingering {
    /// The body of a request with these headers. Must be called within the runtime.
    pub fn of(body: Incoming, headers: &HeaderMap, http: Arc<Http>) -> Lingering {
        Lingering {
            body: Some(body),
            is_unasked: headers.contains_key(header::EXPECT),
            runtime: Handle::current(),
            http,
        }
    }
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.is_unasked = false;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.as_ref().map(Body::size_hint);
        hint.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(rest) = self.body.take() else {
            return;
        };
        if self.is_unasked || rest.is_end_stream() {
            return;
        }
        let http = self.http.clone();
        let (clock, wait_max) = (http.clock.clone(), http.options.header_timeout);
        let closing = http.closing.clone();
        self.http.spawn_on(&self.runtime, async move {
            let thrown_away = timeout(&*clock, wait_max, throw_away(rest));
            closing.run_until_cancelled(thrown_away).await;
        });
    }
}

async fn throw_away(rest: Incoming) {
    let mut rest = axum::body::Body::new(rest).into_data_stream();
    let mut bytes = 0;
    while bytes <= THROWN_AWAY_BYTES_MAX
        && let Some(Ok(chunk)) = rest.next().await
    {
        bytes += chunk.len();
    }
}
