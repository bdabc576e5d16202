//! Drafts: mutations that run beside the lane, on the head as it was. A draft holds what it read, what it would write
//! and its answer.
//!
//! The lane applies a draft if no commit has touched what it read, and hands it back to run again if one has. So a slow
//! body delays no other mutation, and the commits equal those of mutations that run alone, each at its place on the
//! lane.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use vestibule_schema::timestamp::Timestamp;

use super::commit_ts::CommitTsPlaces;
use super::committer::{CommitError, Task, Verdict};
use super::held_turn::Direct;
use super::history::Definitions;
use super::keys::IndexId;
use super::read_set::ReadSet;
use super::reservation::{Claim, Wish};
use super::session_requests::{Recorded, RecordedAnswer, SessionRequest};
use super::transaction::{Changes, Transaction};
use crate::storage::{PinnedHead, Snapshot, SnapshotBase, StorageError};

/// The head at one moment, with commits that are not durable yet, for one transaction beside the lane.
pub struct HeadView {
    snapshot: Snapshot,
    ticket: Ticket,
    pub(super) generation: u64,
    /// The newest creation time given to anything; those of the draft are later.
    pub(super) creation_time: f64,
    is_new_request: bool,
    direct: Option<Direct<Task>>,
}

/// The lane's view of its head, for a draft.
pub(super) struct LaneView {
    pub head: PinnedHead,
    pub generation: u64,
    pub creation_time: f64,
    /// Whether the request that asked was certainly never answered.
    pub is_new_request: bool,
    pub ticket: Ticket,
    /// The way to a lane that waits for this draft alone.
    pub direct: Option<Direct<Task>>,
}

/// A draft that the lane counts as under way until this is dropped.
pub(super) struct Ticket {
    pub began: Timestamp,
    pub ended: Arc<Mutex<Vec<Timestamp>>>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.ended.lock().push(self.began);
    }
}

/// Why there is no view of the head.
#[derive(Clone, Debug, Error)]
pub enum ViewError {
    /// Too many mutations wait for the lane.
    #[error("too many mutations are waiting to run")]
    QueueFull,
    /// The committer has ended.
    #[error("the server is shutting down")]
    Closed,
    /// The store failed.
    #[error("the store failed: {0}")]
    Storage(Arc<StorageError>),
}

/// Whether the lane goes on while a draft runs.
#[derive(Clone)]
pub enum Turn {
    /// It does; the draft may be overtaken.
    Beside,
    /// The lane waits this long for the draft, so that nothing can overtake it.
    Held(Duration),
    /// It goes on with everything that leaves these reads as they are, if no other draft has such a wish fulfilled.
    Reserved(Wish),
}

impl HeadView {
    /// The lane's view, over a base that began before. `None` when the base is too old: begin another one.
    pub(super) fn new(base: SnapshotBase, lane: LaneView) -> Option<HeadView> {
        Some(HeadView {
            snapshot: base.over(lane.head)?,
            ticket: lane.ticket,
            generation: lane.generation,
            creation_time: lane.creation_time,
            is_new_request: lane.is_new_request,
            direct: lane.direct,
        })
    }

    /// The snapshot that the draft reads.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The newest creation time given to anything as of this view, in milliseconds.
    pub fn creation_time(&self) -> f64 {
        self.creation_time
    }

    /// Whether the request that asked for this view was certainly never answered.
    pub fn is_new_request(&self) -> bool {
        self.is_new_request
    }

    /// Makes a draft from the work of a transaction on this view, and sends it to the lane.
    pub fn into_draft(self, work: DraftWork) -> (Draft, DraftRoute) {
        let HeadView {
            ticket,
            generation,
            direct,
            ..
        } = self;
        let draft = Draft {
            work,
            generation,
            ticket,
        };
        (draft, DraftRoute { direct })
    }
}

/// The way of a draft to the lane.
pub struct DraftRoute {
    pub(super) direct: Option<Direct<Task>>,
}

/// The work of a transaction beside the lane.
pub struct DraftWork {
    pub(super) definitions: Arc<Definitions>,
    pub(super) reads: ReadSet,
    pub(super) changes: Changes,
    pub(super) creation_time: f64,
    pub(super) record: Option<(SessionRequest, Option<RecordedAnswer>)>,
    /// The places of the recorded answer that are to hold the timestamp of the commit.
    pub(super) places: CommitTsPlaces,
}

impl DraftWork {
    /// The work of `tx`. The verdict may forget its changes; its read set decides all the same. `base` are the
    /// definitions it began with. `session_request` makes it harmless to send again: `answer` is recorded for it.
    pub fn of(
        tx: Transaction<'_>,
        reads: ReadSet,
        base: Arc<Definitions>,
        verdict: Verdict,
        creation_time: f64,
        session_request: Option<SessionRequest>,
        answer: Option<RecordedAnswer>,
    ) -> DraftWork {
        let changes = match verdict {
            Verdict::Commit => tx.into_changes(),
            Verdict::Abort => Changes::default(),
        };
        DraftWork {
            definitions: base,
            // Code and variables make cached results stale, and never a draft: it ends on the code that it began with.
            reads: reads.without(&IndexId::DEPENDENCIES.range()),
            changes,
            creation_time,
            record: session_request.map(|request| (request, answer)),
            places: CommitTsPlaces::default(),
        }
    }

    /// The same, whose answer is to hold the timestamp of the commit at `places`.
    pub fn with_places(self, places: CommitTsPlaces) -> DraftWork {
        DraftWork { places, ..self }
    }
}

/// A mutation's work, as the lane takes or refuses it.
pub struct Draft {
    pub(super) work: DraftWork,
    pub(super) generation: u64,
    pub(super) ticket: Ticket,
}

impl Draft {
    /// The state that it read.
    pub(super) fn seen(&self) -> Timestamp {
        self.ticket.began
    }
}

/// A mutation that runs beside the lane.
pub trait Drafted: Send {
    /// Hands the draft to the lane, once a submission.
    fn take_draft(&mut self) -> Draft;

    /// Called on the lane once its place is certain, before it is durable: the next one of its session may begin. Must
    /// not block.
    fn placed(&mut self);

    /// Called on the lane when it waits for the end of another one's reservation. Must not block.
    fn was_put_back(&mut self);

    /// Its session, in which the order of commits is kept.
    fn session(&self) -> Option<[u8; 16]>;

    /// Whether it may wait for the end of another one's reservation.
    fn may_be_put_back(&self) -> bool;

    /// Its claim to a reservation, once it has made one.
    fn claim(&self) -> Option<&Claim>;

    /// Called on the lane when a commit has touched its read set, or when a state it read was rolled back: it must run
    /// again. Must not block. `reads` is its read set.
    fn overtaken(self: Box<Self>, reads: ReadSet);

    /// Called instead of all others when there is no room in the lane's queue.
    fn crowded_out(self: Box<Self>);

    /// Called once, when the outcome is certain. The returned waker is woken once the commit's news is out.
    fn finish(self: Box<Self>, end: DraftEnd) -> Option<Waker>;
}

/// How a draft ended.
#[derive(Debug)]
pub enum DraftEnd {
    /// Its work stands, as of this timestamp: its commit, or the state it saw when there was nothing to commit.
    Committed(Timestamp),
    /// It was answered before.
    Recalled(Recorded),
    /// It left no trace.
    Refused(CommitError),
}
