//! Making a database file of what a backup holds: entries first, then rows of the log, applied to them.
//!
//! The file is no store before it is finished: it lacks the mark by which one is known. Nothing is synced before that
//! either, and no journal is kept; an attempt that fails is thrown away with its directory.

use std::fs::File;
use std::path::Path;

use rusqlite::Connection;
use uuid::Uuid;
use vestibule_schema::timestamp::Timestamp;

use super::backup::read_row;
use super::sqlite::{self, APPLICATION_ID, FORMAT_VERSION, Files, Meta, TABLES};
use super::{StorageError, Write, codec};

/// Bytes written in one transaction.
const TRANSACTION_BYTES: usize = 16 << 20;
/// Page cache, in KiB; pages beyond it go to the file early.
const CACHE_KIBIBYTES: i64 = 32 << 10;

/// A database file in the making.
pub struct Rebuild {
    connection: Connection,
    files: Files,
    /// Bytes written since the last commit of the file.
    bytes: usize,
    /// The last commit that the entries hold.
    reached: Timestamp,
    /// The last row that was given, or the state that the first one goes on from.
    last_row: Timestamp,
    sealed: Vec<u8>,
}

impl Rebuild {
    /// A new file in a directory that has none. Its entries come first, as they were from `folded` on.
    pub fn create(dir: &Path, folded: Timestamp) -> Result<Rebuild, StorageError> {
        let rebuild = Rebuild::open(dir, folded)?;
        rebuild.connection.execute_batch(TABLES)?;
        rebuild.connection.execute_batch("BEGIN")?;
        Ok(rebuild)
    }

    /// A copy of a finished file, to which rows of the log are applied.
    pub fn of_copy(dir: &Path) -> Result<Rebuild, StorageError> {
        let mut rebuild = Rebuild::open(dir, Timestamp::ZERO)?;
        let folded = Meta::Folded.read(&rebuild.connection)?;
        rebuild.reached = Timestamp(u64::from_le_bytes(folded));
        rebuild.last_row = rebuild.reached;
        rebuild
            .connection
            .execute_batch("PRAGMA application_id = 0; BEGIN")?;
        Ok(rebuild)
    }

    fn open(dir: &Path, reached: Timestamp) -> Result<Rebuild, StorageError> {
        let unwritable = |source| StorageError::Unwritable {
            dir: dir.into(),
            source,
        };
        let files = Files::new(dir.canonicalize().map_err(unwritable)?);
        let connection = sqlite::open_or_create(&files)?;
        connection.query_row("PRAGMA journal_mode = OFF", [], |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIBIBYTES)?;
        Ok(Rebuild {
            connection,
            files,
            bytes: 0,
            reached,
            last_row: reached,
            sealed: Vec::new(),
        })
    }

    /// Adds an entry with its value as it is stored, behind the entries before.
    pub fn entry(&mut self, key: &[u8], sealed: &[u8]) -> Result<(), StorageError> {
        if codec::unseal(key, sealed).is_none() {
            return Err(StorageError::CorruptedEntry {
                key: key.to_vec().into(),
            });
        }
        self.connection
            .prepare_cached("INSERT INTO entries (key, value) VALUES (?1, ?2)")?
            .execute((key, sealed))?;
        self.written(key.len() + sealed.len())
    }

    /// Applies the commits of a row up to `until`, and the parts of later writes of the row that `keep` says. Rows come
    /// in their order, and none is left out.
    pub fn row(
        &mut self,
        last: Timestamp,
        body: &[u8],
        until: Timestamp,
        keep: impl Fn(&Write, Timestamp) -> Option<Write>,
    ) -> Result<(), StorageError> {
        let corrupted = |what| StorageError::CorruptedLog {
            ts: i64::try_from(last.0).unwrap_or(i64::MAX),
            what,
        };
        let (previous, commits) =
            read_row(last, body).ok_or_else(|| corrupted("a row does not match its checksum"))?;
        if previous != self.last_row {
            return Err(corrupted("the row before it is missing"));
        }
        self.last_row = last;
        let is_cut = commits.first().is_some_and(|first| first.ts <= until);
        for commit in commits {
            match commit.ts <= until {
                true => {
                    for Write { key, value } in &commit.writes {
                        self.write(key, value.as_deref())?;
                    }
                    self.reached = commit.ts;
                }
                false if is_cut => {
                    for Write { key, value } in
                        commit.writes.iter().filter_map(|it| keep(it, until))
                    {
                        self.write(&key, value.as_deref())?;
                    }
                }
                false => {}
            }
        }
        self.written(body.len())
    }

    fn write(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StorageError> {
        match value {
            Some(value) => {
                codec::seal(key, value, &mut self.sealed);
                self.connection
                    .prepare_cached("INSERT OR REPLACE INTO entries (key, value) VALUES (?1, ?2)")?
                    .execute((key, &self.sealed[..]))?;
            }
            None => {
                self.connection
                    .prepare_cached("DELETE FROM entries WHERE key = ?1")?
                    .execute([key])?;
            }
        }
        Ok(())
    }

    fn written(&mut self, bytes: usize) -> Result<(), StorageError> {
        self.bytes += bytes;
        if self.bytes >= TRANSACTION_BYTES {
            self.bytes = 0;
            self.connection.execute_batch("COMMIT; BEGIN")?;
        }
        Ok(())
    }

    /// The last commit that it holds.
    pub fn reached(&self) -> Timestamp {
        self.reached
    }

    /// The last row that was given.
    pub fn last_row(&self) -> Timestamp {
        self.last_row
    }

    /// The deployment and the epoch of a copied file.
    pub fn identity(&self) -> Result<(Uuid, u64), StorageError> {
        let deployment = Uuid::from_bytes(Meta::Deployment.read(&self.connection)?);
        let epoch = u64::from_le_bytes(Meta::Epoch.read(&self.connection)?);
        Ok((deployment, epoch))
    }

    /// Makes the file a store, and durable. Its directory is left to the caller.
    pub fn finish(self, deployment: Uuid, epoch: u64) -> Result<Timestamp, StorageError> {
        let Rebuild {
            connection,
            files,
            reached,
            ..
        } = self;
        Meta::Folded.write(&connection, &reached.0.to_le_bytes())?;
        Meta::Epoch.write(&connection, &epoch.to_le_bytes())?;
        Meta::Deployment.write(&connection, deployment.as_bytes())?;
        connection.execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT_VERSION}; COMMIT"
        ))?;
        connection.close().map_err(|(_, error)| error)?;
        let synced = File::open(&files.database).and_then(|file| file.sync_all());
        synced.map_err(|error| StorageError::SyncFailed(error.into()))?;
        Ok(reached)
    }
}
