//! Runs functions: looks them up, checks arguments and results, catches panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use vestibule_schema::id::DocumentId;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::Value;

use super::Functions;
use super::context::{Execution, MutationCtx, Observed, QueryCtx};
use super::error::{Error, Result, SystemError, Thrown};
use super::function::{Body, FunctionKind};
use super::on_behalf::OnBehalf;
use super::registry::{Registered, Registry};
use super::request::{RequestMetadata, new_request_id};
use crate::auth::{Caller, ClaimsRead};
use crate::database::{
    Catalog, CommitError, Committed, Definitions, Dependency, Environment, Mutation, ReadSet,
    Recorded, RecordedAnswer, SessionRequest, Transaction, Verdict,
};
use crate::probe::{self, CallOf, Event, Point};
use crate::storage::ReadView;

/// A call: the function, its arguments, and the caller.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function.
    pub path: FunctionPath,
    /// Its arguments.
    pub args: Value,
    /// The caller that it runs as.
    pub caller: Caller,
    /// Where the call comes from.
    pub source: CallSource,
}

impl Call {
    /// Whether its commit may wait for the end of another mutation's reservation. A first login has a deadline.
    pub(super) fn may_be_put_back(&self) -> bool {
        !matches!(self.source, CallSource::Provisioning)
    }
}

/// Where a call comes from: functions may call internal functions, clients may not.
#[derive(Clone, Debug)]
pub enum CallSource {
    /// A client, over any transport; with the call's mark for a watcher.
    Client(Option<CallOf>),
    /// A client whose request functions may look at.
    Request(Arc<RequestMetadata>, Option<CallOf>),
    /// Another function, or the server itself; with the client's call that it belongs to.
    Function(Option<CallOf>),
    /// A function that runs for such a request.
    Within(Arc<RequestMetadata>, Option<CallOf>),
    /// The gate, for the provisioning of an identity.
    Provisioning,
    /// A job, or a function that it called.
    Job(OnBehalf),
}

impl CallSource {
    /// Whether the call comes from inside the server.
    pub fn is_inside(&self) -> bool {
        match self {
            CallSource::Client(_) | CallSource::Request(..) => false,
            CallSource::Function(_)
            | CallSource::Within(..)
            | CallSource::Provisioning
            | CallSource::Job(_) => true,
        }
    }

    /// The client's call that it belongs to, where there is a watcher.
    pub(super) fn call(&self) -> Option<CallOf> {
        match self {
            CallSource::Client(call)
            | CallSource::Request(_, call)
            | CallSource::Function(call)
            | CallSource::Within(_, call) => *call,
            CallSource::Provisioning | CallSource::Job(_) => None,
        }
    }

    /// The scheduled function on whose behalf the call is made.
    pub fn scheduled(&self) -> Option<DocumentId> {
        match self {
            CallSource::Client(_)
            | CallSource::Request(..)
            | CallSource::Function(_)
            | CallSource::Within(..)
            | CallSource::Provisioning => None,
            CallSource::Job(job) => job.scheduled,
        }
    }

    /// The request that the call is made for. Where none is known it gets a name of its own.
    pub(super) fn request(&self) -> Arc<RequestMetadata> {
        let known = match self {
            CallSource::Request(request, _) | CallSource::Within(request, _) => Some(request),
            CallSource::Job(job) => Some(&job.request),
            CallSource::Client(_) | CallSource::Function(_) | CallSource::Provisioning => None,
        };
        let unknown = || Arc::new(RequestMetadata::unknown(self.scheduled()));
        known.cloned().unwrap_or_else(unknown)
    }

    /// The id of that request, as its client sees it in errors and tools in the log. A call without a known request gets
    /// one of its own.
    pub(super) fn request_id(&self) -> Arc<str> {
        let known = match self {
            CallSource::Request(request, _) | CallSource::Within(request, _) => Some(&**request),
            CallSource::Job(job) => Some(&*job.request),
            CallSource::Client(_) | CallSource::Function(_) | CallSource::Provisioning => None,
        };
        known.map_or_else(
            || new_request_id().into(),
            |request| request.request_id.to_string().into(),
        )
    }

    /// The source of the calls that a function makes which was called from here, for `request`.
    pub(super) fn nested(&self, request: Arc<RequestMetadata>) -> CallSource {
        match self {
            CallSource::Job(job) => CallSource::Job(job.nested()),
            _ => CallSource::Within(request, self.call()),
        }
    }
}

