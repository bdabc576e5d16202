//! The suite of the engine once more, with a runtime made for each call: what it finds is what a restored one must find.

use std::process::Command;

/// Set for the run that has fresh runtimes.
const ASKED: &str = "JS_TESTS_WITH_FRESH_RUNTIMES";
/// Tests that count runtimes or time, whose outcome is another with fresh ones.
const SKIPPED: [&str; 8] = [
    "a_module_that_cannot_be_loaded_leaves_the_others_ready",
    "a_function_that_runs_out_of_time_or_memory_ends_its_callers_too",
    "images_are_ready_before_the_first_call",
    "images_of_code_that_is_not_live_any_more_go_at_once_or_with_their_call",
    "tests::hostile",
    "tests::oracle",
    "tests::places",
    "tests::steps",
];
/// Tests that must have run, or the names above have changed.
const RAN_MIN: usize = 30;

/// Whether this run has fresh runtimes.
pub fn is_asked() -> bool {
    std::env::var_os(ASKED).is_some()
}

#[test]
fn restored_runtimes_do_what_fresh_ones_do() {
    let mut suite = Command::new(std::env::current_exe().unwrap());
    suite.env(ASKED, "1");
    suite.args(["functions::js::tests", "functions::js::web::tests"]);
    for name in SKIPPED {
        suite.args(["--skip", name]);
    }
    let ran = suite.output().unwrap();
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{told}");
    let passed = told.lines().filter(|line| line.ends_with(" ... ok"));
    assert!(passed.count() >= RAN_MIN, "{told}");
}
