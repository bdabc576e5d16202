//! A chat: a starting point for a user of Vestibule. The tables and functions are in `model.rs`; this file puts them
//! together with the page and runs them. Clerk's webhooks are read in `clerk.rs` and applied in `told.rs`.

mod clerk;
pub mod model;
mod page;
mod svix;
mod told;

use clap::Parser;
use vestibule_server::prelude::*;

/// A chat on Vestibule: a backend with live queries, on one SQLite file.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    config: Config,

    /// Lets in only people with an e-mail address of this domain.
    #[arg(long, env = "CHAT_INVITE_DOMAIN", value_name = "DOMAIN")]
    invite_domain: Option<String>,
}

/// Runs the chat as the command line says, until it is asked to stop.
pub async fn run() -> anyhow::Result<()> {
    run_as(app).await
}

/// Runs the chat that `app` makes of the invited domain, if there is one.
pub async fn run_as(app: impl FnOnce(Option<String>) -> App) -> anyhow::Result<()> {
    let Arguments {
        config,
        invite_domain,
    } = Arguments::parse();
    // Compose files write `${X:-}`: empty is not given.
    let invite_domain = invite_domain
        .map(|domain| domain.trim().to_string())
        .filter(|domain| !domain.is_empty());
    log_to_stderr(config.log_format);
    let signals = StopSignals::listen()?;
    let webhooks = clerk::Webhooks::from_environment(&config)?;
    let takes_webhooks = webhooks.is_some();
    let app = app(invite_domain.clone());
    let app = match webhooks {
        Some(webhooks) => webhooks.add_to(app, invite_domain),
        None => app,
    };
    let running = app.start(config).await?;
    println!("The chat is at {}", running.url());
    if takes_webhooks {
        let (url, path) = (running.url(), clerk::PATH);
        println!("It takes Clerk's webhooks at {url}/http{path}");
    }
    if running.is_dev() {
        println!(
            "Open it in two tabs and sign in as anybody. This is development mode: nobody is asked for a password."
        );
    }
    running.until(signals).await;
    Ok(())
}

/// The chat's page alone, for a server whose functions are pushed.
pub fn site() -> App {
    page::add_to(App::new(Schema::new()).provision_as_deployed())
}

/// The chat as an app. With `invited` set, only people with an e-mail address of that domain are let in.
pub fn app(invited: Option<String>) -> App {
    let app = App::new(model::schema())
        .mutation("users:ensureUser", move |ctx: &mut MutationCtx, (): ()| {
            model::ensure_user(ctx, &invited)
        })
        .query("users:me", model::me)
        .query("users:count", model::count)
        .mutation("users:rename", model::rename)
        .mutation("users:deleteMe", model::delete_me)
        .query("users:organizations", told::organizations)
        .function(Function::mutation("users:undelete", told::undelete_user).internal())
        .query("channels:list", model::channels)
        .mutation("messages:send", model::send)
        .query("messages:list", model::list)
        .query("messages:page", model::page)
        .provision_with("users:ensureUser")
        .users_by(model::User::BY_TOKEN);
    page::add_to(app)
}
