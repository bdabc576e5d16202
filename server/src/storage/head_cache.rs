//! What the head was asked lately, as it would answer now: a point read or a lookup that is repeated costs one probe of
//! a hash map instead of a way down the overlay and another into SQLite.
//!
//! What the head shows changes by commits alone, so the cache is kept true by applying them to it: a value that is here
//! is replaced, and a group that a key joins or leaves is dropped. Folding and forgetting change nothing.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;

use super::{Entry, GROUP_TAIL_BYTES, Write};

/// Larger groups are not kept: a scan reads them better.
pub(super) const GROUP_ENTRIES_MAX: usize = 4;
/// What a kept answer costs beyond its bytes.
const ANSWER_OVERHEAD_BYTES: usize = 128;

/// The answers, in two generations: what is asked again moves to the young one, and when that is full the old one goes.
pub(super) struct HeadCache {
    young: Generation,
    old: Generation,
    bytes_max: usize,
}

/// The entries whose keys are equal but for their last [`GROUP_TAIL_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// All of them, in the order of their keys.
    Small(Arc<[Entry]>),
    /// More than [`GROUP_ENTRIES_MAX`].
    Large,
}

#[derive(Default)]
struct Generation {
    values: Answers<Option<Bytes>>,
    groups: Answers<Group>,
}

