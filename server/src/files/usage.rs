//! How many bytes all contents have, and the quotas on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::FileError;
use super::options::FilesOptions;

/// Bytes that are stored, and bytes that are on their way.
#[derive(Clone, Debug, Default)]
pub(super) struct StoredBytes {
    stored: Arc<AtomicU64>,
    arriving: Arc<AtomicU64>,
}

/// Bytes set aside for a file that is arriving. Dropping it gives them back.
#[derive(Debug)]
pub(super) struct Room {
    usage: StoredBytes,
    bytes: u64,
}

impl StoredBytes {
    /// Bytes of everything that is stored.
    pub fn bytes(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// Counts a content that is stored.
    pub fn add(&self, bytes: u64) {
        self.stored.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a content that is gone.
    pub fn remove(&self, bytes: u64) {
        let less = |stored: u64| Some(stored.saturating_sub(bytes));
        let _ = self
            .stored
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Room for `bytes` of a file.
    pub fn reserve(&self, bytes: u64, options: &FilesOptions) -> Result<Room, FileError> {
        let mut room = Room {
            usage: self.clone(),
            bytes: 0,
        };
        room.grow_to(bytes, options)?;
        Ok(room)
    }
}

impl Room {
    /// Room for `bytes` instead.
    pub fn grow_to(&mut self, bytes: u64, options: &FilesOptions) -> Result<(), FileError> {
        if let Some(max) = options.file_bytes_max.filter(|max| bytes > *max) {
            return Err(FileError::TooLarge { max });
        }
        let more = bytes.saturating_sub(self.bytes);
        let arriving = self.usage.arriving.fetch_add(more, Ordering::Relaxed) + more;
        self.bytes += more;
        let all = self.usage.bytes().saturating_add(arriving);
        match options.total_bytes_max.filter(|max| all > *max) {
            // Dropping this gives back what was taken too much.
            Some(max) => Err(FileError::QuotaExceeded { max }),
            None => Ok(()),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.usage.arriving.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(file: Option<u64>, total: Option<u64>) -> FilesOptions {
        FilesOptions {
            file_bytes_max: file,
            total_bytes_max: total,
            ..FilesOptions::default()
        }
    }

    #[test]
    fn files_that_arrive_at_once_share_the_quota() {
        let usage = StoredBytes::default();
        let options = options(None, Some(100));
        usage.add(40);
        let mut first = usage.reserve(30, &options).unwrap();
        assert!(usage.reserve(31, &options).is_err());
        let second = usage.reserve(30, &options).unwrap();
        assert!(first.grow_to(31, &options).is_err());
        drop((first, second));
        assert!(usage.reserve(60, &options).is_ok());
        usage.remove(1_000);
        assert!(usage.reserve(100, &options).is_ok());
    }

    #[test]
    fn one_file_has_a_bound_of_its_own() {
        let usage = StoredBytes::default();
        let options = options(Some(10), None);
        let mut room = usage.reserve(10, &options).unwrap();
        let refused = room.grow_to(11, &options);
        assert!(matches!(refused, Err(FileError::TooLarge { max: 10 })));
    }
}
