//! The keys committed since the oldest live draft began. Checking whether a draft was overtaken costs in proportion to
//! its read set, never to the number of commits since.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use vestibule_schema::timestamp::Timestamp;

use super::read_set::ReadSet;
use super::write_log::Touched;

/// The keys that commits touched while drafts were under way.
#[derive(Default)]
pub(super) struct Overtakes {
    /// How many live drafts began at each state.
    live: BTreeMap<Timestamp, usize>,
    /// Commits whose keys are not in `newest` yet: the next check moves them there.
    waiting: Vec<(Timestamp, Arc<Touched>)>,
    /// The newest commit that touched each key.
    newest: BTreeMap<Bytes, Timestamp>,
    /// How many keys were left when old ones were last forgotten.
    kept: usize,
}

/// Keys below which forgetting is not worth the walk.
const KEYS_KEPT_MIN: usize = 4_096;

impl Overtakes {
    /// A draft begins on the state as of `ts`.
    pub fn began(&mut self, ts: Timestamp) {
        *self.live.entry(ts).or_default() += 1;
    }

    /// A draft that began on the state as of `ts` has ended.
    pub fn ended(&mut self, ts: Timestamp) {
        if let Some(count) = self.live.get_mut(&ts) {
            *count -= 1;
            if *count == 0 {
                self.live.remove(&ts);
            }
        }
        if self.live.is_empty() {
            self.forget_commits();
        }
    }

    /// Forgets the commits so far, because some were rolled back. Their timestamps are later than the state to which the
    /// head went back, so they would overtake drafts that begin there. Drafts from before run again in any case.
    pub fn forget_commits(&mut self) {
        self.waiting.clear();
        self.newest.clear();
        self.kept = 0;
    }

    /// Drafts under way.
    #[cfg(test)]
    pub fn live(&self) -> usize {
        self.live.values().sum()
    }

    /// Takes note of a commit. Costs nothing while no draft is under way.
    pub fn committed(&mut self, ts: Timestamp, touched: &Arc<Touched>) {
        if !self.live.is_empty() {
            self.waiting.push((ts, touched.clone()));
        }
    }

    /// Whether a commit after `since` touched what was read.
    pub fn has_overtaken(&mut self, reads: &ReadSet, since: Timestamp) -> bool {
        self.put_in_order();
        reads.meets(&self.newest, |ts| ts > since)
    }

    fn put_in_order(&mut self) {
        for (ts, touched) in self.waiting.drain(..) {
            for key in touched.iter() {
                self.newest.insert(Bytes::copy_from_slice(key), ts);
            }
        }
        if self.newest.len() > 2 * self.kept.max(KEYS_KEPT_MIN)
            && let Some((&oldest, _)) = self.live.first_key_value()
        {
            self.newest.retain(|_, ts| *ts > oldest);
            self.kept = self.newest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::KeyRange;

    fn commit(overtakes: &mut Overtakes, ts: u64, keys: &[&'static str]) {
        let touched = Arc::new(Touched::from_iter(keys));
        overtakes.committed(Timestamp(ts), &touched);
    }

    fn reads(ranges: &[(&'static str, &'static str)]) -> ReadSet {
        let mut reads = ReadSet::default();
        for (start, end) in ranges {
            reads.record(KeyRange::new(Bytes::from(*start), Bytes::from(*end)));
        }
        reads
    }

    #[test]
    fn a_draft_is_overtaken_by_later_commits_to_what_it_read_and_by_no_others() {
        let mut overtakes = Overtakes::default();
        overtakes.began(Timestamp(10));
        commit(&mut overtakes, 11, &["b", "x"]);
        overtakes.began(Timestamp(11));
        commit(&mut overtakes, 12, &["m"]);
        let read = reads(&[("a", "c")]);
        assert!(overtakes.has_overtaken(&read, Timestamp(10)));
        assert!(!overtakes.has_overtaken(&read, Timestamp(11)));
        assert!(!overtakes.has_overtaken(&reads(&[("c", "m"), ("n", "x")]), Timestamp(10)));
        assert!(overtakes.has_overtaken(&reads(&[("a", "b"), ("m", "n")]), Timestamp(11)));
    }

    #[test]
    fn a_commit_that_was_rolled_back_overtakes_no_draft_that_begins_afterwards() {
        let mut overtakes = Overtakes::default();
        overtakes.began(Timestamp(10));
        commit(&mut overtakes, 12, &["b"]);
        let read = reads(&[("a", "c")]);
        assert!(overtakes.has_overtaken(&read, Timestamp(10)));
        overtakes.forget_commits();
        // The head is back at 10, and the draft from before the rollback is still under way.
        overtakes.began(Timestamp(10));
        assert!(!overtakes.has_overtaken(&read, Timestamp(10)));
        assert_eq!(overtakes.live(), 2);
    }

    #[test]
    fn nothing_is_kept_when_no_draft_is_under_way() {
        let mut overtakes = Overtakes::default();
        commit(&mut overtakes, 1, &["a"]);
        overtakes.began(Timestamp(1));
        commit(&mut overtakes, 2, &["a"]);
        assert!(overtakes.has_overtaken(&reads(&[("a", "b")]), Timestamp(1)));
        assert_eq!(overtakes.live(), 1);
        overtakes.ended(Timestamp(1));
        assert!(overtakes.newest.is_empty() && overtakes.waiting.is_empty());
    }

    #[test]
    fn keys_that_no_live_draft_can_ask_for_are_forgotten() {
        let mut overtakes = Overtakes::default();
        overtakes.began(Timestamp(0));
        for ts in 1..=3 * KEYS_KEPT_MIN as u64 {
            let touched = Arc::new(Touched::from_iter([ts.to_be_bytes()]));
            overtakes.committed(Timestamp(ts), &touched);
        }
        overtakes.began(Timestamp(3 * KEYS_KEPT_MIN as u64));
        overtakes.ended(Timestamp(0));
        assert!(!overtakes.has_overtaken(&ReadSet::default(), Timestamp(0)));
        assert!(overtakes.newest.is_empty());
    }
}
