//! HTTP actions: the requests that reach them, and the answers that come of them.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::harness::{Server, Setup, answer, assert_refused, json_of, pass_time};
use crate::functions::Runs;
use crate::http::options::ECHO_BYTES_MAX;

pub async fn with(change: impl FnOnce(&mut Setup)) -> Server {
    let mut setup = Setup::default();
    change(&mut setup);
    Server::start_with(setup).await
}

pub async fn gated() -> Server {
    with(|setup| setup.provision_with = Some("users:ensure")).await
}

pub fn post(server: &Server, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    server.ask(Method::POST, path).body(body)
}

pub async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

// ---- what reaches them -------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_request_reaches_its_action_as_it_was_sent() {
    let server = Server::start().await;
    let request = post(&server, "/http/tell?a=1&b=%20x&b=2", &b"\x00\xff"[..]);
    let (status, told) = answer(request.header("X-One", "one")).await;
    let expected = json!({
        "method": "POST", "path": "/tell", "query": "a=1&b=%20x&b=2", "b": " x", "x": "one", "body": [0, 255],
    });
    assert_eq!((status.as_u16(), told), (200, expected));
    // Below a prefix the path is what was sent, not what it may mean.
    let request = server
        .ask(Method::PUT, "/http/files/a%2Fb/%C3%A9/")
        .body("x");
    assert_eq!(answer(request).await.1["path"], "/files/a%2Fb/%C3%A9/");
    // An address that ends in a slash, joined with a path that begins with one.
    for path in ["/http/", "//http/"] {
        assert_eq!(answer(server.get(path)).await.1["path"], "/", "{path}");
    }
}

#[tokio::test]
async fn head_is_asked_of_get_and_answered_without_a_body() {
    let server = Server::start().await;
    let head = server.ask(Method::HEAD, "/http/tell").send().await.unwrap();
    let length = head.headers()["content-length"].clone();
    assert_eq!(head.status(), 200);
    assert_eq!(head.text().await.unwrap(), "");
    let get = server.get("/http/tell").send().await.unwrap();
    assert_eq!(get.headers()["content-length"], length);
    assert_eq!(json_of(get).await["method"], "GET");
    // The body of such a request is thrown away.
    let with_body = server.get("/http/tell").body("surprise");
    assert_eq!(answer(with_body).await.1["body"], json!([]));
}

#[tokio::test]
async fn what_no_route_takes_is_refused_by_path_or_by_method() {
    let server = Server::start().await;
    for path in ["/http/nothing", "/http/tell/", "/http/TELL"] {
        let response = server.get(path).send().await.unwrap();
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(response.headers()["content-type"], "text/plain");
        assert_eq!(response.text().await.unwrap(), "No matching routes found");
    }
    for path in ["/http", "/tell"] {
        assert_refused(server.get(path), 404, "NotFound").await;
    }
    for (method, path, allow) in [
        (Method::DELETE, "/http/tell", "POST, GET, HEAD"),
        (Method::GET, "/http/throw", "POST"),
        (Method::OPTIONS, "/http/throw", "POST"),
        (Method::POST, "/http/files/x", "PUT"),
    ] {
        let response = server.ask(method, path).send().await.unwrap();
        assert_eq!(response.status(), 405, "{path}");
        assert_eq!(response.headers()["allow"], allow, "{path}");
        assert_eq!(json_of(response).await["code"], "MethodNotAllowed");
    }
}

#[tokio::test]
async fn an_app_without_http_actions_says_so() {
    let server = with(|setup| setup.has_routes = false).await;
    let response = server.get("/http/tell").send().await.unwrap();
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers()["content-type"], "text/plain");
    let text = response.text().await.unwrap();
    assert_eq!(
        text,
        "This Convex deployment does not have HTTP actions enabled."
    );
}

