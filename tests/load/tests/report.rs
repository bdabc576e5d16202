//! The report as text and as a page: exact where it tells numbers, harmless whatever the names hold.

// Helpers may unwrap here as tests do.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use load::report::{Check, Figure, Latency, Report, Run, Slices, Usage, comparisons, html, text};

fn report(runs: Vec<Run>) -> Report {
    Report {
        started: "2026-11-22T21:14:03Z".to_owned(),
        machine: vec![("CPU".to_owned(), "EPYC, 2 cores".to_owned())],
        runs,
    }
}

fn run(subject: &str, pair: u32, rate: f64) -> Run {
    let settings = [("alpha", "0"), ("clients", "64")];
    Run {
        scenario: "transfers".to_owned(),
        subject: subject.to_owned(),
        pair,
        settings: settings
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        unit: "transfers".to_owned(),
        count: (rate * 10.0) as u64,
        seconds: 10.0,
        rate,
        rate_over_time: Slices {
            seconds: 5.0,
            counts: vec![(rate * 5.0) as u64; 2],
        },
        latencies: vec![latency("answer", 2.0)],
        figures: Vec::new(),
        errors: BTreeMap::new(),
        checks: vec![Check {
            what: "the total is unchanged".to_owned(),
            holds: true,
            seen: "100".to_owned(),
        }],
        server: Some(usage(Some(1_200))),
        client: usage(None),
    }
}

fn latency(of: &str, p50: f64) -> Latency {
    Latency {
        of: of.to_owned(),
        count: 1_000,
        min: p50 / 2.0,
        mean: p50,
        p50,
        p90: p50 * 2.0,
        p99: p50 * 4.0,
        p999: p50 * 8.0,
        max: p50 * 10.0,
        curve: vec![
            (0.0, p50 / 2.0),
            (0.5, p50),
            (0.99, p50 * 4.0),
            (1.0, p50 * 10.0),
        ],
    }
}

fn usage(fsyncs: Option<u64>) -> Usage {
    Usage {
        user_cpu_seconds: 9.0,
        system_cpu_seconds: 3.5,
        rss_bytes: 64 << 20,
        fsyncs,
    }
}

#[test]
fn the_table_lines_up_and_the_ratios_follow() {
    let mut slower = run("node-sqlite", 1, 2_000.0);
    slower.server = None;
    slower.errors = [("timed out".to_owned(), 1_234), ("conflict".to_owned(), 2)].into();
    slower.checks[0].holds = false;
    slower.checks[0].seen = "99".to_owned();
    let mut first = run("vestibule", 1, 250_000.0);
    first.latencies.push(latency("gate wait", 0.05));
    first.figures.push(Figure {
        name: "RSS per connection".to_owned(),
        value: 10_035.2,
        unit: "bytes".to_owned(),
    });
    let runs = vec![
        first,
        slower,
        run("node-sqlite", 2, 2_500.0),
        run("vestibule", 2, 250_000.0),
    ];
    let expected = "               transfers  vestibule (alpha 0, clients 64)
                    rate  250000 transfers/s (2500000 in 10.0 s)
                  answer  p50 2.00  p90 4.00  p99 8.00  p99.9 16.00  max 20.00 ms
               gate wait  p50 0.05  p90 0.10  p99 0.20  p99.9 0.40  max 0.50 ms
";
    let told = text(&report(runs));
    assert!(told.starts_with(expected), "{told}");
    let failing = "                  errors  2 × conflict
                  errors  1234 × timed out
                  BROKEN  the total is unchanged 99
";
    assert!(told.contains(failing), "{told}");
    let ratios = "
ratios of rates, pair by pair
vestibule against node-sqlite, transfers: alpha 0, clients 64
  125×  100×   median 112× of 2 pairs
machine: CPU EPYC, 2 cores
";
    assert!(told.ends_with(ratios), "{told}");
}

#[test]
fn ratios_are_of_pairs_and_their_median_is_the_middle() {
    let mut runs = vec![run("postgres", 1, 1.0)];
    for (pair, rate, other) in [(1, 8.0, 2.0), (2, 9.0, 1.0), (3, 30.0, 10.0), (4, 6.0, 1.0)] {
        runs.push(run("node-sqlite", pair, other));
        runs.push(run("vestibule", pair, rate));
    }
    // Neither a pair without the other nor one without a rate has a ratio.
    runs.push(run("vestibule", 5, 7.0));
    runs.extend([run("vestibule", 6, 7.0), run("node-sqlite", 6, 0.0)]);
    let found = comparisons(&report(runs));
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].subject, "vestibule");
    assert_eq!(found[0].against, "postgres");
    assert_eq!(found[0].ratios, [(1, 8.0)]);
    assert_eq!(found[1].against, "node-sqlite");
    assert_eq!(found[1].ratios, [(1, 4.0), (2, 9.0), (3, 3.0), (4, 6.0)]);
    assert!((found[1].median() - 5.0).abs() < 1e-12);
    assert_eq!(found[1].range(), (3.0, 9.0));
}

#[test]
fn runs_at_different_settings_are_not_compared() {
    let mut other = run("node-sqlite", 1, 2_000.0);
    other.settings.insert("clients".to_owned(), "4".to_owned());
    let report = report(vec![run("vestibule", 1, 250_000.0), other]);
    assert!(comparisons(&report).is_empty());
    let page = html(&report);
    assert_well_formed(&page);
    assert!(page.contains("2 runs at 2 settings"));
}

