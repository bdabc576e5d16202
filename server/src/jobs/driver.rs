//! The driver: the one task that knows what is due, and keeps a bounded number of jobs running.
//!
//! Invariants:
//! - A job is started only while nothing says that it runs already; the job's own documents decide, not this driver.
//! - Every job that waits is found. Jobs up to a horizon are in memory, and the write log keeps them up to date. Later
//!   jobs are read when their turn comes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use vestibule_schema::id::DocumentId;
use vestibule_schema::timestamp::Timestamp;

use super::crons::{self, CRONS};
use super::metrics::{JobsMetrics, Kind};
use super::pause::{SETTINGS, is_paused};
use super::run::{Attempt, Job, Runner, Task, backoff, is_over};
use super::waiting::{ENTRIES_READ_MAX, PENDING, Waiting};
use super::{BY_STATE_AND_TIME, JobsOptions, scheduled};
use crate::clock::{Clock, Sleep, UnixNanos};
use crate::database::{DatabaseError, LogEntry, StateEntry, StateIndex, Transaction};
use crate::functions::scheduled::{JobState, SCHEDULED_FUNCTIONS, milliseconds};
use crate::functions::{Error, Functions, SystemError};

/// Jobs that rest before they are tried again. Beyond this nothing is started: the trouble is the server's.
const RESTING_MAX: usize = 4_096;
/// The interval between looks at the clock while a job waits for its time: an operator may set the clock.
const CLOCK_LOOK_EVERY: Duration = Duration::from_secs(1);
/// How far the clock must be set back for crons to be looked at again.
const CLOCK_SET_BACK: Duration = Duration::from_secs(60);
/// How long the driver waits after it could not read.
const READ_RETRY: Duration = Duration::from_millis(500);
/// How long jobs that run are waited for when the server ends.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// Entries that are counted at once at a start.
const COUNT_STEP: usize = 10_000;

/// Everything the driver knows.
pub struct Driver {
    runner: Runner,
    clock: Arc<dyn Clock>,
    options: JobsOptions,
    scheduled: Waiting,
    crons: Waiting,
    running: JoinSet<(Job, Attempt)>,
    /// Jobs that run or rest.
    busy: HashSet<DocumentId>,
    /// The due entries of busy jobs: each is looked at again when its job is no longer busy.
    behind: HashMap<DocumentId, Vec<(Kind, StateEntry)>>,
    /// Jobs that rest before they are tried again, by when that is.
    resting: BTreeMap<(Duration, DocumentId), Resting>,
    failures: HashMap<DocumentId, u32>,
    /// The moment that the clock would have shown when it began to run, by its newest look.
    epoch: UnixNanos,
    /// The newest commit whose news were taken in.
    seen: Timestamp,
    paused: bool,
    /// When to read again whether the deployment is paused: at once after a change of its settings, later after trouble.
    read_again: Option<Duration>,
}

struct Resting {
    kind: Kind,
    entry: StateEntry,
}

/// A table or index that every database has is missing.
const TABLES_EXIST: &str = "the tables of jobs are made before anything runs";

impl Driver {
    /// A driver that knows nothing yet.
    pub fn new(runner: Runner, options: JobsOptions) -> Driver {
        let database = runner.functions.database();
        let catalog = database.definitions().catalog.clone();
        let index = |table| StateIndex::find(&catalog, table, BY_STATE_AND_TIME);
        Driver {
            clock: database.clock().clone(),
            scheduled: Waiting::new(index(SCHEDULED_FUNCTIONS).expect(TABLES_EXIST), false),
            crons: Waiting::new(index(CRONS).expect(TABLES_EXIST), true),
            epoch: epoch(&**database.clock()),
            seen: database.write_log().newest(),
            runner,
            options,
            running: JoinSet::new(),
            busy: HashSet::new(),
            behind: HashMap::new(),
            resting: BTreeMap::new(),
            failures: HashMap::new(),
            paused: false,
            read_again: Some(Duration::ZERO),
        }
    }

