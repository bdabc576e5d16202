//! Every scenario for a moment and with few clients, as a process of its own with a server of its own. The tests look
//! at counts and checks, never at times.

// Every failure is the test's failure, in helpers too.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use load::report::{Report, Run};
use serde::{Deserialize, Serialize};
use vestibule_server::prelude::*;

fn load(arguments: &str) -> (Output, Option<Report>) {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_load"))
        .args(arguments.split_whitespace())
        .arg("--json")
        .arg(&json)
        .output()
        .unwrap();
    let report = std::fs::read(&json).ok();
    let report = report.map(|text| serde_json::from_slice(&text).unwrap());
    (output, report)
}

/// The runs of an invocation that succeeds, each without an error and with all that has to hold.
fn runs(arguments: &str) -> Vec<Run> {
    let (output, report) = load(arguments);
    assert!(output.status.success(), "{output:?}");
    let report = report.unwrap();
    let build = report.machine.iter().find(|(name, _)| name == "build");
    let profile = build.map(|(_, profile)| profile.as_str());
    let known = ["debug", "release", "dist"];
    assert!(known.contains(&profile.unwrap_or("none")), "{profile:?}");
    assert!(!report.runs.is_empty());
    for run in &report.runs {
        assert!(run.errors.is_empty(), "{run:?}");
        assert!(run.checks.iter().all(|check| check.holds), "{run:?}");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(printed.contains(&run.scenario), "{printed}");
    }
    report.runs
}

fn run(arguments: &str) -> Run {
    let mut runs = runs(arguments);
    assert_eq!(runs.len(), 1);
    runs.remove(0)
}

fn value(run: &Run, name: &str) -> f64 {
    let figure = run.figures.iter().find(|figure| figure.name == name);
    let figure = figure.unwrap_or_else(|| panic!("{name} is missing: {run:?}"));
    figure.value
}

const BRIEF: &str = "--seconds 0.5 --warm-up 0.1";

#[test]
fn transfers_and_reads_in_typescript_are_pushed_and_answered() {
    let transfers = run(&format!(
        "transfers --functions ts --clients 2 --in-flight 3 --accounts 20 --alpha 1 {BRIEF}"
    ));
    assert!(transfers.count > 0);
    assert_eq!(transfers.subject, "vestibule, TypeScript");
    assert!(value(&transfers, "reruns per commit") >= 0.0);
    let reads = run(&format!(
        "reads --functions ts --what range --uncached --clients 2 --accounts 100 {BRIEF}"
    ));
    assert!(reads.count > 0);
}

#[test]
fn a_scenario_without_functions_in_typescript_says_so() {
    let (output, _) = load("idle --functions ts --clients 1");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no functions in TypeScript"), "{said}");
}

#[test]
fn transfers_keep_the_total() {
    let run = run(&format!(
        "transfers --clients 4 --in-flight 5 --accounts 50 --alpha 1.5 {BRIEF}"
    ));
    assert!(run.count > 0);
    assert_eq!(run.latencies[0].count, run.count);
    assert_eq!(run.rate_over_time.counts.iter().sum::<u64>(), run.count);
    assert_eq!(
        (run.settings["alpha"].as_str(), run.checks.len()),
        ("1.5", 1)
    );
    let server = run.server.unwrap();
    assert!(server.rss_bytes > 0 && server.fsyncs.unwrap() > 0);
}

#[test]
fn transfers_go_on_beside_a_backfill() {
    let runs = runs(&format!(
        "backfill --documents 3000 --clients 2 --rate 50 {BRIEF}"
    ));
    let told: Vec<&str> = runs.iter().map(|run| run.scenario.as_str()).collect();
    assert_eq!(told, ["transfers", "transfers beside a backfill"]);
    let beside = &runs[1];
    // The total of all accounts, and the new index as a whole.
    assert_eq!(beside.checks.len(), 2);
    let names = beside.figures.iter().map(|figure| figure.name.as_str());
    assert_eq!(
        names.collect::<Vec<_>>(),
        [
            "push",
            "documents indexed a second",
            "p99 beside it / before",
            "best part's p99",
            "worst part's p99"
        ]
    );
}

#[test]
fn each_job_runs_once_in_both_languages() {
    for functions in ["rust", "ts"] {
        let run = run(&format!(
            "jobs --functions {functions} --jobs 1500 --waiting 1200"
        ));
        assert_eq!((run.count, run.checks.len()), (1_500, 2));
        // How late each ran, by the jobs themselves and by the server.
        let counts: Vec<u64> = run.latencies.iter().map(|latency| latency.count).collect();
        assert_eq!(counts, [1_500, 1_500]);
        assert_eq!(value(&run, "ended jobs kept"), 1_500.0);
    }
}

