//! The routes that read at one timestamp: several queries that must agree with each other.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use hashlink::LruCache;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use vestibule_schema::identity::IdentityKey;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::{FunctionPath, JsonFormat};

use super::Http;
use super::around::Asked;
use super::calls::suspended;
use super::credentials::Admitted;
use super::prepared::{Prepared, prepare};
use super::respond::{self, NoCaller, WireError, Writing, json};
use crate::auth::IdentityAccess;
use crate::database::{LeaseError, SnapshotLeases};
use crate::functions::{
    Call, CallSource, FunctionOutcome, QueryOutcome, QueryRun, RequestMetadata, SystemError, Thrown,
};
use crate::storage::ReadView;

/// Queries of one batch.
pub const BATCH_QUERIES_MAX: usize = 1_000;
/// The number of users remembered who asked at a timestamp from before they existed. A timestamp can be read at for
/// seconds.
const MOVED_MAX: usize = 4_096;

#[derive(Deserialize)]
struct QueryAtBody<'b> {
    path: String,
    #[serde(borrow)]
    args: &'b RawValue,
    #[serde(default)]
    format: Option<String>,
    ts: Timestamp,
}

#[derive(Deserialize)]
struct BatchBody<'b> {
    #[serde(borrow)]
    queries: Vec<BatchQuery<'b>>,
}

#[derive(Deserialize)]
struct BatchQuery<'b> {
    path: String,
    #[serde(borrow)]
    args: &'b RawValue,
    #[serde(default)]
    format: Option<String>,
}

/// `POST /api/query_ts`: the newest timestamp, readable for a while.
pub(super) async fn query_ts(State(http): State<Arc<Http>>) -> Result<Response, WireError> {
    let _slot = http.slot()?;
    let database = http.functions.database().clone();
    // Taking a snapshot may wait for the file, so it is a reader's work.
    let taken = http
        .functions
        .database()
        .readers()
        .run(move |_| database.leases().take())
        .await;
    let ts = taken
        .map_err(|error| respond::system(&error.into()))?
        .map_err(|error| respond::lease(&error))?;
    Ok(json(
        StatusCode::OK,
        serde_json::json!({ "ts": ts }).to_string(),
    ))
}

