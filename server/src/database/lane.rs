//! The lane: runs mutations one after another at the head and gathers what they changed into batches.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use crossbeam_channel::{Receiver, Select, SelectedOperation};
use parking_lot::Mutex;
use rand::RngCore;
use vestibule_schema::key::decode_key;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::Value;

use super::catalog::Catalog;
use super::committer::{CommitError, Committed, CommitterOptions, Mutation, Task, Verdict};
use super::draft::{Draft, DraftEnd, Drafted, LaneView, Ticket, Turn};
use super::error::DatabaseError;
use super::held_turn::{Waiting, held_turn};
use super::keys::{IndexId, creation_time};
use super::overtakes::Overtakes;
use super::reservation::{PutBack, Reservations};
use super::session_requests::{KnownSessions, Recorded};
use super::transaction::{Changes, Environment, Transaction, WriteContext};
use super::write_log::LogEntry;
use crate::clock::Alarm;
use crate::storage::{
    Commit, Cursor, Direction, Head, LogRow, Published, ReadView, StorageError, Store,
};

/// Mutations that ran on one state of the head and become durable together.
pub struct Batch {
    /// How many batches had been rolled back when it was opened.
    pub(super) generation: u64,
    pub(super) row: LogRow,
    pub(super) news: Vec<LogEntry>,
    finished: Vec<Finished>,
    /// Keys in `row`.
    pub(super) keys: usize,
    /// Bytes of answers that are not in `row` before the batch is closed.
    answer_bytes: usize,
    /// The head after its last commit; set when it is closed.
    pub(super) published: Option<Published>,
}

/// One whose outcome is certain once the batch is durable.
enum Finished {
    Mutation(Box<dyn Mutation>, Timestamp),
    Draft(Box<dyn Drafted>, DraftEnd),
}

impl Batch {
    fn new(generation: u64) -> Batch {
        Batch {
            generation,
            row: LogRow::default(),
            news: Vec::new(),
            finished: Vec::new(),
            keys: 0,
            answer_bytes: 0,
            published: None,
        }
    }

    /// Whether nothing more should run in it.
    pub fn is_full(&self, options: &CommitterOptions) -> bool {
        self.finished.len() >= options.batch_commits_max
            || self.row.bytes() + self.answer_bytes >= options.batch_bytes_max
    }

    /// Reports to every waiter in the batch that its verdict stands. Returns the wakers to be woken.
    pub(super) fn confirm(&mut self) -> Vec<Waker> {
        let finished = self.finished.drain(..);
        let mut wakers: Vec<Waker> = finished
            .filter_map(|finished| match finished {
                Finished::Mutation(mutation, ts) => mutation.finish(Ok(Committed { ts })),
                Finished::Draft(drafted, end) => drafted.finish(end),
            })
            .collect();
        // Mutations of one connection mostly come together.
        wakers.dedup_by(|one, other| one.will_wake(other));
        wakers
    }

    /// Tells every mutation in it that it left no trace.
    pub(super) fn refuse(self, error: CommitError) {
        let finished = self.finished.into_iter();
        finished
            .filter_map(|finished| match finished {
                Finished::Mutation(mutation, _) => mutation.finish(Err(error.clone())),
                Finished::Draft(drafted, _) => drafted.finish(DraftEnd::Refused(error.clone())),
            })
            .for_each(Waker::wake);
    }
}

/// Runs mutations at the head.
pub struct Lane {
    store: Store,
    head: Head,
    environment: Arc<Environment>,
    rng: Box<dyn RngCore + Send>,
    /// The newest timestamp given to anything; the next one is later, whatever the clock says.
    last_ts: Timestamp,
    /// The newest creation time given to anything, in milliseconds; the next one is later too.
    last_creation_time: f64,
    known_sessions: KnownSessions,
    overtakes: Overtakes,
    reservations: Reservations,
    /// Drafts that have ended, which the lane has not taken note of.
    ended: Arc<Mutex<Vec<Timestamp>>>,
    generation: u64,
    rollbacks: Arc<AtomicU64>,
}

