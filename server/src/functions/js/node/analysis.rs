//! The registrations of modules for Node.js, as Node.js finds them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::runtime::Handle;

use super::code::{CodeParts, NodeCode};
use super::frames::ToNode;
use super::process::{Event, Seat};
use super::program::Program;
use super::{Node, for_node};
use crate::clock::timeout;
use crate::deployment::modules::is_entry_point;
use crate::deployment::{AnalyzeError, AnalyzeInput, ModuleAnalysis};
use crate::functions::Console;
use crate::functions::js::analyze::{ANALYSIS_TIME_MAX, Found, functions_of};
use crate::functions::js::common::log_line;
use crate::functions::js::{Js, failures};

/// The registrations of each entry point, by path.
pub type FoundInNode = BTreeMap<String, ModuleAnalysis>;

impl Js {
    /// Has Node.js evaluate the modules of `input` that are for it. `None` where there are none, or no Node.js. Not for
    /// threads of the async runtime.
    pub(in crate::functions::js) fn analyze_in_node(
        &self,
        input: &AnalyzeInput,
    ) -> Result<Option<FoundInNode>, AnalyzeError> {
        let has_any = input
            .modules
            .iter()
            .filter(for_node)
            .any(|module| is_entry_point(&module.path));
        match Handle::try_current() {
            Ok(handle) if has_any => handle.block_on(analyze(self, input)),
            // Without a runtime no process can be talked to.
            Ok(_) | Err(_) => Ok(None),
        }
    }
}

async fn analyze(js: &Js, input: &AnalyzeInput) -> Result<Option<FoundInNode>, AnalyzeError> {
    let node = &js.node;
    let Ok(program) = node.program().await else {
        return Ok(None);
    };
    check_version(program, input.node_version.as_deref())?;
    let packages = node.packages(program, &input.node_dependencies).await;
    packages.map_err(|error| AnalyzeError::NodePackages(error.to_string()))?;
    let code = node.code(CodeParts {
        modules: input.modules.iter().filter(for_node).cloned().collect(),
        variables: input.variables.clone(),
        packages: input.node_dependencies.clone(),
    });
    let until = node.clock.elapsed() + ANALYSIS_TIME_MAX;
    let mut found = FoundInNode::new();
    let modules = code.parts.modules.iter();
    for module in modules.filter(|module| is_entry_point(&module.path)) {
        let path = &module.path;
        let seat = code.pool.seat(node, &code).await;
        let seat = seat.map_err(|error| AnalyzeError::NodeProcess(error.to_string()))?;
        let left = until.saturating_sub(node.clock.elapsed());
        let process = seat.process.clone();
        let analysis = analyze_module(node, &code, seat, path, left).await;
        // Code that fails does not become live, and needs no process.
        let analysis = analysis.inspect_err(|_| process.close())?;
        found.insert(path.clone(), analysis);
    }
    Ok(Some(found))
}

/// An older Node.js than the app asks for may lack what it uses. A newer one runs it.
fn check_version(program: &Program, asked: Option<&str>) -> Result<(), AnalyzeError> {
    let asked = asked.filter(|asked| {
        let asked: Option<u64> = asked.parse().ok();
        asked.is_none_or(|asked| asked > program.version.major)
    });
    match asked {
        None => Ok(()),
        Some(asked) => Err(AnalyzeError::NodeVersion {
            asked: asked.to_owned(),
            found: program.version.to_string(),
        }),
    }
}

async fn analyze_module(
    node: &Node,
    code: &NodeCode,
    mut seat: Seat,
    path: &str,
    time_max: Duration,
) -> Result<ModuleAnalysis, AnalyzeError> {
    let call = seat.call;
    seat.process.send(&ToNode::Analyze { call, path });
    let mut console = Console::default();
    let ended = timeout(&*node.clock, time_max, ended(&mut seat, &mut console)).await;
    let failed = |mut error: String| {
        for line in console.lines() {
            error.push('\n');
            error.push_str(line);
        }
        AnalyzeError::Module {
            path: path.to_owned(),
            error,
        }
    };
    match ended {
        Some(Some(Event::Returned(text))) => {
            let found: Found = serde_json::from_str(&text).map_err(|error| {
                failed(format!(
                    "The module's registrations cannot be read: {error}"
                ))
            })?;
            Ok(ModuleAnalysis {
                functions: functions_of(found.functions, code, path),
                ..ModuleAnalysis::default()
            })
        }
        Some(Some(Event::Threw(thrown))) => {
            Err(failed(failures::thrown(&thrown, code).to_string()))
        }
        Some(Some(Event::Operation { .. } | Event::Console { .. }) | None) => {
            Err(failed(seat.process.lost().to_string()))
        }
        None => {
            seat.process.close();
            Err(AnalyzeError::TimedOut {
                path: path.to_owned(),
                seconds: ANALYSIS_TIME_MAX.as_secs(),
            })
        }
    }
}

/// How the evaluation ended; none when its process did. Until then it may only log.
async fn ended(seat: &mut Seat, console: &mut Console) -> Option<Event> {
    loop {
        match seat.events.recv().await? {
            Event::Console {
                level, messages, ..
            } => log_line(console, &level, messages.iter().map(String::as_str), None),
            Event::Operation { .. } => {}
            end @ (Event::Returned(_) | Event::Threw(_)) => return Some(end),
        }
    }
}
