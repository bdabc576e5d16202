//! The table that is printed when a run is over.

use std::fmt::Write;

use crate::report::{Run, Usage};

/// The run as a table.
pub fn table(run: &Run) -> String {
    let mut table = String::new();
    let settings: Vec<String> = run
        .settings
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let mut line = |name: &str, value: String| {
        // Writing into a string does not fail.
        let _ = writeln!(table, "{name:>24}  {value}");
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
    table
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
