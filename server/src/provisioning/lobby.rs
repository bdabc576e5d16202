//! The identities that wait for a document made elsewhere, and since when.
//!
//! An identity that leaves without it is remembered for a while. It comes back again and again, and is refused only
//! when its waits together have been long.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hashlink::LruCache;
use parking_lot::Mutex;
use vestibule_schema::identity::IdentityKey;

use crate::clock::Clock;

/// Identities that wait at once.
pub const WAITING_MAX: usize = 10_000;
/// How long an identity is waited for in all before it is refused, and how long one that left is remembered.
pub const REFUSED_AFTER: Duration = Duration::from_secs(600);

/// The identities that wait.
pub(super) struct Lobby {
    clock: Arc<dyn Clock>,
    waiting_max: usize,
    state: Mutex<State>,
}

struct State {
    here: HashMap<IdentityKey, Here>,
    left: LruCache<IdentityKey, Left>,
}

struct Here {
    since: Duration,
    /// How many wait as it.
    seats: usize,
}

struct Left {
    since: Duration,
    at: Duration,
}

/// A waiting identity's seat, until it is dropped.
pub(super) struct Seat {
    lobby: Arc<Lobby>,
    key: IdentityKey,
    since: Duration,
    is_let_in: bool,
}

impl Lobby {
    pub fn new(clock: Arc<dyn Clock>, waiting_max: usize) -> Arc<Lobby> {
        Arc::new(Lobby {
            clock,
            waiting_max,
            state: Mutex::new(State {
                here: HashMap::new(),
                left: LruCache::new(waiting_max),
            }),
        })
    }

    /// A seat for one more that waits as `key`. `None` where too many others do.
    pub fn enter(self: &Arc<Self>, key: IdentityKey) -> Option<Seat> {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        let State { here, left } = &mut *state;
        if here.len() >= self.waiting_max && !here.contains_key(&key) {
            return None;
        }
        let known = here.entry(key.clone()).or_insert_with(|| Here {
            since: left
                .remove(&key)
                .filter(|left| now.saturating_sub(left.at) < REFUSED_AFTER)
                .map_or(now, |left| left.since),
            seats: 0,
        });
        known.seats += 1;
        Some(Seat {
            since: known.since,
            lobby: self.clone(),
            key,
            is_let_in: false,
        })
    }

    /// Identities that wait now.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.state.lock().here.len()
    }

    fn leave(&self, key: &IdentityKey, is_let_in: bool) {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        let State { here, left } = &mut *state;
        let Some(known) = here.get_mut(key) else {
            return;
        };
        known.seats -= 1;
        if known.seats > 0 {
            return;
        }
        let since = known.since;
        here.remove(key);
        if !is_let_in {
            left.insert(key.clone(), Left { since, at: now });
        }
    }
}

impl Seat {
    /// Whether its identity has been waited for as long as any may be.
    pub fn has_waited_long(&self) -> bool {
        self.lobby.clock.elapsed().saturating_sub(self.since) >= REFUSED_AFTER
    }

    /// The wait is over, and nothing of it has to be remembered.
    pub fn let_in(mut self) {
        self.is_let_in = true;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.lobby.leave(&self.key, self.is_let_in);
    }
}

#[cfg(test)]
mod tests {
    use vestibule_schema::identity::Identity;
    use vestibule_schema::value::Object;

    use super::*;
    use crate::clock::{ManualClock, UnixNanos};

    fn key(subject: &str) -> IdentityKey {
        Identity::new("https://issuer.test", subject, Object::new()).key()
    }

    #[test]
    fn so_many_identities_wait_each_in_as_many_seats_as_it_likes() {
        let clock = Arc::new(ManualClock::at(UnixNanos::from_seconds(1)));
        let lobby = Lobby::new(clock, 2);
        let ada = [lobby.enter(key("ada")), lobby.enter(key("ada"))];
        let bob = lobby.enter(key("bob"));
        assert!(ada.iter().chain([&bob]).all(Option::is_some));
        assert!(lobby.enter(key("eve")).is_none());
        drop(bob);
        assert!(lobby.enter(key("eve")).is_some());
        drop(ada);
        assert_eq!(lobby.len(), 0);
    }

    #[test]
    fn one_who_comes_back_soon_has_waited_since_the_first_time() {
        let clock = Arc::new(ManualClock::at(UnixNanos::from_seconds(1)));
        let lobby = Lobby::new(clock.clone(), 10);
        let come = || lobby.enter(key("ada")).unwrap();
        let seconds = |seconds| clock.advance(Duration::from_secs(seconds));
        drop(come());
        seconds(599);
        let seat = come();
        assert!(!seat.has_waited_long());
        seconds(1);
        assert!(seat.has_waited_long());
        drop(seat);
        seconds(1);
        let seat = come();
        assert!(seat.has_waited_long());
        seat.let_in();
        assert!(!come().has_waited_long());
        drop(come());
        seconds(600);
        assert!(!come().has_waited_long());
    }
}