#[test]
fn a_page_shows_ratios_charts_checks_and_the_machine() {
    let mut failing = run("node-sqlite", 1, 2_000.0);
    failing.checks[0].holds = false;
    let mut first = run("vestibule", 1, 250_000.0);
    first.latencies.push(latency("gate wait", 0.05));
    let page = html(&report(vec![first, failing]));
    assert_well_formed(&page);
    for part in [
        "<strong>125×</strong>",
        "1 of 2 checks do not hold",
        "Latency: answer",
        "Latency: gate wait",
        "Rate over time",
        "vestibule: median 2.00 ms, 99 % within 8.00 ms",
        "✗ does not hold: the total is unchanged",
        "<dd>EPYC, 2 cores</dd>",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    for loads in ["<script", "<link", "src=", "@import", "url("] {
        assert!(!page.contains(loads), "the page holds {loads}");
    }
}

#[test]
fn an_empty_report_says_that_nothing_was_measured() {
    let mut empty = report(Vec::new());
    empty.machine.clear();
    assert_eq!(text(&empty), "nothing was measured\n");
    let page = html(&empty);
    assert_well_formed(&page);
    assert!(page.contains("Nothing was measured."));
}

#[test]
fn a_run_without_latencies_or_time_is_told_all_the_same() {
    let mut bare = run("vestibule", 1, 0.0);
    bare.latencies.clear();
    bare.rate_over_time = Slices::default();
    bare.seconds = 0.0;
    bare.settings.clear();
    bare.checks.clear();
    let mut hollow = run("vestibule", 2, 3.0);
    hollow.settings.clear();
    hollow.latencies[0].curve.clear();
    let report = report(vec![bare, hollow]);
    let told = text(&report);
    assert!(
        told.starts_with("               transfers  vestibule ()\n"),
        "{told}"
    );
    let page = html(&report);
    assert_well_formed(&page);
    assert!(!page.contains("Latency:") && !page.contains("NaN"));
}

#[test]
fn numbers_without_measure_do_not_break_the_drawing() {
    let mut odd = run("vestibule", 1, f64::INFINITY);
    let curve = [
        (0.0, -1.0),
        (0.5, 0.0),
        (0.9, f64::NAN),
        (2.0, f64::INFINITY),
    ];
    odd.latencies[0].curve = curve.to_vec();
    odd.rate_over_time = Slices {
        seconds: f64::MIN_POSITIVE,
        counts: vec![u64::MAX, 0],
    };
    let report = report(vec![odd, run("node-sqlite", 1, f64::NAN)]);
    text(&report);
    let page = html(&report);
    assert_well_formed(&page);
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
}

#[test]
fn nothing_from_outside_becomes_markup_or_moves_the_cursor() {
    let evil = "</title><script>alert('1')</script>\"&\u{1b}[2J\n";
    let name = |part: &str| format!("{part}{evil}");
    let mut run = run(&name("subject"), 1, 5.0);
    run.scenario = name("scenario");
    run.unit = name("unit");
    run.settings.insert(name("setting"), name("value"));
    run.latencies = vec![latency(&name("of"), 1.0), latency(&name("also"), 1.0)];
    run.figures.push(Figure {
        name: name("figure"),
        value: 1.0,
        unit: name("figure unit"),
    });
    run.errors.insert(name("error"), 1);
    let check = |holds| Check {
        what: name("what"),
        holds,
        seen: name("seen"),
    };
    run.checks = vec![check(true), check(false)];
    let mut other = run.clone();
    other.subject = name("other");
    let report = Report {
        started: name("started"),
        machine: vec![(name("part"), name("told"))],
        runs: vec![run, other],
    };
    let page = html(&report);
    assert_well_formed(&page);
    assert!(!page.contains("<script") && !page.contains('\u{1b}'));
    let told = text(&report);
    assert!(!told.contains('\u{1b}'));
}

/// Every element is closed where it was opened, and text and attributes hold only escaped marks.
fn assert_well_formed(page: &str) {
    let body = page.strip_prefix("<!doctype html>\n").unwrap();
    let mut open: Vec<&str> = Vec::new();
    for piece in body.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("<{piece}"));
        assert!(
            !text.contains('>') || open.last() == Some(&"style"),
            "{text}"
        );
        assert_references(text);
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
            continue;
        }
        let (tag, is_empty) = match tag.strip_suffix('/') {
            Some(tag) => (tag, true),
            None => (tag, false),
        };
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(
            !name.is_empty() && name.chars().all(char::is_alphanumeric),
            "<{tag}>"
        );
        assert_attributes(attributes);
        if !is_empty {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
}

fn assert_attributes(attributes: &str) {
    let mut rest = attributes;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{rest}"));
        let name = name.trim_start();
        let is_name = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == ':';
        assert!(name.chars().all(is_name), "{name}");
        let (value, after) = after.split_once('"').unwrap_or_else(|| panic!("{rest}"));
        assert_references(value);
        rest = after;
    }
}

fn assert_references(text: &str) {
    for reference in text.split('&').skip(1) {
        let known = ["amp;", "lt;", "gt;", "quot;", "#39;"];
        assert!(
            known.iter().any(|known| reference.starts_with(known)),
            "&{reference}"
        );
    }
}
