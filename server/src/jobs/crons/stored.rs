//! A cron as its document.

use vestibule_schema::id::DocumentId;
use vestibule_schema::object;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::value::{Object, Value};

use crate::database::{DatabaseError, RawDocument, Transaction};
use crate::deployment::{Cron, CronExpression, Schedule};
use crate::functions::scheduled::{COMPONENT, component_in, set_component};

/// The table of crons.
pub const CRONS: &str = "_crons";

/// The declarer of a cron.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CronOwner {
    /// The program.
    Program,
    /// The pushed app.
    Pushed,
}

impl CronOwner {
    pub(super) fn name(self) -> &'static str {
        match self {
            CronOwner::Program => "program",
            CronOwner::Pushed => "pushed",
        }
    }
}

/// Whether a run is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CronState {
    Pending,
    InProgress,
}

impl CronState {
    pub(super) fn kind(self) -> &'static str {
        match self {
            CronState::Pending => "pending",
            CronState::InProgress => "inProgress",
        }
    }

    pub(super) fn to_value(self) -> Value {
        Value::Object(object! { "kind" => self.kind() })
    }
}

/// A cron with its place in time.
#[derive(Clone, Debug, PartialEq)]
pub struct CronJob {
    /// Its document.
    pub id: DocumentId,
    /// Its identity, among the crons of its function's component.
    pub name: String,
    /// Its declarer.
    pub owner: CronOwner,
    /// The mutation or action that it runs.
    pub function: FunctionPath,
    /// The arguments of that function.
    pub args: Object,
    /// When it runs.
    pub schedule: Schedule,
    /// Whether a run is under way; if so it is that of `next_ms`.
    pub state: CronState,
    /// The moment of its next run, in milliseconds since the epoch.
    pub next_ms: u64,
    /// The moment of its last run.
    pub last_ms: Option<u64>,
}

impl CronJob {
    /// The cron with this id; `None` when there is none.
    pub fn find(
        tx: &mut Transaction<'_>,
        id: DocumentId,
    ) -> Result<Option<CronJob>, DatabaseError> {
        let document = tx.uncharged(|tx| tx.get(id))?;
        Ok(document.and_then(CronJob::read))
    }

    /// Reads a document of the table; `None` when it is none.
    pub fn read(document: RawDocument) -> Option<CronJob> {
        let RawDocument { id, mut fields } = document;
        let args = match fields.remove("args")? {
            Value::Array(mut args) => args.pop()?.into_object().ok()?,
            _ => return None,
        };
        let state = fields.get("state")?.as_object()?;
        let function: FunctionPath = fields.get("function")?.as_str()?.parse().ok()?;
        let component = component_in(&fields, COMPONENT)?;
        Some(CronJob {
            id,
            name: fields.get("name")?.as_str()?.to_string(),
            owner: match fields.get("owner")?.as_str()? {
                "program" => CronOwner::Program,
                _ => CronOwner::Pushed,
            },
            function: function.in_component(component),
            args,
            schedule: read_schedule(fields.get("schedule")?)?,
            state: match state.get("kind")?.as_str()? {
                "inProgress" => CronState::InProgress,
                _ => CronState::Pending,
            },
            next_ms: whole(&fields, "nextRun")?,
            last_ms: whole(&fields, "lastRun"),
        })
    }
}

/// The fields that a deployment decides.
pub fn declared_fields(cron: &Cron, owner: CronOwner) -> Object {
    let mut fields = object! {
        "name" => cron.name.as_str(),
        "owner" => owner.name(),
        "function" => cron.function.canonical(),
        "args" => Value::Array(vec![Value::Object(cron.args.clone())]),
        "schedule" => schedule_value(&cron.schedule),
    };
    set_component(&mut fields, COMPONENT, cron.function.component());
    fields
}

fn schedule_value(schedule: &Schedule) -> Value {
    let mut fields = match schedule {
        Schedule::Interval { seconds } => {
            object! { "type" => "interval", "seconds" => *seconds as f64 }
        }
        Schedule::Hourly { .. } => object! { "type" => "hourly" },
        Schedule::Daily { .. } => object! { "type" => "daily" },
        Schedule::Weekly { weekday, .. } => {
            object! { "type" => "weekly", "dayOfWeek" => u32::from(*weekday) }
        }
        Schedule::Monthly { day, .. } => object! { "type" => "monthly", "day" => u32::from(*day) },
        Schedule::Cron(expression) => object! { "type" => "cron", "cron" => expression.text() },
    };
    let (hour, minute) = match schedule {
        Schedule::Interval { .. } | Schedule::Cron(_) => (None, None),
        Schedule::Hourly { minute } => (None, *minute),
        Schedule::Daily { hour, minute }
        | Schedule::Weekly { hour, minute, .. }
        | Schedule::Monthly { hour, minute, .. } => (Some(*hour), *minute),
    };
    for (name, part) in [("hourUTC", hour), ("minuteUTC", minute)] {
        if let Some(part) = part {
            fields.insert(name.to_string(), Value::from(u32::from(part)));
        }
    }
    Value::Object(fields)
}

fn read_schedule(value: &Value) -> Option<Schedule> {
    let fields = value.as_object()?;
    let small = |name: &str| u8::try_from(whole(fields, name)?).ok();
    let minute = small("minuteUTC");
    Some(match fields.get("type")?.as_str()? {
        "interval" => Schedule::Interval {
            seconds: whole(fields, "seconds")?,
        },
        "hourly" => Schedule::Hourly { minute },
        "daily" => Schedule::Daily {
            hour: small("hourUTC")?,
            minute,
        },
        "weekly" => Schedule::Weekly {
            weekday: small("dayOfWeek")?,
            hour: small("hourUTC")?,
            minute,
        },
        "monthly" => Schedule::Monthly {
            day: small("day")?,
            hour: small("hourUTC")?,
            minute,
        },
        "cron" => Schedule::Cron(CronExpression::parse(fields.get("cron")?.as_str()?).ok()?),
        _ => return None,
    })
}

fn whole(fields: &Object, name: &str) -> Option<u64> {
    match fields.get(name)? {
        Value::Float64(number) if *number >= 0.0 => Some(*number as u64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_survives_its_document() {
        let (hour, minute) = (5, Some(7));
        let schedules = [
            Schedule::Interval { seconds: 90 },
            Schedule::Hourly { minute: None },
            Schedule::Hourly { minute },
            Schedule::Daily { hour, minute },
            Schedule::Weekly {
                weekday: 0,
                hour,
                minute: None,
            },
            Schedule::Monthly {
                day: 31,
                hour,
                minute,
            },
            Schedule::Cron(CronExpression::parse("*/10 * * * mon").unwrap()),
        ];
        for schedule in schedules {
            assert_eq!(read_schedule(&schedule_value(&schedule)), Some(schedule));
        }
    }
}
