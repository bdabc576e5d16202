//! The official command line against a server that takes pushes: the suites of `tests/cli`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cli")
}

/// Installs the command line, and the Node.js that it asks for, as the lock file says.
fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let npm = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(folder())
            .output();
        let npm = npm.expect("these tests need npm: see https://nodejs.org");
        assert!(
            npm.status.success(),
            "npm ci failed:\n{}",
            String::from_utf8_lossy(&npm.stderr)
        );
    });
}

fn run(suite: &str) {
    install();
    let node = Command::new(folder().join("node_modules/.bin/node"))
        .args([
            "--test",
            "--test-timeout=300000",
            "--test-reporter=spec",
            suite,
        ])
        .current_dir(folder())
        .env("CLI_SERVER_BIN", env!("CARGO_BIN_EXE_cli-under-test"))
        .output()
        .expect("the package `node` was installed");
    let report = String::from_utf8_lossy(&node.stdout);
    assert!(
        node.status.success(),
        "{suite} failed:\n{report}\n{}",
        String::from_utf8_lossy(&node.stderr)
    );
    println!("{report}");
}

#[test]
fn the_official_command_line_pushes_apps() {
    run("deploy.test.mjs");
}

#[test]
fn the_official_command_line_looks_into_a_deployment() {
    run("tools.test.mjs");
}
