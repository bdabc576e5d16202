//! The functions room: a team's queries, mutations and actions, and the run of one call.

mod action;
mod arguments;
mod console;
mod contention;
mod context;
mod drafted;
mod error;
mod function;
mod handles;
#[cfg(test)]
mod histories_tests;
mod http_action;
mod http_routes;
mod http_running;
#[cfg(feature = "typescript")]
pub mod js;
#[cfg(not(feature = "typescript"))]
#[path = "without_js.rs"]
pub mod js;
mod log;
mod logging;
mod minutes;
pub mod nesting;
mod on_behalf;
mod options;
mod order;
mod places;
mod priority;
mod registry;
mod request;
mod request_name;
#[cfg(test)]
mod reservation_tests;
mod runner;
pub mod scheduled;
mod scheduler;
mod storage;
mod streamed;
#[cfg(test)]
mod tests;
mod transact;
mod transfers;
mod vector_search;
mod workers;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use vestibule_schema::path::{ComponentPath, FunctionPath};

pub use action::{ActionCtx, ActionRun};
pub use arguments::one_object;
pub use console::Console;
pub use context::{MutationCtx, QueryCtx, ReadCtx};
pub use error::{Error, Result, SystemError, Thrown};
pub use function::{
    ActionBody, Body, BoxFuture, Function, FunctionKind, MutationBody, QueryBody, Visibility,
};
pub use handles::HandleKey;
pub use http_action::{
    ArrivingRequest, BodyWriter, HTTP_RESPONSE_BYTES_MAX, HttpActionCtx, HttpAsker, HttpBody,
    HttpRequest, HttpResponse, WriteBody,
};
pub use http_routes::{HttpActionBody, HttpRoute, HttpRoutes, RegisteredRoute, RouteFound};
pub use log::{FunctionLog, LogEntry};
pub use minutes::{CalledFunction, Calls, LastHour};
pub use on_behalf::{Companion, HeldPlace, OnBehalf};
pub use options::{JsOptions, NodeOptions, NodeProgram};
pub use places::{PlaceCounts, Places};
pub use registry::{
    AppState, PAUSED, READ_ONLY_CODE, Registered, Registry, RegistryError, Runs, quoted,
};
pub use request::RequestMetadata;
pub use request_name::RequestName;
pub use runner::{
    Basis, Call, CallSource, FunctionOutcome, MutationRun, OnFinish, QueryOutcome, QueryRun,
};
pub use scheduler::{ActionScheduler, Scheduler};
pub use storage::{NewFile, StorageActions, StorageReader, StorageWriter};
pub use streamed::{
    BodyCut, Chunks, NO_ROUTE, StreamError, StreamedBody, StreamedRequest, StreamedResponse,
};
pub use transfers::functions as transfer_functions;
pub use vector_search::{Near, VectorSearch};

use self::contention::Contention;
use self::drafted::DraftedMutation;
use self::js::Js;
use self::minutes::CallMinutes;
use self::order::{Arrival, SessionOrder};
use self::workers::{OnLook, Threads, Workers};
use crate::auth::TokenSigner;
use crate::auth::signing::public_keys;
use crate::database::{
    CommitError, Database, DatabaseError, ReadersError, SessionRequest, SubmitError, Transaction,
};
use crate::deployment::{Deployment, Given, SourceModule};
use crate::files::Files;
use crate::probe::Probe;
use crate::storage::{ReadView, Store};

/// Runs functions against a database.
pub struct Functions {
    /// The functions of the program itself.
    native: Arc<Registry>,
    database: Arc<Database>,
    /// None in a build without the feature `typescript`.
    js: Option<Arc<Js>>,
    /// Where mutations run that do not run on the lane.
    beside: Workers,
    /// Mutations that wait there for others of their function, because they overtake each other.
    contention: Arc<Contention<Box<DraftedMutation>>>,
    /// Where queries run that may keep their thread for long.
    slow_reads: Workers,
    /// Vector searches that may have a thread of the slow reads, so that they leave one to queries. Others wait.
    vector_searches: Arc<Semaphore>,
    /// Threads for the gate's tries of mutations in another language, which first logins wait for and nothing else.
    trials: Workers,
    order: SessionOrder<Queued>,
    /// The places of actions, in both languages.
    places: Arc<Places>,
    /// Cancelled when the server ends, for the actions in Rust that go on without their callers.
    ending: CancellationToken,
    counts: DraftCounts,
    files: OnceLock<Arc<Files>>,
    log: FunctionLog,
    minutes: CallMinutes,
}

