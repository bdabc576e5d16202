//! The files room: contents of any size beside the database, and the documents that name them.
//!
//! A content is durable before its documents commit, and its documents are gone before it is removed. So no document is
//! ever without content; content without a document is what a crash leaves between the two, and is swept.
//!
//! Entry points: `receive.rs` takes a file in, `operations.rs` is what functions do, `sweep.rs` removes what is left
//! over, `blobs.rs` is where contents lie.

mod blobs;
mod check;
mod error;
mod holds;
mod metrics;
mod moving;
mod operations;
mod options;
mod receive;
mod rows;
mod storage_id;
mod sweep;
#[cfg(test)]
mod tests;
mod underway;
mod upload_token;
mod usage;
pub(crate) mod work;

use std::ops::Deref;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

pub use blobs::{Blobs, ByteStream, SHARDS, content_file, contents_directory, has_contents};
pub use check::check_contents;
pub use error::FileError;
pub use holds::Hold;
pub use metrics::FileMetrics;
pub use operations::{FileMetadata, LoadedFile, OpenFile, UPLOAD_PATH};
pub use options::FilesOptions;
pub use receive::{Announced, BrokenOff};
pub use rows::{FileRow, OBJECTS, STORAGE, note_gone, object_fields, parse_sha256};
pub use storage_id::parse_uuid;
pub use upload_token::UploadGrant;

use self::holds::Holds;
use self::underway::UnderWay;
use self::upload_token::UploadTokens;
use self::usage::StoredBytes;
use crate::auth::Secret;
use crate::clock::Clock;
use crate::database::Database;
use crate::outbound::Own;

/// The parts that the files of a deployment need.
pub struct FilesParts {
    /// Where their documents are.
    pub database: Arc<Database>,
    /// Where their contents are.
    pub blobs: Blobs,
    /// Where the deployment is reached; files' URLs begin with it.
    pub own: Arc<Own>,
    /// Signs upload URLs.
    pub secret: Secret<[u8; 32]>,
    /// Counters.
    pub metrics: FileMetrics,
    /// Bounds and settings.
    pub options: FilesOptions,
}

/// The files of a deployment.
pub struct Files {
    database: Arc<Database>,
    store: Arc<FileStore>,
}

/// The part of file storage that transactions need. It knows no database, so that a database may hold it.
pub struct FileStore {
    blobs: Blobs,
    clock: Arc<dyn Clock>,
    own: Arc<Own>,
    tokens: UploadTokens,
    metrics: FileMetrics,
    /// Uploads that may run at the same time.
    uploads: Semaphore,
    /// Downloads that may run at the same time.
    downloads: Arc<Semaphore>,
    usage: StoredBytes,
    under_way: UnderWay,
    holds: Holds,
    /// Waits for the disk on threads that run no tasks.
    runtime: Handle,
    options: FilesOptions,
}

impl Files {
    /// The files of a deployment. To be called where tasks run.
    pub fn new(parts: FilesParts) -> Arc<Files> {
        let FilesParts {
            database,
            blobs,
            own,
            secret,
            metrics,
            options,
        } = parts;
        let store = FileStore {
            clock: database.clock().clone(),
            blobs,
            own,
            tokens: UploadTokens::new(secret),
            metrics,
            uploads: Semaphore::new(options.uploads_max.min(Semaphore::MAX_PERMITS)),
            downloads: Arc::new(Semaphore::new(
                options.downloads_max.min(Semaphore::MAX_PERMITS),
            )),
            usage: StoredBytes::default(),
            under_way: UnderWay::default(),
            holds: Holds::default(),
            runtime: Handle::current(),
            options,
        };
        Arc::new(Files {
            database,
            store: Arc::new(store),
        })
    }

    /// The part that transactions need.
    pub fn within(&self) -> &Arc<FileStore> {
        &self.store
    }
}

impl Deref for Files {
    type Target = FileStore;

    fn deref(&self) -> &FileStore {
        &self.store
    }
}

impl FileStore {
    /// The grant of an upload token now.
    pub fn check_token(&self, token: &str) -> Result<UploadGrant, FileError> {
        self.tokens.check(token, self.clock.now())
    }

    /// Where the contents are.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Keeps the sweep away while contents are written whose documents are not visible yet.
    pub fn hold(&self) -> Hold {
        self.holds.take()
    }
}
