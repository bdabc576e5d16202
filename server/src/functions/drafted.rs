//! Mutations that run beside the lane: their runs, their reruns, and their way to the lane.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::timestamp::Timestamp;

use super::Functions;
use super::contention::{Part, RunEnd};
use super::error::SystemError;
use super::runner::{Basis, Call, FunctionOutcome, MutationBodyRun, MutationRun, OnFinish};
use super::runner::{answered_before, outcome_of, run_mutation_body};
use crate::database::{
    Claim, Claimant, CommitTsPlaces, Draft, DraftEnd, DraftRoute, DraftWork, Drafted, Environment,
    HeadView, ReadSet, RecordedAnswer, SessionRequest, Transaction, Turn, Verdict, ViewError,
    WriteContext, creation_time,
};
use crate::storage::ReadView;

/// Runs after which nothing may overtake a mutation: the lane waits for a short one, and a long one reserves its reads.
const OVERTAKEN_BEFORE_TURN: u32 = 3;
/// A run that took no longer than this is short.
const SHORT: Duration = Duration::from_millis(5);
/// How long the lane waits for a short one.
const SHORT_TURN: Duration = Duration::from_millis(20);
/// Runs after which one reserves its reads that the lane has waited for in vain.
const SHORT_BEFORE_RESERVATION: u32 = 8;
/// Time in which a mutation runs again because commits overtake it.
const CONTENTION_TIME_MAX: Duration = Duration::from_secs(120);

/// One mutation beside the lane, from its arrival to its outcome.
pub(super) struct DraftedMutation {
    pub functions: Arc<Functions>,
    pub call: Call,
    /// Makes it harmless to send again; `None` for calls that no client sends twice.
    pub session_request: Option<SessionRequest>,
    pub on_finish: Option<OnFinish>,
    ran: Option<MutationRun>,
    /// The places of its result that hold the timestamp of its commit.
    places: CommitTsPlaces,
    draft: Option<Draft>,
    overtaken: u32,
    /// When it was first overtaken, by the clock's elapsed time.
    contended_since: Option<Duration>,
    /// Its reads when it was last overtaken, and before that under its reservation.
    read: ReadSet,
    /// Its part in reservations, once it has asked for one.
    claimant: Option<Claimant>,
    took: Duration,
    /// Whether a run of it has begun whose end nobody has taken note of.
    is_under_way: bool,
    part: Option<Part>,
    /// Whether something of its session waits for its place.
    is_in_front: bool,
}

enum Run {
    Draft(Box<Draft>, DraftRoute),
    Ended(Box<Result<MutationRun, SystemError>>),
}

impl DraftedMutation {
    pub fn new(
        functions: Arc<Functions>,
        call: Call,
        session_request: Option<SessionRequest>,
        on_finish: OnFinish,
    ) -> DraftedMutation {
        DraftedMutation {
            functions,
            call,
            is_in_front: session_request.is_some(),
            session_request,
            on_finish: Some(on_finish),
            ran: None,
            places: CommitTsPlaces::default(),
            draft: None,
            overtaken: 0,
            contended_since: None,
            read: ReadSet::default(),
            claimant: None,
            took: Duration::ZERO,
            is_under_way: false,
            part: None,
        }
    }

    /// Queues a run.
    pub fn start(self: Box<Self>) {
        let functions = self.functions.clone();
        functions.beside.run(move || self.run_in_turn());
    }

    /// Queues a run of one that has waited for others of its function.
    pub fn begin(mut self: Box<Self>, part: Part) {
        self.begins(Some(part));
        let functions = self.functions.clone();
        functions.beside.run_next(move || self.run());
    }

    /// Runs on this thread, now or once others of its function make room.
    fn run_in_turn(mut self: Box<Self>) {
        // Nothing overtakes these, so they wait for no other.
        if self.overtaken >= OVERTAKEN_BEFORE_TURN {
            self.begins(None);
            return self.run();
        }
        let functions = self.functions.clone();
        let (path, ran_before) = (self.call.path.clone(), self.overtaken > 0);
        let now = functions.database.clock().elapsed();
        let arrived = functions.contention.arrive(&path, self, ran_before, now);
        if let Some((mut mutation, part)) = arrived {
            mutation.begins(part);
            mutation.run();
        }
    }

    fn begins(&mut self, part: Option<Part>) {
        self.part = part;
        self.is_under_way = true;
    }

    /// Takes note of the end of a run. True if others wait for it.
    fn note_end(&mut self, end: RunEnd) -> bool {
        let (path, part) = (&self.call.path, self.part.take());
        let is_under_way = std::mem::take(&mut self.is_under_way);
        let now = self.functions.database.clock().elapsed();
        is_under_way && self.functions.contention.ended(path, part, end, now)
    }

    /// The same, and begins what waited for it.
    fn run_ended(&mut self, end: RunEnd) {
        if self.note_end(end) {
            begin_waiting(&self.functions, &self.call.path);
        }
    }

