//! The known functions, and that a head changes nothing but the time.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use vestibule_isolate::{
    Bytecode, Host, HostError, HostValue, Isolate, IsolateOptions, ModuleSource, compile_module,
    compile_script,
};

use super::super::code::{Code, CompiledModules};
use super::table::Head;
use super::{KnownCounts, MARK, with_heads};
use crate::deployment::{ImportPhase, ModuleEnvironment, SourceModule};

const VALUES: &str = include_str!("fixtures/values.js");
const PATH: &str = "messages.js";

fn headed(source: &str) -> (Cow<'_, str>, Vec<(&'static str, bool, u64)>) {
    headed_beside(source, &|path| (path == PATH).then_some(source))
}

fn headed_beside<'s>(
    source: &'s str,
    sources: &dyn Fn(&str) -> Option<&'s str>,
) -> (Cow<'s, str>, Vec<(&'static str, bool, u64)>) {
    let counts = KnownCounts::default();
    let (text, _) = with_heads(PATH, source, sources, &counts);
    (text, counts.counts())
}

const BOTH_KNOWN: [(&str, bool, u64); 2] =
    [("convexToJsonInternal", true, 1), ("jsonToConvex", true, 1)];

#[test]
fn a_known_function_gets_a_head_and_no_line_moves() {
    let (text, counts) = headed(VALUES);
    assert_eq!(counts, BOTH_KNOWN);
    for (line, (before, after)) in VALUES.lines().zip(text.lines()).enumerate() {
        assert!(after.starts_with(before), "line {line}: {after}");
    }
}

#[test]
fn a_bundlers_names_do_not_matter_and_everything_else_does() {
    let renamed = VALUES
        .replace("function b(", "function $1(")
        .replace("b(", "$1(")
        .replace("(b,", "($1,")
        .replace("b as ", "$1 as ");
    let (_, counts) = headed(&renamed);
    assert_eq!(counts, BOTH_KNOWN);
    // In a helper, and in a constant that a helper uses.
    for (from, to) in [("startsWith(\"$\")", "startsWith(\"_\")"), ("1024", "1025")] {
        let changed = VALUES.replace(from, to);
        assert_ne!(changed, VALUES);
        let (text, counts) = headed(&changed);
        let unknown = [
            ("convexToJsonInternal", false, 1),
            ("jsonToConvex", false, 1),
        ];
        assert_eq!(counts, unknown, "{from}");
        assert!(matches!(text, Cow::Borrowed(_)));
    }
}

#[test]
fn the_bundlers_own_helper_may_be_imported_and_no_other() {
    let lines: Vec<&str> = VALUES.lines().collect();
    let namer = lines
        .iter()
        .position(|line| line.starts_with("var i = "))
        .unwrap();
    let mut imports_namer = lines.clone();
    imports_namer[namer] = "import { a as i } from \"./_deps/helper.js\";";
    assert_eq!(headed(&imports_namer.join("\n")).1, BOTH_KNOWN);
    let imports_a_bound = VALUES.replace(
        ", N = 1024;",
        ";\nimport { a as N } from \"./_deps/other.js\";",
    );
    assert_ne!(imports_a_bound, VALUES);
    let unknown = [
        ("convexToJsonInternal", false, 1),
        ("jsonToConvex", false, 1),
    ];
    assert_eq!(headed(&imports_a_bound).1, unknown);
}

/// The conversion of values with one of its constants in another module.
fn split() -> String {
    let split = VALUES.replace(
        ", N = 1024;",
        ";\nimport { a as N } from \"./_deps/other.js\";",
    );
    assert_ne!(split, VALUES);
    split
}

const OTHER: &str = "var Z = 1024, Y = 1;\nexport {\n  Y,\n  Z as a\n};\n";

#[test]
fn a_helper_may_be_in_another_module() {
    let split = split();
    let unknown = [
        ("convexToJsonInternal", false, 1),
        ("jsonToConvex", false, 1),
    ];
    let passed_on = "import{a as c}from\"./third.js\";export{c as a};";
    let endless = "import{a as c}from\"./other.js\";export{c as a};";
    for (other, expected) in [
        (OTHER, BOTH_KNOWN),
        (passed_on, BOTH_KNOWN),
        (endless, unknown),
        ("var Z = 1025;export{Z as a};", unknown),
        ("var Z = 1024;export{Z as b};", unknown),
        ("var Z = 1024;", unknown),
        ("var Z = `", unknown),
        ("import * as a from\"./third.js\";export{a};", unknown),
    ] {
        let sources = |path: &str| match path {
            PATH => Some(split.as_str()),
            "_deps/other.js" => Some(other),
            "_deps/third.js" => Some(OTHER),
            _ => None,
        };
        assert_eq!(headed_beside(&split, &sources).1, expected, "{other}");
    }
}

