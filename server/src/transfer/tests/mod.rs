//! Imports and exports over real databases.

mod archives;
mod cut_short;
mod imports;
mod refusals;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use prometheus_client::registry::Registry as Metrics;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;
use vestibule_schema::id::DocumentId;
use vestibule_schema::path::ComponentPath;
use vestibule_schema::table::{IndexDefinition, Schema, TableDefinition};
use vestibule_schema::value::{Object, Value};

use super::states::{Import, name_of};
use super::*;
use crate::auth::Secret;
use crate::clock::{Clock, SystemClock};
use crate::database::{CommitterOptions, DatabaseOptions, Limits, Query, Transaction};
use crate::executor::SystemExecutor;
use crate::files::{Blobs, FileMetrics, FilesOptions, FilesParts, work};
use crate::outbound::{Origins, Own};
use crate::probe::Probe;
use crate::storage::StoreOptions;

/// A deployment that imports and exports.
struct Rig {
    transfers: Arc<Transfers>,
    dir: TempDir,
}

/// Users with a unique index, and rooms free of rules.
fn schema() -> Schema {
    let by_name = IndexDefinition::new("by_name", &["name"], true).unwrap();
    let users = TableDefinition {
        indexes: vec![by_name],
        ..TableDefinition::new("users")
    };
    Schema::new()
        .define(users)
        .define(TableDefinition::new("rooms"))
}

impl Rig {
    fn new() -> Rig {
        Rig::with(schema())
    }

    fn with(schema: Schema) -> Rig {
        Rig::open(tempfile::tempdir().unwrap(), schema)
    }

    fn open(dir: TempDir, schema: Schema) -> Rig {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let database = Database::open(DatabaseOptions {
            dir: dir.path().to_path_buf(),
            schema,
            limits: Limits::default(),
            store: StoreOptions::default(),
            committer: CommitterOptions::default(),
            reader_threads: 2,
            secret: [7; 32],
            clock,
            executor: Arc::new(SystemExecutor),
            probe: Probe::none(),
            rng: Box::new(StdRng::from_os_rng()),
            on_unknown: Box::new(|unknown| panic!("{unknown}")),
        });
        let database = Arc::new(database.unwrap());
        let files = Files::new(FilesParts {
            database: database.clone(),
            blobs: Blobs::in_directory(dir.path()).unwrap(),
            own: Own::at(Origins::below("https://api.example")),
            secret: Secret::new([1; 32]),
            metrics: FileMetrics::register(&mut Metrics::default()),
            options: FilesOptions::default(),
        });
        let options = TransferOptions::default();
        let transfers = Transfers::open(dir.path(), database, files, options).unwrap();
        Rig { transfers, dir }
    }

    async fn reopen(self) -> Rig {
        let Rig { transfers, dir } = self;
        let database = transfers.database.clone();
        drop(transfers);
        database.close().await;
        Rig::open(dir, schema())
    }