#[tokio::test]
async fn what_pages_of_other_origins_are_told_is_the_apps_own_affair() {
    let server = with(|setup| {
        setup.options.allowed_origins = Some(vec!["https://app.example".to_string()]);
    })
    .await;
    let ask = |path: &str| {
        server
            .ask(Method::OPTIONS, path)
            .header("Origin", "https://elsewhere.example")
            .header("Access-Control-Request-Method", "POST")
            .send()
    };
    let open = ask("/http/open").await.unwrap();
    assert_eq!(open.status(), 204);
    assert_eq!(open.headers()["access-control-allow-origin"], "*");
    assert!(open.headers().get("vary").is_none());
    // Where the app says nothing, no page may ask.
    let closed = ask("/http/throw").await.unwrap();
    assert_eq!(closed.status(), 405);
    assert!(
        closed
            .headers()
            .get("access-control-allow-origin")
            .is_none()
    );
}

#[tokio::test]
async fn headers_that_only_clients_mean_something_by_refuse_nobody() {
    let server = Server::start().await;
    let request = server
        .get("/http/tell")
        .header("Convex-Client", "npm-0.0.1")
        .header("Convex-Request-Id", "not an id");
    assert_eq!(status(request).await, 200);
}

#[tokio::test]
async fn a_body_over_the_limit_never_reaches_its_action() {
    let server = with(|setup| setup.options.action_body_bytes_max = 10_000).await;
    assert_eq!(
        status(post(&server, "/http/tell", vec![0; 10_000])).await,
        200
    );
    let long = post(&server, "/http/tell", vec![0; 10_001]);
    assert_refused(long, 413, "HttpRequestTooLarge").await;
    let chunk = format!("{:x}\r\n{}\r\n", 6_000, "x".repeat(6_000));
    let head = "POST /http/tell HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunked = server
        .raw(format!("{head}{chunk}{chunk}0\r\n\r\n").as_bytes())
        .await;
    assert!(chunked.starts_with("HTTP/1.1 413 "), "{chunked}");
    assert_eq!(runs(&server, "POST /tell").runs, 1);
    // The routes of functions keep their own.
    assert_eq!(status(post(&server, "/echo", vec![0; 10_001])).await, 200);
}

#[tokio::test]
async fn an_echo_may_be_longer_than_what_functions_are_sent() {
    let server = with(|setup| setup.options.body_bytes_max = 10_000).await;
    let sent = "x".repeat(10_001);
    let echoed = post(&server, "/echo", sent.clone()).send().await.unwrap();
    assert_eq!(echoed.text().await.unwrap(), sent);
    let long = vec![0; ECHO_BYTES_MAX + 1];
    assert_refused(post(&server, "/echo", long), 400, "BadJsonBody").await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let server = with(|setup| setup.options.body_timeout = Duration::from_millis(50)).await;
    let cut = "POST /http/tell HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc";
    let answer = server.as_time_passes(server.raw(cut.as_bytes())).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(runs(&server, "POST /tell").runs, 0);
}

// ---- what becomes of their answers -------------------------------------------------------------------------------

#[tokio::test]
async fn an_answer_is_sent_as_it_was_made_but_for_what_frames_it() {
    let server = Server::start().await;
    let response = server.get("/http/framed").send().await.unwrap();
    assert_eq!(response.status(), 201);
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(response.headers()["content-length"], "6");
    assert!(response.headers().get("connection").is_none());
    assert_eq!(response.text().await.unwrap(), "framed");
}

#[tokio::test]
async fn an_action_that_breaks_is_answered_and_ends_nothing_else() {
    let server = Server::start().await;
    for (path, body) in [
        ("/http/panic", "x"),
        ("/http/throw", "x"),
        ("/http/status", "101"),
    ] {
        let (status, broken) = answer(post(&server, path, body)).await;
        assert_eq!(status, 500, "{path}");
        let code = broken["code"].as_str().unwrap();
        assert!(code.starts_with("[Request ID: "), "{code}");
        assert!(code.contains("] Server Error: "), "{code}");
        assert!(broken["trace"].is_string(), "{broken}");
    }
    let thrown = answer(post(&server, "/http/throw", "")).await.1;
    assert_eq!(thrown["data"], json!({ "code": "FULL" }));
    let long = answer(server.get("/http/long")).await.1;
    assert!(
        long["trace"]
            .as_str()
            .unwrap()
            .starts_with("HttpResponseTooLarge")
    );
    assert_eq!(status(post(&server, "/http/status", "418")).await, 418);
    let status_runs = runs(&server, "POST /status");
    assert_eq!((status_runs.runs, status_runs.errors), (2, 1));
    assert_eq!(runs(&server, "POST /panic").errors, 1);
    assert_eq!(runs(&server, "POST /throw").errors, 2);
}