impl Lane {
    /// A lane that continues behind everything in `store`. `rollbacks` counts the batches that were not committed.
    pub fn new(
        store: &Store,
        environment: Arc<Environment>,
        rng: Box<dyn RngCore + Send>,
        rollbacks: Arc<AtomicU64>,
    ) -> Result<Lane, StorageError> {
        let head = store.head();
        Ok(Lane {
            store: store.clone(),
            last_ts: head.last_ts(),
            last_creation_time: newest_creation_time(
                &head,
                &environment.definitions.at(head.last_ts()).catalog,
            )?,
            head,
            environment,
            rng,
            known_sessions: KnownSessions::default(),
            overtakes: Overtakes::default(),
            reservations: Reservations::default(),
            ended: Arc::default(),
            generation: rollbacks.load(Ordering::Acquire),
            rollbacks,
        })
    }

    /// An empty batch. When an earlier one was not committed, the head goes back to what is durable first.
    pub fn open_batch(&mut self) -> Batch {
        let rollbacks = self.rollbacks.load(Ordering::Acquire);
        if rollbacks != self.generation {
            let durable = self.store.durable();
            self.head.roll_back_to(&durable);
            self.environment.definitions.roll_back_to(durable.ts);
            self.known_sessions.forget_gathered();
            self.overtakes.forget_commits();
            self.generation = rollbacks;
        }
        self.head.refresh();
        Batch::new(self.generation)
    }

    /// Runs one mutation on everything that ran before it.
    pub fn run(&mut self, mut mutation: Box<dyn Mutation>, batch: &mut Batch) {
        let may_be_put_back = !self.reservations.are_absent() && mutation.prepare_to_run_again();
        if may_be_put_back && self.reservations.is_behind(mutation.session()) {
            return self.put_back(PutBack::Mutation(mutation));
        }
        self.run_now(mutation, may_be_put_back, batch);
    }

    fn run_now(
        &mut self,
        mut mutation: Box<dyn Mutation>,
        may_be_put_back: bool,
        batch: &mut Batch,
    ) {
        let seen_ts = self.head.last_ts();
        let commit_ts = self.next_ts();
        let (tx, verdict) = mutation.run(self.transaction(commit_ts));
        let changes = tx.into_changes();
        if may_be_put_back && verdict == Verdict::Commit && self.keeps_out(&changes) {
            return self.put_back(PutBack::Mutation(mutation));
        }
        let ts = match verdict == Verdict::Abort || changes.is_empty() {
            true => seen_ts,
            false => self.commit(commit_ts, changes, batch),
        };
        batch.finished.push(Finished::Mutation(mutation, ts));
    }

    fn keeps_out(&mut self, changes: &Changes) -> bool {
        let now = self.environment.clock.elapsed();
        self.reservations.keeps_out(&changes.touched, None, now)
    }

    fn put_back(&mut self, commit: PutBack) {
        match self.reservations.put_back(commit) {
            None => {}
            Some(PutBack::Mutation(mutation)) => {
                if let Some(waker) = mutation.finish(Err(CommitError::Full)) {
                    waker.wake();
                }
            }
            Some(PutBack::Draft(drafted, _)) => drafted.crowded_out(),
        }
    }

    /// Runs the next of the commits that were put back, if no reservation stands any longer. False if there is none.
    pub(super) fn run_put_back(&mut self, batch: &mut Batch) -> bool {
        if self.reservations.are_absent() {
            return false;
        }
        let now = self.environment.clock.elapsed();
        match self.reservations.next(now) {
            None => return false,
            Some(PutBack::Mutation(mutation)) => self.run_now(mutation, false, batch),
            Some(PutBack::Draft(drafted, draft)) => self.place(drafted, *draft, batch),
        }
        true
    }

    /// Whether a commit that was put back may run now.
    pub(super) fn has_put_back(&mut self) -> bool {
        let now = || self.environment.clock.elapsed();
        !self.reservations.are_absent() && self.reservations.has_next(now())
    }

    /// The end of the reservation for which commits wait.
    pub(super) fn reservation_ends(&self) -> Option<ReservationEnds> {
        let (until, claimant_gone) = self.reservations.end_of_wait()?;
        Some(ReservationEnds {
            time_over: self.environment.clock.alarm_at(until),
            claimant_gone,
        })
    }

    /// The lane ends: nothing waits for a draft any longer.
    pub(super) fn end_reservation(&mut self) {
        self.reservations.end_all();
    }

    fn next_ts(&mut self) -> Timestamp {
        let ts = Timestamp(self.environment.clock.now().0.max(self.last_ts.0 + 1));
        self.last_ts = ts;
        self.last_creation_time = self.last_creation_time.max(creation_time(ts));
        ts
    }

