//! Opening a data directory: the lock, whose file it is, recovery, and the tail of the log.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rusqlite::{Connection, ffi};
use vestibule_schema::timestamp::Timestamp;

use super::bases::Bases;
use super::checkpoint::Checkpoints;
use super::error::extended_code;
use super::head::HeadBase;
use super::log_holds::LogHolds;
use super::pins::Pins;
use super::slots::Slots;
use super::sqlite::{
    self, APPLICATION_ID, FORMAT_VERSION, FORMAT_VERSION_MIN, Files, Meta, TABLES,
};
use super::store::Shared;
use super::{
    Overlay, Published, StorageError, StoreOptions, codec, private_directory, private_file, wal,
};

pub(super) fn open(
    dir: &Path,
    options: StoreOptions,
) -> Result<(Shared, Connection), StorageError> {
    check_sqlite_version()?;
    let files = directory(dir)?;
    let lock = lock(&files)?;
    refuse_log_without_database(&files)?;
    let making = Making::begin(&files)?;
    let connection = connect(&files)?;
    // A store refused from here on keeps its write-ahead log: SQLite would move it when the connection closes.
    sqlite::set_moves_log_at_close(&connection, false)?;
    let kind = identify(&connection, &files)?;
    if kind != FileKind::Fresh {
        refuse_hidden_commits(&connection, &files, options.lose_commits_after)?;
    }
    sqlite::set_moves_log_at_close(&connection, true)?;
    sqlite::configure_writer(&connection, &options).map_err(|error| match kind {
        FileKind::Fresh => not_made(error, &files),
        _ => refused(error, &files),
    })?;
    match kind {
        FileKind::Fresh => create(&connection).map_err(|error| not_made(error, &files))?,
        FileKind::Older => upgrade(&connection)?,
        FileKind::Ours => {}
    }
    // Moves the write-ahead log that a crash left to the database file and syncs it. Nothing after this rests on pages
    // that only the system's cache holds.
    checkpoint(&connection, &files)?;
    making.end();
    let folded = Timestamp(u64::from_le_bytes(Meta::Folded.read(&connection)?));
    let published = replay(&connection, folded, &options)?;
    let epoch = raise_epoch(&connection)?;
    let shared = Shared {
        published: ArcSwap::from_pointee(published),
        folded: AtomicU64::new(folded.0),
        appends: AtomicU64::new(0),
        stopped_by: OnceLock::new(),
        checkpoints: Checkpoints::default(),
        slots: Slots::default(),
        pins: Pins::default(),
        log_holds: LogHolds::default(),
        head_base: Mutex::new(HeadBase::default()),
        bases: Bases::default(),
        idle_readers: Mutex::new(Vec::new()),
        deployment: uuid::Uuid::from_bytes(Meta::Deployment.read(&connection)?),
        epoch,
        database: database_file(&files)?,
        files,
        options,
        _lock: lock,
    };
    Ok((shared, connection))
}

/// Older ones can lose a commit when a checkpoint races with a write.
pub(super) fn check_sqlite_version() -> Result<(), StorageError> {
    const OLDEST: i32 = 3_051_003;
    const OLDEST_TEXT: &str = "3.51.3";
    if rusqlite::version_number() < OLDEST {
        return Err(StorageError::OldSqlite {
            found: rusqlite::version().into(),
            needed: OLDEST_TEXT,
        });
    }
    Ok(())
}

fn directory(dir: &Path) -> Result<Files, StorageError> {
    let unwritable = |source| StorageError::Unwritable {
        dir: dir.into(),
        source,
    };
    private_directory(dir).map_err(unwritable)?;
    // Absolute, so that SQLite takes no part of it for a URI.
    Ok(Files::new(dir.canonicalize().map_err(unwritable)?))
}

fn lock(files: &Files) -> Result<File, StorageError> {
    let unwritable = |source| StorageError::Unwritable {
        dir: files.dir.clone(),
        source,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&files.lock)
        .map_err(unwritable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StorageError::InUse {
            dir: files.dir.clone(),
        }),
        Err(TryLockError::Error(source)) => Err(unwritable(source)),
    }
}

