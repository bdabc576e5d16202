//! Restoring a backup into a new data directory, as of its end or of a time before.
//!
//! The directory is made beside its place, checked from end to end, and moved there once it is whole.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use vestibule_schema::timestamp::Timestamp;

use super::BackupError;
use super::manifest::{Base, Log, Manifest};
use super::place::{Digest, begin_beside, copy, sync_directory};
use super::verify::{Checked, Problems, check_store, each_row};
use crate::database::answers_until;
use crate::files::{SHARDS, contents_directory};
use crate::storage::{Rebuild, database_file, private_directory, private_file};

/// The ending of a directory's name before it is whole.
const RESTORING: &str = ".restoring";
/// How far a restore raises the epoch: beyond every start that the other history may still have.
const EPOCHS: u64 = 1 << 32;

/// A deployment that was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The last commit that it holds.
    pub ts: Timestamp,
    /// The checks that it passed before it was called good.
    pub checked: Checked,
}

/// Restores the backup at `backup` into `data`, which must not exist or be empty: its end, or the last commit at or
/// before `at`.
pub fn restore(backup: &Path, data: &Path, at: Option<Timestamp>) -> Result<Restored, BackupError> {
    let manifest = Manifest::read(backup)?;
    must_be_unused(data)?;
    let until = at.map_or(u64::MAX, |at| at.0);
    let Some((base, logs)) = manifest.road_to(until) else {
        let first = manifest.bases.iter().map(|base| base.ts).min();
        let first = first.unwrap_or_default();
        return Err(BackupError::TooEarly {
            first,
            begins: super::time_of(Timestamp(first)),
        });
    };
    let (arriving, lock) = begin_beside(data, RESTORING)?;
    let restoring = Restoring {
        backup,
        manifest: &manifest,
        directory: &arriving,
    };
    let restored = restoring.fill(base, &logs, Timestamp(until));
    let restored = restored.and_then(|restored| {
        drop(lock);
        restoring.move_to(data)?;
        Ok(restored)
    });
    if restored.is_err() {
        // Its name says that it is none; the next restore throws it away.
        let _ = fs::remove_dir_all(&arriving);
    }
    restored
}

fn must_be_unused(data: &Path) -> Result<(), BackupError> {
    match fs::read_dir(data) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(BackupError::Used(data.to_path_buf())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(BackupError::at(data)(error)),
    }
}

struct Restoring<'r> {
    backup: &'r Path,
    manifest: &'r Manifest,
    directory: &'r Path,
}

impl Restoring<'_> {
    /// The database comes last: before it is finished, no server takes the directory for a deployment.
    fn fill(&self, base: &Base, logs: &[&Log], until: Timestamp) -> Result<Restored, BackupError> {
        self.copy_contents()?;
        for private in &self.manifest.private {
            self.copy_checked(&private.name, &private.name, &private.digest)?;
        }
        let file = database_file(Path::new(""));
        let file = file.to_string_lossy();
        self.copy_checked(&format!("{}/{file}", base.directory), &file, &base.digest)?;
        let mut rebuild = Rebuild::of_copy(self.directory)?;
        for log in logs {
            let path = self.backup.join(&log.file);
            let digest = Digest::of_file(&path).map_err(BackupError::at(&path))?;
            must_match(&log.file, &digest, &log.digest)?;
            each_row(self.backup, log, |last, body| {
                Ok(rebuild.row(last, body, until, answers_until)?)
            })?;
        }
        let (deployment, epoch) = rebuild.identity()?;
        let ts = rebuild.finish(deployment, epoch.saturating_add(EPOCHS))?;
        let mut problems = Problems::new(Problems::TOLD_MAX);
        let mut checked = Checked::default();
        check_store(
            self.directory,
            self.directory,
            "database",
            &mut problems,
            &mut checked,
        )?;
        problems.must_be_none()?;
        Ok(Restored { ts, checked })
    }

    fn copy_contents(&self) -> Result<(), BackupError> {
        let from = contents_directory(self.backup);
        let to = contents_directory(self.directory);
        private_directory(&to).map_err(BackupError::at(&to))?;
        for shard in 0..SHARDS {
            let shard = format!("{:02x}", shard as u8);
            let (from, to) = (from.join(&shard), to.join(&shard));
            let entries = match fs::read_dir(&from) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(BackupError::at(&from)(error)),
            };
            private_directory(&to).map_err(BackupError::at(&to))?;
            for entry in entries {
                let entry = entry.map_err(BackupError::at(&from))?;
                let place = to.join(entry.file_name());
                let copied = fs::copy(entry.path(), &place).and_then(|_| sync_file(&place));
                copied.map_err(BackupError::at(&place))?;
            }
            sync_directory(&to).map_err(BackupError::at(&to))?;
        }
        sync_directory(&to).map_err(BackupError::at(&to))
    }

    fn copy_checked(&self, from: &str, to: &str, expected: &Digest) -> Result<(), BackupError> {
        let (source, place) = (self.backup.join(from), self.directory.join(to));
        let copied = private_file(&place).and_then(|mut file| {
            let digest = copy(&source, &mut file)?;
            file.sync_all()?;
            Ok(digest)
        });
        must_match(from, &copied.map_err(BackupError::at(&source))?, expected)
    }

    fn move_to(&self, data: &Path) -> Result<(), BackupError> {
        let failed = BackupError::at(data);
        super::place::unlock(self.directory).map_err(&failed)?;
        sync_directory(self.directory).map_err(&failed)?;
        must_be_unused(data)?;
        // An empty directory is replaced.
        fs::rename(self.directory, data).map_err(&failed)?;
        sync_directory(data.parent().unwrap_or(Path::new("."))).map_err(&failed)
    }
}

fn must_match(name: &str, found: &Digest, expected: &Digest) -> Result<(), BackupError> {
    match found == expected {
        true => Ok(()),
        false => Err(BackupError::Unsound {
            count: 1,
            first: vec![format!("{name}: it does not match its SHA-256")],
        }),
    }
}

fn sync_file(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