/// The code of a deployment.
pub struct PushedCode {
    /// Runs it.
    pub js: Arc<Js>,
    /// That of the app, and of each component.
    pub parts: Vec<CodePart>,
}

/// The code of the app or of a component, and the values it sees while it is imported.
pub struct CodePart {
    /// Whose it is.
    pub component: ComponentPath,
    /// The modules.
    pub sources: Vec<SourceModule>,
    /// Environment variables, built-in ones among them.
    pub variables: BTreeMap<String, String>,
    /// Where a component's variables come from.
    pub given: Option<BTreeMap<String, Given>>,
}

/// A mutation that waits behind another one of its session.
struct Queued {
    call: Call,
    session_request: Option<SessionRequest>,
    on_finish: OnFinish,
    is_beside: bool,
}

/// The outcomes of mutations beside the lane, for metrics.
#[derive(Default)]
pub struct DraftCounts {
    started: AtomicU64,
    overtaken: AtomicU64,
    reservations: AtomicU64,
}

impl DraftCounts {
    fn started(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    fn overtaken(&self) {
        self.overtaken.fetch_add(1, Ordering::Relaxed);
    }

    fn asked_for_reservation(&self) {
        self.reservations.fetch_add(1, Ordering::Relaxed);
    }

    /// Three counts: mutations begun beside the lane, their runs again, and their requests for a reservation of what
    /// they read.
    pub fn read(&self) -> [u64; 3] {
        let counts = [&self.started, &self.overtaken, &self.reservations];
        counts.map(|count| count.load(Ordering::Relaxed))
    }
}

/// Queries in other languages that may wait for a thread.
const SLOW_READS_MAX: usize = 16_384;
/// Mutations that may be under way beside the lane, waiting ones included.
const BESIDE_MAX: usize = 16_384;

impl Functions {
    /// A runner of `registry`'s functions.
    pub fn new(registry: Registry, database: Arc<Database>) -> Arc<Functions> {
        let clock = database.clock().clone();
        let options = JsOptions {
            executor: database.executor().clone(),
            ..JsOptions::default()
        };
        let js = Js::of_this_build("vestibule", options.clone(), clock);
        Functions::with_js(registry, database, js, &options)
    }

    /// A runner of `registry`'s functions, and of pushed ones by `js`, both within `options`.
    pub fn with_js(
        registry: Registry,
        database: Arc<Database>,
        js: Option<Arc<Js>>,
        options: &JsOptions,
    ) -> Arc<Functions> {
        let native = Arc::new(registry);
        database.install(native.clone());
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let spare = js.as_ref().and_then(|js| js.spare_threads());
        let threads = Threads {
            regular: 2 * cores,
            spare: spare.unwrap_or(4 * cores),
        };
        let (executor, clock) = (database.executor().clone(), database.clock().clone());
        let start = |name, on_look: OnLook| {
            Workers::start(name, threads, executor.clone(), clock.clone(), on_look)
                .expect("threads are there to be started when the server starts")
        };
        let contention: Arc<Contention<Box<DraftedMutation>>> =
            Arc::new(Contention::new(threads.regular));
        let waiting = contention.clone();
        let start_waiting = move |now| {
            while let Some((mutation, part)) = waiting.next_of_any(now) {
                mutation.begin(part);
            }
        };
        let places = match &js {
            Some(js) => js.places().clone(),
            None => Places::new(options),
        };
        Arc::new(Functions {
            native,
            database,
            places,
            ending: CancellationToken::new(),
            js,
            beside: start("beside-lane", Box::new(start_waiting)),
            contention,
            slow_reads: start("slow-reader", Box::new(|_| ())),
            vector_searches: Arc::new(Semaphore::new((cores - 1).max(1))),
            trials: start("trial-reader", Box::new(|_| ())),
            order: SessionOrder::default(),
            counts: DraftCounts::default(),
            files: OnceLock::new(),
            log: FunctionLog::default(),
            minutes: CallMinutes::default(),
        })
    }

