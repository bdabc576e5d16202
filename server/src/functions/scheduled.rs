//! Scheduled functions as data: documents of `_scheduled_functions`, and how a transaction makes and cancels them. The
//! jobs room decides when they run.

use vestibule_schema::id::DocumentId;
use vestibule_schema::object;
use vestibule_schema::path::{ComponentPath, FunctionPath};
use vestibule_schema::value::{Object, Value, check_value};

use super::error::Error;
use super::function::FunctionKind;
use super::registry::Registry;
use crate::database::{
    Comparison, DatabaseError, Expression, Operator, Patch, RawDocument, Transaction,
};

/// The table of scheduled functions.
pub const SCHEDULED_FUNCTIONS: &str = "_scheduled_functions";
/// How far from now a function may be scheduled, in seconds.
pub const SCHEDULE_DISTANCE_SECONDS_MAX: f64 = (5 * 366 * 24 * 60 * 60) as f64;
/// Arguments from this size on are warned of, in bytes.
const ARGS_BYTES_LARGE: usize = 4 << 20;

/// Where a scheduled function is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It waits for its time, or for room.
    Pending,
    /// It is an action that has started, or the mutation that looks at its own document.
    InProgress,
    /// It ended well.
    Success,
    /// It threw this, or could not be run.
    Failed(String),
    /// It was canceled before it ended.
    Canceled,
}

impl JobState {
    /// The name of its kind in documents.
    pub fn kind(&self) -> &'static str {
        match self {
            JobState::Pending => "pending",
            JobState::InProgress => "inProgress",
            JobState::Success => "success",
            JobState::Failed(_) => "failed",
            JobState::Canceled => "canceled",
        }
    }

    /// Whether nothing will change any more.
    pub fn is_final(&self) -> bool {
        match self {
            JobState::Pending | JobState::InProgress => false,
            JobState::Success | JobState::Failed(_) | JobState::Canceled => true,
        }
    }

    fn to_value(&self) -> Value {
        let mut state = object! { "kind" => self.kind() };
        if let JobState::Failed(error) = self {
            state.insert("error".to_string(), Value::from(error.as_str()));
        }
        Value::Object(state)
    }

    fn from_value(value: &Value) -> Option<JobState> {
        let state = value.as_object()?;
        Some(match state.get("kind")?.as_str()? {
            "pending" => JobState::Pending,
            "inProgress" => JobState::InProgress,
            "success" => JobState::Success,
            "failed" => {
                let error = state.get("error").and_then(Value::as_str);
                JobState::Failed(error.unwrap_or_default().to_string())
            }
            "canceled" => JobState::Canceled,
            _ => return None,
        })
    }
}

/// One scheduled function.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduledFunction {
    /// Its id in `_scheduled_functions`.
    pub id: DocumentId,
    /// The function that runs.
    pub path: FunctionPath,
    /// Its arguments: one object.
    pub args: Value,
    /// When it was asked for, in milliseconds since the epoch; it may lie in the past.
    pub scheduled_ms: f64,
    /// Where it is in its life.
    pub state: JobState,
    /// The component that scheduled it.
    pub owner: ComponentPath,
}

/// The field with the path of the component that scheduled a function; absent for the app.
pub const OWNER: &str = "owner";
/// The field with the path of the component whose function it is; absent for the app's.
pub const COMPONENT: &str = "component";

/// The operator that leaves only what `component` scheduled.
pub fn scheduled_by(component: &ComponentPath) -> Operator {
    let owner = Some(component).filter(|component| !component.is_root());
    Operator::Filter(Expression::compare(
        Comparison::Equal,
        Expression::field(OWNER.parse().expect("it is an identifier")),
        Expression::Literal(owner.map(|owner| owner.as_str().into())),
    ))
}

/// The component in a field of a document.
pub fn component_in(fields: &Object, field: &str) -> Option<ComponentPath> {
    match fields.get(field) {
        Some(path) => path.as_str()?.parse().ok(),
        None => Some(ComponentPath::ROOT),
    }
}

/// Adds the path of a component to the fields of a document; none for the app.
pub fn set_component(fields: &mut Object, field: &str, component: &ComponentPath) {
    if !component.is_root() {
        fields.insert(field.to_owned(), Value::from(component.as_str()));
    }
}

impl ScheduledFunction {
    /// Reads a document of the table; `None` when it is none.
    pub fn read(document: RawDocument) -> Option<ScheduledFunction> {
        let RawDocument { id, mut fields } = document;
        let args = match fields.remove("args")? {
            Value::Array(mut args) if args.len() <= 1 => args.pop(),
            _ => return None,
        };
        let scheduled_ms = match fields.get("scheduledTime")? {
            Value::Float64(time) => *time,
            _ => return None,
        };
        let path: FunctionPath = fields.get("name")?.as_str()?.parse().ok()?;
        Some(ScheduledFunction {
            id,
            path: path.in_component(component_in(&fields, COMPONENT)?),
            owner: component_in(&fields, OWNER)?,
            args: args.unwrap_or_else(|| Value::Object(Object::new())),
            scheduled_ms,
            state: JobState::from_value(fields.get("state")?)?,
        })
    }

