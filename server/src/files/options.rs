//! The bounds and settings of files.

use std::time::Duration;

/// How long an upload URL is valid.
pub const UPLOAD_URL_LIFETIME: Duration = Duration::from_secs(3_600);
/// Longest content type, in bytes.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// Uploads at the same time.
pub const UPLOADS_MAX: usize = 2_048;
/// Downloads at the same time; each holds a file open.
pub const DOWNLOADS_MAX: usize = 2_048;
/// Bytes of a file that a function holds as a whole.
pub const FILE_IN_MEMORY_BYTES_MAX: u64 = 64 << 20;

/// Settings of files. The defaults bound what a client can take, and leave how much is stored to the disk.
#[derive(Clone, Debug)]
pub struct FilesOptions {
    /// Bytes of one file; no bound when not given.
    pub file_bytes_max: Option<u64>,
    /// Bytes of all files together; no bound when not given.
    pub total_bytes_max: Option<u64>,
    /// Uploads at the same time.
    pub uploads_max: usize,
    /// Downloads at the same time.
    pub downloads_max: usize,
    /// How long an upload may stay without a byte.
    pub upload_idle_max: Duration,
    /// How long an upload may take.
    pub upload_time_max: Duration,
    /// How long the content of a deleted file stays, for backups.
    pub deleted_kept_for: Duration,
    /// How old content without a document must be before it is swept.
    pub orphan_age: Duration,
    /// How often a sweep looks at the next part of the stored content.
    pub sweep_every: Duration,
}

impl Default for FilesOptions {
    fn default() -> FilesOptions {
        FilesOptions {
            file_bytes_max: None,
            total_bytes_max: None,
            uploads_max: UPLOADS_MAX,
            downloads_max: DOWNLOADS_MAX,
            upload_idle_max: Duration::from_secs(60),
            upload_time_max: Duration::from_secs(6 * 3_600),
            deleted_kept_for: Duration::ZERO,
            orphan_age: Duration::from_secs(3_600),
            sweep_every: Duration::from_secs(10),
        }
    }
}