    /// Has functions sign tokens with `signer`, before any runs.
    pub fn install_signer(&self, signer: TokenSigner) {
        if let Some(js) = &self.js {
            js.sign_with(signer);
        }
    }

    /// The public keys of the tokens that functions have signed, as members of a JSON Web Key Set.
    pub async fn signing_keys(self: &Arc<Self>) -> Result<Vec<serde_json::Value>, SystemError> {
        let functions = self.clone();
        let keys = self.read(move |view| {
            let environment = functions.database.environment();
            let mut tx = Transaction::read_only(view, environment);
            let keys = public_keys(&mut tx);
            keys.map_err(|error| match error {
                DatabaseError::Storage(error) => SystemError::Storage(error),
                DatabaseError::Query(error) => {
                    unreachable!("the signing keys can be read: {error}")
                }
            })
        });
        keys.await
    }

    /// Gives functions files to work with, before any runs.
    pub fn install_files(&self, files: Arc<Files>) {
        self.database.install_services(files.within().clone());
        // The first files stay: a deployment is built once.
        let _ = self.files.set(files);
    }

    /// The files that functions work with.
    pub fn files(&self) -> Option<&Arc<Files>> {
        self.files.get()
    }

    /// The functions as of the newest durable commit.
    pub fn registry(&self) -> Arc<Registry> {
        let extension = self.database.definitions().extension.clone();
        let registry = extension.downcast();
        registry.expect("the runner installs a registry before anything runs")
    }

    /// Runs functions in JavaScript, in a build that can.
    pub fn js(&self) -> Option<&Arc<Js>> {
        self.js.as_ref()
    }

    /// The functions of the program itself.
    pub fn native(&self) -> &Arc<Registry> {
        &self.native
    }

    /// The probe to which steps are stated, for a watcher.
    pub fn probe(&self) -> &Probe {
        &self.database.environment().probe
    }

    /// The log of executions, for tools that follow.
    pub fn log(&self) -> &FunctionLog {
        &self.log
    }

    /// Counts the calls of a minute that is over. To be called more often than once a minute.
    pub fn count_minute(&self) {
        let now_millis = self.now_millis();
        if self.minutes.is_due(now_millis) {
            self.minutes.count(now_millis, &self.registry().runs());
        }
    }

    /// The calls of the last hour by the minute.
    pub fn last_hour(&self) -> LastHour {
        let runs = self.registry().runs();
        self.minutes.last_hour(self.now_millis(), &runs)
    }

    /// The functions of the program itself and of a deployment, whose code is made ready here. That may take a while.
    pub fn registry_with(
        &self,
        deployment: Arc<Deployment>,
        pushed: Option<&PushedCode>,
    ) -> Registry {
        let registry = Registry::clone(&self.native).with_deployment(deployment.clone());
        let Some(PushedCode { js, parts }) = pushed else {
            return registry;
        };
        let (mut registry, mut codes) = (registry, BTreeMap::new());
        for part in parts {
            let code = js.code_of(part, deployment.import.clone());
            if let Some(found) = deployment.part(&part.component) {
                let node = js.node_code(found, &part.sources, &part.variables);
                registry = registry.with_functions(js.functions(found, &code, node.as_ref()));
            }
            codes.insert(part.component.clone(), code);
        }
        let registry = registry.with_pushed_routes(js.http_routes(&deployment, &codes));
        registry.counting_on(&self.registry())
    }

    /// Mutations and slow queries that wait for a thread.
    pub fn queued(&self) -> (usize, usize) {
        let reads = self.slow_reads.queued() + self.trials.queued();
        (self.mutations_queued(), reads)
    }

    fn mutations_queued(&self) -> usize {
        self.beside.queued() + self.contention.waiting()
    }

    /// Functions whose mutations overtake each other, so that few of them run at once.
    pub fn contended(&self) -> usize {
        self.contention.functions()
    }

    /// Threads that were started because others are at long calls.
    pub fn spare_threads(&self) -> usize {
        self.beside.spare() + self.slow_reads.spare() + self.trials.spare()
    }

