//! Small reads of the base, remembered by the head.
//!
//! The head may be merged with any base that reaches as far as its overlay begins, and so with an old answer of the base
//! as well: whatever was written since is in the overlay, which wins. Only when the overlay forgets a folded entry do
//! answers from before that fold fall silent, and only those of the forgotten entry's family: the keys that share its
//! first bytes, an index in the database's terms. So looking up rows by an index whose entries do not change asks SQLite
//! once, however much is written beside it.

use std::collections::HashMap;

use bytes::Bytes;
use foldhash::fast::RandomState;
use vestibule_schema::timestamp::Timestamp;

use super::{Direction, KeyRange};

/// Bytes at the start of a key that name its family.
const FAMILY_BYTES: usize = 4;
/// Answers of more entries or bytes are not kept: they are not what is asked over and over.
const ENTRIES_MAX: usize = 4;
const ANSWER_BYTES_MAX: usize = 1 << 10;
/// What a kept answer costs beyond its bytes.
const ANSWER_OVERHEAD_BYTES: usize = 160;

type Family = [u8; FAMILY_BYTES];

/// What the base said.
pub(super) struct Answer {
    /// The fold position of the base that was asked.
    folded: Timestamp,
    /// Its entries, in the direction that was asked for.
    pub entries: Box<[(Bytes, Bytes)]>,
    /// Whether there may be more of them.
    pub more: bool,
}

