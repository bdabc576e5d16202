//! Next runs, against a calendar that is walked minute by minute.

use proptest::prelude::*;

use super::*;

/// A calendar that knows nothing but how to go on by a minute.
struct Walk {
    seconds: u64,
    minute: u32,
    hour: u32,
    day: u32,
    month: u32,
    year: u32,
    weekday: u32,
}

impl Walk {
    /// The beginning of the year 2000, a Saturday.
    fn new() -> Walk {
        Walk {
            seconds: 946_684_800,
            minute: 0,
            hour: 0,
            day: 1,
            month: 1,
            year: 2000,
            weekday: 6,
        }
    }

    fn month_days(&self) -> u32 {
        let leap = self.year.is_multiple_of(4)
            && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        [
            31,
            28 + u32::from(leap),
            31,
            30,
            31,
            30,
            31,
            31,
            30,
            31,
            30,
            31,
        ][self.month as usize - 1]
    }

    fn step(&mut self) {
        self.seconds += 60;
        self.minute += 1;
        if self.minute < 60 {
            return;
        }
        (self.minute, self.hour) = (0, self.hour + 1);
        if self.hour < 24 {
            return;
        }
        (self.hour, self.day) = (0, self.day + 1);
        self.weekday = (self.weekday + 1) % 7;
        if self.day <= self.month_days() {
            return;
        }
        (self.day, self.month) = (1, self.month + 1);
        if self.month > 12 {
            (self.month, self.year) = (1, self.year + 1);
        }
    }
}

/// One field as text, and the values that it allows.
#[derive(Clone, Debug)]
struct FieldText {
    text: String,
    values: Vec<u32>,
    star: bool,
}

fn field(
    first: u32,
    last: u32,
    names: &'static [&'static str],
) -> impl Strategy<Value = FieldText> {
    let shown = move |value: u32, named: bool| match names.get((value - first) as usize) {
        Some(name) if named => name.to_string(),
        _ => value.to_string(),
    };
    let all = move |step: usize| (first..=last).step_by(step).collect::<Vec<_>>();
    let star = (1..=7_usize).prop_map(move |step| FieldText {
        text: match step {
            1 => "*".to_string(),
            step => format!("*/{step}"),
        },
        values: all(step),
        star: true,
    });
    let part = (first..=last, first..=last, 1..=5_usize, 0..4, any::<bool>()).prop_map(
        move |(a, b, step, form, named)| {
            let (low, high) = (a.min(b), a.max(b));
            let shown = |value| shown(value, named);
            match form {
                0 => (shown(a), vec![a]),
                1 => (
                    format!("{}-{}", shown(low), shown(high)),
                    (low..=high).collect(),
                ),
                2 => (
                    format!("{}-{}/{step}", shown(low), shown(high)),
                    (low..=high).step_by(step).collect(),
                ),
                _ => (
                    format!("{}/{step}", shown(a)),
                    (a..=last).step_by(step).collect(),
                ),
            }
        },
    );
    let list = prop::collection::vec(part, 1..3).prop_map(|parts: Vec<(String, Vec<u32>)>| {
        let texts: Vec<String> = parts.iter().map(|(text, _)| text.clone()).collect();
        FieldText {
            text: texts.join(","),
            values: parts.into_iter().flat_map(|(_, values)| values).collect(),
            star: false,
        }
    });
    prop_oneof![2 => star, 3 => list]
}

