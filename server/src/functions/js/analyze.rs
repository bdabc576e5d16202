//! The registrations of pushed modules: each module is evaluated as at import, then asked for them.

mod node;

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use vestibule_isolate::{Failure, HostValue, Isolate, IsolateOptions, ModuleSource, Thrown};

use super::Js;
use super::code::{Code, CompiledModules};
use super::execution::IntoValue;
use super::failures;
use super::import::ImportHost;
use super::node::FoundInNode;
use super::prelude;
use super::runtimes::MEMORY_BYTES_MAX;
use super::stack::Places;
use crate::deployment::modules::{AUTH_CONFIG_MODULE, is_entry_point};
use crate::deployment::{
    Analysis, AnalyzeError, AnalyzeInput, AnalyzedFunction, Analyzer, ImportPhase, ModuleAnalysis,
    ModuleEnvironment, SourceModule,
};
use crate::functions::workers::WORKER_STACK_BYTES;

/// Time in the engine that one module of a push may take.
const MODULE_ANALYSIS_TIME_MAX: Duration = Duration::from_secs(4);
/// Time that all modules may take together.
pub(super) const ANALYSIS_TIME_MAX: Duration = Duration::from_secs(30);
const STACK_BYTES_MAX: usize = 4 << 20;
/// Where definitions import components from: each under its path in base64url.
const COMPONENTS_FOLDER: &str = "_componentDeps/";

impl Analyzer for Js {
    fn analyze(self: Arc<Self>, input: AnalyzeInput) -> Result<Analysis, AnalyzeError> {
        let found = self.analyze_in_node(&input)?;
        // Evaluating needs an engine's stack, which threads of the async runtime do not have.
        let (js, (tell, told)) = (self.clone(), mpsc::sync_channel(1));
        let analyze = move || drop(tell.send(js.analyze_here(input, found)));
        let executor = &self.options.executor;
        let started = executor.start("analyze", WORKER_STACK_BYTES, Box::new(analyze));
        started.map_err(|error| {
            tracing::error!(%error, "no thread to analyze modules on");
            AnalyzeError::Broken
        })?;
        // Nothing is told by a thread that panicked.
        told.recv().unwrap_or(Err(AnalyzeError::Broken))
    }
}

impl Js {
    /// `found` is what Node.js has found in the modules for it, where it was asked.
    fn analyze_here(
        &self,
        input: AnalyzeInput,
        found: Option<FoundInNode>,
    ) -> Result<Analysis, AnalyzeError> {
        let import = ImportPhase {
            seed: input.seed,
            time_millis: input.time_millis,
        };
        let (isolate, node): (Vec<_>, Vec<_>) = input
            .modules
            .into_iter()
            .partition(|module| module.environment == ModuleEnvironment::Isolate);
        let variables = input.variables;
        let mut analysis = Analysis {
            modules: match found {
                Some(found) => found,
                None => node::analyze(self, &node, &variables, &import)?,
            },
            ..Analysis::default()
        };
        let code = self.code(&isolate, variables, import.clone());
        let mut app = Evaluator::new(&code, code.clone())?;
        for module in &isolate {
            if !is_entry_point(&module.path) {
                continue;
            }
            let found = app.module(&module.path)?;
            analysis.modules.insert(module.path.clone(), found);
        }
        if isolate
            .iter()
            .any(|module| module.path == AUTH_CONFIG_MODULE)
        {
            analysis.auth_config = Some(app.auth_config()?);
        }
        let alone = |modules: &[SourceModule]| {
            // It is evaluated once, for which no function needs a native head.
            let compiled = CompiledModules::plain();
            let code = Code::compile(&compiled, modules, BTreeMap::new(), import.clone());
            let code = Arc::new(code);
            Evaluator::new(&code, code.clone())
        };
        if let Some(schema) = &input.schema {
            let mut evaluator = alone(std::slice::from_ref(schema))?;
            analysis.schema = Some(evaluator.schema(&schema.path)?);
        }
        if let Some(definition) = input.definition {
            let path = definition.path.clone();
            let components = input.components.iter().map(component_module);
            let modules: Vec<SourceModule> = components.chain([definition]).collect();
            analysis.definition = Some(alone(&modules)?.definition(&path)?);
        }
        Ok(analysis)
    }
}

