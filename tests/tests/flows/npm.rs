//! Folders of tests in JavaScript: their packages, and their suites run by Node.js.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// A folder below `tests`.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The Node.js 22 that the official command line asks for, installed beside it.
pub fn node_22() -> PathBuf {
    install(&folder("cli"));
    folder("cli").join("node_modules/.bin/node")
}

/// Installs a folder's packages exactly as its lock file says, once.
pub fn install(folder: &Path) {
    static INSTALLED: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    // A folder whose packages cannot be installed fails each of its tests with the reason.
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    let installed = installed.get_or_insert_default();
    if installed.contains(folder) {
        return;
    }
    let npm = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund"])
        .current_dir(folder)
        .output();
    let npm = npm.expect("these tests need Node 20 or newer with npm: see https://nodejs.org");
    assert!(
        npm.status.success(),
        "npm ci failed in {}:\n{}",
        folder.display(),
        String::from_utf8_lossy(&npm.stderr)
    );
    installed.insert(folder.to_path_buf());
}

/// Runs a program of tests, shows its report, and returns it.
pub fn run(command: &mut Command, what: &str) -> String {
    let output = command
        .output()
        .expect("these tests need Node 20 or newer with npm: see https://nodejs.org");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{what} failed:\n{report}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    println!("{report}");
    report.into_owned()
}

/// Runs a suite of a folder by the Node.js of the official command line, against the servers that take pushes.
pub fn run_pushing_suite(folder_name: &str, suite: &str) {
    let mut node = Command::new(node_22());
    node.args([
        "--test",
        "--test-timeout=300000",
        "--test-reporter=spec",
        suite,
    ]);
    node.current_dir(folder(folder_name));
    node.env("CLI_SERVER_BIN", env!("CARGO_BIN_EXE_cli-under-test"));
    node.env("VESTIBULE_BIN", env!("CARGO_BIN_EXE_vestibule-under-test"));
    run(&mut node, suite);
}

/// Fails when a folder has suites beside those that are named.
pub fn has_suites(folder: &Path, named: &[&str]) {
    let mut suites: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".test.mjs"))
        .collect();
    suites.sort();
    assert_eq!(suites, named);
}
