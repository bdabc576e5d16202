//! Connections to the database file, their settings, and the tables.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

use super::{StorageError, StoreOptions, codec};

/// The files of a data directory.
pub(super) struct Files {
    pub dir: PathBuf,
    pub database: PathBuf,
    pub wal: PathBuf,
    pub lock: PathBuf,
}

impl Files {
    pub fn new(dir: PathBuf) -> Self {
        Self {
            database: dir.join("vestibule.sqlite3"),
            wal: dir.join("vestibule.sqlite3-wal"),
            lock: dir.join("LOCK"),
            dir,
        }
    }
}

/// Where the database of a data directory is.
pub fn database_file(dir: &Path) -> PathBuf {
    Files::new(dir.to_path_buf()).database
}

/// Whether a data directory holds a store already.
pub fn is_store(dir: &Path) -> bool {
    Files::new(dir.to_path_buf()).database.exists()
}

/// Marks the file as ours, in SQLite's `application_id`: "VSTB".
pub(super) const APPLICATION_ID: i64 = 0x5653_5442;
/// The format this program writes, in SQLite's `user_version`.
///
/// - 1: each answer of a mutation is an entry of its own.
/// - 2: answers may share entries, where a program of format 1 would not find them. Nothing else differs.
pub(super) const FORMAT_VERSION: i64 = 2;
/// The oldest format that it reads. A store of an older one becomes one of [`FORMAT_VERSION`] when it is opened.
pub(super) const FORMAT_VERSION_MIN: i64 = 1;

/// `entries` holds the folded state: a value is the user's bytes and a checksum over key and value. `log` holds the
/// commits: a row is one durable batch under the timestamp of its last commit. `meta` holds sealed bookkeeping values.
pub(super) const TABLES: &str = "
    CREATE TABLE entries (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE log (last_ts INTEGER PRIMARY KEY NOT NULL, body BLOB NOT NULL) STRICT;
    CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
";

/// The bookkeeping values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meta {
    /// `u64`: every commit up to this timestamp is in `entries`.
    Folded,
    /// `u64`: raised by each open.
    Epoch,
    /// 16 bytes: names the deployment for good.
    Deployment,
}

impl Meta {
    fn name(self) -> &'static str {
        match self {
            Self::Folded => "folded",
            Self::Epoch => "epoch",
            Self::Deployment => "deployment",
        }
    }

    pub fn read<const N: usize>(self, connection: &Connection) -> Result<[u8; N], StorageError> {
        let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
        let mut rows = statement.query([self.name()])?;
        let damaged = || {
            StorageError::damaged(format!(
                "bookkeeping value {:?} is missing or wrong",
                self.name()
            ))
        };
        let row = rows.next()?.ok_or_else(damaged)?;
        let value = codec::unseal(self.name().as_bytes(), row.get_ref(0)?.as_blob()?)
            .ok_or_else(damaged)?;
        value.try_into().map_err(|_| damaged())
    }

    pub fn write(self, connection: &Connection, value: &[u8]) -> Result<(), StorageError> {
        let mut sealed = Vec::new();
        codec::seal(self.name().as_bytes(), value, &mut sealed);
        let mut statement = connection
            .prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?;
        statement.execute((self.name(), &sealed[..]))?;
        Ok(())
    }
}

/// The write connection to a file already known to be ours. There is one at a time.
pub(super) fn open_writer(
    files: &Files,
    options: &StoreOptions,
) -> Result<Connection, StorageError> {
    let connection = open(&files.database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    configure_writer(&connection, options)?;
    Ok(connection)
}

/// A connection that also creates the file; its settings are left to [`configure_writer`], once the file is known.
pub(super) fn open_or_create(files: &Files) -> Result<Connection, StorageError> {
    open(
        &files.database,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    )
}

/// Sets what durability rests on and reads it back.
pub(super) fn configure_writer(
    connection: &Connection,
    options: &StoreOptions,
) -> Result<(), StorageError> {
    connection.busy_timeout(WRITER_BUSY_WAIT)?;
    set(connection, "journal_mode", "WAL", "wal")?;
    set_synchronous(connection, Synchronous::Full)?;
    #[cfg(test)]
    if let Some(pages) = options.pages_max {
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
    }
    // On macOS a plain fsync leaves data in the drive's cache.
    set(connection, "fullfsync", "1", "1")?;
    set(connection, "checkpoint_fullfsync", "1", "1")?;
    // Checkpoints run on a connection of their own (`checkpoint.rs`).
    set(connection, "wal_autocheckpoint", "0", "0")?;
    set_cache(connection, options.writer_cache_bytes)
}

/// Whether SQLite moves the write-ahead log into the database file when the last connection closes, and removes it.
pub(super) fn set_moves_log_at_close(
    connection: &Connection,
    moves: bool,
) -> Result<(), StorageError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !moves)?;
    Ok(())
}

/// The write lock is ours alone; only an outside tool on the same file can make us wait.
pub(super) const WRITER_BUSY_WAIT: Duration = Duration::from_secs(2);

/// How far a commit of the write connection goes before it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Synchronous {
    /// Not synced by itself. The next full commit or checkpoint syncs its writes to the write-ahead log.
    Normal,
    /// The write-ahead log is synced.
    Full,
}

/// Only between transactions; read back, since SQLite ignores the setting inside one.
pub(super) fn set_synchronous(
    connection: &Connection,
    level: Synchronous,
) -> Result<(), StorageError> {
    let value = match level {
        Synchronous::Normal => "1",
        Synchronous::Full => "2",
    };
    set(connection, "synchronous", value, value)
}

/// A read-only connection.
pub(super) fn open_reader(
    files: &Files,
    options: &StoreOptions,
) -> Result<Connection, StorageError> {
    const BUSY_WAIT: Duration = Duration::from_secs(5);
    let connection = open(&files.database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(
        None,
        "mmap_size",
        i64::try_from(options.mmap_bytes).unwrap_or(i64::MAX),
    )?;
    set_cache(&connection, options.reader_cache_bytes)?;
    Ok(connection)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StorageError> {
    const STATEMENTS_KEPT: usize = 32;
    // Each connection is used by one thread at a time, so SQLite's own mutexes are left out.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(connection)
}

fn set_cache(connection: &Connection, bytes: usize) -> Result<(), StorageError> {
    // Negative: in KiB.
    let kibibytes = i64::try_from(bytes / 1024).unwrap_or(i64::MAX);
    connection.pragma_update(None, "cache_size", -kibibytes)?;
    Ok(())
}

fn set(
    connection: &Connection,
    setting: &'static str,
    value: &str,
    reads_as: &str,
) -> Result<(), StorageError> {
    connection
        .query_row(&format!("PRAGMA {setting} = {value}"), [], |_| Ok(()))
        .optional()?;
    let found = connection.query_row(&format!("PRAGMA {setting}"), [], pragma_text)?;
    if found == reads_as {
        Ok(())
    } else {
        Err(StorageError::Setting {
            setting,
            wanted: value.into(),
            found,
        })
    }
}

fn pragma_text(row: &Row<'_>) -> rusqlite::Result<String> {
    Ok(match row.get(0)? {
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Text(text) => text,
        other => format!("{other:?}"),
    })
}
