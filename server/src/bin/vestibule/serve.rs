//! `vestibule serve`: a server without a line of Rust, whose functions are pushed by the official CLI.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use vestibule_schema::table::Schema;
use vestibule_server::app::config::NAME_DEFAULT;
use vestibule_server::app::{App, Config, StopSignals, log_to_stderr};

use super::Deployment;

/// One thread of the server frees the memory that another allocated: the system's allocator makes them wait for each
/// other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long threads that still work are waited for at the end.
const THREADS_WAIT: Duration = Duration::from_secs(1);

/// Runs the server until it is asked to stop.
pub fn serve(config: Config) -> anyhow::Result<()> {
    log_to_stderr(config.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no threads for the server")?;
    let ran = runtime.block_on(run(config));
    // A thread that waits for the disk does not keep the process, which hears no signal any more.
    runtime.shutdown_timeout(THREADS_WAIT);
    ran
}

async fn run(mut config: Config) -> anyhow::Result<()> {
    // A server for other machines is never in development mode merely because a setting is missing.
    let dev = *config.dev.get_or_insert(false);
    config.dev_issuer.get_or_insert(false);
    let site_listen = config.site_listen_default();
    config.site_listen.get_or_insert(site_listen);
    let signals = StopSignals::listen()?;
    let is_first = !vestibule_server::app::is_deployment(&config.data);
    let deployment = Deployment {
        data: config.data.clone(),
        name: config.name.clone(),
    };
    let running = App::new(Schema::new())
        .provision_as_deployed()
        .start(config)
        .await?;
    if is_first {
        greet(&running.origins().cloud, &deployment)?;
        if !dev {
            println!("Error texts and log lines are hidden from clients; --dev shows them.");
        }
    }
    running.until(signals).await;
    Ok(())
}

/// Tells how the CLI reaches a new deployment. A key is shown only on a terminal: elsewhere it would stay in a log.
fn greet(url: &str, deployment: &Deployment) -> anyhow::Result<()> {
    if !std::io::stdout().is_terminal() {
        let (data, name) = (deployment.data.display(), &deployment.name);
        let name = match name == NAME_DEFAULT {
            true => String::new(),
            false => format!(" --name {name}"),
        };
        println!(
            "A new deployment. `vestibule admin-key --data {data}{name}` prints a key for `npx convex dev`."
        );
        return Ok(());
    }
    let key = deployment.new_key()?;
    println!(
        "A new deployment. Put these lines into .env.local beside your convex/ folder, then run `npx convex dev`:\n"
    );
    println!("CONVEX_SELF_HOSTED_URL={url}");
    println!("CONVEX_SELF_HOSTED_ADMIN_KEY={key}\n");
    Ok(())
}
