//! Pushes of an app of many functions by the official command line: the first one, and one after a change of one function. The
//! command line's own time, bundling above all, is most of a push; the server's share is told apart.

mod written;

use std::time::Instant;

use clap::Args;
use serde_json::json;

use crate::functions;
use crate::measure::Window;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::report::{Check, Figure, Run};
use crate::run::{Measured, settings};
use crate::server::Server;
use written::App;

/// The flags of `pushes`.
#[derive(Args, Clone, Debug)]
pub struct Pushes {
    /// How many functions the app has.
    #[arg(long, default_value_t = 150, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub functions_count: u32,
    /// Modules that they are spread over.
    #[arg(long, default_value_t = 30, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub modules: u32,
}

/// The time from the header of each request of a push to its answer.
const SECONDS: &str = "vestibule_http_request_seconds_sum{route=\"/api/deploy2/";
/// Requests of pushes.
const REQUESTS: &str = "vestibule_http_request_seconds_count{route=\"/api/deploy2/";

/// Runs it.
pub fn run(flags: &Pushes, server: &Server) -> anyhow::Result<Vec<Run>> {
    let app = App::new(flags.functions_count, flags.modules)?;
    let mut runs = Vec::new();
    for (version, scenario) in [(1, "first push"), (2, "second push")] {
        app.write_version(version)?;
        runs.push(push(&app, version, scenario, server)?);
    }
    Ok(runs)
}

fn push(app: &App, version: u32, scenario: &str, server: &Server) -> anyhow::Result<Run> {
    let metrics = Metrics::of(&server.address)?;
    let memory = Memory::before(server)?;
    let mut measured = Measured::of(server);
    measured.border();
    let start = Instant::now();
    let mut window = Window::open(start);
    functions::push_folder(app.folder(), &server.address.url, server.admin_key()?)?;
    let end = Instant::now();
    measured.border();
    window.add(end, 1);
    window.close(end + std::time::Duration::from_micros(1));

    let after = Metrics::of(&server.address)?;
    let grown = |prefix| after.sum(prefix) - metrics.sum(prefix);
    let mut run = measured.run(scenario, "pushes", &window)?;
    run.settings = settings([
        ("functions", app.functions.to_string()),
        ("modules", app.modules.to_string()),
    ]);
    run.figures.extend([
        Figure::new("whole push", (end - start).as_secs_f64(), "s"),
        Figure::new("server's share", grown(SECONDS), "s"),
        Figure::new("requests of the push", grown(REQUESTS), ""),
    ]);
    run.figures.extend(memory.figures(server)?);
    let told = server.address.call("query", app.changed(), &json!({}))?;
    let told = told.as_f64().unwrap_or(f64::NAN);
    run.checks = vec![Check {
        what: "The function that changed is the pushed one.".into(),
        holds: told == f64::from(version),
        seen: format!("version {told}"),
    }];
    Ok(run)
}
