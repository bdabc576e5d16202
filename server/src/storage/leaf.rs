//! A leaf of the overlay's tree: a few entries, copied whole when a clone of the tree has them too.

use std::ops::Range;

use bytes::Bytes;
use vestibule_schema::timestamp::Timestamp;

use super::packed::{Packed, Record};

/// Values up to this size are copied with their leaf; for larger ones the leaf counts a reference.
const INLINE_BYTES_MAX: usize = 256;

/// The newest value of a key and the commit that wrote it.
#[derive(Clone, Copy)]
pub(super) struct Entry<'e> {
    pub ts: Timestamp,
    pub value: Value<'e>,
}

#[derive(Clone, Copy)]
pub(super) enum Value<'e> {
    /// Hides the key in the base.
    Deleted,
    Inline(&'e [u8]),
    Large(&'e Bytes),
}

impl<'e> Value<'e> {
    pub fn of(value: Option<&'e Bytes>) -> Self {
        match value {
            None => Self::Deleted,
            Some(bytes) if bytes.len() <= INLINE_BYTES_MAX => Self::Inline(bytes),
            Some(bytes) => Self::Large(bytes),
        }
    }

    pub fn len(self) -> usize {
        match self {
            Self::Deleted => 0,
            Self::Inline(bytes) => bytes.len(),
            Self::Large(bytes) => bytes.len(),
        }
    }

    pub fn to_bytes(self) -> Option<Bytes> {
        match self {
            Self::Deleted => None,
            Self::Inline(bytes) => Some(Bytes::copy_from_slice(bytes)),
            Self::Large(bytes) => Some(bytes.clone()),
        }
    }
}

#[derive(Clone)]
pub(super) struct Leaf {
    entries: Packed<Tag>,
    /// The large values, in the order of their keys.
    large: Vec<Bytes>,
}

#[derive(Clone, Copy)]
struct Tag {
    ts: Timestamp,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Deleted,
    Inline,
    Large,
}

impl Leaf {
    pub fn empty() -> Self {
        Self::build(std::iter::empty())
    }

    pub fn build<'e>(entries: impl Iterator<Item = (&'e [u8], Entry<'e>)> + Clone) -> Self {
        let large = entries.clone().filter_map(|(_, entry)| match entry.value {
            Value::Large(bytes) => Some(bytes.clone()),
            Value::Deleted | Value::Inline(_) => None,
        });
        let large = large.collect();
        Self {
            entries: Packed::build(entries.map(record)),
            large,
        }
    }

    /// Sets a key's entry, where [`search`](Self::search) found the key or its place.
    pub fn put(&mut self, found: Result<usize, usize>, key: &[u8], entry: Entry<'_>) {
        let (Ok(at) | Err(at)) = found;
        let was_large = found.is_ok_and(|at| self.entries.tag(at).kind == Kind::Large);
        let large = match entry.value {
            Value::Large(bytes) => Some(bytes.clone()),
            Value::Deleted | Value::Inline(_) => None,
        };
        if was_large || large.is_some() {
            let from = self.large_before(at);
            self.large
                .splice(from..from + usize::from(was_large), large);
        }
        self.entries.put(found, record((key, entry)));
    }

    fn large_before(&self, at: usize) -> usize {
        self.entries
            .tags()
            .take(at)
            .filter(|tag| tag.kind == Kind::Large)
            .count()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn key(&self, at: usize) -> &[u8] {
        self.entries.key(at)
    }

    pub fn search(&self, key: &[u8]) -> Result<usize, usize> {
        self.entries.search(key)
    }

    pub fn lower_bound(&self, key: &[u8]) -> usize {
        self.entries.lower_bound(key)
    }

    pub fn entry(&self, at: usize) -> Entry<'_> {
        let Tag { ts, kind } = self.entries.tag(at);
        let value = match kind {
            Kind::Deleted => Value::Deleted,
            Kind::Inline => Value::Inline(self.entries.payload(at)),
            Kind::Large => Value::Large(&self.large[self.large_before(at)]),
        };
        Entry { ts, value }
    }

    pub fn entries(
        &self,
        at: Range<usize>,
    ) -> impl DoubleEndedIterator<Item = (&[u8], Entry<'_>)> + Clone {
        at.map(|at| (self.key(at), self.entry(at)))
    }
}

fn record<'e>((key, Entry { ts, value }): (&'e [u8], Entry<'e>)) -> Record<'e, Tag> {
    let (kind, payload) = match value {
        Value::Deleted => (Kind::Deleted, &[][..]),
        Value::Inline(bytes) => (Kind::Inline, bytes),
        Value::Large(_) => (Kind::Large, &[][..]),
    };
    Record {
        key,
        payload,
        tag: Tag { ts, kind },
    }
}
