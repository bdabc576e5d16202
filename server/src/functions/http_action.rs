//! HTTP actions: an app's answers at addresses of its own, as to a webhook. They have the context of actions, and the
//! request.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Functions;
use super::action::ActionCtx;
use super::error::{Error, Result, Thrown};
use super::http_routes::{RegisteredRoute, RouteBody};
use super::request::RequestMetadata;
use super::runner::{Origin, ended};
use super::scheduler::ActionScheduler;
use super::storage::StorageActions;
use super::streamed::{HttpEnd, StreamedRequest, StreamedResponse};
use crate::auth::{Caller, UserIdentity};
use crate::clock::timeout;
use crate::deployment::ModuleEnvironment;
use crate::probe::{CallOf, Event, Execution};

/// Longest body of an HTTP action's answer, in bytes.
pub const HTTP_RESPONSE_BYTES_MAX: usize = 20 << 20;
/// The kind of HTTP actions in metrics and records.
pub(super) const HTTP_ACTION: &str = "HttpAction";

/// A request as an HTTP action sees it.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// Its method. `HEAD` comes as `GET`; the answer's body is then left out.
    pub method: Method,
    /// Its path below the app's routes, as it was sent: percent-encoded, from the first slash on.
    pub path: String,
    /// The query, after the question mark.
    pub query: Option<String>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as it came: empty for `GET`, `HEAD` and `OPTIONS`.
    pub body: Bytes,
}

/// The answer of an HTTP action.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpResponse {
    /// From 200 on.
    pub status: StatusCode,
    /// Its headers. Those that frame a message, such as its length, are the server's.
    pub headers: HeaderMap,
    /// At most [`HTTP_RESPONSE_BYTES_MAX`] bytes.
    pub body: Bytes,
}

/// The context of an HTTP action. It holds no transaction: each call it makes is a transaction of its own.
#[derive(Clone)]
pub struct HttpActionCtx {
    action: ActionCtx,
    refusal: Option<Thrown>,
}

/// The sender of the request, by its auth token.
#[derive(Clone, Debug)]
pub struct HttpAsker {
    /// The facts about the request.
    pub request: Arc<RequestMetadata>,
    /// The caller that the action's calls run as. With a refusal, a caller whose identity may not be seen.
    pub caller: Caller,
    /// The request's mark for a watcher.
    pub call: Option<CallOf>,
    /// The reason why the auth token was refused. It stops only an action that looks at the identity: the header may be
    /// meant for the app.
    pub refusal: Option<Thrown>,
}

impl HttpRequest {
    /// The first value of a header, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The first value of a parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let query = self.query.as_deref()?;
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        let (_, value) = pairs.find(|(found, _)| found == name)?;
        Some(value.into_owned())
    }

    /// The body as text.
    pub fn text(&self) -> Result<&str> {
        Ok(std::str::from_utf8(&self.body)?)
    }

    /// The body, read from JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

impl HttpResponse {
    /// An answer without a body.
    pub fn empty(status: StatusCode) -> HttpResponse {
        HttpResponse {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// An answer in plain text.
    pub fn text(status: StatusCode, text: impl Into<String>) -> HttpResponse {
        let text = Bytes::from(text.into());
        HttpResponse::empty(status).with_body("text/plain; charset=utf-8", text)
    }

    /// An answer in JSON. A value without a JSON form is an error.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Result<HttpResponse> {
        let text = Bytes::from(serde_json::to_vec(value)?);
        Ok(HttpResponse::empty(status).with_body("application/json", text))
    }

    /// The same with one more header. Headers that repeat, as `set-cookie` may, stay side by side.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> HttpResponse {
        self.headers.append(name, value);
        self
    }

    fn with_body(mut self, content_type: &'static str, body: Bytes) -> HttpResponse {
        let content_type = HeaderValue::from_static(content_type);
        self.headers.insert(CONTENT_TYPE, content_type);
        self.body = body;
        self
    }
}

impl HttpActionCtx {
    /// The verified identity of the sender, for a request with `Authorization: Bearer` and an auth token; `None`
    /// without one. An auth token that is not accepted, or whose user was not let in, is an error. If the action does
    /// not catch it, it answers the request with its own status.
    pub fn identity(&self) -> Result<Option<UserIdentity>> {
        match &self.refusal {
            Some(refusal) => Err(Error::from_thrown(refusal.clone())),
            None => self.action.identity(),
        }
    }

    /// Looks at files, stores and deletes them, each call by itself.
    pub fn storage(&self) -> StorageActions {
        self.action.storage()
    }

    /// Runs a query, internal or not, at the newest commit.
    pub async fn run_query<R: DeserializeOwned>(
        &self,
        path: &str,
        args: impl Serialize,
    ) -> Result<R> {
        self.action.run_query(path, args).await
    }

    /// Runs a mutation, internal or not, and waits until it is durable.
    pub async fn run_mutation<R: DeserializeOwned>(
        &self,
        path: &str,
        args: impl Serialize,
    ) -> Result<R> {
        self.action.run_mutation(path, args).await
    }

    /// Runs an action, internal or not.
    pub async fn run_action<R: DeserializeOwned>(
        &self,
        path: &str,
        args: impl Serialize,
    ) -> Result<R> {
        self.action.run_action(path, args).await
    }

