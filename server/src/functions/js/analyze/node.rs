//! The registrations of modules for Node.js, found without Node.js: they are evaluated with stand-ins for all their
//! imports from there. Where that fails, their exports are taken for actions, so that the app's other modules can be
//! pushed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use vestibule_isolate::{Bytecode, ModuleSource, compile_module};

use super::Evaluator;
use crate::deployment::modules::is_entry_point;
use crate::deployment::{
    AnalyzeError, AnalyzedFunction, FunctionKind, ImportPhase, ModuleAnalysis, SourceModule,
    Visibility,
};
use crate::functions::js::Js;
use crate::functions::js::code::Code;

/// The module that makes the globals of Node.js and the stand-in.
const GLOBALS: &str = "node:globals";
/// The name of the stand-in among the globals.
const STAND_IN: &str = "__standIn";

/// The stand-in answers every access with itself.
const GLOBALS_SOURCE: &str = r#"
const standIn = new Proxy(function () {}, {
  get: (target, name) => {
    if (Object.hasOwn(target, name)) return target[name];
    if (name === "then") return undefined;
    if (name === Symbol.toPrimitive) return () => "";
    if (name === Symbol.iterator) return function* () {};
    return standIn;
  },
  apply: () => standIn,
  construct: () => standIn,
});
Object.assign(globalThis, {
  __standIn: standIn, global: globalThis, Buffer: standIn, require: standIn, module: { exports: {} }, exports: {},
  __dirname: "/", __filename: "/index.js", setImmediate: standIn, clearImmediate: standIn,
});
"#;

/// The registrations of each entry point among `modules`, by path.
pub(super) fn analyze(
    js: &Js,
    modules: &[SourceModule],
    variables: &BTreeMap<String, String>,
    import: &ImportPhase,
) -> Result<BTreeMap<String, ModuleAnalysis>, AnalyzeError> {
    let mut entry_points = modules
        .iter()
        .filter(|module| is_entry_point(&module.path))
        .peekable();
    if entry_points.peek().is_none() {
        return Ok(BTreeMap::new());
    }
    let code = Code::compile(&js.compiled, modules, variables.clone(), import.clone());
    let code = Arc::new(code);
    let source = Arc::new(WithStandIns {
        stand_ins: stand_ins(&code, modules),
        code: code.clone(),
    });
    let analyzed = entry_points.map(|module| {
        // One that fails leaves its engine in no state to go on with.
        let mut evaluator = Evaluator::new(&code, source.clone())?;
        let prepared = evaluator.isolate.evaluate(&mut evaluator.host, GLOBALS);
        let found = match prepared {
            Ok(()) => evaluator.module(&module.path),
            Err(_) => Err(AnalyzeError::Unsupported),
        };
        let found = found.unwrap_or_else(|error| {
            tracing::info!(path = module.path, %error, "a module for Node.js is known by its exports alone");
            by_exports(&module.source)
        });
        Ok((module.path.clone(), found))
    });
    analyzed.collect()
}

/// The modules of a push, and stand-ins for what they import from elsewhere.
struct WithStandIns {
    code: Arc<Code>,
    stand_ins: HashMap<String, Arc<Bytecode>>,
}

impl ModuleSource for WithStandIns {
    fn bytecode(&self, name: &str) -> Option<Arc<Bytecode>> {
        let stand_in = self.stand_ins.get(name).cloned();
        stand_in.or_else(|| self.code.bytecode(name))
    }

    fn is_external(&self, name: &str) -> bool {
        self.stand_ins.contains_key(name)
    }
}

/// A stand-in for each module that `modules` import from elsewhere, with the exports that they name.
fn stand_ins(code: &Code, modules: &[SourceModule]) -> HashMap<String, Arc<Bytecode>> {
    let mut exports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for module in modules {
        let bytecode = code.bytecode(&module.path);
        let imports = bytecode.iter().flat_map(|bytecode| bytecode.imports());
        for import in imports.filter(|import| !import.starts_with('.')) {
            let named = exports.entry(import.clone()).or_default();
            named.extend(names_from(&module.source, import));
        }
    }
    let mut stand_ins = HashMap::new();
    let mut add = |name: &str, source: &str| {
        // A name that cannot be compiled fails every importer, as a missing module does.
        if let Ok(bytecode) = compile_module(name, source) {
            stand_ins.insert(name.to_owned(), Arc::new(bytecode));
        }
    };
    add(GLOBALS, GLOBALS_SOURCE);
    for (import, names) in exports {
        let names = names.iter().filter(|name| *name != "default");
        let listed: String = names.map(|name| format!(", it as {name}")).collect();
        let source =
            format!("const it = globalThis.{STAND_IN};\nexport {{ it as default{listed} }};\n");
        add(&import, &source);
    }
    stand_ins
}

/// The names that `source` imports or exports again from `import`.
fn names_from(source: &str, import: &str) -> Vec<String> {
    let quoted = [format!("\"{import}\""), format!("'{import}'")];
    let places = quoted
        .iter()
        .flat_map(|quoted| source.match_indices(quoted.as_str()));
    let clauses = places.filter_map(|(at, _)| {
        let before = source[..at].trim_end().strip_suffix("from")?.trim_end();
        let (open, close) = (before.rfind('{')?, before.strip_suffix('}')?.len());
        before.get(open + 1..close)
    });
    clauses.flat_map(|clause| names_in(clause, 0)).collect()
}

/// The first or last word of each entry of a clause, as `a` or `b` in `a as b`.
fn names_in(clause: &str, word: usize) -> Vec<String> {
    let entries = clause.split(',');
    let names = entries.filter_map(|entry| {
        let mut words = entry.split_whitespace().filter(|word| *word != "as");
        let first = words.next()?;
        match word {
            0 => Some(first),
            _ => Some(words.next().unwrap_or(first)),
        }
    });
    let is_name = |name: &&str| {
        let mut characters = name.chars();
        characters
            .next()
            .is_some_and(|first| first.is_alphabetic() || first == '_' || first == '$')
            && characters.all(|other| other.is_alphanumeric() || other == '_' || other == '$')
    };
    names.filter(is_name).map(str::to_owned).collect()
}

/// An action for each name that a bundled module exports: bundles end in one clause with all of them.
fn by_exports(source: &str) -> ModuleAnalysis {
    let clause = source.rfind("export {").and_then(|at| {
        let rest = &source[at + "export {".len()..];
        rest.split_once('}').map(|(clause, _)| clause)
    });
    let names = clause.map(|clause| names_in(clause, 1)).unwrap_or_default();
    let functions = names.into_iter().map(|name| AnalyzedFunction {
        name,
        kind: FunctionKind::Action,
        visibility: Some(Visibility::Public),
        args: None,
        returns: None,
        line: None,
        column: None,
    });
    ModuleAnalysis {
        functions: functions.collect(),
        ..ModuleAnalysis::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_imports_and_exports_are_found() {
        let source = "import a, { b as c, d } from \"crypto\";\nimport * as e from \"os\";\n\
                      import f from 'fs';\nexport { g as h } from \"crypto\";\nconst crypto = \"crypto\";";
        assert_eq!(names_from(source, "crypto"), ["b", "d", "g"]);
        assert_eq!(names_from(source, "os"), [""; 0]);
        assert_eq!(names_from(source, "fs"), [""; 0]);
        let found =
            by_exports("export { x as y };\nvar z;\nexport {\n  a as send,\n  hash\n};\n//# x");
        let names: Vec<&str> = found.functions.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["send", "hash"]);
    }
}
