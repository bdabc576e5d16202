//! The waiting entries that must be known: the next few entries of an index, kept up to date by the touched keys of
//! commits. Pure: the driver reads the index.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use vestibule_schema::id::DocumentId;

use crate::database::{StateEntry, StateIndex, Touched, TouchedEntry};

/// Entries that are read at once.
pub const ENTRIES_READ_MAX: usize = 1_024;
/// Entries that are kept at the most; news beyond makes the latest be forgotten again.
const ENTRIES_KEPT_MAX: usize = 4 * ENTRIES_READ_MAX;
/// With fewer entries than this, more are read.
const ENTRIES_LOW: usize = ENTRIES_READ_MAX / 4;
/// The state of what waits.
pub const PENDING: &str = "pending";

/// The next entries that wait, by their time.
pub struct Waiting {
    index: StateIndex,
    /// Whether documents that have left the state of waiting come back to it.
    come_back: bool,
    /// Every entry that waits up to the horizon, and perhaps some that wait no more.
    entries: BTreeSet<StateEntry>,
    horizon: Horizon,
}

/// How far the entries are known.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Horizon {
    /// None is.
    Nowhere,
    /// Those up to this key are.
    UpTo(Bytes),
    /// All are.
    Everywhere,
}

/// How a commit has changed the numbers of what waits and of what has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Documents that wait now and did not before, less those that wait no more.
    pub waiting: i64,
    /// Documents that have ended, less those that are gone.
    pub ended: i64,
}

impl Waiting {
    /// Nothing is known yet. `come_back` says whether documents that have left the state of waiting come back to it.
    pub fn new(index: StateIndex, come_back: bool) -> Waiting {
        Waiting {
            index,
            come_back,
            entries: BTreeSet::new(),
            horizon: Horizon::Nowhere,
        }
    }

    /// The index that it follows.
    pub fn index(&self) -> &StateIndex {
        &self.index
    }

    /// Forgets everything: news were missed.
    pub fn forget(&mut self) {
        self.entries.clear();
        self.horizon = Horizon::Nowhere;
    }

    /// Whether more entries should be read; if so, behind which key.
    pub fn wants_more(&self) -> Option<Option<Bytes>> {
        if self.entries.len() >= ENTRIES_LOW {
            return None;
        }
        match &self.horizon {
            Horizon::Nowhere => Some(None),
            Horizon::UpTo(key) => Some(Some(key.clone())),
            Horizon::Everywhere => None,
        }
    }

    /// Takes in what was read: the next entries behind the horizon, [`ENTRIES_READ_MAX`] of them unless there are no
    /// more.
    pub fn read(&mut self, entries: Vec<StateEntry>) {
        self.horizon = match entries.last() {
            Some(last) if entries.len() >= ENTRIES_READ_MAX => Horizon::UpTo(last.key.clone()),
            Some(_) | None => Horizon::Everywhere,
        };
        self.entries.extend(entries);
    }

    /// Takes in what a commit touched.
    pub fn note(&mut self, touched: &Touched) -> Changes {
        let touched: Vec<TouchedEntry> = self.index.touched(touched).collect();
        if touched.is_empty() {
            return Changes::default();
        }
        let is_pending = |entry: &&TouchedEntry| is_in(entry, PENDING);
        let (pending, others): (Vec<_>, Vec<_>) = touched.iter().partition(is_pending);
        let elsewhere: HashSet<DocumentId> = others.iter().map(|other| other.entry.id).collect();
        for TouchedEntry { entry, .. } in &pending {
            // An entry with a place in another state by the same commit has just left for it, or come from it.
            let has_left = !self.come_back && elsewhere.contains(&entry.id);
            if !has_left && self.is_known(&entry.key) {
                self.entries.insert(entry.clone());
            }
        }
        self.forget_the_latest();
        changes(&touched)
    }

    fn is_known(&self, key: &Bytes) -> bool {
        match &self.horizon {
            Horizon::Nowhere => false,
            Horizon::UpTo(horizon) => key <= horizon,
            Horizon::Everywhere => true,
        }
    }

    fn forget_the_latest(&mut self) {
        if self.entries.len() <= ENTRIES_KEPT_MAX {
            return;
        }
        while self.entries.len() > ENTRIES_READ_MAX {
            self.entries.pop_last();
        }
        if let Some(last) = self.entries.last() {
            self.horizon = Horizon::UpTo(last.key.clone());
        }
    }

    /// Puts back an entry that was taken and still waits.
    pub fn put_back(&mut self, entry: StateEntry) {
        self.entries.insert(entry);
    }

    /// When the next one is due, in milliseconds since the epoch.
    pub fn next_ms(&self) -> Option<f64> {
        self.entries.first().and_then(StateEntry::number)
    }

    /// Takes the next entry out, if it is due.
    pub fn take_due(&mut self, now_ms: f64) -> Option<StateEntry> {
        match self.next_ms() {
            Some(at_ms) if at_ms <= now_ms => self.entries.pop_first(),
            Some(_) | None => None,
        }
    }
}

fn is_in(entry: &TouchedEntry, state: &str) -> bool {
    entry.state.as_ref().and_then(|found| found.as_str()) == Some(state)
}

/// A document's entries among those that a commit touched.
#[derive(Default)]
struct Moves {
    /// How often each of its entries was touched, with whether a document that has it waits, runs or has ended.
    entries: HashMap<Bytes, (Phase, usize)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Running,
    Ended,
}

impl Moves {
    /// Whether it has come into this phase or has left it. An entry that came and went in one commit was touched twice.
    fn has_moved(&self, phase: Phase) -> bool {
        let mut entries = self.entries.values();
        entries.any(|(found, times)| *found == phase && times % 2 == 1)
    }

    /// Whether it went through a state in which it was not before the commit, and is not after it.
    fn has_passed(&self) -> bool {
        self.entries.values().any(|(_, times)| times % 2 == 0)
    }

    fn count(&self, changes: &mut Changes) {
        let [waiting, running, ended] =
            [Phase::Waiting, Phase::Running, Phase::Ended].map(|phase| self.has_moved(phase));
        if waiting {
            changes.waiting += if running || ended { -1 } else { 1 };
        }
        // A document that ends in the commit that makes it waits in between. One that is forgotten does nothing else.
        if ended {
            let has_come = waiting || running || self.has_passed();
            changes.ended += if has_come { 1 } else { -1 };
        }
    }
}

/// Counts by document.
fn changes(touched: &[TouchedEntry]) -> Changes {
    const IN_PROGRESS: &str = "inProgress";
    let mut documents: HashMap<DocumentId, Moves> = HashMap::new();
    for touched in touched {
        let phase = match touched {
            _ if is_in(touched, PENDING) => Phase::Waiting,
            _ if is_in(touched, IN_PROGRESS) => Phase::Running,
            _ => Phase::Ended,
        };
        let moves = documents.entry(touched.entry.id).or_default();
        let entry = moves.entries.entry(touched.entry.key.clone());
        entry.or_insert((phase, 0)).1 += 1;
    }
    let mut changes = Changes::default();
    documents
        .values()
        .for_each(|moves| moves.count(&mut changes));
    changes
}