#[test]
fn another_helper_compiles_its_users_anew() {
    let known = CompiledModules::default();
    let push = |other: &str| {
        let texts = [(PATH, split()), ("_deps/other.js", other.to_owned())];
        let modules = texts.map(|(path, text)| SourceModule {
            path: path.to_owned(),
            environment: ModuleEnvironment::Isolate,
            source: Arc::from(text),
            source_map: None,
        });
        Code::compile(&known, &modules, BTreeMap::new(), ImportPhase::default());
        let counts = known.heads.counts().into_iter();
        let counts = counts.filter(|(name, ..)| *name == "jsonToConvex");
        counts
            .map(|(_, is_known, count)| (is_known, count))
            .collect::<Vec<_>>()
    };
    assert_eq!(push(OTHER), [(true, 1)]);
    assert_eq!(push(OTHER), [(true, 1)]);
    assert_eq!(
        push("var Z = 1025;export{Z as a};"),
        [(false, 1), (true, 1)]
    );
    assert_eq!(push(OTHER), [(false, 1), (true, 2)]);
}

#[test]
fn a_bundle_that_is_not_understood_runs_as_it_is() {
    for source in [
        format!("{VALUES}\nlet open = `"),
        format!("{VALUES}\nlet __vestibule_r = 1;"),
        VALUES[..VALUES.len() / 2].to_owned(),
        "n(M, \"convexToJsonInternal\")".to_owned(),
        "\"convexToJsonInternal\"".to_owned(),
    ] {
        let (text, counts) = headed(&source);
        assert!(matches!(text, Cow::Borrowed(_)), "{text}");
        assert!(counts.iter().all(|(_, is_known, _)| !is_known));
    }
}

const PRELUDE: &str = r#"
(() => {
  const register = __register, module = __module;
  register("compare", (seed, count) => module("compare.js").compare(seed, count));
})();
"#;

struct NoHost;

impl Host for NoHost {
    fn call(&mut self, op: &str, _args: &mut [HostValue]) -> Result<HostValue, HostError> {
        panic!("{op} is asked for")
    }
}

struct Modules(HashMap<&'static str, Arc<Bytecode>>);

impl ModuleSource for Modules {
    fn bytecode(&self, name: &str) -> Option<Arc<Bytecode>> {
        self.0.get(name).cloned()
    }
}

fn isolate() -> Isolate {
    let (Cow::Owned(native), _) = headed(VALUES) else {
        panic!("nothing is known")
    };
    let sources = [
        ("native.js", native.as_str()),
        ("plain.js", VALUES),
        ("compare.js", include_str!("fixtures/compare.js")),
    ];
    let compiled = sources.map(|(name, source)| {
        let bytecode = compile_module(name, source).unwrap_or_else(|thrown| panic!("{thrown:?}"));
        (name, Arc::new(bytecode))
    });
    let options = IsolateOptions {
        memory_bytes_max: 128 << 20,
        call_bytes_max: 128 << 20,
        stack_bytes_max: 4 << 20,
        modules: Arc::new(Modules(compiled.into())),
        prelude: Arc::from([compile_script("prelude.js", PRELUDE).unwrap()]),
    };
    let mut isolate = Isolate::new(options, &mut NoHost).unwrap();
    isolate.evaluate(&mut NoHost, "compare.js").unwrap();
    isolate.seal();
    isolate
}

#[test]
fn a_head_answers_what_the_packages_own_code_answers() {
    // Deep values take another stack with heads than without: both have to have enough.
    let compared = std::thread::Builder::new()
        .stack_size(crate::functions::workers::WORKER_STACK_BYTES)
        .spawn(compare);
    compared.unwrap().join().unwrap();
}

fn compare() {
    let mut isolate = isolate();
    for seed in 0..40 {
        let args = [HostValue::Number(f64::from(seed)), HostValue::Number(50.0)];
        let said = isolate.call(&mut NoHost, "compare", &args).unwrap();
        let HostValue::String(said) = said else {
            panic!("{said:?}")
        };
        assert_eq!(said, "150 equal", "seed {seed}");
        isolate.restore();
        assert!(isolate.is_at_image());
    }
}

#[test]
fn scrypt_has_a_head_where_its_bound_of_memory_suffices() {
    let head = Head::Scrypt.text(&["p", "s", "o"]).unwrap();
    let script = format!(
        r#"(() => {{
          const {MARK}call = () => new ArrayBuffer(1);
          const run = (p, s, o) => {{ {head} return "own"; }};
          const isNative = (maxmem) => run("a", "b", {{ N: 1024, r: 8, p: 1, maxmem }}) !== "own";
          const uses = 128 * 8 * (1024 + 1 + 1);
          const bounds = [undefined, uses, 2 * uses, uses - 1, uses + 0.5, Infinity, NaN, `${{uses}}`, 2 ** 60, null];
          const told = bounds.map(isNative).join();
          if (told !== "true,true,true" + ",false".repeat(7)) throw new Error(told);
        }})();"#
    );
    let options = IsolateOptions {
        memory_bytes_max: 128 << 20,
        call_bytes_max: 128 << 20,
        stack_bytes_max: 1 << 20,
        modules: Arc::new(Modules(HashMap::new())),
        prelude: Arc::from([compile_script("prelude.js", &script).unwrap()]),
    };
    Isolate::new(options, &mut NoHost).unwrap();
}
