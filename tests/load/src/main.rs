//! Runs the load generator.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use load::arguments::{Arguments, Common, Scenario};
use load::http::Address;
use load::report::{Report, Run};
use load::server::{Server, raise_open_files, serve};
use load::{closing, scenario};

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { scenario, common } = Arguments::parse();
    raise_open_files();
    let run = match scenario {
        Scenario::Serve(flags) => {
            serve(flags)?;
            return Ok(ExitCode::SUCCESS);
        }
        Scenario::FanOut(flags) => scenario::fan_out::run(&flags, &server(&common)?)?,
        Scenario::Reads(flags) => scenario::reads::run(&flags, &server(&common)?)?,
        Scenario::Transfers(flags) => scenario::transfers::run(&flags, &server(&common)?)?,
    };
    println!("{}", closing::table(&run));
    let holds = run.checks.iter().all(|check| check.holds);
    write_json(&common, run)?;
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn server(common: &Common) -> anyhow::Result<Server> {
    match &common.url {
        Some(url) => Ok(Server::elsewhere(Address::parse(url)?)),
        None => Server::start(),
    }
}

fn write_json(common: &Common, run: Run) -> anyhow::Result<()> {
    let Some(file) = &common.json else {
        return Ok(());
    };
    let report = Report {
        started: jiff::Timestamp::now().to_string(),
        machine: Vec::new(),
        runs: vec![run],
    };
    let text = serde_json::to_vec_pretty(&report)?;
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
