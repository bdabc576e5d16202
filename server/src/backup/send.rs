//! Reading a deployment for a backup, as frames: entries, rows of the log, private files, contents of files.
//!
//! Contents are listed after the rows were read, and none is removed meanwhile. So every file of the state that is sent has
//! its content among them. Contents beyond that have no document in that state, and a restored server sweeps them.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::runtime::Handle;
use uuid::Uuid;
use vestibule_schema::timestamp::Timestamp;

use super::BackupError;
use super::frames::{End, Header, Kind, frame, json_frame, put_len};
use crate::auth::PRIVATE_FILES;
use crate::files::{Blobs, FileError, SHARDS};
use crate::storage::{BackupReader, StorageError, Store};

/// How much earlier than the last backup a content may have been written and still be sent. Clocks of file systems are
/// coarse, and may be set back.
const CONTENT_MARGIN: Duration = Duration::from_secs(3600);

/// Where the parts of a deployment are.
pub struct Source {
    /// The database.
    pub store: Store,
    /// The contents of files.
    pub blobs: Blobs,
    /// The data directory, for its private files.
    pub data: PathBuf,
}

/// The parts that a receiver lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The newest state that it has. Where the log reaches back to it, the log alone is sent.
    pub log_since: Option<Timestamp>,
    /// When that was begun, in milliseconds since 1970 by the sender's clock: it has the contents that are older.
    pub contents_since: Option<i64>,
}

/// Where the frames go.
pub(super) type Out<'o> = &'o mut dyn FnMut(Bytes) -> Result<(), BackupError>;

impl Source {
    /// Hands the frames of a backup to `out`, one after another. To be called on a thread that may wait. After a
    /// failure, the last frame says so.
    pub fn send(&self, wanted: &Wanted, runtime: &Handle, out: Out<'_>) -> Result<(), BackupError> {
        let sent = self.send_all(wanted, runtime, out);
        if let Err(error) = &sent
            && !matches!(error, BackupError::ReaderGone)
        {
            // The reader is told why, if it is still there.
            let _ = out(frame(Kind::Failed, error.to_string().as_bytes()));
        }
        sent
    }

    fn send_all(&self, wanted: &Wanted, runtime: &Handle, out: Out<'_>) -> Result<(), BackupError> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since_epoch.unwrap_or_default().as_millis();
        let going_on = match wanted.log_since {
            Some(since) => self.store.begin_log_backup(since)?,
            None => None,
        };
        let is_base = going_on.is_none();
        let mut reader = match going_on {
            Some(reader) => reader,
            None => self.store.begin_backup()?,
        };
        out(json_frame(
            Kind::Header,
            &Header {
                deployment: self.store.deployment_id(),
                epoch: self.store.epoch(),
                from: reader.reached().0,
                is_base,
                started_at: i64::try_from(now).unwrap_or(i64::MAX),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
        ))?;
        let entries = match is_base {
            true => send_entries(&mut reader, out)?,
            false => 0,
        };
        let ts = reader.newest();
        let rows = send_rows(&mut reader, ts, out)?;
        drop(reader);
        self.send_private(out)?;
        let contents = self.send_contents(wanted, runtime, out)?;
        out(json_frame(
            Kind::End,
            &End {
                ts: ts.0,
                entries,
                rows,
                contents,
            },
        ))
    }

    fn send_private(&self, out: Out<'_>) -> Result<(), BackupError> {
        for name in PRIVATE_FILES {
            let path = self.data.join(name);
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(BackupError::at(&path)(error)),
            };
            let mut payload = Vec::new();
            put_len(&mut payload, name.len());
            payload.extend_from_slice(name.as_bytes());
            payload.extend_from_slice(&bytes);
            out(frame(Kind::Private, &payload))?;
        }
        Ok(())
    }

    fn send_contents(
        &self,
        wanted: &Wanted,
        runtime: &Handle,
        out: Out<'_>,
    ) -> Result<u64, BackupError> {
        let since = wanted.contents_since.and_then(|millis| {
            let since = UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).ok()?);
            since.checked_sub(CONTENT_MARGIN)
        });
        let mut count = 0;
        for shard in 0..SHARDS {
            let mut skipped = Vec::new();
            for found in runtime.block_on(self.blobs.shard(shard as u8))? {
                count += 1;
                match since {
                    Some(since) if found.written_at < since => {
                        skipped.extend_from_slice(found.key.as_bytes());
                    }
                    _ => self.send_content(found.key, found.bytes, runtime, out)?,
                }
            }
            if !skipped.is_empty() {
                out(frame(Kind::Skipped, &skipped))?;
            }
        }
        Ok(count)
    }

    fn send_content(
        &self,
        key: Uuid,
        bytes: u64,
        runtime: &Handle,
        out: Out<'_>,
    ) -> Result<(), BackupError> {
        let announced = [&key.as_bytes()[..], &bytes.to_le_bytes()].concat();
        out(frame(Kind::Content, &announced))?;
        let mut content = runtime.block_on(self.blobs.read(key, Some(0..bytes)))?;
        while let Some(part) = runtime.block_on(content.next()) {
            let part: Bytes = part.map_err(|error: FileError| error)?;
            out(frame(Kind::Bytes, &part))?;
        }
        Ok(())
    }
}

fn send_entries(reader: &mut BackupReader, out: Out<'_>) -> Result<u64, BackupError> {
    let mut count = 0;
    loop {
        let mut payload = Vec::new();
        let more = reader.entries(|key, sealed| {
            put_len(&mut payload, key.len());
            payload.extend_from_slice(key);
            put_len(&mut payload, sealed.len());
            payload.extend_from_slice(sealed);
            count += 1;
        })?;
        if !payload.is_empty() {
            out(frame(Kind::Entries, &payload))?;
        }
        if !more {
            return Ok(count);
        }
    }
}

fn send_rows(
    reader: &mut BackupReader,
    until: Timestamp,
    out: Out<'_>,
) -> Result<u64, BackupError> {
    let mut count = 0;
    while reader.reached() < until {
        let mut payload = Vec::new();
        reader.rows(until, |last, body| {
            payload.extend_from_slice(&last.0.to_le_bytes());
            put_len(&mut payload, body.len());
            payload.extend_from_slice(body);
            count += 1;
        })?;
        if payload.is_empty() {
            return Err(StorageError::CorruptedLog {
                ts: i64::try_from(until.0).unwrap_or(i64::MAX),
                what: "the row is missing",
            }
            .into());
        }
        out(frame(Kind::Rows, &payload))?;
    }
    Ok(count)
}
