//! A file on its way in: its content first, durable, then its documents.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;
use vestibule_schema::id::DocumentId;

use super::blobs::{BlobWriter, Written};
use super::error::FileError;
use super::operations::check_content_type;
use super::options::FilesOptions;
use super::usage::Room;
use super::{FileStore, Files, rows, work};

/// The facts announced about a file before it arrives.
#[derive(Clone, Debug, Default)]
pub struct Announced {
    /// Its content type.
    pub content_type: Option<String>,
    /// The SHA-256 that its content must have.
    pub sha256: Option<[u8; 32]>,
    /// How many bytes it has.
    pub bytes: Option<u64>,
}

/// The sender stopped, or what they sent cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenOff;

impl Files {
    /// Takes a file in and returns the id of its document. When it fails, nothing of the file is left, or only content
    /// that is swept later.
    pub async fn receive(
        &self,
        announced: Announced,
        content: impl Stream<Item = Result<Bytes, BrokenOff>> + Send,
    ) -> Result<DocumentId, FileError> {
        let received = self.receive_counted(announced, content).await;
        match &received {
            Ok(_) => self.metrics.uploads.inc(),
            Err(_) => self.metrics.failed_uploads.inc(),
        };
        received
    }

    /// Stores a file that is there as a whole.
    pub async fn store(
        &self,
        content: Bytes,
        content_type: Option<String>,
        sha256: Option<[u8; 32]>,
    ) -> Result<DocumentId, FileError> {
        let announced = Announced {
            content_type,
            sha256,
            bytes: Some(content.len() as u64),
        };
        let content = futures_util::stream::once(async { Ok(content) });
        self.receive(announced, content).await
    }

    async fn receive_counted(
        &self,
        announced: Announced,
        content: impl Stream<Item = Result<Bytes, BrokenOff>> + Send,
    ) -> Result<DocumentId, FileError> {
        check_content_type(announced.content_type.as_deref())?;
        let _turn = self
            .uploads
            .try_acquire()
            .map_err(|_| FileError::TooManyAtOnce)?;
        let _counted = UnderWayGauge::of(self);
        let key = Uuid::new_v4();
        // Until the documents have committed, or cannot any more.
        let _begun = self.under_way.begin(key, self.clock.elapsed());
        let room = self
            .usage
            .reserve(announced.bytes.unwrap_or_default(), &self.options)?;
        let written = self.take_in(key, content, announced.sha256, room).await?;
        let content_type = announced.content_type;
        let committed = work::write(&self.database, move |tx| {
            rows::insert(tx, key, &written, content_type.as_deref())
        });
        let committed = committed.await;
        if matches!(&committed, Err(error) if !matches!(error, FileError::ShuttingDown)) {
            // The documents left no trace, so no client can ask for the content. When the process ends, that is not
            // known.
            self.remove_content(key).await;
        }
        committed
    }
}

impl FileStore {
    /// Makes the content durable.
    pub(super) async fn take_in(
        &self,
        key: Uuid,
        content: impl Stream<Item = Result<Bytes, BrokenOff>> + Send,
        sha256: Option<[u8; 32]>,
        mut room: Room,
    ) -> Result<Written, FileError> {
        let mut writer = self.blobs.begin(key).await?;
        if let Err(error) = take_all(&mut writer, content, &self.options, &mut room).await {
            writer.abort().await;
            return Err(error);
        }
        let written = writer.finish(sha256).await?;
        self.usage.add(written.bytes);
        self.metrics.stored_bytes.set(self.usage.bytes());
        self.metrics.uploaded_bytes.inc_by(written.bytes);
        Ok(written)
    }

    /// Removes a content that no document names.
    pub(super) async fn remove_content(&self, key: Uuid) {
        let removed = async {
            let bytes = self.blobs.size(key).await?.unwrap_or_default();
            self.blobs.delete(key).await?;
            self.usage.remove(bytes);
            self.metrics.stored_bytes.set(self.usage.bytes());
            Ok::<(), FileError>(())
        };
        if let Err(error) = removed.await {
            tracing::warn!(%error, "a content could not be removed; the sweep tries again");
        }
    }
}

async fn take_all(
    writer: &mut BlobWriter,
    content: impl Stream<Item = Result<Bytes, BrokenOff>> + Send,
    options: &FilesOptions,
    room: &mut Room,
) -> Result<(), FileError> {
    let mut content = std::pin::pin!(content);
    let end = Instant::now() + options.upload_time_max;
    loop {
        let idle_end = Instant::now() + options.upload_idle_max;
        let too_slow = |limit: Duration| move |_| FileError::TooSlow(limit);
        let part = match idle_end < end {
            true => timeout_at(idle_end, content.next())
                .await
                .map_err(too_slow(options.upload_idle_max))?,
            false => timeout_at(end, content.next())
                .await
                .map_err(too_slow(options.upload_time_max))?,
        };
        match part {
            Some(Ok(part)) => {
                room.grow_to(writer.bytes() + part.len() as u64, options)?;
                writer.write(&part).await?;
            }
            Some(Err(BrokenOff)) => return Err(FileError::EndedEarly),
            None => return Ok(()),
        }
    }
}

/// Counts an upload while it is under way.
struct UnderWayGauge<'f>(&'f FileStore);

impl<'f> UnderWayGauge<'f> {
    fn of(files: &'f FileStore) -> UnderWayGauge<'f> {
        files.metrics.uploads_under_way.inc();
        UnderWayGauge(files)
    }
}

impl Drop for UnderWayGauge<'_> {
    fn drop(&mut self) {
        self.0.metrics.uploads_under_way.dec();
    }
}
