//! The run of an HTTP action, in either language. The request may still be arriving. The answer begins as soon as it has a
//! head, and the end may be much later.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::Functions;
use super::action::{ActionCtx, in_time};
use super::error::{Error, Result, Thrown};
use super::function::BoxFuture;
use super::http_action::{
    ArrivingRequest, BodyWriter, HTTP_RESPONSE_BYTES_MAX, HttpActionCtx, HttpAsker, HttpBody,
    HttpResponse, WriteBody, too_large,
};
use super::http_routes::{HttpActionBody, RegisteredRoute, RouteBody};
use super::logging::Running;
use super::runner::{CallSource, ended};
use super::streamed::{AtEnd, BodyCut, HttpEnd, StreamedBody, StreamedRequest, StreamedResponse};
use crate::auth::Caller;
use crate::deployment::ModuleEnvironment;
use crate::probe::{CallOf, Event, Execution};

/// The kind of HTTP actions in metrics and records.
pub(super) const HTTP_ACTION: &str = "HttpAction";
/// The text that developers read for the server's own trouble.
const TROUBLE: &str = "Your request couldn't be completed. Try again later.";

/// Runs an HTTP action until there is something to answer. Its body goes on arriving.
pub(super) async fn run_http_action(
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
    let label = format!("{} {}", request.method, request.path);
    let environment = route.is_pushed().then_some(ModuleEnvironment::Isolate);
    let source = CallSource::Request(metadata, call);
    let id = source.request_id();
    let component = route.component().clone();
    let running = functions.running(HTTP_ACTION, (label, component), environment, &caller, id);
    let ctx = ActionCtx::new(functions.clone(), caller.clone(), &source, running.clone());
    let started = || Event::Started(execution(route, &caller, call));
    functions.probe().event(started);
    let at_end = at_end(functions.clone(), route.clone(), running, (caller, call));
    let answer = match &route.body {
        RouteBody::Pushed(router) => router.clone().answer(ctx, refusal, request, at_end),
        RouteBody::Native { body, .. } => {
            let call = NativeCall {
                functions,
                route: route.clone(),
                body: body.clone(),
                ctx,
                refusal,
                request,
                at_end,
            };
            call.answer()
        }
    };
    answer.await.map_err(Error::into_thrown)
}

/// States the end of a run to the log, the watcher and the counts.
fn at_end(
    functions: Arc<Functions>,
    route: Arc<RegisteredRoute>,
    running: Arc<Running>,
    (caller, call): (Caller, Option<CallOf>),
) -> AtEnd {
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
}