impl HeadCache {
    /// A cache of about `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            young: Generation::default(),
            old: Generation::default(),
            bytes_max,
        }
    }

    /// The value of a key, if it is known: `Some(None)` when there is none.
    pub fn value(&mut self, key: &[u8]) -> Option<Option<Bytes>> {
        if let Some(value) = self.young.values.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.values.take(key)?;
        self.keep_value(key, value.clone());
        Some(value)
    }

    pub fn keep_value(&mut self, key: Bytes, value: Option<Bytes>) {
        self.young.values.put(key, value);
        self.age();
    }

    /// The group of keys that begin with `prefix`, if it is known.
    pub fn group(&mut self, prefix: &[u8]) -> Option<Group> {
        if let Some(group) = self.young.groups.get(prefix) {
            return Some(group.clone());
        }
        let (prefix, group) = self.old.groups.take(prefix)?;
        self.keep_group(prefix, group.clone());
        Some(group)
    }

    pub fn keep_group(&mut self, prefix: Bytes, group: Group) {
        self.young.groups.put(prefix, group);
        self.age();
    }

    fn age(&mut self) {
        if self.young.bytes() > self.bytes_max / 2 {
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// Takes note of a commit's write.
    pub fn apply(&mut self, Write { key, value }: &Write) {
        let prefix = key
            .len()
            .checked_sub(GROUP_TAIL_BYTES)
            .map(|len| &key[..len]);
        for generation in [&mut self.young, &mut self.old] {
            generation.values.replace(key, value);
            if let Some(prefix) = prefix {
                generation.groups.take(prefix);
            }
        }
    }

    /// Forgets everything: the head has gone back to an earlier commit.
    pub fn clear(&mut self) {
        self.young = Generation::default();
        self.old = Generation::default();
    }
}

impl Generation {
    fn bytes(&self) -> usize {
        self.values.bytes + self.groups.bytes
    }
}

/// Answers of one kind, with what they weigh.
struct Answers<A> {
    answers: HashMap<Bytes, A, RandomState>,
    bytes: usize,
}

impl<A> Default for Answers<A> {
    fn default() -> Self {
        Answers {
            answers: HashMap::default(),
            bytes: 0,
        }
    }
}

impl<A: Weighed + Clone> Answers<A> {
    fn get(&self, asked: &[u8]) -> Option<&A> {
        self.answers.get(asked)
    }

    fn put(&mut self, asked: Bytes, answer: A) {
        let asked_len = asked.len();
        self.bytes += weight(asked_len, &answer);
        if let Some(before) = self.answers.insert(asked, answer) {
            self.bytes -= weight(asked_len, &before);
        }
    }

    fn replace(&mut self, asked: &[u8], answer: &A) {
        if let Some(before) = self.answers.get_mut(asked) {
            self.bytes += weight(asked.len(), answer);
            self.bytes -= weight(asked.len(), before);
            *before = answer.clone();
        }
    }

    fn take(&mut self, asked: &[u8]) -> Option<(Bytes, A)> {
        if self.answers.is_empty() {
            return None;
        }
        let (asked, answer) = self.answers.remove_entry(asked)?;
        self.bytes -= weight(asked.len(), &answer);
        Some((asked, answer))
    }
}

fn weight(asked_len: usize, answer: &impl Weighed) -> usize {
    ANSWER_OVERHEAD_BYTES + asked_len + answer.len()
}

/// Something of a size in bytes.
trait Weighed {
    fn len(&self) -> usize;
}

impl Weighed for Option<Bytes> {
    fn len(&self) -> usize {
        self.as_ref().map_or(0, Bytes::len)
    }
}

impl Weighed for Group {
    fn len(&self) -> usize {
        match self {
            Group::Small(entries) => {
                let bytes =
                    |entry: &Entry| ANSWER_OVERHEAD_BYTES + entry.key.len() + entry.value.len();
                entries.iter().map(bytes).sum()
            }
            Group::Large => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &'static str, value: Option<&'static str>) -> Write {
        Write {
            key: Bytes::from(key),
            value: value.map(Bytes::from),
        }
    }

    fn group(keys: &[&'static str]) -> Group {
        let entry = |key: &&'static str| Entry {
            key: Bytes::from(*key),
            value: Bytes::new(),
        };
        Group::Small(keys.iter().map(entry).collect())
    }

    #[test]
    fn a_commit_replaces_what_is_known_and_adds_nothing() {
        let mut cache = HeadCache::new(1 << 20);
        cache.keep_value(Bytes::from("a"), None);
        cache.apply(&set("a", Some("1")));
        cache.apply(&set("b", Some("1")));
        assert_eq!(cache.value(b"a"), Some(Some(Bytes::from("1"))));
        assert_eq!(cache.value(b"b"), None);
        cache.apply(&set("a", None));
        assert_eq!(cache.value(b"a"), Some(None));
        cache.clear();
        assert_eq!(cache.value(b"a"), None);
    }

    #[test]
    fn a_key_that_joins_or_leaves_drops_its_group_alone() {
        let mut cache = HeadCache::new(1 << 20);
        for prefix in ["a", "b", "bb"] {
            cache.keep_group(Bytes::from(prefix), group(&[]));
        }
        let member = |prefix: &str, value: Option<Bytes>| Write {
            key: Bytes::from([prefix.as_bytes(), &[7; GROUP_TAIL_BYTES]].concat()),
            value,
        };
        cache.apply(&member("b", Some(Bytes::new())));
        assert_eq!(cache.group(b"b"), None);
        assert_eq!(cache.group(b"a"), Some(group(&[])));
        assert_eq!(cache.group(b"bb"), Some(group(&[])));
        cache.apply(&member("a", None));
        assert_eq!(cache.group(b"a"), None);
    }

    #[test]
    fn it_stays_within_its_bytes_and_keeps_what_is_asked_and_true() {
        const ANSWERS_MAX: usize = 100;
        let mut cache = HeadCache::new(ANSWERS_MAX * ANSWER_OVERHEAD_BYTES);
        cache.keep_value(Bytes::from("kept"), None);
        for number in 0..10_000 {
            let other = Bytes::from(format!("key {number}"));
            cache.keep_value(other.clone(), None);
            cache.keep_group(other, group(&[]));
            let value = Some(Bytes::from(number.to_string()));
            cache.apply(&Write {
                key: Bytes::from("kept"),
                value: value.clone(),
            });
            assert_eq!(cache.value(b"kept"), Some(value));
            let generations = [&cache.young, &cache.old];
            let bytes: usize = generations.iter().map(|kept| kept.bytes()).sum();
            assert!(bytes <= ANSWERS_MAX * ANSWER_OVERHEAD_BYTES + ANSWER_OVERHEAD_BYTES);
        }
        assert_eq!(cache.value(b"key 0"), None);
        assert_eq!(cache.group(b"key 0"), None);
    }
}