#[test]
fn jobs_that_come_due_at_a_rate_all_run() {
    let run = run("jobs --rate 200 --seconds 0.5");
    assert_eq!(run.count, 100);
    assert_eq!(run.rate_over_time.counts.iter().sum::<u64>(), 100);
}

#[test]
fn http_actions_answer_with_the_account_in_both_languages() {
    for functions in ["rust", "ts"] {
        let run = run(&format!(
            "http-actions --functions {functions} --clients 3 --accounts 20 --rate 40 --even {BRIEF}"
        ));
        // Those that were due in the measured time, however late they were answered.
        assert_eq!(run.latencies[0].count, 20);
    }
}

#[test]
fn files_are_stored_and_read_back_in_both_languages() {
    for (functions, what) in [("rust", "upload"), ("ts", "upload"), ("rust", "download")] {
        let run = run(&format!(
            "files --functions {functions} --what {what} --bytes 100KiB --clients 2 {BRIEF}"
        ));
        let timed: u64 = run.latencies.iter().map(|latency| latency.count).sum();
        assert_eq!(timed, run.count);
        assert!(value(&run, "RSS max") >= value(&run, "RSS before"));
        let read_back = run.checks.iter().map(|check| check.seen.as_str());
        match what {
            "upload" => assert_eq!(read_back.collect::<Vec<_>>(), ["2 of 2"]),
            // Each byte was compared as it came, of one file a client at least.
            _ => assert_eq!(read_back.count(), 0),
        }
    }
}

#[test]
fn slow_files_are_broken_off_when_the_run_is_over() {
    for what in ["upload", "download"] {
        let run = run(&format!(
            "files --what {what} --bytes 50MiB --slow 1KiB --clients 5 {BRIEF}"
        ));
        assert_eq!((run.count, run.latencies.len()), (0, 0));
        assert!(value(&run, "content") >= 0.0);
    }
}

#[test]
fn files_are_compared_with_what_an_upload_has_to_do() {
    let runs = runs(&format!(
        "files --bytes 10KiB --clients 2 --against write-sync-rename --pairs 1 {BRIEF}"
    ));
    let subjects: Vec<&str> = runs.iter().map(|run| run.subject.as_str()).collect();
    assert_eq!(subjects, ["vestibule", "write-sync-rename"]);
}

/// Where nginx is not installed, the program says how to get it.
#[test]
fn downloads_are_compared_with_nginx() {
    let arguments = format!(
        "files --what download --bytes 10KiB --clients 2 --against nginx --pairs 1 {BRIEF}"
    );
    if Command::new("nginx").arg("-v").output().is_err() {
        let (output, _) = load(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("apt-get install nginx"), "{said}");
        return;
    }
    let runs = runs(&arguments);
    assert_eq!((runs.len(), runs[1].subject.as_str()), (2, "nginx"));
}

#[test]
fn all_documents_of_an_import_are_there_in_both_languages() {
    for functions in ["rust", "ts"] {
        // More than one part.
        let run = run(&format!(
            "imports --functions {functions} --documents 150000"
        ));
        assert_eq!((run.count, run.checks.len()), (150_000, 1));
        assert!(value(&run, "RSS growth to its max") >= 0.0);
    }
}

#[test]
fn people_sign_up_beside_transfers() {
    let runs = runs(&format!(
        "sign-ups --rate 4 --transfers 50 --clients 2 --accounts 50 {BRIEF}"
    ));
    let told: Vec<&str> = runs.iter().map(|run| run.scenario.as_str()).collect();
    assert_eq!(told, ["transfers", "transfers beside sign-ups", "sign-ups"]);
    assert!(value(&runs[1], "p99 beside them / before") > 0.0);
    // Those that were due in the measured time.
    assert_eq!((runs[2].latencies[0].count, runs[2].checks.len()), (2, 1));
}

#[test]
fn an_app_is_pushed_twice_and_the_servers_share_is_told() {
    let runs = runs("pushes --functions-count 6 --modules 3");
    let told: Vec<&str> = runs.iter().map(|run| run.scenario.as_str()).collect();
    assert_eq!(told, ["first push", "second push"]);
    for run in &runs {
        let (share, whole) = (value(run, "server's share"), value(run, "whole push"));
        assert!(share > 0.0 && share < whole, "{share} of {whole}");
    }
}

#[test]
fn transfers_that_arrive_at_a_rate_are_all_answered() {
    let run = run(&format!(
        "transfers --clients 2 --in-flight 50 --accounts 50 --rate 200 --even {BRIEF}"
    ));
    // Those that were due in the measured time, however late they were answered.
    assert_eq!(run.latencies[0].count, 100);
}

