//! When a cron runs next, in UTC and on the minute. Pure.

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::deployment::{CronExpression, Schedule};

/// A cron's next run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextRun {
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// Runs of an interval that were due before, and are left out.
    pub skipped: u64,
}

const MS_PER_SECOND: u64 = 1_000;
const SECONDS_PER_MINUTE: u64 = 60;
const MINUTES_PER_HOUR: u8 = 60;
const MINUTES_PER_DAY: u64 = 1_440;
const HOURS_PER_DAY: u8 = 24;
const SECONDS_PER_DAY: u64 = 86_400;
/// Days after which the calendar repeats, weekdays included.
const CALENDAR_CYCLE_DAYS: usize = 146_097;

/// When a cron that is declared at `now_ms` runs first: an interval at once, a calendar at its next moment.
pub fn first_run(schedule: &Schedule, now_ms: u64) -> Option<u64> {
    match schedule {
        Schedule::Interval { .. } => Some(now_ms),
        calendar => calendar_after(calendar, now_ms),
    }
}

/// The first moment behind `now_ms` that follows a run meant for `previous_ms`.
pub fn next_run(schedule: &Schedule, previous_ms: u64, now_ms: u64) -> Option<NextRun> {
    let Schedule::Interval { seconds } = schedule else {
        let at_ms = calendar_after(schedule, previous_ms.max(now_ms))?;
        return Some(NextRun { at_ms, skipped: 0 });
    };
    let interval_ms = seconds.checked_mul(MS_PER_SECOND)?;
    let skipped = now_ms
        .saturating_sub(previous_ms)
        .checked_div(interval_ms)?;
    let at_ms = previous_ms.checked_add(interval_ms.checked_mul(skipped + 1)?)?;
    Some(NextRun { at_ms, skipped })
}

/// The first minute behind `after_ms` at which a calendar strikes; `None` when it never does.
fn calendar_after(schedule: &Schedule, after_ms: u64) -> Option<u64> {
    let minute = after_ms / (SECONDS_PER_MINUTE * MS_PER_SECOND) + 1;
    let midnight = i64::try_from(minute / MINUTES_PER_DAY * SECONDS_PER_DAY).ok()?;
    let midnight = Timestamp::from_second(midnight).ok()?;
    let today = midnight.to_zoned(TimeZone::UTC).date();
    let left_today = schedule
        .strikes_on(today)
        .then(|| minute_from(schedule, minute % MINUTES_PER_DAY));
    let (day, minute) = match left_today.flatten() {
        Some(minute) => (today, minute),
        None => (
            day_from(schedule, today.tomorrow().ok()?)?,
            minute_from(schedule, 0)?,
        ),
    };
    let midnight = day.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let midnight = u64::try_from(midnight.as_second()).ok()?;
    Some((midnight + minute * SECONDS_PER_MINUTE) * MS_PER_SECOND)
}

/// The first day that strikes, from `first` on. Beyond a whole cycle of the calendar there is none.
fn day_from(schedule: &Schedule, first: Date) -> Option<Date> {
    let days = std::iter::successors(Some(first), |day| day.tomorrow().ok());
    days.take(CALENDAR_CYCLE_DAYS)
        .find(|day| schedule.strikes_on(*day))
}

/// The first minute of a day that strikes, from this one on.
fn minute_from(schedule: &Schedule, from: u64) -> Option<u64> {
    let hours = u64::from(MINUTES_PER_HOUR);
    let (mut hour, mut minute) = ((from / hours) as u8, (from % hours) as u8);
    while hour < HOURS_PER_DAY {
        if schedule.strikes_in_hour(hour) {
            let mut minutes = minute..MINUTES_PER_HOUR;
            if let Some(minute) = minutes.find(|minute| schedule.strikes_at_minute(*minute)) {
                return Some(u64::from(hour) * hours + u64::from(minute));
            }
        }
        (hour, minute) = (hour + 1, 0);
    }
    None
}

/// The parts of a calendar, each by itself. An interval has none.
trait Calendar {
    fn strikes_on(&self, date: Date) -> bool;
    fn strikes_in_hour(&self, hour: u8) -> bool;
    fn strikes_at_minute(&self, minute: u8) -> bool;
}

impl Calendar for Schedule {
    fn strikes_on(&self, date: Date) -> bool {
        match self {
            Schedule::Interval { .. } => false,
            Schedule::Hourly { .. } | Schedule::Daily { .. } => true,
            Schedule::Weekly { weekday, .. } => *weekday == weekday_of(date),
            Schedule::Monthly { day, .. } => i8::try_from(*day) == Ok(date.day()),
            Schedule::Cron(expression) => expression.strikes_on(date),
        }
    }

    fn strikes_in_hour(&self, asked: u8) -> bool {
        match self {
            Schedule::Interval { .. } => false,
            Schedule::Hourly { .. } => true,
            Schedule::Daily { hour, .. }
            | Schedule::Weekly { hour, .. }
            | Schedule::Monthly { hour, .. } => *hour == asked,
            Schedule::Cron(expression) => expression.strikes_in_hour(asked),
        }
    }

    fn strikes_at_minute(&self, asked: u8) -> bool {
        match self {
            Schedule::Interval { .. } => false,
            // Where no minute is asked for it is the first.
            Schedule::Hourly { minute }
            | Schedule::Daily { minute, .. }
            | Schedule::Weekly { minute, .. }
            | Schedule::Monthly { minute, .. } => minute.unwrap_or(0) == asked,
            Schedule::Cron(expression) => expression.strikes_at_minute(asked),
        }
    }
}

impl Calendar for CronExpression {
    fn strikes_on(&self, date: Date) -> bool {
        let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
        self.matches_day(month, day, weekday_of(date))
    }

    fn strikes_in_hour(&self, hour: u8) -> bool {
        self.matches_hour(hour)
    }

    fn strikes_at_minute(&self, minute: u8) -> bool {
        self.matches_minute(minute)
    }
}

/// From 0 for Sunday.
fn weekday_of(date: Date) -> u8 {
    date.weekday().to_sunday_zero_offset().unsigned_abs()
}
