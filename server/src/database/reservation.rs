//! The reservation of one draft that was overtaken again and again. Its reads stay as they are until its draft is
//! applied, or its time is over. Everything else goes on.
//!
//! A commit that overlaps it is put back, and runs once the reservation is over. Later commits of its session are put back
//! too, so that every session keeps its order. There is one reservation at a time, first come, first served.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use super::committer::Mutation;
use super::draft::{Draft, Drafted};
use super::read_set::ReadSet;
use super::write_log::Touched;

/// A client session.
type Session = [u8; 16];

/// Commits that may wait for the end of a reservation.
pub(super) const PUT_BACK_MAX: usize = 65_536;

/// One mutation's part in reservations. A reservation ends with the claimant at the latest.
pub struct Claimant {
    claim: Claim,
    /// Its end is seen by all that hold the claim.
    _alive: Sender<Infallible>,
}

/// A wish for a reservation, or the name of the one that is held.
#[derive(Clone, Debug)]
pub struct Claim(Receiver<Infallible>);

/// A draft's request that its reads be kept as they are.
#[derive(Clone)]
pub struct Wish {
    pub(super) claim: Claim,
    pub(super) reads: ReadSet,
    pub(super) time_max: Duration,
}

impl Default for Claimant {
    fn default() -> Claimant {
        let (alive, ended) = bounded(0);
        Claimant {
            claim: Claim(ended),
            _alive: alive,
        }
    }
}

impl Claimant {
    /// Its claim.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Asks that `reads` stay as they are, for `time_max` from the moment at which its turn comes.
    pub fn wish(&self, reads: ReadSet, time_max: Duration) -> Wish {
        Wish {
            claim: self.claim.clone(),
            reads,
            time_max,
        }
    }
}

impl Claim {
    fn is_over(&self) -> bool {
        self.0.try_recv() == Err(TryRecvError::Disconnected)
    }

    fn is(&self, other: &Claim) -> bool {
        self.0.same_channel(&other.0)
    }
}

/// A commit that waits for the end of a reservation.
pub(super) enum PutBack {
    Mutation(Box<dyn Mutation>),
    Draft(Box<dyn Drafted>, Box<Draft>),
}

impl PutBack {
    fn session(&self) -> Option<Session> {
        match self {
            PutBack::Mutation(mutation) => mutation.session(),
            PutBack::Draft(drafted, _) => drafted.session(),
        }
    }
}

/// The lane's reservation, and what waits for its end.
#[derive(Default)]
pub(super) struct Reservations {
    held: Option<Held>,
    /// Those that were overtaken while another one held it, first come, first served. One that does not come back in its
    /// time is stuck, and gives its turn to the next.
    claims: VecDeque<Waiting>,
    waiting: VecDeque<PutBack>,
    /// How many wait of each session.
    sessions: HashMap<Session, usize>,
}

/// A claim that waits for its turn, until a time.
struct Waiting {
    claim: Claim,
    until: Duration,
}

struct Held {
    claim: Claim,
    reads: ReadSet,
    until: Duration,
}

impl Reservations {
    /// Whether there is none, and nothing waits for one: the lane then has nothing to ask.
    pub fn are_absent(&self) -> bool {
        self.held.is_none() && self.waiting.is_empty()
    }

    /// Takes note of a wish. True if its reads are reserved from now on.
    pub fn claim(&mut self, wish: Wish, now: Duration) -> bool {
        self.end_if_over(now);
        let Wish {
            claim,
            reads,
            time_max,
        } = wish;
        if let Some(held) = self.held.as_mut().filter(|held| held.claim.is(&claim)) {
            held.extend(reads);
            return true;
        }
        let until = now.saturating_add(time_max);
        let is_own = |waits: &Waiting| waits.claim.is(&claim);
        self.claims
            .retain(|waits| is_own(waits) || !(waits.claim.is_over() || waits.until <= now));
        let is_next = self.claims.front().is_none_or(is_own);
        if self.held.is_none() && self.waiting.is_empty() && is_next {
            self.claims.pop_front();
            self.held = Some(Held {
                claim,
                reads,
                until,
            });
            return true;
        }
        match self.claims.iter_mut().find(|waits| waits.claim.is(&claim)) {
            Some(waits) => waits.until = until,
            None => self.claims.push_back(Waiting { claim, until }),
        }
        false
    }

    /// The holder read something else and was overtaken there.
    pub fn extend(&mut self, claim: Option<&Claim>, reads: &ReadSet) {
        if let (Some(held), Some(claim)) = (&mut self.held, claim)
            && held.claim.is(claim)
        {
            held.extend(reads.clone());
        }
    }

    /// The holder has its place, or will have none.
    pub fn end(&mut self, claim: Option<&Claim>) {
        let is_held = |held: &Held| claim.is_some_and(|claim| held.claim.is(claim));
        if self.held.as_ref().is_some_and(is_held) {
            self.held = None;
        }
    }

    /// No reservation stands any longer.
    pub fn end_all(&mut self) {
        self.held = None;
    }

    fn end_if_over(&mut self, now: Duration) {
        let is_over = |held: &Held| held.until <= now || held.claim.is_over();
        if self.held.as_ref().is_some_and(is_over) {
            self.held = None;
        }
    }

    /// Whether a commit that touches `touched` has to wait, of a mutation that is not `claim`'s.
    pub fn keeps_out(&mut self, touched: &Touched, claim: Option<&Claim>, now: Duration) -> bool {
        self.end_if_over(now);
        let Some(held) = &self.held else {
            return false;
        };
        let is_own = claim.is_some_and(|claim| held.claim.is(claim));
        !is_own && touched.iter().any(|key| held.reads.contains(key))
    }

