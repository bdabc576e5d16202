//! The chat in a terminal. Start the server with `cargo run -p chat`, then, as often as you like:
//!
//! ```sh
//! cargo run -p terminal-chat -- --name Ada
//! ```
//!
//! `main` is the handshake, step by step; `conversation.rs` is what can be done after it.

mod conversation;
mod tokens;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use vestibule_client::{Client, EnsureUserError, Provisioned, Unprovisioned, Value};

use crate::conversation::Conversation;
use crate::tokens::DevelopmentTokens;

/// A chat in the terminal. Type a message and press Enter.
#[derive(Parser)]
struct Arguments {
    /// Address of the chat.
    #[arg(long, default_value = "http://127.0.0.1:3210")]
    url: String,

    /// The user's name.
    #[arg(long)]
    name: String,

    /// Your e-mail address, for a chat that asks for one.
    #[arg(long)]
    email: Option<String>,

    /// general, random or help.
    #[arg(long, default_value = "general")]
    channel: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = sign_in(&arguments).await?;
    let conversation = Conversation::new(client, arguments.name, arguments.channel);
    conversation.run().await
}

/// The handshake: each step is a type of its own, and only the last one can send a message.
async fn sign_in(arguments: &Arguments) -> anyhow::Result<Client<Provisioned>> {
    let started = Instant::now();
    let step = |name: &str, what: &str| {
        let at = started.elapsed().as_secs_f64() * 1000.0;
        println!("{at:>8.1} ms  {name:<14} {what}");
    };

    let url = &arguments.url;
    let client = Client::connect(url).await.map_err(|error| {
        anyhow::anyhow!("No chat at {url}: {error}. `cargo run -p chat` starts one.")
    })?;
    step("Connected", url);

    let tokens = DevelopmentTokens::new(url, &arguments.name, arguments.email.as_deref());
    let client = client.authenticate(tokens).await?;
    step("Authenticated", "an auth token is at hand");

    let client = match client.ensure_user().await {
        Ok(client) => client,
        Err(error) => match &error.reason {
            EnsureUserError::Unprovisioned(Unprovisioned::Refused(thrown)) => {
                let data = thrown.data.as_ref().and_then(Value::as_object);
                let message = data.and_then(|data| data.get("message")?.as_str());
                anyhow::bail!("{}", message.unwrap_or(&thrown.message));
            }
            _ => return Err(error.into()),
        },
    };
    step(
        "Provisioned",
        &format!("your user is {}", client.user::<String>()?),
    );
    Ok(client)
}
