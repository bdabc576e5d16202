//! Key ranges and the order they are read in.

use bytes::{BufMut, Bytes, BytesMut};

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the lowest key up.
    Forward,
    /// From the highest key down.
    Reverse,
}

/// The keys from `start`, inclusive, to `end`, exclusive. Keys compare as bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// The lowest key of the range.
    pub start: Bytes,
    /// The lowest key above the range; `None` is no upper bound.
    pub end: Option<Bytes>,
}

impl KeyRange {
    /// The keys from `start` to before `end`.
    pub fn new(start: impl Into<Bytes>, end: impl Into<Option<Bytes>>) -> Self {
        Self {
            start: start.into(),
            end: end.into(),
        }
    }

    /// Every key.
    pub fn all() -> Self {
        Self::new(Bytes::new(), None)
    }

    /// The keys that begin with `prefix`, itself included.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        let end = after_prefix(&start);
        Self { start, end }
    }

    /// The one key.
    pub fn point(key: impl Into<Bytes>) -> Self {
        let start = key.into();
        let end = Some(successor(&start));
        Self { start, end }
    }

    /// Whether the range holds the key.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start <= key && self.end.as_ref().is_none_or(|end| key < end)
    }

    /// Whether no key can be in the range.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    /// Whether some key could be in both ranges.
    pub fn overlaps(&self, other: &Self) -> bool {
        let below = |range: &Self, key: &Bytes| range.end.as_ref().is_none_or(|end| key < end);
        !self.is_empty()
            && !other.is_empty()
            && below(self, &other.start)
            && below(other, &self.start)
    }

    /// The rest of the range once a scan has passed `key`.
    pub fn beyond(&self, key: &Bytes, direction: Direction) -> Self {
        match direction {
            Direction::Forward => Self {
                start: successor(key),
                end: self.end.clone(),
            },
            Direction::Reverse => Self {
                start: self.start.clone(),
                end: Some(key.clone()),
            },
        }
    }
}

/// The lowest key above `key`.
pub fn successor(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}

/// The lowest key above every key that begins with `prefix`; `None` if there is none.
fn after_prefix(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_range_holds_what_begins_with_the_prefix_and_nothing_else() {
        let range = KeyRange::prefix(&b"a\xff"[..]);
        assert!(range.contains(b"a\xff") && range.contains(b"a\xff\xff\xff"));
        assert!(!range.contains(b"a\xfe") && !range.contains(b"b"));
        assert_eq!(KeyRange::prefix(&b"\xff\xff"[..]).end, None);
        assert_eq!(KeyRange::prefix(Bytes::new()), KeyRange::all());
    }

    #[test]
    fn a_point_range_holds_one_key() {
        let range = KeyRange::point(&b"k"[..]);
        assert!(range.contains(b"k") && !range.contains(b"k\0") && !range.contains(b"j"));
    }

    #[test]
    fn ranges_overlap_only_where_a_key_is_in_both() {
        let range = |start: &'static str, end: &'static str| KeyRange::new(start, Bytes::from(end));
        assert!(range("a", "c").overlaps(&range("b", "d")));
        assert!(!range("a", "b").overlaps(&range("b", "c")));
        assert!(range("a", "b").overlaps(&KeyRange::all()));
        assert!(!range("b", "b").overlaps(&KeyRange::all()));
        assert!(!range("c", "a").overlaps(&KeyRange::all()));
    }
}
