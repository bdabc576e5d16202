//! Reads of the folded state: one read-only connection, its read transaction, and checked entries.

use bytes::Bytes;
use rusqlite::{CachedStatement, Connection, Rows};
use vestibule_schema::timestamp::Timestamp;

use super::sqlite::{self, Files, Meta};
use super::{Direction, KeyRange, StorageError, StoreOptions, codec};

/// A fetch ends early once it holds this many bytes, so that chunks of large values stay small.
const FETCH_BYTES_MAX: usize = 256 << 10;

/// A read-only connection to the base. After an error of SQLite its owner drops it and opens another.
pub(super) struct BaseReader {
    connection: Connection,
}

impl BaseReader {
    pub fn open(files: &Files, options: &StoreOptions) -> Result<Self, StorageError> {
        Ok(Self {
            connection: sqlite::open_reader(files, options)?,
        })
    }

    /// Begins a read transaction on the newest committed state and returns its fold position.
    pub fn begin(&self) -> Result<Timestamp, StorageError> {
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        // The first read fixes the state that the transaction sees.
        Meta::Folded
            .read(&self.connection)
            .map(|bytes| Timestamp(u64::from_le_bytes(bytes)))
    }

    pub fn end(&self) -> Result<(), StorageError> {
        self.connection.prepare_cached("ROLLBACK")?.execute([])?;
        Ok(())
    }

    pub fn value(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT value FROM entries WHERE key = ?1")?;
        let mut rows = statement.query([key])?;
        match rows.next()? {
            Some(row) => checked(key, row.get_ref(0)?.as_blob()?).map(Some),
            None => Ok(None),
        }
    }

    /// Hands out up to `count` entries of the range in the direction; false once there are no more.
    pub fn read(
        &self,
        range: &KeyRange,
        direction: Direction,
        count: usize,
        mut each: impl FnMut(Bytes, Bytes),
    ) -> Result<bool, StorageError> {
        let mut statement = self.range_statement(range, direction)?;
        let mut rows = bind_range(&mut statement, range)?;
        let mut bytes = 0;
        for _ in 0..count {
            let Some(row) = rows.next()? else {
                return Ok(false);
            };
            let key = row.get_ref(0)?.as_blob()?;
            let value = checked(key, row.get_ref(1)?.as_blob()?)?;
            bytes += key.len() + value.len();
            each(Bytes::copy_from_slice(key), value);
            if bytes >= FETCH_BYTES_MAX {
                break;
            }
        }
        Ok(true)
    }

    fn range_statement(
        &self,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<CachedStatement<'_>, StorageError> {
        let sql = match (direction, &range.end) {
            (Direction::Forward, Some(_)) => {
                "SELECT key, value FROM entries WHERE key >= ?1 AND key < ?2 ORDER BY key"
            }
            (Direction::Forward, None) => {
                "SELECT key, value FROM entries WHERE key >= ?1 ORDER BY key"
            }
            (Direction::Reverse, Some(_)) => {
                "SELECT key, value FROM entries WHERE key >= ?1 AND key < ?2 ORDER BY key DESC"
            }
            (Direction::Reverse, None) => {
                "SELECT key, value FROM entries WHERE key >= ?1 ORDER BY key DESC"
            }
        };
        Ok(self.connection.prepare_cached(sql)?)
    }
}

fn bind_range<'s>(
    statement: &'s mut CachedStatement<'_>,
    range: &KeyRange,
) -> Result<Rows<'s>, StorageError> {
    Ok(match &range.end {
        Some(end) => statement.query((&range.start[..], &end[..]))?,
        None => statement.query([&range.start[..]])?,
    })
}

fn checked(key: &[u8], stored: &[u8]) -> Result<Bytes, StorageError> {
    match codec::unseal(key, stored) {
        Some(value) => Ok(Bytes::copy_from_slice(value)),
        None => Err(StorageError::CorruptedEntry {
            key: Bytes::copy_from_slice(key),
        }),
    }
}
