//! The limit on one address's failed credentials.
//!
//! Admin keys and auth tokens are counted apart. An address past its bound gets no more auth tokens checked, good or bad,
//! until its minute has ended. A check may cost a signature, and a fetch of keys.
//!
//! Admin keys are checked all the same, and only invalid ones are refused. One misconfigured tool must not lock out the
//! operator behind the same address. This tells a guesser nothing that helps. A key carries a code of HMAC-SHA256, compared in
//! constant time, so no number of guesses that a server can answer comes near it. The check costs microseconds.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use hashlink::LruCache;
use parking_lot::Mutex;

use crate::clock::Clock;

/// Invalid admin keys that an address may present in a minute.
pub const ADMIN_KEY_FAILURES_PER_MINUTE_MAX: u32 = 10;
/// Refused auth tokens that an address may present in a minute. A connection presents one at most, since a refused one
/// closes it; an address may be a whole office whose tokens ended overnight.
pub const AUTH_FAILURES_PER_MINUTE_MAX: u32 = 600;
/// Addresses remembered; beyond this the address that failed the longest ago is forgotten.
const ADDRESSES_MAX: usize = 10_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Failures of one sort, by address.
pub(super) struct Failures {
    what: &'static str,
    per_minute_max: u32,
    clock: Arc<dyn Clock>,
    windows: Mutex<LruCache<IpAddr, Window>>,
}

/// The minute that begins with a first failure.
struct Window {
    began: Duration,
    failures: u32,
}

impl Failures {
    /// `what` is counted, for the log.
    pub fn new(what: &'static str, per_minute_max: u32, clock: Arc<dyn Clock>) -> Failures {
        Failures {
            what,
            per_minute_max,
            clock,
            windows: Mutex::new(LruCache::new(ADDRESSES_MAX)),
        }
    }

    /// Whether `address` has failed so often that it is refused now.
    pub fn are_too_many(&self, address: IpAddr) -> bool {
        let now = self.clock.elapsed();
        let windows = self.windows.lock();
        windows
            .peek(&network(address))
            .is_some_and(|window| !window.is_over(now) && window.failures >= self.per_minute_max)
    }

    /// Counts a failure.
    pub fn count(&self, address: IpAddr) {
        let now = self.clock.elapsed();
        let mut windows = self.windows.lock();
        let network = network(address);
        let (began, before) = match windows.get(&network) {
            Some(window) if !window.is_over(now) => (window.began, window.failures),
            Some(_) | None => (now, 0),
        };
        let failures = before.saturating_add(1);
        windows.insert(network, Window { began, failures });
        if failures == self.per_minute_max {
            let what = self.what;
            tracing::warn!(%address, what, "too many refused in a minute; further ones get 429 until it ends");
        }
    }
}

impl Window {
    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.began) >= MINUTE
    }
}

/// An owner of one IPv6 address usually owns the 2^64 beside it.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, UnixNanos};

    fn failures() -> (Failures, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(UnixNanos::from_seconds(1)));
        (Failures::new("keys", 3, clock.clone()), clock)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_heard_again_when_its_minute_has_ended() {
        let (failures, clock) = failures();
        let home = address("192.0.2.1");
        for _ in 0..3 {
            assert!(!failures.are_too_many(home));
            failures.count(home);
            clock.advance(Duration::from_secs(10));
        }
        assert!(failures.are_too_many(home));
        assert!(!failures.are_too_many(address("192.0.2.2")));
        clock.advance(Duration::from_secs(30) - Duration::from_nanos(1));
        assert!(failures.are_too_many(home));
        clock.advance(Duration::from_nanos(1));
        assert!(!failures.are_too_many(home));
        failures.count(home);
        assert!(!failures.are_too_many(home), "the count began again");
        (0..2).for_each(|_| failures.count(home));
        assert!(failures.are_too_many(home), "and so did the minute");
    }

    #[test]
    fn the_addresses_of_one_machine_count_as_one() {
        let (failures, _) = failures();
        for one in ["2001:db8::1", "2001:db8::ffff:0:1", "2001:db8:0:0:ffff::"] {
            failures.count(address(one));
        }
        assert!(failures.are_too_many(address("2001:db8::2")));
        assert!(!failures.are_too_many(address("2001:db8:0:1::2")));
        for one in ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"] {
            failures.count(address(one));
        }
        assert!(failures.are_too_many(address("::ffff:192.0.2.1")));
    }

    #[test]
    fn no_more_addresses_are_remembered_than_the_bound() {
        let (failures, _) = failures();
        let guesser = address("192.0.2.1");
        for number in 0..2 * ADDRESSES_MAX as u128 {
            failures.count(IpAddr::V6(Ipv6Addr::from_bits(number << 64)));
            if number % 1_000 == 0 {
                failures.count(guesser);
            }
        }
        assert_eq!(failures.windows.lock().len(), ADDRESSES_MAX);
        assert!(failures.are_too_many(guesser), "one that goes on stays");
    }
}