/// SQLite would delete the log of a database that is gone, and with it commits.
pub(super) fn refuse_log_without_database(files: &Files) -> Result<(), StorageError> {
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    if bytes(&files.database) == 0 && bytes(&files.wal) > 0 {
        return Err(StorageError::damaged(
            "there is a write-ahead log, but the database file is missing or empty",
        ));
    }
    Ok(())
}

/// Unless they are to be lost, as the caller names them.
fn refuse_hidden_commits(
    connection: &Connection,
    files: &Files,
    lose_after: Option<Timestamp>,
) -> Result<(), StorageError> {
    match (wal::check(connection, files), lose_after) {
        (Err(StorageError::HiddenCommits { kept, newest, .. }), Some(after)) if kept == after.0 => {
            let copy = wal::set_aside(files, after)?;
            tracing::warn!(
                after = kept,
                up_to = newest,
                log = %copy.display(),
                "commits behind damage are lost, as asked for; look at the rest with `vestibule verify`"
            );
            Ok(())
        }
        (checked, _) => checked,
    }
}

/// The creation of a new database, which a crash may interrupt. An empty file without this mark comes from a failed
/// copy or a full disk: opening it would silently restart that file's deployment from nothing.
struct Making(Option<PathBuf>);

impl Making {
    fn begin(files: &Files) -> Result<Making, StorageError> {
        let mark = files.dir.join(MAKING_FILE);
        let is_there = files.database.exists();
        let is_empty = fs::metadata(&files.database).is_ok_and(|metadata| metadata.len() == 0);
        if is_empty && !mark.exists() {
            return Err(StorageError::Empty {
                path: files.database.clone(),
            });
        }
        if is_there && !is_empty {
            return Ok(Making(None));
        }
        // SQLite gives its other files the mode of this one.
        let made = private_file(&mark).and_then(|_| private_file(&files.database));
        made.map_err(|source| StorageError::Unwritable {
            dir: files.dir.clone(),
            source,
        })?;
        Ok(Making(Some(mark)))
    }

    fn end(self) {
        // A mark that stays means nothing once the database has bytes.
        let _ = self.0.map(fs::remove_file);
    }
}

/// Stands beside a database that is being made.
const MAKING_FILE: &str = "vestibule.sqlite3-new";

fn connect(files: &Files) -> Result<Connection, StorageError> {
    sqlite::open_or_create(files).map_err(|error| refused(error, files))
}

/// Turns a failure to open or write a file into an error that the caller can act on.
fn refused(error: StorageError, files: &Files) -> StorageError {
    match error {
        StorageError::Sqlite(cause)
            if extended_code(&cause).is_some_and(|code| {
                matches!(code & 0xff, ffi::SQLITE_CANTOPEN | ffi::SQLITE_READONLY)
            }) =>
        {
            StorageError::Unwritable {
                dir: files.dir.clone(),
                source: io::Error::other(cause),
            }
        }
        // Not a Vestibule, which would hold the lock.
        StorageError::Sqlite(cause) if is_busy(&cause) => StorageError::InUse {
            dir: files.dir.clone(),
        },
        other => other,
    }
}