    /// Calls that are stuck in a native operation of their engine.
    pub fn stuck(&self) -> usize {
        let actions = self.js.as_ref().map_or(0, |js| js.stuck());
        self.beside.stuck() + self.slow_reads.stuck() + self.trials.stuck() + actions
    }

    /// The places of actions, in both languages.
    pub fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// The outcomes of mutations beside the lane.
    pub fn draft_counts(&self) -> &DraftCounts {
        &self.counts
    }

    /// The database they run on.
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// The time that a mutation of this path may take.
    fn mutation_time_max(&self, path: &FunctionPath) -> Duration {
        let of_program = Duration::from_millis(self.database.environment().limits.user_millis_max);
        match (self.may_be_pushed(path), &self.js) {
            (true, Some(js)) => js.mutation_time_max(),
            _ => of_program,
        }
    }

    /// Runs a query on a given snapshot. `journal` is where its page ended when it ran before.
    pub fn query_on(
        &self,
        view: &dyn ReadView,
        call: &Call,
        journal: Option<String>,
    ) -> Result<QueryRun, SystemError> {
        let clock = self.database.clock();
        let began = clock.elapsed();
        let run = runner::run_query(self.database.environment(), view, call, journal)?;
        self.log_run_of(FunctionKind::Query, call, &run, clock.elapsed() - began);
        Ok(run)
    }

    /// Runs a query at the newest commit.
    pub async fn query(
        self: &Arc<Self>,
        call: Call,
        journal: Option<String>,
    ) -> Result<QueryRun, SystemError> {
        let (functions, path) = (self.clone(), call.path.clone());
        let job = move |view: &dyn ReadView| functions.query_on(view, &call, journal);
        self.read_calling([&path], job).await
    }

    /// Runs a query that was sent as a text, at the newest commit.
    pub async fn query_inline(
        self: &Arc<Self>,
        query: Arc<js::InlineQuery>,
        call: Call,
    ) -> Result<QueryRun, SystemError> {
        let functions = self.clone();
        let job = move |view: &dyn ReadView| {
            let clock = functions.database.clock();
            let began = clock.elapsed();
            let environment = functions.database.environment();
            let find = |_: &Registry| Ok(&query.function);
            let run = runner::run_query_of(environment, view, &call, None, find)?;
            functions.log_run_of(FunctionKind::Query, &call, &run, clock.elapsed() - began);
            Ok(run)
        };
        self.read_slowly(job).await
    }

    /// As [`Self::read`], for a job that calls these functions. One in another language may keep its thread for long.
    pub async fn read_calling<'p, T: Send + 'static>(
        &self,
        paths: impl IntoIterator<Item = &'p FunctionPath>,
        job: impl FnOnce(&dyn ReadView) -> Result<T, SystemError> + Send + 'static,
    ) -> Result<T, SystemError> {
        match paths.into_iter().any(|path| self.may_be_pushed(path)) {
            true => self.read_slowly(job).await,
            false => self.read(job).await,
        }
    }

    /// Whether a push may bring a function of this path before the call runs, or has brought it. No push replaces a
    /// function of the program, so this holds whenever the call runs.
    fn may_be_pushed(&self, path: &FunctionPath) -> bool {
        let native = self.native.get(path);
        native.is_none_or(|function| function.is_pushed())
    }

    /// Whether a mutation of this path runs beside the lane. The lane runs functions of the program alone, so that no
    /// other language ever runs on its thread.
    fn is_beside(&self, path: &FunctionPath) -> bool {
        let native = self.native.get(path);
        native.is_none_or(|function| function.is_beside())
    }

    /// As [`Self::read`], where no other job waits for the thread.
    async fn read_slowly<T: Send + 'static>(
        &self,
        job: impl FnOnce(&dyn ReadView) -> Result<T, SystemError> + Send + 'static,
    ) -> Result<T, SystemError> {
        self.read_on(&self.slow_reads, job).await
    }

