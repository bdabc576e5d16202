//! Contents of files, by a key that is never used again: written whole or not at all, durable once written.
//!
//! Content lies behind the interface of `object_store`, today in a directory. A content is written under a temporary
//! name, synced, renamed, and its directory synced; only then does [`BlobWriter::finish`] return. Keys are ours alone,
//! so no name that a client chose ever reaches the file system.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use object_store::{
    GetOptions, GetRange, GetResultPayload, MultipartUpload, ObjectStore, ObjectStoreExt,
    PutPayload,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::error::FileError;
use crate::storage::private_directory;

/// The directory of contents below the data directory.
const DIRECTORY: &str = "files";
/// Parts that the keys are divided into, by their first byte.
pub const SHARDS: u16 = 256;
/// Bytes gathered before they are written. Each upload holds as many, so a thousand slow ones hold 48 MiB.
const PART_BYTES: usize = 48 << 10;
/// Bytes read at a time. A slow download holds up to three times as many, because a connection asks for more while it
/// writes.
const READ_BYTES: usize = 32 << 10;

/// Bytes on their way to a reader.
pub type ByteStream = BoxStream<'static, Result<Bytes, FileError>>;

/// Where contents are kept.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// The directory, when that is where they are.
    local: Option<PathBuf>,
}

/// A content that is being written. Dropping it leaves nothing that a reader can find.
pub struct BlobWriter {
    store: Arc<dyn ObjectStore>,
    path: StorePath,
    upload: Box<dyn MultipartUpload>,
    part: BytesMut,
    hash: Sha256,
    bytes: u64,
}

/// A content that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// How many bytes it has.
    pub bytes: u64,
}

/// A content that a look at the store found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its key.
    pub key: Uuid,
    /// How many bytes it has.
    pub bytes: u64,
    /// When it was written, by the store's clock.
    pub written_at: SystemTime,
}

impl Blobs {
    /// Contents in a directory of the data directory, made when it is missing.
    pub fn in_directory(data: &Path) -> Result<Blobs, FileError> {
        let directory = data.join(DIRECTORY);
        private_directory(&directory)?;
        let store = LocalFileSystem::new_with_prefix(&directory)?.with_fsync(true);
        Ok(Blobs {
            store: Arc::new(store),
            local: Some(directory),
        })
    }

    /// Contents in another store.
    #[cfg(test)]
    pub fn in_store(store: Arc<dyn ObjectStore>) -> Blobs {
        Blobs { store, local: None }
    }

    /// Begins to write the content of `key`.
    pub async fn begin(&self, key: Uuid) -> Result<BlobWriter, FileError> {
        let path = path_of(key);
        Ok(BlobWriter {
            upload: self.store.put_multipart(&path).await?,
            store: self.store.clone(),
            path,
            part: BytesMut::new(),
            hash: Sha256::new(),
            bytes: 0,
        })
    }

