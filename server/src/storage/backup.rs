//! Reading a store for a backup while everything goes on.
//!
//! No read transaction stays open: one would keep the write-ahead log from starting anew for as long as the backup takes.
//! Instead the entries are read in parts, each as of its own moment, and then the rows of the log since the first
//! moment. A key that changed meanwhile is in those rows with its newest value; any other key was read as it still is. So
//! entries and rows together are one state: that of the last row. A hold keeps the rows until they are read.

use rusqlite::Connection;
use std::sync::Arc;
use vestibule_schema::timestamp::Timestamp;

use super::appender::sql_ts;
use super::log_holds::LogHold;
use super::sqlite::{self, Meta};
use super::store::Shared;
use super::{Commit, StorageError, Store, StoreOptions, codec};

/// Bytes of entries, or of rows, that are read at a time.
const PART_BYTES: usize = 1 << 20;

/// A store as a backup reads it.
pub struct BackupReader {
    shared: Arc<Shared>,
    connection: Connection,
    hold: LogHold,
    /// The last key that was read.
    last_key: Option<Vec<u8>>,
    /// The last row that was read, or the fold position before there was one.
    last_row: Timestamp,
}

impl Store {
    /// Begins a backup of everything.
    pub fn begin_backup(&self) -> Result<BackupReader, StorageError> {
        let mut reader = BackupReader::new(&self.shared, Timestamp::ZERO)?;
        reader.last_row = Timestamp(u64::from_le_bytes(Meta::Folded.read(&reader.connection)?));
        reader.hold.advance(reader.last_row);
        Ok(reader)
    }

    /// Begins a backup that goes on from the state at `since` by the log alone. `None` where the log does not reach back to
    /// that state, or where that state is of another history.
    pub fn begin_log_backup(&self, since: Timestamp) -> Result<Option<BackupReader>, StorageError> {
        if i64::try_from(since.0).is_err() {
            return Ok(None);
        }
        let reader = BackupReader::new(&self.shared, since)?;
        let goes_on = match first_row_after(&reader.connection, since)? {
            Some((last, body)) => checked_row(last, &body)?.previous == since,
            None => self.durable_ts() == since,
        };
        Ok(goes_on.then_some(reader))
    }
}

impl BackupReader {
    fn new(shared: &Arc<Shared>, after: Timestamp) -> Result<BackupReader, StorageError> {
        // What is read once from end to end need not be mapped.
        let options = StoreOptions {
            mmap_bytes: 0,
            ..shared.options.clone()
        };
        Ok(BackupReader {
            shared: Arc::clone(shared),
            hold: LogHold::take(shared, after),
            connection: sqlite::open_reader(&shared.files, &options)?,
            last_key: None,
            last_row: after,
        })
    }

    /// The last commit of the rows read so far; before the first, the one that the rows go on from.
    pub fn reached(&self) -> Timestamp {
        self.last_row
    }

    /// Hands out the next entries with their values as they are stored, checked. False once there are no more.
    pub fn entries(&mut self, mut each: impl FnMut(&[u8], &[u8])) -> Result<bool, StorageError> {
        let mut statement = self.connection.prepare_cached(match self.last_key {
            None => "SELECT key, value FROM entries WHERE ?1 IS NULL ORDER BY key",
            Some(_) => "SELECT key, value FROM entries WHERE key > ?1 ORDER BY key",
        })?;
        let mut rows = statement.query([&self.last_key])?;
        let mut bytes = 0;
        let mut last = None;
        while let Some(row) = rows.next()? {
            let (key, value) = (row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
            if codec::unseal(key, value).is_none() {
                return Err(StorageError::CorruptedEntry {
                    key: key.to_vec().into(),
                });
            }
            each(key, value);
            bytes += key.len() + value.len();
            if bytes >= PART_BYTES {
                last = Some(key.to_vec());
                break;
            }
        }
        drop(rows);
        drop(statement);
        let more = last.is_some();
        self.last_key = last.or(self.last_key.take());
        Ok(more)
    }

    /// The newest durable commit. Asked after the last entries were read, it is at or after everything in them.
    pub fn newest(&self) -> Timestamp {
        self.shared.published.load().ts
    }

    /// Hands out the next rows of the log up to that of `until`, each checked by itself and for its place. False once
    /// there are no more.
    pub fn rows(
        &mut self,
        until: Timestamp,
        mut each: impl FnMut(Timestamp, &[u8]),
    ) -> Result<bool, StorageError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT last_ts, body FROM log WHERE last_ts > ?1 AND last_ts <= ?2 ORDER BY last_ts",
        )?;
        let mut rows = statement.query((sql_ts(self.last_row), sql_ts(until)))?;
        let mut bytes = 0;
        while bytes < PART_BYTES
            && let Some(row) = rows.next()?
        {
            let (last, body) = (row.get(0)?, row.get_ref(1)?.as_blob()?);
            let read = checked_row(last, body)?;
            if read.previous != self.last_row {
                return Err(StorageError::CorruptedLog {
                    ts: last,
                    what: "the row before it is missing",
                });
            }
            each(read.last, body);
            self.last_row = read.last;
            bytes += body.len();
        }
        if self.last_row < until && bytes < PART_BYTES {
            return Err(StorageError::CorruptedLog {
                ts: sql_ts(until),
                what: "the row is missing",
            });
        }
        // What was handed out is not needed any more.
        self.hold.advance(self.last_row);
        Ok(self.last_row < until)
    }
}

fn first_row_after(
    connection: &Connection,
    since: Timestamp,
) -> Result<Option<(i64, Vec<u8>)>, StorageError> {
    let mut statement = connection.prepare_cached(
        "SELECT last_ts, body FROM log WHERE last_ts > ?1 ORDER BY last_ts LIMIT 1",
    )?;
    let mut rows = statement.query([sql_ts(since)])?;
    match rows.next()? {
        Some(row) => Ok(Some((row.get(0)?, row.get(1)?))),
        None => Ok(None),
    }
}

struct CheckedRow {
    last: Timestamp,
    previous: Timestamp,
}

fn checked_row(stored_ts: i64, body: &[u8]) -> Result<CheckedRow, StorageError> {
    let corrupted = |what| StorageError::CorruptedLog {
        ts: stored_ts,
        what,
    };
    let last = u64::try_from(stored_ts).map_err(|_| corrupted("a timestamp is negative"))?;
    let (previous, _) = read_row(Timestamp(last), body)
        .ok_or_else(|| corrupted("a row does not match its checksum"))?;
    Ok(CheckedRow {
        last: Timestamp(last),
        previous,
    })
}

/// The commits of a row of the log, as it is stored under the timestamp of its last commit, and the row before it. `None`
/// where it does not match its checksum.
pub fn read_row(last: Timestamp, body: &[u8]) -> Option<(Timestamp, Vec<Commit>)> {
    let row = codec::decode_log_row(last, body)?;
    Some((row.previous, row.commits))
}
