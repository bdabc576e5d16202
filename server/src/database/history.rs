//! The definitions that transactions use, at each timestamp: the catalog, and the extension that the rooms above keep
//! with it.
//!
//! Definitions are immutable. A commit that changes them puts new ones in their place from its timestamp on. A batch
//! that is rolled back takes its definitions with it. A transaction uses those of its snapshot from its beginning to
//! its end.

use std::any::Any;
use std::sync::Arc;

use arc_swap::ArcSwap;
use vestibule_schema::timestamp::Timestamp;

use super::catalog::Catalog;

/// The extension that the rooms above keep with the catalog, opaque here: the functions of a deployment.
pub type Extension = Arc<dyn Any + Send + Sync>;

/// The definitions that transactions use.
#[derive(Clone)]
pub struct Definitions {
    /// The tables and indexes.
    pub catalog: Arc<Catalog>,
    /// The extension that the rooms above keep with them.
    pub extension: Extension,
}

impl Definitions {
    /// A catalog with nothing beside it.
    pub fn new(catalog: Catalog) -> Definitions {
        Definitions {
            catalog: Arc::new(catalog),
            extension: Arc::new(()),
        }
    }
}

/// The number of changes of the definitions that are remembered. A snapshot lives for seconds, so it never needs an
/// older one.
const CHANGES_MAX: usize = 256;

/// The definitions of every commit that a snapshot may still see.
pub struct History {
    /// In ascending order of the commits that brought them; never empty.
    changes: ArcSwap<Vec<(Timestamp, Arc<Definitions>)>>,
}

impl History {
    /// A history that begins with `definitions`, whatever the timestamp.
    pub fn new(definitions: Definitions) -> History {
        let first = (Timestamp::ZERO, Arc::new(definitions));
        History {
            changes: ArcSwap::from_pointee(vec![first]),
        }
    }

    /// The definitions as of `ts`.
    pub fn at(&self, ts: Timestamp) -> Arc<Definitions> {
        let changes = self.changes.load();
        let newest = changes.iter().rev().find(|(since, _)| *since <= ts);
        let (_, definitions) = newest.unwrap_or(&changes[0]);
        definitions.clone()
    }

    /// Keeps `extension` with every catalog, before anything runs.
    pub(super) fn install(&self, extension: Extension) {
        let changes = self.changes.load();
        let installed = changes.iter().map(|(since, definitions)| {
            let catalog = definitions.catalog.clone();
            let extension = extension.clone();
            (*since, Arc::new(Definitions { catalog, extension }))
        });
        self.changes.store(Arc::new(installed.collect()));
    }

    /// Puts `definitions` in place from the commit `ts` on. Those of the commit `durable` are remembered: everything after
    /// it may be rolled back. For the one thread that commits.
    pub(super) fn change(&self, ts: Timestamp, definitions: Arc<Definitions>, durable: Timestamp) {
        let changes = self.changes.load();
        let of_durable = changes.partition_point(|(since, _)| *since <= durable);
        let forgotten = (changes.len() + 1).saturating_sub(CHANGES_MAX);
        let forgotten = forgotten.min(of_durable.saturating_sub(1));
        let mut next = changes[forgotten..].to_vec();
        next.push((ts, definitions));
        self.changes.store(Arc::new(next));
    }

    /// Forgets the changes of commits after `ts`, which were rolled back.
    pub(super) fn roll_back_to(&self, ts: Timestamp) {
        let changes = self.changes.load();
        if changes.last().is_some_and(|(since, _)| *since > ts) {
            let kept = changes.iter().filter(|(since, _)| *since <= ts);
            self.changes.store(Arc::new(kept.cloned().collect()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &'static str) -> Definitions {
        Definitions {
            catalog: Arc::default(),
            extension: Arc::new(name),
        }
    }

    fn name_at(history: &History, ts: u64) -> &'static str {
        let definitions = history.at(Timestamp(ts));
        definitions
            .extension
            .downcast_ref::<&'static str>()
            .unwrap()
    }

    #[test]
    fn each_timestamp_sees_the_definitions_of_its_own_time() {
        let history = History::new(named("a"));
        history.change(Timestamp(10), Arc::new(named("b")), Timestamp(9));
        history.change(Timestamp(20), Arc::new(named("c")), Timestamp(19));
        let seen = [0, 9, 10, 19, 20, 99].map(|ts| name_at(&history, ts));
        assert_eq!(seen, ["a", "a", "b", "b", "c", "c"]);
        history.roll_back_to(Timestamp(19));
        assert_eq!(name_at(&history, 99), "b");
        history.roll_back_to(Timestamp(19));
        assert_eq!(name_at(&history, 99), "b");
    }

    #[test]
    fn the_history_is_bounded() {
        let history = History::new(named("first"));
        for ts in 1..=2 * CHANGES_MAX as u64 {
            history.change(Timestamp(ts), Arc::new(named("later")), Timestamp(ts - 1));
        }
        assert_eq!(history.changes.load().len(), CHANGES_MAX);
        assert_eq!(name_at(&history, 0), "later");
    }

    #[test]
    fn the_definitions_of_the_durable_commit_are_never_forgotten() {
        let history = History::new(named("durable"));
        for ts in 1..=2 * CHANGES_MAX as u64 {
            history.change(Timestamp(ts), Arc::new(named("later")), Timestamp::ZERO);
        }
        history.roll_back_to(Timestamp::ZERO);
        assert_eq!(name_at(&history, 9), "durable");
    }
}
