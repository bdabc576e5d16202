//! The routes that run one function.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::OwnedSemaphorePermit;
use vestibule_schema::{FunctionPath, JsonFormat};

use super::Http;
use super::around::Asked;
use super::body::ReadBody;
use super::credentials::Admitted;
use super::path_text::PathText;
use super::prepared::{Prepared, bad_identifier, prepare, read_args, read_format, read_path};
use super::respond::{self, NoCaller, WireError, Writing};
use crate::auth::Verified;
use crate::functions::{
    Call, CallSource, Error, FunctionKind, FunctionOutcome, SystemError, quoted,
};
use crate::subscriptions::QueryResult;

type Answer = Result<Response, WireError>;

/// The kind of function that a route runs.
#[derive(Clone, Copy)]
enum Wanted {
    One(FunctionKind),
    /// Any kind that the path names.
    Any,
}

/// The body of a route that runs a function. Unknown fields are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallBody<'b> {
    path: String,
    #[serde(borrow)]
    args: &'b RawValue,
    #[serde(default)]
    format: Option<String>,
    /// Looked at by `/api/function` alone.
    #[serde(default)]
    component_path: Option<String>,
}

/// The body of `/api/run`, whose path stands in the address.
#[derive(Deserialize)]
struct RunBody<'b> {
    #[serde(borrow)]
    args: &'b RawValue,
    #[serde(default)]
    format: Option<String>,
}

/// The query string of a query without a body.
#[derive(Deserialize)]
pub(super) struct QueryString {
    path: String,
    /// JSON text.
    args: String,
    #[serde(default)]
    format: Option<String>,
}

