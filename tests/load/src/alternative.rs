//! What others use: small servers in Node, kept in `alternatives`, that make the same transfers over the same messages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::ValueEnum;

use crate::server::this_program;

/// A server to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Alternative {
    /// One Node process with better-sqlite3: WAL, synchronous=FULL.
    NodeSqlite,
    /// A Node process before PostgreSQL, at serializable isolation.
    Postgres,
    /// Nothing at all, as fast as that goes.
    #[value(hide = true)]
    Echo,
}

impl Alternative {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Alternative::NodeSqlite => "node-sqlite",
            Alternative::Postgres => "postgres",
            Alternative::Echo => "echo",
        }
    }

    /// The command that serves these many accounts.
    pub fn command(self, accounts: u32) -> anyhow::Result<Command> {
        if self == Alternative::Echo {
            let mut command = Command::new(this_program()?);
            command.arg("serve-echo");
            return Ok(command);
        }
        let mut command = Command::new("node");
        command.arg(self.prepare()?.join("server.mjs"));
        command.args(["--port", "0", "--accounts"]);
        command.arg(accounts.to_string());
        Ok(command)
    }

    /// Its directory, with the packages that it needs, which are fetched the first time.
    fn prepare(self) -> anyhow::Result<PathBuf> {
        let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("alternatives");
        let directory = all.join(self.name());
        if !directory.join("server.mjs").exists() {
            bail!(
                "there is no {}: run from the checkout that this program was built in",
                directory.display()
            );
        }
        if !directory.join("node_modules").exists() {
            npm(
                &directory,
                &["ci", "--ignore-scripts", "--no-fund", "--no-audit"],
            )?;
            npm(&directory, &["run", "build", "--if-present"])?;
        }
        Ok(directory)
    }
}

/// Runs npm; what it says is told only where it fails.
fn npm(directory: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("npm")
        .args(arguments)
        .current_dir(directory)
        .output()
        .context("npm does not run; the alternatives need Node 20 or newer")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "npm {} failed in {}:\n{said}",
            arguments.join(" "),
            directory.display()
        );
    }
    Ok(())
}
