//! A chat: what a user of Vestibule would start from. The tables and functions are in `model.rs`; this file puts them
//! together with the page and runs them.

mod model;
mod page;

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
    let Arguments {
        config,
        invite_domain,
    } = Arguments::parse();
    log_to_stderr(config.log_format);
    let running = app(invite_domain).start(config).await?;
    let (url, is_dev) = (running.url(), running.is_dev());
    // Whoever reads that the chat is there may ask it to stop.
    let stopped = running.until_asked_to_stop();
    println!("The chat is at {url}");
    if is_dev {
        println!(
            "Open it in two tabs and sign in as anybody. This is development mode: nobody is asked for a password."
        );
    }
    Ok(stopped.await?)
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
        .query("channels:list", model::channels)
        .mutation("messages:send", model::send)
        .query("messages:list", model::list)
        .query("messages:page", model::page)
        .provision_with("users:ensureUser");
    page::add_to(app)
}
