//! Flows over a real server on a real file.

mod convex_crate;
mod damage;
mod first_logins;
mod kills;
mod node;
mod starts;
mod tidy;

use vestibule_tests::process::ChatOptions;

/// The chat on a data directory.
fn chat(data: &std::path::Path) -> ChatOptions {
    ChatOptions::new(env!("CARGO_BIN_EXE_chat-under-test"), data)
}
