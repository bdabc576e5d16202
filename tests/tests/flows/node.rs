//! The official JavaScript clients under Node, and the pages in a real browser: the suites of `tests/js`. And the React
//! package with its own tests.

use std::path::Path;
use std::process::Command;

use super::npm::{self, folder, has_suites};

/// Installs the packages of the suites and of the apps they drive.
fn install() {
    npm::install(&folder("js"));
    npm::install(&folder("js/react"));
    npm::install(&folder("../examples/web"));
}

fn run(suite: &str) {
    install();
    let mut node = Command::new("node");
    node.args([
        "--test",
        "--test-timeout=180000",
        "--test-reporter=spec",
        suite,
    ]);
    node.current_dir(folder("js"));
    node.env("CHAT_BIN", env!("CARGO_BIN_EXE_chat-under-test"));
    npm::run(&mut node, suite);
}

/// Runs the tests that a package of ours brings along.
fn run_package(package: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(package);
    npm::install(&folder);
    let mut command = Command::new("npm");
    command.arg("test").current_dir(&folder);
    command.env("CHAT_BIN", env!("CARGO_BIN_EXE_chat-under-test"));
    npm::run(&mut command, package);
}

/// Every suite of the folder is run by a test below.
#[test]
fn no_suite_is_left_out() {
    has_suites(&folder("js"), &SUITES);
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
