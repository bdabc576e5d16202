//! HTTP actions in JavaScript: from a request to an answer whose body may still be arriving.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use vestibule_isolate::HostValue;
use vestibule_schema::path::FunctionPath;

use super::Js;
use super::action::{ActionTarget, Place, TROUBLE, on_thread, place};
use super::action_host::{ActionHost, Asked};
use super::code::Code;
use super::execution::IntoValue;
use super::failures;
use super::headers::to_pairs;
use super::http_answer::Answering;
use super::streams::{Chunks, Streams};
use super::syscalls::RequestMetadata;
use crate::functions::FunctionKind;
use crate::functions::action::ActionCtx;
use crate::functions::error::{Error, Result, Thrown};

pub use super::http_answer::{BodyCut, NO_ROUTE, StreamedBody, StreamedResponse};
pub use super::streams::StreamError;

/// The router's module, and its export.
const ROUTER: &str = "http:default";
/// The id of the signal for the client's departure. Each call has one.
const SIGNAL_ID: u64 = 1;

/// A request for an HTTP action in JavaScript.
pub struct StreamedRequest {
    /// Its method. `HEAD` comes as `GET`.
    pub method: Method,
    /// Its address, as the client wrote it.
    pub url: String,
    /// Its path below the app's routes, as it was sent.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, for methods that have one.
    pub body: Option<Chunks>,
    /// The known facts about the client.
    pub metadata: Arc<RequestMetadata>,
    /// Signals that the client has gone. The action goes on, and may look.
    pub gone: CancellationToken,
}

/// How an HTTP action ended, after its answer.
#[derive(Debug)]
pub struct HttpEnd {
    /// The status that it answered with, or why it failed.
    pub result: Result<StatusCode, Thrown>,
    /// Its log lines.
    pub log_lines: Vec<String>,
}

/// Told of the end of an HTTP action.
pub(in crate::functions) type AtEnd = Box<dyn FnOnce(HttpEnd) + Send>;

/// The router that was pushed.
pub(in crate::functions) struct Router {
    target: ActionTarget,
}

impl Router {
    pub fn new(js: Arc<Js>, code: Arc<Code>) -> Router {
        let path: FunctionPath = ROUTER.parse().expect("the path is well formed");
        Router {
            target: ActionTarget { js, code, path },
        }
    }

    /// Answers a request as soon as there is a head to answer with. The action goes on until its body was sent.
    pub async fn answer(
        &self,
        ctx: ActionCtx,
        refusal: Option<Thrown>,
        request: StreamedRequest,
        at_end: AtEnd,
    ) -> Result<StreamedResponse> {
        let place = place(&self.target.js).await?;
        let (head, answered) = oneshot::channel();
        let call = HttpCall {
            target: self.target.clone(),
            ctx,
            refusal,
            request,
            answering: Answering::new(head),
        };
        call.start(place, at_end)?;
        answered
            .await
            .unwrap_or_else(|_| Err(Error::plain(TROUBLE)))
    }
}

struct HttpCall {
    target: ActionTarget,
    ctx: ActionCtx,
    refusal: Option<Thrown>,
    request: StreamedRequest,
    answering: Answering,
}

impl HttpCall {
    fn start(self, place: Place, at_end: AtEnd) -> Result<()> {
        let handle = Handle::current();
        on_thread(place, move || {
            let ctx = self.ctx.clone();
            let result = self.run(handle);
            let log_lines = ctx.take_console().into_lines();
            at_end(HttpEnd { result, log_lines });
        })
    }

    /// Runs the call, and answers it where the call did not answer by itself.
    fn run(self, handle: Handle) -> Result<StatusCode, Thrown> {
        let HttpCall {
            target,
            ctx,
            refusal,
            request,
            answering,
        } = self;
        let taken = target
            .js
            .runtimes
            .take(&target.code, target.path.module_file());
        let mut runtime = match taken {
            Ok(runtime) => runtime,
            Err(failure) => {
                let error = failures::at_import(&failure, &target.code);
                return Err(told(answering, error.into_thrown()));
            }
        };
        let asked = Asked {
            refusal,
            gone: Some(request.gone.clone()),
            depth: 0,
        };
        let mut host = ActionHost::new(&target, ctx, handle, asked, Some(answering));
        let time_max = target.js.time_max(FunctionKind::Action);
        runtime.isolate.set_budget(time_max);
        let start = start(request, &mut host.streams);
        let driven = match start {
            Ok(start) => host.drive(&mut runtime, "startHttp", &start, time_max),
            Err(error) => Err(vestibule_isolate::Failure::Fatal(error)),
        };
        let answering = host.answering.take();
        let is_unrouted = host.is_unrouted();
        let finished = host.finish(driven, time_max);
        target.js.runtimes.give_back(runtime);
        let answering = answering.expect("an HTTP action has an answer until it ends");
        if is_unrouted {
            answering.unrouted();
            return Ok(StatusCode::NOT_FOUND);
        }
        match (finished, answering.status) {
            (Ok(_), Some(status)) => Ok(status),
            (Ok(_), None) => Err(told(answering, Error::plain(TROUBLE).into_thrown())),
            (Err(error), _) => Err(told(answering, error.into_thrown())),
        }
    }
}

/// Tells a client that still waits for an answer that there is none.
fn told(answering: Answering, thrown: Thrown) -> Thrown {
    if let Some(head) = answering.into_head() {
        // The client may have gone.
        let _ = head.send(Err(Error::from_thrown(thrown.clone())));
    }
    thrown
}

/// The arguments of the driver's start.
fn start(
    request: StreamedRequest,
    streams: &mut Streams,
) -> Result<[HostValue; 3], vestibule_isolate::HostError> {
    let body = request.body.map(|body| streams.insert(body, None));
    let told = json!({
        "url": request.url,
        "method": request.method.as_str(),
        "headerPairs": to_pairs(&request.headers),
        "streamId": body.transpose()?,
        "signal": SIGNAL_ID,
    });
    Ok([
        HostValue::String(told.to_string()),
        request.path.as_str().into_value(),
        request.method.as_str().into_value(),
    ])
}
