//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::functions::Functions;
use crate::scenario::backfill::Backfill;
use crate::scenario::fan_out::FanOut;
use crate::scenario::files::Files;
use crate::scenario::first_logins::FirstLogins;
use crate::scenario::http_actions::HttpActions;
use crate::scenario::idle::Idle;
use crate::scenario::imports::Imports;
use crate::scenario::jobs::Jobs;
use crate::scenario::pushes::Pushes;
use crate::scenario::reads::Reads;
use crate::scenario::reconnects::Reconnects;
use crate::scenario::sign_ups::SignUps;
use crate::scenario::transfers::Transfers;
use crate::server::Serve;

/// Puts load on a Vestibule server and reports its performance.
#[derive(Debug, Parser)]
#[command(name = "load")]
pub struct Arguments {
    /// The scenario to run.
    #[command(subcommand)]
    pub scenario: Scenario,
    /// Flags of every scenario.
    #[command(flatten)]
    pub common: Common,
}

/// Flags of every scenario.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// A server that runs elsewhere, started with `load serve`, as http://host:port. Without it, one is
    /// started as a process of its own on temporary files.
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// The language of the functions. They are in the server's program, or the official command line pushes them, for which `npm
    /// ci` in tests/cli must have run. Not every scenario has both.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "rust",
        conflicts_with = "url"
    )]
    pub functions: Functions,
    /// Writes everything that was measured into a file, as JSON.
    #[arg(long, global = true, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draws everything that was measured as one page of HTML, which needs nothing beside it
    #[arg(long, global = true, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
}

/// The length of a run, and the seed of its random choices.
#[derive(Args, Clone, Copy, Debug)]
pub struct Times {
    /// Measured seconds.
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = positive)]
    pub seconds: f64,
    /// Seconds before the measured ones.
    #[arg(long, default_value = "2", value_name = "SECONDS", value_parser = not_negative)]
    pub warm_up: f64,
    /// The seed of all random choices.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
}

impl Times {
    /// The measured time.
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// The time before it.
    pub fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up)
    }
}

/// Reads a number above zero.
pub fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err("it has to be a number above zero".into()),
    }
}

/// Reads a number that is not below zero.
pub fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number >= 0.0 && number.is_finite() => Ok(number),
        _ => Err("it has to be a number, and not below zero".into()),
    }
}

/// Reads a count above zero.
pub fn some(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("it has to be a whole number above zero".into()),
    }
}

/// Reads a number of bytes above zero, as in `64KiB`.
pub fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "kib" => 10,
        "mib" => 20,
        "gib" => 30,
        _ => return Err("it has to end in KiB, MiB, GiB or nothing".into()),
    };
    let number: Option<u64> = digits.parse().ok();
    let bytes = number.and_then(|number| number.checked_mul(1 << shift));
    bytes
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "it has to be a number of bytes above zero".into())
}

/// The kind of load.
#[derive(Debug, Subcommand)]
pub enum Scenario {
    /// Transfers between accounts, durable before they are answered.
    Transfers(Transfers),
    /// People whom the server has never seen sign in.
    FirstLogins(FirstLogins),
    /// One writer, and many who watch.
    FanOut(FanOut),
    /// Connections that watch something and do nothing.
    Idle(Idle),
    /// Cuts off every client at once, and all come back.
    Reconnects(Reconnects),
    /// Queries, cached and not.
    Reads(Reads),
    /// Transfers while a push adds an index to their table. Its functions are pushed.
    Backfill(Backfill),
    /// Scheduled mutations.
    Jobs(Jobs),
    /// Requests to an HTTP action that reads one document.
    HttpActions(HttpActions),
    /// Files sent and read.
    Files(Files),
    /// An import of many small documents.
    Imports(Imports),
    /// Sign-ups with passwords beside transfers. Its functions are pushed.
    SignUps(SignUps),
    /// Pushes of an app of many functions.
    Pushes(Pushes),
    /// Runs the app that is loaded, for --url of another invocation.
    Serve(Box<Serve>),
    /// Answers every call at once and does nothing, until standard input ends.
    #[command(hide = true)]
    ServeEcho,
}

impl Scenario {
    /// How many connections it holds at the same time.
    pub fn connections(&self) -> usize {
        match self {
            Scenario::Transfers(flags) => flags.clients,
            Scenario::FirstLogins(flags) => flags.users.saturating_mul(flags.tabs),
            Scenario::FanOut(flags) => flags.clients,
            Scenario::Backfill(flags) => flags.clients,
            Scenario::Idle(flags) => flags.clients,
            Scenario::Reconnects(flags) => flags.clients,
            Scenario::Reads(flags) => flags.connections(),
            Scenario::HttpActions(flags) => flags.clients,
            Scenario::Files(flags) => flags.clients,
            Scenario::SignUps(flags) => flags.clients.saturating_mul(2),
            // One request after the other.
            Scenario::Jobs(_) | Scenario::Imports(_) | Scenario::Pushes(_) => 1,
            Scenario::Serve(_) | Scenario::ServeEcho => 0,
        }
    }

    /// Whether its functions are there in TypeScript too.
    pub fn has_typescript(&self) -> bool {
        match self {
            Scenario::Transfers(_)
            | Scenario::Reads(_)
            | Scenario::Backfill(_)
            | Scenario::Jobs(_)
            | Scenario::HttpActions(_)
            | Scenario::Files(_)
            | Scenario::Imports(_)
            | Scenario::SignUps(_)
            | Scenario::Pushes(_) => true,
            Scenario::FirstLogins(_)
            | Scenario::FanOut(_)
            | Scenario::Idle(_)
            | Scenario::Reconnects(_)
            | Scenario::Serve(_)
            | Scenario::ServeEcho => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