    /// Part of a content, all of it when no range is given. The range must lie within it.
    pub async fn read(
        &self,
        key: Uuid,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<ByteStream, FileError> {
        let options = GetOptions {
            range: range.map(GetRange::Bounded),
            ..GetOptions::default()
        };
        let found = self.store.get_opts(&path_of(key), options).await;
        let found = found.map_err(|error| match error {
            object_store::Error::NotFound { .. } => FileError::ContentMissing(key),
            error => FileError::Store(error),
        })?;
        Ok(match found.payload {
            GetResultPayload::File(file, _) => read_file(file, found.range),
            GetResultPayload::Stream(stream) => stream.map(|part| Ok(part?)).boxed(),
        })
    }

    /// Removes a content. One that is not there is removed already.
    pub async fn delete(&self, key: Uuid) -> Result<(), FileError> {
        match self.store.delete(&path_of(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How many bytes a content has; `None` when it is not there.
    pub async fn size(&self, key: Uuid) -> Result<Option<u64>, FileError> {
        match self.store.head(&path_of(key)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The contents of one of the [`SHARDS`].
    pub async fn shard(&self, shard: u8) -> Result<Vec<Found>, FileError> {
        let prefix = StorePath::from(shard_name(shard));
        let mut listed = self.store.list(Some(&prefix));
        let mut found = Vec::new();
        while let Some(meta) = listed.next().await {
            let meta = match meta {
                Ok(meta) => meta,
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            // A file that is not named as a content is not ours to touch.
            let Some(key) = meta.location.filename().and_then(parse_key) else {
                continue;
            };
            found.push(Found {
                key,
                bytes: meta.size,
                written_at: meta.last_modified.into(),
            });
        }
        Ok(found)
    }

    /// Removes what uploads left in a shard that were cut short with the process: files under temporary names without a
    /// write for `age`. Returns how many there were.
    pub async fn remove_cut_short(&self, shard: u8, age: Duration) -> Result<usize, FileError> {
        let Some(directory) = &self.local else {
            return Ok(0);
        };
        let directory = directory.join(shard_name(shard));
        let removing = move || remove_temporary(&directory, age);
        let removed = tokio::task::spawn_blocking(removing).await;
        Ok(removed.map_err(|_| FileError::ShuttingDown)??)
    }
}

impl BlobWriter {
    /// Adds bytes.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), FileError> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            // A buffer that grows by itself would have twice the bytes of a part in the end.
            let room = PART_BYTES - self.part.len();
            self.part.reserve(room);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            // Copied, because small slices may each keep a large buffer.
            self.part.extend_from_slice(now);
            bytes = later;
            if self.part.len() == PART_BYTES {
                self.write_part().await?;
            }
        }
        Ok(())
    }

    /// How many bytes were added.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the content durable, or leaves nothing behind when its SHA-256 is not the one that is `expected`.
    pub async fn finish(mut self, expected: Option<[u8; 32]>) -> Result<Written, FileError> {
        let sha256: [u8; 32] = self.hash.finalize_reset().into();
        if let Some(expected) = expected.filter(|expected| *expected != sha256) {
            self.upload.abort().await?;
            return Err(FileError::Sha256Mismatch {
                expected: data_encoding::BASE64.encode(&expected),
                actual: data_encoding::BASE64.encode(&sha256),
            });
        }
        match self.bytes {
            // Some stores know no upload without a part.
            0 => {
                self.upload.abort().await?;
                self.store.put(&self.path, PutPayload::new()).await?;
            }
            _ => {
                self.write_part().await?;
                self.upload.complete().await?;
            }
        }
        Ok(Written {
            sha256,
            bytes: self.bytes,
        })
    }

    /// Leaves nothing behind.
    pub async fn abort(mut self) {
        if let Err(error) = self.upload.abort().await {
            tracing::warn!(%error, "an upload that ended early could not be removed");
        }
    }

    async fn write_part(&mut self) -> Result<(), FileError> {
        let part = self.part.split().freeze();
        if !part.is_empty() {
            self.upload.put_part(part.into()).await?;
        }
        Ok(())
    }
}

/// Where a content lies: `ab/ab12…`.
fn path_of(key: Uuid) -> StorePath {
    StorePath::from(format!("{}/{key}", shard_name(key.as_bytes()[0])))
}

/// Where contents lie below a data directory.
pub fn contents_directory(data: &Path) -> PathBuf {
    data.join(DIRECTORY)
}

/// Whether a data directory holds a content.
pub fn has_contents(data: &Path) -> bool {
    let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten();
    entries(&contents_directory(data)).any(|shard| entries(&shard.path()).next().is_some())
}

/// Where a content lies below a data directory.
pub fn content_file(data: &Path, key: Uuid) -> PathBuf {
    let shard = shard_name(key.as_bytes()[0]);
    contents_directory(data).join(shard).join(key.to_string())
}

fn shard_name(shard: u8) -> String {
    format!("{shard:02x}")
}

fn parse_key(name: &str) -> Option<Uuid> {
    let key = Uuid::try_parse(name).ok()?;
    (key.to_string() == name).then_some(key)
}

fn read_file(file: std::fs::File, range: std::ops::Range<u64>) -> ByteStream {
    let file = Arc::new(file);
    stream::try_unfold(range, move |range| {
        let file = file.clone();
        async move {
            let left = range.end.saturating_sub(range.start);
            if left == 0 {
                return Ok(None);
            }
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(READ_BYTES);
            // Made here: a thread that waits for the disk would keep memory of its own for the buffers of others.
            let mut bytes = vec![0; wanted];
            if !read_cached(&file, &mut bytes, range.start) {
                let reading = tokio::task::spawn_blocking(move || {
                    file.read_exact_at(&mut bytes, range.start)?;
                    std::io::Result::Ok(bytes)
                });
                bytes = reading.await.map_err(|_| FileError::ShuttingDown)??;
            }
            let rest = range.start + bytes.len() as u64..range.end;
            Ok(Some((Bytes::from(bytes), rest)))
        }
    })
    .boxed()
}

/// Reads what the system has in memory, as most of what is downloaded, and saves the way to a thread that may wait for the
/// disk. False where that is not all of it, or the file system does not say.
#[cfg(target_os = "linux")]
fn read_cached(file: &std::fs::File, bytes: &mut [u8], at: u64) -> bool {
    use rustix::io::{ReadWriteFlags, preadv2};
    let wanted = bytes.len();
    let mut slices = [std::io::IoSliceMut::new(bytes)];
    preadv2(file, &mut slices, at, ReadWriteFlags::NOWAIT) == Ok(wanted)
}

#[cfg(not(target_os = "linux"))]
fn read_cached(_: &std::fs::File, _: &mut [u8], _: u64) -> bool {
    false
}

fn remove_temporary(directory: &Path, age: Duration) -> std::io::Result<usize> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        // `object_store` writes to `name#1`, `name#2` and so on.
        let is_temporary = name.to_str().is_some_and(|name| {
            name.split_once('#')
                .is_some_and(|(key, _)| parse_key(key).is_some())
        });
        if !is_temporary {
            continue;
        }
        let modified = entry.metadata().and_then(|meta| meta.modified());
        let Ok(modified) = modified else { continue };
        if modified.elapsed().is_ok_and(|elapsed| elapsed >= age) {
            std::fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}
