//! The official JavaScript clients under Node, and the page in a real browser: the suites of `tests/js`.

use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("js")
}

fn suites() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut suites: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(".test.mjs")).collect();
    suites.sort();
    assert!(!suites.is_empty(), "tests/js holds no suite");
    suites
}

/// Installs the suites' packages exactly as the lock file says.
fn install() {
    let npm = Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(folder()).output();
    let npm = npm.expect("these tests need Node 20 or newer with npm: see https://nodejs.org");
    assert!(npm.status.success(), "npm ci failed:\n{}", String::from_utf8_lossy(&npm.stderr));
}

#[test]
fn the_official_javascript_clients_and_the_page_pass_their_suites() {
    install();
    let node = Command::new("node")
        .args(["--test", "--test-reporter=spec", "--test-concurrency=1"])
        .args(suites())
        .current_dir(folder())
        .env("CHAT_BIN", env!("CARGO_BIN_EXE_chat-under-test"))
        .output()
        .expect("these tests need Node 20 or newer: see https://nodejs.org");
    let report = String::from_utf8_lossy(&node.stdout);
    assert!(node.status.success(), "{report}\n{}", String::from_utf8_lossy(&node.stderr));
    println!("{report}");
}
