//! The turn of one draft for which the lane waits. The draft gets to the lane, or back to its sender: nothing is lost when
//! the lane ends its wait in the same moment.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

/// The way to a lane that waits for one draft alone.
pub(super) struct Direct<T> {
    place: Arc<Mutex<Place<T>>>,
    /// Wakes the lane; so does its end.
    wake: Sender<()>,
}

/// The lane's side.
pub(super) struct Waiting<T> {
    place: Arc<Mutex<Place<T>>>,
    woken: Receiver<()>,
    time_max: Duration,
}

enum Place<T> {
    Open(Option<T>),
    /// The lane looks here no more.
    Closed,
}

/// Both sides of a turn, for which the lane waits at most this long.
pub(super) fn held_turn<T>(time_max: Duration) -> (Direct<T>, Waiting<T>) {
    let place = Arc::new(Mutex::new(Place::Open(None)));
    let (wake, woken) = bounded(1);
    let direct = Direct {
        place: place.clone(),
        wake,
    };
    let waiting = Waiting {
        place,
        woken,
        time_max,
    };
    (direct, waiting)
}

impl<T> Direct<T> {
    /// Hands `draft` to the lane. It comes back if the lane no longer waits.
    pub fn hand_over(self, draft: T) -> Result<(), T> {
        match &mut *self.place.lock() {
            Place::Closed => return Err(draft),
            Place::Open(place) => *place = Some(draft),
        }
        // A lane that has just ended its wait finds the draft without this.
        let _ = self.wake.try_send(());
        Ok(())
    }
}

impl<T> Waiting<T> {
    /// Waits for the draft. `None` if its time is over, or its sender has gone.
    pub fn wait(self) -> Option<T> {
        let _ = self.woken.recv_timeout(self.time_max);
        self.close()
    }

    /// Ends the turn. Returns the draft if it has been handed over by now.
    fn close(self) -> Option<T> {
        match std::mem::replace(&mut *self.place.lock(), Place::Closed) {
            Place::Open(draft) => draft,
            Place::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_that_comes_as_the_wait_ends_is_there() {
        let (direct, waiting) = held_turn(Duration::ZERO);
        waiting.woken.recv_timeout(waiting.time_max).unwrap_err();
        assert_eq!(direct.hand_over(1), Ok(()));
        assert_eq!(waiting.close(), Some(1));
    }

    #[test]
    fn a_draft_that_comes_after_the_wait_goes_back() {
        let (direct, waiting) = held_turn(Duration::ZERO);
        assert_eq!(waiting.wait(), None);
        assert_eq!(direct.hand_over(1), Err(1));
    }

    #[test]
    fn nobody_waits_for_a_sender_that_has_gone() {
        let (direct, waiting) = held_turn::<()>(Duration::MAX);
        drop(direct);
        assert_eq!(waiting.wait(), None);
    }

    #[test]
    fn of_a_wait_and_a_draft_that_meet_one_has_the_draft() {
        for round in 0..2_000 {
            let (direct, waiting) = held_turn(Duration::from_micros(round % 50));
            let sender = std::thread::spawn(move || direct.hand_over(round));
            let taken = waiting.wait();
            let back = sender.join().unwrap().err();
            assert_eq!(taken.xor(back), Some(round));
        }
    }
}