/// A question to the base: an entry's value, or the first entries of a range.
#[derive(Clone, Copy)]
pub(super) enum Question<'q> {
    Value(&'q [u8]),
    Range(&'q KeyRange, Direction, usize),
}

/// The answers, in two generations: what is asked again moves to the young one, and when that is full the old one goes.
pub(super) struct BaseCache {
    young: Generation,
    old: Generation,
    bytes_max: usize,
    /// The newest fold position at which the overlay forgot something of a family.
    forgotten: HashMap<Family, Timestamp, RandomState>,
    /// The question as a map's key, made anew for each.
    asked: Vec<u8>,
}

#[derive(Default)]
struct Generation {
    answers: HashMap<Box<[u8]>, Answer, RandomState>,
    bytes: usize,
}

impl BaseCache {
    /// A cache of about `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            young: Generation::default(),
            old: Generation::default(),
            bytes_max,
            forgotten: HashMap::default(),
            asked: Vec::new(),
        }
    }

    /// What the base said to this question, if that still holds.
    pub fn answer(&mut self, question: Question<'_>) -> Option<&Answer> {
        let family = question.family()?;
        question.write(&mut self.asked);
        let holds_from = self.forgotten.get(&family).copied();
        let holds = |answer: &Answer| holds_from.is_none_or(|from| answer.folded >= from);
        if !self.young.answers.contains_key(&self.asked[..]) {
            let (asked, answer) = self.old.take(&self.asked)?;
            self.keep(asked, answer);
        }
        self.young
            .answers
            .get(&self.asked[..])
            .filter(|answer| holds(answer))
    }

    /// Remembers what a base at `folded` said.
    pub fn remember(
        &mut self,
        question: Question<'_>,
        folded: Timestamp,
        entries: &[(Bytes, Bytes)],
        more: bool,
    ) {
        let bytes: usize = entries
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        let is_small = entries.len() <= ENTRIES_MAX && bytes <= ANSWER_BYTES_MAX;
        if !is_small || question.family().is_none() {
            return;
        }
        question.write(&mut self.asked);
        let asked = self.asked[..].into();
        let entries = entries.into();
        self.keep(
            asked,
            Answer {
                folded,
                entries,
                more,
            },
        );
    }

    fn keep(&mut self, asked: Box<[u8]>, answer: Answer) {
        self.young.put(asked, answer);
        if self.young.bytes > self.bytes_max / 2 {
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// The overlay has forgotten an entry that the base holds from `folded` on.
    pub fn forget(&mut self, key: &[u8], folded: Timestamp) {
        match key.first_chunk() {
            Some(family) => {
                self.forgotten.insert(*family, folded);
            }
            None => self.clear(),
        }
    }

    fn clear(&mut self) {
        self.young = Generation::default();
        self.old = Generation::default();
    }
}

impl Generation {
    fn put(&mut self, asked: Box<[u8]>, answer: Answer) {
        self.bytes += answer.bytes() + asked.len();
        let asked_len = asked.len();
        if let Some(before) = self.answers.insert(asked, answer) {
            self.bytes -= before.bytes() + asked_len;
        }
    }

    fn take(&mut self, asked: &[u8]) -> Option<(Box<[u8]>, Answer)> {
        let (asked, answer) = self.answers.remove_entry(asked)?;
        self.bytes -= answer.bytes() + asked.len();
        Some((asked, answer))
    }
}

impl Answer {
    fn bytes(&self) -> usize {
        let entries = self.entries.iter();
        let bytes: usize = entries.map(|(key, value)| key.len() + value.len()).sum();
        ANSWER_OVERHEAD_BYTES + bytes
    }
}

impl Question<'_> {
    /// The one family that every possible answer belongs to.
    fn family(self) -> Option<Family> {
        match self {
            Question::Value(key) => key.first_chunk().copied(),
            Question::Range(KeyRange { start, end }, ..) => {
                let family: &Family = start.first_chunk()?;
                let end: &Family = end.as_ref()?.first_chunk()?;
                (family == end).then_some(*family)
            }
        }
    }

    /// Different questions have different bytes.
    fn write(self, out: &mut Vec<u8>) {
        out.clear();
        match self {
            Question::Value(key) => {
                out.push(b'v');
                out.extend_from_slice(key);
            }
            Question::Range(KeyRange { start, end }, direction, count) => {
                out.push(match direction {
                    Direction::Forward => b'f',
                    Direction::Reverse => b'r',
                });
                out.extend_from_slice(&count.to_le_bytes());
                out.extend_from_slice(&start.len().to_le_bytes());
                out.extend_from_slice(start);
                out.extend_from_slice(end.as_deref().unwrap_or_default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &'static str, end: &'static str) -> KeyRange {
        KeyRange::new(start, Bytes::from(end))
    }

    fn entry(key: &'static str) -> (Bytes, Bytes) {
        (Bytes::from(key), Bytes::from("value"))
    }

    fn values(answer: Option<&Answer>) -> Option<usize> {
        answer.map(|answer| answer.entries.len())
    }

    #[test]
    fn an_answer_is_given_to_its_own_question_alone() {
        let mut cache = BaseCache::new(1 << 20);
        let asked = range("fam1a", "fam1b");
        let question = Question::Range(&asked, Direction::Forward, 4);
        cache.remember(question, Timestamp(5), &[entry("fam1a1")], false);
        assert_eq!(values(cache.answer(question)), Some(1));
        let others = [
            Question::Range(&asked, Direction::Reverse, 4),
            Question::Range(&asked, Direction::Forward, 16),
            Question::Value(b"fam1a"),
        ];
        for other in others {
            assert_eq!(values(cache.answer(other)), None);
        }
        let (longer, shifted) = (range("fam1a", "fam1bb"), range("fam1ab", "fam1b"));
        for other in [longer, shifted] {
            let other = Question::Range(&other, Direction::Forward, 4);
            assert_eq!(values(cache.answer(other)), None);
        }
    }

    #[test]
    fn what_the_overlay_forgets_silences_older_answers_of_its_family_alone() {
        let mut cache = BaseCache::new(1 << 20);
        for key in ["fam1a", "fam2a"] {
            cache.remember(Question::Value(key.as_bytes()), Timestamp(5), &[], false);
        }
        cache.forget(b"fam1zzz", Timestamp(6));
        assert_eq!(values(cache.answer(Question::Value(b"fam1a"))), None);
        assert_eq!(values(cache.answer(Question::Value(b"fam2a"))), Some(0));
        cache.remember(Question::Value(b"fam1a"), Timestamp(6), &[], false);
        assert_eq!(values(cache.answer(Question::Value(b"fam1a"))), Some(0));
        cache.forget(b"fam1zzz", Timestamp(6));
        assert_eq!(values(cache.answer(Question::Value(b"fam1a"))), Some(0));
    }

    #[test]
    fn a_range_over_several_families_and_a_large_answer_are_not_kept() {
        let mut cache = BaseCache::new(1 << 20);
        let wide = range("fam1", "fam2");
        let question = Question::Range(&wide, Direction::Forward, 4);
        cache.remember(question, Timestamp(5), &[], false);
        assert_eq!(values(cache.answer(question)), None);
        let question = Question::Value(b"fam1a");
        let large = (Bytes::from("fam1a"), Bytes::from(vec![0; ANSWER_BYTES_MAX]));
        cache.remember(question, Timestamp(5), &[large], false);
        assert_eq!(values(cache.answer(question)), None);
    }

    #[test]
    fn it_stays_within_its_bytes_and_keeps_what_is_asked() {
        let mut cache = BaseCache::new(100 * ANSWER_OVERHEAD_BYTES);
        let asked = Question::Value(b"kept");
        cache.remember(asked, Timestamp(1), &[], false);
        for number in 0..10_000 {
            let other = format!("key {number}");
            cache.remember(Question::Value(other.as_bytes()), Timestamp(1), &[], false);
            assert_eq!(values(cache.answer(asked)), Some(0));
            assert!(cache.young.answers.len() + cache.old.answers.len() <= 100);
            assert!(cache.young.bytes + cache.old.bytes <= 100 * ANSWER_OVERHEAD_BYTES);
        }
        let first = Question::Value(b"key 0");
        assert_eq!(values(cache.answer(first)), None);
    }
}
