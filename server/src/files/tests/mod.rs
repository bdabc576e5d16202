//! Tests of the room over a real database and a real directory.

mod failures;
mod life;
mod sweeping;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use vestibule_schema::id::DocumentId;
use vestibule_schema::table::{Schema, TableDefinition};

use super::*;
use crate::clock::{ManualClock, UnixNanos};
use crate::database::{CommitterOptions, DatabaseOptions, Limits, Transaction};
use crate::executor::SystemExecutor;
use crate::outbound::{Origins, Own};
use crate::probe::Probe;
use crate::storage::StoreOptions;

/// A deployment's files.
struct Rig {
    files: Arc<Files>,
    clock: Arc<ManualClock>,
    dir: TempDir,
}

impl Rig {
    fn new() -> Rig {
        Rig::with(FilesOptions::default(), None)
    }

    fn with(options: FilesOptions, blobs: Option<Blobs>) -> Rig {
        Rig::open(tempfile::tempdir().unwrap(), options, blobs)
    }

    fn open(dir: TempDir, options: FilesOptions, blobs: Option<Blobs>) -> Rig {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        let clock = Arc::new(ManualClock::at(UnixNanos(now)));
        let database = Database::open(DatabaseOptions {
            dir: dir.path().to_path_buf(),
            schema: Schema::new().define(TableDefinition::new("notes")),
            limits: Limits::default(),
            store: StoreOptions::default(),
            committer: CommitterOptions::default(),
            reader_threads: 2,
            secret: [7; 32],
            clock: clock.clone(),
            executor: Arc::new(SystemExecutor),
            probe: Probe::none(),
            rng: Box::new(StdRng::from_os_rng()),
            on_unknown: Box::new(|unknown| panic!("{unknown}")),
        });
        let files = Files::new(FilesParts {
            database: Arc::new(database.unwrap()),
            blobs: blobs.unwrap_or_else(|| Blobs::in_directory(dir.path()).unwrap()),
            own: Own::at(Origins::below("https://api.example")),
            secret: Secret::new([1; 32]),
            metrics: FileMetrics::default(),
            options,
        });
        Rig { files, clock, dir }
    }

    async fn reopen(self) -> Rig {
        let Rig { files, dir, .. } = self;
        let database = files.database.clone();
        drop(files);
        database.close().await;
        Rig::open(dir, FilesOptions::default(), None)
    }

    async fn store(&self, content: &'static str) -> DocumentId {
        let content = Bytes::from_static(content.as_bytes());
        let content_type = Some("text/plain".to_string());
        self.files.store(content, content_type, None).await.unwrap()
    }

    async fn text(&self, id: DocumentId) -> Option<String> {
        let loaded = self.files.load(id.to_string()).await.unwrap();
        loaded.map(|file| String::from_utf8(file.content.to_vec()).unwrap())
    }

    /// Runs a mutation on the lane.
    async fn write<T: Send + 'static>(
        &self,
        body: impl FnOnce(&FileStore, &mut Transaction<'_>) -> Result<T, FileError> + Send + 'static,
    ) -> Result<T, FileError> {
        let store = self.files.within().clone();
        work::write(&self.files.database, move |tx| body(&store, tx)).await
    }

    /// Runs a query.
    async fn read<T: Send + 'static>(
        &self,
        body: impl FnOnce(&FileStore, &mut Transaction<'_>) -> Result<T, FileError> + Send + 'static,
    ) -> Result<T, FileError> {
        let store = self.files.within().clone();
        work::read(&self.files.database, move |tx| body(&store, tx)).await
    }

    /// The names of all stored contents, temporary ones included.
    fn contents(&self) -> Vec<String> {
        let mut names = Vec::new();
        for shard in std::fs::read_dir(self.dir.path().join("files")).unwrap() {
            for content in std::fs::read_dir(shard.unwrap().path()).unwrap() {
                names.push(content.unwrap().file_name().into_string().unwrap());
            }
        }
        names.sort();
        names
    }

    /// Makes everything that is stored as old as it takes to be swept.
    fn age(&self) {
        let age = self.files.options.orphan_age + Duration::from_secs(60);
        self.clock.advance(age);
        let then = std::time::SystemTime::now() - age;
        for shard in std::fs::read_dir(self.dir.path().join("files")).unwrap() {
            for content in std::fs::read_dir(shard.unwrap().path()).unwrap() {
                let file = std::fs::File::options()
                    .write(true)
                    .open(content.unwrap().path());
                file.unwrap().set_modified(then).unwrap();
            }
        }
    }
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// A body in parts, that breaks off at the end or not.
fn body(
    parts: &[&'static str],
    breaks_off: bool,
) -> impl futures_util::Stream<Item = Result<Bytes, BrokenOff>> + Send + use<> {
    let parts = parts
        .iter()
        .map(|part| Ok(Bytes::from_static(part.as_bytes())));
    let parts: Vec<_> = parts.chain(breaks_off.then_some(Err(BrokenOff))).collect();
    stream::iter(parts)
}
