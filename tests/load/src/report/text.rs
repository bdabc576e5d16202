//! The text printed when the runs are over: a block for each, then the ratios pair by pair.

use std::fmt::Write;

use super::compare::{Comparison, comparisons, told_settings};
use super::numbers;
use super::{Report, Run, Usage};

const COLUMNS_MAX: usize = 110;
const INDENT: &str = "  ";

/// All runs, and the ratios between subjects.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    for run in &report.runs {
        out.push_str(&block(run));
        out.push('\n');
    }
    let comparisons = comparisons(report);
    if !comparisons.is_empty() {
        out.push_str("ratios of rates, pair by pair\n");
    }
    for comparison in comparisons {
        write_comparison(&mut out, &comparison);
    }
    if out.is_empty() {
        out.push_str("nothing was measured\n");
    }
    if !report.machine.is_empty() {
        let told = report.machine.iter();
        let told: Vec<String> = told
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        push_wrapped(&mut out, "", "machine", &plain(&told.join(", ")), ":");
    }
    out
}

fn block(run: &Run) -> String {
    let mut block = String::new();
    let settings: Vec<String> = run
        .settings
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let mut line = |name: &str, value: String| {
        // Writing into a string does not fail.
        let _ = writeln!(block, "{:>24}  {}", plain(name), plain(&value));
    };
    line(
        &run.scenario,
        format!("{} ({})", run.subject, settings.join(", ")),
    );
    line(
        "rate",
        format!(
            "{:.0} {}/s ({} in {:.1} s)",
            run.rate, run.unit, run.count, run.seconds
        ),
    );
    for latency in &run.latencies {
        let values = format!(
            "p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2} ms",
            latency.p50, latency.p90, latency.p99, latency.p999, latency.max
        );
        line(&latency.of, values);
    }
    for figure in &run.figures {
        let value = match figure.unit.as_str() {
            "bytes" => format!("{:.1} KiB", figure.value / 1024.0),
            unit => format!("{:.2} {unit}", figure.value),
        };
        line(&figure.name, value);
    }
    if run.errors.is_empty() {
        line("errors", "none".into());
    }
    for (kind, count) in &run.errors {
        line("errors", format!("{count} × {kind}"));
    }
    for check in &run.checks {
        let verdict = if check.holds { "holds" } else { "BROKEN" };
        line(verdict, format!("{} {}", check.what, check.seen));
    }
    if let Some(server) = &run.server {
        line("server", usage(server, run.seconds));
    }
    line("client", usage(&run.client, run.seconds));
    block
}

fn usage(usage: &Usage, seconds: f64) -> String {
    let cores = |cpu_seconds: f64| cpu_seconds / seconds.max(f64::MIN_POSITIVE);
    let mut text = format!(
        "{:.2} cores ({:.2} user, {:.2} system), {:.1} MiB RSS",
        cores(usage.user_cpu_seconds + usage.system_cpu_seconds),
        cores(usage.user_cpu_seconds),
        cores(usage.system_cpu_seconds),
        usage.rss_bytes as f64 / f64::from(1 << 20)
    );
    if let Some(fsyncs) = usage.fsyncs {
        // Writing into a string does not fail.
        let _ = write!(text, ", {fsyncs} fsyncs");
    }
    text
}

fn write_comparison(out: &mut String, comparison: &Comparison) {
    let heading = format!(
        "{} against {}, {}",
        comparison.subject, comparison.against, comparison.scenario
    );
    let settings = plain(&told_settings(&comparison.settings));
    push_wrapped(out, "", &plain(&heading), &settings, ": ");
    let ratios: Vec<String> = comparison
        .ratios
        .iter()
        .map(|(_, ratio)| numbers::ratio(*ratio))
        .collect();
    let _ = writeln!(
        out,
        "{INDENT}{}   median {} of {}",
        ratios.join("  "),
        numbers::ratio(comparison.median()),
        told_pairs(ratios.len()),
    );
}

fn told_pairs(count: usize) -> String {
    match count {
        1 => "1 pair".to_owned(),
        _ => format!("{count} pairs"),
    }
}

/// Writes words after a name, broken at spaces so that a line stays within the width.
fn push_wrapped(out: &mut String, indent: &str, name: &str, words: &str, between: &str) {
    let mut line = format!("{indent}{name}");
    if !words.is_empty() {
        line.push_str(between.trim_end());
    }
    for word in words.split_whitespace() {
        if width(&line) + 1 + width(word) > COLUMNS_MAX {
            out.push_str(&line);
            out.push('\n');
            line = format!("{indent}{INDENT}{word}");
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    out.push_str(&line);
    out.push('\n');
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Text from outside without what would move the cursor.
fn plain(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}
