//! The terminal chat as a program, against the chat in this process.

// Every failure is the test's failure, in helpers too.
#![allow(clippy::unwrap_used)]

use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use vestibule_server::app::{Config, Running};

async fn start(invited: Option<&str>, data: &tempfile::TempDir) -> Running {
    let app = chat::app(invited.map(str::to_string));
    app.start(Config::for_tests(data.path())).await.unwrap()
}

/// Runs the program as `name`, who types `lines`.
async fn run(chat: &Running, name: &str, lines: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_terminal-chat"))
        .args(["--url", &chat.url(), "--name", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // One that is refused has gone before it reads.
    let _ = stdin.write_all(lines.as_bytes()).await;
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_person_types_is_there_for_the_next() {
    let data = tempfile::tempdir().unwrap();
    let chat = start(None, &data).await;
    let ada = run(&chat, "Ada", "hello\n/quit\n").await;
    let said = String::from_utf8_lossy(&ada.stdout);
    assert!(ada.status.success(), "{said}");
    for step in ["Connected", "Authenticated", "Provisioned"] {
        assert!(said.contains(step), "{said}");
    }

    let client = vestibule_client::Client::connect(&chat.url())
        .await
        .unwrap();
    let channel = vestibule_client::object! { "channel" => "general" };
    let messages: Vec<vestibule_client::Value> = client
        .without_user()
        .query("messages:list", channel)
        .await
        .unwrap();
    assert_eq!(messages.len(), 1);
    chat.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_is_not_invited_is_told_in_a_sentence() {
    let data = tempfile::tempdir().unwrap();
    let chat = start(Some("example.org"), &data).await;
    let refused = run(&chat, "Mallory", "").await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(
        said.trim(),
        "This chat is for people with an address at example.org."
    );
    chat.shut_down().await;
}