/// The module that a definition's import of a component finds: the place of the component's own definition, and its
/// name there.
fn component_module((path, name): (&String, &String)) -> SourceModule {
    let exported = serde_json::json!({"componentDefinitionPath": path, "defaultName": name});
    SourceModule {
        path: format!(
            "{COMPONENTS_FOLDER}{}",
            BASE64URL_NOPAD.encode(path.as_bytes())
        ),
        environment: ModuleEnvironment::Isolate,
        source: format!("export default {exported};").into(),
        source_map: None,
    }
}

/// One engine in which modules are evaluated one after another.
struct Evaluator {
    isolate: Isolate,
    host: ImportHost,
    code: Arc<Code>,
}

/// The driver's report on one module.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    #[serde(default)]
    pub functions: Vec<FoundFunction>,
    #[serde(default)]
    http_routes: Option<Vec<(String, String)>>,
    #[serde(default)]
    crons: Option<String>,
    #[serde(default)]
    not_router: bool,
    #[serde(default)]
    not_crons: bool,
}

/// The driver's report on a schema or a definition.
#[derive(Deserialize)]
struct Exported {
    text: Option<String>,
    refused: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct FoundFunction {
    name: String,
    kind: String,
    visibility: Option<crate::deployment::Visibility>,
    args: Option<String>,
    returns: Option<String>,
    /// The module in which its handler begins, with line and column, both from one.
    place: Option<(String, u32, u32)>,
}

/// Line and column of a handler in the file that became the module at `path`. A handler that another file made has none there.
fn original_place(
    code: &impl Places,
    path: &str,
    place: &(String, u32, u32),
) -> Option<(u32, u32)> {
    let (module, line, column) = place;
    let (file, line, column) = code.original(module, *line, column.saturating_sub(1))?;
    let stem = |path: &str| path.rsplit_once('.').map(|(stem, _)| stem.to_owned());
    let (file, path) = (stem(&file)?, stem(path)?);
    let is_the_modules = file == path || file.ends_with(&format!("/{path}"));
    is_the_modules.then_some((line, column))
}

/// The functions that were found in the module at `path`, in the order of its file.
pub(super) fn functions_of(
    found: Vec<FoundFunction>,
    code: &impl Places,
    path: &str,
) -> Vec<AnalyzedFunction> {
    let functions = found.into_iter().map(|function| {
        let place = function.place.as_ref();
        let place = place.and_then(|place| original_place(code, path, place));
        AnalyzedFunction {
            kind: match function.kind.as_str() {
                "query" => crate::deployment::FunctionKind::Query,
                "mutation" => crate::deployment::FunctionKind::Mutation,
                _ => crate::deployment::FunctionKind::Action,
            },
            name: function.name,
            visibility: function.visibility,
            args: function.args,
            returns: function.returns,
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
        }
    });
    let mut functions: Vec<_> = functions.collect();
    functions.sort_by_key(|function| function.line);
    functions
}

impl Evaluator {
    /// An engine for `modules`, which are those of `code` or those and more.
    fn new(code: &Arc<Code>, modules: Arc<dyn ModuleSource>) -> Result<Evaluator, AnalyzeError> {
        let options = IsolateOptions {
            memory_bytes_max: 4 * MEMORY_BYTES_MAX,
            call_bytes_max: 4 * MEMORY_BYTES_MAX,
            stack_bytes_max: STACK_BYTES_MAX,
            modules,
            prelude: prelude::compiled(),
        };
        let mut host = ImportHost::new(code);
        let isolate = Isolate::new(options, &mut host);
        let mut isolate = isolate.map_err(|_| AnalyzeError::Unsupported)?;
        isolate.set_budget(MODULE_ANALYSIS_TIME_MAX);
        Ok(Evaluator {
            isolate,
            host,
            code: code.clone(),
        })
    }

    /// Begins with another module, which has its own time, of the time that all have.
    fn restart(&mut self) {
        self.host.restart();
        let until = self.isolate.cpu_used() + MODULE_ANALYSIS_TIME_MAX;
        self.isolate.set_budget(until.min(ANALYSIS_TIME_MAX));
    }

    fn ask(&mut self, function: &str, args: &[HostValue]) -> Result<String, Failure> {
        match self.isolate.call(&mut self.host, function, args)? {
            HostValue::String(text) => Ok(text),
            _ => Ok("null".to_owned()),
        }
    }

    /// The bound that an evaluation met which ran out of time.
    fn time_max(&self) -> Duration {
        match self.isolate.cpu_used() < ANALYSIS_TIME_MAX {
            true => MODULE_ANALYSIS_TIME_MAX,
            false => ANALYSIS_TIME_MAX,
        }
    }

