//! HTTP actions in Rust whose requests and answers arrive part by part, and clients that leave.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use reqwest::Body;
use tokio::sync::mpsc;

use super::actions::{post, with};
use super::app::Latch;
use super::harness::{Server, answer, assert_refused};
use crate::functions::{
    ArrivingRequest, BodyWriter, Error, HttpActionCtx, HttpRequest, HttpResponse, HttpRoute,
    Result, Runs,
};

/// The routes.
pub fn routes(latch: Latch) -> Vec<HttpRoute> {
    let sizes = {
        let latch = latch.clone();
        move |ctx, request| sizes(ctx, request, latch.clone())
    };
    let events = {
        let latch = latch.clone();
        move |ctx, request| events(ctx, request, latch.clone())
    };
    let leaving = {
        let latch = latch.clone();
        move |ctx, request| leaving(ctx, request, latch.clone())
    };
    vec![
        HttpRoute::arriving(Method::POST, "/rust/sizes", sizes),
        HttpRoute::arriving_prefix(
            Method::PUT,
            "/rust/all/",
            async |_, mut request: ArrivingRequest| {
                let all = request.bytes().await?;
                Ok(HttpResponse::text(StatusCode::OK, all.len().to_string()))
            },
        ),
        HttpRoute::path(Method::GET, "/rust/events", events),
        HttpRoute::path(Method::GET, "/rust/leaving", leaving),
        HttpRoute::path(
            Method::GET,
            "/rust/breaks",
            async |ctx: HttpActionCtx, _| {
                ctx.console(|console| console.log("about to break"));
                Ok(written(async |mut body: BodyWriter| {
                    body.write("one").await?;
                    Err(Error::new("it broke"))
                }))
            },
        ),
        HttpRoute::path(Method::GET, "/rust/panics", async |_, _| {
            Ok(written(async |mut body: BodyWriter| {
                body.write("one").await?;
                panic!("a bug")
            }))
        }),
        HttpRoute::path(Method::GET, "/rust/large", async |_, _| {
            Ok(written(async |mut body: BodyWriter| {
                loop {
                    body.write(vec![0; 1 << 20]).await?;
                }
            }))
        }),
        HttpRoute::path(Method::GET, "/rust/endless", async |_, _| {
            Ok(written(async |mut body: BodyWriter| {
                body.write("one").await?;
                std::future::pending().await
            }))
        }),
        HttpRoute::path(
            Method::GET,
            "/rust/stateless",
            async |ctx: HttpActionCtx, _| {
                ctx.state::<u8>()?;
                Ok(HttpResponse::empty(StatusCode::OK))
            },
        ),
    ]
}

fn written<F>(write: impl FnOnce(BodyWriter) -> F + Send + 'static) -> HttpResponse
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    HttpResponse::written(StatusCode::OK, "text/event-stream", write)
}

/// Tells the bytes of all parts, and when one has come.
async fn sizes(
    _: HttpActionCtx,
    mut request: ArrivingRequest,
    latch: Latch,
) -> Result<HttpResponse> {
    let mut bytes = 0;
    while let Some(part) = request.chunk().await? {
        bytes += part.len();
        latch.entered.notify_one();
    }
    HttpResponse::json(StatusCode::OK, &bytes)
}

/// Sends an event, and another one when it may.
async fn events(_: HttpActionCtx, _: HttpRequest, latch: Latch) -> Result<HttpResponse> {
    Ok(written(async move |mut body: BodyWriter| {
        body.write("data: 1\n\n").await?;
        latch.release.notified().await;
        body.write("data: 2\n\n").await
    }))
}

/// Says when its client has gone, before or after its head.
async fn leaving(ctx: HttpActionCtx, request: HttpRequest, latch: Latch) -> Result<HttpResponse> {
    if request.query.is_some() {
        latch.entered.notify_one();
        ctx.client_gone().await;
        latch.release.notify_one();
    }
    Ok(written(async move |mut body: BodyWriter| {
        body.write("first").await?;
        ctx.client_gone().await;
        assert!(ctx.is_client_gone());
        latch.release.notify_one();
        body.write("second").await
    }))
}

/// A body whose parts a test sends one by one.
fn parts() -> (mpsc::Sender<&'static str>, Body) {
    let (sender, receiver) = mpsc::channel::<&'static str>(1);
    let stream = futures_util::stream::unfold(receiver, async |mut receiver| {
        let part = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(Bytes::from(part)), receiver))
    });
    (sender, Body::wrap_stream(stream))
}

fn runs(server: &Server, route: &str) -> Runs {
    let runs = server.http.functions.registry().runs();
    runs.into_iter().find(|runs| runs.path == route).unwrap()
}

