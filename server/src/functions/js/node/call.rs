//! One call of an action in Node.js, from its arguments to its result.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value as Json, json};
use tracing::Instrument;
use vestibule_isolate::HostValue;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::value::Value;

use super::code::NodeCode;
use super::frames::ToNode;
use super::process::{Event, Seat};
use crate::clock::timeout;
use crate::functions::action::ActionCtx;
use crate::functions::error::{Error, Result};
use crate::functions::js::Js;
use crate::functions::js::action::TROUBLE;
use crate::functions::js::action_calls::{Operations, Outcome};
use crate::functions::js::action_host::{
    OPERATIONS_MAX, shown, too_many_operations, warn_of_dangling,
};
use crate::functions::js::common::log_line;
use crate::functions::js::streams::Streams;
use crate::functions::js::{failures, stack};
use crate::functions::{BoxFuture, Console, FunctionKind};

/// The action that runs.
#[derive(Clone)]
pub struct NodeTarget {
    pub js: Arc<Js>,
    pub code: Arc<NodeCode>,
    pub path: FunctionPath,
}

/// Runs an action to its end, in the place that its context has. A caller that leaves does not cut it off.
pub async fn run(target: NodeTarget, ctx: ActionCtx, args: Value) -> Result<Value> {
    let place = ctx.take_place();
    let place = place.expect("an action has its place before its body begins");
    let ending = target.js.ending.clone();
    let work = async move {
        let _place = place;
        run_in_time(&target, &ctx, &args).await
    };
    let work = ending.run_until_cancelled_owned(work.in_current_span());
    match tokio::spawn(work).await {
        Ok(Some(result)) => result,
        // The server ends, or the call's task panicked.
        Ok(None) | Err(_) => Err(Error::plain(TROUBLE)),
    }
}

async fn run_in_time(target: &NodeTarget, ctx: &ActionCtx, args: &Value) -> Result<Value> {
    let node = &target.js.node;
    let time_max = target.js.time_max(FunctionKind::Action);
    let began = node.clock.elapsed();
    if let Err(why) = node.program().await {
        let path = &target.path;
        return Err(Error::plain(format!(
            "{path} cannot run: its module begins with \"use node\", and {why}"
        )));
    }
    let seat = target.code.pool.seat(node, &target.code);
    let seat = timeout(&*node.clock, time_max, seat).await;
    let mut call = NodeCall {
        target,
        ctx,
        seat: seat.unwrap_or_else(|| Err(Error::timed_out(time_max)))?,
        streams: Streams::default(),
        console: Console::default(),
        operations: FuturesUnordered::new(),
        under_way: BTreeMap::new(),
    };
    call.start(args)?;
    let left = time_max.saturating_sub(node.clock.elapsed() - began);
    let result = timeout(&*node.clock, left, call.drive()).await;
    if result.is_none() {
        // It goes on where nobody can stop it, so its process ends as soon as others have left it.
        call.seat.process.close();
    }
    call.finish();
    result.unwrap_or_else(|| Err(Error::timed_out(time_max)))
}

struct NodeCall<'c> {
    target: &'c NodeTarget,
    ctx: &'c ActionCtx,
    seat: Seat,
    streams: Streams,
    console: Console,
    operations: FuturesUnordered<BoxFuture<(u64, Outcome)>>,
    /// Operations by number, as developers know them.
    under_way: BTreeMap<u64, Option<String>>,
}

