//! Bytes that all connections together, and those of one address, may make the server hold.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::auth::network;

/// A number of bytes to share out, perhaps out of a larger number.
#[derive(Debug)]
struct Budget {
    left: AtomicUsize,
    /// The larger budget that each share is taken from as well.
    of: Option<Arc<Budget>>,
}

/// A part of a budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    fn new(bytes: usize, of: Option<Arc<Budget>>) -> Arc<Budget> {
        Arc::new(Budget {
            left: AtomicUsize::new(bytes),
            of,
        })
    }

    /// Takes `bytes`, if that much is left.
    fn take(&self, bytes: usize) -> bool {
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        let less = |left: usize| left.checked_sub(bytes);
        if self.left.fetch_update(set, get, less).is_err() {
            return false;
        }
        let is_taken = self.of.as_ref().is_none_or(|all| all.take(bytes));
        if !is_taken {
            self.left.fetch_add(bytes, Ordering::Relaxed);
        }
        is_taken
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
        if let Some(all) = &self.of {
            all.give_back(bytes);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

/// The budget that all connections share, and the part of it for each address.
pub(super) struct Purses {
    all: Arc<Budget>,
    each_max: usize,
    addresses: Mutex<HashMap<IpAddr, Weak<Budget>>>,
}

/// The budget of one connection: that of its address, which is a part of that of all.
#[derive(Clone, Debug)]
pub(super) struct Purse(Arc<Budget>);

/// Addresses remembered before those that hold nothing are forgotten.
const ADDRESSES_SWEPT_AT: usize = 1_024;

impl Purses {
    /// `all` bytes for all addresses together, of which one address may take `each`.
    pub fn new(all: usize, each: usize) -> Purses {
        Purses {
            all: Budget::new(all, None),
            each_max: each,
            addresses: Mutex::default(),
        }
    }

    /// The purse of a connection from this address. A connection without an address, as in the same process, has its
    /// own.
    pub fn of(&self, from: Option<IpAddr>) -> Purse {
        Purse(match from {
            None => self.budget(),
            Some(from) => self.of_address(network(from)),
        })
    }

    fn budget(&self) -> Arc<Budget> {
        Budget::new(self.each_max, Some(self.all.clone()))
    }

    fn of_address(&self, address: IpAddr) -> Arc<Budget> {
        let mut addresses = self.addresses.lock();
        if let Some(budget) = addresses.get(&address).and_then(Weak::upgrade) {
            return budget;
        }
        if addresses.len() >= ADDRESSES_SWEPT_AT {
            addresses.retain(|_, budget| budget.strong_count() > 0);
        }
        let budget = self.budget();
        addresses.insert(address, Arc::downgrade(&budget));
        budget
    }
}

impl Purse {
    /// Takes `bytes`, if that much is left to this address and to all.
    pub fn take(&self, bytes: usize) -> Option<Share> {
        self.0.take(bytes).then(|| Share {
            budget: self.0.clone(),
            bytes,
        })
    }
}

/// The part of the budgets that a message's bytes take, as long as the message is in use. Most messages take nothing,
/// so it is one empty pointer.
#[derive(Debug, Default)]
pub(super) struct InFlight(Option<Box<Shares>>);

#[derive(Debug, Default)]
struct Shares(Vec<Share>);

impl InFlight {
    fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |shares| shares.0.len())
    }

    fn push(&mut self, share: Share) {
        self.0.get_or_insert_default().0.push(share);
    }
}

/// A socket whose half-received messages count towards budgets that sockets share. Small ones are free: most messages
/// arrive whole, and never touch them.
pub(super) struct Metered<S> {
    inner: S,
    purse: Purse,
    /// Bytes received since the last whole message. No message has more than this counts.
    partial: u32,
    in_flight: InFlight,
    /// A long message has come nearer to its end.
    has_progressed: bool,
    /// Incoming bytes are thrown away.
    is_discarding: bool,
    /// Bytes that the peer has taken, wrapping around: only its movement is looked at.
    pub written: u32,
}

