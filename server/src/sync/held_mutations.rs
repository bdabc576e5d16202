//! The senders of mutations that wait behind a closed gate. A client whose connection breaks meanwhile sends them
//! again, by then perhaps as somebody else.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use vestibule_schema::identity::IdentityKey;
use vestibule_schema::wire::{RequestId, SessionId};

/// Mutations remembered. Of more, the oldest are forgotten.
const REMEMBERED_MAX: usize = 10_000;

type Request = (SessionId, RequestId);

/// The senders of mutations that were held and not answered, whatever became of their connections.
#[derive(Default)]
pub(super) struct HeldMutations {
    /// The number of senders, so that a server without them takes no lock.
    count: AtomicUsize,
    senders: Mutex<Senders>,
}

#[derive(Default)]
struct Senders {
    of: HashMap<Request, IdentityKey>,
    /// In the order of their arrival; some are gone from `of`.
    arrived: VecDeque<Request>,
}

impl HeldMutations {
    /// A mutation begins to wait. One that has waited before stays its first sender's.
    pub fn hold(&self, request: Request, sender: IdentityKey) {
        let mut senders = self.senders.lock();
        if let Entry::Vacant(place) = senders.of.entry(request) {
            place.insert(sender);
            senders.arrived.push_back(request);
        }
        while senders.arrived.len() > REMEMBERED_MAX {
            let oldest = senders.arrived.pop_front().expect("it was just counted");
            senders.of.remove(&oldest);
        }
        self.count.store(senders.of.len(), Ordering::Release);
    }

    /// Whether somebody else than `sender` sent this mutation first. If not, it is forgotten: it runs now.
    pub fn is_of_another(&self, request: Request, sender: Option<&IdentityKey>) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let mut senders = self.senders.lock();
        match senders.of.get(&request) {
            None => false,
            Some(first) if sender == Some(first) => {
                self.forget_in(&mut senders, request);
                false
            }
            Some(_) => true,
        }
    }

    /// A mutation has been answered without being run.
    pub fn forget(&self, request: Request) {
        self.forget_in(&mut self.senders.lock(), request);
    }

    fn forget_in(&self, senders: &mut Senders, request: Request) {
        senders.of.remove(&request);
        if senders.of.is_empty() {
            senders.arrived.clear();
        }
        self.count.store(senders.of.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(number: usize) -> Request {
        (SessionId([7; 16]), RequestId(number as u32))
    }

    fn key(name: &str) -> IdentityKey {
        IdentityKey::new(format!("https://issuer.example|{name}"))
    }

    #[test]
    fn a_mutation_is_its_first_senders_until_it_runs_or_is_answered() {
        let held = HeldMutations::default();
        held.hold(request(0), key("ada"));
        held.hold(request(1), key("ada"));
        held.hold(request(0), key("grace"));
        assert!(held.is_of_another(request(0), Some(&key("grace"))));
        assert!(held.is_of_another(request(0), None));
        assert!(!held.is_of_another(request(0), Some(&key("ada"))));
        assert!(!held.is_of_another(request(0), Some(&key("grace"))));
        held.forget(request(1));
        assert!(!held.is_of_another(request(1), Some(&key("grace"))));
    }

    #[test]
    fn no_more_are_remembered_than_may_be() {
        let held = HeldMutations::default();
        for number in 0..=REMEMBERED_MAX {
            held.hold(request(number), key("ada"));
        }
        let senders = held.senders.lock();
        assert_eq!(senders.of.len(), REMEMBERED_MAX);
        assert!(!senders.of.contains_key(&request(0)));
    }
}
