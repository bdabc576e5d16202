//! Runs the load generator.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use load::arguments::{Arguments, Common, Scenario};
use load::functions::Functions;
use load::issuer::Issuer;
use load::report::{self, Report, Run};
use load::scenario::first_logins::FirstLogins;
use load::server::{Server, raise_open_files, serve};
use load::{echo, machine, scenario};

/// As a team's server should have it: see `examples/chat`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { scenario, common } = Arguments::parse();
    raise_open_files(scenario.connections())?;
    match scenario {
        Scenario::Serve(flags) => serve(*flags)?,
        Scenario::ServeEcho => echo::serve()?,
        scenario => return measure(&scenario, &common),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a scenario and prints its report. A check that does not hold makes the program fail.
fn measure(scenario: &Scenario, common: &Common) -> anyhow::Result<ExitCode> {
    let runs = run(scenario, common)?;
    let mut machine = machine::described();
    machine.push(("build".into(), server_profile(common)?));
    let report = Report {
        started: jiff::Timestamp::now().to_string(),
        machine,
        runs,
    };
    print!("{}", report::text(&report));
    if let Some(file) = &common.json {
        write(file, &serde_json::to_vec_pretty(&report)?)?;
    }
    if let Some(file) = &common.report {
        write(file, report::html(&report).as_bytes())?;
    }
    let mut checks = report.runs.iter().flat_map(|run| &run.checks);
    let holds = checks.all(|check| check.holds);
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run(scenario: &Scenario, common: &Common) -> anyhow::Result<Vec<Run>> {
    let one = |run: anyhow::Result<Run>| run.map(|run| vec![run]);
    if common.functions == Functions::Ts && !scenario.has_typescript() {
        bail!("this scenario has no functions in TypeScript");
    }
    match scenario {
        Scenario::Serve(_) | Scenario::ServeEcho => Ok(Vec::new()),
        Scenario::FirstLogins(flags) => first_logins(flags, common),
        Scenario::Transfers(flags) => match flags.against {
            Some(against) => scenario::transfers::run_pairs(flags, against, common.functions),
            None => one(scenario::transfers::run(flags, &server(common, None)?)),
        },
        Scenario::FanOut(flags) => one(scenario::fan_out::run(flags, &server(common, None)?)),
        Scenario::Idle(flags) => one(scenario::idle::run(flags, &server(common, None)?)),
        Scenario::Reconnects(flags) => scenario::reconnects::run(flags, &server(common, None)?),
        Scenario::Backfill(flags) => {
            scenario::backfill::run(flags, &own_server(common, Functions::Ts)?)
        }
        Scenario::Imports(flags) => one(scenario::imports::run(
            flags,
            &own_server(common, common.functions)?,
        )),
        Scenario::SignUps(flags) => {
            scenario::sign_ups::run(flags, &own_server(common, Functions::Ts)?)
        }
        Scenario::Pushes(flags) => {
            // What is pushed is the scenario's own.
            scenario::pushes::run(flags, &own_server(common, Functions::Rust)?)
        }
        Scenario::Jobs(flags) => one(scenario::jobs::run(flags, &server(common, None)?)),
        Scenario::HttpActions(flags) => {
            one(scenario::http_actions::run(flags, &server(common, None)?))
        }
        Scenario::Files(flags) => match flags.against {
            Some(against) => scenario::files::run_pairs(flags, against, common.functions),
            None => one(scenario::files::run(flags, &server(common, None)?)),
        },
        Scenario::Reads(flags) => one(scenario::reads::run(flags, &server(common, None)?)),
    }
}

fn first_logins(flags: &FirstLogins, common: &Common) -> anyhow::Result<Vec<Run>> {
    let issuer = Issuer::start(flags.alg, flags.issuer_port)?;
    if common.url.is_some() && flags.issuer_port == 0 {
        bail!(
            "the server has to know whose tokens these are: choose an --issuer-port, and start the server \
             with an --auth-config that names it, as in\n--auth-config '{}'",
            issuer.auth_config()
        );
    }
    let server = server(common, Some(&issuer.auth_config()))?;
    scenario::first_logins::run(flags, &issuer, &server)
}

/// A server of our own, for scenarios that need its admin key.
fn own_server(common: &Common, functions: Functions) -> anyhow::Result<Server> {
    if common.url.is_some() {
        bail!("this is measured on a server of its own: leave out --url");
    }
    Server::start(None, functions)
}

/// The profile by which the measured server was built: one of our own is this very program.
fn server_profile(common: &Common) -> anyhow::Result<String> {
    match &common.url {
        Some(url) => Ok(Server::elsewhere(url)?.profile()),
        None => Ok(machine::PROFILE.to_string()),
    }
}

/// The server that was named, or one of our own that takes tokens as `auth_config` says.
fn server(common: &Common, auth_config: Option<&str>) -> anyhow::Result<Server> {
    match &common.url {
        Some(url) => Server::elsewhere(url),
        None => Server::start(auth_config, common.functions),
    }
}

fn write(file: &Path, text: &[u8]) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