/// How a function ended.
#[derive(Clone, Debug, PartialEq)]
pub enum FunctionOutcome {
    /// It returned a value.
    Returned(Value),
    /// It threw, or could not be called as asked.
    Threw(Thrown),
}

/// How a query ended.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryOutcome {
    /// It ran to its end.
    Done(FunctionOutcome),
    /// It asked for an identity that must not be seen yet.
    Suspended,
}

/// One execution of a query.
#[derive(Clone, Debug)]
pub struct QueryRun {
    /// How it ended.
    pub outcome: QueryOutcome,
    /// Its log lines.
    pub log_lines: Vec<String>,
    /// Its read set.
    pub reads: ReadSet,
    /// The claims of the caller's identity that it looked at; `None` when it never asked for the identity.
    pub claims_read: Option<ClaimsRead>,
    /// Where its paginated read ended.
    pub journal: Option<String>,
    /// The commit it saw.
    pub ts: Timestamp,
    /// The request that it ran for, as the log knows it.
    pub request_id: Arc<str>,
    /// When it ran, on the environment's clock, where it asked what time it is.
    pub time_seen: Option<Duration>,
}

/// One execution of a mutation whose outcome is certain.
#[derive(Clone, Debug)]
pub struct MutationRun {
    /// How it ended. Only a returned value was committed.
    pub outcome: FunctionOutcome,
    /// Its log lines.
    pub log_lines: Vec<String>,
    /// Its commit, or that of the state it saw when it changed nothing. For a mutation that was sent again, that of its
    /// first run.
    pub ts: Timestamp,
    /// The basis of its answer; empty for a mutation that may be sent again, whose answer is kept for that alone.
    pub basis: Basis,
}

/// All that the answer of a mutation depends on.
#[derive(Clone, Debug, Default)]
pub struct Basis {
    /// Its read set, which its commit was held against.
    pub reads: ReadSet,
    /// Reads of its snapshot that its commit was not held against.
    pub stale_reads: ReadSet,
    /// The claims of the caller's identity that it looked at; `None` when it never asked for the identity.
    pub claims_read: Option<ClaimsRead>,
    /// When it ran, on the environment's clock, where it asked what time it is.
    pub time_seen: Option<Duration>,
}

/// Runs a query on `view`. An error is the server's trouble, never the function's.
pub fn run_query(
    environment: &Environment,
    view: &dyn ReadView,
    call: &Call,
    journal: Option<String>,
) -> std::result::Result<QueryRun, SystemError> {
    let find = |registry: &Registry| registry.find(FunctionKind::Query, call).cloned();
    run_query_of(environment, view, call, journal, find)
}

/// As [`run_query`], of the function that `find` gives.
pub(super) fn run_query_of<F: std::ops::Deref<Target = Registered>>(
    environment: &Environment,
    view: &dyn ReadView,
    call: &Call,
    journal: Option<String>,
    find: impl FnOnce(&Registry) -> Result<F>,
) -> std::result::Result<QueryRun, SystemError> {
    let mut tx = Transaction::read_only(view, environment);
    tx.enter(call.path.component().clone());
    let ts = tx.snapshot_ts();
    let definitions = tx.definitions().clone();
    let probe = &environment.probe;
    let stated = || stated(FunctionKind::Query, call, Some(ts), None);
    let mut has_begun = false;
    let mut ctx = QueryCtx {
        execution: Execution::new(tx, call.caller.clone(), journal),
    };
    let result = find(Registry::of(&definitions)).and_then(|function| {
        let Body::Query(body) = &function.body else {
            unreachable!("the registry was asked for a query")
        };
        let rules = Rules::of(&definitions, environment);
        let result = checked(&function, rules, call.args.clone(), |args| {
            probe.event(|| Event::Started(stated()));
            has_begun = true;
            let value = body(&mut ctx, args)?;
            Ok((value, definitions.catalog.clone()))
        });
        function.count(result.is_err() && !ctx.execution.observed.suspended);
        result
    });
    probe.event(|| ended(stated(), &result));
    let mut execution = ctx.execution;
    if !has_begun {
        depend_on_lookup(&mut execution.db.tx, &call.path);
    }
    if let Some(failure) = execution.db.tx.storage_failure() {
        return Err(SystemError::Storage(failure.clone()));
    }
    let outcome = match execution.observed.suspended {
        true => QueryOutcome::Suspended,
        false => QueryOutcome::Done(outcome_of(result)),
    };
    Ok(QueryRun {
        outcome,
        log_lines: execution.console.into_lines(),
        reads: execution.db.tx.take_reads(),
        claims_read: execution.observed.claims_read(),
        journal: execution.db.borders.next.take(),
        ts,
        request_id: call.source.request_id(),
        time_seen: execution.observed.time.then(|| environment.clock.elapsed()),
    })
}

