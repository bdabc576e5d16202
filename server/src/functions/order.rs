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

    /// The mutations that may start now that the one in front has its place, or has ended without one. That is
    /// everything up to the next one that runs beside the lane, which then is in front.
    pub fn next(&self, session: &Session, is_beside: impl Fn(&M) -> bool) -> Vec<M> {
        let mut waiting = self.waiting.lock();
        let Some(queue) = waiting.get_mut(session) else {
            return Vec::new();
        };
        let mut free = Vec::new();
        while let Some(mutation) = queue.pop_front() {
            let beside = is_beside(&mutation);
            free.push(mutation);
            if beside {
                return free;
            }
        }
        waiting.remove(session);
        free
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

    fn next(order: &SessionOrder<(u32, bool)>) -> Vec<u32> {
        let free = order.next(&SESSION, |(_, beside)| *beside);
        free.into_iter().map(|(n, _)| n).collect()
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
