//! Reading base and overlay as one: point reads and cursors that pull one entry at a time.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};

use bytes::Bytes;
use vestibule_schema::timestamp::Timestamp;

use super::{Direction, KeyRange, Overlay, StorageError, leaf};

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
}

/// One state of the store, to be read: a [`Snapshot`](super::Snapshot) or the [`Head`](super::Head).
pub trait ReadView {
    /// The last commit it shows.
    fn ts(&self) -> Timestamp;

    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// The same of a key that nobody is about to ask for again. Bulk work reads so, and leaves what is remembered alone.
    fn peek(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.get(key)
    }

    /// Whether [`Self::group`] ever has an answer.
    fn has_groups(&self) -> bool {
        false
    }

    /// All entries whose keys begin with `prefix` and go on for [`GROUP_TAIL_BYTES`](super::GROUP_TAIL_BYTES), in
    /// order. `None` when a scan of that prefix is the better way to them. No other key may begin with `prefix`.
    fn group(&self, _prefix: &[u8]) -> Result<Option<Arc<[Entry]>>, StorageError> {
        Ok(None)
    }

    /// The cursor's next entry; `None` at the end of its range. A cursor goes on after the last key it returned, in the
    /// state this view shows now. Between two calls the view is free for other reads.
    fn next(&self, cursor: &mut Cursor) -> Result<Option<Entry>, StorageError>;

    /// Iterates over the entries of a range. Lazy: it reads only the entries that are pulled, and a small chunk ahead.
    fn scan(&self, range: KeyRange, direction: Direction) -> Scan<'_>
    where
        Self: Sized,
    {
        Scan::new(self, range, direction)
    }
}

/// A scan over a view that it borrows. After an error it ends.
pub struct Scan<'v> {
    view: &'v dyn ReadView,
    cursor: Cursor,
    failed: bool,
}

impl<'v> Scan<'v> {
    /// As [`ReadView::scan`], for a view behind a trait object.
    pub fn new(view: &'v dyn ReadView, range: KeyRange, direction: Direction) -> Self {
        Self {
            view,
            cursor: Cursor::new(range, direction),
            failed: false,
        }
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Entry, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.view.next(&mut self.cursor);
        self.failed = next.is_err();
        next.transpose()
    }
}

/// A place in a range, and a little of what comes next. Borrows nothing: keep it as long as you like and hand it to
/// [`ReadView::next`].
#[derive(Clone, Debug)]
pub struct Cursor {
    range: KeyRange,
    direction: Direction,
    returned: Option<Bytes>,
    /// The state of the view that `base` and `overlay` were read from.
    stamp: Stamp,
    base: Ahead<Bytes>,
    overlay: Ahead<(Timestamp, Option<Bytes>)>,
}

/// Names one state of one view, so that a cursor notices when the entries it read ahead are outdated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64);

impl Stamp {
    const NEVER: Self = Self(0);

    pub fn fresh() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Atomic::Relaxed) + 1)
    }
}

/// The layers of a view.
pub(super) trait Layers {
    /// Changes whenever the overlay does.
    fn stamp(&self) -> Stamp;
    fn overlay(&self) -> &Overlay;
    /// A fold position that the base reaches. Up to there, the base knows as much as the overlay or more. The value
    /// may have changed in its slot since, and the slot may be gone.
    fn base_folded(&self) -> Timestamp;
    /// The value in the key's slot: `None` if it has none.
    fn slot_value(&self, key: &[u8]) -> Option<Option<Bytes>>;
    fn base_value(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError>;
    /// As [`super::reader::BaseReader::read`].
    fn base_read(
        &self,
        range: &KeyRange,
        direction: Direction,
        count: usize,
        each: &mut dyn FnMut(Bytes, Bytes),
    ) -> Result<bool, StorageError>;
}

/// A point read: the slot's word is final, then the overlay's, deletions included.
pub(super) fn value(layers: &impl Layers, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
    if let Some(value) = layers.slot_value(key) {
        return Ok(value);
    }
    match layers.overlay().entry(key) {
        Some(entry) if entry.ts > layers.base_folded() => Ok(entry.value.to_bytes()),
        _ => layers.base_value(key),
    }
}

impl Cursor {
    /// At the start of a range, as seen in the direction.
    pub fn new(range: KeyRange, direction: Direction) -> Self {
        Self {
            base: Ahead::new(range.is_empty()),
            overlay: Ahead::new(range.is_empty()),
            range,
            direction,
            returned: None,
            stamp: Stamp::NEVER,
        }
    }

    /// The last key it returned.
    pub fn returned(&self) -> Option<&Bytes> {
        self.returned.as_ref()
    }

