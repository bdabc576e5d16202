//! Prints what a call, a restore and an isolate cost on this machine: `cargo run -p vestibule-isolate --example measure`.
//!
//! Figures are sizes and ratios, not promises: treat them as rough on a busy machine.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vestibule_isolate::{
    Bytecode, Failure, Host, HostError, HostValue, Isolate, IsolateOptions, ModuleSource,
    compile_module, compile_script,
};

const PRELUDE: &str = r#"
(() => {
  const host = __host, register = __register, module = __module;
  const waiting = [];
  let status = "";
  globalThis.Convex = {
    asyncSyscall: (op, args) => new Promise((resolve) => { waiting.push(resolve); host("async", op, args); }),
  };
  register("start", (name, key, args) => {
    module(name)[key](...JSON.parse(args)).then((value) => { status = JSON.stringify(value); });
  });
  register("complete", (value) => waiting.shift()(value));
  register("status", () => status);
})();
"#;

const APP: &str = r#"
const get = async (id) => JSON.parse(await Convex.asyncSyscall("1.0/get", JSON.stringify({ id })));
const patch = async (id, value) => JSON.parse(await Convex.asyncSyscall("1.0/shallowMerge", JSON.stringify({ id, value })));
export const nothing = async () => null;
export const transfer = async (args) => {
  const from = await get(args.from);
  const to = await get(args.to);
  if (from.balance < args.amount) throw new Error("too little");
  for (let i = 0; i < 4; i++) {
    await patch(args.from, { balance: from.balance - args.amount });
    await patch(args.to, { balance: to.balance + args.amount });
  }
  return { from: from._id, to: to._id };
};
"#;

/// Answers every call with the same document.
struct Answers {
    pending: usize,
}

impl Host for Answers {
    fn call(&mut self, _op: &str, _args: &mut [HostValue]) -> Result<HostValue, HostError> {
        self.pending += 1;
        Ok(HostValue::Undefined)
    }
}

struct Modules(HashMap<String, Arc<Bytecode>>);

impl ModuleSource for Modules {
    fn bytecode(&self, name: &str) -> Option<Arc<Bytecode>> {
        self.0.get(name).cloned()
    }
}

/// Source that fills an image: functions, classes and tables as bundles of libraries have them.
fn library(parts: usize) -> String {
    let mut source = String::new();
    for part in 0..parts {
        source.push_str(&format!(
            "class Part{part} {{ constructor(a) {{ this.a = a; this.kind = 'part{part}'; }}
               parse(value) {{ if (typeof value !== 'string') throw new TypeError('no {part}'); return this.check(value, 0); }}
               check(value, depth) {{ const found = []; for (const item of value) {{ if (item !== this.kind) found.push({{ item, depth }}); }} return found; }} }}
             const table{part} = {{ name: 'name{part}', list: [{part}, 'a{part}', 'b{part}'], make: (a) => new Part{part}(a) }};
             export {{ table{part} }};\n"
        ));
    }
    source
}

fn isolate(parts: usize, host: &mut dyn Host) -> Result<Isolate, Failure> {
    let app = format!("import './library.js';\n{APP}");
    let compiled = [("app.js", app), ("library.js", library(parts))].map(|(name, source)| {
        let bytecode = compile_module(name, &source).expect("the source is correct");
        (name.to_owned(), Arc::new(bytecode))
    });
    let prelude = compile_script("prelude.js", PRELUDE).expect("the prelude is correct");
    let options = IsolateOptions {
        memory_bytes_max: 128 << 20,
        call_bytes_max: 128 << 20,
        stack_bytes_max: 1 << 20,
        modules: Arc::new(Modules(HashMap::from(compiled))),
        prelude: Arc::from([prelude]),
    };
    let mut isolate = Isolate::new(options, host)?;
    isolate.evaluate(host, "app.js")?;
    isolate.seal();
    Ok(isolate)
}

fn call(isolate: &mut Isolate, host: &mut Answers, export: &str) -> Result<(), Failure> {
    let args = r#"[{"from":"a","to":"b","amount":1}]"#;
    let start = ["app.js", export, args].map(|text| HostValue::String(text.to_owned()));
    isolate.call(host, "start", &start)?;
    isolate.run_jobs(host)?;
    let answer = r#"{"_id":"a","_creationTime":1700000000000,"balance":100,"name":"Ann"}"#;
    while host.pending > 0 {
        host.pending -= 1;
        isolate.call(host, "complete", &[HostValue::String(answer.to_owned())])?;
        isolate.run_jobs(host)?;
    }
    isolate.call(host, "status", &[])?;
    Ok(())
}

/// The shortest and the middle duration.
fn spread(mut durations: Vec<Duration>) -> (Duration, Duration) {
    durations.sort_unstable();
    (durations[0], durations[durations.len() / 2])
}

fn measure(parts: usize) -> Result<(), Failure> {
    let mut host = Answers { pending: 0 };
    let began = Instant::now();
    let mut isolate = isolate(parts, &mut host)?;
    println!(
        "image {} KB, made and sealed in {:.1?}, resident {} KB",
        isolate.image_bytes() >> 10,
        began.elapsed(),
        isolate.resident_bytes() >> 10
    );
    for export in ["nothing", "transfer"] {
        call(&mut isolate, &mut host, export)?;
        let changed = isolate.changed_bytes();
        isolate.restore();
        let (mut calls, mut restores, mut engine) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..2000 {
            let began = Instant::now();
            call(&mut isolate, &mut host, export)?;
            calls.push(began.elapsed());
            engine.push(isolate.cpu_used());
            let began = Instant::now();
            isolate.restore();
            restores.push(began.elapsed());
        }
        let (call, restore, engine) = (spread(calls), spread(restores), spread(engine));
        println!(
            "  {export:9} call {:.1?} (middle {:.1?}, in the engine {:.1?}), restore {:.1?} (middle {:.1?}), changed pages {}",
            call.0,
            call.1,
            engine.1,
            restore.0,
            restore.1,
            changed >> 12
        );
    }
    println!(
        "  after 4000 calls: resident {} KB",
        isolate.resident_bytes() >> 10,
    );
    Ok(())
}

fn main() -> Result<(), Failure> {
    println!("engine {}", vestibule_isolate::engine_version());
    for parts in [0, 60, 1000, 4000] {
        measure(parts)?;
    }
    Ok(())
}
