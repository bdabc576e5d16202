//! `backup.json`: what belongs to a backup. It is replaced as a whole, after everything that it names is durable.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::BackupError;
use super::place::{Digest, replace};

/// The file that makes a directory a backup.
const MANIFEST: &str = "backup.json";
/// The format that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// The parts that belong to a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub format: u32,
    pub deployment: Uuid,
    /// Finished databases, the oldest first.
    pub bases: Vec<Base>,
    /// The commits between two states, the oldest first. Each goes on from a base or from the log before it.
    pub logs: Vec<Log>,
    /// Private files of the data directory, as they were at the last run.
    pub private: Vec<Private>,
}

/// A database file as of one commit, in a directory of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Base {
    pub directory: String,
    pub ts: u64,
    pub epoch: u64,
    /// When it was begun, in milliseconds since 1970 by the server's clock.
    pub started_at: i64,
    /// The version of the server.
    pub version: String,
    /// The database file.
    pub digest: Digest,
}

/// Rows of the log, and the contents of files that came with them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Log {
    pub file: String,
    pub from: u64,
    pub to: u64,
    pub rows: u64,
    pub started_at: i64,
    pub digest: Digest,
    /// Not told by backups of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contents: Vec<Content>,
}

/// The content of a stored file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Content {
    pub key: Uuid,
    #[serde(flatten)]
    pub digest: Digest,
}

/// A file that only the deployment's owner may read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Private {
    pub name: String,
    pub digest: Digest,
}

/// Whether a directory is a backup.
pub fn is_backup(path: &Path) -> bool {
    path.join(MANIFEST).exists()
}

impl Manifest {
    /// That of a backup which has nothing yet.
    pub fn new(deployment: Uuid) -> Manifest {
        Manifest {
            format: FORMAT,
            deployment,
            bases: Vec::new(),
            logs: Vec::new(),
            private: Vec::new(),
        }
    }

    /// That of the backup in a directory.
    pub fn read(root: &Path) -> Result<Manifest, BackupError> {
        let path = root.join(MANIFEST);
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                BackupError::NotABackup(root.to_path_buf())
            }
            _ => BackupError::at(&path)(error),
        })?;
        let unreadable = |reason: String| BackupError::Manifest {
            path: path.clone(),
            reason,
        };
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let parsed: Result<Format, _> = serde_json::from_slice(&bytes);
        let Format { format } = parsed.map_err(|error| unreadable(error.to_string()))?;
        if format > FORMAT {
            return Err(BackupError::NewerFormat {
                path,
                found: format,
                supported: FORMAT,
            });
        }
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
        match manifest.names_are_ours() {
            true => Ok(manifest),
            false => Err(unreadable("it names a file outside of the backup".into())),
        }
    }

    /// Names of files are joined to a directory, so none may lead out of it.
    fn names_are_ours(&self) -> bool {
        let bases = self.bases.iter().map(|base| &base.directory);
        let logs = self.logs.iter().map(|log| &log.file);
        let private = self.private.iter().map(|file| &file.name);
        let mut names = bases.chain(logs).chain(private);
        let is_plain = |name: &String| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            !name.is_empty() && name.bytes().all(plain)
        };
        names.all(is_plain)
    }

    /// Makes the backup what it says.
    pub fn write(&self, root: &Path) -> Result<(), BackupError> {
        let json = serde_json::to_vec_pretty(self).expect("a manifest has text keys");
        let path = root.join(MANIFEST);
        replace(&path, |file| file.write_all(&json))
    }

    /// The newest state that it holds.
    pub fn newest(&self) -> Option<u64> {
        let bases = self.bases.iter().map(|base| base.ts);
        let logs = self.logs.iter().map(|log| log.to);
        bases.chain(logs).max()
    }

    /// When its newest part was begun.
    pub fn last_started_at(&self) -> Option<i64> {
        let bases = self.bases.iter().map(|base| base.started_at);
        let logs = self.logs.iter().map(|log| log.started_at);
        bases.chain(logs).max()
    }

    /// The parts that lead to the state at `until`, which lies at or after the base. They are the newest base that
    /// reaches no further, and the logs from there on.
    pub fn road_to(&self, until: u64) -> Option<(&Base, Vec<&Log>)> {
        let bases = self.bases.iter().filter(|base| base.ts <= until);
        let base = bases.max_by_key(|base| base.ts)?;
        let mut reached = base.ts;
        let mut logs = Vec::new();
        while reached < until
            && let Some(log) = self
                .logs
                .iter()
                .find(|log| log.from == reached && log.to > reached)
        {
            logs.push(log);
            reached = log.to;
        }
        Some((base, logs))
    }
}

impl Base {
    /// Where its database file is.
    pub fn in_backup(&self, root: &Path) -> PathBuf {
        root.join(&self.directory)
    }
}