    fn text_of(&self, failure: &Failure) -> String {
        failures::of(failure, &self.code, MODULE_ANALYSIS_TIME_MAX).to_string()
    }

    fn module(&mut self, path: &str) -> Result<ModuleAnalysis, AnalyzeError> {
        self.restart();
        let found = self.try_module(path);
        let found = found.map_err(|failure| match failure {
            Failure::TimedOut => AnalyzeError::TimedOut {
                path: path.to_owned(),
                seconds: self.time_max().as_secs(),
            },
            failure => {
                let mut error = self.text_of(&failure);
                for line in self.host.console.lines() {
                    error.push('\n');
                    error.push_str(line);
                }
                AnalyzeError::Module {
                    path: path.to_owned(),
                    error,
                }
            }
        })?;
        if found.not_router {
            return Err(AnalyzeError::NotRouter);
        }
        if found.not_crons {
            return Err(AnalyzeError::NotCrons);
        }
        let functions = functions_of(found.functions, &self.code, path);
        Ok(ModuleAnalysis {
            functions,
            http_routes: found.http_routes,
            crons: found.crons,
        })
    }

    /// Evaluates a module. Where one that it imports cannot be compiled, the failure is that one's.
    fn evaluate(&mut self, path: &str) -> Result<(), Failure> {
        let evaluated = self.isolate.evaluate(&mut self.host, path);
        evaluated.map_err(|failure| match &failure {
            Failure::Threw(thrown) => match self.code.compile_error_of_import(thrown) {
                Some(error) => Failure::Threw(error.clone()),
                None => failure,
            },
            _ => failure,
        })
    }

    fn try_module(&mut self, path: &str) -> Result<Found, Failure> {
        if let Some(error) = self.code.compile_error(path) {
            return Err(Failure::Threw(error.clone()));
        }
        self.evaluate(path)?;
        let text = self.ask("analyze", &[path.into_value()])?;
        self.isolate.run_jobs(&mut self.host)?;
        // A module may break what the driver writes with.
        serde_json::from_str(&text).map_err(|error| {
            Failure::Threw(Thrown {
                name: "Error".to_owned(),
                message: format!("The module's registrations cannot be read: {error}"),
                ..Thrown::default()
            })
        })
    }

    fn auth_config(&mut self) -> Result<String, AnalyzeError> {
        self.restart();
        self.host.refuse_chance("auth config file");
        let evaluated = self
            .evaluate(AUTH_CONFIG_MODULE)
            .and_then(|()| self.ask("defaultJson", &[AUTH_CONFIG_MODULE.into_value()]));
        if let Some(name) = self.host.missing_variable.take() {
            return Err(AnalyzeError::AuthConfigVariable(name));
        }
        evaluated.map_err(|failure| AnalyzeError::AuthConfig(self.text_of(&failure)))
    }

    fn exported(&mut self, path: &str, missing: &str, wrong: &str) -> Result<String, String> {
        self.restart();
        if let Some(error) = self.code.compile_error(path) {
            return Err(self.text_of(&Failure::Threw(error.clone())));
        }
        let args = [path.into_value(), missing.into_value(), wrong.into_value()];
        let evaluated = self.evaluate(path);
        let exported = evaluated.and_then(|()| self.ask("exported", &args));
        let exported = exported.map_err(|failure| self.text_of(&failure))?;
        let Exported { text, refused } = serde_json::from_str(&exported)
            .map_err(|error| format!("The default export cannot be read: {error}"))?;
        match refused {
            Some(refused) => Err(refused),
            None => Ok(text.unwrap_or_default()),
        }
    }

    fn schema(&mut self, path: &str) -> Result<String, AnalyzeError> {
        self.host
            .refuse_variables("Environment variables unsupported when evaluating schema");
        let exported = self.exported(
            path,
            "Schema file missing default export. To learn more, see the schema documentation at \
             https://docs.convex.dev/database/schemas.",
            "Default export from schema file isn't a Convex schema. To learn more, see the schema documentation at \
             https://docs.convex.dev/database/schemas.",
        );
        exported.map_err(AnalyzeError::Schema)
    }

    fn definition(&mut self, path: &str) -> Result<String, AnalyzeError> {
        let exported = self.exported(
            path,
            "convex.config.js has no default export.",
            "The default export of convex.config.js is not an app definition.",
        );
        exported.map_err(AnalyzeError::Definition)
    }
}