const MONTHS: &[&str] = &[
    "JAN", "feb", "Mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: &[&str] = &["sun", "Mon", "TUE", "wed", "thu", "fri", "sat"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_next_minute_is_the_one_a_walk_by_minutes_finds(
        minute in field(0, 59, &[]),
        hour in field(0, 23, &[]),
        day in field(1, 31, &[]),
        month in field(1, 12, MONTHS),
        weekday in field(0, 7, DAYS),
        skip in 0..60_u64 * 24 * 400,
    ) {
        let fields = [&minute, &hour, &day, &month, &weekday];
        let text = fields.map(|field| field.text.as_str()).join(" ");
        let schedule = match CronExpression::parse(&text) {
            Ok(expression) => Schedule::Cron(expression),
            // Only where each month is too short for each day, and no day of the week will do.
            Err(error) => {
                let fits = |day: &u32| month.values.iter().any(|month| *day <= longest(*month));
                let is_possible = day.values.iter().any(fits) || !(day.star || weekday.star);
                prop_assert!(!is_possible, "{}: {}", text, error);
                return Ok(());
            }
        };
        let mut walk = Walk::new();
        (0..skip).for_each(|_| walk.step());
        let mut expected = first_run(&schedule, walk.seconds * 1_000).map(|at| at / 1_000);
        // Beyond two years the walk takes too long: then it must find nothing.
        for _ in 0..60 * 24 * 730 {
            walk.step();
            let by_day = day.values.contains(&walk.day);
            let by_weekday = weekday.values.iter().any(|value| value % 7 == walk.weekday);
            let is_day = match day.star || weekday.star {
                true => by_day && by_weekday,
                false => by_day || by_weekday,
            };
            let is_allowed = is_day
                && minute.values.contains(&walk.minute)
                && hour.values.contains(&walk.hour)
                && month.values.contains(&walk.month);
            if is_allowed {
                prop_assert_eq!(expected, Some(walk.seconds), "{}", text);
                return Ok(());
            }
        }
        expected = expected.filter(|found| *found <= walk.seconds);
        prop_assert_eq!(expected, None, "{}", text);
    }
}

/// The days of a month in the years that have most of them.
fn longest(month: u32) -> u32 {
    match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn cron(text: &str) -> Schedule {
    Schedule::Cron(CronExpression::parse(text).unwrap())
}

/// Milliseconds of a moment in the form `2026-11-29T10:00:00Z`.
fn at(text: &str) -> u64 {
    let moment: jiff::Timestamp = text.parse().unwrap();
    moment.as_millisecond() as u64
}

#[test]
fn each_form_names_its_next_moment() {
    let (hour, minute) = (5, Some(30));
    let daily = Schedule::Daily { hour, minute };
    let cases = [
        (
            Schedule::Hourly { minute: Some(7) },
            "2026-11-29T10:07:00Z",
            "2026-11-29T11:07:00Z",
        ),
        (
            Schedule::Hourly { minute: None },
            "2026-11-29T10:07:00Z",
            "2026-11-29T11:00:00Z",
        ),
        (
            daily.clone(),
            "2026-12-31T05:30:00Z",
            "2027-01-01T05:30:00Z",
        ),
        (daily, "2026-12-31T05:29:59.999Z", "2026-12-31T05:30:00Z"),
        (
            Schedule::Weekly {
                weekday: 2,
                hour,
                minute,
            },
            "2026-11-29T00:00:00Z",
            "2026-12-01T05:30:00Z",
        ),
        (
            Schedule::Monthly {
                day: 31,
                hour,
                minute,
            },
            "2026-01-31T05:30:00Z",
            "2026-03-31T05:30:00Z",
        ),
        (
            cron("0 0 29 2 *"),
            "2096-03-01T00:00:00Z",
            "2104-02-29T00:00:00Z",
        ),
        (
            cron("0 12 * * 7"),
            "2026-11-29T12:00:00Z",
            "2026-12-06T12:00:00Z",
        ),
        (
            cron("0 12 * * 0"),
            "2026-11-29T12:00:00Z",
            "2026-12-06T12:00:00Z",
        ),
        (
            cron("0 12 13 * fri"),
            "2026-11-29T12:00:00Z",
            "2026-12-04T12:00:00Z",
        ),
    ];
    for (schedule, after, expected) in cases {
        let next = next_run(&schedule, 0, at(after)).unwrap();
        assert_eq!(
            next,
            NextRun {
                at_ms: at(expected),
                skipped: 0
            },
            "{schedule:?}"
        );
        // A clock that was set back does not bring a run again.
        assert_eq!(next_run(&schedule, at(after), 0), Some(next));
    }
}

#[test]
fn an_interval_starts_at_once_keeps_its_beat_and_skips_what_it_missed() {
    let schedule = Schedule::Interval { seconds: 10 };
    assert_eq!(first_run(&schedule, 1_234), Some(1_234));
    let next = |now| {
        let next = next_run(&schedule, 1_234, now).unwrap();
        (next.at_ms, next.skipped)
    };
    assert_eq!(next(1_240), (11_234, 0));
    assert_eq!(next(11_233), (11_234, 0));
    assert_eq!(next(11_234), (21_234, 1));
    assert_eq!(next(45_000), (51_234, 4));
    assert_eq!(next(0), (11_234, 0));
}
