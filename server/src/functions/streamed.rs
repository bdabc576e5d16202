//! HTTP actions as bytes: a request whose body may still be arriving, and an answer whose body may be too.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use vestibule_schema::path::ComponentPath;

use super::action::ActionCtx;
use super::error::{Result, Thrown};
use super::function::BoxFuture;

/// The answer to a request that no route takes.
pub const NO_ROUTE: &str = "No matching routes found";

/// Bytes as they arrive.
pub type Chunks = BoxStream<'static, Result<Bytes, StreamError>>;

/// Why a stream broke off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// The class of the error that the reader finds.
    pub class: &'static str,
    /// Its text.
    pub message: String,
}

impl StreamError {
    /// A failure of the network, as the standard tells it.
    pub fn network(message: impl Into<String>) -> StreamError {
        StreamError {
            class: "TypeError",
            message: message.into(),
        }
    }

    /// A plain error.
    pub fn plain(message: impl Into<String>) -> StreamError {
        StreamError {
            class: "Error",
            message: message.into(),
        }
    }

    /// The error of a stream that was given up on purpose.
    pub fn aborted() -> StreamError {
        StreamError {
            class: "AbortError",
            message: "This operation was aborted".to_owned(),
        }
    }
}

/// A request for an HTTP action.
pub struct StreamedRequest {
    /// Its method. `HEAD` comes as `GET`.
    pub method: Method,
    /// Its address, as the client wrote it.
    pub url: String,
    /// Its path below the app's routes, as it was sent.
    pub path: String,
    /// The query, after the question mark.
    pub query: Option<String>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, for methods that have one.
    pub body: Option<Chunks>,
    /// Signals that the client has gone. The action goes on, and may look.
    pub gone: CancellationToken,
    /// Given back when the action has ended, such as its share of a budget.
    pub held: Option<Box<dyn Any + Send>>,
}

/// The answer of an HTTP action.
#[derive(Debug)]
pub struct StreamedResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: StreamedBody,
}

/// The body of an answer.
#[derive(Debug)]
pub enum StreamedBody {
    /// It is all there.
    Whole(Bytes),
    /// It is still arriving. Dropping the receiver signals that it has no reader any more.
    Arriving(mpsc::Receiver<Result<Bytes, BodyCut>>),
}

/// A body that ends before it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body was cut off")]
pub struct BodyCut;

/// How an HTTP action ended, after its answer.
#[derive(Debug)]
pub struct HttpEnd {
    /// The status that it answered with, or why it failed.
    pub result: Result<StatusCode, Thrown>,
    /// Its log lines.
    pub log_lines: Vec<String>,
}

/// Told of the end of an HTTP action.
pub(super) type AtEnd = Box<dyn FnOnce(HttpEnd) + Send>;

/// The router that was pushed.
pub(super) trait PushedRouter: Send + Sync {
    /// The component whose router it is.
    fn component(&self) -> &ComponentPath;

    /// Answers a request as soon as there is a head to answer with. The action goes on until its body was sent.
    fn answer(
        self: Arc<Self>,
        ctx: ActionCtx,
        refusal: Option<Thrown>,
        request: StreamedRequest,
        at_end: AtEnd,
    ) -> BoxFuture<Result<StreamedResponse>>;
}
