//! Counters and gauges of files.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The metrics of files on `/metrics`.
#[derive(Clone, Debug, Default)]
pub struct FileMetrics {
    /// Bytes of all contents, those without a document included until they are swept.
    pub stored_bytes: Gauge<u64, AtomicU64>,
    /// Files that were stored.
    pub uploads: Counter,
    /// Files that were begun and not stored.
    pub failed_uploads: Counter,
    /// Bytes of the files that were stored.
    pub uploaded_bytes: Counter,
    /// Uploads under way.
    pub uploads_under_way: Gauge,
    /// Files, or parts of them, that a client began to read.
    pub downloads: Counter,
    /// Bytes that were handed to readers.
    pub downloaded_bytes: Counter,
    /// Contents removed because their file was deleted.
    pub deleted: Counter,
    /// Contents removed because no document names them.
    pub swept: Counter,
}

impl FileMetrics {
    /// Registers them under `files_*`.
    pub fn register(registry: &mut Registry) -> FileMetrics {
        let metrics = FileMetrics::default();
        let files = registry.sub_registry_with_prefix("files");
        let gauge = metrics.stored_bytes.clone();
        files.register("stored_bytes", "Bytes of all stored contents", gauge);
        let gauge = metrics.uploads_under_way.clone();
        files.register("uploads_under_way", "Files that are arriving", gauge);
        let counters = [
            ("uploads", "Files stored", &metrics.uploads),
            (
                "failed_uploads",
                "Files begun and not stored",
                &metrics.failed_uploads,
            ),
            (
                "uploaded_bytes",
                "Bytes of files stored",
                &metrics.uploaded_bytes,
            ),
            ("downloads", "Files read", &metrics.downloads),
            (
                "downloaded_bytes",
                "Bytes of files read",
                &metrics.downloaded_bytes,
            ),
            (
                "deleted_contents",
                "Contents removed after their file was deleted",
                &metrics.deleted,
            ),
            (
                "swept_contents",
                "Contents removed because no document names them",
                &metrics.swept,
            ),
        ];
        for (name, help, counter) in counters {
            files.register(name, help, counter.clone());
        }
        metrics
    }
}
