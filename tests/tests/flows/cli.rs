//! The official command line against a server that takes pushes: the suites of `tests/cli`.

use super::npm::{folder, has_suites, install, run_pushing_suite};

fn run_suite(suite: &str) {
    run_pushing_suite("cli", suite);
}

/// Every suite of the folder is run by a test below.
#[test]
fn no_suite_is_left_out() {
    let suites = [
        "abi.test.mjs",
        "asking.test.mjs",
        "backup.test.mjs",
        "bad-input.test.mjs",
        "bodies.test.mjs",
        "components.test.mjs",
        "dashboard.test.mjs",
        "deploy.test.mjs",
        "example.test.mjs",
        "kills-crons.test.mjs",
        "kills-transfers.test.mjs",
        "kills.test.mjs",
        "known.test.mjs",
        "live-pushes.test.mjs",
        "mcp.test.mjs",
        "node-packages.test.mjs",
        "node-processes.test.mjs",
        "node.test.mjs",
        "pairs.test.mjs",
        "parts.test.mjs",
        "running.test.mjs",
        "search.test.mjs",
        "serve.test.mjs",
        "tools.test.mjs",
        "transfers.test.mjs",
    ];
    has_suites(&folder("cli"), &suites);
}

#[test]
fn the_official_command_line_pushes_apps() {
    run_suite("deploy.test.mjs");
}

#[test]
fn components_are_mounted_called_and_kept_apart() {
    run_suite("components.test.mjs");
}

#[test]
fn dashboards_look_at_data_and_change_it() {
    run_suite("dashboard.test.mjs");
}

#[test]
fn the_program_serves_apps_that_are_pushed() {
    run_suite("serve.test.mjs");
}

#[test]
fn the_example_starts_with_one_command() {
    install(&folder("../examples/web"));
    run_suite("example.test.mjs");
}

#[test]
fn live_queries_follow_what_pushes_change() {
    run_suite("live-pushes.test.mjs");
}

#[test]
fn deployments_are_backed_up_checked_and_restored() {
    run_suite("backup.test.mjs");
}

#[test]
fn the_official_command_line_looks_into_a_deployment() {
    run_suite("tools.test.mjs");
}

#[test]
fn the_official_command_line_exports_and_imports_data_with_its_files() {
    run_suite("transfers.test.mjs");
}

#[test]
fn words_and_vectors_are_searched() {
    run_suite("search.test.mjs");
}

#[test]
fn the_official_command_line_pushes_parts_that_are_not_run() {
    run_suite("parts.test.mjs");
}

#[test]
fn packages_outside_of_the_bundle_are_installed_for_node() {
    run_suite("node-packages.test.mjs");
}

#[test]
fn processes_of_node_end_and_break_alone() {
    run_suite("node-processes.test.mjs");
}

#[test]
fn actions_in_modules_for_node_run_there() {
    run_suite("node.test.mjs");
}

#[test]
fn the_official_command_line_watches_and_runs() {
    run_suite("running.test.mjs");
}

#[test]
fn the_official_command_line_asks_in_the_words_of_the_developer() {
    run_suite("asking.test.mjs");
}

#[test]
fn the_official_command_line_serves_its_tools_to_agents() {
    run_suite("mcp.test.mjs");
}

#[test]
fn mistakes_in_pushes_are_answered_so_that_tools_stop() {
    run_suite("bad-input.test.mjs");
}

#[test]
fn bodies_over_raw_sockets_are_whole_or_an_error() {
    run_suite("bodies.test.mjs");
}

#[test]
fn a_server_killed_in_a_push_has_one_deployment_whole() {
    run_suite("kills.test.mjs");
}

#[test]
fn a_server_killed_among_crons_runs_each_moment_once() {
    run_suite("kills-crons.test.mjs");
}

#[test]
fn a_server_killed_among_uploads_and_imports_has_each_whole_or_not_at_all() {
    run_suite("kills-transfers.test.mjs");
}

#[test]
fn pushed_functions_find_what_the_package_expects() {
    run_suite("abi.test.mjs");
}

#[test]
fn functions_do_the_same_in_rust_and_in_typescript() {
    run_suite("pairs.test.mjs");
}

#[test]
fn packages_with_native_heads_answer_what_they_answer_in_node() {
    run_suite("known.test.mjs");
}
