//! A chat: what a user of Vestibule would start from. The tables and functions are in `model.rs`; this file puts them
//! together with the page.

mod model;

use vestibule_server::prelude::App;
use vestibule_server::prelude::MutationCtx;

/// The chat as an app. With `invited` set, only people with an e-mail address of that domain are let in.
pub fn app(invited: Option<String>) -> App {
    App::new(model::schema())
        .mutation("users:ensureUser", move |ctx: &mut MutationCtx, (): ()| model::ensure_user(ctx, &invited))
        .query("users:me", model::me)
        .query("users:count", model::count)
        .mutation("users:rename", model::rename)
        .mutation("users:deleteMe", model::delete_me)
        .query("channels:list", model::channels)
        .mutation("messages:send", model::send)
        .query("messages:list", model::list)
        .query("messages:page", model::page)
        .provision_with("users:ensureUser")
        .asset("/", "text/html; charset=utf-8", &include_bytes!("../assets/index.html")[..])
}