/// SQLite tells a disk that failed while a file became one with a write-ahead log as a lock of another program.
fn not_made(error: StorageError, files: &Files) -> StorageError {
    match error {
        StorageError::Sqlite(cause) if is_busy(&cause) => StorageError::NotMade {
            path: files.database.clone(),
        },
        other => refused(other, files),
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    extended_code(error).is_some_and(|code| code & 0xff == ffi::SQLITE_BUSY)
}

#[derive(PartialEq, Eq)]
pub(super) enum FileKind {
    Fresh,
    Ours,
    /// Ours, in an older format.
    Older,
}

/// Finds out whose file it is, before anything in it is changed.
pub(super) fn identify(connection: &Connection, files: &Files) -> Result<FileKind, StorageError> {
    let path = || files.database.clone();
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let application = match number("PRAGMA application_id") {
        Err(error)
            if extended_code(&error).is_some_and(|code| code & 0xff == ffi::SQLITE_NOTADB) =>
        {
            return Err(StorageError::NotADatabase { path: path() });
        }
        other => other.map_err(|error| refused(error.into(), files))?,
    };
    let format = number("PRAGMA user_version")?;
    match (application, format) {
        (APPLICATION_ID, FORMAT_VERSION) => Ok(FileKind::Ours),
        (APPLICATION_ID, FORMAT_VERSION_MIN..FORMAT_VERSION) => Ok(FileKind::Older),
        (APPLICATION_ID, found) if found > FORMAT_VERSION => Err(StorageError::NewerFormat {
            path: path(),
            found,
            supported: FORMAT_VERSION,
        }),
        (APPLICATION_ID, found) => Err(StorageError::damaged(format!(
            "format {found} never existed"
        ))),
        (0, 0) if number("SELECT count(*) FROM sqlite_schema")? == 0 => Ok(FileKind::Fresh),
        _ => Err(StorageError::Foreign { path: path() }),
    }
}

/// One transaction, so that a crash leaves a fresh file or ours.
fn create(connection: &Connection) -> Result<(), StorageError> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.execute_batch(TABLES)?;
    Meta::Folded.write(connection, &0u64.to_le_bytes())?;
    Meta::Epoch.write(connection, &0u64.to_le_bytes())?;
    Meta::Deployment.write(connection, uuid::Uuid::new_v4().as_bytes())?;
    connection.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT_VERSION}; COMMIT"
    ))?;
    Ok(())
}

/// Entries of older formats mean the same in this one, so the mark alone changes. Older programs then refuse the file.
fn upgrade(connection: &Connection) -> Result<(), StorageError> {
    tracing::info!(format = FORMAT_VERSION, "the store's format is raised");
    connection.execute_batch(&format!("PRAGMA user_version = {FORMAT_VERSION}"))?;
    Ok(())
}

fn database_file(files: &Files) -> Result<File, StorageError> {
    File::options()
        .write(true)
        .open(&files.database)
        .map_err(|source| StorageError::Unwritable {
            dir: files.dir.clone(),
            source,
        })
}

fn checkpoint(connection: &Connection, files: &Files) -> Result<(), StorageError> {
    let busy: bool =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy {
        // Not a Vestibule, which would hold the lock: another tool has a transaction open.
        return Err(StorageError::InUse {
            dir: files.dir.clone(),
        });
    }
    Ok(())
}

fn raise_epoch(connection: &Connection) -> Result<u64, StorageError> {
    let epoch = u64::from_le_bytes(Meta::Epoch.read(connection)?) + 1;
    Meta::Epoch.write(connection, &epoch.to_le_bytes())?;
    Ok(epoch)
}

/// Rebuilds the overlay from the rows after the fold position, each checked by itself and for its place. Rows up to the
/// fold position are left over from folding. The newest timestamp never goes back: it is the log's last, or the fold
/// position once every row is folded.
pub(super) fn replay(
    connection: &Connection,
    folded: Timestamp,
    options: &StoreOptions,
) -> Result<Published, StorageError> {
    let mut overlay = Overlay::new(folded, options.overlay_bytes_max);
    let mut ts = folded;
    let mut statement =
        connection.prepare("SELECT last_ts, body FROM log WHERE last_ts > ?1 ORDER BY last_ts")?;
    let after = i64::try_from(folded.0)
        .map_err(|_| StorageError::damaged("the fold position is out of range"))?;
    let mut rows = statement.query([after])?;
    while let Some(row) = rows.next()? {
        let stored_ts: i64 = row.get(0)?;
        let corrupted = |what| StorageError::CorruptedLog {
            ts: stored_ts,
            what,
        };
        let last =
            Timestamp(u64::try_from(stored_ts).map_err(|_| corrupted("a timestamp is negative"))?);
        let decoded = codec::decode_log_row(last, row.get_ref(1)?.as_blob()?)
            .ok_or_else(|| corrupted("a row does not match its checksum"))?;
        if decoded.previous != ts {
            return Err(corrupted("the row before it is missing"));
        }
        for commit in &decoded.commits {
            if commit.ts <= ts {
                return Err(corrupted("its commits are out of order"));
            }
            overlay.apply(commit.ts, commit.writes.iter());
            ts = commit.ts;
        }
        if ts != last {
            return Err(corrupted("its last commit is another"));
        }
    }
    Ok(Published { ts, overlay })
}