#[test]
fn everybody_sees_every_write() {
    let run = run(&format!("fan-out --clients 20 {BRIEF}"));
    assert_eq!(run.unit, "deliveries");
    assert!(run.count >= 20, "{run:?}");
    let of: Vec<&str> = run
        .latencies
        .iter()
        .map(|latency| latency.of.as_str())
        .collect();
    assert_eq!(
        of,
        [
            "commit to last delivery",
            "write to each delivery",
            "write to answer"
        ]
    );
}

#[test]
fn writes_that_arrive_at_a_rate_may_be_seen_together() {
    let run = run(&format!("fan-out --clients 10 --rate 100 {BRIEF}"));
    assert!(run.count > 0 && run.latencies[0].count > 0);
}

#[test]
fn a_write_is_seen_by_whoever_watches_its_range() {
    let run = run(&format!(
        "fan-out --clients 10 --ranges 5 --size 100 {BRIEF}"
    ));
    let writes = run.figures.iter().find(|figure| figure.name == "writes");
    assert!(run.count > 0 && writes.unwrap().value > 0.0);
}

#[test]
fn a_write_that_nobody_watches_is_answered() {
    for ranges in ["0", "5 --miss"] {
        let run = run(&format!("fan-out --clients 3 --ranges {ranges} {BRIEF}"));
        assert_eq!(run.unit, "writes");
        assert!(run.count > 0 && run.latencies.len() == 1, "{run:?}");
    }
}

#[test]
fn reads_are_answered_over_both_protocols() {
    for over in ["websocket", "http"] {
        for what in ["point", "range"] {
            for more in ["--distinct 3", "--uncached"] {
                let run = run(&format!(
                    "reads --over {over} --what {what} {more} --clients 2 --in-flight 3 --accounts 50 {BRIEF}"
                ));
                assert!(run.count > 0, "{run:?}");
                assert_eq!(run.latencies[0].count, run.count);
            }
        }
    }
}

#[test]
fn new_people_are_let_in_and_known_ones_write_nothing() {
    let runs = runs("first-logins --users 30 --tabs 2 --known");
    let told: Vec<(&str, u64)> = runs
        .iter()
        .map(|run| (run.scenario.as_str(), run.count))
        .collect();
    assert_eq!(told, [("first-logins", 60), ("known-logins", 60)]);
    // Documents, right answers; and, of those who are known, that nothing was written.
    assert_eq!((runs[0].checks.len(), runs[1].checks.len()), (2, 3));
    assert_eq!(runs[1].server.as_ref().unwrap().fsyncs, Some(0));
}

#[test]
fn people_with_rsa_tokens_are_let_in_as_they_arrive() {
    let run = run("first-logins --users 20 --alg rs256 --rate 100");
    assert_eq!((run.count, run.latencies[0].count), (20, 20));
}

#[test]
fn idle_connections_stay() {
    for own in ["", "--own"] {
        let run = run(&format!("idle --clients 20 {own} {BRIEF}"));
        assert!(
            run.figures
                .iter()
                .any(|figure| figure.name == "RSS per connection")
        );
        assert_eq!(run.latencies[0].count, 20);
    }
}

#[test]
fn everybody_who_was_cut_off_comes_back() {
    let runs = runs("reconnects --clients 20 --rounds 2");
    let counts: Vec<u64> = runs.iter().map(|run| run.count).collect();
    assert_eq!(counts, [20, 20]);
}

/// A server of this very program that another invocation is aimed at.
struct Elsewhere {
    child: std::process::Child,
    url: String,
    _data: tempfile::TempDir,
}

