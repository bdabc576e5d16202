//! Calling scheduled functions off, and taking tables away.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value as Json, json as object};
use vestibule_schema::path::{ComponentPath, FunctionPath};

use crate::functions::SystemError;
use crate::http::Http;
use crate::http::respond::{self, WireError, json};
use crate::jobs::{CancelAll, JobsAdminError};
use crate::push::{PushError, Pushes};

type Answer = Result<Response, WireError>;

/// Tables of one request.
const TABLES_DELETED_MAX: usize = 10_000;
const NANOS_PER_MILLI: f64 = 1_000_000.0;

/// A part of an app: the app itself, or a component. The id of a component is its path.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    #[serde(default)]
    component_id: Option<String>,
    #[serde(default)]
    component_path: Option<String>,
}

#[derive(Deserialize)]
struct CancelJob {
    id: String,
    #[serde(flatten)]
    component: Component,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CancelJobs {
    #[serde(default)]
    udf_path: Option<String>,
    /// Nanoseconds since 1970; a number, or one as a text.
    #[serde(default)]
    start_next_ts: Json,
    #[serde(default)]
    end_next_ts: Json,
    #[serde(flatten)]
    component: Component,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeleteTables {
    table_names: Vec<String>,
    #[serde(flatten)]
    component: Component,
}

/// `POST /api/cancel_job`: one, as a function would.
pub async fn cancel_job(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let CancelJob { id, component } = http.read_push(request).await?;
    component.path(&http)?;
    let id = id.parse().map_err(|_| {
        let message = format!("{id:?} is not the id of a scheduled function.");
        WireError::bad_request(INVALID_JOB, message)
    })?;
    http.jobs.cancel_job(id).await?;
    answer(Json::Null)
}

/// `POST /api/cancel_all_jobs`: those of a function, of a span of time, or all that wait.
pub async fn cancel_all_jobs(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let asked: CancelJobs = http.read_push(request).await?;
    let component = asked.component.path(&http)?;
    let path = asked.udf_path.map(|path| {
        let found = path.parse::<FunctionPath>();
        let found = found.map(|found| found.in_component(component.clone()));
        found.map_err(|_| {
            let message = format!("{path:?} is not the path of a function, as in messages:send.");
            WireError::bad_request("InvalidFunctionPath", message)
        })
    });
    let canceled = http.jobs.cancel_all(CancelAll {
        component,
        path: path.transpose()?,
        from_ms: milliseconds(&asked.start_next_ts)?,
        until_ms: milliseconds(&asked.end_next_ts)?,
    });
    answer(object!({ "canceled": canceled.await? }))
}

/// `POST /api/delete_scheduled_functions_table`: those that wait are called off, and all are forgotten.
pub async fn delete_scheduled_functions_table(
    State(http): State<Arc<Http>>,
    request: Request,
) -> Answer {
    let component: Component = http.read_push(request).await?;
    http.jobs.clear(component.path(&http)?).await?;
    answer(Json::Null)
}

/// `POST /api/delete_tables`: tables that no schema names. They are gone with the answer; their documents are removed from
/// the disk afterwards.
pub async fn delete_tables(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let asked: DeleteTables = http.read_push(request).await?;
    let component = asked.component.path(&http)?;
    if asked.table_names.len() > TABLES_DELETED_MAX {
        let message = format!("No more than {TABLES_DELETED_MAX} tables are deleted at once.");
        return Err(WireError::bad_body(message));
    }
    delete(&http, move |pushes| async move {
        pushes.delete_tables(component, asked.table_names).await
    })
    .await
}

/// `POST /api/delete_component`: the tables and the scheduled functions of a component that is not mounted any more.
pub async fn delete_component(State(http): State<Arc<Http>>, request: Request) -> Answer {
    let asked: Component = http.read_push(request).await?;
    let component = asked.path(&http)?;
    let of_component = component.clone();
    let deleted = delete(&http, move |pushes| async move {
        pushes.delete_component(of_component).await
    });
    let deleted = deleted.await?;
    http.jobs.clear_within(component).await?;
    Ok(deleted)
}

/// Takes tables away, and has their documents removed from the disk afterwards.
async fn delete<F, D>(http: &Arc<Http>, take_away: F) -> Answer
where
    F: FnOnce(Arc<Pushes>) -> D + Send + 'static,
    D: Future<Output = Result<(), PushError>> + Send + 'static,
{
    let deleting = http.clone();
    // A client that leaves does not keep the documents on the disk.
    let deleted = http.spawn(async move {
        take_away(deleting.pushes.clone()).await?;
        let transfers = deleting.transfers.clone();
        // If the server ends meanwhile, its next start removes the rest.
        deleting.spawn(async move {
            if let Err(error) = transfers.clear_hidden().await {
                tracing::warn!(%error, "the documents of deleted tables could not be removed");
            }
        });
        Ok::<(), PushError>(())
    });
    match deleted.await {
        Ok(Some(deleted)) => deleted?,
        Ok(None) | Err(_) => return Err(respond::system(&SystemError::ShuttingDown)),
    }
    answer(Json::Null)
}

const INVALID_JOB: &str = "InvalidScheduledFunctionId";

impl Component {
    /// The path of the part that is named: the app where none is.
    fn path(&self, http: &Http) -> Result<ComponentPath, WireError> {
        let named = self.component_id.as_deref().filter(|id| !id.is_empty());
        http.component_named(named.or(self.component_path.as_deref()))
    }
}

/// A moment that is given in nanoseconds.
fn milliseconds(nanos: &Json) -> Result<Option<f64>, WireError> {
    let number = match nanos {
        Json::Null => return Ok(None),
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.parse().ok(),
        Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
    };
    match number.filter(|number: &f64| number.is_finite()) {
        Some(number) => Ok(Some(number / NANOS_PER_MILLI)),
        None => Err(WireError::bad_body(
            "A moment is a number of nanoseconds since 1970.",
        )),
    }
}

impl From<JobsAdminError> for WireError {
    fn from(error: JobsAdminError) -> WireError {
        match &error {
            JobsAdminError::Refused(_) => WireError::bad_request(INVALID_JOB, error.to_string()),
            JobsAdminError::System(system) => respond::system(system),
        }
    }
}

fn answer(body: Json) -> Answer {
    Ok(json(StatusCode::OK, body.to_string()))
}
