//! Looking at a store that nobody uses, without changing a byte of its database: structure, checksums, the order of the
//! log. It reports what it finds and goes on, so that one damage does not hide another.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rusqlite::Connection;
use uuid::Uuid;
use vestibule_schema::timestamp::Timestamp;

use super::backup::read_row;
use super::bases::Bases;
use super::checkpoint::Checkpoints;
use super::head::HeadBase;
use super::log_holds::LogHolds;
use super::open::{self, FileKind};
use super::pins::Pins;
use super::slots::Slots;
use super::sqlite::{self, Files, Meta};
use super::store::Shared;
use super::{Snapshot, StorageError, StoreOptions, codec, wal};

/// The result of an inspection.
pub struct Inspected {
    /// The state, unless the log or the bookkeeping is damaged.
    pub snapshot: Option<Snapshot>,
    /// The number of entries in the table.
    pub entries: u64,
    /// The number of rows in the log.
    pub rows: u64,
}

/// Faults of SQLite's own check that are told one by one.
const STRUCTURE_FAULTS_MAX: usize = 100;

/// Looks at the store in `dir`. An error says that it cannot be looked at; damage goes to `found`.
pub fn inspect(dir: &Path, found: &mut dyn FnMut(StorageError)) -> Result<Inspected, StorageError> {
    open::check_sqlite_version()?;
    let missing = || StorageError::Missing { dir: dir.into() };
    let files = Files::new(dir.canonicalize().map_err(|_| missing())?);
    if !files.database.exists() {
        return Err(missing());
    }
    let lock = lock(&files)?;
    open::refuse_log_without_database(&files)?;
    // What is read once from end to end need not be mapped.
    let options = StoreOptions {
        mmap_bytes: 0,
        ..StoreOptions::default()
    };
    let connection = sqlite::open_reader(&files, &options)?;
    if open::identify(&connection, &files)? == FileKind::Fresh {
        return Err(missing());
    }
    if let Err(error) = wal::check(&connection, &files) {
        found(error);
    }
    check_structure(&connection, found);
    let entries = check_entries(&connection, found);
    let (rows, is_log_whole) = check_log(&connection, found);
    let shared = share(&connection, files, lock, options);
    let snapshot = shared.and_then(|shared| Snapshot::take(&Arc::new(shared)));
    Ok(Inspected {
        snapshot: match snapshot {
            Ok(snapshot) => Some(snapshot),
            // The row that it failed at was told.
            Err(StorageError::CorruptedLog { .. }) if !is_log_whole => None,
            Err(error) => {
                found(error);
                None
            }
        },
        entries,
        rows,
    })
}

/// A server that begins meanwhile is refused. A file that was never opened as a store has no lock of its own.
fn lock(files: &Files) -> Result<File, StorageError> {
    let unreadable = |source| StorageError::Unwritable {
        dir: files.dir.clone(),
        source,
    };
    let (file, locked) = match File::open(&files.lock) {
        Ok(file) => {
            let locked = file.try_lock();
            (file, locked)
        }
        Err(_) => {
            let file = File::open(&files.database).map_err(unreadable)?;
            let locked = file.try_lock_shared();
            (file, locked)
        }
    };
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StorageError::InUse {
            dir: files.dir.clone(),
        }),
        Err(TryLockError::Error(source)) => Err(unreadable(source)),
    }
}

fn check_structure(connection: &Connection, found: &mut dyn FnMut(StorageError)) {
    let mut check = || -> Result<(), StorageError> {
        let sql = format!("PRAGMA integrity_check({STRUCTURE_FAULTS_MAX})");
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let text: String = row.get(0)?;
            if text != "ok" {
                found(StorageError::damaged(text));
            }
        }
        Ok(())
    };
    if let Err(error) = check() {
        found(error);
    }
}

fn check_entries(connection: &Connection, found: &mut dyn FnMut(StorageError)) -> u64 {
    let mut count = 0;
    let mut check = || -> Result<(), StorageError> {
        let mut statement = connection.prepare("SELECT key, value FROM entries ORDER BY key")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (key, value) = (row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
            count += 1;
            if codec::unseal(key, value).is_none() {
                found(StorageError::CorruptedEntry {
                    key: key.to_vec().into(),
                });
            }
        }
        Ok(())
    };
    if let Err(error) = check() {
        found(error);
    }
    count
}

/// Each row by itself, and whether they are a chain. The first may go on from a row that was deleted.
fn check_log(connection: &Connection, found: &mut dyn FnMut(StorageError)) -> (u64, bool) {
    let (mut count, mut is_whole) = (0, true);
    let mut found = |error| {
        is_whole = false;
        found(error);
    };
    let mut check = || -> Result<(), StorageError> {
        let mut statement = connection.prepare("SELECT last_ts, body FROM log ORDER BY last_ts")?;
        let mut rows = statement.query([])?;
        let mut before: Option<u64> = None;
        while let Some(row) = rows.next()? {
            let ts: i64 = row.get(0)?;
            let last = u64::try_from(ts).ok();
            let read = last
                .and_then(|last| read_row(Timestamp(last), row.get_ref(1).ok()?.as_blob().ok()?));
            count += 1;
            let corrupted = |what| StorageError::CorruptedLog { ts, what };
            match (read, before) {
                (None, _) => found(corrupted("a row does not match its checksum")),
                (Some((previous, _)), Some(before)) if previous.0 != before => {
                    found(corrupted("the row before it is missing"));
                }
                (Some(_), _) => {}
            }
            before = last;
        }
        Ok(())
    };
    if let Err(error) = check() {
        found(error);
    }
    (count, is_whole)
}

/// The store as it would be opened, to be read alone.
fn share(
    connection: &Connection,
    files: Files,
    lock: File,
    options: StoreOptions,
) -> Result<Shared, StorageError> {
    let folded = Timestamp(u64::from_le_bytes(Meta::Folded.read(connection)?));
    let deployment = Uuid::from_bytes(Meta::Deployment.read(connection)?);
    let epoch = u64::from_le_bytes(Meta::Epoch.read(connection)?);
    let published = open::replay(connection, folded, &options)?;
    let database = File::open(&files.database).map_err(|source| StorageError::Unwritable {
        dir: files.dir.clone(),
        source,
    })?;
    Ok(Shared {
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
        deployment,
        epoch,
        database,
        files,
        options,
        _lock: lock,
    })
}