    /// Schedules functions, and cancels them.
    pub fn scheduler(&self) -> ActionScheduler {
        self.action.scheduler()
    }
}

/// Runs an HTTP action to its end, or to the end of its time. Work it had begun by then is not undone.
pub(super) async fn run_http_action(
    functions: Arc<Functions>,
    route: &RegisteredRoute,
    request: HttpRequest,
    asker: HttpAsker,
    time_max: Duration,
) -> Result<HttpResponse, Thrown> {
    let HttpAsker {
        request: metadata,
        caller,
        call,
        refusal,
    } = asker;
    let RouteBody::Native(body) = &route.body else {
        unreachable!("a route that was pushed is asked with a body that is still arriving")
    };
    let execution = {
        let caller = caller.clone();
        move || execution(route, &caller, call)
    };
    let label = format!("{} {}", request.method, request.path);
    let origin = Origin::Request(metadata, call);
    let running = functions.running(HTTP_ACTION, label, None, &caller, origin.request_id());
    let logged_as = running.clone();
    let ctx = HttpActionCtx {
        action: ActionCtx::new(functions.clone(), caller, &origin, running),
        refusal,
    };
    let printing = ctx.action.clone();
    functions.probe().event(|| Event::Started(execution()));
    // The body's first step runs outside its future, so both are guarded.
    let running = AssertUnwindSafe(async { body(ctx, request).await }).catch_unwind();
    let clock = functions.database().clock().clone();
    let result = match timeout(&*clock, time_max, running).await {
        Some(Ok(result)) => result.and_then(checked),
        Some(Err(_)) => {
            // A panic may quote the request, so its text is for the panic hook alone.
            tracing::error!(route = route.label(), "an HTTP action panicked");
            Err(Error::panicked(&route.label(), "see the server's log"))
        }
        None => {
            tracing::warn!(route = route.label(), "an HTTP action took too long");
            let seconds = time_max.as_secs();
            Err(Error::plain(format!(
                "Function execution timed out (maximum duration: {seconds}s)"
            )))
        }
    };
    functions.probe().event(|| ended(execution(), &result));
    route.count(result.is_err());
    let result = result.map_err(Error::into_thrown);
    let status = result.as_ref().map(|answer| answer.status);
    let lines = printing.take_console().into_lines();
    functions.log_end(&logged_as, logged(&status.map_err(Clone::clone)), &lines);
    result
}

/// How an HTTP action ended, as the log tells it: what it threw, or the status that it answered with.
fn logged(result: &Result<StatusCode, Thrown>) -> (Option<String>, Option<u16>) {
    match result {
        Ok(status) => (None, Some(status.as_u16())),
        Err(thrown) => (Some(thrown.message.clone()), None),
    }
}

/// Runs an HTTP action that was pushed, until there is something to answer. Its body goes on arriving.
pub(super) async fn run_pushed(
    functions: Arc<Functions>,
    route: &Arc<RegisteredRoute>,
    request: StreamedRequest,
    asker: HttpAsker,
) -> Result<StreamedResponse, Thrown> {
    let HttpAsker {
        request: metadata,
        caller,
        call,
        refusal,
    } = asker;
    let RouteBody::Pushed(router) = &route.body else {
        unreachable!("a route of the program itself is asked with a body that is there")
    };
    let label = format!("{} {}", request.method, request.path);
    let isolate = Some(ModuleEnvironment::Isolate);
    let origin = Origin::Request(metadata, call);
    let running = functions.running(HTTP_ACTION, label, isolate, &caller, origin.request_id());
    let ctx = ActionCtx::new(functions.clone(), caller.clone(), &origin, running.clone());
    let started = || Event::Started(execution(route, &caller, call));
    functions.probe().event(started);
    let at_end = {
        let (route, functions) = (route.clone(), functions);
        Box::new(move |end: HttpEnd| {
            // A path that a scanner asks for pushes no entry of the app out of the log.
            let is_nothing = end.result == Ok(StatusCode::NOT_FOUND) && end.log_lines.is_empty();
            if !(route.is_rest() && is_nothing) {
                functions.log_end(&running, logged(&end.result), &end.log_lines);
            }
            let result = end.result.map_err(Error::from_thrown);
            let ended = || ended(execution(&route, &caller, call), &result);
            functions.probe().event(ended);
            route.count(result.is_err());
        })
    };
    let answer = router.clone().answer(ctx, refusal, request, at_end);
    answer.await.map_err(Error::into_thrown)
}

fn execution(route: &RegisteredRoute, caller: &Caller, call: Option<CallOf>) -> Execution {
    Execution {
        path: route.label().to_string(),
        kind: HTTP_ACTION.to_string(),
        identity: caller.identity_key(),
        proof: caller.proof().map(|proof| proof.committed_at().0),
        is_provisioning: false,
        read_ts: None,
        commit_ts: None,
        call,
    }
}

fn checked(response: HttpResponse) -> Result<HttpResponse> {
    if response.status.is_informational() {
        return Err(Error::plain(format!(
            "An HTTP action answers with a status from 200 on, not with {}.",
            response.status.as_u16()
        )));
    }
    if response.body.len() > HTTP_RESPONSE_BYTES_MAX {
        return Err(Error::plain(format!(
            "HttpResponseTooLarge: HTTP actions support responses up to {} MiB",
            HTTP_RESPONSE_BYTES_MAX >> 20
        )));
    }
    Ok(response)
}