    /// Runs on this thread and sends the draft to the lane.
    fn run(mut self: Box<Self>) {
        let clock = self.functions.database.clock().clone();
        let began = clock.elapsed();
        let run = self.attempt();
        self.took = clock.elapsed() - began;
        match run {
            Run::Draft(draft, route) => {
                self.draft = Some(*draft);
                let functions = self.functions.clone();
                let submitted = functions.database.committer().submit_draft(self, route);
                if let Err(drafted) = submitted {
                    drafted.crowded_out();
                }
            }
            Run::Ended(ended) => self.end(*ended),
        }
    }

    fn attempt(&mut self) -> Run {
        let turn = self.turn();
        let request = self.session_request.as_ref();
        let view = match self.functions.database.head_view(turn, request) {
            Ok(view) => view,
            Err(error) => return Run::Ended(Box::new(Err(trouble(error)))),
        };
        if self.overtaken == 0
            && !view.is_new_request()
            && let Some(answered) = self.answered_before()
        {
            return Run::Ended(Box::new(answered));
        }
        let database = self.functions.database.clone();
        let environment = database.environment();
        let ts = view.snapshot().ts();
        match on_head(environment, &view, |tx| self.run_body(environment, tx, ts)) {
            Ok(work) => {
                let (draft, route) = view.into_draft(work);
                Run::Draft(Box::new(draft), route)
            }
            Err(failure) => Run::Ended(Box::new(Err(failure))),
        }
    }

    /// Runs the body on the state as of `ts`.
    fn run_body(
        &mut self,
        environment: &Environment,
        tx: Transaction<'_>,
        ts: Timestamp,
    ) -> Result<DraftWork, SystemError> {
        let base = tx.definitions().clone();
        let args = self.call.args.clone();
        let mut run = run_mutation_body(environment, tx, &self.call, args);
        let basis = run.basis();
        let MutationBodyRun {
            result,
            tx,
            log_lines,
            observed,
        } = run;
        if let Some(failure) = tx.storage_failure() {
            return Err(SystemError::Storage(failure.clone()));
        }
        let outcome = outcome_of(result);
        let (verdict, answer) = match &outcome {
            FunctionOutcome::Returned(value) => {
                let answer = self.session_request.as_ref().map(|_| RecordedAnswer {
                    ts: Timestamp::ZERO,
                    value: value.clone(),
                    log_lines: log_lines.clone(),
                });
                (Verdict::Commit, answer)
            }
            FunctionOutcome::Threw(_) => (Verdict::Abort, None),
        };
        let (reads, basis) = match self.session_request {
            Some(_) => (basis.reads, Basis::default()),
            None => (basis.reads.clone(), basis),
        };
        self.ran = Some(MutationRun {
            outcome,
            log_lines,
            ts,
            basis,
        });
        self.places = observed.places;
        let request = self.session_request.clone();
        let newest = tx.last_creation_time();
        Ok(
            DraftWork::of(tx, reads, base, verdict, newest, request, answer)
                .with_places(self.places.clone()),
        )
    }

    fn turn(&mut self) -> Turn {
        if self.overtaken < OVERTAKEN_BEFORE_TURN {
            return Turn::Beside;
        }
        let is_short = self.took <= SHORT && self.claimant.is_none();
        if is_short && self.overtaken < SHORT_BEFORE_RESERVATION {
            return Turn::Held(SHORT_TURN);
        }
        let time_max = 2 * self.functions.mutation_time_max(&self.call.path);
        self.functions.counts.asked_for_reservation();
        let claimant = self.claimant.get_or_insert_default();
        Turn::Reserved(claimant.wish(self.read.clone(), time_max))
    }

    /// Whether it has run again for so long that its sender must try anew.
    fn is_given_up(&self) -> bool {
        let clock = self.functions.database.clock();
        let since = self.contended_since.unwrap_or(clock.elapsed());
        let took = clock.elapsed().saturating_sub(since);
        self.overtaken > OVERTAKEN_BEFORE_TURN && took > CONTENTION_TIME_MAX
    }

    /// The answer of an earlier run, when there was one that is durable. The view is not asked: an answer there may be
    /// rolled back, and an earlier timestamp than the durable one proves nothing. The lane finds that one.
    fn answered_before(&self) -> Option<Result<MutationRun, SystemError>> {
        let request = self.session_request.as_ref()?;
        let database = &self.functions.database;
        let snapshot = match database.store().snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => return Some(Err(SystemError::Storage(Arc::new(error)))),
        };
        let mut tx = Transaction::read_only(&snapshot, database.environment());
        let recorded = match request.find(&mut tx) {
            Ok(recorded) => recorded,
            Err(error) => return Some(Err(super::runner::storage_trouble(error))),
        };
        answered_before(recorded, tx.snapshot_ts()).map(Ok)
    }

    /// Lets the next mutation of the session begin.
    fn give_way(&mut self) {
        if std::mem::take(&mut self.is_in_front)
            && let Some(request) = &self.session_request
        {
            self.functions.start_next(&request.session);
        }
    }

    /// Ends what waits for its place, so that nothing of the session overtakes it.
    fn refuse_those_behind(&self) {
        if self.is_in_front
            && let Some(request) = &self.session_request
        {
            self.functions.refuse_waiting(&request.session);
        }
    }

    fn end(mut self: Box<Self>, ended: Result<MutationRun, SystemError>) {
        if ended.is_err() {
            self.refuse_those_behind();
        }
        self.give_way();
        if let Some(on_finish) = self.on_finish.take()
            && let Some(waker) = on_finish(ended)
        {
            waker.wake();
        }
    }
}