impl Elsewhere {
    fn start(arguments: &[&str]) -> Elsewhere {
        use std::io::{BufRead, BufReader};

        let data = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_load"))
            .args(["serve", "--attached", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .args(arguments)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("listening ").unwrap();
        Elsewhere {
            url: format!("http://127.0.0.1:{port}"),
            child,
            _data: data,
        }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_that_runs_elsewhere_is_loaded_again_and_again() {
    let server = Elsewhere::start(&[]);
    for _ in 0..2 {
        for scenario in ["transfers --accounts 50", "fan-out", "idle"] {
            let run = run(&format!(
                "{scenario} --clients 2 {BRIEF} --url {}",
                server.url
            ));
            assert_eq!(run.subject, server.url);
            // Its process is not ours to look at.
            assert!(run.server.is_none());
        }
    }
    let (output, _) = load(&format!("first-logins --users 2 --url {}", server.url));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("--auth-config"),
        "{said}"
    );
}

/// A bank that answers well and keeps nothing of it.
#[derive(Serialize, Deserialize)]
struct Loss {
    amount: f64,
}

impl Table for Loss {
    const NAME: &'static str = "losses";
    const INDEXES: &'static [Index<Loss>] = &[];
}

#[test]
fn a_total_that_changes_is_told_and_is_a_failure() {
    #[derive(Deserialize)]
    struct Transfer {
        #[serde(rename = "from")]
        _from: f64,
        #[serde(rename = "to")]
        _to: f64,
        amount: f64,
    }
    #[derive(Deserialize)]
    struct Stretch {
        #[serde(rename = "first")]
        _first: f64,
        count: f64,
    }
    let app = App::new(Schema::new().table::<Loss>())
        .mutation("accounts:open", |_: &mut MutationCtx, _: Stretch| Ok(0.0))
        .mutation(
            "accounts:transfer",
            |ctx: &mut MutationCtx, transfer: Transfer| {
                let amount = transfer.amount;
                ctx.db().insert(Loss { amount })?;
                Ok(())
            },
        )
        .query("accounts:total", |ctx: &mut QueryCtx, stretch: Stretch| {
            let lost = ctx
                .db()
                .query::<Loss>()
                .first()?
                .map_or(0.0, |loss| loss.amount);
            Ok(object! { "accounts" => stretch.count, "balance" => 100.0 - lost })
        })
        .without_provisioning();
    let data = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime
        .block_on(app.start(Config::for_tests(data.path())))
        .unwrap();
    let arguments = format!(
        "transfers --clients 1 --accounts 50 {BRIEF} --url {}",
        server.url()
    );
    let (output, report) = load(&arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("BROKEN"));
    assert!(!report.unwrap().runs[0].checks[0].holds);
    runtime.block_on(server.shut_down());
}

#[test]
fn what_cannot_be_done_is_said() {
    for (arguments, said) in [
        ("sprint", "unrecognized subcommand 'sprint'"),
        ("transfers --clients 0", "above zero"),
        ("transfers --alpha=-1", "not below zero"),
        ("transfers --seconds never", "--seconds"),
        ("transfers --even", "--rate"),
        ("transfers --against mongo", "node-sqlite"),
        ("transfers --accounts 1", "--accounts"),
        ("jobs --jobs 5 --rate 5", "--rate"),
        ("files --bytes 1MB", "KiB"),
        ("files --against nginx", "--what download"),
        ("imports --url http://127.0.0.1:1", "a server of its own"),
        (
            "idle --url http://127.0.0.1:1",
            "nobody answers at http://127.0.0.1:1",
        ),
        ("idle --url https://example.org", "http://"),
        ("idle --clients 10000000000", "10000000000 connections need"),
        (
            "first-logins --users 100000000 --tabs 100",
            "10000000000 connections need",
        ),
    ] {
        let (output, report) = load(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && report.is_none(),
            "{arguments}: {output:?}"
        );
        assert!(stderr.contains(said), "{arguments}: {stderr}");
    }
}

#[test]
fn a_report_is_a_page_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.html");
    let arguments = format!(
        "transfers --accounts 50 --clients 2 {BRIEF} --report {}",
        file.display()
    );
    run(&arguments);
    let page = std::fs::read_to_string(&file).unwrap();
    assert!(page.starts_with("<!doctype html>") || page.starts_with("<!DOCTYPE html>"));
    assert!(page.contains("transfers") && page.contains("<svg"));
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"));
}

#[test]
fn two_servers_are_compared_pair_by_pair() {
    let runs = runs(&format!(
        "transfers --against echo --pairs 2 --accounts 50 --clients 2 {BRIEF}"
    ));
    let made: Vec<(u32, &str)> = runs
        .iter()
        .map(|run| (run.pair, run.subject.as_str()))
        .collect();
    assert_eq!(
        made,
        [(1, "vestibule"), (1, "echo"), (2, "vestibule"), (2, "echo")]
    );
    assert!(runs.iter().all(|run| run.count > 0));
}

/// Needs Node 20 or newer with npm; what else the alternative needs it says itself.
#[test]
fn an_alternative_is_compared_with() {
    let runs = runs(&format!(
        "transfers --against node-sqlite --pairs 1 --accounts 50 --clients 2 {BRIEF}"
    ));
    let other = &runs[1];
    assert_eq!((runs.len(), other.subject.as_str()), (2, "node-sqlite"));
    assert!(other.count > 0 && other.server.as_ref().unwrap().rss_bytes > 0);
    assert!(other.figures.iter().any(|figure| figure.name == "retries"));
}
