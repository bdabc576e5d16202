//! Draws a report of invented runs, to look at: `cargo run -p load --example sample-report > sample.html`; the text goes to stderr.

use std::collections::BTreeMap;

use load::report::{Check, Figure, Latency, Report, Run, Slices, Usage, html, text};

const PAIRS: u32 = 5;

fn main() {
    let report = report();
    eprint!("{}", text(&report));
    print!("{}", html(&report));
}

fn report() -> Report {
    let mut runs = Vec::new();
    for alpha in ["0", "1.5"] {
        for pair in 1..=PAIRS {
            runs.push(transfers("vestibule", pair, alpha, 251_000.0, 9.4));
            runs.push(transfers("node-sqlite", pair, alpha, 2_150.0, 29.0));
            runs.push(transfers("postgres", pair, alpha, 1_290.0, 52.0));
        }
    }
    runs.push(first_logins());
    Report {
        started: "2026-11-22T21:14:03Z".to_owned(),
        machine: [
            ("CPU", "AMD EPYC 9R14, 2 cores"),
            ("Memory", "7.6 GiB"),
            ("Kernel", "Linux 6.1.0-31-amd64"),
            ("Disk", "ext4 on /dev/vda"),
            ("Command", "load transfers --clients 64 --in-flight 40 --against node-sqlite --against postgres"),
        ]
        .map(|(name, told)| (name.to_owned(), told.to_owned()))
        .to_vec(),
        runs,
    }
}

fn transfers(subject: &str, pair: u32, alpha: &str, rate: f64, median: f64) -> Run {
    let drift = 1.0 + 0.06 * noise(pair, subject.len() as u32 + alpha.len() as u32);
    let slower = if subject == "postgres" && alpha != "0" {
        0.4
    } else {
        1.0
    };
    let rate = rate * drift * slower;
    let mut run = run("transfers", subject, pair, "transfers", rate, 10.0);
    run.settings = settings(&[("alpha", alpha), ("clients", "64"), ("in-flight", "40")]);
    run.latencies = vec![latency("answer", run.count, median / drift / slower, 0.45)];
    if subject == "postgres" {
        run.figures.push(Figure {
            name: "retries".to_owned(),
            value: if alpha == "0" { 41.0 } else { 9_120.0 },
            unit: String::new(),
        });
    }
    run
}

fn first_logins() -> Run {
    let mut run = run("first-logins", "vestibule", 1, "logins", 6_840.0, 1.46);
    run.settings = settings(&[
        ("algorithm", "ES256"),
        ("users", "10000"),
        ("arrivals", "at once"),
    ]);
    run.latencies = vec![
        latency("connect to first result", 10_000, 690.0, 0.3),
        latency("gate wait", 10_000, 12.0, 0.6),
    ];
    run.errors.insert("connection refused".to_owned(), 3);
    run
}

fn run(scenario: &str, subject: &str, pair: u32, unit: &str, rate: f64, seconds: f64) -> Run {
    let slices = 40;
    let length = seconds / f64::from(slices);
    let count = |slice| (rate * length * (1.0 + 0.12 * noise(slice, pair))) as u64;
    Run {
        scenario: scenario.to_owned(),
        subject: subject.to_owned(),
        pair,
        settings: BTreeMap::new(),
        unit: unit.to_owned(),
        count: (rate * seconds) as u64,
        seconds,
        rate,
        rate_over_time: Slices {
            seconds: length,
            counts: (0..slices).map(count).collect(),
        },
        latencies: Vec::new(),
        figures: Vec::new(),
        errors: BTreeMap::new(),
        checks: vec![Check {
            what: "the total balance is unchanged".to_owned(),
            holds: true,
            seen: "100,000,000,000".to_owned(),
        }],
        server: Some(Usage {
            user_cpu_seconds: 0.9 * seconds,
            system_cpu_seconds: 0.31 * seconds,
            rss_bytes: 148 << 20,
            fsyncs: (subject != "postgres").then_some(6_120),
        }),
        client: Usage {
            user_cpu_seconds: 0.4 * seconds,
            system_cpu_seconds: 0.2 * seconds,
            rss_bytes: 31 << 20,
            fsyncs: None,
        },
    }
}

fn settings(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
    let settings = settings.iter();
    settings
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// A distribution with a tail: a logistic one on a logarithmic axis.
fn latency(of: &str, count: u64, median: f64, spread: f64) -> Latency {
    let at = |quantile: f64| median * (quantile / (1.0 - quantile)).powf(spread * 0.5);
    let quantiles = (1..=100).map(|step| 1.0 - 10_f64.powf(-f64::from(step) / 22.0));
    Latency {
        of: of.to_owned(),
        count,
        min: at(0.01),
        mean: median * 1.1,
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: at(0.99999),
        curve: quantiles.map(|quantile| (quantile, at(quantile))).collect(),
    }
}

/// Between -1 and 1, and the same every time.
fn noise(one: u32, other: u32) -> f64 {
    (f64::from(one) * 12.9898 + f64::from(other) * 78.233).sin()
}
