//! The operator's tool: what is done to a deployment's data directory from outside.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use vestibule_server::auth::{AdminKeys, DeploymentSecret};
use vestibule_server::clock::{Clock, SystemClock};

/// Tools for a Vestibule deployment. The server itself is your own program: see the example `chat`.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a key with which a person administers a deployment, and prints it.
    AdminKey {
        /// The deployment's data directory.
        #[arg(long, env = "VESTIBULE_DATA", value_name = "DIR")]
        data: PathBuf,
        /// The deployment's name, as the server is started with it.
        #[arg(long, env = "VESTIBULE_NAME", default_value = "vestibule")]
        name: String,
        /// Days until the key ends; it never does when this is left out.
        #[arg(long, value_name = "DAYS")]
        expires_in_days: Option<u64>,
    },
}

fn main() -> anyhow::Result<()> {
    let Arguments { command } = Arguments::parse();
    match command {
        Command::AdminKey {
            data,
            name,
            expires_in_days,
        } => {
            anyhow::ensure!(
                data.is_dir(),
                "{} is not a data directory; start the server on it once",
                data.display()
            );
            let secret = DeploymentSecret::load_or_create(&data)
                .context("the deployment's secret cannot be read")?;
            let keys = AdminKeys::new(&name, &secret, Vec::new())?;
            let lifetime = expires_in_days.map(|days| Duration::from_secs(days * 24 * 60 * 60));
            let minted = keys.mint(SystemClock::new().now(), lifetime)?;
            println!("{}", minted.text.expose());
            Ok(())
        }
    }
}
