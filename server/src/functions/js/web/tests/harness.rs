//! An isolate with the prelude and a host that answers from memory.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use vestibule_isolate::{
    Bytecode, Failure, Host, HostError, HostValue, Isolate, IsolateOptions, ModuleSource,
    compile_module, compile_script,
};

use super::super::call;
use crate::functions::js::prelude::SCRIPTS;
use crate::functions::js::tests::oracle;

/// Completions after which a test has hung.
const STEPS_MAX: usize = 10_000;

/// Runs an expression and tells the host its text: strings as they are, all else as JSON.
const DRIVER: &str = r#"
$.register("run", (kind, name) => {
  $.call.kind = kind;
  const text = (value) => typeof value === "string" ? value : JSON.stringify(value) ?? String(value);
  const fail = (error) => $.host("returned", `${error?.name}: ${error?.message}`);
  try {
    $.module(name).default($).then((value) => $.host("returned", text(value))).catch(fail);
  } catch (error) {
    fail(error);
  }
});
$.register("complete", (id, isOk, value) => $.complete(id, isOk, isOk ? value : new TypeError(value)));
"#;

pub struct Engine {
    isolate: Isolate,
    options: IsolateOptions,
    pub host: Memory,
}

impl Engine {
    pub fn new<'a>(expressions: impl Iterator<Item = &'a str>) -> Engine {
        let modules = expressions.enumerate().map(|(row, expression)| {
            let name = module_name(row);
            // Statements that return, or an expression alone.
            let body = if expression.contains("return ") {
                expression.to_owned()
            } else {
                format!("return ({expression});")
            };
            let source = format!("export default async ($$) => {{ {body} }};");
            let bytecode = compile_module(&name, &source)
                .unwrap_or_else(|error| panic!("{expression}: {error:?}"));
            (name, Arc::new(bytecode))
        });
        let modules = Arc::new(Modules(modules.collect()));
        // The driver of these tests stands in for the last script.
        let (_, scripts) = SCRIPTS.split_last().expect("there are scripts");
        let source = format!("(() => {{\n{}\n{DRIVER}\n}})();", scripts.join("\n"));
        let prelude = compile_script("prelude.js", &source).unwrap();
        let options = IsolateOptions {
            memory_bytes_max: 64 << 20,
            call_bytes_max: 64 << 20,
            stack_bytes_max: 1 << 20,
            modules,
            prelude: Arc::new([prelude]),
        };
        let mut host = Memory::default();
        let isolate = made(&options, &mut host);
        Engine {
            isolate,
            options,
            host,
        }
    }

    pub fn image_bytes(&self) -> usize {
        self.isolate.image_bytes()
    }

    /// The text of the expression's value, or of its error. The isolate is restored afterwards.
    pub fn run(&mut self, kind: &str, row: usize) -> String {
        self.host.forget();
        let text = |text: &str| HostValue::String(text.to_owned());
        let arguments = [text(kind), text(&module_name(row))];
        let found = self.until_returned(&arguments);
        match oracle::is_asked() {
            true => self.isolate = made(&self.options, &mut self.host),
            false => self.isolate.restore(),
        }
        match found {
            Ok(text) => text,
            Err(Failure::Fatal(error)) => format!("fatal: {}", error.message),
            Err(Failure::Threw(thrown)) => format!("uncaught: {}", thrown.message),
            Err(failure) => format!("failed: {failure:?}"),
        }
    }

    fn until_returned(&mut self, arguments: &[HostValue]) -> Result<String, Failure> {
        self.isolate.call(&mut self.host, "run", arguments)?;
        self.isolate.run_jobs(&mut self.host)?;
        for _ in 0..STEPS_MAX {
            if let Some(text) = self.host.returned.take() {
                return Ok(text);
            }
            let Some((id, is_ok, value)) = self.host.complete() else {
                return Ok("never".to_owned());
            };
            let arguments = [HostValue::Number(id), HostValue::Bool(is_ok), value];
            self.isolate.call(&mut self.host, "complete", &arguments)?;
            self.isolate.run_jobs(&mut self.host)?;
        }
        Ok("endless".to_owned())
    }
}

fn made(options: &IsolateOptions, host: &mut Memory) -> Isolate {
    let mut isolate = Isolate::new(options.clone(), host).unwrap();
    isolate.seal();
    isolate.set_budget(Duration::from_secs(20));
    isolate
}

