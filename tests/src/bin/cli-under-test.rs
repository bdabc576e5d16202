//! A server that takes pushes, without functions of its own or with some that pushed ones are compared with. It prints its
//! address and an admin key, and ends with its standard input. Or the sweep of such a server's files.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use rand::SeedableRng;
use rand::rngs::StdRng;
use vestibule_schema::table::Schema;
use vestibule_server::app::Config;
use vestibule_server::auth::{AdminKeys, DeploymentSecret};
use vestibule_server::clock::{Clock, SystemClock};
use vestibule_server::database::{CommitterOptions, Database, DatabaseOptions, Limits};
use vestibule_server::executor::SystemExecutor;
use vestibule_server::files::{Blobs, FileMetrics, Files, FilesOptions, FilesParts};
use vestibule_server::outbound::{Origins, Own};
use vestibule_server::prelude::App;
use vestibule_server::probe::Probe;
use vestibule_server::storage::StoreOptions;
use vestibule_tests::pairs;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    config: Config,
    /// Makes the printed key one that may look only.
    #[arg(long)]
    read_only: bool,
    /// Adds functions in Rust that pushed ones are compared with.
    #[arg(long)]
    pairs: bool,
    /// Instead of serving, removes the contents of files without a document however new they are, and prints how many.
    #[arg(long)]
    sweep: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments {
        config,
        read_only,
        pairs,
        sweep,
    } = Arguments::parse();
    if sweep {
        return sweep_files(&config).await;
    }
    let (data, name) = (config.data.clone(), config.name.clone());
    let app = match pairs {
        true => pairs::add_to(App::new(pairs::schema())),
        false => App::new(Schema::new()),
    };
    let app = app.provision_as_deployed();
    let running = app.start(config).await?;
    let keys = AdminKeys::open(&name, &DeploymentSecret::load_or_create(&data)?, &data)?;
    let rights = match read_only {
        true => vestibule_server::auth::AdminRights::ReadOnly,
        false => vestibule_server::auth::AdminRights::All,
    };
    let key = keys.mint_with(rights, SystemClock::new().now(), None)?;
    println!("{} {}", running.url(), key.text.expose());
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    ended.await??;
    running.shut_down().await;
    Ok(())
}

/// Sweeps contents at once and of any age, as the server sweeps those that are an hour old. The server has ended.
async fn sweep_files(config: &Config) -> anyhow::Result<()> {
    let secret = DeploymentSecret::load_or_create(&config.data)?;
    let database = Database::open(DatabaseOptions {
        dir: config.data.clone(),
        schema: Schema::new(),
        limits: Limits::default(),
        store: StoreOptions::default(),
        committer: CommitterOptions::default(),
        reader_threads: 1,
        secret: *secret.key_for("cursors").expose(),
        clock: Arc::new(SystemClock::new()),
        executor: Arc::new(SystemExecutor),
        probe: Probe::default(),
        rng: Box::new(StdRng::from_os_rng()),
        on_unknown: Box::new(|unknown| panic!("{unknown}")),
    })?;
    let origins = Origins::below("http://127.0.0.1");
    let files = Files::new(FilesParts {
        database: Arc::new(database),
        blobs: Blobs::in_directory(&config.data)?,
        own: Arc::new(Own::new(origins.clone(), &origins)),
        secret: secret.key_for("uploads"),
        metrics: FileMetrics::default(),
        options: FilesOptions {
            orphan_age: Duration::ZERO,
            ..FilesOptions::default()
        },
    });
    println!("{}", files.sweep_all().await?);
    Ok(())
}