/// Runs a mutation's body on a snapshot where it cannot write. `None` when it would have to.
pub fn run_mutation_without_writing(
    environment: &Environment,
    view: &dyn ReadView,
    call: &Call,
) -> std::result::Result<Option<QueryRun>, SystemError> {
    let tx = Transaction::read_only(view, environment);
    let ts = tx.snapshot_ts();
    let mut run = run_mutation_body(environment, tx, call, call.args.clone());
    let Basis {
        reads,
        stale_reads,
        claims_read,
        time_seen,
    } = run.basis();
    let MutationBodyRun {
        result,
        tx,
        log_lines,
        ..
    } = run;
    if let Some(failure) = tx.storage_failure() {
        return Err(SystemError::Storage(failure.clone()));
    }
    if tx.refused_a_write() {
        return Ok(None);
    }
    let outcome = QueryOutcome::Done(outcome_of(result));
    Ok(Some(QueryRun {
        outcome,
        log_lines,
        reads: reads.and(stale_reads),
        claims_read,
        journal: None,
        ts,
        request_id: call.source.request_id(),
        time_seen,
    }))
}

/// A mutation's body has run, on any transaction.
pub(super) struct MutationBodyRun<'v> {
    pub result: Result<Value>,
    pub tx: Transaction<'v>,
    pub log_lines: Vec<String>,
    pub observed: Observed,
}

impl MutationBodyRun<'_> {
    /// Takes out what its answer depends on.
    pub fn basis(&mut self) -> Basis {
        let clock = &self.tx.environment().clock;
        Basis {
            time_seen: self.observed.time.then(|| clock.elapsed()),
            reads: self.tx.take_reads(),
            stale_reads: self.tx.take_stale_reads(),
            claims_read: self.observed.claims_read(),
        }
    }
}

/// Runs a mutation's function, and with it the writes of the job that it is.
pub(super) fn run_mutation_body<'v>(
    environment: &Environment,
    mut tx: Transaction<'v>,
    call: &Call,
    args: Value,
) -> MutationBodyRun<'v> {
    let companion = match &call.source {
        CallSource::Job(job) => job.companion.as_deref(),
        CallSource::Client(_)
        | CallSource::Request(..)
        | CallSource::Function(_)
        | CallSource::Within(..)
        | CallSource::Provisioning => None,
    };
    let may_run = companion.map_or(Ok(true), |job| job.before(&mut tx));
    if !matches!(may_run, Ok(true)) {
        let result = Err(may_run.map_or_else(Error::from, |_| Error::plain(JOB_WITHDRAWN)));
        return MutationBodyRun {
            result,
            tx,
            log_lines: Vec::new(),
            observed: Observed::default(),
        };
    }
    let mut run = run_mutation_function(environment, tx, call, args);
    if let (Some(job), Ok(returned)) = (companion, &run.result)
        && let Err(error) = job.after(&mut run.tx, returned, &run.log_lines)
    {
        run.result = Err(error.into());
    }
    run
}

/// The error of a job's mutation that must not run any more.
const JOB_WITHDRAWN: &str = "The job was canceled, or has run already.";

/// Looks the mutation up among the functions that `tx` uses, and runs its body.
fn run_mutation_function<'v>(
    environment: &Environment,
    mut tx: Transaction<'v>,
    call: &Call,
    args: Value,
) -> MutationBodyRun<'v> {
    tx.enter(call.path.component().clone());
    let (read_ts, commit_ts) = (tx.snapshot_ts(), tx.commit_ts());
    let definitions = tx.definitions().clone();
    let probe = &environment.probe;
    let stated = || stated(FunctionKind::Mutation, call, Some(read_ts), commit_ts);
    let mut ctx = MutationCtx {
        execution: Execution {
            source: call.source.clone(),
            ..Execution::new(tx, call.caller.clone(), None)
        },
    };
    let result = Registry::of(&definitions)
        .find(FunctionKind::Mutation, call)
        .and_then(|function| {
            let Body::Mutation(body) = &function.body else {
                unreachable!("the registry was asked for a mutation")
            };
            let rules = Rules::of(&definitions, environment);
            let result = checked(function, rules, args, |args| {
                probe.event(|| Event::Started(stated()));
                let value = body(&mut ctx, args)?;
                Ok((value, ctx.execution.db.tx.catalog()))
            });
            function.count(result.is_err() && !ctx.execution.observed.suspended);
            result
        });
    probe.event(|| ended(stated(), &result));
    let Execution {
        db,
        console,
        observed,
        ..
    } = ctx.execution;
    MutationBodyRun {
        result,
        tx: db.into_transaction(),
        log_lines: console.into_lines(),
        observed,
    }
}