    fn transaction(&mut self, commit_ts: Timestamp) -> Transaction<'_> {
        let writer = WriteContext {
            rng: &mut *self.rng,
            last_creation_time: &mut self.last_creation_time,
            commit_ts,
            known_sessions: Some(&mut self.known_sessions),
        };
        Transaction::writable(&self.head, &self.environment, writer)
    }

    fn commit(&mut self, ts: Timestamp, mut changes: Changes, batch: &mut Batch) -> Timestamp {
        changes.resolve(ts);
        let Changes {
            writes,
            touched,
            misfits,
            redefinition,
            answer,
            unresolved: _,
        } = changes;
        // If this batch is not written later, the push fails needlessly and must be made again.
        misfits.into_iter().for_each(|(rules, why)| rules.fail(why));
        let commit = Commit { ts, writes };
        self.head.apply(&commit, &mut batch.row);
        batch.keys += commit.writes.len();
        if let Some(answer) = answer {
            batch.answer_bytes += answer.record.len();
            self.known_sessions.gather(answer);
        }
        if !redefinition.is_empty() {
            let definitions = &self.environment.definitions;
            let next = redefinition.of(&definitions.at(ts));
            definitions.change(ts, Arc::new(next), self.store.durable().ts);
        }
        let touched = Arc::new(touched);
        self.overtakes.committed(ts, &touched);
        batch.news.push(LogEntry { ts, touched });
        ts
    }

    /// Hands out the head as it is, for a draft. Where the draft has its turn, the way on which the lane must wait for
    /// it comes back.
    pub(super) fn view(
        &mut self,
        turn: Turn,
        request: Option<([u8; 16], u32)>,
    ) -> (LaneView, Option<Waiting<Task>>) {
        self.note_ended();
        let ts = self.head.last_ts();
        self.overtakes.began(ts);
        let (direct, waiting) = match turn {
            Turn::Beside => (None, None),
            Turn::Reserved(wish) => {
                // Where another draft holds it, this one runs once more as it is.
                let now = self.environment.clock.elapsed();
                self.reservations.claim(wish, now);
                (None, None)
            }
            Turn::Held(time_max) => {
                let (direct, waiting) = held_turn(time_max);
                (Some(direct), Some(waiting))
            }
        };
        let view = LaneView {
            head: self.head.pin(),
            generation: self.generation,
            creation_time: self.last_creation_time,
            is_new_request: request
                .is_some_and(|(session, number)| self.known_sessions.is_new(&session, number)),
            ticket: Ticket {
                began: ts,
                ended: self.ended.clone(),
            },
            direct,
        };
        (view, waiting)
    }

    fn note_ended(&mut self) {
        let ended = std::mem::take(&mut *self.ended.lock());
        ended.into_iter().for_each(|ts| self.overtakes.ended(ts));
    }

    /// Takes a draft on, as if it had run here and now, or sends it back to run again.
    pub fn apply(&mut self, mut drafted: Box<dyn Drafted>, batch: &mut Batch) {
        self.note_ended();
        let draft = drafted.take_draft();
        let may_be_put_back = !self.reservations.are_absent() && drafted.may_be_put_back();
        if may_be_put_back && self.holds_back(&*drafted, &draft) {
            drafted.was_put_back();
            return self.put_back(PutBack::Draft(drafted, Box::new(draft)));
        }
        self.place(drafted, draft, batch);
    }

    fn holds_back(&mut self, drafted: &dyn Drafted, draft: &Draft) -> bool {
        let now = self.environment.clock.elapsed();
        let touched = &draft.work.changes.touched;
        let reservations = &mut self.reservations;
        reservations.is_behind(drafted.session())
            || reservations.keeps_out(touched, drafted.claim(), now)
    }

    fn place(&mut self, mut drafted: Box<dyn Drafted>, draft: Draft, batch: &mut Batch) {
        let applied = self.try_apply(&draft, batch);
        match &applied {
            Applied::Overtaken => self.reservations.extend(drafted.claim(), &draft.work.reads),
            _ => self.reservations.end(drafted.claim()),
        }
        match applied {
            Applied::Overtaken => drafted.overtaken(draft.work.reads),
            Applied::Recalled(recorded) => {
                drafted.placed();
                let end = DraftEnd::Recalled(recorded);
                batch.finished.push(Finished::Draft(drafted, end));
            }
            Applied::Valid => {
                let ts = self.take_on(draft, batch);
                drafted.placed();
                let end = DraftEnd::Committed(ts);
                batch.finished.push(Finished::Draft(drafted, end));
            }
            Applied::Failed(error) => {
                let end = DraftEnd::Refused(CommitError::NotCommitted(error));
                // It leaves no trace, and nothing of it waits for this batch.
                drafted.placed();
                if let Some(waker) = drafted.finish(end) {
                    waker.wake();
                }
            }
        }
    }

    fn try_apply(&mut self, draft: &Draft, batch: &Batch) -> Applied {
        if draft.generation != batch.generation {
            return Applied::Overtaken;
        }
        if let Some((request, _)) = &draft.work.record {
            let found = request.find(&mut self.transaction(self.last_ts));
            match found {
                Ok(Recorded::Nothing) => {}
                Ok(recorded) => return Applied::Recalled(recorded),
                Err(DatabaseError::Storage(error)) => return Applied::Failed(error),
                Err(DatabaseError::Query(error)) => {
                    unreachable!("the look for an earlier answer is not charged: {error}")
                }
            }
        }
        let definitions = self.environment.definitions.at(self.head.last_ts());
        let same_catalog = Arc::ptr_eq(&definitions.catalog, &draft.work.definitions.catalog);
        let reads = &draft.work.reads;
        match same_catalog && !self.overtakes.has_overtaken(reads, draft.seen()) {
            true => Applied::Valid,
            false => Applied::Overtaken,
        }
    }

    fn take_on(&mut self, draft: Draft, batch: &mut Batch) -> Timestamp {
        let seen_ts = self.head.last_ts();
        let work = draft.work;
        let commit_ts = self.next_ts();
        self.last_creation_time = self.last_creation_time.max(work.creation_time);
        let mut changes = work.changes;
        if let Some((request, Some(mut answer))) = work.record {
            answer.ts = commit_ts;
            work.places.resolve(&mut answer.value, commit_ts);
            let mut tx = self.transaction(commit_ts);
            request.record(&mut tx, &answer);
            let recorded = tx.into_changes();
            changes.writes.extend(recorded.writes);
            changes.answer = recorded.answer;
        }
        match changes.is_empty() {
            true => seen_ts,
            false => self.commit(commit_ts, changes, batch),
        }
    }

    /// Nothing more runs in this batch. Its answers become one more commit, which is durable with those that they are
    /// of: a batch is written whole or not at all.
    pub fn close_batch(&mut self, batch: &mut Batch) {
        let writes = self.known_sessions.take_gathered();
        if !writes.is_empty() {
            let changes = Changes {
                writes,
                ..Changes::default()
            };
            let ts = self.next_ts();
            self.commit(ts, changes, batch);
        }
        batch.published = Some(self.head.freeze());
    }
}

