//! The report as one HTML file that needs nothing else: charts, a table of all figures, the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::charts::{self, Coloured};
use super::compare::{Comparison, Group, compare, groups, told_settings};
use super::numbers::{self, NONE};
use super::svg::escape;
use super::{Latency, Report, Run, Usage};

const STYLE: &str = include_str!("page.css");
/// The number of colours in `page.css`; further subjects begin again.
const COLOURS: usize = 6;

/// The whole page. It loads nothing and runs no script; everything that comes from outside is escaped.
pub fn html(report: &Report) -> String {
    let groups = groups(report);
    let colours = colours(&groups);
    let mut body = String::new();
    write_head(&mut body, report, groups.len());
    write_verdict(&mut body, report);
    write_highlights(&mut body, &groups);
    for (number, group) in groups.iter().enumerate() {
        write_group(&mut body, number, group, &colours);
    }
    write_machine(&mut body, report);
    let title = format!("Load report, {}", report.started);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(&title)
    )
}

/// All subjects of the report in the order of their colours.
fn colours(groups: &[Group]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for subject in groups.iter().flat_map(Group::subjects) {
        if !names.iter().any(|known| known == subject.name) {
            names.push(subject.name.to_owned());
        }
    }
    names
}

fn write_head(out: &mut String, report: &Report, groups: usize) {
    let runs = match report.runs.len() {
        1 => "1 run".to_owned(),
        count => format!("{count} runs"),
    };
    let settings = match groups {
        1 => "1 setting".to_owned(),
        count => format!("{count} settings"),
    };
    let machine: Vec<String> = report
        .machine
        .iter()
        .take(3)
        .map(|(_, told)| escape(told))
        .collect();
    let _ = write!(
        out,
        "<header>\n<h1>Load report</h1>\n<p class=\"lead\">{runs} at {settings}, begun <time datetime=\"{}\">{}</time></p>\n",
        escape(&report.started),
        escape(&legible(&report.started)),
    );
    if !machine.is_empty() {
        let _ = writeln!(out, "<p class=\"quiet\">{}</p>", machine.join(" · "));
    }
    out.push_str("</header>\n");
}

/// A time in RFC 3339 without its `T` and, where it is in UTC, its `Z`.
fn legible(time: &str) -> String {
    let time = time.replacen('T', " ", 1);
    match time.strip_suffix('Z') {
        Some(time) => format!("{time} UTC"),
        None => time,
    }
}

/// Whether everything that has to hold does, before any rate.
fn write_verdict(out: &mut String, report: &Report) {
    if report.runs.is_empty() {
        out.push_str("<p class=\"verdict bad\">Nothing was measured.</p>\n");
        return;
    }
    let checks = || report.runs.iter().flat_map(|run| &run.checks);
    let failed = checks().filter(|check| !check.holds).count();
    let errors: u64 = report.runs.iter().flat_map(|run| run.errors.values()).sum();
    let checks_told = match (failed, checks().count()) {
        (_, 0) => "Nothing was checked at the end".to_owned(),
        (0, 1) => "The one check holds".to_owned(),
        (0, all) => format!("All {all} checks hold"),
        (failed, all) => format!("{failed} of {all} checks do not hold"),
    };
    let errors_told = match errors {
        0 => "no call failed".to_owned(),
        1 => "1 call failed".to_owned(),
        count => format!("{} calls failed", numbers::count(count)),
    };
    let (class, mark) = match (failed, errors) {
        (0, 0) => ("good", "✓"),
        (0, _) => ("fair", "!"),
        _ => ("bad", "✗"),
    };
    let _ = writeln!(
        out,
        "<p class=\"verdict {class}\"><span aria-hidden=\"true\">{mark}</span> {checks_told}; {errors_told}.</p>"
    );
}

