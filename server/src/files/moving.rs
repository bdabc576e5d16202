//! Files on their way in from another server, and out to one. For threads that may wait.

use std::io::Read;

use bytes::Bytes;
use futures_util::TryStreamExt;
use uuid::Uuid;

use super::Files;
use super::blobs::Written;
use super::error::FileError;
use super::{rows, work};

/// Bytes that are moved at a time.
const MOVED_BYTES: usize = 64 << 10;

impl Files {
    /// Makes a content durable whose documents come later. It lies under `wanted`, or under another key when that is
    /// taken, or was a deleted file's whose content is still to be removed. The caller holds the sweep off, and reports contents that get no documents.
    pub fn move_in(
        &self,
        wanted: Option<Uuid>,
        content: &mut dyn Read,
        sha256: Option<[u8; 32]>,
    ) -> Result<(Uuid, Written), FileError> {
        let key = match wanted {
            Some(key) if self.runtime.block_on(self.is_free(key))? => key,
            Some(_) | None => Uuid::new_v4(),
        };
        let mut room = self.usage.reserve(0, &self.options)?;
        let mut writer = self.runtime.block_on(self.blobs.begin(key))?;
        let mut buffer = vec![0; MOVED_BYTES];
        loop {
            let read = match content.read(&mut buffer) {
                Ok(read) => read,
                Err(error) => {
                    self.runtime.block_on(writer.abort());
                    return Err(error.into());
                }
            };
            if read == 0 {
                break;
            }
            room.grow_to(writer.bytes() + read as u64, &self.options)?;
            self.runtime.block_on(writer.write(&buffer[..read]))?;
        }
        let written = self.runtime.block_on(writer.finish(sha256))?;
        self.usage.add(written.bytes);
        self.metrics.stored_bytes.set(self.usage.bytes());
        Ok((key, written))
    }

    async fn is_free(&self, key: Uuid) -> Result<bool, FileError> {
        if self.blobs.size(key).await?.is_some() {
            return Ok(false);
        }
        let deleted = work::read(&self.database, move |tx| rows::is_deleted(tx, key));
        Ok(!deleted.await?)
    }

    /// Removes a content that [`Files::move_in`] brought and that has no documents.
    pub fn move_back(&self, key: Uuid) {
        self.runtime.block_on(self.remove_content(key));
    }

    /// Hands a content to `take`, part by part.
    pub fn move_out(
        &self,
        key: Uuid,
        mut take: impl FnMut(&Bytes) -> std::io::Result<()>,
    ) -> Result<(), FileError> {
        let mut content = self.runtime.block_on(self.blobs.read(key, None))?;
        while let Some(part) = self.runtime.block_on(content.try_next())? {
            take(&part)?;
        }
        Ok(())
    }
}