    /// Runs jobs until `stop`, then lets those that run finish.
    pub async fn drive(mut self, stop: CancellationToken) {
        let recovered = tokio::select! {
            () = stop.cancelled() => false,
            recovered = self.recover() => recovered,
        };
        let mut news = self.functions().database().write_log().subscribe();
        while recovered && !stop.is_cancelled() {
            news.borrow_and_update();
            self.take_news();
            self.look_at_clock().await;
            if self.look().await == Attempt::Over {
                break;
            }
            let wake = self.next_wake();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(finished) = self.running.join_next(), if !self.running.is_empty() => {
                    self.finished(finished);
                    while let Some(finished) = self.running.try_join_next() {
                        self.finished(finished);
                    }
                }
                changed = news.changed() => if changed.is_err() { break },
                () = wake => {}
            }
        }
        self.let_finish().await;
    }

    fn functions(&self) -> &Arc<Functions> {
        &self.runner.functions
    }

    fn metrics(&self) -> &JobsMetrics {
        &self.runner.metrics
    }

    /// Ends what was in progress when the server ended, and counts what there is. False when the server is ending.
    async fn recover(&mut self) -> bool {
        let (scheduled, crons) = (self.scheduled.index().clone(), self.crons.index().clone());
        loop {
            let (scheduled, crons) = (scheduled.clone(), crons.clone());
            let step = self.functions().transact(move |tx| {
                let more_scheduled = scheduled::fail_interrupted(tx, &scheduled)?;
                let more_crons = crons::fail_interrupted(tx, &crons)?;
                Ok(more_scheduled || more_crons)
            });
            match step.await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => break,
                Ok(Err(error)) => return self.cannot_go_on(&error),
                Err(error) if is_over(&error) => return false,
                Err(error) => {
                    tracing::error!(%error, "interrupted jobs could not be ended; trying again");
                    self.rest(READ_RETRY).await;
                }
            }
        }
        self.bring_crons_back().await;
        self.count().await;
        true
    }

    /// Looks whether the clock was set back, and if so at crons that ran while it was ahead.
    async fn look_at_clock(&mut self) {
        let epoch = epoch(&*self.clock);
        let back = Duration::from_nanos(self.epoch.0.saturating_sub(epoch.0));
        self.epoch = epoch;
        if back >= CLOCK_SET_BACK {
            self.bring_crons_back().await;
        }
    }

    async fn bring_crons_back(&self) {
        let brought = self.functions().transact(|tx| Ok(crons::bring_back(tx)?));
        match brought.await {
            Ok(Ok(0)) => {}
            Ok(Ok(crons)) => {
                tracing::warn!(
                    crons,
                    "the clock was set back; these crons run by the present time again"
                );
            }
            Ok(Err(error)) => tracing::error!(%error, "crons could not be looked at"),
            Err(error) => tracing::warn!(%error, "crons could not be looked at"),
        }
    }

    /// The server's own documents cannot be used. Jobs rest until the next start.
    fn cannot_go_on(&self, error: &Error) -> bool {
        tracing::error!(%error, "jobs cannot run");
        false
    }

    /// Counts what waits and what has ended, for metrics.
    async fn count(&mut self) {
        let index = self.scheduled.index().clone();
        let counted = self.read(move |tx| {
            let mut counts = [0; 4];
            let ended = [
                JobState::Success,
                JobState::Failed(String::new()),
                JobState::Canceled,
            ];
            let states = std::iter::once(PENDING).chain(ended.iter().map(JobState::kind));
            for (state, count) in states.zip(&mut counts) {
                *count = count_entries(tx, &index, state)?;
            }
            Ok((tx.snapshot_ts(), counts))
        });
        if let Ok((ts, [waiting, ended @ ..])) = counted.await {
            // Entries counted here are not counted again as news.
            self.seen = self.seen.max(ts);
            self.scheduled.forget();
            self.crons.forget();
            self.metrics().waiting.set(waiting);
            self.metrics().ended.set(ended.iter().sum());
        }
    }

    /// Takes in what commits have touched since the last time.
    fn take_news(&mut self) {
        let database = self.functions().database().clone();
        let entries = database.write_log().since(self.seen);
        // Tables that changed places touch more than any list of keys shows.
        let is_told = |entries: &Vec<LogEntry>| {
            let mut entries = entries.iter();
            entries.all(|entry| !entry.touched.is_everything())
        };
        let Some(entries) = entries.filter(is_told) else {
            self.scheduled.forget();
            self.crons.forget();
            self.seen = database.write_log().newest();
            self.read_again.get_or_insert(Duration::ZERO);
            return;
        };
        let catalog = database.definitions().catalog.clone();
        let settings = catalog.table(SETTINGS);
        for entry in entries {
            let changes = self.scheduled.note(&entry.touched);
            self.crons.note(&entry.touched);
            self.metrics().waiting.inc_by(changes.waiting);
            self.metrics().ended.inc_by(changes.ended);
            if settings.is_some_and(|settings| settings.is_touched_by(&entry.touched)) {
                self.read_again.get_or_insert(Duration::ZERO);
            }
            self.seen = entry.ts;
        }
    }

    /// Reads the needed state and starts the due jobs. `Attempt::Over` when the server is ending.
    async fn look(&mut self) -> Attempt {
        let now = self.clock.elapsed();
        while let Some(first) = self.resting.first_entry()
            && first.key().0 <= now
        {
            let ((_, id), Resting { kind, entry }) = first.remove_entry();
            self.set_free(id);
            self.waiting(kind).put_back(entry);
        }
        if self.read_again.is_some_and(|again| again > now) {
            return Attempt::Again;
        }
        let looked = self.try_look().await;
        match looked {
            Ok(()) => Attempt::Done,
            Err(error) if is_over(&error) => Attempt::Over,
            Err(error) => {
                tracing::error!(%error, "what is due could not be read; trying again");
                self.read_again = Some(self.clock.elapsed() + READ_RETRY);
                Attempt::Again
            }
        }
    }

    async fn try_look(&mut self) -> Result<(), SystemError> {
        if self.read_again.is_some() {
            self.paused = self.read(is_paused).await?;
            self.read_again = None;
        }
        loop {
            self.read_more(Kind::Scheduled).await?;
            self.read_more(Kind::Cron).await?;
            let due = self.take_due();
            if due.is_empty() {
                return Ok(());
            }
            self.start(due).await?;
        }
    }

    fn waiting(&mut self, kind: Kind) -> &mut Waiting {
        match kind {
            Kind::Scheduled => &mut self.scheduled,
            Kind::Cron => &mut self.crons,
        }
    }

    async fn read_more(&mut self, kind: Kind) -> Result<(), SystemError> {
        let waiting = self.waiting(kind);
        let Some(after) = waiting.wants_more() else {
            return Ok(());
        };
        let index = waiting.index().clone();
        let entries = self
            .read(move |tx| index.entries(tx, PENDING, after.as_ref(), ENTRIES_READ_MAX))
            .await?;
        self.waiting(kind).read(entries);
        Ok(())
    }

    /// The due entries that have room, the earliest first.
    fn take_due(&mut self) -> Vec<(Kind, StateEntry)> {
        let now_ms = milliseconds(self.clock.now());
        let mut room = self.options.concurrency.saturating_sub(self.running.len());
        if self.resting.len() >= RESTING_MAX {
            room = 0;
        }
        let mut due = Vec::new();
        while due.len() < room {
            let next = match (self.next_scheduled_ms(), self.crons.next_ms()) {
                (Some(job_ms), Some(cron_ms)) if job_ms <= cron_ms => Kind::Scheduled,
                (_, Some(_)) => Kind::Cron,
                (Some(_), None) => Kind::Scheduled,
                (None, None) => break,
            };
            let Some(entry) = self.waiting(next).take_due(now_ms) else {
                break;
            };
            match self.busy.insert(entry.id) {
                true => due.push((next, entry)),
                false => self.behind.entry(entry.id).or_default().push((next, entry)),
            }
        }
        due
    }

    /// When the next scheduled function is due, unless none may start.
    fn next_scheduled_ms(&self) -> Option<f64> {
        match self.paused {
            true => None,
            false => self.scheduled.next_ms(),
        }
    }

    /// Starts what is due, in this order.
    async fn start(&mut self, due: Vec<(Kind, StateEntry)>) -> Result<(), SystemError> {
        let to_find = due.clone();
        let found = self.read(move |tx| {
            let find = |(kind, entry): &(Kind, StateEntry)| match kind {
                Kind::Scheduled => Job::scheduled(tx, entry),
                Kind::Cron => Job::cron(tx, entry),
            };
            to_find.iter().map(find).collect::<Result<Vec<_>, _>>()
        });
        let found = match found.await {
            Ok(found) => found,
            Err(error) => {
                for (kind, entry) in due {
                    self.set_free(entry.id);
                    self.waiting(kind).put_back(entry);
                }
                return Err(error);
            }
        };
        for ((_, entry), job) in due.into_iter().zip(found) {
            match job {
                Some(job) => self.start_job(job),
                // It was canceled, or has run.
                None => self.set_free(entry.id),
            }
        }
        Ok(())
    }

    fn start_job(&mut self, job: Job) {
        if self.paused
            && let Task::Cron(occurrence) = job.task
        {
            let functions = self.functions().clone();
            self.running.spawn(async move {
                let skipped = functions.transact(move |tx| Ok(occurrence.skip(tx)?)).await;
                match skipped {
                    Ok(_) => (job, Attempt::Done),
                    Err(error) if is_over(&error) => (job, Attempt::Over),
                    Err(_) => (job, Attempt::Again),
                }
            });
            return;
        }
        let due_ms = job.entry.number().unwrap_or_default();
        let late_ms = (milliseconds(self.clock.now()) - due_ms).max(0.0);
        let late = Duration::try_from_secs_f64(late_ms / 1_000.0).unwrap_or(Duration::MAX);
        self.metrics().started(job.kind(), late);
        let attempt = self.runner.start(job);
        self.running.spawn(attempt);
        self.metrics().running.set(self.running.len() as i64);
    }

    fn finished(&mut self, finished: Result<(Job, Attempt), JoinError>) {
        self.metrics().running.set(self.running.len() as i64);
        let (job, attempt) = match finished {
            Ok(finished) => finished,
            // Functions' panics are caught where they run. A job whose task panicked stays busy until the next start.
            Err(error) => return tracing::error!(%error, "a job's task panicked"),
        };
        let id = job.entry.id;
        match attempt {
            Attempt::Done | Attempt::Over => {
                self.set_free(id);
                self.failures.remove(&id);
            }
            Attempt::Again => {
                let failures = self.failures.entry(id).or_default();
                let until = self.clock.elapsed() + backoff(*failures);
                *failures += 1;
                let resting = Resting {
                    kind: job.kind(),
                    entry: job.entry,
                };
                self.resting.insert((until, id), resting);
            }
        }
    }

    /// Takes note that a job neither runs nor rests.
    fn set_free(&mut self, id: DocumentId) {
        self.busy.remove(&id);
        for (kind, entry) in self.behind.remove(&id).into_iter().flatten() {
            self.waiting(kind).put_back(entry);
        }
    }

    /// Ends when there may be something to do that no news tells of.
    fn next_wake(&self) -> Sleep {
        let elapsed = self.clock.elapsed();
        let has_room = self.running.len() < self.options.concurrency;
        let next_ms = [self.next_scheduled_ms(), self.crons.next_ms()];
        let next_ms = next_ms.into_iter().flatten().reduce(f64::min);
        let next_job = next_ms.filter(|_| has_room).map(|next_ms| {
            let wait_ms = (next_ms - milliseconds(self.clock.now())).max(0.0);
            let wait = Duration::try_from_secs_f64(wait_ms / 1_000.0).unwrap_or(Duration::MAX);
            elapsed + wait.min(CLOCK_LOOK_EVERY)
        });
        let rested = self.resting.first_key_value().map(|((until, _), _)| *until);
        let wakes = [next_job, rested, self.read_again];
        match wakes.into_iter().flatten().min() {
            Some(until) => self.clock.sleep_until(until),
            None => Box::pin(std::future::pending()),
        }
    }

    async fn rest(&self, time: Duration) {
        let until = self.clock.elapsed() + time;
        self.clock.sleep_until(until).await;
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Transaction<'_>) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, SystemError> {
        let environment = self.functions().database().environment().clone();
        self.functions()
            .read(move |view| {
                let mut tx = Transaction::read_only(view, &environment);
                tx.uncharged(read).map_err(trouble)
            })
            .await
    }

    /// Waits for running jobs, as long as that may take. Mutations that ran commit or not; actions that are left behind
    /// are ended at the next start.
    async fn let_finish(mut self) {
        let all = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_WAIT, all).await.is_err() {
            tracing::warn!(jobs = self.running.len(), "jobs were left behind");
        }
        self.running.shutdown().await;
    }
}

fn epoch(clock: &dyn Clock) -> UnixNanos {
    let elapsed = u64::try_from(clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
    UnixNanos(clock.now().0.saturating_sub(elapsed))
}

fn trouble(error: DatabaseError) -> SystemError {
    match error {
        DatabaseError::Storage(error) => SystemError::Storage(error),
        DatabaseError::Query(error) => {
            unreachable!("the server's own reads are well formed and charged to nothing: {error}")
        }
    }
}

fn count_entries(
    tx: &mut Transaction<'_>,
    index: &StateIndex,
    state: &str,
) -> Result<i64, DatabaseError> {
    let mut after: Option<Bytes> = None;
    let mut count = 0;
    loop {
        let entries = index.entries(tx, state, after.as_ref(), COUNT_STEP)?;
        count += entries.len() as i64;
        match entries.last() {
            Some(last) if entries.len() == COUNT_STEP => after = Some(last.key.clone()),
            Some(_) | None => return Ok(count),
        }
    }
}
