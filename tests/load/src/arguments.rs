//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::scenario::transfers::Transfers;
use crate::server::Serve;

/// Puts load on a Vestibule server and tells how it bears it.
#[derive(Debug, Parser)]
#[command(name = "load")]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub scenario: Scenario,
    /// What all scenarios take.
    #[command(flatten)]
    pub common: Common,
}

/// What all scenarios take.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// A server that runs elsewhere with this program's app (`load serve`), as http://host:port. Without it, one is
    /// started as a process of its own on temporary files.
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// Writes everything that was measured into a file, as JSON.
    #[arg(long, global = true, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What load there is.
#[derive(Debug, Subcommand)]
pub enum Scenario {
    /// Transfers between accounts, durable before they are answered.
    Transfers(Transfers),
    /// Runs the app that is loaded, until standard input ends.
    #[command(hide = true)]
    Serve(Serve),
}