#[tokio::test]
async fn a_request_arrives_while_its_action_runs() {
    let server = Server::start().await;
    let (sender, body) = parts();
    let asking = tokio::spawn(answer(post(&server, "/http/rust/sizes", body)));
    sender.send("abc").await.unwrap();
    server.latch.entered.notified().await;
    sender.send("de").await.unwrap();
    server.latch.entered.notified().await;
    drop(sender);
    let (status, bytes) = asking.await.unwrap();
    assert_eq!((status.as_u16(), bytes), (200, serde_json::json!(5)));
    let all = server
        .ask(Method::PUT, "/http/rust/all/x")
        .body(vec![0; 300_000]);
    assert_eq!(all.send().await.unwrap().text().await.unwrap(), "300000");
}

#[tokio::test]
async fn a_body_that_is_too_long_or_too_slow_answers_for_its_action() {
    let server = with(|setup| {
        setup.options.action_body_bytes_max = 10;
        setup.options.body_timeout = Duration::from_millis(50);
    })
    .await;
    let (sender, body) = parts();
    let asking = tokio::spawn(assert_refused(
        post(&server, "/http/rust/sizes", body),
        413,
        "HttpRequestTooLarge",
    ));
    sender.send("0123456789").await.unwrap();
    // The server may have closed the connection.
    let _ = sender.send("0").await;
    asking.await.unwrap();
    assert_refused(
        post(&server, "/http/rust/sizes", vec![0; 11]),
        413,
        "HttpRequestTooLarge",
    )
    .await;
    let (sender, body) = parts();
    sender.send("0").await.unwrap();
    let slow = assert_refused(
        post(&server, "/http/rust/sizes", body),
        408,
        "RequestTimeout",
    );
    server.as_time_passes(slow).await;
    assert_eq!(runs(&server, "POST /rust/sizes").errors, 2);
}

#[tokio::test]
async fn an_answer_is_read_while_it_is_written() {
    let server = Server::start().await;
    let mut response = server.get("/http/rust/events").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let first = response.chunk().await.unwrap().unwrap();
    assert_eq!(&first[..], b"data: 1\n\n");
    server.latch.release.notify_one();
    let second = response.chunk().await.unwrap().unwrap();
    assert_eq!(&second[..], b"data: 2\n\n");
    assert!(response.chunk().await.unwrap().is_none());
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_whole() {
    let server = with(|setup| setup.action_time_max = Duration::from_millis(50)).await;
    for (path, is_error) in [("breaks", 0), ("large", 0), ("panics", 1), ("endless", 1)] {
        let response = server
            .get(&format!("/http/rust/{path}"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let body = response.bytes();
        let body = match path {
            "endless" => server.as_time_passes(body).await,
            _ => body.await,
        };
        assert!(body.is_err(), "{path}");
        while runs(&server, &format!("GET /rust/{path}")).runs == 0 {
            tokio::task::yield_now().await;
        }
        let ended = runs(&server, &format!("GET /rust/{path}"));
        assert_eq!((ended.runs, ended.errors), (1, is_error), "{path}");
    }
    let log = server.http.functions.log().after(0, 0).entries;
    let log: String = log
        .iter()
        .map(|entry| entry.to_json().to_string())
        .collect();
    for told in [
        "about to break",
        "broke off: Uncaught Error: it broke",
        "HttpResponseTooLarge",
    ] {
        assert!(log.contains(told), "{told}: {log}");
    }
    assert_eq!(server.http.functions.places().counts().running, 0);
}

#[tokio::test]
async fn an_action_hears_that_its_client_has_gone_before_and_within_its_answer() {
    let server = Server::start().await;
    let waiting = tokio::spawn(server.get("/http/rust/leaving?early").send());
    server.latch.entered.notified().await;
    waiting.abort();
    server.latch.release.notified().await;
    let mut response = server.get("/http/rust/leaving").send().await.unwrap();
    assert_eq!(&response.chunk().await.unwrap().unwrap()[..], b"first");
    drop(response);
    server.latch.release.notified().await;
    // A client that has gone is no failure.
    while runs(&server, "GET /rust/leaving").runs < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(runs(&server, "GET /rust/leaving").errors, 0);
}

#[tokio::test]
async fn a_state_that_the_program_did_not_give_is_an_error() {
    let server = Server::start().await;
    let (status, thrown) = answer(server.get("/http/rust/stateless")).await;
    assert_eq!(status, 500);
    assert!(
        thrown["trace"].as_str().unwrap().contains("App::state"),
        "{thrown}"
    );
}