    /// The scheduled function with this id; `None` when there is none.
    pub fn find(
        tx: &mut Transaction<'_>,
        id: DocumentId,
    ) -> Result<Option<ScheduledFunction>, DatabaseError> {
        let document = tx.uncharged(|tx| tx.get(id))?;
        Ok(document.and_then(ScheduledFunction::read))
    }
}

/// A function to schedule.
#[derive(Clone, Debug)]
pub struct ToSchedule {
    /// The function that runs.
    pub path: FunctionPath,
    /// Its arguments: one object, or nothing.
    pub args: Vec<Value>,
    /// When, in seconds since the epoch.
    pub at_seconds: f64,
    /// The scheduled function on whose behalf it is scheduled. Functions that a canceled one schedules are canceled
    /// too.
    pub by: Option<DocumentId>,
    /// The component that schedules it.
    pub owner: ComponentPath,
}

/// The target of scheduling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A function.
    Function(FunctionKind),
    /// Its module has no function of that name.
    NoFunction,
    /// There is no such module.
    NoModule,
}

impl Registry {
    /// The target of scheduling `path`.
    pub fn target(&self, path: &FunctionPath) -> Target {
        match self.get(path) {
            Some(function) => Target::Function(function.kind()),
            None if self.has_module_of(path) => Target::NoFunction,
            None => Target::NoModule,
        }
    }
}

/// Why nothing was scheduled or canceled. Functions may catch it.
#[derive(Clone, Debug)]
pub enum ScheduleError {
    /// It cannot be done, in words for the developer.
    Refused(String),
    /// The transaction did not take it.
    Database(DatabaseError),
}

type Result<T, E = ScheduleError> = std::result::Result<T, E>;

impl From<DatabaseError> for ScheduleError {
    fn from(error: DatabaseError) -> ScheduleError {
        ScheduleError::Database(error)
    }
}

impl From<ScheduleError> for Error {
    fn from(error: ScheduleError) -> Error {
        match error {
            ScheduleError::Refused(text) => Error::plain(text),
            ScheduleError::Database(error) => Error::from(error),
        }
    }
}

/// Schedules a function, as a write of `tx`: it is scheduled if the transaction commits.
pub fn schedule(tx: &mut Transaction<'_>, job: ToSchedule) -> Result<DocumentId> {
    check_target(Registry::of(tx.definitions()).target(&job.path), &job.path)?;
    let now_ms = milliseconds(tx.now());
    let scheduled_ms = check_time(job.at_seconds, now_ms)?;
    if job.args.len() > 1 {
        return Err(ScheduleError::Refused(format!(
            "Invalid arguments for {}: a function takes one object",
            job.path
        )));
    }
    let size = job.args.iter().map(Value::size).sum();
    tx.count_scheduled(size).map_err(DatabaseError::from)?;
    if size > ARGS_BYTES_LARGE {
        tracing::warn!(path = %job.path, bytes = size, "a function is scheduled with large arguments");
    }
    let is_canceled = by_canceled(tx, job.by)?;
    let mut fields = object! {
        "name" => job.path.canonical(),
        "args" => Value::Array(job.args),
        "scheduledTime" => scheduled_ms,
        "state" => JobState::Pending.to_value(),
    };
    set_component(&mut fields, COMPONENT, job.path.component());
    set_component(&mut fields, OWNER, &job.owner);
    let fields = Value::Object(fields);
    check_value(&fields).map_err(|error| {
        ScheduleError::Refused(format!("Invalid arguments for {}: {error}", job.path))
    })?;
    let fields = fields.into_object().expect("it was made an object above");
    let id = tx.uncharged(|tx| tx.insert(SCHEDULED_FUNCTIONS, fields))?;
    if is_canceled {
        // A write of its own: the jobs room tells documents that come from those that go by the states between.
        set_state(tx, id, &JobState::Canceled)?;
    }
    Ok(id)
}

/// The error of a mutation that cancels itself.
pub const CANCELS_ITSELF: &str = "A mutation cannot cancel itself";

/// The outcome of canceling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancellation {
    /// It will not run, or what it schedules from now on will not.
    Canceled,
    /// There was nothing to cancel: it has ended, or there is none.
    Nothing,
    /// A mutation cannot cancel itself; it goes on.
    Itself,
}

