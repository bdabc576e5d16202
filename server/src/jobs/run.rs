//! One attempt at one job, from its document to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use vestibule_schema::id::DocumentId;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::value::Value;

use super::crons::{CronEnd, CronJob, CronMutation, CronStatus, Occurrence, SkippedRuns};
use super::metrics::{JobsMetrics, Kind};
use super::scheduled::{self, INTERRUPTED, ScheduledMutation};
use crate::auth::Caller;
use crate::database::{DatabaseError, StateEntry, Transaction};
use crate::functions::scheduled::{JobState, ScheduledFunction, Target, unsupported};
use crate::functions::{
    Call, CallSource, Companion, Error, FunctionKind, FunctionOutcome, Functions, HeldPlace,
    MutationRun, OnBehalf, OnFinish, SystemError, quoted,
};

/// A job whose time has come.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its place in the index it was found in.
    pub entry: StateEntry,
    /// A scheduled function, or one run of a cron.
    pub task: Task,
    /// The function that runs.
    path: FunctionPath,
    args: Value,
}

/// The two kinds of job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Scheduled(DocumentId),
    Cron(Occurrence),
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The job is done with.
    Done,
    /// The server could not bring it to an end: it is to be tried again.
    Again,
    /// The server is ending.
    Over,
}

/// The parts that an attempt uses.
#[derive(Clone)]
pub struct Runner {
    pub functions: Arc<Functions>,
    pub metrics: Arc<JobsMetrics>,
    /// Nothing more is to begin.
    pub stop: CancellationToken,
}

/// A job's mutation that was handed to the runner of functions.
struct Queued {
    answered: Result<oneshot::Receiver<Result<MutationRun, SystemError>>, SystemError>,
    /// The part that a cron has in its transaction.
    cron: Option<Arc<CronMutation>>,
}

/// How a function ended, with what it logged.
struct Ended {
    outcome: FunctionOutcome,
    log_lines: Vec<String>,
    took: Duration,
}

impl Job {
    /// Looks up the scheduled function of an entry; `None` when it waits no more.
    pub fn scheduled(
        tx: &mut Transaction<'_>,
        entry: &StateEntry,
    ) -> Result<Option<Job>, DatabaseError> {
        let found = ScheduledFunction::find(tx, entry.id)?;
        let found = found.filter(|found| found.state == JobState::Pending);
        Ok(found.map(|found| Job {
            entry: entry.clone(),
            task: Task::Scheduled(found.id),
            path: found.path,
            args: found.args,
        }))
    }

    /// Looks up the cron of an entry; `None` when another moment is the next one.
    pub fn cron(
        tx: &mut Transaction<'_>,
        entry: &StateEntry,
    ) -> Result<Option<Job>, DatabaseError> {
        let Some(at_ms) = entry.number() else {
            return Ok(None);
        };
        let found = CronJob::find(tx, entry.id)?;
        let found = found.filter(|found| found.next_ms == at_ms as u64);
        Ok(found.map(|found| Job {
            entry: entry.clone(),
            task: Task::Cron(Occurrence {
                id: found.id,
                at_ms: found.next_ms,
            }),
            path: found.function,
            args: Value::Object(found.args),
        }))
    }

    /// Its kind in metrics.
    pub fn kind(&self) -> Kind {
        match self.task {
            Task::Scheduled(_) => Kind::Scheduled,
            Task::Cron(_) => Kind::Cron,
        }
    }

    /// The call of its function, without an identity.
    fn call(&self, companion: Option<Arc<dyn Companion>>, place: HeldPlace) -> Call {
        let scheduled = match self.task {
            Task::Scheduled(id) => Some(id),
            Task::Cron(_) => None,
        };
        Call {
            path: self.path.clone(),
            args: self.args.clone(),
            caller: Caller::job(),
            source: CallSource::Job(OnBehalf::new(scheduled, companion).with_place(place)),
        }
    }
}

impl Task {
    fn begin(self, tx: &mut Transaction<'_>) -> Result<bool, DatabaseError> {
        match self {
            Task::Scheduled(id) => scheduled::begin(tx, id),
            Task::Cron(occurrence) => occurrence.begin(tx),
        }
    }

