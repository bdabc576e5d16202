//! The host of one action or HTTP action: it begins operations, completes them as their outcomes arrive, and ends them
//! with the call.
//!
//! Operations run concurrently on the server's runtime. Each call has a channel of its own for their outcomes, so none
//! can reach another call. Operations still under way at the end are dropped, and named in a warning.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngCore;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vestibule_isolate::{
    ErrorClass, Failure, Host, HostError, HostValue, Isolate, Thrown as JsThrown,
};
use vestibule_schema::path::ComponentPath;

use super::action::ActionTarget;
use super::action_calls::{Outcome, SIGNAL_WAIT};
use super::code::Code;
use super::common::{self, CommonOps, text};
use super::execution::tenths;
use super::failures;
use super::fetching::Aborts;
use super::http_answer::{Answering, PumpEnd};
use super::runtimes::Runtime;
use super::streams::Streams;
use super::syscalls::component_argument;
use super::timers::Timers;
use crate::functions::Console;
use crate::functions::action::ActionCtx;
use crate::functions::error::{Error, Result, Thrown};
use crate::functions::places::Place;
use crate::functions::streamed::NO_ROUTE;

/// Operations that one action may have under way.
pub(super) const OPERATIONS_MAX: usize = 1_000;

/// A step that uses the engine for so long is reported, and so is one that is ended.
const STEP_REPORTED: Duration = Duration::from_secs(5);

/// The known facts about the client of a call.
#[derive(Default)]
pub(super) struct Asked {
    /// Why the client's auth token was refused.
    pub refusal: Option<Thrown>,
    /// Whether the client has gone, where that is known.
    pub gone: Option<CancellationToken>,
}

/// The host of one call.
pub(super) struct ActionHost<'t> {
    pub(super) target: &'t ActionTarget,
    pub(super) ctx: ActionCtx,
    pub(super) handle: Handle,
    pub(super) asked: Asked,
    pub(super) streams: Streams,
    pub(super) aborts: Aborts,
    pub(super) console: Console,
    /// The answer of an HTTP action.
    pub(super) answering: Option<Answering>,
    sender: mpsc::UnboundedSender<Completion>,
    completions: mpsc::UnboundedReceiver<Completion>,
    /// Operations by id.
    under_way: BTreeMap<u64, UnderWay>,
    timers: Timers,
    /// Whether the last thing to arrive was a timer's end. Then it is the turn of other operations.
    was_timer: bool,
    began: Duration,
    ended: Option<Ended>,
    place: &'t mut Place,
    engine: EngineBytes,
    /// Whether the last step passed the time that one may take.
    is_step_too_long: bool,
}

/// The engine's memory, and its highest end when that was measured.
#[derive(Default)]
struct EngineBytes {
    bytes: usize,
    peak: usize,
}

/// An event that arrives while JavaScript waits.
pub(super) enum Completion {
    /// A timer ended, and with it its operation.
    Timer(u64),
    /// An operation ended.
    Operation(u64, Outcome),
    /// The body of an HTTP action's answer ended.
    Answered(PumpEnd),
}

struct UnderWay {
    /// As developers know it; none where they did not begin it themselves.
    shown: Option<String>,
    task: AbortHandle,
}

enum Ended {
    Returned(String),
    Threw(JsThrown),
    /// The router has no such route after all.
    Unrouted,
}

/// The text for a function that waits for nothing.
pub(super) const NEVER: &str = "Returned promise will never resolve";

