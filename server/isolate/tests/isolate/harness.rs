//! A small prelude, host and driver: as much of the real ones as the isolate's promises need.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use vestibule_isolate::{
    Bytecode, ErrorClass, Failure, Host, HostError, HostValue, Isolate, IsolateOptions,
    ModuleSource, compile_module, compile_script,
};

/// `start(module, export, args)` calls an export; `status()` says how it went; `complete(id, value)` answers one `Convex.later`.
const PRELUDE: &str = r#"
(() => {
  const host = __host, register = __register, module = __module, hasModule = __hasModule;
  const asyncContext = __asyncContext;
  for (const name of ["__host", "__register", "__module", "__hasModule"]) delete globalThis[name];
  const { parse, stringify } = JSON;
  const then = Promise.prototype.then;
  const waiting = new Map();
  let nextId = 0;
  let status = "";
  globalThis.Convex = {
    host: (op, ...args) => host(op, ...args),
    later: (op, arg) => new Promise((resolve) => {
      const id = nextId++;
      waiting.set(id, resolve);
      host("later", id, op, arg);
    }),
    module: (name) => module(name),
    hasModule: (name) => hasModule(name),
    context: () => asyncContext(),
    enter: (value) => asyncContext(value, true),
    within: (value, callback) => {
      const before = asyncContext();
      asyncContext(value);
      try { return callback(); } finally { asyncContext(before, true); }
    },
  };
  register("start", (name, key, args) => {
    status = "pending";
    const promise = (async () => module(name)[key](...parse(args)))();
    then.call(promise, (value) => { status = "=" + stringify(value ?? null); },
      (error) => { status = "failed"; throw error; });
  });
  register("status", () => status);
  register("complete", (id, value) => {
    const resolve = waiting.get(id);
    waiting.delete(id);
    resolve(value);
  });
  register("same", (value) => value);
  register("object", () => ({}));
})();
"#;

pub const MEMORY_BYTES_MAX: usize = 64 << 20;

pub struct Modules(HashMap<String, Arc<Bytecode>>);

impl ModuleSource for Modules {
    fn bytecode(&self, name: &str) -> Option<Arc<Bytecode>> {
        self.0.get(name).cloned()
    }
}

pub fn modules(sources: &[(&str, &str)]) -> Arc<Modules> {
    let compiled = sources.iter().map(|(name, source)| {
        let bytecode = compile_module(name, source).unwrap_or_else(|thrown| panic!("{thrown:?}"));
        ((*name).to_owned(), Arc::new(bytecode))
    });
    Arc::new(Modules(compiled.collect()))
}

/// Answers `echo`, `refuse`, `end`, `panic` and `work`, and keeps what came.
#[derive(Default)]
pub struct TestHost {
    pub calls: Vec<(String, Vec<HostValue>)>,
    pub waiting: Vec<(f64, HostValue)>,
    pub refuses_imports: bool,
}

impl Host for TestHost {
    fn call(&mut self, op: &str, args: &mut [HostValue]) -> Result<HostValue, HostError> {
        self.calls.push((op.to_owned(), args.to_vec()));
        let text = |position: usize| match args.get(position) {
            Some(HostValue::String(text)) => text.clone(),
            _ => String::new(),
        };
        match op {
            "echo" | "known.echo" => Ok(args.first().cloned().unwrap_or(HostValue::Undefined)),
            "later" => {
                let HostValue::Number(id) = args[0] else {
                    panic!("an id is a number")
                };
                self.waiting.push((id, args[2].clone()));
                Ok(HostValue::Undefined)
            }
            "refuse" => Err(HostError {
                data_json: args.get(2).map(|_| text(2)),
                ..HostError::new(
                    match text(0).as_str() {
                        "TypeError" => ErrorClass::TypeError,
                        "RangeError" => ErrorClass::RangeError,
                        "Error" => ErrorClass::Error,
                        name => ErrorClass::DomException(name.to_owned()),
                    },
                    text(1),
                )
            }),
            "end" => Err(HostError::fatal(text(0))),
            "panic" => panic!("the host is broken"),
            "work" | "known.work" => {
                let mut sum = 0_u64;
                for number in 0..200_000_000_u64 {
                    sum = std::hint::black_box(sum.wrapping_add(number));
                }
                Ok(HostValue::Number(sum as f64))
            }
            _ => Err(HostError::new(
                ErrorClass::Error,
                format!("Unknown operation {op}"),
            )),
        }
    }

    fn import(&mut self, specifier: &str) -> Result<(), HostError> {
        if !self.refuses_imports {
            return Ok(());
        }
        let message = format!("Can't dynamically import {specifier} in a query or mutation");
        Err(HostError::new(ErrorClass::TypeError, message))
    }
}

/// An isolate and its host.
pub struct Bench {
    pub isolate: Isolate,
    pub host: TestHost,
}

pub fn options(modules: Arc<dyn ModuleSource>) -> IsolateOptions {
    static COMPILED: OnceLock<Arc<[Bytecode]>> = OnceLock::new();
    let prelude = COMPILED.get_or_init(|| {
        let script = compile_script("prelude/00_core.js", PRELUDE).unwrap();
        Arc::from([script])
    });
    IsolateOptions {
        memory_bytes_max: MEMORY_BYTES_MAX,
        call_bytes_max: MEMORY_BYTES_MAX,
        stack_bytes_max: 512 << 10,
        modules,
        prelude: prelude.clone(),
    }
}

impl Bench {
    /// An isolate with these modules, nothing evaluated and not sealed.
    pub fn cold(sources: &[(&str, &str)]) -> Bench {
        let mut host = TestHost::default();
        let isolate = Isolate::new(options(modules(sources)), &mut host).unwrap();
        Bench { isolate, host }
    }

    /// An isolate with one module, `m.js`, evaluated and sealed.
    pub fn of(source: &str) -> Bench {
        let mut bench = Bench::cold(&[("m.js", source)]);
        bench.isolate.evaluate(&mut bench.host, "m.js").unwrap();
        bench.isolate.seal();
        bench
    }

    /// Calls an export to its end: its value as JSON, or how it failed.
    pub fn call(&mut self, export: &str, args: &str) -> Result<String, Failure> {
        let start = ["m.js", export, args].map(|text| HostValue::String(text.to_owned()));
        self.isolate.call(&mut self.host, "start", &start)?;
        loop {
            self.isolate.run_jobs(&mut self.host)?;
            if self.host.waiting.is_empty() {
                break;
            }
            let (id, value) = self.host.waiting.remove(0);
            let args = [HostValue::Number(id), value];
            self.isolate.call(&mut self.host, "complete", &args)?;
        }
        match self.isolate.call(&mut self.host, "status", &[])? {
            HostValue::String(status) => Ok(status.trim_start_matches('=').to_owned()),
            other => panic!("{other:?} is no status"),
        }
    }

    /// A call, then the restore, then the comparison of every byte.
    pub fn once(&mut self, export: &str, args: &str) -> Result<String, Failure> {
        let result = self.call(export, args);
        self.restore();
        result
    }

    pub fn restore(&mut self) {
        self.host.waiting.clear();
        self.isolate.restore();
        assert!(self.isolate.is_at_image());
    }
}

pub fn thrown(result: Result<String, Failure>) -> vestibule_isolate::Thrown {
    match result {
        Err(Failure::Threw(thrown)) => thrown,
        other => panic!("{other:?} is no thrown error"),
    }
}