/// The highlights of each group: the ratios, or the rates where there is nothing to compare with.
fn write_highlights(out: &mut String, groups: &[Group]) {
    if groups.is_empty() {
        return;
    }
    out.push_str("<ul class=\"highlights\">\n");
    for group in groups {
        let comparisons = compare(group);
        for comparison in &comparisons {
            write_ratio(out, comparison);
        }
        if comparisons.is_empty() {
            for subject in group.subjects() {
                let rate = format!("{}/s", numbers::number(subject.median_rate()));
                let unit = &subject.middle_run().unit;
                let settings = group.told_settings();
                write_highlight(out, &rate, unit, group.scenario, &settings, subject.name);
            }
        }
    }
    out.push_str("</ul>\n");
}

fn write_ratio(out: &mut String, comparison: &Comparison) {
    let (least, most) = comparison.range();
    let ratio = numbers::ratio(comparison.median());
    let names = format!("{} against {}", comparison.subject, comparison.against);
    let range = match comparison.ratios.len() {
        1 => "one pair".to_owned(),
        count => format!(
            "median of {count} pairs, {}–{}",
            numbers::number(least),
            numbers::ratio(most)
        ),
    };
    let settings = told_settings(&comparison.settings);
    write_highlight(out, &ratio, &names, &comparison.scenario, &settings, &range);
}

fn write_highlight(
    out: &mut String,
    value: &str,
    of: &str,
    scenario: &str,
    settings: &str,
    rest: &str,
) {
    let of = escape(of);
    let at = match settings {
        "" => escape(scenario),
        _ => format!("{} · {}", escape(scenario), escape(settings)),
    };
    let rest = escape(rest);
    let _ = writeln!(
        out,
        "<li><strong>{value}</strong><span>{of}</span><small>{at}</small><small>{rest}</small></li>"
    );
}

fn write_group(out: &mut String, number: usize, group: &Group, colours: &[String]) {
    let colour = |name: &str| colours.iter().position(|known| known == name);
    let subjects: Vec<Coloured> = group
        .subjects()
        .into_iter()
        .map(|subject| Coloured {
            colour: colour(subject.name).unwrap_or(0) % COLOURS,
            subject,
        })
        .collect();
    let unit = &group.runs.first().expect("a group has a run").unit;
    let _ = writeln!(
        out,
        "<section aria-labelledby=\"group-{number}\">\n<h2 id=\"group-{number}\">{}</h2>",
        escape(group.scenario)
    );
    write_settings(out, group);
    let mut charts = Vec::new();
    for of in latencies_of(group) {
        let title = format!("Latency: {of}");
        let chart = charts::distribution(of, &subjects);
        charts.extend(chart.map(|chart| (title, curve_note(&subjects), chart)));
    }
    if let Some(chart) = charts::over_time(unit, &subjects) {
        charts.push(("Rate over time".to_owned(), "higher is better", chart));
    }
    // A single bar would be as long as any.
    if group.runs.len() > 1 {
        let bars = charts::bars(unit, &subjects);
        write_figure(out, "wide", "Rate", rate_note(&subjects), &bars);
    }
    let columns = if charts.len() % 3 == 0 { " three" } else { "" };
    let _ = writeln!(out, "<div class=\"charts{columns}\">");
    for (title, note, chart) in charts {
        write_figure(out, "chart", &title, note, &chart);
    }
    out.push_str("</div>\n");
    write_ratios(out, group);
    write_table(out, group, &subjects);
    write_checks(out, group);
    out.push_str("</section>\n");
}

fn are_repeated(subjects: &[Coloured]) -> bool {
    subjects
        .iter()
        .any(|coloured| coloured.subject.runs.len() > 1)
}

fn rate_note(subjects: &[Coloured]) -> &'static str {
    match are_repeated(subjects) {
        true => "median of the runs; the thin line goes from the least to the highest",
        false => "higher is better",
    }
}

fn curve_note(subjects: &[Coloured]) -> &'static str {
    match are_repeated(subjects) {
        true => "lower is better; strong: the run of median rate, thin: the others",
        false => "lower is better",
    }
}

fn write_settings(out: &mut String, group: &Group) {
    if group.settings.is_empty() {
        return;
    }
    out.push_str("<ul class=\"settings\" aria-label=\"Settings\">");
    for (name, value) in group.settings {
        let (name, value) = (escape(name), escape(value));
        let _ = write!(out, "<li>{name} <b>{value}</b></li>");
    }
    out.push_str("</ul>\n");
}

