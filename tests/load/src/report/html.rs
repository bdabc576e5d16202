//! The report as one HTML file that needs nothing else: charts, a table of all figures, the machine.

use std::fmt::Write;

use super::charts::{self, Coloured};
use super::compare::{Group, comparisons, groups, told_settings};
use super::numbers::{self, NONE};
use super::svg::escape;
use super::{Latency, Report, Run, Usage};

const STYLE: &str = include_str!("page.css");
/// So many colours `page.css` has; subjects beyond them begin again.
const COLOURS: usize = 6;

/// The whole page. It loads nothing and runs no script; everything that comes from outside is escaped.
pub fn html(report: &Report) -> String {
    let groups = groups(report);
    let colours = colours(&groups);
    let mut body = String::new();
    write_head(&mut body, report, groups.len());
    write_verdict(&mut body, report);
    write_highlights(&mut body, report, &groups);
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
        "<header>\n<h1>Load report</h1>\n<p class=\"lead\">{runs} at {settings}, begun <time datetime=\"{started}\">{started}</time></p>\n",
        started = escape(&report.started),
    );
    if !machine.is_empty() {
        let _ = writeln!(out, "<p class=\"quiet\">{}</p>", machine.join(" · "));
    }
    out.push_str("</header>\n");
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

/// What to see first: the ratios, or the rates when there is nothing to compare with.
fn write_highlights(out: &mut String, report: &Report, groups: &[Group]) {
    let comparisons = comparisons(report);
    if groups.is_empty() {
        return;
    }
    out.push_str("<ul class=\"highlights\">\n");
    for comparison in &comparisons {
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
    if comparisons.is_empty() {
        for group in groups {
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
    out.push_str("<div class=\"charts\">\n");
    write_figure(
        out,
        "Rate",
        &rate_note(&subjects),
        &charts::bars(unit, &subjects),
    );
    for of in latencies_of(group) {
        if let Some(chart) = charts::distribution(of, &subjects) {
            write_figure(out, &capitalised(of), &curve_note(&subjects), &chart);
        }
    }
    if let Some(chart) = charts::over_time(unit, &subjects) {
        write_figure(out, "Rate over time", "", &chart);
    }
    out.push_str("</div>\n");
    write_table(out, group, &subjects);
    out.push_str("</section>\n");
}

fn rate_note(subjects: &[Coloured]) -> String {
    match subjects
        .iter()
        .map(|coloured| coloured.subject.runs.len())
        .max()
    {
        None | Some(0 | 1) => String::new(),
        Some(_) => {
            "median of the runs; the thin line goes from the least to the highest".to_owned()
        }
    }
}

fn curve_note(subjects: &[Coloured]) -> String {
    match subjects
        .iter()
        .map(|coloured| coloured.subject.runs.len())
        .max()
    {
        None | Some(0 | 1) => "lower is better".to_owned(),
        Some(_) => "lower is better; strong: the run of median rate, thin: the others".to_owned(),
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

fn write_figure(out: &mut String, title: &str, note: &str, chart: &str) {
    let (title, note) = (escape(title), escape(note));
    let note = match note.as_str() {
        "" => String::new(),
        _ => format!(" <small>{note}</small>"),
    };
    let _ = writeln!(
        out,
        "<figure>\n<figcaption><b>{title}</b>{note}</figcaption>\n{chart}</figure>"
    );
}

/// What the latencies of a group are of, each once, in the order in which the runs tell them.
fn latencies_of<'a>(group: &Group<'a>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for latency in group.runs.iter().flat_map(|run| &run.latencies) {
        if !names.contains(&latency.of.as_str()) {
            names.push(&latency.of);
        }
    }
    names
}

fn capitalised(words: &str) -> String {
    let mut chars = words.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

const NUMBER_HEADINGS: [&str; 12] = [
    "Pair",
    "Rate/s",
    "Count",
    "Seconds",
    "p50",
    "p90",
    "p99",
    "p99.9",
    "Max",
    "Server cores",
    "Server RSS",
    "Fsyncs",
];

fn write_table(out: &mut String, group: &Group, subjects: &[Coloured]) {
    let caption = format!("All figures of {}", group.scenario);
    let (caption, unit) = (escape(&caption), escape(&group.runs[0].unit));
    let _ = write!(
        out,
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{caption}\">\n<table>\n\
         <caption>{caption}. Counted are {unit}; latencies are in milliseconds.</caption>\n<thead><tr><th scope=\"col\">Subject</th>"
    );
    for heading in NUMBER_HEADINGS {
        let _ = write!(out, "<th scope=\"col\" class=\"number\">{heading}</th>");
    }
    out.push_str("<th scope=\"col\">Errors</th><th scope=\"col\">Checks</th><th scope=\"col\">Also</th></tr></thead>\n<tbody>\n");
    for coloured in subjects {
        for run in &coloured.subject.runs {
            write_row(out, run, coloured.colour);
        }
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}

fn write_row(out: &mut String, run: &Run, colour: usize) {
    let mut cells = vec![
        run.pair.to_string(),
        numbers::number(run.rate),
        numbers::count(run.count),
        numbers::number(run.seconds),
    ];
    cells.extend(latency_cells(run.latencies.first()));
    cells.extend(usage_cells(run.server.as_ref(), run.seconds));
    let _ = write!(
        out,
        "<tr><th scope=\"row\"><span class=\"swatch s{colour}\" aria-hidden=\"true\"></span>{}</th>",
        escape(&run.subject)
    );
    for cell in cells {
        let _ = write!(out, "<td class=\"number\">{}</td>", escape(&cell));
    }
    let lists = [told_errors(run), told_checks(run), told_rest(run)];
    for list in lists {
        let list: Vec<String> = list.iter().map(|told| escape(told)).collect();
        let class = if list.is_empty() {
            ""
        } else {
            " class=\"words\""
        };
        let told = if list.is_empty() {
            NONE.to_owned()
        } else {
            list.join("<br/>")
        };
        let _ = write!(out, "<td{class}>{told}</td>");
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

fn told_errors(run: &Run) -> Vec<String> {
    let errors = run.errors.iter();
    errors
        .map(|(kind, count)| format!("{kind}: {}", numbers::count(*count)))
        .collect()
}

fn told_checks(run: &Run) -> Vec<String> {
    let tell = |check: &super::Check| {
        let mark = if check.holds {
            "✓"
        } else {
            "✗ does not hold:"
        };
        format!("{mark} {} ({})", check.what, check.seen)
    };
    run.checks.iter().map(tell).collect()
}

/// Figures, the further latencies and what the client used.
fn told_rest(run: &Run) -> Vec<String> {
    let figures = run.figures.iter();
    let mut told: Vec<String> = figures
        .map(|figure| format!("{}: {}", figure.name, numbers::figure(figure)))
        .collect();
    for latency in run.latencies.iter().skip(1) {
        let quantiles = [latency.p50, latency.p99, latency.max].map(numbers::number);
        let [p50, p99, max] = quantiles;
        told.push(format!(
            "{}: p50 {p50}, p99 {p99}, max {max} ms",
            latency.of
        ));
    }
    let cores = numbers::cores(&run.client, run.seconds);
    let rss = numbers::bytes(run.client.rss_bytes as f64);
    told.push(format!("client: {cores} cores, {rss}"));
    told
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