/// An execution as it is stated to a watcher.
pub(super) fn stated(
    kind: FunctionKind,
    call: &Call,
    read_ts: Option<Timestamp>,
    commit_ts: Option<Timestamp>,
) -> probe::Execution {
    probe::Execution {
        path: call.path.to_string(),
        kind: kind.name().to_string(),
        identity: call.caller.identity_key(),
        proof: call.caller.proof().map(|proof| proof.committed_at().0),
        is_provisioning: matches!(call.source, CallSource::Provisioning),
        read_ts: read_ts.map(|ts| ts.0),
        commit_ts: commit_ts.map(|ts| ts.0),
        call: call.source.call(),
    }
}

pub(super) fn ended<T>(execution: probe::Execution, result: &Result<T>) -> Event {
    let threw = result.as_ref().err().map(Error::to_string);
    Event::Ended { execution, threw }
}

/// Notes the dependencies of a call that was refused before its body began. Another push may bring the function, other
/// arguments for it, or the table that an id is of.
pub(super) fn depend_on_lookup(tx: &mut Transaction<'_>, path: &FunctionPath) {
    tx.depend_on(Dependency::Module(&path.module_key()));
    // Only a limit stands in the way, and a transaction that has met it answers with its error.
    let _ = tx.record_catalog();
}

/// Checks arguments, runs `body`, checks the result by the catalog that `body` leaves: it may have made a table. A panic
/// becomes an error of this call alone.
pub(super) fn checked(
    function: &Registered,
    rules: Rules<'_>,
    args: Value,
    body: impl FnOnce(Value) -> Result<(Value, Arc<Catalog>)>,
) -> Result<Value> {
    let Rules { tables, bytes_max } = rules;
    let component = function.path.component();
    function.check_args(&args, &tables.namespace(component), bytes_max)?;
    let (result, tables) = guarded(&function.path, || body(args))?;
    function.check_result(&result, &tables.namespace(component), bytes_max)?;
    Ok(result)
}

/// Runs `body`. A panic becomes an error.
pub(super) fn guarded<R>(path: &FunctionPath, body: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let what = panic_text(&*panic);
        tracing::error!(%path, panic = what, "a function panicked");
        Err(Error::panicked(path, what))
    })
}

/// The rules for arguments and results beside their validators.
#[derive(Clone, Copy)]
pub(super) struct Rules<'d> {
    pub tables: &'d Catalog,
    pub bytes_max: usize,
}

impl<'d> Rules<'d> {
    pub fn of(definitions: &'d Definitions, environment: &Environment) -> Rules<'d> {
        Rules {
            tables: &definitions.catalog,
            bytes_max: environment.limits.args_bytes_max,
        }
    }
}

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

pub(super) fn outcome_of(result: Result<Value>) -> FunctionOutcome {
    match result {
        Ok(value) => FunctionOutcome::Returned(value),
        Err(error) => FunctionOutcome::Threw(error.into_thrown()),
    }
}

/// Called with a mutation's outcome, once it is certain. The returned waker is woken once the commit's news is out.
pub type OnFinish =
    Box<dyn FnOnce(std::result::Result<MutationRun, SystemError>) -> Option<Waker> + Send>;

/// A mutation on its way through the committer.
pub(super) struct QueuedMutation {
    functions: Arc<Functions>,
    call: Call,
    /// Makes it harmless to send again; `None` for calls that no client sends twice.
    session_request: Option<SessionRequest>,
    ran: Option<std::result::Result<MutationRun, SystemError>>,
    /// Whether it may have to run once more.
    keeps_args: bool,
    took: Duration,
    on_finish: OnFinish,
}

impl QueuedMutation {
    pub fn new(
        functions: Arc<Functions>,
        call: Call,
        session_request: Option<SessionRequest>,
        on_finish: OnFinish,
    ) -> QueuedMutation {
        QueuedMutation {
            functions,
            call,
            session_request,
            ran: None,
            keeps_args: false,
            took: Duration::ZERO,
            on_finish,
        }
    }

    fn stop_when_provisioning(&self, point: Point) {
        if matches!(self.call.source, CallSource::Provisioning) {
            let probe = self.functions.probe();
            probe.stop(point, || self.call.caller.identity_key());
        }
    }