    async fn read_on<T: Send + 'static>(
        &self,
        threads: &Workers,
        job: impl FnOnce(&dyn ReadView) -> Result<T, SystemError> + Send + 'static,
    ) -> Result<T, SystemError> {
        if threads.queued() >= SLOW_READS_MAX {
            return Err(ReadersError::QueueFull.into());
        }
        let (answer, answered) = oneshot::channel();
        let database = self.database.clone();
        threads.run(move || {
            // A caller that has gone while the job waited wants nothing.
            let done = (!answer.is_closed()).then(|| on_snapshot(database.store(), job));
            // The last owner of the database closes it, which is not this thread's work.
            drop(database);
            if let Some(done) = done {
                // A caller that has gone no longer waits.
                drop(answer.send(done));
            }
        });
        answered.await.map_err(|_| ReadersError::Closed)?
    }

    /// Ends the actions that are still under way, for a server that ends.
    pub fn end_actions(&self) {
        self.ending.cancel();
        if let Some(js) = &self.js {
            js.end_actions();
        }
    }

    /// Runs a mutation on a given snapshot, where it cannot write. `None` when it would have to.
    pub fn mutate_without_writing_on(
        &self,
        view: &dyn ReadView,
        call: &Call,
    ) -> Result<Option<QueryRun>, SystemError> {
        runner::run_mutation_without_writing(self.database.environment(), view, call)
    }

    /// Runs a mutation at the newest commit, where it cannot write. `None` when it would have to.
    pub async fn mutate_without_writing(
        self: &Arc<Self>,
        call: Call,
    ) -> Result<Option<QueryRun>, SystemError> {
        let (functions, may_be_pushed) = (self.clone(), self.may_be_pushed(&call.path));
        let job = move |view: &dyn ReadView| functions.mutate_without_writing_on(view, &call);
        match may_be_pushed {
            true => self.read_on(&self.trials, job).await,
            false => self.read(job).await,
        }
    }

    /// The same, with an entry in the function log.
    pub async fn try_mutation(
        self: &Arc<Self>,
        call: Call,
    ) -> Result<Option<QueryRun>, SystemError> {
        let clock = self.database.clock();
        let began = clock.elapsed();
        let run = self.mutate_without_writing(call.clone()).await?;
        if let Some(run) = &run {
            self.log_run_of(FunctionKind::Mutation, &call, run, clock.elapsed() - began);
        }
        Ok(run)
    }

    /// Runs `job` on a reader thread, on a snapshot of the newest commit.
    pub async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&dyn ReadView) -> Result<T, SystemError> + Send + 'static,
    ) -> Result<T, SystemError> {
        self.database
            .readers()
            .run(move |store| on_snapshot(store, job))
            .await?
    }

    /// Queues a mutation. Mutations queued one after another by one session commit in that order. `on_finish` is called
    /// once the outcome is certain, on a thread that must not be kept.
    pub fn submit_mutation(
        self: &Arc<Self>,
        call: Call,
        session_request: Option<SessionRequest>,
        on_finish: OnFinish,
    ) -> Result<(), SystemError> {
        let queued = Queued {
            is_beside: self.is_beside(&call.path),
            call,
            session_request,
            on_finish,
        };
        let is_full = || {
            let of_function = self.contention.is_full(&queued.call.path);
            of_function || self.mutations_queued() >= BESIDE_MAX
        };
        if queued.is_beside && is_full() {
            return Err(SystemError::CommitterFull);
        }
        let Some(session) = queued
            .session_request
            .as_ref()
            .map(|request| request.session)
        else {
            return self.begin(queued);
        };
        match self.order.arrive(session, queued.is_beside, queued) {
            Arrival::Start(queued) => self.begin(queued),
            Arrival::Waits => Ok(()),
            Arrival::Full => Err(SystemError::CommitterFull),
        }
    }

    fn begin(self: &Arc<Self>, queued: Queued) -> Result<(), SystemError> {
        match self.launch(queued) {
            None => Ok(()),
            Some(SubmitError::QueueFull(_)) => Err(SystemError::CommitterFull),
            Some(SubmitError::Closed(_)) => Err(SystemError::ShuttingDown),
        }
    }

    /// Starts a mutation on the lane or beside it. It comes back when there is no room.
    fn launch(self: &Arc<Self>, queued: Queued) -> Option<SubmitError> {
        let Queued {
            call,
            session_request,
            on_finish,
            is_beside,
        } = queued;
        if is_beside {
            self.counts.started();
            let mutation = DraftedMutation::new(self.clone(), call, session_request, on_finish);
            Box::new(mutation).start();
            return None;
        }
        let mutation = runner::QueuedMutation::new(self.clone(), call, session_request, on_finish);
        self.database.committer().submit(Box::new(mutation)).err()
    }

    /// Begins what waited behind a mutation of this session.
    fn start_next(self: &Arc<Self>, session: &[u8; 16]) {
        while let Some(queued) = self.order.next(session) {
            let is_beside = queued.is_beside;
            if let Some(refused) = self.launch(queued) {
                // Its sender was told that it waits, so the refusal is its outcome.
                self.refuse_waiting(session);
                let error = CommitError::Full;
                if let Some(waker) = refused.into_mutation().finish(Err(error)) {
                    waker.wake();
                }
            }
            if is_beside {
                return;
            }
        }
    }

    /// Ends the calls behind a mutation of this session that its client will send again. The client then sends all of
    /// them again, in their order.
    fn refuse_waiting(&self, session: &[u8; 16]) {
        for queued in self.order.take_waiting(session) {
            if let Some(waker) = (queued.on_finish)(Err(SystemError::CommitterFull)) {
                waker.wake();
            }
        }
    }

    /// Runs a mutation and waits until its outcome is certain.
    pub async fn mutate(self: &Arc<Self>, call: Call) -> Result<MutationRun, SystemError> {
        let (answer, answered) = oneshot::channel();
        // A caller that has gone does not hear the answer; the mutation runs all the same.
        let on_finish: OnFinish = Box::new(move |run| {
            drop(answer.send(run));
            None
        });
        self.submit_mutation(call, None, on_finish)?;
        answered.await.map_err(|_| SystemError::ShuttingDown)?
    }

    /// Runs an action to its end.
    pub async fn act(self: &Arc<Self>, call: Call) -> Result<ActionRun, SystemError> {
        // The log and the run go by one state of the deployment.
        let definitions = self.database.definitions();
        let pushed = Registry::of(&definitions).deployment().function(&call.path);
        let running = self.running(
            FunctionKind::Action.name(),
            (call.path.local().to_string(), call.path.component().clone()),
            pushed.map(|pushed| pushed.environment),
            &call.caller,
            call.source.request_id(),
        );
        let run = action::run_action(self.clone(), call, running.clone(), &definitions).await;
        let error = match &run.outcome {
            FunctionOutcome::Returned(_) => None,
            FunctionOutcome::Threw(thrown) => Some(thrown.message.clone()),
        };
        self.log_end(&running, (error, None), &run.log_lines);
        Ok(run)
    }

    /// Waits for a place among the actions that run at once, for a job. An action that is put in progress before it can
    /// run would be lost with the process.
    pub async fn action_place(&self, path: &FunctionPath) -> HeldPlace {
        let registry = self.registry();
        let function = registry.get(path);
        let bytes = function.map_or(0, |function| function.bytes_expected());
        HeldPlace::new(self.places.take_own(bytes).await)
    }

    /// Runs an HTTP action until there is something to answer. Its body goes on arriving.
    pub async fn answer(
        self: &Arc<Self>,
        route: &Arc<RegisteredRoute>,
        request: StreamedRequest,
        asker: HttpAsker,
    ) -> Result<StreamedResponse, Thrown> {
        http_running::run_http_action(self.clone(), route, request, asker).await
    }

    /// Goes on with an action's work while its caller may leave, to its end or to that of the server.
    fn go_on(&self, work: impl Future<Output = ()> + Send + 'static) {
        let work = Box::pin(nesting::carried(work.in_current_span()));
        tokio::spawn(self.ending.clone().run_until_cancelled_owned(work));
    }
}

fn on_snapshot<T>(
    store: &Store,
    job: impl FnOnce(&dyn ReadView) -> Result<T, SystemError>,
) -> Result<T, SystemError> {
    let snapshot = store
        .snapshot()
        .map_err(|error| SystemError::Storage(Arc::new(error)))?;
    job(&snapshot)
}
