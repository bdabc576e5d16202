//! Compares the package's conversion of values with its native counterpart, in turns: `cargo run -p vestibule-isolate --example convert`.
//!
//! A list of 50 documents as a query returns it, and a transfer's share: arguments, two documents read, two patches, a result. The
//! package's code is the fixture of the server's tests. Figures are ratios: treat times as rough on a busy machine.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vestibule_isolate::{
    Bytecode, Failure, Host, HostError, HostValue, Isolate, IsolateOptions, ModuleSource,
    compile_module, compile_script,
};

const VALUES: &str = include_str!("../../src/functions/js/known/fixtures/values.js");

const PRELUDE: &str = r#"
(() => {
  const register = __register, module = __module;
  register("list", (name, text) => module(name).list(text));
  register("transfer", (name) => module(name).transfer());
  register("nothing", () => "");
})();
"#;

const APP: &str = r#"
const document = (i) => JSON.stringify({ _id: `k${i}`, _creationTime: 1700000000000.5 + i, author: "Ann", body: "Some words of a message",
  channel: "general", likes: i, tags: ["a", "b"], meta: { edited: false, at: null } });
export const list = () => {
  const rows = [];
  for (let i = 0; i < 50; i++) rows.push(jsonToConvex(JSON.parse(document(i))));
  return JSON.stringify(convexToJson(rows));
};
const account = JSON.stringify({ _id: "j57", _creationTime: 1700000000000.5, number: 17, balance: 1000000000 });
export const transfer = () => {
  jsonToConvex(JSON.parse('[{"from":1,"to":2,"amount":1}]'));
  for (let i = 0; i < 2; i++) {
    const found = jsonToConvex(JSON.parse(account));
    JSON.stringify({ id: convexToJson(found._id), value: patchValueToJson({ balance: found.balance - 1 }) });
  }
  return JSON.stringify(convexToJson(null));
};
"#;

struct NoHost;

impl Host for NoHost {
    fn call(&mut self, op: &str, _args: &mut [HostValue]) -> Result<HostValue, HostError> {
        Err(HostError::fatal(format!("{op} is asked for")))
    }
}

struct Modules(HashMap<&'static str, Arc<Bytecode>>);

impl ModuleSource for Modules {
    fn bytecode(&self, name: &str) -> Option<Arc<Bytecode>> {
        self.0.get(name).cloned()
    }
}

/// The fixture with heads as the server puts them.
fn with_heads() -> String {
    let head = |call: &str| format!("{{let r_={call};if(r_!==void 0)return r_}}");
    let to_json = head("toJson(t,n)");
    let from_json = head("fromJson(t)");
    let mut lines = Vec::new();
    for line in VALUES.lines() {
        let extra = match line {
            _ if line.starts_with("function g(t, e, r, n) {") => to_json.as_str(),
            _ if line.starts_with("function b(t) {") => from_json.as_str(),
            _ => "",
        };
        lines.push(format!("{line}{extra}"));
    }
    lines.push(
        "import{convexToJson as toJson,jsonToConvex as fromJson}from\"vestibule:known\";".into(),
    );
    lines.join("\n")
}

fn isolate() -> Result<Isolate, Failure> {
    let import = |from: &str| {
        format!("import {{ convexToJson, jsonToConvex, patchValueToJson }} from './{from}';\n{APP}")
    };
    let sources = [
        ("plain_values.js", VALUES.to_owned()),
        ("native_values.js", with_heads()),
        ("plain.js", import("plain_values.js")),
        ("native.js", import("native_values.js")),
    ];
    let compiled = sources.map(|(name, source)| {
        let bytecode = compile_module(name, &source).expect("the source is correct");
        (name, Arc::new(bytecode))
    });
    let options = IsolateOptions {
        memory_bytes_max: 128 << 20,
        call_bytes_max: 128 << 20,
        stack_bytes_max: 1 << 20,
        modules: Arc::new(Modules(compiled.into())),
        prelude: Arc::from(
            [compile_script("prelude.js", PRELUDE).expect("the prelude is correct")],
        ),
    };
    let mut isolate = Isolate::new(options, &mut NoHost)?;
    for module in ["plain.js", "native.js"] {
        isolate.evaluate(&mut NoHost, module)?;
    }
    isolate.seal();
    Ok(isolate)
}

fn main() -> Result<(), Failure> {
    // `convert plain list 1000` does one thing alone, for counting instructions.
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut isolate = isolate()?;
    let mut call = |module: &str, work: &str| -> Result<Duration, Failure> {
        let began = Instant::now();
        isolate.call(
            &mut NoHost,
            work,
            &[HostValue::String(format!("{module}.js"))],
        )?;
        let took = began.elapsed();
        isolate.restore();
        Ok(took)
    };
    if let [module, work, count] = words.as_slice() {
        for _ in 0..count.parse().unwrap_or(1) {
            call(module, work)?;
        }
        return Ok(());
    }
    for work in ["list", "transfer"] {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..500 {
            for (module, times) in ["plain", "native"].into_iter().zip(&mut times) {
                times.push(call(module, work)?);
            }
        }
        let [plain, native] = times.map(|mut times| {
            times.sort_unstable();
            (times[0], times[times.len() / 2])
        });
        println!(
            "{work:8} package {:.1?} (middle {:.1?}), native {:.1?} (middle {:.1?}), ratio {:.2}",
            plain.0,
            plain.1,
            native.0,
            native.1,
            plain.1.as_secs_f64() / native.1.as_secs_f64()
        );
    }
    Ok(())
}
