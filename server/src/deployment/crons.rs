//! Cron jobs as a push declares them: their names, targets, arguments and schedules. When they run is the jobs room's.

mod expression;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value as Json, json};
use thiserror::Error;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::value::{Object, Value};

pub use expression::{CronExpression, CronExpressionError};

/// Cron jobs of one deployment.
pub const CRONS_MAX: usize = 1_000;
/// Bytes of one job's arguments.
pub const CRON_ARGS_BYTES_MAX: usize = 1 << 20;
/// Characters of one job's name.
pub const CRON_NAME_LENGTH_MAX: usize = 256;

/// One cron job. Its name is its identity: a push that names it again updates it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cron {
    /// Unique in its deployment.
    pub name: String,
    /// The mutation or action that it runs.
    pub function: FunctionPath,
    /// The one object that the function is called with.
    pub args: Object,
    /// When it runs.
    pub schedule: Schedule,
}

/// When a job runs. All times are UTC. Where `minute` is `None` the deployment chooses one and keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Again and again, the first time at once.
    Interval {
        /// From one start to the next.
        seconds: u64,
    },
    /// Once an hour.
    Hourly {
        /// Of the hour.
        minute: Option<u8>,
    },
    /// Once a day.
    Daily {
        /// From 0 to 23.
        hour: u8,
        /// Of the hour.
        minute: Option<u8>,
    },
    /// Once a week. `weekday` counts from Sunday, which is 0.
    Weekly {
        /// From 0 to 6.
        weekday: u8,
        /// From 0 to 23.
        hour: u8,
        /// Of the hour.
        minute: Option<u8>,
    },
    /// Once a month; months without that day are skipped.
    Monthly {
        /// From 1 to 31.
        day: u8,
        /// From 0 to 23.
        hour: u8,
        /// Of the hour.
        minute: Option<u8>,
    },
    /// Whenever the expression matches.
    Cron(CronExpression),
}

/// Why the cron jobs of a push are refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CronError {
    #[error("`convex/crons.js` must have a default export of Crons.")]
    NotCrons,
    #[error("A deployment cannot have more than {CRONS_MAX} cron jobs (found {0}).")]
    TooMany(usize),
    #[error(
        "Invalid cron identifier {0:?}: use 1 to {CRON_NAME_LENGTH_MAX} ASCII letters that are not control characters"
    )]
    Name(String),
    #[error("Invalid function path {path:?} in the cron job {name:?}: {reason}")]
    Path {
        name: String,
        path: String,
        reason: String,
    },
    #[error("Invalid arguments of the cron job {name:?}: {reason}")]
    Args { name: String, reason: String },
    #[error("Cron job args too large ({0} bytes > maximum size {CRON_ARGS_BYTES_MAX} bytes)")]
    ArgsTooLarge(usize),
    #[error("Invalid schedule of the cron job {name:?}: {reason}")]
    Schedule { name: String, reason: String },
    #[error("{field} must be {range} in the cron job {name:?}")]
    Range {
        name: String,
        field: &'static str,
        range: &'static str,
    },
    #[error("{0}")]
    Expression(#[from] CronExpressionError),
    #[error("The cron job {name:?} schedules a function that does not exist: {path}")]
    NoFunction { name: String, path: String },
    #[error(
        "The cron job {name:?} schedules {path}, which is a {kind}. Only a Mutation or an Action can be scheduled."
    )]
    WrongKind {
        name: String,
        path: String,
        kind: &'static str,
    },
}

impl Cron {
    /// Reads what `crons.js` exports: a JSON object of jobs by name. Returns them by name.
    pub fn all_from_json(text: &str) -> Result<Vec<Cron>, CronError> {
        let Ok(Json::Object(declared)) = serde_json::from_str(text) else {
            return Err(CronError::NotCrons);
        };
        if declared.len() > CRONS_MAX {
            return Err(CronError::TooMany(declared.len()));
        }
        let mut crons = declared
            .iter()
            .map(|(name, json)| Cron::from_json(name, json))
            .collect::<Result<Vec<_>, _>>()?;
        crons.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(crons)
    }

