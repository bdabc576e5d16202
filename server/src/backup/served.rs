//! Backups of a deployment that is being served: one at a time, streamed to the program that writes them.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc};

use super::send::{Source, Wanted};
use super::{BackupError, BackupMetrics};
use crate::database::Database;
use crate::files::Files;

/// Frames that wait for a slow reader, each of about a megabyte.
const FRAMES_WAITING_MAX: usize = 4;

/// The backups of a deployment.
pub struct Backups {
    database: Arc<Database>,
    files: Arc<Files>,
    data: PathBuf,
    metrics: BackupMetrics,
    one_at_a_time: Arc<Mutex<()>>,
}

/// A backup that its receiver has read back.
#[derive(Clone, Copy, Debug)]
pub struct Verified {
    /// The commit that it is the state of.
    pub ts: u64,
    /// Bytes that were sent for it.
    pub bytes: u64,
    /// When it was begun, in milliseconds since 1970.
    pub started_at: i64,
    /// Whether it is a base.
    pub is_base: bool,
}

impl Backups {
    /// The backups of the deployment in `data`.
    pub fn new(
        database: Arc<Database>,
        files: Arc<Files>,
        data: PathBuf,
        metrics: BackupMetrics,
    ) -> Arc<Backups> {
        Arc::new(Backups {
            database,
            files,
            data,
            metrics,
            one_at_a_time: Arc::default(),
        })
    }

    /// Begins to send one. It ends early when the stream is dropped.
    pub fn begin(
        self: &Arc<Self>,
        wanted: Wanted,
    ) -> Result<BoxStream<'static, Result<Bytes, BackupError>>, BackupError> {
        let turn = self.one_at_a_time.clone().try_lock_owned();
        let turn = turn.map_err(|_| BackupError::InProgress)?;
        let (frames, waiting) = mpsc::channel(FRAMES_WAITING_MAX);
        let (backups, runtime) = (self.clone(), Handle::current());
        tracing::info!(?wanted, "a backup begins");
        runtime.clone().spawn_blocking(move || {
            let _turn = turn;
            let sent = backups.send(&wanted, &runtime, &mut |frame| {
                let sent = frames.blocking_send(Ok(frame));
                sent.map_err(|_| BackupError::ReaderGone)
            });
            if let Err(error) = sent {
                backups.metrics.failed.inc();
                tracing::warn!(%error, "a backup ended early");
            }
        });
        let frames = stream::unfold(waiting, |mut waiting| async {
            let frame = waiting.recv().await?;
            Some((frame, waiting))
        });
        Ok(frames.boxed())
    }

    fn send(
        &self,
        wanted: &Wanted,
        runtime: &Handle,
        out: &mut dyn FnMut(Bytes) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        // Contents of files that are deleted meanwhile stay until they are sent.
        let _hold = self.files.hold();
        let source = Source {
            store: self.database.store().clone(),
            blobs: self.files.blobs().clone(),
            data: self.data.clone(),
        };
        source.send(wanted, runtime, out)
    }

    /// Takes note of a backup that was read back.
    pub fn note_verified(&self, verified: Verified) {
        let Verified {
            ts,
            bytes,
            started_at,
            is_base,
        } = verified;
        self.metrics.verified.inc();
        self.metrics.last_time.set(started_at / 1000);
        self.metrics.last_ts.set(ts);
        self.metrics.last_bytes.set(bytes);
        tracing::info!(ts, bytes, is_base, "a backup was taken and read back");
    }
}