/// `POST /api/query_at_ts`: a query at a timestamp that `query_ts` gave.
pub(super) async fn query_at_ts(
    State(http): State<Arc<Http>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Result<Response, WireError> {
    let (parts, verified, body) = http.read_call(request).await?;
    let (prepared, ts) = {
        let query: QueryAtBody<'_> = body.json()?;
        let default = asked.client.default_format();
        (
            prepare(&query.path, query.args, query.format.as_deref(), default)?,
            query.ts,
        )
    };
    let slot = http.slot()?;
    let Prepared { path, args, format } = prepared;
    let writing = http.writing(&asked, format);
    let args = match args {
        Ok(args) => args,
        Err(thrown) => return Ok(writing.answer(&FunctionOutcome::Threw(thrown), &[])),
    };
    let calls = || vec![path.to_string()];
    let admitted = match http.admit(verified, slot, calls).await {
        Ok(admitted) => admitted,
        Err(NoCaller::NotProvisioned(thrown)) => {
            return Ok(writing.answer(&FunctionOutcome::Threw(thrown), &[]));
        }
        Err(NoCaller::Refused(error)) => return Err(error),
    };
    let call = Call {
        path,
        args,
        caller: admitted.caller,
        source: CallSource::Request(http.metadata(&asked, &parts), admitted.call),
    };
    let run = match http.query_at(ts, &call).await? {
        Some(run) => run,
        None => {
            let ts = http.moved(ts, &call).await?;
            let run = http.query_at(ts, &call).await?;
            run.ok_or_else(respond::before_provisioning)?
        }
    };
    answer(&run, writing)
}

/// `POST /api/query_batch`: several queries on one snapshot.
pub(super) async fn query_batch(
    State(http): State<Arc<Http>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Result<Response, WireError> {
    let (parts, verified, body) = http.read_call(request).await?;
    let prepared = {
        let batch: BatchBody<'_> = body.json()?;
        if batch.queries.len() > BATCH_QUERIES_MAX {
            return Err(WireError::bad_body(format!(
                "A batch has at most {BATCH_QUERIES_MAX} queries."
            )));
        }
        let default = asked.client.default_format();
        let prepared = |query: &BatchQuery<'_>| {
            prepare(&query.path, query.args, query.format.as_deref(), default)
        };
        batch
            .queries
            .iter()
            .map(prepared)
            .collect::<Result<Vec<_>, _>>()?
    };
    let slot = http.slot()?;
    let paths = prepared.iter().map(|query| query.path.to_string());
    let calls = || paths.clone().collect();
    let admitted = match http.admit(verified, slot, calls).await {
        Ok(admitted) => admitted,
        Err(NoCaller::NotProvisioned(thrown)) => {
            let refused = FunctionOutcome::Threw(thrown);
            let refused = |prepared: &Prepared| (prepared.format, refused.clone(), Vec::new());
            return Ok(http.answer_batch(&asked, prepared.iter().map(refused)));
        }
        Err(NoCaller::Refused(error)) => return Err(error),
    };
    let request = http.metadata(&asked, &parts);
    let answers = http.query_all(prepared, &admitted, request).await?;
    Ok(http.answer_batch(&asked, answers))
}

/// Timestamps that were older than the user who asked at them, with the timestamps of the answers.
pub(super) struct Moved(Mutex<LruCache<(Timestamp, IdentityKey), Timestamp>>);

impl Default for Moved {
    fn default() -> Moved {
        Moved(Mutex::new(LruCache::new(MOVED_MAX)))
    }
}

impl Moved {
    /// One lock for looking and taking: a client that asks several things at once is answered at one moment.
    fn find_or_take(
        &self,
        ts: Timestamp,
        identity: IdentityKey,
        leases: &SnapshotLeases,
    ) -> Result<Timestamp, LeaseError> {
        let mut moved = self.0.lock();
        if let Some(moved) = moved.get(&(ts, identity.clone())) {
            return Ok(*moved);
        }
        let taken = leases.take()?;
        moved.insert((ts, identity), taken);
        Ok(taken)
    }
}

type BatchAnswer = (JsonFormat, FunctionOutcome, Vec<String>);

impl Http {
    /// Runs a query at an older timestamp. `None` where its caller was not provisioned by then.
    async fn query_at(&self, ts: Timestamp, call: &Call) -> Result<Option<QueryRun>, WireError> {
        let (functions, gate, call) = (self.functions.clone(), self.gate.clone(), call.clone());
        let path = call.path.clone();
        let reading = move |_: &dyn ReadView| {
            let snapshot = match functions.database().leases().find(ts) {
                Ok(snapshot) => snapshot,
                Err(error) => return Ok(Err(error)),
            };
            let snapshot = snapshot.lock();
            // Later than was asked for where many timestamps were given out.
            let ts = ReadView::ts(&*snapshot);
            let was_provisioned = match (call.caller.proof(), call.caller.identity()) {
                (Some(proof), IdentityAccess::Known(Some(identity)))
                    if proof.committed_at() > ts =>
                {
                    gate.was_provisioned_on(&*snapshot, identity)
                }
                _ => Ok(true),
            };
            match was_provisioned? {
                true => functions
                    .query_on(&*snapshot, &call, None)
                    .map(|run| Ok(Some(run))),
                false => Ok(Ok(None)),
            }
        };
        let run = self.functions.read_calling([&path], reading).await;
        run.map_err(|error| respond::system(&error))?
            .map_err(|error: LeaseError| respond::lease(&error))
    }

    /// The timestamp at which a caller who is younger than the requested timestamp reads instead. It is one moment past
    /// their provisioning, the same for all their requests at that timestamp. The client was promised one timestamp for
    /// its queries, none older than it asked for. It asked before its user existed, since asking for a timestamp makes
    /// no user.
    async fn moved(&self, ts: Timestamp, call: &Call) -> Result<Timestamp, WireError> {
        let Some(identity) = call.caller.identity_key() else {
            return Err(respond::before_provisioning());
        };
        let (functions, moved) = (self.functions.clone(), self.moved.clone());
        let taking = move |_: &_| moved.find_or_take(ts, identity, functions.database().leases());
        let taken = self.functions.database().readers().run(taking).await;
        taken
            .map_err(|error| respond::system(&error.into()))?
            .map_err(|error| respond::lease(&error))
    }

    /// Runs queries one after another on one snapshot.
    async fn query_all(
        &self,
        batch: Vec<Prepared>,
        admitted: &Admitted,
        request: Arc<RequestMetadata>,
    ) -> Result<Vec<BatchAnswer>, WireError> {
        let functions = self.functions.clone();
        let caller = admitted.caller.clone();
        let source = CallSource::Request(request, admitted.call);
        let paths: Vec<FunctionPath> = batch.iter().map(|query| query.path.clone()).collect();
        let runs = self.functions.read_calling(&paths, move |view| {
            let run = |Prepared { path, args, format }| {
                let args = match args {
                    Ok(args) => args,
                    Err(thrown) => return Ok((format, Err(thrown))),
                };
                let call = Call {
                    path,
                    args,
                    caller: caller.clone(),
                    source: source.clone(),
                };
                Ok((format, Ok(functions.query_on(view, &call, None)?)))
            };
            batch
                .into_iter()
                .map(run)
                .collect::<Result<Vec<_>, SystemError>>()
        });
        let answer = |(format, run): (JsonFormat, Result<QueryRun, Thrown>)| match run {
            Err(thrown) => Ok((format, FunctionOutcome::Threw(thrown), Vec::new())),
            Ok(run) => match run.outcome {
                QueryOutcome::Done(outcome) => Ok((format, outcome, run.log_lines)),
                QueryOutcome::Suspended => Err(suspended()),
            },
        };
        runs.await
            .map_err(|error| respond::system(&error))?
            .into_iter()
            .map(answer)
            .collect()
    }

    fn answer_batch(
        &self,
        asked: &Asked,
        answers: impl IntoIterator<Item = BatchAnswer>,
    ) -> Response {
        let mut body = String::from(r#"{"results":["#);
        for (position, (format, outcome, log_lines)) in answers.into_iter().enumerate() {
            if position > 0 {
                body.push(',');
            }
            self.writing(asked, format)
                .write(&outcome, &log_lines, &mut body);
        }
        body.push_str("]}");
        json(StatusCode::OK, body)
    }
}

fn answer(run: &QueryRun, writing: Writing<'_>) -> Result<Response, WireError> {
    match &run.outcome {
        QueryOutcome::Done(outcome) => Ok(writing.answer(outcome, &run.log_lines)),
        QueryOutcome::Suspended => Err(suspended()),
    }
}
