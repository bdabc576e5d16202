//! HTTP actions in JavaScript: from a request to an answer whose body may still be arriving.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use vestibule_isolate::HostValue;
use vestibule_schema::path::{ComponentPath, FunctionPath};

use super::Js;
use super::action::{ActionTarget, TROUBLE, on_thread};
use super::action_host::{ActionHost, Asked};
use super::code::Code;
use super::execution::IntoValue;
use super::failures;
use super::headers::to_pairs;
use super::http_answer::Answering;
use super::streams::Streams;
use crate::functions::FunctionKind;
use crate::functions::action::ActionCtx;
use crate::functions::error::{Error, Result, Thrown};
use crate::functions::function::BoxFuture;
use crate::functions::places::Place;
use crate::functions::streamed::{AtEnd, HttpEnd, PushedRouter, StreamedRequest, StreamedResponse};

/// The router's module, and its export.
const ROUTER: &str = "http:default";
/// The id of the signal for the client's departure. Each call has one.
const SIGNAL_ID: u64 = 1;

/// The router that was pushed.
pub(super) struct Router {
    target: ActionTarget,
}

impl Router {
    /// The router of the app or of a component.
    pub fn new(js: Arc<Js>, code: Arc<Code>, component: ComponentPath) -> Router {
        let path: FunctionPath = ROUTER.parse().expect("the path is well formed");
        let path = path.in_component(component);
        Router {
            target: ActionTarget { js, code, path },
        }
    }
}

impl PushedRouter for Router {
    fn component(&self) -> &ComponentPath {
        self.target.path.component()
    }

    fn answer(
        self: Arc<Self>,
        ctx: ActionCtx,
        refusal: Option<Thrown>,
        request: StreamedRequest,
        at_end: AtEnd,
    ) -> BoxFuture<Result<StreamedResponse>> {
        Box::pin(async move {
            let bytes = self.target.code.bytes_expected();
            let place = self.target.js.places.take(bytes).await?;
            let ctx = ctx.placed(&place);
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
        })
    }
}

/// The router of a component that is mounted below a path. Its routes know nothing of that path; its requests have the
/// address that their sender wrote.
pub(super) struct Below {
    prefix: String,
    router: Arc<Router>,
}

impl Below {
    pub fn new(prefix: String, router: Router) -> Below {
        let router = Arc::new(router);
        Below { prefix, router }
    }
}

impl PushedRouter for Below {
    fn component(&self) -> &ComponentPath {
        self.router.component()
    }

    fn answer(
        self: Arc<Self>,
        ctx: ActionCtx,
        refusal: Option<Thrown>,
        request: StreamedRequest,
        at_end: AtEnd,
    ) -> BoxFuture<Result<StreamedResponse>> {
        let below = request.path.strip_prefix(&*self.prefix);
        let request = StreamedRequest {
            path: below.unwrap_or_default().to_owned(),
            ..request
        };
        self.router.clone().answer(ctx, refusal, request, at_end)
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
        let js = self.target.js.clone();
        on_thread(&js, place, move |place| {
            let ctx = self.ctx.clone();
            let result = self.run(handle, place);
            let log_lines = ctx.take_console().into_lines();
            at_end(HttpEnd { result, log_lines });
        })
    }

    /// Runs the call, and answers it where the call did not answer by itself.
    fn run(self, handle: Handle, place: &mut Place) -> Result<StatusCode, Thrown> {
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
            Err(not_loaded) => {
                let error = failures::at_import(&not_loaded.failure, &target.code);
                return Err(told(answering, error.into_thrown()));
            }
        };
        let asked = Asked {
            refusal,
            gone: Some(request.gone.clone()),
        };
        let host = ActionHost::new(&target, ctx, handle, asked, place);
        let mut host = host.answering(answering);
        let time_max = target.js.time_max(FunctionKind::Action);
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
