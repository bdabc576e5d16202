//! Axes, scales and text for drawings in SVG.

use std::fmt::Write;

use super::numbers;

/// The parts of ten at which axes have ticks.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];
/// An axis has about this many ticks at most.
const TICKS_MAX: f64 = 5.0;
/// The least distance of two labels beside each other, in units of the drawing.
const LABEL_HEIGHT: f64 = 15.0;

/// Text as it may stand in HTML or XML, in an attribute too.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(' '),
            char if char.is_control() => escaped.push('\u{fffd}'),
            char => escaped.push(char),
        }
    }
    escaped
}

/// How values become places.
#[derive(Clone, Copy, Debug)]
pub enum Scale {
    /// Equal differences are equally long.
    Linear,
    /// Equal ratios are equally long.
    Log,
}

/// One side of a chart.
#[derive(Clone, Debug)]
pub struct Axis {
    pub scale: Scale,
    pub from: f64,
    pub to: f64,
    /// The ticks, with their labels.
    pub ticks: Vec<(f64, String)>,
    /// The axis's quantity, with its unit.
    pub title: String,
}

impl Axis {
    /// From 0 to a round number that is at least `most`.
    pub fn linear(title: &str, most: f64) -> Self {
        let most = if most > 0.0 { within_reason(most) } else { 1.0 };
        let rough = most / TICKS_MAX;
        let decade = 10_f64.powf(rough.log10().floor());
        let steps = STEPS.into_iter().chain([10.0]).map(|step| step * decade);
        let step = steps
            .into_iter()
            .find(|step| *step >= rough * 0.999)
            .unwrap_or(decade * 10.0);
        let count = (most / step - 0.001).ceil() as u32;
        let ticks = (0..=count).map(|tick| f64::from(tick) * step);
        Self {
            scale: Scale::Linear,
            from: 0.0,
            to: f64::from(count) * step,
            ticks: ticks.map(|value| (value, numbers::tick(value))).collect(),
            title: title.to_owned(),
        }
    }

    /// Seconds that end where the measurement did.
    pub fn seconds(title: &str, most: f64) -> Self {
        let mut axis = Self::linear(title, most);
        axis.to = if most > 0.0 { most } else { 1.0 };
        let to = axis.to * 1.001;
        axis.ticks.retain(|(value, _)| *value <= to);
        axis
    }

    /// Between round numbers around `least` and `most`, which are positive.
    pub fn log(title: &str, least: f64, most: f64) -> Self {
        let (least, most) = (within_reason(least), within_reason(most));
        let decades = least.log10().floor() as i32..=most.log10().ceil() as i32;
        let marks: Vec<f64> = decades
            .flat_map(|decade| STEPS.map(|step| step * 10_f64.powi(decade)))
            .collect();
        let below = |mark: &f64| *mark <= least * 1.001;
        let from = marks.iter().copied().rfind(below).unwrap_or(least);
        let above = marks.iter().copied().find(|mark| *mark >= most * 0.999);
        let to = above.unwrap_or(most).max(from * 10.0_f64.sqrt());
        let are_far = (to / from).log10() > 2.2;
        let is_decade = |mark: f64| (mark.log10() - mark.log10().round()).abs() < 1e-6;
        let ticks = marks
            .into_iter()
            .filter(|mark| (from * 0.999..=to * 1.001).contains(mark))
            .filter(|mark| !are_far || is_decade(*mark));
        Self {
            scale: Scale::Log,
            from,
            to,
            ticks: ticks.map(|value| (value, numbers::tick(value))).collect(),
            title: title.to_owned(),
        }
    }

    /// Quantiles as `nines` tells them, up to `most`.
    pub fn nines(title: &str, most: f64) -> Self {
        let names = ["50 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"];
        let places = [2_f64.log10(), 1.0, 2.0, 3.0, 4.0, 5.0];
        let ticks = places.into_iter().zip(names.map(str::to_owned));
        Self {
            scale: Scale::Linear,
            from: 0.0,
            to: most,
            ticks: ticks.filter(|(place, _)| *place <= most).collect(),
            title: title.to_owned(),
        }
    }

    /// Where a value is, from 0 to 1.
    pub fn place(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log => (value.max(self.from) / self.from).ln() / (self.to / self.from).ln(),
        };
        if place.is_nan() {
            return 0.0;
        }
        place.clamp(0.0, 1.0)
    }
}

/// A drawing that says in words what it shows.
pub struct Drawing {
    width: f64,
    height: f64,
    body: String,
}