/// `POST /api/query`
pub(super) async fn query(
    State(http): State<Arc<Http>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Answer {
    http.run_posted(asked, request, FunctionKind::Query).await
}

/// `POST /api/mutation`
pub(super) async fn mutation(
    State(http): State<Arc<Http>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Answer {
    http.run_posted(asked, request, FunctionKind::Mutation)
        .await
}

/// `POST /api/action`
pub(super) async fn action(
    State(http): State<Arc<Http>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Answer {
    http.run_posted(asked, request, FunctionKind::Action).await
}

/// `GET /api/query`
pub(super) async fn query_by_address(
    State(http): State<Arc<Http>>,
    Extension(asked): Extension<Asked>,
    query: Result<Query<QueryString>, QueryRejection>,
    request: Request,
) -> Answer {
    let bad_query = |why: String| WireError::bad_request("BadQueryArgs", why);
    let Query(query) = query.map_err(|rejection| bad_query(rejection.body_text()))?;
    let (parts, _) = request.into_parts();
    let verified = http.verify(&parts).await?;
    let path = read_path(&query.path)?;
    let args: &RawValue = serde_json::from_str(&query.args)
        .map_err(|error| bad_query(format!("The arguments are no JSON: {error}.")))?;
    let prepared = Prepared {
        args: read_args(&path, args.get()),
        path,
        format: read_format(query.format.as_deref(), asked.client.default_format())?,
    };
    let wanted = Wanted::One(FunctionKind::Query);
    http.run(&asked, &parts, verified, prepared, wanted).await
}

/// `POST /api/function`: for administrators, any kind.
pub(super) async fn function(
    State(http): State<Arc<Http>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let admin = http.verify_admin(&parts).await?;
    let body = http.read_json(&parts.headers, body).await?;
    let prepared = {
        let call: CallBody<'_> = body.json()?;
        let component = http.component_named(call.component_path.as_deref())?;
        let prepared = prepare(
            &call.path,
            call.args,
            call.format.as_deref(),
            asked.client.default_format(),
        )?;
        Prepared {
            path: prepared.path.in_component(component),
            ..prepared
        }
    };
    let verified = Verified::Admin(admin);
    http.run(&asked, &parts, verified, prepared, Wanted::Any)
        .await
}

/// `POST /api/run/{path…}`: any kind, `a/b/fn` for `a/b:fn`.
pub(super) async fn run(
    State(http): State<Arc<Http>>,
    Extension(asked): Extension<Asked>,
    PathText(path): PathText,
    request: Request,
) -> Answer {
    let Some((module, function)) = path.rsplit_once('/') else {
        return Err(missing_identifier());
    };
    let path =
        FunctionPath::new(module, function).map_err(|error| bad_identifier(error.to_string()))?;
    let (parts, verified, body) = http.read_call(request).await?;
    let prepared = {
        let call: RunBody<'_> = body.json()?;
        Prepared {
            args: read_args(&path, call.args.get()),
            path,
            format: read_format(call.format.as_deref(), JsonFormat::Clean)?,
        }
    };
    http.run(&asked, &parts, verified, prepared, Wanted::Any)
        .await
}

/// `POST /api/run/`: no function is named.
pub(super) async fn run_nothing() -> WireError {
    missing_identifier()
}

fn missing_identifier() -> WireError {
    let message = "The address must name a module and a function, as in /api/run/messages/list.";
    WireError::bad_request("MissingIdentifier", message)
}

impl Http {
    /// The parts that every route with a body needs: the caller, and the body.
    pub(super) async fn read_call(
        &self,
        request: Request,
    ) -> Result<(Parts, Verified, ReadBody), WireError> {
        let (parts, body) = request.into_parts();
        let verified = self.verify(&parts).await?;
        let body = self.read_json(&parts.headers, body).await?;
        Ok((parts, verified, body))
    }

    async fn run_posted(&self, asked: Asked, request: Request, kind: FunctionKind) -> Answer {
        let (parts, verified, body) = self.read_call(request).await?;
        let prepared = {
            let call: CallBody<'_> = body.json()?;
            prepare(
                &call.path,
                call.args,
                call.format.as_deref(),
                asked.client.default_format(),
            )?
        };
        self.run(&asked, &parts, verified, prepared, Wanted::One(kind))
            .await
    }

    /// Lets the caller in and runs their function.
    async fn run(
        &self,
        asked: &Asked,
        parts: &Parts,
        verified: Verified,
        prepared: Prepared,
        wanted: Wanted,
    ) -> Answer {
        let slot = self.slot()?;
        let Prepared { path, args, format } = prepared;
        let mut writing = self.writing(asked, format);
        let args = match args {
            Ok(args) => args,
            Err(thrown) => return Ok(writing.answer(&FunctionOutcome::Threw(thrown), &[])),
        };
        let calls = || vec![path.to_string()];
        let Admitted { caller, slot, call } = match self.admit(verified, slot, calls).await {
            Ok(admitted) => admitted,
            Err(NoCaller::NotProvisioned(thrown)) => {
                return Ok(writing.answer(&FunctionOutcome::Threw(thrown), &[]));
            }
            Err(NoCaller::Refused(error)) => return Err(error),
        };
        writing.redact &= !caller.is_admin();
        let call = Call {
            path,
            args,
            caller,
            source: CallSource::Request(self.metadata(asked, parts), call),
        };
        let kind = match wanted {
            Wanted::One(kind) => kind,
            Wanted::Any => match self.kind_of(&call) {
                Ok(kind) => kind,
                Err(error) => {
                    return Ok(writing.answer(&FunctionOutcome::Threw(error.into_thrown()), &[]));
                }
            },
        };
        if kind != FunctionKind::Query && !call.caller.may_write() {
            return Err(respond::read_only());
        }
        self.execute(kind, call, slot, writing).await
    }

    /// The kind of the function that `call` names, which decides where it runs. It is looked up again there, as of the
    /// state that it runs on.
    fn kind_of(&self, call: &Call) -> Result<FunctionKind, Error> {
        let registry = self.functions.registry();
        let found = registry.find_any(call);
        found.map(|function| function.kind()).map_err(|error| {
            let is_missing = registry.get(&call.path).is_none();
            match is_missing && call.caller.may_call_internal() {
                // Tools look for these words.
                true => Error::plain(format!(
                    "Could not find function for {}. Did you forget to run `npx convex dev`?",
                    quoted(&call.path)
                )),
                false => error,
            }
        })
    }

    async fn execute(
        &self,
        kind: FunctionKind,
        call: Call,
        slot: OwnedSemaphorePermit,
        writing: Writing<'_>,
    ) -> Answer {
        match kind {
            FunctionKind::Query => {
                let (result, _) = self
                    .live
                    .query(call)
                    .await
                    .map_err(|error| respond::system(&error))?;
                Ok(writing.answer(finished(&result)?, &result.log_lines))
            }
            FunctionKind::Mutation => {
                let run = self
                    .functions
                    .mutate(call)
                    .await
                    .map_err(|error| respond::system(&error))?;
                Ok(writing.answer(&run.outcome, &run.log_lines))
            }
            FunctionKind::Action => self.act(call, slot, writing).await,
        }
    }

    /// Runs an action in a task of its own. An action that has begun goes on when its caller leaves: its effects so far
    /// could not be told.
    async fn act(&self, call: Call, slot: OwnedSemaphorePermit, writing: Writing<'_>) -> Answer {
        let functions = self.functions.clone();
        let acting = async move {
            let _slot = slot;
            functions.act(call).await
        };
        match self.spawn(acting).await {
            Ok(Some(Ok(run))) => Ok(writing.answer(&run.outcome, &run.log_lines)),
            Ok(Some(Err(error))) => Err(respond::system(&error)),
            Ok(None) => Err(respond::system(&SystemError::ShuttingDown)),
            Err(error) => {
                tracing::error!(%error, "the task of an action failed");
                Err(WireError::internal())
            }
        }
    }

    /// A turn among the function requests that may run at the same time.
    pub(super) fn slot(&self) -> Result<OwnedSemaphorePermit, WireError> {
        self.slots
            .clone()
            .try_acquire_owned()
            .map_err(|_| WireError::too_many_requests())
    }

    pub(super) fn writing<'a>(&self, asked: &'a Asked, format: JsonFormat) -> Writing<'a> {
        Writing {
            format,
            request_id: &asked.request_id,
            redact: self.connections.redacts(),
        }
    }
}

/// The outcome of a query whose caller has passed the gate, so that it cannot be suspended.
fn finished(result: &QueryResult) -> Result<&FunctionOutcome, WireError> {
    result.done().ok_or_else(suspended)
}

pub(super) fn suspended() -> WireError {
    tracing::error!("a query was suspended behind the gate");
    WireError::internal()
}
