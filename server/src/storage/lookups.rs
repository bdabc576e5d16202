//! The keys that the head's look-ups found lately, as they would find them now. A repeated look-up costs one probe of a hash
//! map, not a way down the overlay and another into SQLite.
//!
//! Only commits change the head's answers, so groups stay true by applying commits to them. A key that comes or goes
//! joins or leaves its group. Folding and forgetting change nothing.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;

use super::{Entry, GROUP_TAIL_BYTES, Write};

/// Larger groups are not kept: a scan reads them better.
pub(super) const GROUP_ENTRIES_MAX: usize = 4;
/// Memory that a kept group costs beyond its bytes, and that each of its entries costs.
const OVERHEAD_BYTES: usize = 128;

/// The groups, in two generations: what is asked again moves to the young one, and when that is full the old one goes.
pub(super) struct Lookups {
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

impl Group {
    /// The group of these entries, which are up to one more than a small group has.
    pub fn of(entries: Vec<Entry>) -> Group {
        match entries.len() > GROUP_ENTRIES_MAX {
            true => Group::Large,
            false => Group::Small(entries.into()),
        }
    }

    /// The group after a write of one of its keys; `None` when its rest is unknown.
    fn after(&self, Write { key, value }: &Write) -> Option<Group> {
        let Group::Small(entries) = self else {
            return value.is_some().then_some(Group::Large);
        };
        let mut entries = entries.to_vec();
        let entry = |value: &Bytes| Entry {
            key: key.clone(),
            value: value.clone(),
        };
        match (entries.binary_search_by(|one| one.key.cmp(key)), value) {
            (Ok(at), Some(value)) => entries[at] = entry(value),
            (Err(at), Some(value)) => entries.insert(at, entry(value)),
            (Ok(at), None) => {
                entries.remove(at);
            }
            (Err(_), None) => {}
        }
        Some(Group::of(entries))
    }