fn write_figure(out: &mut String, class: &str, title: &str, note: &str, chart: &str) {
    let (title, note) = (escape(title), escape(note));
    let _ = writeln!(
        out,
        "<figure class=\"{class}\">\n<figcaption><b>{title}</b> <small>{note}</small></figcaption>\n{chart}</figure>"
    );
}

/// The ratios of a group pair by pair, where there is more than one.
fn write_ratios(out: &mut String, group: &Group) {
    let comparisons = compare(group);
    let pairs: BTreeSet<u32> = comparisons
        .iter()
        .flat_map(|comparison| &comparison.ratios)
        .map(|(pair, _)| *pair)
        .collect();
    if pairs.len() < 2 {
        return;
    }
    open_table(out, "Ratios of rates, pair by pair", "");
    out.push_str("<th scope=\"col\">Compared</th>");
    for pair in &pairs {
        let _ = write!(out, "<th scope=\"col\" class=\"number\">Pair {pair}</th>");
    }
    out.push_str("<th scope=\"col\" class=\"number\">Median</th></tr></thead>\n<tbody>\n");
    for comparison in &comparisons {
        let (subject, against) = (escape(&comparison.subject), escape(&comparison.against));
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{subject} against {against}</th>"
        );
        for pair in &pairs {
            let ratio = comparison.ratios.iter().find(|(known, _)| known == pair);
            let ratio = ratio.map_or(NONE.to_owned(), |(_, ratio)| numbers::ratio(*ratio));
            let _ = write!(out, "<td class=\"number\">{ratio}</td>");
        }
        let median = numbers::ratio(comparison.median());
        let _ = writeln!(out, "<td class=\"number\"><b>{median}</b></td></tr>");
    }
    out.push_str(TABLE_END);
}

/// The kinds of latencies of a group, each once, in the order in which the runs list them.
fn latencies_of<'a>(group: &Group<'a>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for latency in group.runs.iter().flat_map(|run| &run.latencies) {
        if !names.contains(&latency.of.as_str()) {
            names.push(&latency.of);
        }
    }
    names
}

const TABLE_END: &str = "</tbody>\n</table>\n</div>\n";

/// Begins a table up to the first cell of its heading.
fn open_table(out: &mut String, caption: &str, note: &str) {
    let (caption, note) = (escape(caption), escape(note));
    let _ = write!(
        out,
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{caption}\">\n<table>\n\
         <caption><b>{caption}</b> {note}</caption>\n<thead><tr>"
    );
}

const NUMBER_HEADINGS: [&str; 15] = [
    "Pair",
    "Rate/s",
    "Count",
    "Seconds",
    "p50",
    "p90",
    "p99",
    "p99.9",
    "Max",
    "Cores",
    "RSS",
    "Fsyncs",
    "Client cores",
    "Client RSS",
    "Checks",
];