    pub(super) fn advance(&mut self, layers: &impl Layers) -> Result<Option<Entry>, StorageError> {
        if self.stamp != layers.stamp() {
            self.start_over(layers.stamp());
        }
        loop {
            self.fill(layers)?;
            let Some(side) = self.side_of_next() else {
                return Ok(None);
            };
            let next = match side {
                Side::Base => self.base.take().map(|(key, value)| (key, Some(value))),
                Side::Overlay => self.overlay.take().map(|(key, (_, value))| (key, value)),
                Side::Both => {
                    let base = self.base.take().map(|(key, value)| (key, Some(value)));
                    match self.overlay.take() {
                        Some((key, (ts, value))) if ts > layers.base_folded() => Some((key, value)),
                        _ => base,
                    }
                }
            };
            if let Some((key, Some(value))) = next {
                let value = layers.slot_value(&key).flatten().unwrap_or(value);
                self.returned = Some(key.clone());
                return Ok(Some(Entry { key, value }));
            }
        }
    }

    /// Forgets what was read ahead; what was returned stays returned.
    fn start_over(&mut self, stamp: Stamp) {
        if let Some(key) = &self.returned {
            self.range = self.range.beyond(key, self.direction);
        }
        self.base = Ahead::new(self.range.is_empty());
        self.overlay = Ahead::new(self.range.is_empty());
        self.stamp = stamp;
    }

    /// Makes sure that each side has an entry ahead or is at its end.
    fn fill(&mut self, layers: &impl Layers) -> Result<(), StorageError> {
        let Self {
            range,
            direction,
            base,
            overlay,
            ..
        } = self;
        base.fill(range, *direction, |rest, count, ahead| {
            layers.base_read(rest, *direction, count, &mut |key, value| {
                ahead.push_back((key, value))
            })
        })?;
        overlay.fill(range, *direction, |rest, count, ahead| {
            let each = |key: &[u8], entry: leaf::Entry<'_>| {
                let value = (entry.ts, entry.value.to_bytes());
                ahead.push_back((Bytes::copy_from_slice(key), value));
                true
            };
            Ok(layers.overlay().read(rest, *direction, count, each))
        })
    }

    fn side_of_next(&self) -> Option<Side> {
        Some(match (self.base.peek(), self.overlay.peek()) {
            (None, None) => return None,
            (Some(_), None) => Side::Base,
            (None, Some(_)) => Side::Overlay,
            (Some(base), Some(overlay)) => {
                match (base.cmp(overlay), self.direction) {
                    (Ordering::Equal, _) => Side::Both,
                    (Ordering::Less, Direction::Forward)
                    | (Ordering::Greater, Direction::Reverse) => Side::Base,
                    (Ordering::Greater, Direction::Forward)
                    | (Ordering::Less, Direction::Reverse) => Side::Overlay,
                }
            }
        })
    }
}

/// Where the next key is. On both sides, the overlay wins where it is newer than what the base has folded.
enum Side {
    Base,
    Overlay,
    Both,
}

/// A few entries of one layer, read in chunks that grow: the first entry of a range costs little, and so does the last.
#[derive(Clone, Debug)]
struct Ahead<V> {
    entries: VecDeque<(Bytes, V)>,
    /// The last key read from the layer.
    read: Option<Bytes>,
    ended: bool,
    next_count: usize,
}

impl<V> Ahead<V> {
    const FIRST_COUNT: usize = 4;
    const COUNT_GROWTH: usize = 4;
    const COUNT_MAX: usize = 256;

    fn new(ended: bool) -> Self {
        Self {
            entries: VecDeque::new(),
            read: None,
            ended,
            next_count: Self::FIRST_COUNT,
        }
    }

    fn peek(&self) -> Option<&Bytes> {
        self.entries.front().map(|(key, _)| key)
    }

    fn take(&mut self) -> Option<(Bytes, V)> {
        self.entries.pop_front()
    }

    /// Reads the next chunk if nothing is ahead. `read` answers whether there may be more.
    fn fill(
        &mut self,
        range: &KeyRange,
        direction: Direction,
        read: impl FnOnce(&KeyRange, usize, &mut VecDeque<(Bytes, V)>) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        if self.ended || !self.entries.is_empty() {
            return Ok(());
        }
        let more = match &self.read {
            None => read(range, self.next_count, &mut self.entries),
            Some(key) => read(
                &range.beyond(key, direction),
                self.next_count,
                &mut self.entries,
            ),
        };
        if more.is_err() {
            // Entries before the error are not served: the layer is read again from the same place.
            self.entries.clear();
        }
        self.ended = !more?;
        self.read = self.entries.back().map(|(key, _)| key.clone());
        self.next_count = (self.next_count * Self::COUNT_GROWTH).min(Self::COUNT_MAX);
        Ok(())
    }
}
