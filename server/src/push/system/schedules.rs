//! Looking at scheduled functions and crons.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value as Json;
use vestibule_schema::object;
use vestibule_schema::path::{ComponentPath, FunctionPath};
use vestibule_schema::value::{Object, Value};

use super::data::page_value;
use super::pages::{PAGE_ROWS_MAX, bounded};
use super::query;
use super::reach::id_in;
use crate::database::{
    Bound, BoundKind, Comparison, Expression, Operator, Order, PaginationOptions, Query,
    RawDocument, Source,
};
use crate::functions::scheduled::{COMPONENT, SCHEDULED_FUNCTIONS, scheduled_by};
use crate::functions::{Error, Function, QueryCtx, Result};
use crate::jobs::crons::{CRON_RUNS, CRONS, CronJob};

/// Arguments beyond which a list has the id of a job alone, in bytes.
const ARGS_SHOWN_BYTES_MAX: usize = 65_536;
/// Runs of crons in one list.
const CRON_RUNS_MAX: usize = 5_000;
const NANOS_PER_MILLI: f64 = 1_000_000.0;

pub fn functions() -> Vec<Function> {
    vec![
        query("_system/frontend/paginatedScheduledJobs:default", jobs),
        query("_system/frontend/scheduler:getArgs", args_of),
        query("_system/frontend/listCronJobs:default", crons),
        query("_system/frontend/listCronJobRuns:default", cron_runs),
    ]
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Jobs {
    pagination_opts: PaginationOptions,
    #[serde(default)]
    udf_path: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArgsOf {
    args_id: Value,
}

/// The scheduled functions that have not ended: those under way, then those that wait, by their time.
fn jobs(ctx: &mut QueryCtx<'_>, args: Jobs) -> Result<Value> {
    let wanted = args.udf_path.map(|path| {
        let path: Result<FunctionPath, _> = path.parse();
        path.map_err(|error| Error::plain(error.to_string()))
    });
    let own = scheduled_by(ctx.component());
    let of_function = wanted.transpose()?.map(|path| {
        let name = Expression::field("name".parse().expect("it is a field's name"));
        let path = Expression::Literal(Some(path.canonical().into()));
        Operator::Filter(Expression::compare(Comparison::Equal, name, path))
    });
    // These two states are neighbours in the index.
    let bound = |kind, state: &str| Bound {
        kind,
        field: "state.kind".into(),
        value: Some(state.into()),
    };
    let query = Query {
        table: SCHEDULED_FUNCTIONS.into(),
        source: Source::IndexRange {
            index: "by_state_and_time".into(),
            bounds: vec![
                bound(BoundKind::Gte, "inProgress"),
                bound(BoundKind::Lte, "pending"),
            ],
        },
        order: Order::Asc,
        operators: of_function.into_iter().chain([own]).collect(),
    };
    let options = bounded(args.pagination_opts, PAGE_ROWS_MAX);
    let page = ctx.db().paginate(&query, &options)?;
    page_value(page, |document| Ok(Value::Object(job(document))))
}

fn job(document: RawDocument) -> Object {
    let fields = &document.fields;
    let args = args_bytes(fields);
    let is_shown = args.len() <= ARGS_SHOWN_BYTES_MAX;
    let (id, args) = match is_shown {
        true => (Value::Null, Value::Bytes(args)),
        false => (document.id.to_string().into(), Value::Null),
    };
    object! {
        "_id" => document.id.to_string(),
        "_creationTime" => field(fields, "_creationTime"),
        "nextTs" => nanos(fields.get("scheduledTime").and_then(Value::as_f64)),
        "udfPath" => field(fields, "name"),
        "component" => fields.get(COMPONENT).cloned().unwrap_or_else(|| "".into()),
        "state" => Value::Object(object! { "type" => kind_of(fields) }),
        "argsId" => id,
        "udfArgs" => args,
    }
}

/// The arguments of one scheduled function.
fn args_of(ctx: &mut QueryCtx<'_>, args: ArgsOf) -> Result<Value> {
    let tx = ctx.db().transaction();
    let catalog = tx.catalog();
    let table = catalog.table(SCHEDULED_FUNCTIONS).map(|table| table.number);
    let id = id_in(&args.args_id).filter(|id| Some(id.table()) == table);
    let document = id.map(|id| tx.get(id)).transpose()?.flatten();
    Ok(document.map_or(Value::Null, |document| {
        Value::Object(object! {
            "_id" => document.id.to_string(),
            "_creationTime" => field(&document.fields, "_creationTime"),
            "args" => Value::Bytes(args_bytes(&document.fields)),
        })
    }))
}

/// All crons by their names, each with its last run and its next one.
fn crons(ctx: &mut QueryCtx<'_>, _: Value) -> Result<Value> {
    let component = ctx.component().clone();
    let tx = ctx.db().transaction();
    let documents = tx.collect(&of(&component, by_name(CRONS, None, Order::Asc)))?;
    let mut shown = Vec::with_capacity(documents.len());
    for document in documents {
        let created = field(&document.fields, "_creationTime");
        let state = kind_of(&document.fields);
        let args = args_bytes(&document.fields);
        let Some(cron) = CronJob::read(document) else {
            continue;
        };
        let runs = of(
            &component,
            by_name(CRON_RUNS, Some(&cron.name), Order::Desc),
        );
        let last_run = tx.take(&runs, 1)?.pop().map(run);
        let millis = |ms: u64| nanos(Some(ms as f64));
        shown.push(Value::Object(object! {
            "_id" => cron.id.to_string(),
            "_creationTime" => created.clone(),
            "name" => cron.name,
            "cronSpec" => Value::Object(object! {
                "udfPath" => cron.function.canonical(),
                "udfArgs" => Value::Bytes(args),
                "cronSchedule" => integers(&cron.schedule.to_json()),
            }),
            "lastRun" => last_run.map_or(Value::Null, Value::Object),
            "nextRun" => Value::Object(object! {
                "_id" => cron.id.to_string(),
                "_creationTime" => created,
                "cronJobId" => cron.id.to_string(),
                "state" => Value::Object(object! { "type" => state }),
                "prevTs" => cron.last_ms.map_or(Value::Null, millis),
                "nextTs" => millis(cron.next_ms),
            }),
        }));
    }
    Ok(Value::Array(shown))
}

/// The runs that are kept of all crons, the newest of each first.
fn cron_runs(ctx: &mut QueryCtx<'_>, _: Value) -> Result<Value> {
    let component = ctx.component().clone();
    let tx = ctx.db().transaction();
    let runs = of(&component, by_name(CRON_RUNS, None, Order::Desc));
    let runs = tx.take(&runs, CRON_RUNS_MAX)?;
    let runs = runs.into_iter().map(|found| Value::Object(run(found)));
    Ok(Value::Array(runs.collect()))
}

fn run(document: RawDocument) -> Object {
    let fields = &document.fields;
    object! {
        "_id" => document.id.to_string(),
        "_creationTime" => field(fields, "_creationTime"),
        "name" => field(fields, "name"),
        "ts" => nanos(fields.get("ts").and_then(Value::as_f64)),
        "udfPath" => field(fields, "function"),
        "udfArgs" => Value::Bytes(args_bytes(fields)),
        "status" => field(fields, "status"),
        "logLines" => Value::Object(object! {
            "logLines" => field(fields, "logLines"),
            "isTruncated" => field(fields, "isTruncated"),
        }),
        "executionTime" => field(fields, "executionTime"),
    }
}

/// The query, of the crons of a component alone.
fn of(component: &ComponentPath, mut query: Query) -> Query {
    let path = Some(component).filter(|component| !component.is_root());
    query.operators.push(Operator::Filter(Expression::compare(
        Comparison::Equal,
        Expression::field(COMPONENT.parse().expect("it is an identifier")),
        Expression::Literal(path.map(|path| path.as_str().into())),
    )));
    query
}

fn by_name(table: &'static str, name: Option<&str>, order: Order) -> Query {
    let bound = name.map(|name| Bound {
        kind: BoundKind::Eq,
        field: "name".into(),
        value: Some(name.into()),
    });
    Query {
        table: Cow::Borrowed(table),
        source: Source::IndexRange {
            index: "by_name".into(),
            bounds: bound.into_iter().collect(),
        },
        order,
        operators: Vec::new(),
    }
}

fn field(fields: &Object, name: &str) -> Value {
    fields.get(name).cloned().unwrap_or(Value::Null)
}

fn kind_of(fields: &Object) -> Value {
    let state = fields.get("state").and_then(Value::as_object);
    state.map_or(Value::Null, |state| field(state, "kind"))
}

/// The list of arguments as JSON text.
fn args_bytes(fields: &Object) -> Vec<u8> {
    let args = fields.get("args").map(Value::to_json);
    let args = args.unwrap_or_else(|| Json::Array(Vec::new()));
    args.to_string().into_bytes()
}

/// Nanoseconds since 1970. A moment too far away is the last one.
fn nanos(millis: Option<f64>) -> Value {
    millis.map_or(Value::Null, |millis| {
        Value::Int64((millis * NANOS_PER_MILLI) as i64)
    })
}

/// A schedule as it is stored: its numbers are integers.
fn integers(json: &Json) -> Value {
    match json {
        Json::Object(fields) => {
            let fields = fields.iter();
            Value::Object(
                fields
                    .map(|(name, json)| (name.clone(), integers(json)))
                    .collect(),
            )
        }
        Json::Number(number) => Value::Int64(number.as_i64().unwrap_or_default()),
        Json::String(text) => text.as_str().into(),
        Json::Null | Json::Bool(_) | Json::Array(_) => Value::Null,
    }
}
