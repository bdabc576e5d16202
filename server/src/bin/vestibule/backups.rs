//! `vestibule backup`, `vestibule verify` and `vestibule restore`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use futures_util::TryStreamExt;
use serde_json::Value as Json;
use tokio::runtime::Handle;
use vestibule_schema::timestamp::Timestamp;
use vestibule_server::app::{AdminClient, is_deployment};
use vestibule_server::backup::{
    BackupError, Checked, Made, Problems, Receiver, Wanted, back_up_directory, restore, time_named,
    time_of, verify,
};

use super::target::{Target, runtime};

/// The deployment to back up, and where the backup goes.
#[derive(Args)]
pub struct BackupArgs {
    #[command(flatten)]
    target: Target,
    /// An admin key with all rights, for a server on another machine; --server says where it is. Else the data directory
    /// makes a key by itself.
    #[arg(
        long,
        env = "VESTIBULE_ADMIN_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    admin_key: Option<String>,
    /// A directory to make, or an earlier backup of this deployment to add to.
    #[arg(long, value_name = "PATH")]
    to: PathBuf,
}

/// The backup or directory to check.
#[derive(Args)]
pub struct VerifyArgs {
    /// A backup. Else the data directory is looked at.
    backup: Option<PathBuf>,
    /// The data directory, which no server may use meanwhile.
    #[arg(long, env = "VESTIBULE_DATA", value_name = "DIR", default_value = super::DATA_DEFAULT)]
    data: PathBuf,
    /// Problems that are told one by one.
    #[arg(long, value_name = "NUMBER", default_value_t = Problems::TOLD_MAX)]
    problems: usize,
}

/// The backup to restore, and its new directory.
#[derive(Args)]
pub struct RestoreArgs {
    /// The backup.
    backup: PathBuf,
    /// The data directory to make.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The time as of which it is restored, as 2026-11-30T14:05:00Z, or a commit's timestamp; the end of the backup when not
    /// given.
    #[arg(long, value_name = "TIME", value_parser = time_named)]
    at: Option<Timestamp>,
}

impl BackupArgs {
    /// Takes a backup, of a server where one uses the data directory.
    pub fn run(self) -> anyhow::Result<()> {
        let BackupArgs {
            target,
            admin_key,
            to,
        } = self;
        runtime()?.block_on(async {
            let client = match admin_key {
                Some(key) => Some(target.client_with(&key)?),
                None => None,
            };
            let made = match client {
                Some(client) => fetch(&client, &to).await?,
                None => match back_up_beside(target.data(), &to) {
                    Err(error) if error.is_in_use() => {
                        fetch(&target.of_server().await?, &to).await?
                    }
                    made => made?,
                },
            };
            let kind = match made.is_base {
                true => "whole",
                false => "added to the backup before, by the log",
            };
            let (at, bytes) = (time_of(made.ts), made.bytes);
            eprintln!(
                "The state of {at} ({}), {kind}, {bytes} bytes, read back.",
                made.ts.0
            );
            println!("{}", to.display());
            Ok(())
        })
    }
}

fn back_up_beside(data: &Path, to: &Path) -> Result<Made, BackupError> {
    if !is_deployment(data) {
        return Err(vestibule_server::storage::StorageError::Missing { dir: data.into() }.into());
    }
    let (data, to, handle) = (data.to_path_buf(), to.to_path_buf(), Handle::current());
    let working = std::thread::spawn(move || back_up_directory(&data, &to, &handle));
    working.join().expect("a backup does not panic")
}

/// Fetches a backup of a server, once more with everything where the one before it lacks something.
async fn fetch(client: &AdminClient, to: &Path) -> anyhow::Result<Made> {
    let mut receiver = Receiver::begin(to, false)?;
    match receive(client, &mut receiver).await {
        Err(error) if is_content_missing(&error) => {
            drop(receiver);
            receiver = Receiver::begin(to, true)?;
            receive(client, &mut receiver).await?;
        }
        received => received?,
    }
    let made = receiver.finish()?;
    let path = format!(
        "/api/vestibule/backup_verified?ts={}&bytes={}&startedAt={}&isBase={}",
        made.ts.0,
        made.bytes,
        made.started_at,
        u8::from(made.is_base)
    );
    client.post(&path, &Json::Null).await?;
    Ok(made)
}

fn is_content_missing(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(BackupError::ContentMissing(_)))
}

async fn receive(client: &AdminClient, receiver: &mut Receiver) -> anyhow::Result<()> {
    let Wanted {
        log_since,
        contents_since,
    } = receiver.wanted();
    let mut path = "/api/vestibule/backup?".to_owned();
    if let Some(since) = log_since {
        path.push_str(&format!("logSince={}&", since.0));
    }
    if let Some(since) = contents_since {
        path.push_str(&format!("contentsSince={since}"));
    }
    let mut frames = client.post_download(&path).await?;
    loop {
        match frames.try_next().await {
            Ok(Some(bytes)) => receiver.push(&bytes)?,
            Ok(None) => return Ok(()),
            Err(error) => return Err(error).context(BackupError::EndedEarly),
        }
    }
}

impl VerifyArgs {
    /// Looks for damage, and fails when there is some.
    pub fn run(self) -> anyhow::Result<()> {
        let path = self.backup.unwrap_or(self.data);
        let mut problems = Problems::new(self.problems);
        let checked = match verify(&path, &mut problems) {
            Err(error) if error.is_in_use() => bail!(
                "{error}; a server may stay: take a backup of it, which is read back, and verify that"
            ),
            checked => checked?,
        };
        problems
            .first()
            .iter()
            .for_each(|problem| println!("{problem}"));
        let more = problems.count() - problems.first().len() as u64;
        if more > 0 {
            println!("and {more} more");
        }
        eprintln!("{}: {}", path.display(), told(&checked));
        match problems.count() {
            0 => {
                eprintln!("No problem was found.");
                Ok(())
            }
            1 => bail!("1 problem was found"),
            count => bail!("{count} problems were found"),
        }
    }
}

impl RestoreArgs {
    /// Makes a data directory of a backup.
    pub fn run(self) -> anyhow::Result<()> {
        let restored = restore(&self.backup, &self.data, self.at)?;
        let (at, data) = (time_of(restored.ts), self.data.display());
        eprintln!(
            "The state of {at} ({}): {}.",
            restored.ts.0,
            told(&restored.checked)
        );
        eprintln!("Start the server on it with --data {data}");
        println!("{data}");
        Ok(())
    }
}

fn told(checked: &Checked) -> String {
    let Checked {
        entries,
        rows,
        documents,
        index_entries,
        files,
        file_bytes,
    } = checked;
    format!(
        "{entries} entries and {rows} log rows by their checksums, {documents} documents against {index_entries} index \
         entries, {files} files of {file_bytes} bytes by their SHA-256"
    )
}