/// Cancels a scheduled function of `owner`, as a write of `tx`. `by` is the scheduled function on whose behalf that is done.
pub fn cancel(
    tx: &mut Transaction<'_>,
    id: DocumentId,
    by: Option<DocumentId>,
    owner: &ComponentPath,
) -> Result<Cancellation> {
    let catalog = tx.catalog();
    let table = catalog.table(SCHEDULED_FUNCTIONS);
    if table.is_none_or(|table| table.number != id.table()) {
        return Err(ScheduleError::Refused(
            "Invalid scheduled function ID. The ID must be an ID on the '_scheduled_functions' table.".into(),
        ));
    }
    let found = ScheduledFunction::find(tx, id)?;
    match found.filter(|job| job.owner == *owner) {
        // Only a mutation that looks at its own document sees itself in progress; an action may well cancel itself.
        Some(job) if by == Some(id) && is_mutation(tx, &job) => Ok(Cancellation::Itself),
        Some(job) if !job.state.is_final() => {
            set_state(tx, id, &JobState::Canceled)?;
            Ok(Cancellation::Canceled)
        }
        Some(_) | None => Ok(Cancellation::Nothing),
    }
}

fn is_mutation(tx: &Transaction<'_>, job: &ScheduledFunction) -> bool {
    let target = Registry::of(tx.definitions()).target(&job.path);
    target == Target::Function(FunctionKind::Mutation)
}

/// Writes the state of a scheduled function, and when it ended if it did.
pub fn set_state(
    tx: &mut Transaction<'_>,
    id: DocumentId,
    state: &JobState,
) -> Result<(), DatabaseError> {
    let patch = Patch::default().set("state", state.to_value());
    let patch = match state.is_final() {
        true => patch.set("completedTime", milliseconds(tx.now())),
        false => patch.unset("completedTime"),
    };
    tx.uncharged(|tx| tx.patch(id, patch))
}

fn check_target(target: Target, path: &FunctionPath) -> Result<()> {
    let (file, name) = (path.module_file(), path.function());
    // To apps the server's own functions do not exist.
    let target = match path.is_system() {
        true => Target::NoModule,
        false => target,
    };
    match target {
        Target::Function(FunctionKind::Mutation | FunctionKind::Action) => Ok(()),
        Target::Function(kind) => Err(unsupported(path, kind)),
        Target::NoFunction => Err(ScheduleError::Refused(format!(
            "Attempted to schedule function, but no exported function {name} found in the file: {file}. \
             Did you forget to export it?"
        ))),
        Target::NoModule => Err(ScheduleError::Refused(format!(
            "Attempted to schedule function at nonexistent path: {}",
            path.canonical()
        ))),
    }
}

/// The error of a function that cannot be scheduled for its kind.
pub fn unsupported(path: &FunctionPath, kind: FunctionKind) -> ScheduleError {
    ScheduleError::Refused(format!(
        "Unsupported function type. {} is defined as a {}. Only Mutation and Action can be scheduled.",
        path.canonical(),
        kind.name()
    ))
}

/// The time in milliseconds, if it is not too far away.
fn check_time(at_seconds: f64, now_ms: f64) -> Result<f64> {
    let distance = at_seconds - now_ms / 1_000.0;
    if !distance.is_finite() {
        return Err(ScheduleError::Refused(format!(
            "{at_seconds} is not a time at which a function can run"
        )));
    }
    if distance.abs() > SCHEDULE_DISTANCE_SECONDS_MAX {
        let direction = if distance > 0.0 { "future" } else { "past" };
        return Err(ScheduleError::Refused(format!(
            "{at_seconds} is more than 5 years in the {direction}"
        )));
    }
    Ok(milliseconds_of(at_seconds))
}

/// The milliseconds that were turned into these seconds. Both are rounded, so a neighbour may be meant.
fn milliseconds_of(at_seconds: f64) -> f64 {
    let near = at_seconds * 1_000.0;
    let meant = [near.round(), near, near.next_up(), near.next_down()];
    let mut meant = meant.into_iter();
    let meant = meant.find(|ms| ms / 1_000.0 == at_seconds);
    meant.unwrap_or(near)
}

fn by_canceled(tx: &mut Transaction<'_>, by: Option<DocumentId>) -> Result<bool> {
    let Some(by) = by else {
        return Ok(false);
    };
    let by = ScheduledFunction::find(tx, by)?;
    Ok(by.is_some_and(|by| by.state == JobState::Canceled))
}

/// A moment as documents hold it.
pub fn milliseconds(moment: crate::clock::UnixNanos) -> f64 {
    moment.0 as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_survive_being_turned_into_seconds() {
        for n in 0..200_000_u32 {
            let whole = 1_796_060_511_706.0 + f64::from(n);
            assert_eq!(milliseconds_of(whole / 1_000.0), whole);
            let part = whole + 0.5;
            assert_eq!(milliseconds_of(part / 1_000.0), part);
        }
        for ms in [0.0, 1.0, -1.5, 1e15] {
            assert_eq!(milliseconds_of(ms / 1_000.0), ms);
        }
    }
}