impl Drawing {
    /// An empty one; the units are about pixels.
    pub fn new(width: f64, height: f64) -> Self {
        let body = String::new();
        Self {
            width,
            height,
            body,
        }
    }

    /// A straight line.
    pub fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        ));
    }

    /// A line through points, which says `told` under the pointer.
    pub fn path(&mut self, class: &str, points: &[(f64, f64)], told: &str) {
        let mut path = String::new();
        for (position, (x, y)) in points.iter().enumerate() {
            let command = if position == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{x:.1} {y:.1}");
        }
        let told = escape(told);
        self.push(format_args!(
            r#"<path class="{class}" d="{path}"><title>{told}</title></path>"#
        ));
    }

    /// A dot.
    pub fn dot(&mut self, class: &str, at: (f64, f64), told: &str) {
        let ((x, y), told) = (at, escape(told));
        self.push(format_args!(
            r#"<g class="{class}"><circle class="near" cx="{x:.1}" cy="{y:.1}" r="9"/><circle cx="{x:.1}" cy="{y:.1}" r="3"/><title>{told}</title></g>"#
        ));
    }

    /// Words at a place; the class says how they are set.
    pub fn words(&mut self, class: &str, at: (f64, f64), words: &str) {
        let ((x, y), words) = (at, escape(words));
        self.push(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{words}</text>"#
        ));
    }

    fn push(&mut self, element: std::fmt::Arguments) {
        self.body
            .write_fmt(element)
            .expect("a string takes everything");
        self.body.push('\n');
    }

    /// The element, with a text for readers who do not see it.
    pub fn finish(self, told: &str) -> String {
        let Self {
            width,
            height,
            body,
        } = self;
        let told = escape(told);
        format!(
            "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{told}\" xmlns=\"http://www.w3.org/2000/svg\">\n{body}</svg>\n"
        )
    }
}

/// Moves labels apart that would cover each other, and keeps them between two heights; the order of the input stays.
pub fn spread(heights: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..heights.len()).collect();
    order.sort_by(|one, other| heights[*one].total_cmp(&heights[*other]));
    let mut spread = heights.to_vec();
    let mut least = top;
    for position in &order {
        spread[*position] = spread[*position].max(least);
        least = spread[*position] + LABEL_HEIGHT;
    }
    let mut most = bottom;
    for position in order.iter().rev() {
        spread[*position] = spread[*position].min(most);
        most = spread[*position] - LABEL_HEIGHT;
    }
    spread
}

/// A positive number for which there are ticks: a report that was read from a file may hold any.
fn within_reason(value: f64) -> f64 {
    value.clamp(1e-9, 1e15)
}

/// A quantile by its nines: 0.9 → 1, 0.99 → 2; what is beyond `most` is at `most`.
pub fn nines(quantile: f64, most: f64) -> f64 {
    let rest = 1.0 - quantile;
    if rest > 0.0 {
        (-rest.log10()).clamp(0.0, most)
    } else {
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        let told = |axis: Axis| {
            let ticks: Vec<String> = axis.ticks.into_iter().map(|(_, told)| told).collect();
            (axis.from, axis.to, ticks.join(" "))
        };
        let linear = told(Axis::linear("", 251_000.0));
        assert_eq!(linear, (0.0, 300_000.0, "0 100k 200k 300k".to_owned()));
        assert_eq!(told(Axis::linear("", 0.0)).1, 1.0);
        let log = told(Axis::log("", 0.7, 45.0));
        assert_eq!(log, (0.5, 50.0, "0.5 1 2 5 10 20 50".to_owned()));
        let far = told(Axis::log("", 1.0, 900.0));
        assert_eq!(far, (1.0, 1000.0, "1 10 100 1k".to_owned()));
        assert!(Axis::log("", 3.0, 3.0).to > 3.0);
        assert_eq!(told(Axis::nines("", 3.0)).2, "50 % 90 % 99 % 99.9 %");
    }

    #[test]
    fn quantiles_are_placed_by_their_nines() {
        assert!((nines(0.99, 5.0) - 2.0).abs() < 1e-9);
        assert!(nines(0.0, 5.0).abs() < 1e-9);
        assert!((nines(1.0, 4.0) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn labels_move_apart_and_stay_inside() {
        let spread = spread(&[50.0, 52.0, 100.0, 99.0], 0.0, 100.0);
        assert_eq!(spread, [50.0, 65.0, 100.0, 85.0]);
    }

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let escaped = escape("<b a=\"1\" b='2'>&\u{1b}[31m\n");
        assert_eq!(
            escaped,
            "&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;\u{fffd}[31m "
        );
    }
}