fn module_name(row: usize) -> String {
    format!("row{row}.js")
}

struct Modules(HashMap<String, Arc<Bytecode>>);

impl ModuleSource for Modules {
    fn bytecode(&self, name: &str) -> Option<Arc<Bytecode>> {
        self.0.get(name).cloned()
    }
}

#[derive(Default)]
struct Stream {
    chunks: VecDeque<Vec<u8>>,
    is_closed: bool,
}

struct Operation {
    id: f64,
    op: String,
    arguments: Vec<HostValue>,
    /// When a timer ends.
    due: f64,
}

/// Answers from memory: the clock stands still, and the network sends each request back.
#[derive(Default)]
pub struct Memory {
    pub lines: Vec<String>,
    returned: Option<String>,
    operations: Vec<Operation>,
    streams: Vec<Stream>,
    blobs: Vec<(String, Vec<u8>)>,
    aborted: Vec<f64>,
    elapsed: f64,
    /// The time of the timers, which passes when nothing else can happen.
    clock: f64,
    random: u32,
}

impl Memory {
    fn forget(&mut self) {
        *self = Memory::default();
    }

    fn open(&mut self, chunks: Vec<Vec<u8>>, is_closed: bool) -> f64 {
        self.streams.push(Stream {
            chunks: chunks.into(),
            is_closed,
        });
        (self.streams.len() - 1) as f64
    }

    fn stream(&mut self, id: &HostValue) -> &mut Stream {
        let HostValue::Number(id) = id else {
            panic!("{id:?} is no stream")
        };
        &mut self.streams[*id as usize]
    }

    /// Completes an operation that can be: everything else before the timer that ends first.
    fn complete(&mut self) -> Option<(f64, bool, HostValue)> {
        for at in 0..self.operations.len() {
            if self.operations[at].op == "timer" {
                continue;
            }
            if let Some(answer) = self.answer(at) {
                let operation = self.operations.remove(at);
                let is_ok = answer.is_ok();
                let value = answer.unwrap_or_else(HostValue::String);
                return Some((operation.id, is_ok, value));
            }
        }
        let timers = (0..self.operations.len()).filter(|at| self.operations[*at].op == "timer");
        let due = |at: &usize| self.operations[*at].due;
        let first = timers.min_by(|a, b| due(a).total_cmp(&due(b)))?;
        let operation = self.operations.remove(first);
        self.clock = operation.due;
        Some((operation.id, true, HostValue::Undefined))
    }

    fn answer(&mut self, at: usize) -> Option<Result<HostValue, String>> {
        let (op, arguments) = {
            let operation = &self.operations[at];
            (operation.op.clone(), operation.arguments.clone())
        };
        match op.as_str() {
            "stream.read" => {
                let stream = self.stream(&arguments[0]);
                match stream.chunks.pop_front() {
                    Some(chunk) => Some(Ok(HostValue::Bytes(chunk))),
                    None => stream.is_closed.then_some(Ok(HostValue::Undefined)),
                }
            }
            "stream.write" => {
                let HostValue::Bytes(chunk) = arguments[1].clone() else {
                    panic!("only bytes are written")
                };
                self.stream(&arguments[0]).chunks.push_back(chunk);
                Some(Ok(HostValue::Undefined))
            }
            "fetch" => self.fetch(&arguments),
            "storage.store" => {
                let (HostValue::String(kind), HostValue::Bytes(bytes)) =
                    (&arguments[0], &arguments[2])
                else {
                    panic!("{arguments:?}")
                };
                self.blobs.push((kind.clone(), bytes.clone()));
                Some(Ok(HostValue::String(format!("id{}", self.blobs.len()))))
            }
            "storage.get" => {
                let HostValue::String(id) = &arguments[0] else {
                    panic!("{arguments:?}")
                };
                let blob = id[2..].parse::<usize>().ok().and_then(|at| {
                    let (kind, bytes) = self.blobs.get(at - 1)?.clone();
                    let stream = self.open(vec![bytes], true);
                    let json = json!({ "contentType": kind, "streamId": stream });
                    Some(HostValue::String(json.to_string()))
                });
                Some(Ok(blob.unwrap_or(HostValue::Null)))
            }
            _ => None,
        }
    }

