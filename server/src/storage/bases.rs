//! Bases: read transactions on the folded state, kept open from one snapshot to the next. Beginning and ending one takes
//! calls of the system, and loses the connection's cache of pages. Together that costs more than the reads of most
//! functions.
//!
//! A kept base is taken again only while the fold position has not moved since it began. Then it holds what a base would
//! hold that begins now, so slots need not know of it while nobody has it. A checkpoint ends all kept bases, because they
//! would keep the write-ahead log from starting anew; one that somebody has then is not kept afterwards. While a
//! checkpoint waits for readers, none is kept.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use vestibule_schema::timestamp::Timestamp;

use super::StorageError;
use super::pins::Pin;
use super::reader::BaseReader;
use super::store::Shared;

/// Bases that are kept at once: more snapshots than this are rarely held at one moment.
const KEPT_MAX: usize = 8;

/// An open read transaction. It is let go by [`Base::keep`] or [`Base::end`].
pub(super) struct Base {
    pub reader: BaseReader,
    /// The fold position that it sees.
    pub folded: Timestamp,
    /// How often kept bases had been ended when it began.
    endings: u64,
}

/// The bases that nobody has.
#[derive(Default)]
pub(super) struct Bases {
    kept: Mutex<Kept>,
    /// One that somebody had has ended.
    ended: Condvar,
}

#[derive(Default)]
struct Kept {
    /// The one used last is used next: its pages are at hand.
    open: Vec<Base>,
    endings: u64,
    /// How many have ended that somebody had.
    let_go: u64,
    is_paused: bool,
    #[cfg(test)]
    is_awaited: bool,
}

/// While this is held, no base is kept.
pub(super) struct Paused<'s>(&'s Bases);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.kept.lock().is_paused = false;
    }
}

impl Base {
    /// A base that sees everything folded by now, and the pin by which slots keep what it lacks.
    pub fn begin(shared: &Arc<Shared>) -> Result<(Base, Pin), StorageError> {
        let pin = Pin::base(shared);
        while let Some(base) = shared.bases.take() {
            if base.folded >= pin.ts() {
                return Ok((base, pin));
            }
            base.end(shared);
        }
        // Before the transaction begins: an ending that comes between is one too many, never one too few.
        let endings = shared.bases.kept.lock().endings;
        let reader = shared.idle_reader()?;
        let folded = reader.begin()?;
        let base = Base {
            reader,
            folded,
            endings,
        };
        Ok((base, pin))
    }

    /// Leaves it open for the next snapshot, unless that one could not use it.
    pub fn keep(self, shared: &Shared) {
        let refused = {
            let mut kept = shared.bases.kept.lock();
            let is_wanted = !kept.is_paused
                && self.endings == kept.endings
                && self.folded >= shared.folded()
                && kept.open.len() < KEPT_MAX;
            match is_wanted {
                true => {
                    kept.open.push(self);
                    None
                }
                false => Some(self),
            }
        };
        if let Some(base) = refused {
            base.end(shared);
            shared.bases.kept.lock().let_go += 1;
            shared.bases.ended.notify_all();
        }
    }

    /// Ends the transaction. A connection that refuses is not used again.
    pub fn end(self, shared: &Shared) {
        if self.reader.end().is_ok() {
            shared.keep_idle(self.reader);
        }
    }
}

impl Bases {
    fn take(&self) -> Option<Base> {
        self.kept.lock().open.pop()
    }

    /// Keeps none for a while. Those that are kept already are left to [`Bases::end`].
    pub fn pause(&self) -> Paused<'_> {
        self.kept.lock().is_paused = true;
        Paused(self)
    }

    /// How many have ended that somebody had.
    pub fn let_go(&self) -> u64 {
        self.kept.lock().let_go
    }

    /// Waits until more than `let_go` have ended that somebody had, at most for `wait`. Whether they have.
    pub fn wait_for_another(&self, let_go: u64, wait: Duration) -> bool {
        let mut kept = self.kept.lock();
        #[cfg(test)]
        (kept.is_awaited = true);
        let is_missing = |kept: &mut Kept| kept.let_go == let_go;
        let waited = self.ended.wait_while_for(&mut kept, is_missing, wait);
        !waited.timed_out()
    }

    /// Whether somebody has waited for one to end.
    #[cfg(test)]
    pub fn is_awaited(&self) -> bool {
        self.kept.lock().is_awaited
    }

    /// Ends all that nobody has, and each of the others when it is let go.
    pub fn end(&self, shared: &Shared) {
        let open = {
            let mut kept = self.kept.lock();
            kept.endings += 1;
            std::mem::take(&mut kept.open)
        };
        open.into_iter().for_each(|base| base.end(shared));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::{Commit, FoldProgress, LogRow, ReadView, Store, StoreOptions, Write};
    use super::*;

    fn kept(store: &Store) -> Vec<Timestamp> {
        let kept = store.shared.bases.kept.lock();
        kept.open.iter().map(|base| base.folded).collect()
    }

    #[test]
    fn a_base_serves_later_snapshots_until_the_fold_position_moves() {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut appender) = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let mut head = store.head();
        for ts in 1..=3 {
            let write = Write {
                key: Bytes::from("k"),
                value: Some(Bytes::from(format!("v{ts}"))),
            };
            let mut row = LogRow::default();
            let (ts, writes) = (Timestamp(ts), vec![write]);
            head.apply(&Commit { ts, writes }, &mut row);
            let before = kept(&store);
            let view = store.begin_snapshot().unwrap().over(head.pin()).unwrap();
            assert_eq!(view.get(b"k").unwrap().unwrap(), format!("v{}", ts.0));
            drop(view);
            let after = kept(&store);
            assert_eq!(after.len(), 1);
            assert!(before.is_empty() || before[0] < after[0]);
            appender.append(row).unwrap();
            appender.publish(head.freeze());
            let durable = store.snapshot().unwrap();
            assert!(kept(&store).is_empty());
            assert_eq!(durable.get(b"k").unwrap().unwrap(), format!("v{}", ts.0));
            drop(durable);
            assert_eq!(kept(&store), after);
            while appender.fold().unwrap() != FoldProgress::Idle {}
            head.refresh();
        }
        let held = store.snapshot().unwrap();
        assert!(kept(&store).is_empty(), "the fold position has moved");
        drop(held);
        assert_eq!(kept(&store), [Timestamp(3)]);
    }

    #[test]
    fn an_ending_ends_those_that_are_held_too_once_they_are_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _appender) = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let (held, let_go) = (store.snapshot().unwrap(), store.snapshot().unwrap());
        drop(let_go);
        assert_eq!(kept(&store).len(), 1);
        store.shared.end_open_bases();
        assert!(kept(&store).is_empty());
        drop(held);
        assert!(kept(&store).is_empty());
        let paused = store.shared.bases.pause();
        drop(store.snapshot().unwrap());
        assert!(kept(&store).is_empty());
        drop(paused);
        drop(store.snapshot().unwrap());
        assert_eq!(kept(&store).len(), 1);
    }
}
