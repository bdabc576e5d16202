//! The content of all files of a run. It is one block of random bytes again and again, so that a file of any size takes no memory
//! here.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

const BLOCK_BYTES: usize = 64 << 10;

/// The content of a file.
#[derive(Clone)]
pub struct Content {
    block: Vec<u8>,
    /// How long it is.
    pub bytes: u64,
}

impl Content {
    /// Content of this length.
    pub fn new(bytes: u64, seed: u64) -> Content {
        let mut block = vec![0; BLOCK_BYTES];
        SmallRng::seed_from_u64(seed).fill_bytes(&mut block);
        Content { block, bytes }
    }

    /// The bytes at `from`: at most `most`, and none at the end.
    pub fn piece(&self, from: u64, most: usize) -> &[u8] {
        let at = (from % BLOCK_BYTES as u64) as usize;
        let left = usize::try_from(self.bytes.saturating_sub(from)).unwrap_or(usize::MAX);
        let length = most.min(left).min(BLOCK_BYTES - at);
        &self.block[at..at + length]
    }

    /// Whether these are the bytes at `from`.
    pub fn is_at(&self, from: u64, bytes: &[u8]) -> bool {
        let mut compared = 0;
        while compared < bytes.len() {
            let piece = self.piece(from + compared as u64, bytes.len() - compared);
            if piece.is_empty() || piece != &bytes[compared..compared + piece.len()] {
                return false;
            }
            compared += piece.len();
        }
        true
    }

    /// Writes it into a new file, and hands that back.
    pub fn write_to(&self, path: &Path) -> io::Result<File> {
        let mut file = File::create(path)?;
        let mut written = 0;
        while written < self.bytes {
            let piece = self.piece(written, BLOCK_BYTES);
            file.write_all(piece)?;
            written += piece.len() as u64;
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_byte_or_one_too_many_is_seen() {
        let content = Content::new(BLOCK_BYTES as u64 + 10, 1);
        let mut whole = Vec::new();
        while whole.len() as u64 != content.bytes {
            whole.extend_from_slice(content.piece(whole.len() as u64, 1_000));
        }
        assert!(content.is_at(0, &whole) && content.is_at(7, &whole[7..]));
        assert!(!content.is_at(8, &whole[7..]));
        assert!(!content.is_at(11, &whole[10..]) && content.is_at(content.bytes, &[]));
        whole[BLOCK_BYTES + 3] ^= 1;
        assert!(!content.is_at(0, &whole));
    }
}
