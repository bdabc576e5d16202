//! Queries that a tool sends as a text and that are never pushed: one module, which may import what makes it a query.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use vestibule_isolate::{Bytecode, Failure, compile_module};
use vestibule_schema::path::FunctionPath;
use vestibule_schema::validator::Validator;

use super::Js;
use super::code::Code;
use super::failures;
use crate::deployment::{ImportPhase, SourceModule};
use crate::functions::error::Result;
use crate::functions::function::{FunctionKind, Visibility};
use crate::functions::registry::{Pushed, Registered};

/// The import of the module.
const WRAPPERS: &str = "convex:/_system/repl/wrappers.js";

/// A query that was sent as a text. Its engine ends with it.
pub struct InlineQuery {
    js: Arc<Js>,
    code: Arc<Code>,
    pub(in crate::functions) function: Registered,
}

impl InlineQuery {
    /// Compiles the query that `module` exports as its default.
    pub fn new(
        js: &Arc<Js>,
        module: &SourceModule,
        path: FunctionPath,
        variables: BTreeMap<String, String>,
        import: ImportPhase,
    ) -> Result<InlineQuery> {
        let code = Code::compile(&js.compiled, [module], variables, import);
        let code = Arc::new(code.with_external(wrappers()));
        if let Some(error) = code.compile_error(&module.path) {
            return Err(failures::at_import(&Failure::Threw(error.clone()), &code));
        }
        let kind = FunctionKind::Query;
        let function = Registered {
            visibility: Visibility::Public,
            args: Validator::Any,
            returns: None,
            body: js.body(kind, &path, &code),
            is_beside: false,
            pushed: Some(Pushed {
                code: code.clone(),
                node: None,
            }),
            tally: Arc::default(),
            path,
        };
        let js = js.clone();
        Ok(InlineQuery { js, code, function })
    }
}

impl Drop for InlineQuery {
    fn drop(&mut self) {
        self.js.runtimes.retire(&self.code);
    }
}

fn wrappers() -> Arc<Bytecode> {
    static COMPILED: OnceLock<Arc<Bytecode>> = OnceLock::new();
    let compile = || {
        let compiled = compile_module(WRAPPERS, include_str!("repl.js"));
        Arc::new(compiled.expect("the server's own module compiles"))
    };
    COMPILED.get_or_init(compile).clone()
}