impl NodeCall<'_> {
    fn start(&self, args: &Value) -> Result<()> {
        let mut text = String::from("[");
        args.write_json(&mut text);
        text.push(']');
        let start = ToNode::Start {
            call: self.seat.call,
            path: self.target.path.module_file(),
            name: self.target.path.function(),
            args: &text,
        };
        Ok(self.seat.process.offer(&start, &[])?)
    }

    /// Does what the function asks for, until it ends.
    async fn drive(&mut self) -> Result<Value> {
        loop {
            let event = tokio::select! {
                event = self.seat.events.recv() => event,
                Some((operation, outcome)) = self.operations.next() => {
                    self.complete(operation, outcome);
                    continue;
                }
            };
            let Some(event) = event else {
                return Err(self.seat.process.lost());
            };
            if let Some(result) = self.take(event) {
                return result;
            }
            // What has arrived together is told together.
            while let Ok(event) = self.seat.events.try_recv() {
                if let Some(result) = self.take(event) {
                    return result;
                }
            }
            self.ctx.tell(self.console.lines());
        }
    }

    /// Takes in one event; the result, if it is that.
    fn take(&mut self, event: Event) -> Option<Result<Value>> {
        let NodeTarget { code, path, .. } = self.target;
        match event {
            Event::Operation {
                operation,
                name,
                args,
                bytes,
            } => self.begin(operation, name, args, bytes),
            Event::Console {
                level,
                messages,
                stack,
            } => {
                let traced = stack.map(|stack| stack::frames(&stack, code));
                let messages = messages.iter().map(String::as_str);
                log_line(&mut self.console, &level, messages, traced);
            }
            Event::Returned(text) => return Some(failures::returned(&text, path)),
            Event::Threw(thrown) => return Some(Err(failures::thrown(&thrown, code))),
        }
        None
    }

    fn begin(&mut self, operation: u64, name: String, args: Vec<Json>, bytes: Vec<u8>) {
        if self.under_way.len() >= OPERATIONS_MAX {
            return self.complete(operation, Outcome::error(too_many_operations()));
        }
        let known_as = match (name.as_str(), args.first()) {
            ("syscall", Some(Json::String(op))) => shown(op),
            (name, _) => shown(name),
        };
        let mut args: Vec<HostValue> =
            [HostValue::Number(operation as f64), HostValue::String(name)]
                .into_iter()
                .chain(args.into_iter().map(host_value))
                .chain([HostValue::Bytes(bytes)])
                .collect();
        let operations = Operations {
            js: &self.target.js,
            ctx: self.ctx,
            path: &self.target.path,
            refusal: None,
            streams: &self.streams,
        };
        let work = operations.perform(&mut args);
        self.under_way.insert(operation, known_as);
        self.operations
            .push(Box::pin(async move { (operation, work.await) }));
    }

    fn complete(&mut self, operation: u64, outcome: Outcome) {
        self.under_way.remove(&operation);
        let call = self.seat.call;
        let done = |value| ToNode::Complete {
            call,
            operation,
            is_ok: true,
            value,
            error_class: None,
            data: None,
        };
        let failed = |class: String, message: &str, data| ToNode::Complete {
            call,
            operation,
            is_ok: false,
            value: Some(json!({ "text": message })),
            error_class: Some(class),
            data,
        };
        let process = &self.seat.process;
        let offered = match self.streams.settled(outcome) {
            Outcome::Done(HostValue::Bytes(bytes)) => {
                process.offer(&done(Some(json!("bytes"))), &bytes)
            }
            Outcome::Done(value) => process.offer(&done(text_of(value)), &[]),
            Outcome::Opened { .. } => unreachable!("a settled outcome has no stream of its own"),
            Outcome::Failed {
                class,
                message,
                data_json,
            } => process.offer(&failed(class, &message, data_json), &[]),
        };
        if let Err(overloaded) = offered {
            process.send(&failed("Error".to_owned(), &overloaded.of_answer(), None));
        }
    }

    /// Ends the operations under way, and hands over what was logged.
    fn finish(mut self) {
        let dangling: Vec<String> = self.under_way.into_values().flatten().collect();
        warn_of_dangling(&mut self.console, &dangling);
        let lines = std::mem::take(&mut self.console);
        self.ctx.console(|console| console.append(lines));
    }
}

fn host_value(json: Json) -> HostValue {
    match json {
        Json::Null => HostValue::Undefined,
        Json::Bool(value) => HostValue::Bool(value),
        Json::Number(number) => HostValue::Number(number.as_f64().unwrap_or_default()),
        Json::String(text) => HostValue::String(text),
        Json::Array(_) | Json::Object(_) => HostValue::String(json.to_string()),
    }
}

/// A value as the process takes it: a text, or nothing.
fn text_of(value: HostValue) -> Option<Json> {
    match value {
        HostValue::String(text) => Some(json!({ "text": text })),
        HostValue::Bool(value) => Some(json!({ "text": value })),
        HostValue::Number(number) => Some(json!({ "text": number })),
        HostValue::Undefined | HostValue::Null | HostValue::Bytes(_) => None,
    }
}
