//! Hostile and clumsy clients: each is answered with its own refusal, and no other client notices.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::{Server, Setup, answer, assert_refused, read_to_end};
use crate::http::HttpOptions;
use crate::http::options::SPARE_CONNECTIONS;

fn with(change: impl FnOnce(&mut HttpOptions)) -> Setup {
    let mut setup = Setup::default();
    change(&mut setup.options);
    setup
}

#[tokio::test]
async fn bytes_that_are_no_request_are_refused() {
    let server = Server::start().await;
    for bytes in [
        "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/1.1\r\nbad header\r\n\r\n",
    ] {
        let answer = server.raw(bytes.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{bytes:?}: {answer}");
    }
    let two_lengths =
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx";
    assert!(
        server
            .raw(two_lengths.as_bytes())
            .await
            .starts_with("HTTP/1.1 400 ")
    );
    let both =
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: gzip\r\n\r\nx";
    assert!(
        server
            .raw(both.as_bytes())
            .await
            .starts_with("HTTP/1.1 400 ")
    );
}

#[tokio::test]
async fn a_header_that_is_too_long_is_refused() {
    let server = Server::start().await;
    let lines = |count: usize| {
        (0..count)
            .map(|n| format!("X-{n}: 1\r\n"))
            .collect::<String>()
    };
    let request =
        |lines: String| format!("GET /version HTTP/1.1\r\nConnection: close\r\n{lines}\r\n");
    assert!(
        server
            .raw(request(lines(99)).as_bytes())
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    assert!(
        server
            .raw(request(lines(100)).as_bytes())
            .await
            .starts_with("HTTP/1.1 431 ")
    );
    for bytes in [49 << 10, 60 << 10, 1 << 20] {
        let long = request(format!(
            "Origin: https://app.example\r\nX: {}\r\n",
            "x".repeat(bytes)
        ));
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // The server may have closed before it has taken all of it.
        let _ = stream.write_all(long.as_bytes()).await;
        let answer = read_to_end(&mut stream).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
            "{bytes}: {answer}"
        );
        let is_in_words = answer.contains("HeaderTooLong")
            && answer.contains("access-control-allow-origin: https://app.example");
        assert!(bytes > 60 << 10 || is_in_words, "{bytes}: {answer}");
    }
    assert_eq!(server.count().await, 0.0);
}

#[tokio::test]
async fn a_header_that_does_not_arrive_ends_its_connection() {
    let server = Server::start_with(with(|options| {
        options.header_timeout = Duration::from_millis(50)
    }))
    .await;
    assert_eq!(server.raw(b"").await, "");
    assert_eq!(server.raw(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow").await, "");
    // A connection kept open for another request is no different.
    let answer = server
        .raw(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_is_sent() {
    let server = Server::start_with(with(|options| options.body_bytes_max = 100_000)).await;
    let text = |length: usize| "x".repeat(length);
    let fine = server.call("mutation", "notes:add", json!({ "text": text(90_000) }));
    assert_eq!(answer(fine).await.1["status"], "success");
    let long = server.call("mutation", "notes:add", json!({ "text": text(100_000) }));
    assert_refused(long, 400, "BadJsonBody").await;

    let chunk = format!("{:x}\r\n{}\r\n", 60_000, text(60_000));
    let json = "Connection: close\r\nContent-Type: application/json";
    let head = format!(
        "POST /api/mutation HTTP/1.1\r\nHost: x\r\n{json}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let chunked = server
        .raw(format!("{head}{chunk}{chunk}0\r\n\r\n").as_bytes())
        .await;
    assert!(
        chunked.starts_with("HTTP/1.1 400 ") && chunked.contains("longer than 100000 bytes"),
        "{chunked}"
    );

    let promised = "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9223372036854775807\r\n\r\n";
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(promised.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
        "{answer}"
    );
    assert_eq!(server.count().await, 1.0);
}

/// The head of an answer, and perhaps some of its body.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.windows(4).any(|window| window == b"\r\n\r\n") {
        assert_ne!(
            stream.read_buf(&mut text).await.unwrap(),
            0,
            "it was closed"
        );
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The server answers long before the client has sent all, and closing then would reset the connection.
#[tokio::test]
async fn a_body_that_nobody_reads_is_thrown_away_and_its_connection_goes_on() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let bytes = 8 << 20;
    let head = format!("POST /api/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    stream.write_all(&vec![b'x'; bytes]).await.unwrap();
    let next = b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(next).await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.contains("HTTP/1.1 200 "), "{answer}");
}

/// Its client has not been asked to send the body, so the next bytes may be another request.
#[tokio::test]
async fn a_body_that_nobody_asked_for_is_not_waited_for() {
    let server = Server::start().await;
    let head = "POST /api/nothing HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    let answer = server.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test]
async fn all_bodies_together_stay_within_their_budget() {
    let server = Server::start_with(with(|options| options.body_bytes_total_max = 10 << 10)).await;
    let echo = |length: usize| {
        server
            .ask(reqwest::Method::POST, "/echo")
            .body(vec![b'x'; length])
    };
    assert_eq!(echo(9 << 10).send().await.unwrap().status(), 200);
    assert_refused(echo(11 << 10), 429, "TooManyConcurrentRequests").await;
    assert_eq!(echo(9 << 10).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let server = Server::start_with(with(|options| {
        options.body_timeout = Duration::from_millis(50)
    }))
    .await;
    let cut = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc";
    let answer = server.as_time_passes(server.raw(cut.as_bytes())).await;
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("RequestTimeout"),
        "{answer}"
    );
}

#[tokio::test]
async fn json_of_any_depth_is_answered() {
    let server = Server::start().await;
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let ask = |body: String| {
        server
            .ask(reqwest::Method::POST, "/api/query")
            .header("Content-Type", "application/json")
            .body(body)
    };
    for args in [deep.as_str(), r#"{"a":1e400}"#, r#"{"a":"\ud800"}"#] {
        let body = ask(format!(r#"{{"path":"notes:count","args":{args}}}"#));
        let (status, told) = answer(body).await;
        let message = told["errorMessage"].as_str().unwrap_or_default();
        let is_told = message.contains("\nInvalid arguments for notes.js:count: ");
        assert!(status == 200 && is_told, "{status} {told}");
    }
    let cut = ask(r#"{"path":"notes:count","args":{"a":1,"a":2"#.to_string());
    assert_refused(cut, 400, "BadJsonBody").await;
    let ignored = format!(r#"{{"path":"notes:count","args":{{}},"other":{deep}}}"#);
    assert_eq!(ask(ignored).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn one_request_too_many_is_refused_and_later_ones_are_not() {
    let server = Server::start_with(with(|options| options.requests_max = 1)).await;
    let waiting = tokio::spawn(server.call("action", "acts:wait", json!({})).send());
    server.latch.entered.notified().await;
    assert_refused(
        server.call("query", "notes:count", json!({})),
        429,
        "TooManyConcurrentRequests",
    )
    .await;
    assert_eq!(answer(server.get("/healthz")).await.0, 200);
    server.latch.release.notify_one();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
    assert_eq!(server.count().await, 0.0);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended_in_words() {
    let server = Server::start_with(with(|options| {
        options.request_timeout = Duration::from_millis(100)
    }))
    .await;
    let waits = server.call("action", "acts:wait", json!({}));
    let refused = assert_refused(waits, 408, "RequestTimeout");
    server.as_time_passes(refused).await;
}

#[tokio::test]
async fn an_action_goes_on_when_its_caller_leaves() {
    let server = Server::start_with(with(|options| options.requests_max = 1)).await;
    let waiting = tokio::spawn(server.call("action", "acts:wait", json!({})).send());
    server.latch.entered.notified().await;
    waiting.abort();
    assert!(waiting.await.is_err());
    // It still holds its place.
    assert_refused(
        server.call("query", "notes:count", json!({})),
        429,
        "TooManyConcurrentRequests",
    )
    .await;
    server.latch.release.notify_one();
    while server
        .call("query", "notes:count", json!({}))
        .send()
        .await
        .unwrap()
        .status()
        != 200
    {}
}

#[tokio::test]
async fn a_connection_too_many_is_told_so() {
    let server = Server::start_with(with(|options| options.connections_max = 1)).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first
        .write_all(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\n",
        )
        .await
        .unwrap();
    let ask = async |path: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nOrigin: https://app.example\r\n\r\n");
        server.raw(request.as_bytes()).await
    };
    let refused = ask("/version").await;
    assert!(
        refused.starts_with("HTTP/1.1 503 ")
            && refused.contains("TooManyConnections")
            && refused.contains("access-control-allow-origin: https://app.example"),
        "{refused}"
    );
    for (path, status) in [("/healthz", 200), ("/readyz", 503), ("/metrics", 200)] {
        let answer = ask(path).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
    }
    // Where even those places are taken, a connection is told so without being read.
    let mut spare = Vec::new();
    for _ in 0..SPARE_CONNECTIONS {
        spare.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut last = TcpStream::connect(server.address).await.unwrap();
    let refused = read_to_end(&mut last).await;
    assert!(
        refused.starts_with("HTTP/1.1 503 ") && refused.contains("TooManyConnections"),
        "{refused}"
    );
    drop(spare);
    first.write_all(b"x").await.unwrap();
    assert!(read_to_end(&mut first).await.starts_with("HTTP/1.1 200 "));
}
