//! Apps with their libraries unmodified, pushed by the official command line: the suites of `tests/apps`.

use super::npm::{folder, has_suites, install, run_pushing_suite};

fn run_suite(suite: &str) {
    // The browser is that of the other suites.
    install(&folder("js"));
    install(&folder("apps"));
    run_pushing_suite("apps", suite);
}

/// Every suite of the folder is run by a test below.
#[test]
fn no_suite_is_left_out() {
    let suites = [
        "bank.test.mjs",
        "clerk.test.mjs",
        "components.test.mjs",
        "helpers.test.mjs",
        "market.test.mjs",
        "packages.test.mjs",
        "passwords.test.mjs",
        "tracker.test.mjs",
    ];
    has_suites(&folder("apps"), &suites);
}

#[test]
fn money_stays_what_it_is_while_the_server_is_killed() {
    run_suite("bank.test.mjs");
}

#[test]
fn an_app_with_users_from_a_webhook_runs_with_files_jobs_and_a_cron() {
    run_suite("clerk.test.mjs");
}

#[test]
fn components_from_npm_run_unmodified() {
    run_suite("components.test.mjs");
}

#[test]
fn an_app_made_from_convex_helpers_runs() {
    run_suite("helpers.test.mjs");
}

#[test]
fn a_shop_with_orders_payments_and_streams_runs() {
    run_suite("market.test.mjs");
}

#[test]
fn a_task_tracker_with_members_files_and_webhooks_runs() {
    run_suite("tracker.test.mjs");
}

#[test]
fn packages_give_in_functions_what_they_give_under_node() {
    run_suite("packages.test.mjs");
}

#[test]
fn an_app_behind_passwords_runs_with_its_library_unmodified() {
    run_suite("passwords.test.mjs");
}
