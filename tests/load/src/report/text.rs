//! The closing table on a terminal: a block for each scenario and setting, then the ratios pair by pair.

use std::fmt::Write;

use super::compare::{Comparison, Group, comparisons, groups, told_settings};
use super::numbers::{self, NONE};
use super::{Latency, Report, Run};

const COLUMNS_MAX: usize = 110;
const HEADINGS: [&str; 11] = [
    "subject", "pair", "rate/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "cores", "RSS",
    "fsyncs", "checks",
];
/// Columns from here on are set against their right edge.
const FIRST_NUMBER: usize = 1;
const INDENT: &str = "  ";

/// The table of all runs and the ratios between subjects, at most about 110 columns wide unless a name is long.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    for group in groups(report) {
        if !out.is_empty() {
            out.push('\n');
        }
        write_group(&mut out, &group);
    }
    let comparisons = comparisons(report);
    if !comparisons.is_empty() {
        out.push_str("\nratios of rates, pair by pair\n");
    }
    for comparison in comparisons {
        write_comparison(&mut out, &comparison);
    }
    if out.is_empty() {
        out.push_str("nothing was measured\n");
    }
    out
}

fn write_group(out: &mut String, group: &Group) {
    let first = group.runs.first().expect("a group has a run");
    let heading = format!("{} ({})", group.scenario, first.unit);
    let settings = plain(&group.told_settings());
    push_wrapped(out, "", &plain(&heading), &settings, ": ");

    let rows: Vec<Row> = group.runs.iter().flat_map(|run| rows_of(run)).collect();
    let widths = widths(&rows);
    push_cells(out, &HEADINGS.map(str::to_owned), &widths);
    for row in rows {
        match row {
            Row::Cells(cells) => push_cells(out, &cells, &widths),
            Row::Words { name, words } => push_wrapped(out, "    ", name, &words, ": "),
        }
    }
}

/// What stands in the columns.
type Cells = [String; 11];

enum Row {
    Cells(Box<Cells>),
    Words { name: &'static str, words: String },
}

fn rows_of(run: &Run) -> Vec<Row> {
    let mut rows = vec![Row::Cells(Box::new(cells_of(run)))];
    for latency in run.latencies.iter().skip(1) {
        let mut cells = [const { String::new() }; 11];
        cells[0] = format!("  {}", plain(&latency.of));
        fill_latency(&mut cells, Some(latency));
        rows.push(Row::Cells(Box::new(cells)));
    }
    let mut tell = |name, words: Vec<String>, between| {
        if !words.is_empty() {
            let words = plain(&words.join(between));
            rows.push(Row::Words { name, words });
        }
    };
    let figures = run.figures.iter();
    let figures = figures.map(|figure| format!("{} {}", figure.name, numbers::figure(figure)));
    tell("figures", figures.collect(), ", ");
    let errors = run.errors.iter();
    let errors = errors.map(|(kind, count)| format!("{kind} {}", numbers::count(*count)));
    tell("errors", errors.collect(), ", ");
    let failed = run.checks.iter().filter(|check| !check.holds);
    let failed = failed.map(|check| format!("{} (seen: {})", check.what, check.seen));
    tell("DOES NOT HOLD", failed.collect(), "; ");
    rows
}

fn cells_of(run: &Run) -> Cells {
    let server = run.server.as_ref();
    let tell = |told: Option<String>| told.unwrap_or_else(|| NONE.to_owned());
    let mut cells = [const { String::new() }; 11];
    cells[0] = plain(&run.subject);
    cells[1] = run.pair.to_string();
    cells[2] = numbers::number(run.rate);
    fill_latency(&mut cells, run.latencies.first());
    cells[7] = tell(server.map(|usage| numbers::cores(usage, run.seconds)));
    cells[8] = tell(server.map(|usage| numbers::bytes(usage.rss_bytes as f64)));
    cells[9] = tell(server.and_then(|usage| usage.fsyncs).map(numbers::count));
    cells[10] = told_checks(run);
    cells
}

fn fill_latency(cells: &mut Cells, latency: Option<&Latency>) {
    let quantiles = latency.map(|told| [told.p50, told.p90, told.p99, told.p999]);
    for position in 0..4 {
        cells[3 + position] = match quantiles {
            Some(quantiles) => numbers::number(quantiles[position]),
            None => NONE.to_owned(),
        };
    }
}

fn told_checks(run: &Run) -> String {
    let holding = run.checks.iter().filter(|check| check.holds).count();
    match run.checks.len() {
        0 => NONE.to_owned(),
        all if all == holding => "ok".to_owned(),
        all => format!("{holding} of {all}"),
    }
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

fn widths(rows: &[Row]) -> [usize; 11] {
    let mut widths = HEADINGS.map(width);
    for row in rows {
        if let Row::Cells(cells) = row {
            for (known, cell) in widths.iter_mut().zip(cells.iter()) {
                *known = width(cell).max(*known);
            }
        }
    }
    widths
}

fn push_cells(out: &mut String, cells: &Cells, widths: &[usize; 11]) {
    let mut line = String::new();
    for (position, (cell, wanted)) in cells.iter().zip(widths).enumerate() {
        let space = " ".repeat(wanted - width(cell));
        line.push_str(INDENT);
        if position < FIRST_NUMBER {
            line.push_str(cell);
            line.push_str(&space);
        } else {
            line.push_str(&space);
            line.push_str(cell);
        }
    }
    out.push_str(line.trim_end());
    out.push('\n');
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
