//! The official JavaScript clients under Node, and the page in a real browser: the suites of `tests/js`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("js")
}

/// Installs the suites' packages once, exactly as the lock file says.
fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let npm = Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(folder()).output();
        let npm = npm.expect("these tests need Node 20 or newer with npm: see https://nodejs.org");
        assert!(npm.status.success(), "npm ci failed:\n{}", String::from_utf8_lossy(&npm.stderr));
    });
}

fn run(suite: &str) {
    install();
    let node = Command::new("node")
        .args(["--test", "--test-reporter=spec", suite])
        .current_dir(folder())
        .env("CHAT_BIN", env!("CARGO_BIN_EXE_chat-under-test"))
        .output()
        .expect("these tests need Node 20 or newer: see https://nodejs.org");
    let report = String::from_utf8_lossy(&node.stdout);
    assert!(node.status.success(), "{suite} failed:\n{report}\n{}", String::from_utf8_lossy(&node.stderr));
    println!("{report}");
}

/// Every suite of the folder is run by a test below.
#[test]
fn no_suite_is_left_out() {
    let mut suites: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".test.mjs"))
        .collect();
    suites.sort();
    assert_eq!(suites, SUITES);
}

const SUITES: [&str; 0] = [];