    fn from_json(name: &str, json: &Json) -> Result<Cron, CronError> {
        let is_printable = |byte: u8| byte.is_ascii() && !byte.is_ascii_control();
        let is_name = (1..=CRON_NAME_LENGTH_MAX).contains(&name.len());
        if !is_name || !name.bytes().all(is_printable) {
            return Err(CronError::Name(name.to_owned()));
        }
        let path = json["name"].as_str().unwrap_or_default();
        let function = path.parse().map_err(|error| CronError::Path {
            name: name.to_owned(),
            path: path.to_owned(),
            reason: format!("{error}"),
        })?;
        Ok(Cron {
            function,
            args: read_args(name, &json["args"])?,
            schedule: Reader { name }.schedule(&json["schedule"])?,
            name: name.to_owned(),
        })
    }

    /// The arguments as functions are called with them: a list that holds one object.
    pub fn args_json(&self) -> Json {
        json!([Value::Object(self.args.clone()).to_json()])
    }

    /// As the reply to a push lists it.
    pub fn to_json(&self) -> Json {
        json!({
            "identifier": self.name,
            "spec": {
                "udfPath": self.function.canonical(),
                "udfArgs": self.args_json().to_string().into_bytes(),
                "cronSchedule": self.schedule.to_json(),
            },
        })
    }
}

impl Schedule {
    /// As system functions and replies show it.
    pub fn to_json(&self) -> Json {
        let mut json = match self {
            Schedule::Interval { seconds } => json!({"type": "interval", "seconds": seconds}),
            Schedule::Hourly { .. } => json!({"type": "hourly"}),
            Schedule::Daily { hour, .. } => json!({"type": "daily", "hourUTC": hour}),
            Schedule::Weekly { weekday, hour, .. } => {
                json!({"type": "weekly", "dayOfWeek": weekday, "hourUTC": hour})
            }
            Schedule::Monthly { day, hour, .. } => {
                json!({"type": "monthly", "day": day, "hourUTC": hour})
            }
            Schedule::Cron(expression) => {
                json!({"type": "cron", "cronExpr": expression.text()})
            }
        };
        if let Some(minute) = self.minute() {
            json["minuteUTC"] = json!(minute);
        }
        json
    }

    fn minute(&self) -> Option<u8> {
        match self {
            Schedule::Hourly { minute }
            | Schedule::Daily { minute, .. }
            | Schedule::Weekly { minute, .. }
            | Schedule::Monthly { minute, .. } => *minute,
            Schedule::Interval { .. } | Schedule::Cron(_) => None,
        }
    }
}

/// Reads a list that holds one object, or nothing.
fn read_args(name: &str, json: &Json) -> Result<Object, CronError> {
    let refused = |reason: String| CronError::Args {
        name: name.to_owned(),
        reason,
    };
    let list = match json {
        Json::Null => return Ok(Object::new()),
        Json::Array(list) => list,
        _ => return Err(refused("they are not a list".to_owned())),
    };
    let args = match list.as_slice() {
        [] => return Ok(Object::new()),
        [args] => Value::from_json(args).map_err(|error| refused(error.to_string()))?,
        _ => return Err(refused("a function takes one object".to_owned())),
    };
    let size = args.size();
    if size > CRON_ARGS_BYTES_MAX {
        return Err(CronError::ArgsTooLarge(size));
    }
    args.into_object()
        .map_err(|_| refused("a function takes one object".to_owned()))
}

/// Reads the schedule of the job `name`.
struct Reader<'n> {
    name: &'n str,
}

const WEEKDAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];