impl<'t> ActionHost<'t> {
    pub fn new(
        target: &'t ActionTarget,
        ctx: ActionCtx,
        handle: Handle,
        asked: Asked,
        place: &'t mut Place,
    ) -> ActionHost<'t> {
        let (sender, completions) = mpsc::unbounded_channel();
        ActionHost {
            target,
            ctx,
            handle,
            asked,
            streams: Streams::default(),
            aborts: Aborts::default(),
            console: Console::default(),
            answering: None,
            sender,
            completions,
            under_way: BTreeMap::new(),
            timers: Timers::default(),
            was_timer: false,
            began: target.js.clock.elapsed(),
            ended: None,
            place,
            engine: EngineBytes::default(),
            is_step_too_long: false,
        }
    }

    /// The same for an HTTP action, which answers by `answering`.
    pub fn answering(self, answering: Answering) -> ActionHost<'t> {
        ActionHost {
            answering: Some(answering),
            ..self
        }
    }

    /// Starts the call with `function` of the driver, and runs it to its end.
    pub fn drive(
        &mut self,
        runtime: &mut Runtime,
        function: &str,
        start: &[HostValue],
        time_max: Duration,
    ) -> std::result::Result<(), Failure> {
        let isolate = &mut runtime.isolate;
        self.step(isolate, time_max, |host, isolate| {
            isolate.call(host, function, start).map(drop)
        })?;
        loop {
            if self.is_over()? {
                return Ok(());
            }
            if self.is_stuck() {
                return Err(failure(NEVER));
            }
            let (id, outcome) = match self.next(time_max)? {
                Completion::Timer(id) => (id, Outcome::Done(HostValue::Undefined)),
                Completion::Operation(id, outcome) => {
                    if self.under_way.remove(&id).is_none() {
                        continue;
                    }
                    (id, self.streams.settled(outcome))
                }
                Completion::Answered(end) => {
                    self.answered(end);
                    continue;
                }
            };
            self.step(isolate, time_max, |host, isolate| {
                let completion = outcome.completion(id);
                isolate.call(host, "complete", &completion).map(drop)
            })?;
        }
    }

    /// One step in the engine: `work`, and everything that follows from it until the function waits.
    fn step(
        &mut self,
        isolate: &mut Isolate,
        time_max: Duration,
        work: impl FnOnce(&mut Self, &mut Isolate) -> std::result::Result<(), Failure>,
    ) -> std::result::Result<(), Failure> {
        let step_max = self.target.js.options.action_step_max;
        let left = self.time_left(time_max).ok_or(Failure::TimedOut)?;
        let before = isolate.cpu_used();
        isolate.set_budget(before.saturating_add(step_max.min(left)));
        let js = self.target.js.clone();
        let under_way = js.steps.begin();
        let stepped = work(self, isolate).and_then(|()| isolate.run_jobs(self));
        drop(under_way);
        let took = isolate.cpu_used().saturating_sub(before);
        self.is_step_too_long = took > step_max;
        self.measure(isolate);
        if took > STEP_REPORTED.min(step_max) {
            let (path, seconds) = (self.ctx.name(), took.as_secs_f64());
            tracing::warn!(path, seconds, "an action kept the engine busy in one step");
        }
        stepped
    }

    /// Says how much memory the call holds by now.
    fn measure(&mut self, isolate: &Isolate) {
        let peak = isolate.peak_bytes();
        // Asking the system is not for every step.
        if peak != self.engine.peak {
            let bytes = isolate.resident_bytes();
            self.engine = EngineBytes { bytes, peak };
        }
        self.place
            .set_bytes(self.engine.bytes + self.streams.held_bytes());
    }

    fn time_left(&self, time_max: Duration) -> Option<Duration> {
        let elapsed = self.target.js.clock.elapsed() - self.began;
        time_max.checked_sub(elapsed)
    }

    /// Whether nothing is left to do.
    fn is_over(&mut self) -> std::result::Result<bool, Failure> {
        let Some(answering) = &mut self.answering else {
            return Ok(self.ended.is_some());
        };
        match &self.ended {
            None => return Ok(false),
            Some(Ended::Threw(_) | Ended::Unrouted) => return Ok(true),
            Some(Ended::Returned(text)) if answering.is_waiting() => {
                let sender = self.sender.clone();
                let answer = move |end| {
                    // The call may have ended.
                    let _ = sender.send(Completion::Answered(end));
                };
                let begun = answering.begin(text, &mut self.streams, &self.handle, answer);
                begun.map_err(|text| failure(&text))?;
            }
            Some(Ended::Returned(_)) => {}
        }
        Ok(answering.is_done())
    }

    fn answered(&mut self, end: PumpEnd) {
        if let Some(answering) = &mut self.answering {
            answering.end(end, &mut self.console);
        }
    }

    /// Whether nothing that is under way can bring the call further.
    fn is_stuck(&self) -> bool {
        let is_answered = match &self.answering {
            Some(answering) => !answering.is_waiting() && !answering.is_fed(&self.streams),
            None => false,
        };
        self.under_way.is_empty() && self.timers.len() == 0 && !is_answered
    }

    /// The next thing that arrives, within the call's time.
    fn next(&mut self, time_max: Duration) -> std::result::Result<Completion, Failure> {
        let left = self.time_left(time_max).ok_or(Failure::TimedOut)?;
        self.ctx.tell(self.console.lines());
        let handle = self.handle.clone();
        let (timers, completions) = (&mut self.timers, &mut self.completions);
        let was_timer = std::mem::take(&mut self.was_timer);
        let next = async {
            // Timers and other operations take turns where both have ended.
            if was_timer && let Ok(completion) = completions.try_recv() {
                return Some(completion);
            }
            if let Some(operation) = timers.take_due(Instant::now()) {
                return Some(Completion::Timer(operation));
            }
            let Some(due) = timers.next_due() else {
                return completions.recv().await;
            };
            tokio::select! {
                biased;
                completion = completions.recv() => completion,
                () = tokio::time::sleep_until(due) => {
                    timers.take_due(due).map(Completion::Timer)
                }
            }
        };
        let next = async { tokio::time::timeout(left, next).await };
        match handle.block_on(self.target.js.ending.run_until_cancelled(next)) {
            Some(Ok(Some(completion))) => {
                self.was_timer = matches!(completion, Completion::Timer(_));
                Ok(completion)
            }
            Some(Ok(None) | Err(_)) | None => Err(Failure::TimedOut),
        }
    }

    /// Ends the operations under way, and returns the function's result, as text.
    pub fn finish(
        mut self,
        driven: std::result::Result<(), Failure>,
        time_max: Duration,
    ) -> Result<String> {
        self.drop_operations();
        self.streams.break_off("The function has ended");
        let lines = std::mem::take(&mut self.console);
        self.ctx.console(|console| console.append(lines));
        let code = &self.target.code;
        code.note_bytes(self.place.bytes());
        driven.map_err(|failure| match failure {
            Failure::TimedOut if self.is_step_too_long => {
                failures::step_too_long(self.target.js.options.action_step_max)
            }
            failure => failures::of(&failure, code, time_max),
        })?;
        match self.ended.take() {
            Some(Ended::Returned(text)) => Ok(text),
            Some(Ended::Threw(thrown)) => Err(failures::thrown(&thrown, code)),
            Some(Ended::Unrouted) => Err(Error::plain(NO_ROUTE)),
            None => unreachable!("an action that was driven to its end has ended"),
        }
    }

    /// Whether the router knew no such route.
    pub fn is_unrouted(&self) -> bool {
        matches!(self.ended, Some(Ended::Unrouted))
    }

    fn drop_operations(&mut self) {
        let mut dangling: Vec<String> = Vec::new();
        for (_, each) in std::mem::take(&mut self.under_way) {
            each.task.abort();
            dangling.extend(each.shown);
        }
        warn_of_dangling(&mut self.console, &dangling);
    }

    /// Begins an operation: its id, its name, its own arguments.
    fn begin(&mut self, args: &mut [HostValue]) -> std::result::Result<HostValue, HostError> {
        let id = number(args, 0).ok_or_else(|| HostError::fatal("an operation has no id"))?;
        let name = match text(args, 1) {
            Some("syscall") => text(args, 2).unwrap_or("").to_owned(),
            Some(name) => name.to_owned(),
            None => return Err(HostError::fatal("an operation has no name")),
        };
        if self.under_way.len() + self.timers.len() >= OPERATIONS_MAX {
            return Err(HostError::new(ErrorClass::Error, too_many_operations()));
        }
        if name == "timer" {
            self.set_timer(id, args);
            return Ok(HostValue::Undefined);
        }
        let work = self.perform(args)?;
        let sender = self.sender.clone();
        let task = self.handle.spawn(async move {
            // The action may have ended.
            let _ = sender.send(Completion::Operation(id, work.await));
        });
        let under_way = UnderWay {
            shown: shown(&name),
            task: task.abort_handle(),
        };
        self.under_way.insert(id, under_way);
        Ok(HostValue::Undefined)
    }

    /// Sets a timer, whose id and delay in milliseconds follow the operation's name.
    fn set_timer(&mut self, operation: u64, args: &[HostValue]) {
        let millis = match args.get(3) {
            Some(HostValue::Number(millis)) if *millis > 0.0 => *millis,
            _ => 0.0,
        };
        // The time of the runtime, which a test may have stopped.
        let _entered = self.handle.enter();
        let (now, delay) = (Instant::now(), Duration::from_secs_f64(millis / 1e3));
        let id = number(args, 2).unwrap_or_default();
        self.timers.set(id, operation, now, delay);
    }

    /// Operations on streams and requests that are done at once.
    fn at_once(
        &mut self,
        op: &str,
        args: &mut [HostValue],
    ) -> Option<std::result::Result<HostValue, HostError>> {
        let id = number(args, 0);
        match (op, id) {
            ("stream.open", _) => {
                let bytes = args.first_mut().and_then(take_bytes);
                let opened = self.streams.open(bytes);
                return Some(opened.map(|id| HostValue::Number(id as f64)));
            }
            ("stream.close", Some(id)) => self.streams.close(id),
            ("stream.fail", Some(id)) => {
                let why = text(args, 1).unwrap_or_default().to_owned();
                self.streams.fail(id, why);
            }
            ("stream.cancel", Some(id)) => self.streams.cancel(id),
            ("fetch.abort", Some(id)) => self.aborts.abort(id),
            ("timer.clear", Some(id)) => self.timers.clear(id),
            _ => return None,
        }
        Some(Ok(HostValue::Undefined))
    }
}

