//! Jobs over a real store, with a clock that moves when it is told to.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry as Metrics;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use vestibule_schema::id::DocumentId;
use vestibule_schema::object;
use vestibule_schema::table::{Schema, Table};
use vestibule_schema::value::{Object, Value};

use super::*;
use crate::auth::Caller;
use crate::clock::{ManualClock, UnixNanos};
use crate::database::{Database, DatabaseOptions, Limits, Query, RawDocument, Transaction};
use crate::functions::scheduled::{JobState, SCHEDULED_FUNCTIONS, ScheduledFunction};
use crate::functions::{
    ActionCtx, Call, CallSource, Error, Function, FunctionOutcome, MutationCtx, QueryCtx, Registry,
    Result,
};

mod administration;
mod canceling;
mod crons;
mod running;
mod scheduling;
mod upkeep;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    text: String,
}

impl Table for Note {
    const NAME: &'static str = "notes";
}

/// A test's request to schedule functions.
#[derive(Serialize, Deserialize)]
struct Ask {
    path: String,
    at_ms: f64,
    text: String,
}

#[derive(Serialize, Deserialize)]
struct Text {
    text: String,
}

#[derive(Serialize, Deserialize)]
struct Which {
    id: DocumentId,
}

fn add(ctx: &mut MutationCtx, Text { text }: Text) -> Result<()> {
    ctx.db().insert(Note { text })?;
    Ok(())
}

fn fail(ctx: &mut MutationCtx, Text { text }: Text) -> Result<()> {
    ctx.db().insert(Note { text })?;
    Err(Error::new("it failed"))
}

fn schedule(ctx: &mut MutationCtx, Ask { path, at_ms, text }: Ask) -> Result<DocumentId> {
    ctx.scheduler().run_at(at_ms, &path, Text { text })
}

fn schedule_and_fail(ctx: &mut MutationCtx, ask: Ask) -> Result<()> {
    schedule(ctx, ask)?;
    Err(Error::new("never mind"))
}

#[derive(Serialize, Deserialize)]
struct Many {
    count: u32,
    at_ms: f64,
}

fn schedule_many(ctx: &mut MutationCtx, Many { count, at_ms }: Many) -> Result<()> {
    for number in 0..count {
        let text = number.to_string();
        ctx.scheduler().run_at(at_ms, "notes:add", Text { text })?;
    }
    Ok(())
}

fn schedule_in_vain(ctx: &mut MutationCtx, ask: Ask) -> Result<()> {
    let id = schedule(ctx, ask)?;
    ctx.scheduler().cancel(id)
}

fn cancel(ctx: &mut MutationCtx, Which { id }: Which) -> Result<()> {
    ctx.scheduler().cancel(id)
}

/// Notes the states of all scheduled functions as the transaction sees them.
fn look(ctx: &mut MutationCtx, _: Text) -> Result<()> {
    let seen = all(ctx.db().transaction())?;
    let states: Vec<&str> = seen.iter().map(|job| job.state.kind()).collect();
    let text = states.join(",");
    add(ctx, Text { text })
}

fn cancel_all_and_go_on(ctx: &mut MutationCtx, text: Text) -> Result<()> {
    for job in all(ctx.db().transaction())? {
        ctx.scheduler().cancel(job.id)?;
    }
    add(ctx, text)
}

fn list(ctx: &mut QueryCtx, (): ()) -> Result<Vec<String>> {
    let notes = ctx.db().query::<Note>().collect()?;
    Ok(notes.into_iter().map(|note| note.value.text).collect())
}

/// Notes its text, waits to be let go on, and schedules what it notes at its end.
async fn act(ctx: ActionCtx, Text { text }: Text, go_on: Arc<Semaphore>) -> Result<()> {
    let noted = Text {
        text: format!("{text} began"),
    };
    ctx.run_mutation::<()>("notes:add", noted).await?;
    go_on.acquire().await?.forget();
    if text == "broken" {
        return Err(Error::new("the action failed"));
    }
    let ask = Ask {
        path: "notes:add".into(),
        at_ms: START_MS,
        text: format!("{text} by mutation"),
    };
    ctx.run_mutation::<DocumentId>("notes:schedule", ask)
        .await?;
    let text = format!("{text} by action");
    ctx.scheduler()
        .run_after(Duration::ZERO, "notes:add", Text { text })
        .await?;
    Ok(())
}