/// The end of a reservation, whichever comes first.
pub(super) struct ReservationEnds {
    pub time_over: Alarm,
    pub claimant_gone: Receiver<Infallible>,
}

impl ReservationEnds {
    pub fn register<'s>(&'s self, select: &mut Select<'s>) -> [usize; 2] {
        [
            select.recv(&self.time_over),
            select.recv(&self.claimant_gone),
        ]
    }

    /// Completes what has happened if it is the end of the reservation; else it comes back.
    pub fn complete<'s>(
        &self,
        ready: SelectedOperation<'s>,
        [time_over, claimant_gone]: [usize; 2],
    ) -> Option<SelectedOperation<'s>> {
        if ready.index() == time_over {
            let _ = ready.recv(&self.time_over);
        } else if ready.index() == claimant_gone {
            let _ = ready.recv(&self.claimant_gone);
        } else {
            return Some(ready);
        }
        None
    }
}

enum Applied {
    Valid,
    Overtaken,
    Recalled(Recorded),
    Failed(Arc<StorageError>),
}

/// Inserts run ahead of the commit's own time, so the newest document decides as well.
fn newest_creation_time(head: &Head, catalog: &Catalog) -> Result<f64, StorageError> {
    let mut newest = creation_time(head.last_ts());
    for table in catalog.tables() {
        let mut last = Cursor::new(table.by_creation_time.range(), Direction::Reverse);
        let Some(entry) = head.next(&mut last)? else {
            continue;
        };
        match decode_key(&entry.key[IndexId::BYTES..]) {
            Ok((Some(Value::Float64(time)), _)) => newest = newest.max(time),
            _ => {
                return Err(StorageError::misplaced(
                    &entry.key,
                    "it holds no creation time",
                ));
            }
        }
    }
    Ok(newest)
}
