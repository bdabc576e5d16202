//! The bounds and settings of imports and exports.

use std::time::Duration;

/// Parts of one upload, numbered from 1.
pub const PARTS_MAX: u32 = 9_999;
/// Uploads and imports that are kept at the same time.
pub const IMPORTS_MAX: usize = 100;
/// Entries of an archive.
pub const ENTRIES_MAX: usize = 1_000_000;
/// Documents of one commit.
pub const BATCH_DOCUMENTS_MAX: usize = 256;
/// Bytes of one commit's documents.
pub const BATCH_BYTES_MAX: usize = 2 << 20;
/// Entries of search and vector indexes that a commit's documents may have before the next document is one of another
/// commit.
pub const BATCH_INDEX_ENTRIES_MAX: usize = 65_536;
/// Commits that are on their way at the same time.
pub const BATCHES_UNDER_WAY_MAX: usize = 4;

/// Settings of imports and exports.
#[derive(Clone, Debug)]
pub struct TransferOptions {
    /// Bytes of one part of an upload.
    pub part_bytes_max: u64,
    /// Bytes of one upload.
    pub upload_bytes_max: u64,
    /// Bytes of everything in an archive together, unpacked.
    pub unpacked_bytes_max: u64,
    /// How many times larger than packed an archive may be that unpacks to more than a gigabyte.
    pub unpacked_ratio_max: u64,
    /// How long an upload that is not finished waits for its next bytes.
    pub unfinished_kept_for: Duration,
    /// How long an import waits for its next step.
    pub import_kept_for: Duration,
    /// How long an export can be downloaded.
    pub export_kept_for: Duration,
    /// How far ahead the end of an export may be set.
    pub export_kept_for_max: Duration,
}

/// How long a part of an upload may bring nothing.
pub const PART_IDLE_MAX: Duration = Duration::from_secs(60);

const DAY: Duration = Duration::from_secs(86_400);

impl Default for TransferOptions {
    fn default() -> TransferOptions {
        TransferOptions {
            part_bytes_max: 512 << 20,
            upload_bytes_max: 1 << 40,
            unpacked_bytes_max: 4 << 40,
            unpacked_ratio_max: 200,
            unfinished_kept_for: Duration::from_secs(60 * 60),
            import_kept_for: 7 * DAY,
            export_kept_for: 14 * DAY,
            export_kept_for_max: 60 * DAY,
        }
    }
}