fn all(tx: &mut Transaction<'_>) -> Result<Vec<ScheduledFunction>> {
    let documents = tx.uncharged(|tx| tx.collect(&Query::table(SCHEDULED_FUNCTIONS)))?;
    Ok(documents
        .into_iter()
        .filter_map(ScheduledFunction::read)
        .collect())
}

/// The moment at which each test begins, in milliseconds.
const START_MS: f64 = 1_800_000_000_000.0;

/// A server without its doors.
struct Rig {
    functions: Arc<Functions>,
    clock: Arc<ManualClock>,
    /// Lets one action go on.
    go_on: Arc<Semaphore>,
    jobs: Option<Jobs>,
    metrics: Arc<JobsMetrics>,
    options: JobsOptions,
    dir: TempDir,
}

impl Rig {
    fn new() -> Rig {
        Rig::with(JobsOptions::default(), Limits::default())
    }

    fn with(options: JobsOptions, limits: Limits) -> Rig {
        let clock = ManualClock::at(UnixNanos::from_seconds(START_MS as u64 / 1_000));
        Rig::open(
            options,
            limits,
            Arc::new(clock),
            tempfile::tempdir().unwrap(),
        )
    }

    fn open(options: JobsOptions, limits: Limits, clock: Arc<ManualClock>, dir: TempDir) -> Rig {
        let go_on = Arc::new(Semaphore::new(0));
        let mut rig = Rig {
            functions: functions(&dir, clock.clone(), limits, go_on.clone()),
            clock,
            go_on,
            jobs: None,
            metrics: Arc::new(JobsMetrics::register(&mut Metrics::default())),
            options,
            dir,
        };
        rig.start();
        rig
    }

    fn start(&mut self) {
        self.jobs = Some(Jobs::start(
            self.functions.clone(),
            self.options.clone(),
            self.metrics.clone(),
        ));
    }

    async fn stop(&mut self) {
        self.jobs.take().unwrap().stop().await;
    }

    /// Ends the server without a word to its jobs, lets time pass, and starts it again.
    async fn restart_after(self, time: Duration) -> Rig {
        if let Some(mut jobs) = self.jobs {
            for task in [&mut jobs.driver, &mut jobs.sweeper] {
                task.abort();
                let _ended = task.await;
            }
        }
        let database = self.functions.database().clone();
        drop(self.functions);
        database.close().await;
        self.clock.advance(time);
        Rig::open(self.options, Limits::default(), self.clock, self.dir)
    }

    async fn outcome(&self, path: &str, args: impl Serialize) -> FunctionOutcome {
        let run = self.functions.mutate(call(path, args)).await;
        run.unwrap().outcome
    }

    async fn mutate(&self, path: &str, args: impl Serialize) -> Value {
        match self.outcome(path, args).await {
            FunctionOutcome::Returned(value) => value,
            FunctionOutcome::Threw(thrown) => panic!("{path}: {}", thrown.message),
        }
    }

    async fn refusal(&self, path: &str, args: impl Serialize) -> String {
        match self.outcome(path, args).await {
            FunctionOutcome::Threw(thrown) => thrown.message,
            FunctionOutcome::Returned(value) => panic!("{path} returned {value}"),
        }
    }

    /// Schedules `path` with a text, so many milliseconds after the test's beginning.
    async fn schedule(&self, path: &str, after_ms: f64, text: &str) -> DocumentId {
        let id = self.mutate("notes:schedule", ask(path, after_ms, text));
        id.await.as_str().unwrap().parse().unwrap()
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Transaction<'_>) -> T + Send + 'static,
    ) -> T {
        let environment = self.functions.database().environment().clone();
        let read = self.functions.read(move |view| {
            let mut tx = Transaction::read_only(view, &environment);
            Ok(read(&mut tx))
        });
        read.await.unwrap()
    }

