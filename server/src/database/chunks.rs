//! Chunks: texts too large for documents, stored under the hash of their content.
//!
//! A chunk never changes, so nothing that reads one depends on anything but its hash. Documents name the chunks that
//! they need; what no document names may be removed.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use sha2::{Digest, Sha256};

use super::error::DatabaseError;
use super::keys::IndexId;
use super::transaction::Transaction;
use crate::storage::{Direction, StorageError};

/// The SHA-256 of a chunk's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkHash(pub [u8; 32]);

impl ChunkHash {
    /// The hash of `content`.
    pub fn of(content: &[u8]) -> ChunkHash {
        ChunkHash(Sha256::digest(content).into())
    }

    /// The hash that [`Display`](std::fmt::Display) wrote: 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<ChunkHash> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes());
        bytes.ok()?.try_into().ok().map(ChunkHash)
    }

    fn key(&self) -> Bytes {
        IndexId::CHUNKS.key(&self.0)
    }
}

impl std::fmt::Display for ChunkHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl Transaction<'_> {
    /// Keeps `content`, compressed, unless it is kept already.
    pub fn put_chunk(&mut self, content: &[u8]) -> Result<ChunkHash, DatabaseError> {
        let hash = ChunkHash::of(content);
        let key = hash.key();
        if self.read_system(&key)?.is_none() {
            self.write_system(key, Some(compress(content)));
        }
        Ok(hash)
    }

    /// The text stored under `hash`; `None` when it is not there.
    pub fn chunk(&mut self, hash: &ChunkHash) -> Result<Option<Vec<u8>>, DatabaseError> {
        let key = hash.key();
        let Some(stored) = self.read_system(&key)? else {
            return Ok(None);
        };
        let content = decompress(&stored).filter(|content| ChunkHash::of(content) == *hash);
        match content {
            Some(content) => Ok(Some(content)),
            None => Err(self.break_with(StorageError::misplaced(&key, "a chunk is damaged"))),
        }
    }

    /// At most `max` hashes of chunks behind `after`, in ascending order.
    pub fn chunks_after(
        &mut self,
        after: Option<ChunkHash>,
        max: usize,
    ) -> Result<Vec<ChunkHash>, DatabaseError> {
        let mut range = IndexId::CHUNKS.range();
        if let Some(after) = after {
            range.start = crate::storage::successor(&after.key());
        }
        let entries = self.scan_system(range, Direction::Forward, max)?;
        let hashes = entries.iter().filter_map(|(key, _)| key.last_chunk::<32>());
        Ok(hashes.map(|hash| ChunkHash(*hash)).collect())
    }

    /// Removes a chunk that no document names any more.
    pub fn remove_chunk(&mut self, hash: &ChunkHash) {
        self.write_system(hash.key(), None);
    }
}

fn compress(content: &[u8]) -> Bytes {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(content)
        .and_then(|()| encoder.finish())
        .expect("writing into memory does not fail")
        .into()
}

fn decompress(stored: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    DeflateDecoder::new(stored).read_to_end(&mut content).ok()?;
    Some(content)
}