    fn bytes(&self) -> usize {
        match self {
            Group::Small(entries) => {
                let bytes = |entry: &Entry| OVERHEAD_BYTES + entry.key.len() + entry.value.len();
                entries.iter().map(bytes).sum()
            }
            Group::Large => 0,
        }
    }
}

impl Lookups {
    /// A cache of about `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            young: Generation::default(),
            old: Generation::default(),
            bytes_max,
        }
    }

    /// The group of keys that begin with `prefix`, if it is known.
    pub fn group(&mut self, prefix: &[u8]) -> Option<Group> {
        if let Some(group) = self.young.groups.get(prefix) {
            return Some(group.clone());
        }
        let (prefix, group) = self.old.take(prefix)?;
        self.keep(prefix, group.clone());
        Some(group)
    }

    /// Remembers what the head found.
    pub fn keep(&mut self, prefix: Bytes, group: Group) {
        self.young.put(prefix, group);
        if self.young.bytes > self.bytes_max / 2 {
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// Takes note of a commit's write.
    pub fn apply(&mut self, write: &Write) {
        let Some(len) = write.key.len().checked_sub(GROUP_TAIL_BYTES) else {
            return;
        };
        for generation in [&mut self.young, &mut self.old] {
            if let Some((prefix, group)) = generation.take(&write.key[..len])
                && let Some(group) = group.after(write)
            {
                generation.put(prefix, group);
            }
        }
    }

    /// Forgets everything: the head has gone back to an earlier commit.
    pub fn clear(&mut self) {
        self.young = Generation::default();
        self.old = Generation::default();
    }
}

#[derive(Default)]
struct Generation {
    groups: HashMap<Bytes, Group, RandomState>,
    bytes: usize,
}

impl Generation {
    fn put(&mut self, prefix: Bytes, group: Group) {
        let prefix_len = prefix.len();
        self.bytes += weight(prefix_len, &group);
        if let Some(before) = self.groups.insert(prefix, group) {
            self.bytes -= weight(prefix_len, &before);
        }
    }

    fn take(&mut self, prefix: &[u8]) -> Option<(Bytes, Group)> {
        if self.groups.is_empty() {
            return None;
        }
        let (prefix, group) = self.groups.remove_entry(prefix)?;
        self.bytes -= weight(prefix.len(), &group);
        Some((prefix, group))
    }
}

fn weight(prefix_len: usize, group: &Group) -> usize {
    OVERHEAD_BYTES + prefix_len + group.bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(prefix: &str, tail: u8) -> Bytes {
        Bytes::from([prefix.as_bytes(), &[tail; GROUP_TAIL_BYTES]].concat())
    }

    fn group(keys: &[Bytes]) -> Group {
        let entry = |key: &Bytes| Entry {
            key: key.clone(),
            value: Bytes::new(),
        };
        Group::of(keys.iter().map(entry).collect())
    }

    fn set(lookups: &mut Lookups, key: &Bytes) {
        lookups.apply(&Write {
            key: key.clone(),
            value: Some(Bytes::new()),
        });
    }

    fn delete(lookups: &mut Lookups, key: &Bytes) {
        lookups.apply(&Write {
            key: key.clone(),
            value: None,
        });
    }

    #[test]
    fn a_key_that_joins_or_leaves_changes_its_group_alone() {
        let mut lookups = Lookups::new(1 << 20);
        for prefix in ["a", "b", "bb"] {
            lookups.keep(Bytes::from(prefix), group(&[]));
        }
        let (first, second) = (member("b", 3), member("b", 7));
        set(&mut lookups, &second);
        set(&mut lookups, &first);
        set(&mut lookups, &member("c", 1));
        let both = group(&[first.clone(), second.clone()]);
        assert_eq!(lookups.group(b"b"), Some(both));
        assert_eq!(lookups.group(b"a"), Some(group(&[])));
        assert_eq!(lookups.group(b"bb"), Some(group(&[])));
        assert_eq!(lookups.group(b"c"), None);
        delete(&mut lookups, &second);
        delete(&mut lookups, &member("b", 9));
        assert_eq!(lookups.group(b"b"), Some(group(&[first])));
        lookups.clear();
        assert_eq!(lookups.group(b"a"), None);
    }

    #[test]
    fn a_group_that_outgrows_its_bound_is_known_to_be_large_until_a_key_leaves_it() {
        let mut lookups = Lookups::new(1 << 20);
        lookups.keep(Bytes::from("a"), group(&[]));
        for tail in 0..=GROUP_ENTRIES_MAX as u8 {
            assert!(matches!(lookups.group(b"a"), Some(Group::Small(_))));
            set(&mut lookups, &member("a", tail));
        }
        assert_eq!(lookups.group(b"a"), Some(Group::Large));
        delete(&mut lookups, &member("a", 0));
        assert_eq!(lookups.group(b"a"), None);
    }

    #[test]
    fn it_stays_within_its_bytes_and_keeps_what_is_asked_and_true() {
        const GROUPS_MAX: usize = 100;
        const BYTES_MAX: usize = GROUPS_MAX * OVERHEAD_BYTES;
        let mut lookups = Lookups::new(BYTES_MAX);
        lookups.keep(Bytes::from("kept"), group(&[]));
        let kept = member("kept", 1);
        for number in 0..10_000 {
            lookups.keep(Bytes::from(format!("key {number}")), group(&[]));
            match number % 2 {
                0 => set(&mut lookups, &kept),
                _ => delete(&mut lookups, &kept),
            }
            let expected = match number % 2 {
                0 => group(std::slice::from_ref(&kept)),
                _ => group(&[]),
            };
            assert_eq!(lookups.group(b"kept"), Some(expected));
            let bytes = lookups.young.bytes + lookups.old.bytes;
            assert!(bytes <= BYTES_MAX + 3 * OVERHEAD_BYTES, "{bytes}");
        }
        assert_eq!(lookups.group(b"key 0"), None);
    }
}
