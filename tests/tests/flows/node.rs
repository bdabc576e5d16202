//! The official JavaScript clients under Node, and the pages in a real browser. Each suite of `tests/js` runs against the
//! chat in Rust and against the chat in TypeScript. And the React package with its own tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::npm::{self, folder, has_suites};

/// Installs the packages of the suites and of the apps they drive.
fn install() {
    npm::install(&folder("js"));
    npm::install(&folder("js/react"));
    npm::install(&folder("../examples/web"));
}

/// A language in which the chat's functions are written.
#[derive(Clone, Copy)]
enum Language {
    Rust,
    TypeScript,
}

/// A data directory to which the official command line has pushed the chat in TypeScript, with the key of its administrator.
fn pushed() -> &'static Path {
    static PUSHED: OnceLock<PathBuf> = OnceLock::new();
    PUSHED.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pushed-chat");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let mut push = Command::new(npm::node_22());
        push.arg("push.mjs").arg(&folder);
        push.current_dir(npm::folder("js"));
        push.env("CLI_SERVER_BIN", env!("CARGO_BIN_EXE_cli-under-test"));
        npm::run(&mut push, "pushing the chat");
        folder
    })
}

/// Runs a suite against the chat in both languages. The tests that TypeScript leaves out are listed, with the reason.
fn run(suite: &str) {
    install();
    let in_rust = run_in(suite, Language::Rust);
    let in_typescript = run_in(suite, Language::TypeScript);
    let left_out = only_rust()
        .get(suite)
        .map_or(0, |tests| tests.as_object().unwrap().len());
    assert_eq!((in_rust.skipped, in_typescript.skipped), (0, left_out));
    assert_eq!(in_rust.passed, in_typescript.passed + left_out);
}

/// The tests that TypeScript leaves out: suite, name and reason.
fn only_rust() -> serde_json::Map<String, serde_json::Value> {
    let list = std::fs::read_to_string(folder("js").join("only_rust.json")).unwrap();
    serde_json::from_str(&list).unwrap()
}

/// The counts of a suite's tests.
struct Counts {
    passed: usize,
    skipped: usize,
}

fn run_in(suite: &str, language: Language) -> Counts {
    let mut node = Command::new("node");
    node.args([
        "--test",
        "--test-timeout=180000",
        "--test-reporter=spec",
        suite,
    ]);
    node.current_dir(folder("js"));
    node.env("CHAT_BIN", env!("CARGO_BIN_EXE_chat-under-test"));
    let what = match language {
        Language::Rust => format!("{suite} in Rust"),
        Language::TypeScript => {
            node.env("CHAT_PUSHED", pushed());
            format!("{suite} in TypeScript")
        }
    };
    let report = npm::run(&mut node, &what);
    let count = |of: &str| -> usize {
        let line = report.lines().find_map(|line| line.strip_prefix(of));
        line.and_then(|count| count.trim().parse().ok())
            .unwrap_or_else(|| panic!("the report of {what} does not count {of:?}"))
    };
    Counts {
        passed: count("ℹ pass"),
        skipped: count("ℹ skipped"),
    }
}

/// Every test that is left out belongs to a suite, and says why.
#[test]
fn what_typescript_leaves_out_has_a_reason() {
    for (suite, tests) in only_rust() {
        assert!(SUITES.contains(&suite.as_str()), "{suite}");
        for (test, reason) in tests.as_object().unwrap() {
            assert!(
                reason.as_str().is_some_and(|reason| !reason.is_empty()),
                "{test}"
            );
        }
    }
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