/// Warns of operations that were under way when their call ended.
pub(super) fn warn_of_dangling(console: &mut Console, names: &[String]) {
    if names.is_empty() {
        return;
    }
    let (count, names) = (names.len(), names.join(", "));
    console.warn(format!(
        "{count} unawaited operation{}: [{names}]. Async operations should be awaited or they might not run. \
         See https://docs.convex.dev/functions/actions#dangling-promises for more information.",
        if count == 1 { "" } else { "s" },
    ));
}

/// The refusal of an operation beyond those that an action may have under way.
pub(super) fn too_many_operations() -> String {
    format!("An action may have at most {OPERATIONS_MAX} operations under way.")
}

/// How developers know an operation that they began.
pub(super) fn shown(name: &str) -> Option<String> {
    if name.starts_with("stream.") || name == SIGNAL_WAIT {
        return None;
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    Some(match last {
        "query" => "runQuery".to_owned(),
        "mutation" => "runMutation".to_owned(),
        "action" => "runAction".to_owned(),
        other => other.to_owned(),
    })
}

fn failure(text: &str) -> Failure {
    Failure::Threw(JsThrown {
        name: "Error".to_owned(),
        message: text.to_owned(),
        ..JsThrown::default()
    })
}

/// The whole number at `at` among the arguments.
pub(super) fn number(args: &[HostValue], at: usize) -> Option<u64> {
    match args.get(at) {
        Some(HostValue::Number(number)) if *number >= 0.0 => Some(*number as u64),
        _ => None,
    }
}

/// Takes the bytes out of an argument.
pub(super) fn take_bytes(arg: &mut HostValue) -> Option<Vec<u8>> {
    match arg {
        HostValue::Bytes(bytes) => Some(std::mem::take(bytes)),
        _ => None,
    }
}

impl CommonOps for ActionHost<'_> {
    fn now_millis(&mut self) -> f64 {
        (self.target.js.clock.now().0 / 1_000_000) as f64
    }

    fn performance_millis(&mut self) -> f64 {
        tenths(self.target.js.clock.elapsed() - self.began)
    }

    fn elapsed_millis(&mut self) -> f64 {
        (self.target.js.clock.elapsed() - self.began).as_secs_f64() * 1e3
    }

    fn time_origin(&mut self) -> f64 {
        self.target.code.import.time_millis
    }

    fn fill_random(&mut self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        self.target.code.variables.get(name).cloned()
    }

    fn console(&mut self) -> &mut Console {
        &mut self.console
    }

    fn code(&self) -> &Code {
        &self.target.code
    }
}