    async fn read<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Transaction<'_>) -> Result<T, TransferError> + Send + 'static,
    ) -> T {
        work::read(&self.transfers.database, body).await.unwrap()
    }

    async fn write<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Transaction<'_>) -> Result<T, TransferError> + Send + 'static,
    ) -> T {
        work::write(&self.transfers.database, body).await.unwrap()
    }

    async fn insert(&self, table: &'static str, fields: Object) -> DocumentId {
        self.write(move |tx| Ok(tx.insert(table, fields)?)).await
    }

    /// All documents of a table, by creation time.
    async fn documents(&self, table: &'static str) -> Vec<Object> {
        let documents = self
            .read(move |tx| Ok(tx.collect(&Query::table(table))?))
            .await;
        documents
            .into_iter()
            .map(|document| document.fields)
            .collect()
    }

    /// One field of all documents of a table.
    async fn texts(&self, table: &'static str, field: &str) -> Vec<String> {
        let documents = self.documents(table).await;
        let text = |document: &Object| document[field].as_str().unwrap().to_string();
        documents.iter().map(text).collect()
    }

    /// Uploads a file in parts of a few bytes and makes an import of it.
    async fn upload(&self, request: ImportRequest, content: &[u8], part: usize) -> DocumentId {
        let token = self.transfers.start_upload().unwrap();
        let mut parts = Vec::new();
        for (some, number) in content.chunks(part).zip(1..) {
            let some = stream::iter([Ok(Bytes::copy_from_slice(some))]);
            parts.push(
                self.transfers
                    .take_part(&token, number, some)
                    .await
                    .unwrap(),
            );
        }
        let made = self.transfers.finish_upload(request, &token, &parts).await;
        made.unwrap()
    }

    /// Waits for an import to reach one of these states.
    async fn state(&self, id: DocumentId, wanted: &'static [&'static str]) -> Object {
        let mut newest = self.transfers.database.write_log().subscribe();
        loop {
            let import = self.read(move |tx| Import::find(tx, &id.to_string())).await;
            if wanted.contains(&import.state_name()) {
                return import.state;
            }
            newest.changed().await.unwrap();
        }
    }

    /// Imports with confirmation, as the CLI does. Returns the last state.
    async fn import(&self, request: ImportRequest, content: &[u8]) -> Object {
        let id = self.upload(request, content, 1 << 20).await;
        let looked = self
            .state(id, &["waiting_for_confirmation", "failed"])
            .await;
        if name_of(&looked) == "failed" {
            return looked;
        }
        self.transfers.perform_import(id.to_string()).await.unwrap();
        let done = self.state(id, &["completed", "failed"]).await;
        self.settled().await;
        done
    }

    /// Keeps imports from their turn until what is returned is dropped.
    async fn hold_imports(&self) -> std::sync::mpsc::Sender<()> {
        let transfers = self.transfers.clone();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (held, holding) = tokio::sync::oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let _importing = transfers.importing.lock();
            held.send(()).unwrap();
            // Fails when the other end is dropped, which is all that is waited for.
            let _ = released.recv();
        });
        holding.await.unwrap();
        release
    }

    /// Waits until nothing of an import is left to clear away.
    async fn settled(&self) {
        let transfers = self.transfers.clone();
        let waiting = tokio::task::spawn_blocking(move || drop(transfers.importing.lock()));
        waiting.await.unwrap();
        let catalog = self.transfers.database.definitions().catalog.clone();
        assert!(catalog.tables().all(|table| !table.is_hidden()));
    }

    /// Exports and returns the archive.
    async fn export(&self, with_files: bool) -> Vec<u8> {
        let id = self.transfers.request_export(with_files).await.unwrap();
        let mut newest = self.transfers.database.write_log().subscribe();
        loop {
            let export = self
                .read(move |tx| Ok(steps::find_export(tx, &id.to_string())?.1))
                .await;
            match name_of(&export) {
                "completed" => break,
                "requested" | "in_progress" => newest.changed().await.unwrap(),
                other => panic!("{other}: {export:?}"),
            }
        }
        let download = self.transfers.open_export(id.to_string()).await.unwrap();
        let by_ts = self.transfers.open_export(download.ts.to_string()).await;
        assert_eq!(by_ts.unwrap().bytes, download.bytes);
        let parts: Vec<Bytes> = download.content.try_collect().await.unwrap();
        let archive = parts.concat();
        assert_eq!(archive.len() as u64, download.bytes);
        archive
    }
}

fn request(table: Option<&str>, mode: Mode, format: Format) -> ImportRequest {
    ImportRequest {
        table: table.map(str::to_string),
        component: ComponentPath::ROOT,
        mode,
        format,
    }
}

/// The number of documents that a completed import wrote; panics with what a failed one says.
fn written(state: &Object) -> i64 {
    match state.get("num_rows_written") {
        Some(Value::Int64(written)) => *written,
        _ => panic!("{state:?}"),
    }
}

fn failure(state: &Object) -> &str {
    state["error_message"].as_str().unwrap()
}