    async fn documents(&self, table: &'static str) -> Vec<RawDocument> {
        self.read(move |tx| tx.uncharged(|tx| tx.collect(&Query::table(table))).unwrap())
            .await
    }

    async fn scheduled(&self) -> Vec<ScheduledFunction> {
        self.read(|tx| all(tx).unwrap()).await
    }

    async fn state(&self, id: DocumentId) -> Option<JobState> {
        self.read(move |tx| ScheduledFunction::find(tx, id).unwrap())
            .await
            .map(|job| job.state)
    }

    async fn notes(&self) -> Vec<String> {
        let notes = self.documents(Note::NAME).await;
        let text = |note: RawDocument| note.fields["text"].as_str().unwrap().to_string();
        notes.into_iter().map(text).collect()
    }

    /// Waits for commits until `is_so`.
    async fn until<F: Future<Output = bool>>(&self, is_so: impl Fn() -> F) {
        let mut news = self.functions.database().write_log().subscribe();
        let wait = async {
            loop {
                news.borrow_and_update();
                if is_so().await {
                    return;
                }
                news.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "it does not come");
    }

    /// Waits for changes that no commit tells of.
    async fn until_seen(&self, is_so: impl Fn() -> bool) {
        let wait = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "it does not come");
    }

    async fn until_state(&self, id: DocumentId, state: JobState) {
        self.until(|| async { self.state(id).await.as_ref() == Some(&state) })
            .await;
    }

    async fn until_noted(&self, text: &str) {
        self.until(|| async { self.notes().await.iter().any(|note| note == text) })
            .await;
    }

    /// Runs a job of its own and waits for it: whatever was due before has been looked at by then.
    async fn settle(&self) {
        let id = self
            .schedule("notes:add", f64::from(i32::MIN), "settled")
            .await;
        self.until_state(id, JobState::Success).await;
    }

    async fn transact<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.functions.transact(work).await.unwrap()
    }

    async fn set_paused(&self, paused: bool) {
        let set = self.transact(move |tx| {
            for setting in tx.collect(&Query::table("_settings"))? {
                tx.delete(setting.id)?;
            }
            let setting = object! { "key" => "paused", "value" => paused };
            Ok(tx.insert("_settings", setting)?)
        });
        set.await.unwrap();
    }
}

/// How long a test waits for an event that must come.
const PATIENCE: Duration = Duration::from_secs(600);

fn ask(path: &str, after_ms: f64, text: &str) -> Ask {
    Ask {
        path: path.into(),
        at_ms: START_MS + after_ms,
        text: text.into(),
    }
}

fn call(path: &str, args: impl Serialize) -> Call {
    Call {
        path: path.parse().unwrap(),
        args: vestibule_schema::convert::to_value(&args).unwrap(),
        caller: Caller::nobody(),
        source: CallSource::Client(None),
    }
}

fn functions(
    dir: &TempDir,
    clock: Arc<ManualClock>,
    limits: Limits,
    go_on: Arc<Semaphore>,
) -> Arc<Functions> {
    let database = Database::open(DatabaseOptions {
        limits,
        ..DatabaseOptions::for_tests(dir.path(), Schema::new().table::<Note>(), clock)
    });
    let registry = Registry::new(vec![
        Function::mutation("notes:add", add).internal(),
        Function::mutation("notes:write", add),
        Function::mutation("notes:fail", fail),
        Function::mutation(
            "notes:panic",
            |_: &mut MutationCtx, _: Text| -> Result<()> { panic!("boom") },
        ),
        Function::mutation("notes:schedule", schedule),
        Function::mutation("notes:scheduleAndFail", schedule_and_fail),
        Function::mutation("notes:scheduleMany", schedule_many),
        Function::mutation("notes:scheduleInVain", schedule_in_vain),
        Function::mutation("notes:cancel", cancel),
        Function::mutation("notes:look", look),
        Function::mutation("notes:cancelAllAndGoOn", cancel_all_and_go_on),
        Function::query("notes:list", list),
        Function::action("notes:act", move |ctx, text| act(ctx, text, go_on.clone())),
    ]);
    Functions::new(registry.unwrap(), Arc::new(database.unwrap()))
}
