//! Flows over a real server on a real file.

// In a flow every failure is the test's failure, in helpers too.
#![allow(clippy::unwrap_used)]

mod apps;
mod cases;
mod clerk;
mod clerk_believed;
mod cli;
mod convex_crate;
mod damage;
mod first_logins;
mod guarantees;
mod jobs;
mod kills;
mod limits;
mod node;
mod npm;
mod people;
mod provisioning_ends;
mod room;
mod rust_client;
mod rust_client_faults;
mod rust_client_pages;
mod secrets;
mod settings;
mod starts;
mod sums;
mod tidy;
mod webhooks;

use vestibule_tests::process::ChatOptions;

/// The chat on a data directory.
fn chat(data: &std::path::Path) -> ChatOptions {
    ChatOptions::new(env!("CARGO_BIN_EXE_chat-under-test"), data)
}

/// The seed of a random test: the one that replays it, or a new one. Either is printed.
fn seed() -> u64 {
    let given = std::env::var("VESTIBULE_SEED");
    let given = given.ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("VESTIBULE_SEED={seed}");
    seed
}

/// An address that nothing listens on, to start a server on more than once.
fn free_address() -> String {
    let listener =
        std::net::TcpListener::bind("127.0.0.1:0").expect("this machine has a free port");
    listener
        .local_addr()
        .expect("a bound listener has an address")
        .to_string()
}