    /// The answer of an earlier run, when there was one.
    fn recall(
        &self,
        tx: &mut Transaction<'_>,
    ) -> Option<std::result::Result<MutationRun, SystemError>> {
        let recorded = match self.session_request.as_ref()?.find(tx) {
            Ok(recorded) => recorded,
            Err(error) => return Some(Err(storage_trouble(error))),
        };
        answered_before(recorded, tx.snapshot_ts()).map(Ok)
    }
}

/// The recorded answer of a mutation that was answered before; a refusal is as of `ts`.
pub(super) fn answered_before(recorded: Recorded, ts: Timestamp) -> Option<MutationRun> {
    let (outcome, log_lines, ts) = match recorded {
        Recorded::Nothing => return None,
        Recorded::Answer(RecordedAnswer {
            ts,
            value,
            log_lines,
        }) => (FunctionOutcome::Returned(value), log_lines, ts),
        Recorded::OtherIdentity => {
            let text = "This request was already made in this session by another identity.";
            let error = Error::refused("AlreadyMade", text);
            (FunctionOutcome::Threw(error.into_thrown()), Vec::new(), ts)
        }
    };
    Some(MutationRun {
        outcome,
        log_lines,
        ts,
        basis: Basis::default(),
    })
}

pub(super) fn storage_trouble(error: crate::database::DatabaseError) -> SystemError {
    match error {
        crate::database::DatabaseError::Storage(error) => SystemError::Storage(error),
        crate::database::DatabaseError::Query(error) => {
            unreachable!(
                "bookkeeping is not charged to the function and cannot be refused: {error}"
            )
        }
    }
}

impl Mutation for QueuedMutation {
    fn session(&self) -> Option<[u8; 16]> {
        let request = self.session_request.as_ref()?;
        Some(request.session)
    }

    fn prepare_to_run_again(&mut self) -> bool {
        self.keeps_args = self.call.may_be_put_back();
        self.keeps_args
    }

    fn run<'v>(&mut self, mut tx: Transaction<'v>) -> (Transaction<'v>, Verdict) {
        if let Some(recalled) = self.recall(&mut tx) {
            self.ran = Some(recalled);
            return (tx, Verdict::Abort);
        }
        let ts = tx.commit_ts().unwrap_or(tx.snapshot_ts());
        self.stop_when_provisioning(Point::LaneEntered);
        let clock = self.functions.database.clock().clone();
        let began = clock.elapsed();
        let args = match self.keeps_args {
            true => self.call.args.clone(),
            false => std::mem::replace(&mut self.call.args, Value::Null),
        };
        let environment = self.functions.database.environment();
        let mut run = run_mutation_body(environment, tx, &self.call, args);
        let basis = match self.session_request {
            Some(_) => Basis::default(),
            None => run.basis(),
        };
        let MutationBodyRun {
            result,
            mut tx,
            log_lines,
            ..
        } = run;
        self.took = clock.elapsed() - began;
        self.stop_when_provisioning(Point::FunctionReturned);
        if let Some(failure) = tx.storage_failure() {
            self.ran = Some(Err(SystemError::Storage(failure.clone())));
            return (tx, Verdict::Abort);
        }
        let (outcome, log_lines, verdict) = match outcome_of(result) {
            FunctionOutcome::Returned(value) => {
                let answer = RecordedAnswer {
                    ts,
                    value,
                    log_lines,
                };
                if let Some(request) = &self.session_request {
                    request.record(&mut tx, &answer);
                }
                let RecordedAnswer {
                    value, log_lines, ..
                } = answer;
                (FunctionOutcome::Returned(value), log_lines, Verdict::Commit)
            }
            threw => (threw, log_lines, Verdict::Abort),
        };
        self.ran = Some(Ok(MutationRun {
            outcome,
            log_lines,
            ts,
            basis,
        }));
        (tx, verdict)
    }

    fn finish(
        self: Box<Self>,
        outcome: std::result::Result<Committed, CommitError>,
    ) -> Option<Waker> {
        let ran = self.ran.unwrap_or(Err(SystemError::ShuttingDown));
        if outcome.is_ok() {
            self.functions.log_mutation(&self.call, &ran, self.took);
        }
        (self.on_finish)(match outcome {
            // A mutation that changed nothing has no commit of its own: its answer is as of the state that it saw.
            Ok(Committed { ts }) => ran.map(|run| MutationRun {
                ts: run.ts.min(ts),
                ..run
            }),
            Err(error) => Err(error.into()),
        })
    }
}
