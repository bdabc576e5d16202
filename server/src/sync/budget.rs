//! Bytes that all connections together may make the server hold.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A number of bytes to share out.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicUsize,
}

/// A part of a budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub fn new(bytes: usize) -> Arc<Budget> {
        Arc::new(Budget {
            left: AtomicUsize::new(bytes),
        })
    }

    /// Takes `bytes`, if that much is left.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            });
        taken.is_ok().then(|| Share {
            budget: self.clone(),
            bytes,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// A socket whose half-received messages count towards a budget that all sockets share. Small ones are free: most
/// messages arrive whole, and never touch it.
pub(super) struct Metered<S> {
    inner: S,
    budget: Arc<Budget>,
    /// Bytes received since the last whole message.
    partial: usize,
    shares: Vec<Share>,
}

/// Bytes of a message that count towards no budget.
const FREE_BYTES: usize = 64 << 10;
/// What is taken from the budget at a time.
const SHARE_BYTES: usize = 256 << 10;

impl<S> Metered<S> {
    pub fn new(inner: S, budget: Arc<Budget>) -> Metered<S> {
        Metered {
            inner,
            budget,
            partial: 0,
            shares: Vec::new(),
        }
    }

    /// A whole message has been taken out of what was received.
    pub fn message_ended(&mut self) {
        self.partial = 0;
        self.shares.clear();
    }

    fn received(&mut self, bytes: usize) -> io::Result<()> {
        self.partial += bytes;
        while self.partial > FREE_BYTES + self.shares.len() * SHARE_BYTES {
            let share = self
                .budget
                .take(SHARE_BYTES)
                .ok_or(io::ErrorKind::QuotaExceeded)?;
            self.shares.push(share);
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        let bytes = buffer.filled().len() - before;
        let counted = self.received(bytes);
        if counted.is_err() {
            // A read that fails has read nothing.
            buffer.set_filled(before);
        }
        Poll::Ready(counted)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[test]
    fn a_budget_is_given_out_once_and_comes_back() {
        let budget = Budget::new(10);
        let most = budget.take(8).unwrap();
        assert!(budget.take(3).is_none());
        drop(most);
        assert!(budget.take(10).is_some());
    }

    #[tokio::test]
    async fn half_received_messages_of_all_sockets_stay_within_the_budget() {
        let budget = Budget::new(SHARE_BYTES);
        let long = vec![0u8; FREE_BYTES + 1];
        let mut first = Metered::new(&long[..], budget.clone());
        let mut second = Metered::new(&long[..], budget);
        let mut received = Vec::new();
        first.read_to_end(&mut received).await.unwrap();
        assert_eq!(
            second.read_to_end(&mut received).await.unwrap_err().kind(),
            io::ErrorKind::QuotaExceeded
        );
        first.message_ended();
        let mut third = Metered::new(&long[..], first.budget.clone());
        third.read_to_end(&mut received).await.unwrap();
    }
}