#[tokio::test]
async fn where_errors_are_hidden_a_request_id_and_the_apps_data_are_left() {
    let server = with(|setup| setup.redact = true).await;
    let thrown = answer(post(&server, "/http/throw", "")).await.1;
    let code = thrown["code"].as_str().unwrap();
    assert!(code.ends_with("] Server Error"), "{code}");
    assert_eq!(thrown["data"], json!({ "code": "FULL" }));
    assert!(thrown.get("trace").is_none(), "{thrown}");
    let panicked = post(&server, "/http/panic", "what was sent");
    let text = panicked.send().await.unwrap().text().await.unwrap();
    assert!(!text.contains("what was sent"), "{text}");
}

#[tokio::test]
async fn an_action_that_takes_too_long_is_ended_and_gives_its_place_back() {
    let server = with(|setup| {
        setup.options.request_timeout = Duration::from_millis(100);
        setup.options.requests_max = 1;
        setup.action_time_max = Duration::from_millis(200);
    })
    .await;
    let ends = async {
        assert_eq!(status(server.get("/http/wait")).await, 408);
        // Its place is free once it has ended too, though no test code released it.
        while status(server.get("/http/tell")).await != 200 {}
    };
    server.as_time_passes(ends).await;
    let ended = runs(&server, "GET /wait");
    assert_eq!((ended.runs, ended.errors), (1, 1));
}

#[tokio::test]
async fn an_action_goes_on_when_whoever_asked_leaves() {
    let server = with(|setup| setup.options.requests_max = 1).await;
    let waiting = tokio::spawn(server.get("/http/wait").send());
    server.latch.entered.notified().await;
    waiting.abort();
    assert!(waiting.await.is_err());
    assert_refused(server.get("/http/tell"), 429, "TooManyConcurrentRequests").await;
    server.latch.release.notify_one();
    while status(server.get("/http/tell")).await != 200 {}
    let ended = runs(&server, "GET /wait");
    assert_eq!((ended.runs, ended.errors), (1, 0));
}

#[tokio::test]
async fn an_action_under_way_is_answered_before_the_server_ends() {
    let server = Server::start().await;
    let waiting = tokio::spawn(server.get("/http/wait").send());
    server.latch.entered.notified().await;
    server.shutdown.cancel();
    server.latch.release.notify_one();
    let released = waiting.await.unwrap().unwrap();
    assert_eq!(released.text().await.unwrap(), "released");
    server.serving.await.unwrap();
}

#[tokio::test]
async fn an_action_that_does_not_end_in_time_is_dropped_with_the_server() {
    let server = with(|setup| setup.options.drain_timeout = Duration::from_millis(50)).await;
    let waiting = tokio::spawn(server.get("/http/wait").send());
    server.latch.entered.notified().await;
    server.shutdown.cancel();
    pass_time(&server.clock, server.serving).await.unwrap();
    let ended = waiting.await.unwrap();
    assert!(ended.is_err() || ended.unwrap().status() == 503);
}

fn runs(server: &Server, route: &str) -> Runs {
    let runs = server.http.functions.registry().runs();
    let found = runs.into_iter().find(|runs| runs.path == route);
    let found = found.expect("the route is counted");
    assert_eq!(found.kind, "HttpAction");
    found
}

#[tokio::test]
async fn requests_are_measured_together_so_that_their_paths_make_no_labels() {
    let server = Server::start().await;
    for path in ["/http/tell", "/http/files/a", "/http/nothing"] {
        status(server.get(path)).await;
    }
    let metrics = server.get("/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(
        metrics.contains(r#"route="/http/{*path}",status="200""#),
        "{metrics}"
    );
    assert!(!metrics.contains("/http/tell"), "{metrics}");
}
