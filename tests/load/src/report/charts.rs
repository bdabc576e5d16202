//! The charts of a report: lines over two axes, and bars side by side.

use std::fmt::Write;

use super::Latency;
use super::compare::Subject;
use super::numbers;
use super::svg::{Axis, Drawing, escape, nines, spread};

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 44.0;
/// Room for the names at the ends of the lines.
const RIGHT: f64 = 340.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 228.0;
const NAME_CHARS_MAX: usize = 15;
const BAR_HEIGHT: usize = 18;
const BAR_DISTANCE: usize = 52;
/// The shortest line from the least to the highest that is still to be seen, in hundredths of the width.
const WHISKER_MIN: f64 = 0.6;
/// From where on rates that differ are told apart better on a logarithmic axis.
const FAR: f64 = 12.0;
const NINES_MIN: f64 = 3.0;
const NINES_MAX: f64 = 5.0;
const MILLISECONDS_MIN: f64 = 0.001;

/// A subject with its colour, which is its place among all subjects of the report.
pub struct Coloured<'a> {
    pub subject: Subject<'a>,
    pub colour: usize,
}

struct Line<'a> {
    name: &'a str,
    colour: usize,
    /// The run in the middle, which is drawn strongly and named; the others are thin.
    is_main: bool,
    points: Vec<(f64, f64)>,
    /// Points to look at, with what they say.
    marks: Vec<((f64, f64), String)>,
    told: String,
}

/// Milliseconds by quantile, a line for each run that has a latency of this; nothing when no run has.
pub fn distribution(of: &str, subjects: &[Coloured]) -> Option<String> {
    let measured: Vec<(&Coloured, u32, bool, &Latency)> = subjects
        .iter()
        .flat_map(|coloured| with_latency(of, coloured))
        .collect();
    let values = || {
        let points = measured.iter().flat_map(|(.., latency)| &latency.curve);
        points.map(|(_, value)| value.max(MILLISECONDS_MIN))
    };
    let most_nines = measured
        .iter()
        .flat_map(|(.., latency)| &latency.curve)
        .map(|(quantile, _)| *quantile)
        .filter(|quantile| *quantile < 1.0)
        .fold(NINES_MIN, |most, quantile| {
            most.max(nines(quantile, NINES_MAX))
        });
    let least = values().reduce(f64::min)?;
    let most = values().reduce(f64::max)?;
    let x = Axis::nines("share of all that took at most this long", most_nines);
    let y = Axis::log("milliseconds, log scale", least, most);
    let place = |quantile: f64, value: f64| (nines(quantile, most_nines), value);
    let lines: Vec<Line> = measured
        .iter()
        .map(|(coloured, pair, is_main, latency)| Line {
            name: coloured.subject.name,
            colour: coloured.colour,
            is_main: *is_main,
            points: latency
                .curve
                .iter()
                .map(|(quantile, value)| place(*quantile, *value))
                .collect(),
            marks: marks(coloured.subject.name, latency, place),
            told: format!("{}, pair {pair}", coloured.subject.name),
        })
        .collect();
    let told: Vec<String> = lines
        .iter()
        .zip(&measured)
        .filter(|(line, _)| line.is_main)
        .map(|(line, (.., latency))| {
            let (p50, p99) = (numbers::number(latency.p50), numbers::number(latency.p99));
            format!("{}: median {p50} ms, 99 % within {p99} ms", line.name)
        })
        .collect();
    Some(draw(
        &x,
        &y,
        &lines,
        &format!("Latencies of {of}. {}", told.join("; ")),
    ))
}

fn with_latency<'a>(
    of: &str,
    coloured: &'a Coloured<'a>,
) -> Vec<(&'a Coloured<'a>, u32, bool, &'a Latency)> {
    let runs = coloured.subject.runs.iter();
    let mut found: Vec<_> = runs
        .filter_map(|run| {
            let latencies = run.latencies.iter();
            let mut found = latencies.filter(|known| known.of == of && !known.curve.is_empty());
            Some((coloured, run.pair, false, found.next()?))
        })
        .collect();
    let middle = coloured.subject.middle_run().pair;
    let main = found.iter().position(|(_, pair, ..)| *pair == middle);
    if let Some(main) = found.get_mut(main.unwrap_or(0)) {
        main.2 = true;
    }
    found
}