fn begin_waiting(functions: &Functions, path: &FunctionPath) {
    let now = functions.database.clock().elapsed();
    while let Some((mutation, part)) = functions.contention.next(path, now) {
        mutation.begin(part);
    }
}

/// Runs `work` on a transaction that reads the head as `view` has it.
pub(super) fn on_head<R>(
    environment: &Environment,
    view: &HeadView,
    work: impl FnOnce(Transaction<'_>) -> R,
) -> R {
    let now = Timestamp(environment.clock.now().0);
    let mut rng = StdRng::from_os_rng();
    let mut last_creation_time = view.creation_time().max(creation_time(now));
    let writer = WriteContext {
        rng: &mut rng,
        last_creation_time: &mut last_creation_time,
        commit_ts: now.max(Timestamp(view.snapshot().ts().0 + 1)),
        known_sessions: None,
    };
    work(Transaction::writable(view.snapshot(), environment, writer))
}

pub(super) fn trouble(error: ViewError) -> SystemError {
    match error {
        ViewError::QueueFull => SystemError::CommitterFull,
        ViewError::Closed => SystemError::ShuttingDown,
        ViewError::Storage(error) => SystemError::Storage(error),
    }
}

impl Drop for DraftedMutation {
    /// In any case, the mutations that wait behind it go on.
    fn drop(&mut self) {
        self.run_ended(RunEnd::Otherwise);
        // One that still has its place was lost: its client sends it again, and what waits behind it.
        self.refuse_those_behind();
        self.give_way();
        if let Some(on_finish) = self.on_finish.take()
            && let Some(waker) = on_finish(Err(SystemError::ShuttingDown))
        {
            waker.wake();
        }
    }
}

impl Drafted for DraftedMutation {
    fn take_draft(&mut self) -> Draft {
        let draft = self.draft.take();
        draft.expect("it is submitted with a draft each time")
    }

    fn placed(&mut self) {
        self.run_ended(RunEnd::Placed);
        self.give_way();
    }

    fn was_put_back(&mut self) {
        self.run_ended(RunEnd::Otherwise);
    }

    fn session(&self) -> Option<[u8; 16]> {
        let request = self.session_request.as_ref()?;
        Some(request.session)
    }

    fn may_be_put_back(&self) -> bool {
        self.call.may_be_put_back()
    }

    fn claim(&self) -> Option<&Claim> {
        self.claimant.as_ref().map(Claimant::claim)
    }

    fn overtaken(mut self: Box<Self>, reads: ReadSet) {
        self.overtaken += 1;
        self.functions.counts.overtaken();
        let (functions, path) = (self.functions.clone(), self.call.path.clone());
        self.note_end(RunEnd::Overtaken);
        let now = self.functions.database.clock().elapsed();
        self.contended_since.get_or_insert(now);
        if self.is_given_up() {
            tracing::warn!(path = %self.call.path, runs = self.overtaken, "commits overtook a mutation in all its runs");
            return self.end(Err(SystemError::Contended));
        }
        self.read = match self.claimant {
            Some(_) => std::mem::take(&mut self.read).and(reads),
            None => reads,
        };
        self.start();
        begin_waiting(&functions, &path);
    }

    fn crowded_out(self: Box<Self>) {
        self.end(Err(SystemError::CommitterFull));
    }

    fn finish(mut self: Box<Self>, end: DraftEnd) -> Option<Waker> {
        self.give_way();
        let ran = self.ran.take();
        let ended = match end {
            DraftEnd::Committed(ts) => {
                let mut ran = ran.expect("a draft was made by a run");
                if let FunctionOutcome::Returned(value) = &mut ran.outcome {
                    self.places.resolve(value, ts);
                }
                Ok(MutationRun { ts, ..ran })
            }
            DraftEnd::Recalled(recorded) => {
                let ts = ran.map_or(Timestamp::ZERO, |ran| ran.ts);
                answered_before(recorded, ts).ok_or(SystemError::ShuttingDown)
            }
            DraftEnd::Refused(error) => Err(error.into()),
        };
        self.functions.log_mutation(&self.call, &ended, self.took);
        self.on_finish.take().and_then(|on_finish| on_finish(ended))
    }
}