impl Host for ActionHost<'_> {
    fn call(
        &mut self,
        op: &str,
        args: &mut [HostValue],
    ) -> std::result::Result<HostValue, HostError> {
        match op {
            "async" => return self.begin(args),
            "syscall" => {
                let done = sync_operation(text(args, 0), self.target.path.component());
                return done
                    .map(HostValue::String)
                    .map_err(|refusal| HostError::new(ErrorClass::Error, refusal));
            }
            "returned" => {
                let value = text(args, 0).unwrap_or("null").to_owned();
                self.ended.get_or_insert(Ended::Returned(value));
                return Ok(HostValue::Undefined);
            }
            "threw" => {
                let thrown = failures::described(args);
                self.ended.get_or_insert(Ended::Threw(thrown));
                return Ok(HostValue::Undefined);
            }
            "unrouted" => {
                self.ended.get_or_insert(Ended::Unrouted);
                return Ok(HostValue::Undefined);
            }
            _ => {}
        }
        if let Some(done) = self.at_once(op, args) {
            return done;
        }
        common::call(self, op, args).unwrap_or_else(|| {
            let text = format!("Unknown operation {op}");
            Err(HostError::new(ErrorClass::Error, text))
        })
    }
}

/// Actions have one synchronous operation of the package's.
fn sync_operation(op: Option<&str>, component: &ComponentPath) -> Result<String, String> {
    match op.unwrap_or_default() {
        "1.0/componentArgument" => component_argument(component).map_err(|error| error.message),
        op => Err(format!("Unknown operation {op}")),
    }
}