fn marks(
    name: &str,
    latency: &Latency,
    place: impl Fn(f64, f64) -> (f64, f64),
) -> Vec<((f64, f64), String)> {
    let named = [
        (0.5, latency.p50, "half"),
        (0.9, latency.p90, "90 %"),
        (0.99, latency.p99, "99 %"),
        (0.999, latency.p999, "99.9 %"),
    ];
    let tell = |(quantile, value, share)| {
        let told = format!("{name}: {share} within {} ms", numbers::number(value));
        (place(quantile, value), told)
    };
    named.into_iter().map(tell).collect()
}

/// Units a second by time, a line for each run; nothing when no run kept slices.
pub fn over_time(unit: &str, subjects: &[Coloured]) -> Option<String> {
    let mut lines: Vec<Line> = Vec::new();
    for coloured in subjects {
        let middle = coloured.subject.middle_run();
        for run in &coloured.subject.runs {
            let length = run.rate_over_time.seconds;
            let counts = &run.rate_over_time.counts;
            if counts.is_empty() || length <= 0.0 {
                continue;
            }
            let point = |(slice, count): (usize, &u64)| {
                ((slice as f64 + 0.5) * length, *count as f64 / length)
            };
            lines.push(Line {
                name: coloured.subject.name,
                colour: coloured.colour,
                is_main: std::ptr::eq(*run, middle),
                points: counts.iter().enumerate().map(point).collect(),
                marks: Vec::new(),
                told: format!(
                    "{}, pair {}: {} {unit}/s",
                    coloured.subject.name,
                    run.pair,
                    numbers::number(run.rate)
                ),
            });
        }
    }
    let points = || lines.iter().flat_map(|line| &line.points);
    let end = points().map(|(time, _)| *time).reduce(f64::max)?;
    let rates = || points().map(|(_, rate)| *rate);
    let most = rates().reduce(f64::max)?;
    let medians = subjects
        .iter()
        .map(|coloured| coloured.subject.median_rate());
    let slowest = medians.reduce(f64::min)?;
    let y = if slowest > 0.0 && most / slowest > FAR {
        let positive = rates().filter(|rate| *rate > 0.0);
        let least = positive.reduce(f64::min)?;
        Axis::log(&format!("{unit}/s, log scale"), least, most)
    } else {
        Axis::linear(&format!("{unit}/s"), most)
    };
    let x = Axis::seconds("seconds", end);
    let told: Vec<&str> = lines.iter().map(|line| line.told.as_str()).collect();
    Some(draw(
        &x,
        &y,
        &lines,
        &format!("Rate over time. {}", told.join("; ")),
    ))
}

