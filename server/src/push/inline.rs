//! Running a query that a tool sends as a text. Nothing of it is kept.

use std::sync::Arc;

use vestibule_schema::path::{ComponentPath, FunctionPath};
use vestibule_schema::value::Value;

use super::Pushes;
use super::error::PushError;
use crate::auth::Caller;
use crate::deployment::modules::check_module_path;
use crate::deployment::{AnalyzeError, DeploymentError, ModuleEnvironment, SourceModule};
use crate::functions::js::InlineQuery;
use crate::functions::{Call, CallSource, Error, FunctionOutcome, QueryOutcome, RequestMetadata};

/// Bytes of a text.
const INLINE_QUERY_BYTES_MAX: usize = 1 << 20;

const SUSPENDED: &str = "the caller's identity cannot be seen";

/// A query as a tool sends it.
pub struct InlineSource {
    /// The path of its module, which is stored nowhere.
    pub path: String,
    pub source: String,
    /// The component whose tables it reads.
    pub component: ComponentPath,
}

/// How an inline query ended.
pub struct InlineRun {
    pub outcome: FunctionOutcome,
    pub log_lines: Vec<String>,
}

impl Pushes {
    /// Runs the query that the module `source` exports as its default.
    pub async fn run_inline(
        &self,
        query: InlineSource,
        args: Value,
        caller: Caller,
        request: Arc<RequestMetadata>,
    ) -> Result<InlineRun, PushError> {
        let InlineSource {
            path,
            source,
            component,
        } = query;
        check_module_path(&path).map_err(DeploymentError::from)?;
        if source.len() > INLINE_QUERY_BYTES_MAX {
            return Err(DeploymentError::ModulesTooLarge(source.len()).into());
        }
        let js = self.js.as_ref().ok_or(AnalyzeError::Unsupported)?;
        let function =
            FunctionPath::new(&path, "default").expect("the path of a module was checked");
        let function = function.in_component(component);
        let module = SourceModule {
            path,
            environment: ModuleEnvironment::Isolate,
            source: source.into(),
            source_map: None,
        };
        let live = self.live();
        let variables = self.visible_variables(&live);
        let import = live.import.clone();
        let query = match InlineQuery::new(js, &module, function.clone(), variables, import) {
            Ok(query) => query,
            Err(error) => {
                return Ok(InlineRun {
                    outcome: FunctionOutcome::Threw(error.into_thrown()),
                    log_lines: Vec::new(),
                });
            }
        };
        let call = Call {
            path: function,
            args,
            caller,
            source: CallSource::Request(request, None),
        };
        let run = self.functions.query_inline(Arc::new(query), call).await?;
        match run.outcome {
            QueryOutcome::Done(outcome) => Ok(InlineRun {
                outcome,
                log_lines: run.log_lines,
            }),
            QueryOutcome::Suspended => Ok(InlineRun {
                outcome: FunctionOutcome::Threw(Error::new(SUSPENDED).into_thrown()),
                log_lines: run.log_lines,
            }),
        }
    }
}