/// How an HTTP action ended, as the log tells it: what it threw, or the status that it answered with.
fn logged(result: &Result<StatusCode, Thrown>) -> (Option<String>, Option<u16>) {
    match result {
        Ok(status) => (None, Some(status.as_u16())),
        Err(thrown) => (Some(thrown.message.clone()), None),
    }
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

/// A call of an HTTP action of the program itself.
struct NativeCall {
    functions: Arc<Functions>,
    route: Arc<RegisteredRoute>,
    body: Arc<HttpActionBody>,
    ctx: ActionCtx,
    refusal: Option<Thrown>,
    request: StreamedRequest,
    at_end: AtEnd,
}

impl NativeCall {
    /// Answers as soon as there is a head to answer with. The action goes on in a task of its own, whether its client
    /// stays or leaves.
    fn answer(mut self) -> BoxFuture<Result<StreamedResponse>> {
        Box::pin(async move {
            let functions = self.functions.clone();
            let place = functions.places.take(0).await?;
            // Its calls are counted as its own.
            self.ctx = self.ctx.placed(&place);
            let (head, answered) = oneshot::channel();
            let answering = Answering::new(head);
            functions.go_on(async move {
                let _place = place;
                self.run(answering).await;
            });
            answered
                .await
                .unwrap_or_else(|_| Err(Error::plain(TROUBLE)))
        })
    }

    async fn run(self, answering: Answering) {
        let NativeCall {
            functions,
            route,
            body,
            ctx,
            refusal,
            mut request,
            at_end,
        } = self;
        let printing = ctx.clone();
        let ctx = HttpActionCtx {
            action: ctx,
            refusal,
            gone: request.gone.clone(),
        };
        let _held = request.held.take();
        let work = async {
            let response = body(ctx, ArrivingRequest::new(request)).await?;
            answering.answer(checked(response)?, &printing).await
        };
        // The body's first step runs outside its future, so both are guarded.
        let done = AssertUnwindSafe(in_time(&functions, work)).catch_unwind();
        let result = done.await.unwrap_or_else(|_| {
            // A panic may quote the request, so its text is for the panic hook alone.
            tracing::error!(route = route.label(), "an HTTP action panicked");
            Err(Error::panicked(&route.label(), "see the server's log"))
        });
        let result = result.map_err(Error::into_thrown);
        if let Err(thrown) = &result {
            answering.fail(thrown).await;
        }
        let log_lines = printing.take_console().into_lines();
        at_end(HttpEnd { result, log_lines });
    }
}

/// An answer, from the call's beginning to its end.
struct Answering {
    head: Mutex<Option<oneshot::Sender<Result<StreamedResponse>>>>,
    /// To a body that is being written, to cut it off.
    cut: Mutex<Option<mpsc::Sender<Result<Bytes, BodyCut>>>>,
}

impl Answering {
    fn new(head: oneshot::Sender<Result<StreamedResponse>>) -> Answering {
        Answering {
            head: Mutex::new(Some(head)),
            cut: Mutex::default(),
        }
    }

    /// Answers, and writes the body to its end. A body that breaks off is the client's and the log's affair: the
    /// status has been told.
    async fn answer(&self, response: HttpResponse, printing: &ActionCtx) -> Result<StatusCode> {
        let HttpResponse {
            status,
            headers,
            body,
        } = response;
        let (body, write) = match body {
            HttpBody::Whole(bytes) => (StreamedBody::Whole(bytes), None),
            HttpBody::Written(write) => {
                let (sender, receiver) = mpsc::channel(1);
                *self.cut.lock() = Some(sender.clone());
                (StreamedBody::Arriving(receiver), Some((write, sender)))
            }
        };
        self.tell(Ok(StreamedResponse {
            status,
            headers,
            body,
        }));
        if let Some((write, sender)) = write {
            self.write(write, sender, printing).await;
        }
        Ok(status)
    }

    async fn write(
        &self,
        write: WriteBody,
        to: mpsc::Sender<Result<Bytes, BodyCut>>,
        printing: &ActionCtx,
    ) {
        let reader = to.downgrade();
        let written = write(BodyWriter::new(to)).await;
        let has_reader = reader.upgrade().is_some_and(|reader| !reader.is_closed());
        match written {
            Err(error) if has_reader => {
                let text = error.into_thrown().message;
                printing.console(|console| {
                    console.error(format!("The response's body broke off: {text}"));
                });
                self.cut_off().await;
            }
            // A client that has gone misses nothing.
            Ok(()) | Err(_) => drop(self.cut.lock().take()),
        }
    }

    fn tell(&self, head: Result<StreamedResponse>) {
        if let Some(teller) = self.head.lock().take() {
            // The client may have gone.
            let _ = teller.send(head);
        }
    }

    /// Tells a client that waits for an answer, or for the rest of one, that there is none.
    async fn fail(&self, thrown: &Thrown) {
        self.tell(Err(Error::from_thrown(thrown.clone())));
        self.cut_off().await;
    }

    async fn cut_off(&self) {
        let cut = self.cut.lock().take();
        if let Some(cut) = cut {
            // The body's reader may have gone.
            let _ = cut.send(Err(BodyCut)).await;
        }
    }
}

fn checked(response: HttpResponse) -> Result<HttpResponse> {
    if response.status.is_informational() {
        return Err(Error::plain(format!(
            "An HTTP action answers with a status from 200 on, not with {}.",
            response.status.as_u16()
        )));
    }
    match &response.body {
        HttpBody::Whole(bytes) if bytes.len() > HTTP_RESPONSE_BYTES_MAX => Err(too_large()),
        HttpBody::Whole(_) | HttpBody::Written(_) => Ok(response),
    }
}