fn draw(x: &Axis, y: &Axis, lines: &[Line], told: &str) -> String {
    let mut drawing = Drawing::new(WIDTH, HEIGHT);
    let at = |(across, up): (f64, f64)| {
        let across = LEFT + x.place(across) * (RIGHT - LEFT);
        (across, BOTTOM - y.place(up) * (BOTTOM - TOP))
    };
    for (value, label) in &y.ticks {
        let (_, height) = at((x.from, *value));
        drawing.line("grid", (LEFT, height), (RIGHT, height));
        drawing.words("tick end", (LEFT - 6.0, height + 4.0), label);
    }
    for (value, label) in &x.ticks {
        let (across, _) = at((*value, y.from));
        drawing.line("axis", (across, BOTTOM), (across, BOTTOM + 4.0));
        drawing.words("tick middle", (across, BOTTOM + 17.0), label);
    }
    drawing.line("axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
    drawing.words("axis-title", (4.0, 12.0), &y.title);
    let middle = f64::midpoint(LEFT, RIGHT);
    drawing.words("axis-title middle", (middle, BOTTOM + 35.0), &x.title);

    // The strong ones last, so that they lie on top.
    let (main, others): (Vec<&Line>, Vec<&Line>) = lines.iter().partition(|line| line.is_main);
    for line in others.iter().chain(&main) {
        let weight = if line.is_main { "main" } else { "other" };
        let points: Vec<(f64, f64)> = line.points.iter().map(|point| at(*point)).collect();
        let class = format!("line {weight} s{}", line.colour);
        drawing.path(&class, &points, &line.told);
    }
    for line in &main {
        for (point, told) in &line.marks {
            drawing.dot(&format!("dot s{}", line.colour), at(*point), told);
        }
    }
    name_ends(&mut drawing, &main, at);
    drawing.finish(told)
}

fn name_ends(drawing: &mut Drawing, main: &[&Line], at: impl Fn((f64, f64)) -> (f64, f64)) {
    let end = |line: &&Line| line.points.last().map_or(TOP, |point| at(*point).1);
    let heights: Vec<f64> = main.iter().map(end).collect();
    for (line, height) in main.iter().zip(spread(&heights, TOP, BOTTOM)) {
        let class = format!("name s{}", line.colour);
        drawing.words(&class, (RIGHT + 7.0, height + 4.0), &short(line.name));
    }
}

fn short(name: &str) -> String {
    if name.chars().count() <= NAME_CHARS_MAX {
        return name.to_owned();
    }
    let start: String = name.chars().take(NAME_CHARS_MAX - 1).collect();
    start + "…"
}

/// The median rate of each subject, with a line from its least to its highest. Lengths are shares of the width, so that it
/// fits any without its words becoming small.
pub fn bars(unit: &str, subjects: &[Coloured]) -> String {
    let rates = subjects.iter().map(|coloured| coloured.subject.rates().1);
    let most = rates.fold(f64::MIN_POSITIVE, f64::max);
    let mut body = String::new();
    let mut told = Vec::new();
    for (position, coloured) in subjects.iter().enumerate() {
        let says = tell_rate(unit, &coloured.subject);
        let top = BAR_DISTANCE * position;
        let _ = writeln!(
            body,
            "<g class=\"s{}\"><title>{}</title>",
            coloured.colour,
            escape(&says)
        );
        write_bar(&mut body, unit, &coloured.subject, top, most);
        body.push_str("</g>\n");
        told.push(says);
    }
    let height = BAR_DISTANCE * subjects.len();
    let told = escape(&told.join("; "));
    format!(
        "<svg class=\"bars\" width=\"100%\" height=\"{height}\" role=\"img\" aria-label=\"Rates. {told}\" xmlns=\"http://www.w3.org/2000/svg\">\n{body}</svg>\n"
    )
}

fn tell_rate(unit: &str, subject: &Subject) -> String {
    let (median, (least, most)) = (subject.median_rate(), subject.rates());
    let [median, least, most] = [median, least, most].map(numbers::number);
    match subject.runs.len() {
        1 => format!("{}: {median} {unit}/s", subject.name),
        runs => {
            let name = subject.name;
            format!("{name}: median {median} {unit}/s of {runs} runs, {least} to {most}")
        }
    }
}

fn write_bar(body: &mut String, unit: &str, subject: &Subject, top: usize, most: f64) {
    let share = |rate: f64| match rate / most {
        part if part.is_finite() => (part * 100.0).clamp(0.0, 100.0),
        _ => 0.0,
    };
    let (words, bar, middle) = (top + 14, top + 21, top + 21 + BAR_HEIGHT / 2);
    let (name, unit) = (escape(subject.name), escape(unit));
    let (median, (least, highest)) = (subject.median_rate(), subject.rates());
    let rate = numbers::number(median);
    let length = share(median);
    let _ = write!(
        body,
        "<text class=\"bar-name\" x=\"0\" y=\"{words}\">{name}</text>\
         <text class=\"bar-value end\" x=\"100%\" y=\"{words}\">{rate} {unit}/s</text>\
         <rect class=\"track\" x=\"0\" y=\"{bar}\" width=\"100%\" height=\"{BAR_HEIGHT}\" rx=\"3\"/>\
         <rect class=\"bar\" x=\"0\" y=\"{bar}\" width=\"{length:.2}%\" height=\"{BAR_HEIGHT}\" rx=\"3\"/>"
    );
    let (from, to) = (share(least), share(highest));
    if to - from < WHISKER_MIN {
        return;
    }
    let (upper, lower) = (middle - 4, middle + 4);
    let _ = write!(
        body,
        "<line class=\"whisker\" x1=\"{from:.2}%\" y1=\"{middle}\" x2=\"{to:.2}%\" y2=\"{middle}\"/>\
         <line class=\"whisker\" x1=\"{from:.2}%\" y1=\"{upper}\" x2=\"{from:.2}%\" y2=\"{lower}\"/>\
         <line class=\"whisker\" x1=\"{to:.2}%\" y1=\"{upper}\" x2=\"{to:.2}%\" y2=\"{lower}\"/>"
    );
}