    fn end(
        self,
        tx: &mut Transaction<'_>,
        ended: &Ended,
    ) -> Result<Option<SkippedRuns>, DatabaseError> {
        match self {
            Task::Scheduled(id) => {
                let state = match &ended.outcome {
                    FunctionOutcome::Returned(_) => JobState::Success,
                    FunctionOutcome::Threw(thrown) => JobState::Failed(thrown.message.clone()),
                };
                scheduled::end(tx, id, &state)?;
                Ok(None)
            }
            Task::Cron(occurrence) => {
                let status = match &ended.outcome {
                    FunctionOutcome::Returned(value) => CronStatus::Success(value.clone()),
                    FunctionOutcome::Threw(thrown) => CronStatus::Failed(thrown.message.clone()),
                };
                let log_lines = ended.log_lines.clone();
                let took = ended.took;
                let end = CronEnd {
                    status,
                    log_lines,
                    took,
                };
                occurrence.end(tx, &end)
            }
        }
    }
}

impl Runner {
    /// Starts an attempt. A mutation is queued before this returns, so mutations that are started one after another run
    /// in that order.
    pub fn start(&self, job: Job) -> impl Future<Output = (Job, Attempt)> + Send + use<> {
        let runner = self.clone();
        let kind = match self.functions.registry().target(&job.path) {
            Target::Function(kind) => Some(kind),
            Target::NoFunction | Target::NoModule => None,
        };
        let queued = match kind {
            Some(FunctionKind::Mutation) => Some(self.queue_mutation(&job)),
            Some(FunctionKind::Action | FunctionKind::Query) | None => None,
        };
        async move {
            let attempt = match (kind, queued) {
                (_, Some(queued)) => runner.finish_mutation(&job, queued).await,
                (Some(FunctionKind::Action), _) => runner.run_action(&job).await,
                (Some(kind), None) => {
                    runner
                        .refuse(&job, unsupported(&job.path, kind).into())
                        .await
                }
                (None, None) => {
                    let error = format!("Could not find function for {}.", quoted(&job.path));
                    runner.refuse(&job, Error::plain(error)).await
                }
            };
            (job, attempt)
        }
    }

    fn queue_mutation(&self, job: &Job) -> Queued {
        let clock = self.functions.database().clock();
        let (companion, cron): (Arc<dyn Companion>, _) = match job.task {
            Task::Scheduled(id) => (Arc::new(ScheduledMutation(id)), None),
            Task::Cron(occurrence) => {
                let cron = Arc::new(CronMutation::new(occurrence, clock.clone()));
                (cron.clone(), Some(cron))
            }
        };
        let (answer, answered) = oneshot::channel();
        let on_finish: OnFinish = Box::new(move |run| {
            // The jobs room that waited may have ended; the mutation ran all the same.
            drop(answer.send(run));
            None
        });
        let call = job.call(Some(companion), HeldPlace::default());
        let submitted = self.functions.submit_mutation(call, None, on_finish);
        Queued {
            answered: submitted.map(|()| answered),
            cron,
        }
    }

    async fn finish_mutation(&self, job: &Job, queued: Queued) -> Attempt {
        let run = match queued.answered {
            Ok(answered) => answered
                .await
                .unwrap_or_else(|_| Err(SystemError::ShuttingDown)),
            Err(error) => Err(error),
        };
        match run {
            Ok(MutationRun {
                outcome: FunctionOutcome::Returned(_),
                ..
            }) => {
                let skipped = queued.cron.and_then(|cron| cron.take_skipped());
                self.tell_skipped(job, skipped);
                Attempt::Done
            }
            Ok(MutationRun {
                outcome, log_lines, ..
            }) => {
                let ended = Ended {
                    outcome,
                    log_lines,
                    took: Duration::ZERO,
                };
                self.write_end(job, ended).await
            }
            Err(error) => self.trouble(job, &error),
        }
    }

