//! The server for apps that are pushed, and the operator's tool for data directories.

mod backups;
mod history;
mod serve;
mod target;
mod transfers;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use vestibule_server::app::Config;
use vestibule_server::app::config::{self, DATA_DEFAULT};
use vestibule_server::app::settings::Environment;
use vestibule_server::auth::{AdminKeys, AdminRights, DeploymentSecret, KeyId};
use vestibule_server::clock::{Clock, SystemClock};

use backups::{BackupArgs, RestoreArgs, VerifyArgs};
use target::Target;
use transfers::{ExportArgs, ImportArgs};

/// A self-hosted reactive backend for apps written for Convex, and the tools for its deployments.
#[derive(Parser)]
#[command(name = "vestibule", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves an app that `npx convex dev` or `npx convex deploy` pushes.
    Serve {
        #[command(flatten)]
        config: Box<Config>,
    },
    /// Makes a key with which a person administers a deployment, and prints it. Its id, by which it can be revoked,
    /// goes to standard error.
    AdminKey {
        #[command(flatten)]
        deployment: Deployment,
        /// Days until the key ends; it never does when this is left out.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..))]
        expires_in_days: Option<u64>,
        /// A key that runs queries and nothing else.
        #[arg(long)]
        read_only: bool,
    },
    /// Ends an admin key. A running server refuses it from its next use on, and at the latest a minute later on
    /// connections where it was presented before.
    RevokeAdminKey {
        #[command(flatten)]
        deployment: Deployment,
        /// The key's id, or the whole key.
        key: String,
    },
    /// Prints the ids of the admin keys that were revoked.
    RevokedAdminKeys {
        #[command(flatten)]
        deployment: Deployment,
    },
    /// Lists the pushes that are kept, the newest first: id, time, message.
    Deployments {
        #[command(flatten)]
        target: Target,
    },
    /// Pushes again what was live before, with all checks of a push. Data and variables stay as they are.
    Rollback {
        #[command(flatten)]
        target: Target,
        /// The id that `vestibule deployments` shows.
        id: String,
    },
    /// Imports a file: into one table, or an archive of a whole deployment.
    Import {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        import: ImportArgs,
    },
    /// Exports all tables as an archive, which `import` takes here and elsewhere.
    Export {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        export: ExportArgs,
    },
    /// Backs a deployment up as of one commit, while its server goes on or without one, and reads the backup back.
    Backup(BackupArgs),
    /// Looks for damage in a backup or a data directory: checksums, indexes against documents, files. Changes nothing.
    Verify(VerifyArgs),
    /// Makes a new data directory of a backup, as of its end or of a time before.
    Restore(RestoreArgs),
}

#[derive(Args)]
struct Deployment {
    /// The deployment's data directory.
    #[arg(long, env = "VESTIBULE_DATA", value_name = "DIR", default_value = DATA_DEFAULT)]
    data: PathBuf,
    /// The deployment's name, as the server is started with it.
    #[arg(long, env = "VESTIBULE_NAME", default_value = "vestibule")]
    name: String,
}

impl Deployment {
    /// A new admin key with all rights.
    fn new_key(&self) -> anyhow::Result<String> {
        let keys = self.admin_keys()?;
        let minted = keys.mint_with(AdminRights::All, SystemClock::new().now(), None)?;
        Ok(minted.text.expose().to_string())
    }

    fn admin_keys(&self) -> anyhow::Result<AdminKeys> {
        let Deployment { data, name } = self;
        anyhow::ensure!(
            data.is_dir(),
            "{} is not a data directory; start the server on it once",
            data.display()
        );
        let secret = match config::secret(&Environment::of_process())? {
            Some(secret) => secret,
            None => DeploymentSecret::load_or_create(data)
                .context("the deployment's secret cannot be read")?,
        };
        Ok(AdminKeys::open(name, &secret, data)?)
    }
}

pub fn main() -> anyhow::Result<()> {
    let Arguments { command } = Arguments::parse();
    match command {
        Command::Serve { config } => serve::serve(*config)?,
        Command::AdminKey {
            deployment,
            expires_in_days,
            read_only,
        } => {
            let rights = match read_only {
                true => AdminRights::ReadOnly,
                false => AdminRights::All,
            };
            let lifetime =
                expires_in_days.map(|days| Duration::from_secs(days.saturating_mul(24 * 60 * 60)));
            let keys = deployment.admin_keys()?;
            let minted = keys.mint_with(rights, SystemClock::new().now(), lifetime)?;
            eprintln!("key id {}", minted.id);
            println!("{}", minted.text.expose());
        }
        Command::RevokeAdminKey { deployment, key } => {
            let keys = deployment.admin_keys()?;
            let id = key_id(&keys, &key)?;
            keys.revoke(id)?;
            println!("{id}");
        }
        Command::RevokedAdminKeys { deployment } => {
            let revoked = deployment.admin_keys()?.revoked();
            revoked.iter().for_each(|id| println!("{id}"));
        }
        Command::Deployments { target } => target.run(history::list)?,
        Command::Rollback { target, id } => target.run(|client| history::roll_back(client, id))?,
        Command::Import { target, import } => target.run(|client| import.run(client))?,
        Command::Export { target, export } => target.run(|client| export.run(client))?,
        Command::Backup(backup) => backup.run()?,
        Command::Verify(verify) => verify.run()?,
        Command::Restore(restore) => restore.run()?,
    }
    Ok(())
}

/// A mistyped key must not pass for one that is revoked now.
fn key_id(keys: &AdminKeys, given: &str) -> anyhow::Result<KeyId> {
    match given.contains('|') {
        true => keys
            .id_of(given)
            .context("a whole key must be one of this deployment"),
        false => Ok(given.parse()?),
    }
}
