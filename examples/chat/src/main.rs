//! Runs the chat.

use clap::Parser;
use vestibule_server::prelude::{Config, log_to_stderr};

/// A chat on Vestibule: a backend with live queries, on one SQLite file.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    config: Config,

    /// Lets in only people with an e-mail address of this domain.
    #[arg(long, env = "CHAT_INVITE_DOMAIN", value_name = "DOMAIN")]
    invite_domain: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { config, invite_domain } = Arguments::parse();
    log_to_stderr(false);
    let running = chat::app(invite_domain).start(config).await?;
    println!("The chat is at {}", running.url());
    if running.is_dev() {
        println!("Open it in two tabs and sign in as anybody: this is development mode, nobody is asked for a password.");
    }
    running.until_asked_to_stop().await?;
    Ok(())
}