    async fn run_action(&self, job: &Job) -> Attempt {
        // The place first: a job in progress is not run again, so one that only waits must still be pending.
        let place = tokio::select! {
            place = self.functions.action_place(&job.path) => place,
            () = self.stop.cancelled() => return Attempt::Over,
        };
        let task = job.task;
        let begun = self
            .functions
            .transact(move |tx| Ok(task.begin(tx)?))
            .await
            .map(|begun| begun.unwrap_or(false));
        match begun {
            Ok(true) => {}
            Ok(false) => return Attempt::Done,
            Err(error) => return self.trouble(job, &error),
        }
        let clock = self.functions.database().clock().clone();
        let began = clock.elapsed();
        let run = self.functions.act(job.call(None, place)).await;
        let (outcome, log_lines) = match run {
            Ok(run) => (run.outcome, run.log_lines),
            Err(error) => {
                tracing::error!(path = %job.path, %error, "a job's action was not brought to its end");
                let interrupted = Error::plain(INTERRUPTED).into_thrown();
                (FunctionOutcome::Threw(interrupted), Vec::new())
            }
        };
        let ended = Ended {
            outcome,
            log_lines,
            took: clock.elapsed().saturating_sub(began),
        };
        self.write_end(job, ended).await
    }

    /// Says in the log of functions which runs of a cron are left out.
    fn tell_skipped(&self, job: &Job, skipped: Option<SkippedRuns>) {
        if let Some(skipped) = skipped {
            let line = format!("[WARN] {skipped}");
            self.functions.log_job(&job.path, vec![line], None);
        }
    }

    /// Ends a job whose function cannot be run.
    async fn refuse(&self, job: &Job, error: Error) -> Attempt {
        let thrown = error.into_thrown();
        self.functions
            .log_job(&job.path, Vec::new(), Some(thrown.message.clone()));
        let ended = Ended {
            outcome: FunctionOutcome::Threw(thrown),
            log_lines: Vec::new(),
            took: Duration::ZERO,
        };
        self.write_end(job, ended).await
    }

    /// Writes how a job ended, however long that takes: an action that has run must not run again.
    async fn write_end(&self, job: &Job, ended: Ended) -> Attempt {
        if let FunctionOutcome::Threw(thrown) = &ended.outcome {
            self.metrics.failed(job.kind());
            tracing::warn!(path = %job.path, error = thrown.message, "a job failed");
        }
        let (task, ended) = (job.task, Arc::new(ended));
        let mut failures = 0;
        loop {
            let ended = ended.clone();
            let written = self
                .functions
                .transact(move |tx| Ok(task.end(tx, &ended)?))
                .await;
            match written {
                Ok(written) => {
                    self.tell_skipped(job, written.ok().flatten());
                    return Attempt::Done;
                }
                Err(error) if is_over(&error) => return Attempt::Over,
                Err(error) => {
                    tracing::error!(path = %job.path, %error, "the end of a job could not be written; trying again");
                    let clock = self.functions.database().clock();
                    let until = clock.elapsed() + backoff(failures);
                    failures += 1;
                    clock.sleep_until(until).await;
                }
            }
        }
    }

    fn trouble(&self, job: &Job, error: &SystemError) -> Attempt {
        if is_over(error) {
            return Attempt::Over;
        }
        tracing::warn!(path = %job.path, %error, "a job could not run; it will be tried again");
        self.metrics.retried.inc();
        Attempt::Again
    }
}

/// Whether the server is ending.
pub fn is_over(error: &SystemError) -> bool {
    use crate::database::{CommitError, ReadersError};
    match error {
        SystemError::ShuttingDown
        | SystemError::NotCommitted(CommitError::ShuttingDown)
        | SystemError::Readers(ReadersError::Closed) => true,
        SystemError::NotCommitted(CommitError::NotCommitted(_) | CommitError::Full)
        | SystemError::Readers(ReadersError::QueueFull)
        | SystemError::Storage(_)
        | SystemError::Contended
        | SystemError::CommitterFull => false,
    }
}

const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(2 * 60 * 60);

/// How long to wait after this many failures before.
pub fn backoff(failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures);
    BACKOFF_FIRST.saturating_mul(factor).min(BACKOFF_MAX)
}
