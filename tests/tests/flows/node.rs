//! The official JavaScript clients under Node, and the pages in a real browser: the suites of `tests/js`. And the React
//! package with its own tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("js")
}

/// Installs the packages of the suites and of the apps they drive once.
fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        install_in(&folder());
        install_in(&folder().join("react"));
        install_in(&folder().join("../../examples/web"));
    });
}

/// Installs a folder's packages exactly as its lock file says.
fn install_in(folder: &Path) {
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
}

fn run(suite: &str) {
    install();
    let node = Command::new("node")
        .args([
            "--test",
            "--test-timeout=180000",
            "--test-reporter=spec",
            suite,
        ])
        .current_dir(folder())
        .env("CHAT_BIN", env!("CARGO_BIN_EXE_chat-under-test"))
        .output()
        .expect("these tests need Node 20 or newer: see https://nodejs.org");
    let report = String::from_utf8_lossy(&node.stdout);
    assert!(
        node.status.success(),
        "{suite} failed:\n{report}\n{}",
        String::from_utf8_lossy(&node.stderr)
    );
    println!("{report}");
}

/// Runs the tests that a package of ours brings along.
fn run_package(package: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(package);
    install_in(&folder);
    let npm = Command::new("npm")
        .arg("test")
        .current_dir(&folder)
        .env("CHAT_BIN", env!("CARGO_BIN_EXE_chat-under-test"))
        .output()
        .expect("these tests need Node 20 or newer with npm: see https://nodejs.org");
    let report = String::from_utf8_lossy(&npm.stdout);
    assert!(
        npm.status.success(),
        "{package} failed:\n{report}\n{}",
        String::from_utf8_lossy(&npm.stderr)
    );
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

const SUITES: [&str; 12] = [
    "bounds.test.mjs",
    "browser.test.mjs",
    "first_logins.test.mjs",
    "first_touch.test.mjs",
    "http.test.mjs",
    "identity.test.mjs",
    "live.test.mjs",
    "openid.test.mjs",
    "pagination.test.mjs",
    "react.test.mjs",
    "reconnect.test.mjs",
    "web.test.mjs",
];

#[test]
fn official_clients_meet_every_bound_of_a_connection_and_none_loops() {
    run("bounds.test.mjs");
}

#[test]
fn two_people_chat_in_a_real_browser_and_the_gate_shows_its_states() {
    run("browser.test.mjs");
}

#[test]
fn a_thousand_official_clients_sign_in_for_the_first_time_at_once() {
    run("first_logins.test.mjs");
}

#[test]
fn official_clients_first_touch_the_server_in_every_way_that_pages_do() {
    run("first_touch.test.mjs");
}

#[test]
fn the_official_http_client_passes_the_same_gate() {
    run("http.test.mjs");
}

#[test]
fn official_clients_sign_in_refresh_switch_and_sign_out_on_one_connection() {
    run("identity.test.mjs");
}

#[test]
fn official_clients_see_live_results_and_optimistic_updates() {
    run("live.test.mjs");
}

#[test]
fn official_clients_sign_in_at_a_real_openid_provider_that_rotates_and_fails() {
    run("openid.test.mjs");
}

#[test]
fn official_clients_page_without_gaps_or_overlaps() {
    run("pagination.test.mjs");
}

#[test]
fn an_unmodified_official_react_app_shows_no_wrong_frame() {
    run("react.test.mjs");
}

#[test]
fn official_clients_lose_and_double_nothing_when_connections_break() {
    run("reconnect.test.mjs");
}

#[test]
fn the_react_package_keeps_the_promise_with_and_without_a_gate() {
    run_package("client/react");
}

#[test]
fn the_react_example_shows_one_place_after_the_other_in_a_real_browser() {
    run("web.test.mjs");
}