    /// Whether something of this session waits.
    pub fn is_behind(&self, session: Option<Session>) -> bool {
        session.is_some_and(|session| self.sessions.contains_key(&session))
    }

    /// Puts a commit back. It comes back itself if too many wait.
    pub fn put_back(&mut self, commit: PutBack) -> Option<PutBack> {
        if self.waiting.len() >= PUT_BACK_MAX {
            return Some(commit);
        }
        if let Some(session) = commit.session() {
            *self.sessions.entry(session).or_default() += 1;
        }
        self.waiting.push_back(commit);
        None
    }

    /// The next one that may run, because no reservation stands.
    pub fn next(&mut self, now: Duration) -> Option<PutBack> {
        self.end_if_over(now);
        if self.held.is_some() {
            return None;
        }
        let next = self.waiting.pop_front()?;
        if let Some(session) = next.session()
            && let Some(count) = self.sessions.get_mut(&session)
        {
            *count -= 1;
            if *count == 0 {
                self.sessions.remove(&session);
            }
        }
        Some(next)
    }

    /// Whether something waits that may run now.
    pub fn has_next(&mut self, now: Duration) -> bool {
        self.end_if_over(now);
        self.held.is_none() && !self.waiting.is_empty()
    }

    /// While commits wait: when the reservation ends, and the sign that its claimant has gone.
    pub fn end_of_wait(&self) -> Option<(Duration, Receiver<Infallible>)> {
        let held = self.held.as_ref().filter(|_| !self.waiting.is_empty())?;
        Some((held.until, held.claim.0.clone()))
    }
}

impl Held {
    fn extend(&mut self, reads: ReadSet) {
        self.reads = std::mem::take(&mut self.reads).and(reads);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::storage::KeyRange;

    const SECOND: Duration = Duration::from_secs(1);

    fn reads(keys: &[&'static str]) -> ReadSet {
        let mut reads = ReadSet::default();
        for key in keys {
            reads.record(KeyRange::point(Bytes::from(*key)));
        }
        reads
    }

    fn touched(key: &'static str) -> Touched {
        Touched::from_iter([key])
    }

    fn keeps_out(reservations: &mut Reservations, key: &'static str, now: Duration) -> bool {
        reservations.keeps_out(&touched(key), None, now)
    }

    #[test]
    fn it_keeps_out_what_it_read_alone_and_never_the_commit_of_its_holder() {
        let (mut all, holder) = (Reservations::default(), Claimant::default());
        assert!(all.are_absent() && !keeps_out(&mut all, "a", Duration::ZERO));
        assert!(all.claim(holder.wish(reads(&["a"]), SECOND), Duration::ZERO));
        assert!(keeps_out(&mut all, "a", Duration::ZERO));
        assert!(!keeps_out(&mut all, "b", Duration::ZERO));
        let own = Some(holder.claim());
        assert!(!all.keeps_out(&touched("a"), own, Duration::ZERO));
        all.extend(own, &reads(&["b"]));
        assert!(keeps_out(&mut all, "a", Duration::ZERO));
        assert!(keeps_out(&mut all, "b", Duration::ZERO));
        all.end(own);
        assert!(!keeps_out(&mut all, "a", Duration::ZERO));
    }

    #[test]
    fn it_ends_with_its_time_and_with_its_claimant() {
        let (mut all, holder) = (Reservations::default(), Claimant::default());
        assert!(all.claim(holder.wish(reads(&["a"]), SECOND), Duration::ZERO));
        // Another wish of the same claimant gives it no more time.
        assert!(all.claim(holder.wish(reads(&["b"]), SECOND), SECOND / 2));
        assert!(keeps_out(&mut all, "b", SECOND - Duration::from_nanos(1)));
        assert!(!keeps_out(&mut all, "b", SECOND));
        assert!(all.claim(holder.wish(reads(&["a"]), SECOND), SECOND));
        drop(holder);
        assert!(!keeps_out(&mut all, "a", SECOND));
    }

    #[test]
    fn those_that_wait_for_it_have_it_in_their_order_and_one_that_has_gone_holds_up_nobody() {
        let mut all = Reservations::default();
        let [first, second, gone, third] = std::array::from_fn(|_| Claimant::default());
        let claim = |all: &mut Reservations, who: &Claimant| {
            all.claim(who.wish(reads(&["a"]), SECOND), Duration::ZERO)
        };
        assert!(claim(&mut all, &first));
        for waits in [&second, &gone, &third, &second] {
            assert!(!claim(&mut all, waits));
        }
        drop(gone);
        all.end(Some(first.claim()));
        assert!(!claim(&mut all, &third), "the second is in front of it");
        assert!(claim(&mut all, &second));
        all.end(Some(second.claim()));
        assert!(claim(&mut all, &third));
        assert!(all.claims.is_empty());
    }

    #[test]
    fn one_that_waits_and_does_not_come_back_in_its_time_holds_up_nobody() {
        let mut all = Reservations::default();
        let [first, stuck, third] = std::array::from_fn(|_| Claimant::default());
        let claim = |all: &mut Reservations, who: &Claimant, now| {
            all.claim(who.wish(reads(&["a"]), SECOND), now)
        };
        assert!(claim(&mut all, &first, Duration::ZERO));
        assert!(!claim(&mut all, &stuck, Duration::ZERO));
        all.end(Some(first.claim()));
        assert!(
            !claim(&mut all, &third, SECOND / 2),
            "the other is in front of it"
        );
        assert!(claim(&mut all, &third, SECOND));
    }
}