fn write_table(out: &mut String, group: &Group, subjects: &[Coloured]) {
    let unit = &group.runs.first().expect("a group has a run").unit;
    let note = format!(
        "Counted are {unit}; latencies are in milliseconds; cores, RSS and fsyncs are the server's."
    );
    open_table(out, "All figures", &note);
    out.push_str("<th scope=\"col\">Subject</th>");
    for heading in NUMBER_HEADINGS {
        let _ = write!(out, "<th scope=\"col\" class=\"number\">{heading}</th>");
    }
    let has_more = group.runs.iter().any(|run| !told_rest(run).is_empty());
    if has_more {
        out.push_str("<th scope=\"col\">Errors and more</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for coloured in subjects {
        for run in &coloured.subject.runs {
            write_row(out, run, coloured.colour, has_more);
        }
    }
    out.push_str(TABLE_END);
}

fn write_row(out: &mut String, run: &Run, colour: usize, has_more: bool) {
    let mut cells = vec![
        run.pair.to_string(),
        numbers::number(run.rate),
        numbers::count(run.count),
        numbers::number(run.seconds),
    ];
    cells.extend(latency_cells(run.latencies.first()));
    cells.extend(usage_cells(run.server.as_ref(), run.seconds));
    cells.push(numbers::cores(&run.client, run.seconds));
    cells.push(numbers::bytes(run.client.rss_bytes as f64));
    cells.push(told_holding(run));
    let _ = write!(
        out,
        "<tr><th scope=\"row\"><span class=\"swatch s{colour}\" aria-hidden=\"true\"></span>{}</th>",
        escape(&run.subject)
    );
    for cell in cells {
        let _ = write!(out, "<td class=\"number\">{}</td>", escape(&cell));
    }
    if has_more {
        let rest: Vec<String> = told_rest(run).iter().map(|told| escape(told)).collect();
        let _ = write!(out, "<td class=\"words\">{}</td>", rest.join("<br/>"));
    }
    out.push_str("</tr>\n");
}

fn latency_cells(latency: Option<&Latency>) -> Vec<String> {
    match latency {
        None => vec![NONE.to_owned(); 5],
        Some(told) => [told.p50, told.p90, told.p99, told.p999, told.max]
            .map(numbers::number)
            .to_vec(),
    }
}

fn usage_cells(usage: Option<&Usage>, seconds: f64) -> Vec<String> {
    let Some(usage) = usage else {
        return vec![NONE.to_owned(); 3];
    };
    let fsyncs = usage.fsyncs.map_or(NONE.to_owned(), numbers::count);
    vec![
        numbers::cores(usage, seconds),
        numbers::bytes(usage.rss_bytes as f64),
        fsyncs,
    ]
}

fn told_holding(run: &Run) -> String {
    let holding = run.checks.iter().filter(|check| check.holds).count();
    match run.checks.len() {
        0 => NONE.to_owned(),
        all if all == holding => format!("✓ {all}"),
        all => format!("✗ {holding} of {all}"),
    }
}

/// Errors, figures and the further latencies.
fn told_rest(run: &Run) -> Vec<String> {
    let errors = run.errors.iter();
    let mut told: Vec<String> = errors
        .map(|(kind, count)| format!("failed, {kind}: {}", numbers::count(*count)))
        .collect();
    let figures = run.figures.iter();
    told.extend(figures.map(|figure| format!("{}: {}", figure.name, numbers::figure(figure))));
    for latency in run.latencies.iter().skip(1) {
        let quantiles = [latency.p50, latency.p99, latency.max].map(numbers::number);
        let [p50, p99, max] = quantiles;
        told.push(format!("{}: p50 {p50}, p99 {p99}, max {max}", latency.of));
    }
    told
}

/// The checks: one that holds once for all runs, one that does not for each run by itself.
fn write_checks(out: &mut String, group: &Group) {
    let mut holding: BTreeMap<&str, usize> = BTreeMap::new();
    let mut items = Vec::new();
    for run in &group.runs {
        for check in &run.checks {
            if check.holds {
                *holding.entry(&check.what).or_default() += 1;
                continue;
            }
            let (what, seen) = (escape(&check.what), escape(&check.seen));
            let subject = escape(&run.subject);
            items.push(format!(
                "<li class=\"bad\">✗ does not hold: {what} <small>{subject}, pair {}; seen: {seen}</small></li>",
                run.pair
            ));
        }
    }
    for (what, runs) in holding {
        let what = escape(what);
        let runs = if runs == 1 {
            "in 1 run".to_owned()
        } else {
            format!("in {runs} runs")
        };
        items.push(format!("<li>✓ {what} <small>{runs}</small></li>"));
    }
    if !items.is_empty() {
        let items = items.join("\n");
        let _ = writeln!(
            out,
            "<ul class=\"checks\" aria-label=\"Checks\">\n{items}\n</ul>"
        );
    }
}

fn write_machine(out: &mut String, report: &Report) {
    if report.machine.is_empty() {
        return;
    }
    out.push_str("<section aria-labelledby=\"machine\">\n<h2 id=\"machine\">Machine</h2>\n<dl>\n");
    for (name, told) in &report.machine {
        let (name, told) = (escape(name), escape(told));
        let _ = writeln!(out, "<div><dt>{name}</dt><dd>{told}</dd></div>");
    }
    out.push_str("</dl>\n</section>\n");
}
