//! A server that takes pushes, without functions of its own or with some that pushed ones are compared with. It prints its
//! address and an admin key, and ends with its standard input.

use std::io::Read;

use clap::Parser;
use vestibule_schema::table::Schema;
use vestibule_server::app::Config;
use vestibule_server::auth::{AdminKeys, DeploymentSecret};
use vestibule_server::clock::{Clock, SystemClock};
use vestibule_server::prelude::App;
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
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments {
        config,
        read_only,
        pairs,
    } = Arguments::parse();
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
