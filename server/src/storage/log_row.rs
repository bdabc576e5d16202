//! A batch of commits as it becomes one row of the commit log: written commit by commit, while each is at hand.

use bytes::Bytes;
use vestibule_schema::timestamp::Timestamp;

use super::Commit;
use super::codec::{self, ROW_HEADER_BYTES};
use super::slots::SlotKey;

/// Up to this many keys of the overlay are listed in a row, so that after a few writes folding need not walk it whole.
const MOVED_KEYS_MAX: usize = 256;

/// Room for a few commits, so that a row is not moved while it grows to that.
const FIRST_BYTES: usize = 1 << 10;

/// Commits that become durable together, in the order of their timestamps. [`Head::apply`](super::Head::apply) adds them.
pub struct LogRow {
    /// The header, which is filled in last, and the commits.
    pub(super) bytes: Vec<u8>,
    commits: u32,
    first: Timestamp,
    last: Timestamp,
    /// Keys whose values were replaced in slots, and are there alone.
    pub(super) replaced: Vec<SlotKey>,
    /// The other keys; `None` if there are too many to remember.
    pub(super) moved: Option<Vec<Bytes>>,
}

impl Default for LogRow {
    fn default() -> Self {
        let mut bytes = Vec::with_capacity(FIRST_BYTES);
        bytes.resize(ROW_HEADER_BYTES, 0);
        Self {
            bytes,
            commits: 0,
            first: Timestamp::ZERO,
            last: Timestamp::ZERO,
            replaced: Vec::new(),
            moved: Some(Vec::new()),
        }
    }
}

impl LogRow {
    /// How many commits it holds.
    pub fn len(&self) -> usize {
        self.commits as usize
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.commits == 0
    }

    /// Bytes of its commits.
    pub fn bytes(&self) -> usize {
        self.bytes.len() - ROW_HEADER_BYTES
    }

    /// Its first commit; zero without one.
    pub(super) fn first(&self) -> Timestamp {
        self.first
    }

    /// Its last commit; zero without one.
    pub fn last(&self) -> Timestamp {
        self.last
    }

    /// Adds a commit without its keys.
    ///
    /// # Panics
    /// If its timestamp is not after the last.
    pub(super) fn push(&mut self, commit: &Commit) {
        assert!(
            self.is_empty() || commit.ts > self.last,
            "commits are appended in the order of their timestamps"
        );
        if self.is_empty() {
            self.first = commit.ts;
        }
        self.last = commit.ts;
        self.commits += 1;
        codec::encode_commit(commit, &mut self.bytes);
    }

    /// Notes that a key came, went or changed in the overlay.
    pub(super) fn note_moved(&mut self, key: &Bytes) {
        match &mut self.moved {
            Some(keys) if keys.len() < MOVED_KEYS_MAX => keys.push(key.clone()),
            keys => *keys = None,
        }
    }

    /// The row as it is stored, behind the row of `previous`.
    pub(super) fn sealed(&mut self, previous: Timestamp) -> &[u8] {
        codec::seal_log_row(previous, self.commits, self.last, &mut self.bytes);
        &self.bytes
    }
}
