//! The order of one session's mutations, where some of them run beside the lane.
//!
//! One of them at a time: the next begins once the one before it has its place at the head. Mutations that run on the
//! lane keep their order by the lane's own queue, unless one beside the lane is in front of them.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

/// A client session.
pub(super) type Session = [u8; 16];

/// Mutations of one session that may wait behind one of them.
const WAITING_MAX: usize = 4_096;

/// Sessions in which a mutation runs beside the lane, with the mutations that wait behind it.
pub(super) struct SessionOrder<M> {
    waiting: Mutex<HashMap<Session, VecDeque<M>>>,
}

/// The fate of a mutation that has arrived.
pub(super) enum Arrival<M> {
    /// Start it.
    Start(M),
    /// It waits; it is handed out by [`SessionOrder::next`].
    Waits,
    /// Too many wait already.
    Full,
}

impl<M> Default for SessionOrder<M> {
    fn default() -> Self {
        SessionOrder {
            waiting: Mutex::default(),
        }
    }
}

impl<M> SessionOrder<M> {
    /// Takes note of a mutation. A mutation that runs beside the lane holds back later ones, until
    /// [`next`](Self::next) is called.
    pub fn arrive(&self, session: Session, beside: bool, mutation: M) -> Arrival<M> {
        let mut waiting = self.waiting.lock();
        match waiting.get_mut(&session) {
            Some(queue) if queue.len() >= WAITING_MAX => Arrival::Full,
            Some(queue) => {
                queue.push_back(mutation);
                Arrival::Waits
            }
            None => {
                if beside {
                    waiting.insert(session, VecDeque::new());
                }
                Arrival::Start(mutation)
            }
        }
    }

    /// The next mutation, which may start now that the one in front has its place, or has ended without one. Call it
    /// again once that one is started, unless it runs beside the lane: then it is in front. Later ones wait until the
    /// last call finds nothing.
    pub fn next(&self, session: &Session) -> Option<M> {
        let mut waiting = self.waiting.lock();
        let next = waiting.get_mut(session)?.pop_front();
        if next.is_none() {
            waiting.remove(session);
        }
        next
    }

    /// Everything that waits behind the one in front.
    pub fn take_waiting(&self, session: &Session) -> VecDeque<M> {
        let mut waiting = self.waiting.lock();
        waiting
            .get_mut(session)
            .map(std::mem::take)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Session = [7; 16];

    fn starts(order: &SessionOrder<(u32, bool)>, n: u32, beside: bool) -> bool {
        matches!(
            order.arrive(SESSION, beside, (n, beside)),
            Arrival::Start(_)
        )
    }

    /// The calls that are started until one that runs beside the lane is in front.
    fn next(order: &SessionOrder<(u32, bool)>) -> Vec<u32> {
        let mut started = Vec::new();
        while let Some((n, beside)) = order.next(&SESSION) {
            started.push(n);
            if beside {
                break;
            }
        }
        started
    }

    #[test]
    fn what_comes_behind_a_mutation_beside_the_lane_waits_for_its_place() {
        let order = SessionOrder::default();
        assert!(starts(&order, 1, false));
        assert!(starts(&order, 2, true));
        assert!(!starts(&order, 3, false));
        assert!(!starts(&order, 4, true));
        assert!(!starts(&order, 5, false));
        assert!(matches!(
            order.arrive([8; 16], true, (9, true)),
            Arrival::Start(_)
        ));
        assert_eq!(next(&order), [3, 4]);
        assert_eq!(next(&order), [5]);
        assert!(starts(&order, 6, false));
        assert_eq!(next(&order), [] as [u32; 0]);
    }

    #[test]
    fn what_comes_while_others_are_started_starts_behind_them() {
        let order = SessionOrder::default();
        assert!(starts(&order, 1, true));
        assert!(!starts(&order, 2, false));
        assert_eq!(order.next(&SESSION), Some((2, false)));
        assert!(!starts(&order, 3, false), "the second is not started yet");
        assert_eq!(next(&order), [3]);
        assert!(starts(&order, 4, false));
    }

    #[test]
    fn what_waits_behind_one_that_failed_is_taken_and_later_ones_wait_for_the_end() {
        let order = SessionOrder::default();
        assert!(starts(&order, 1, true));
        assert!(!starts(&order, 2, false));
        assert!(!starts(&order, 3, true));
        assert_eq!(order.take_waiting(&SESSION), [(2, false), (3, true)]);
        assert!(!starts(&order, 4, false));
        assert_eq!(next(&order), [4]);
        assert!(starts(&order, 5, false));
    }

    #[test]
    fn a_session_cannot_pile_up_mutations_without_bound() {
        let order = SessionOrder::default();
        assert!(starts(&order, 0, true));
        for n in 0..WAITING_MAX as u32 {
            assert!(matches!(
                order.arrive(SESSION, false, (n, false)),
                Arrival::Waits
            ));
        }
        assert!(matches!(
            order.arrive(SESSION, false, (0, false)),
            Arrival::Full
        ));
    }
}