/// Bytes of a message that count towards no budget.
pub(super) const FREE_BYTES: usize = 64 << 10;
/// The number of bytes taken from a budget at a time.
pub(super) const SHARE_BYTES: usize = 256 << 10;

impl<S> Metered<S> {
    pub fn new(inner: S, purse: Purse) -> Metered<S> {
        Metered {
            inner,
            purse,
            partial: 0,
            in_flight: InFlight::default(),
            has_progressed: false,
            is_discarding: false,
            written: 0,
        }
    }

    /// A whole message has been taken out of what was received.
    pub fn message_ended(&mut self) {
        self.partial = 0;
    }

    /// The share of the message that ended last: its bytes count as in flight for as long as this is kept.
    pub fn take_in_flight(&mut self) -> InFlight {
        std::mem::take(&mut self.in_flight)
    }

    /// Whether a long message came nearer to its end since this was last asked.
    pub fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.has_progressed)
    }

    /// From now on incoming bytes are thrown away, and not counted.
    pub fn discard(&mut self) {
        self.is_discarding = true;
        self.in_flight = InFlight::default();
    }

    fn received(&mut self, bytes: usize) -> io::Result<()> {
        if self.is_discarding {
            return Ok(());
        }
        self.partial = self.partial.saturating_add(bytes as u32);
        while self.partial as usize > FREE_BYTES + self.in_flight.len() * SHARE_BYTES {
            let share = self
                .purse
                .take(SHARE_BYTES)
                .ok_or(io::ErrorKind::QuotaExceeded)?;
            self.in_flight.push(share);
            self.has_progressed = true;
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
        let taken = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.written = self.written.wrapping_add(taken as u32);
        Poll::Ready(Ok(taken))
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

    fn from(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_budget_is_given_out_once_and_comes_back() {
        let purses = Purses::new(10, 10);
        let purse = purses.of(None);
        let most = purse.take(8).unwrap();
        assert!(purse.take(3).is_none());
        assert!(purses.of(None).take(3).is_none());
        drop(most);
        assert!(purse.take(10).is_some());
    }

    #[test]
    fn one_address_takes_its_part_and_leaves_the_rest_to_others() {
        let purses = Purses::new(100, 60);
        let (first, second) = (purses.of(from("192.0.2.1")), purses.of(from("192.0.2.1")));
        let held = first.take(40).unwrap();
        assert!(second.take(21).is_none(), "one address, two connections");
        let other = purses.of(from("192.0.2.2")).take(60).unwrap();
        assert!(second.take(1).is_none(), "nothing is left for anybody");
        drop((held, other));
        assert!(purses.of(from("2001:db8::1")).take(60).is_some());
        for number in 0..3 * ADDRESSES_SWEPT_AT as u32 {
            purses.of(Some(IpAddr::from(number.to_be_bytes())));
        }
        assert!(purses.addresses.lock().len() <= ADDRESSES_SWEPT_AT + 1);
    }

    #[tokio::test]
    async fn messages_of_all_sockets_stay_within_the_budget_until_they_are_done_with() {
        let purses = Purses::new(SHARE_BYTES, SHARE_BYTES);
        let long = vec![0u8; FREE_BYTES + 1];
        let mut first = Metered::new(&long[..], purses.of(None));
        let mut second = Metered::new(&long[..], purses.of(None));
        let mut received = Vec::new();
        first.read_to_end(&mut received).await.unwrap();
        assert!(first.take_progress() && !first.take_progress());
        let refused = second.read_to_end(&mut received).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::QuotaExceeded);
        first.message_ended();
        let in_flight = first.take_in_flight();
        let mut third = Metered::new(&long[..], purses.of(None));
        assert!(third.read_to_end(&mut received).await.is_err());
        drop(in_flight);
        let mut fourth = Metered::new(&long[..], purses.of(None));
        fourth.read_to_end(&mut received).await.unwrap();
    }
}