    /// Sends the request back as JSON, once its body has come.
    fn fetch(&mut self, arguments: &[HostValue]) -> Option<Result<HostValue, String>> {
        let HostValue::String(json) = &arguments[0] else {
            panic!("{arguments:?}")
        };
        let mut request: Json = serde_json::from_str(json).unwrap();
        if self.aborted.contains(&request["id"].as_f64().unwrap()) {
            return Some(Err("aborted".to_owned()));
        }
        if request["url"] == "https://silent.example/" {
            return None;
        }
        if request["url"] == "https://down.example/" {
            return Some(Err("fetch failed".to_owned()));
        }
        let body = match (&arguments[1], request["streamId"].as_f64()) {
            (HostValue::Bytes(bytes), None) => bytes.clone(),
            (_, Some(id)) => {
                let stream = self.stream(&HostValue::Number(id));
                if !stream.is_closed {
                    return None;
                }
                stream.chunks.drain(..).flatten().collect()
            }
            _ => Vec::new(),
        };
        request["body"] = String::from_utf8_lossy(&body).into();
        let text = request.to_string().into_bytes();
        let (head, tail) = text.split_at(5);
        let stream = self.open(vec![head.to_vec(), tail.to_vec()], true);
        let response = json!({
            "status": 200,
            "statusText": "OK",
            "headers": [["Content-Type", "application/json"], ["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"]],
            "url": request["url"],
            "redirected": false,
            "streamId": stream,
        });
        Some(Ok(HostValue::String(response.to_string())))
    }

    fn log(&mut self, level: &str, messages: &str) {
        let messages: Vec<String> = serde_json::from_str(messages).unwrap();
        let mut line = format!("[{level}]");
        for message in messages {
            let _ = write!(line, " {message}");
        }
        self.lines.push(line);
    }
}

impl Host for Memory {
    fn call(&mut self, op: &str, args: &mut [HostValue]) -> Result<HostValue, HostError> {
        let done = Ok(HostValue::Undefined);
        match (op, &*args) {
            ("returned", [HostValue::String(text)]) => self.returned = Some(text.clone()),
            ("async", [HostValue::Number(id), HostValue::String(op), arguments @ ..]) => {
                let delay = match arguments {
                    [_, HostValue::Number(delay)] => *delay,
                    _ => 0.0,
                };
                self.operations.push(Operation {
                    id: *id,
                    op: op.clone(),
                    arguments: arguments.to_vec(),
                    due: self.clock + delay,
                });
            }
            ("fail", [HostValue::String(text)]) => return Err(HostError::fatal(text.clone())),
            ("console", [HostValue::String(level), HostValue::String(messages)]) => {
                let (level, messages) = (level.clone(), messages.clone());
                self.log(&level, &messages);
            }
            ("time.now", []) => return Ok(HostValue::Number(1_700_000_000_123.0)),
            ("time.origin", []) => return Ok(HostValue::Number(1_700_000_000_000.0)),
            ("time.performance", []) => return Ok(HostValue::Number(1.5)),
            ("time.elapsed", []) => {
                self.elapsed += 12.0;
                return Ok(HostValue::Number(self.elapsed));
            }
            ("random", [HostValue::Number(count)]) => {
                let mut next = || {
                    self.random = self
                        .random
                        .wrapping_mul(1_664_525)
                        .wrapping_add(1_013_904_223);
                    (self.random >> 24) as u8
                };
                return Ok(HostValue::Bytes(
                    (0..*count as usize).map(|_| next()).collect(),
                ));
            }
            ("env", [HostValue::String(name)]) => {
                let value = (name == "CONVEX_SITE_URL").then(|| "https://site.example".to_owned());
                return Ok(value.map_or(HostValue::Undefined, HostValue::String));
            }
            ("timer.clear", [id]) => {
                let is_it = |operation: &Operation| {
                    operation.op == "timer" && operation.arguments.first() == Some(id)
                };
                self.operations.retain(|operation| !is_it(operation));
            }
            ("fetch.abort", [HostValue::Number(id)]) => self.aborted.push(*id),
            ("stream.open", []) => {
                let id = self.open(Vec::new(), false);
                return Ok(HostValue::Number(id));
            }
            ("stream.open", [HostValue::Bytes(bytes)]) => {
                let id = self.open(vec![bytes.clone()], true);
                return Ok(HostValue::Number(id));
            }
            ("stream.close" | "stream.cancel" | "stream.fail", [id, ..]) => {
                self.stream(&id.clone()).is_closed = true;
            }
            _ => return call(op, args).unwrap_or_else(|| panic!("no operation {op} of {args:?}")),
        }
        done
    }
}