impl Reader<'_> {
    fn schedule(&self, json: &Json) -> Result<Schedule, CronError> {
        let Json::Object(schedule) = json else {
            return Err(self.refused("it is missing"));
        };
        match schedule.get("type").and_then(Json::as_str) {
            Some("interval") => self.interval(schedule),
            Some("hourly") => Ok(Schedule::Hourly {
                minute: self.minute(schedule)?,
            }),
            Some("daily") => Ok(Schedule::Daily {
                hour: self.hour(schedule)?,
                minute: self.minute(schedule)?,
            }),
            Some("weekly") => Ok(Schedule::Weekly {
                weekday: self.weekday(schedule)?,
                hour: self.hour(schedule)?,
                minute: self.minute(schedule)?,
            }),
            Some("monthly") => Ok(Schedule::Monthly {
                day: self.within(schedule, "day", "day of month", 1..=31, "1-31")?,
                hour: self.hour(schedule)?,
                minute: self.minute(schedule)?,
            }),
            Some("cron") => match schedule.get("cron").and_then(Json::as_str) {
                Some(text) => Ok(Schedule::Cron(CronExpression::parse(text)?)),
                None => Err(self.refused("`cron` is missing")),
            },
            _ => Err(self.refused("its type is unknown")),
        }
    }

    fn interval(&self, schedule: &Map<String, Json>) -> Result<Schedule, CronError> {
        const UNITS: [(&str, u64); 3] = [("seconds", 1), ("minutes", 60), ("hours", 3_600)];
        let mut given = UNITS
            .iter()
            .filter(|(unit, _)| schedule.contains_key(*unit));
        let (Some((unit, seconds)), None) = (given.next(), given.next()) else {
            return Err(self.refused("Must specify one of seconds, minutes, or hours"));
        };
        let count = schedule[*unit]
            .as_f64()
            .filter(|count| count.fract() == 0.0 && (1.0..=INTERVAL_COUNT_MAX).contains(count));
        match count {
            Some(count) => Ok(Schedule::Interval {
                seconds: count as u64 * seconds,
            }),
            None => Err(self.refused("Interval must be an integer greater than 0")),
        }
    }

    fn hour(&self, schedule: &Map<String, Json>) -> Result<u8, CronError> {
        self.within(schedule, "hourUTC", "hourUTC", 0..=23, "0-23")
    }

    fn minute(&self, schedule: &Map<String, Json>) -> Result<Option<u8>, CronError> {
        match schedule.get("minuteUTC") {
            None | Some(Json::Null) => Ok(None),
            Some(_) => self
                .within(schedule, "minuteUTC", "minuteUTC", 0..=59, "0-59")
                .map(Some),
        }
    }

    fn weekday(&self, schedule: &Map<String, Json>) -> Result<u8, CronError> {
        let name = schedule.get("dayOfWeek").and_then(Json::as_str);
        let position = WEEKDAYS.iter().position(|day| Some(*day) == name);
        match position {
            Some(position) => Ok(position as u8),
            None => Err(self.refused("Day of week must be a string like \"monday\".")),
        }
    }

    fn within(
        &self,
        schedule: &Map<String, Json>,
        key: &str,
        field: &'static str,
        allowed: std::ops::RangeInclusive<u8>,
        range: &'static str,
    ) -> Result<u8, CronError> {
        let number = schedule.get(key).and_then(Json::as_f64);
        let number = number.filter(|number| number.fract() == 0.0);
        number
            .filter(|number| {
                (f64::from(*allowed.start())..=f64::from(*allowed.end())).contains(number)
            })
            .map(|number| number as u8)
            .ok_or_else(|| CronError::Range {
                name: self.name.to_owned(),
                field,
                range,
            })
    }

    fn refused(&self, reason: &str) -> CronError {
        CronError::Schedule {
            name: self.name.to_owned(),
            reason: reason.to_owned(),
        }
    }
}

/// No interval is longer than some centuries.
const INTERVAL_COUNT_MAX: f64 = 4_000_000.0 * 3_600.0;
