//! HTTP actions: an app's answers at addresses of its own, as to a webhook. They have the context of actions, and the
//! request.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::action::ActionCtx;
use super::console::Console;
use super::error::{Error, Result, Thrown};
use super::function::BoxFuture;
use super::request::RequestMetadata;
use super::scheduler::ActionScheduler;
use super::storage::StorageActions;
use super::streamed::{BodyCut, Chunks, StreamedRequest};
use crate::auth::{Caller, UserIdentity};
use crate::probe::CallOf;

/// Longest body of an HTTP action's answer, in bytes.
pub const HTTP_RESPONSE_BYTES_MAX: usize = 20 << 20;
const CLIENT_GONE: &str = "The client has gone";

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

/// A request whose body arrives while the action runs.
pub struct ArrivingRequest {
    /// Its method. `HEAD` comes as `GET`; the answer's body is then left out.
    pub method: Method,
    /// Its path below the app's routes, as it was sent: percent-encoded, from the first slash on.
    pub path: String,
    /// The query, after the question mark.
    pub query: Option<String>,
    /// Its headers.
    pub headers: HeaderMap,
    body: Option<Chunks>,
}

/// The answer of an HTTP action.
#[derive(Debug)]
pub struct HttpResponse {
    /// From 200 on.
    pub status: StatusCode,
    /// Its headers. Those that frame a message, such as its length, are the server's.
    pub headers: HeaderMap,
    /// At most [`HTTP_RESPONSE_BYTES_MAX`] bytes.
    pub body: HttpBody,
}

/// The body of an answer.
pub enum HttpBody {
    /// It is all there.
    Whole(Bytes),
    /// It is written while the client reads it, once the head has been sent.
    Written(WriteBody),
}

/// Writes a body to its end.
pub type WriteBody = Box<dyn FnOnce(BodyWriter) -> BoxFuture<Result<()>> + Send>;

/// Sends a body part by part, no faster than the client takes it.
pub struct BodyWriter {
    to: mpsc::Sender<Result<Bytes, BodyCut>>,
    written: usize,
}

/// The context of an HTTP action. It holds no transaction: each call it makes is a transaction of its own.
#[derive(Clone)]
pub struct HttpActionCtx {
    pub(super) action: ActionCtx,
    pub(super) refusal: Option<Thrown>,
    pub(super) gone: CancellationToken,
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

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query?.as_bytes());
    let (_, value) = pairs.find(|(found, _)| found == name)?;
    Some(value.into_owned())
}

impl HttpRequest {
    /// The first value of a header, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The first value of a parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        parameter(self.query.as_deref(), name)
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

impl ArrivingRequest {
    pub(super) fn new(request: StreamedRequest) -> ArrivingRequest {
        ArrivingRequest {
            method: request.method,
            path: request.path,
            query: request.query,
            headers: request.headers,
            body: request.body,
        }
    }

    /// The first value of a header, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The first value of a parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        parameter(self.query.as_deref(), name)
    }

    /// The next part of the body; none at its end. A body that breaks off, stalls or is too long is an error. If the
    /// action does not catch it, it answers the request with its own status.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let Some(body) = &mut self.body else {
            return Ok(None);
        };
        match body.next().await {
            Some(Ok(bytes)) => Ok(Some(bytes)),
            Some(Err(error)) => Err(Error::plain(error.message)),
            None => Ok(None),
        }
    }

    /// The rest of the body, once it is all there.
    pub async fn bytes(&mut self) -> Result<Bytes> {
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.chunk().await? else {
            return Ok(first);
        };
        let mut bytes = BytesMut::from(first);
        bytes.extend_from_slice(&second);
        while let Some(more) = self.chunk().await? {
            bytes.extend_from_slice(&more);
        }
        Ok(bytes.freeze())
    }

    /// The request once all of it is there.
    pub(super) async fn whole(mut self) -> Result<HttpRequest> {
        let body = self.bytes().await?;
        Ok(HttpRequest {
            method: self.method,
            path: self.path,
            query: self.query,
            headers: self.headers,
            body,
        })
    }
}

impl HttpResponse {
    /// An answer without a body.
    pub fn empty(status: StatusCode) -> HttpResponse {
        HttpResponse {
            status,
            headers: HeaderMap::new(),
            body: HttpBody::Whole(Bytes::new()),
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

    /// An answer whose body is written while the client reads it, such as server-sent events of type `text/event-stream`.
    /// The head is sent at once. An error cuts the body off, so that no client takes it for whole.
    pub fn written<F>(
        status: StatusCode,
        content_type: &'static str,
        write: impl FnOnce(BodyWriter) -> F + Send + 'static,
    ) -> HttpResponse
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let write: WriteBody = Box::new(move |writer| Box::pin(write(writer)));
        let body = HttpBody::Written(write);
        HttpResponse::empty(status).with_body(content_type, body)
    }

    /// The same with one more header. Headers that repeat, as `set-cookie` may, stay side by side.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> HttpResponse {
        self.headers.append(name, value);
        self
    }

    fn with_body(mut self, content_type: &'static str, body: impl Into<HttpBody>) -> HttpResponse {
        let content_type = HeaderValue::from_static(content_type);
        self.headers.insert(CONTENT_TYPE, content_type);
        self.body = body.into();
        self
    }
}

impl From<Bytes> for HttpBody {
    fn from(bytes: Bytes) -> HttpBody {
        HttpBody::Whole(bytes)
    }
}

impl fmt::Debug for HttpBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpBody::Whole(bytes) => write!(f, "{} bytes", bytes.len()),
            HttpBody::Written(_) => f.write_str("written"),
        }
    }
}

impl BodyWriter {
    pub(super) fn new(to: mpsc::Sender<Result<Bytes, BodyCut>>) -> BodyWriter {
        BodyWriter { to, written: 0 }
    }

    /// Sends a part, once the client has taken those before it. It is an error when the client has gone, and when the
    /// body becomes longer than [`HTTP_RESPONSE_BYTES_MAX`].
    pub async fn write(&mut self, bytes: impl Into<Bytes>) -> Result<()> {
        let mut bytes = bytes.into();
        let length = bytes.len();
        // As much as may be sent is sent.
        bytes.truncate(HTTP_RESPONSE_BYTES_MAX - self.written);
        self.written += bytes.len();
        let is_whole = bytes.len() == length;
        let sent = self.to.send(Ok(bytes)).await;
        sent.map_err(|_| Error::plain(CLIENT_GONE))?;
        match is_whole {
            true => Ok(()),
            false => Err(too_large()),
        }
    }
}

pub(super) fn too_large() -> Error {
    Error::plain(format!(
        "HttpResponseTooLarge: HTTP actions support responses up to {} MiB",
        HTTP_RESPONSE_BYTES_MAX >> 20
    ))
}

impl HttpActionCtx {
    /// The value of this type that the program put into `App::state`.
    pub fn state<S: Send + Sync + 'static>(&self) -> Result<Arc<S>> {
        self.action.state()
    }

    /// Logs a line, as the consoles of queries and mutations do.
    pub fn console(&self, log: impl FnOnce(&mut Console)) {
        self.action.console(log);
    }

    /// Ends when the client has gone before it had the whole answer. The action goes on, to its end or to that of its
    /// time: one that answers without end looks here.
    pub async fn client_gone(&self) {
        self.gone.cancelled().await;
    }

    /// Whether the client has gone before it had the whole answer.
    pub fn is_client_gone(&self) -> bool {
        self.gone.is_cancelled()
    }

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
