//! Cron expressions: five fields in UTC, `minute hour day-of-month month day-of-week`.

use std::ops::RangeInclusive;

use thiserror::Error;

/// A cron expression, as sets of what it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronExpression {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
}

/// Why a text is not a cron expression.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CronExpressionError {
    #[error("Invalid cron spec {text:?}: {reason}")]
    Syntax { text: String, reason: String },
    #[error("The cron spec {0:?} will never match any time")]
    Never(String),
}

/// Longest expression that is looked at, in bytes.
const EXPRESSION_BYTES_MAX: usize = 1_024;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// The most days that each month has.
const MONTH_DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl CronExpression {
    /// Reads five fields, each `*`, numbers, ranges `a-b`, steps `/n` and lists of them; months and weekdays may be
    /// named. Sunday is 0 and 7.
    pub fn parse(text: &str) -> Result<CronExpression, CronExpressionError> {
        let refused = |reason: String| CronExpressionError::Syntax {
            text: text.to_owned(),
            reason,
        };
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(refused(format!(
                "it is longer than {EXPRESSION_BYTES_MAX} bytes"
            )));
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(refused(format!("it has {} fields, not five", fields.len())));
        };
        let field = |text: &str, kind: &Field| kind.parse(text).map_err(&refused);
        let expression = CronExpression {
            text: text.to_owned(),
            minutes: field(minutes, &Field::new("minute", 0..=59, &[]))?,
            hours: field(hours, &Field::new("hour", 0..=23, &[]))?,
            days: field(days, &Field::new("day of month", 1..=31, &[]))?,
            months: field(months, &Field::new("month", 1..=12, &MONTHS))?,
            weekdays: on_sunday_once(field(
                weekdays,
                &Field::new("day of week", 0..=7, &WEEKDAYS),
            )?),
            any_day: days.starts_with('*'),
            any_weekday: weekdays.starts_with('*'),
        };
        match expression.can_match() {
            true => Ok(expression),
            false => Err(CronExpressionError::Never(text.to_owned())),
        }
    }

    /// The expression as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches in this minute.
    pub fn matches_minute(&self, minute: u8) -> bool {
        has(self.minutes, minute)
    }

    /// Whether it matches in this hour.
    pub fn matches_hour(&self, hour: u8) -> bool {
        has(self.hours, hour)
    }

    /// Whether it matches on this day: `month` and `day` count from 1, `weekday` from Sunday, which is 0. When both a day
    /// and a weekday are given, one of them is enough.
    pub fn matches_day(&self, month: u8, day: u8, weekday: u8) -> bool {
        let (on_day, on_weekday) = (has(self.days, day), has(self.weekdays, weekday));
        let fits = match self.any_day || self.any_weekday {
            true => on_day && on_weekday,
            false => on_day || on_weekday,
        };
        has(self.months, month) && fits
    }

    fn can_match(&self) -> bool {
        // A weekday alone comes in every month.
        let by_weekday = !self.any_day && !self.any_weekday;
        let has_day = |(month, days): (u8, u32)| {
            has(self.months, month) && (1..=days).any(|day| has(self.days, day as u8))
        };
        by_weekday || (1..=12).zip(MONTH_DAYS).any(has_day)
    }
}

fn has(set: u64, member: u8) -> bool {
    set & (1 << member) != 0
}

/// Seven is another name of Sunday.
fn on_sunday_once(weekdays: u64) -> u64 {
    (weekdays | (weekdays >> 7)) & 0x7f
}

/// One of the five fields.
struct Field {
    what: &'static str,
    range: RangeInclusive<u8>,
    names: &'static [&'static str],
}

impl Field {
    fn new(what: &'static str, range: RangeInclusive<u8>, names: &'static [&'static str]) -> Field {
        Field { what, range, names }
    }

    fn parse(&self, text: &str) -> Result<u64, String> {
        let mut set = 0;
        for part in text.split(',') {
            let (span, step) = match part.split_once('/') {
                Some((span, step)) => (span, Some(self.step(step)?)),
                None => (part, None),
            };
            let (first, last) = match span.split_once('-') {
                _ if span == "*" => (*self.range.start(), *self.range.end()),
                Some((first, last)) => (self.number(first)?, self.number(last)?),
                None => {
                    let first = self.number(span)?;
                    // `5/10` goes on to the end.
                    (
                        first,
                        if step.is_some() {
                            *self.range.end()
                        } else {
                            first
                        },
                    )
                }
            };
            if first > last {
                return Err(format!("the {} range {span:?} is backwards", self.what));
            }
            for member in (first..=last).step_by(step.unwrap_or(1)) {
                set |= 1 << member;
            }
        }
        Ok(set)
    }

    fn step(&self, text: &str) -> Result<usize, String> {
        let step = text.parse().ok().filter(|step| (1..=60).contains(step));
        step.ok_or_else(|| format!("{text:?} is not a step of the {}", self.what))
    }

    fn number(&self, text: &str) -> Result<u8, String> {
        let lower = text.to_ascii_lowercase();
        let named = self.names.iter().position(|name| *name == lower);
        // Names count from where the field begins.
        let number = match named {
            Some(position) => Some(position as u8 + self.range.start()),
            None => text.parse().ok(),
        };
        number
            .filter(|number| self.range.contains(number))
            .ok_or_else(|| format!("{text:?} is not a {}", self.what))
    }
}
