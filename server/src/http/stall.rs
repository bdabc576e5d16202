//! Closes connections whose peer takes nothing of what is written to it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock::{Clock, Sleep};

/// A stream whose writes fail once the peer has taken nothing for a while.
pub(super) struct StallGuard<S> {
    stream: S,
    limit: Duration,
    clock: Arc<dyn Clock>,
    /// Counts down while a write waits. Most connections never have one.
    stalled: Option<Sleep>,
}

impl<S> StallGuard<S> {
    pub fn new(stream: S, limit: Duration, clock: Arc<dyn Clock>) -> StallGuard<S> {
        StallGuard {
            stream,
            limit,
            clock,
            stalled: None,
        }
    }

    fn guard<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let (limit, clock) = (self.limit, self.clock.clone());
        let stalled = self
            .stalled
            .get_or_insert_with(|| clock.sleep_until(clock.elapsed().saturating_add(limit)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.guard(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.guard(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.guard(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.guard(cx, poll)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::clock::{ManualClock, UnixNanos};

    #[tokio::test]
    async fn a_write_that_nobody_takes_fails_in_time() {
        let (ours, _theirs) = tokio::io::duplex(8);
        let clock = Arc::new(ManualClock::at(UnixNanos(0)));
        let limit = Duration::from_secs(120);
        let mut guarded = StallGuard::new(ours, limit, clock.clone());
        let mut writing = Box::pin(guarded.write_all(&[0; 100]));
        clock.advance(limit);
        assert!(futures_util::poll!(&mut writing).is_pending());
        clock.advance(limit - Duration::from_nanos(1));
        assert!(futures_util::poll!(&mut writing).is_pending());
        clock.advance(Duration::from_nanos(1));
        assert_eq!(writing.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn every_byte_that_is_taken_starts_the_wait_anew() {
        let (ours, mut theirs) = tokio::io::duplex(8);
        let clock = Arc::new(ManualClock::at(UnixNanos(0)));
        let mut guarded = StallGuard::new(ours, Duration::from_secs(60), clock);
        let reading = async {
            let mut bytes = [0; 32];
            theirs.read_exact(&mut bytes).await.unwrap();
        };
        let (written, ()) = tokio::join!(guarded.write_all(&[0; 32]), reading);
        written.unwrap();
        assert!(guarded.stalled.is_none());
    }
}
