//! The end of the server.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::harness::{Server, Setup, pass_time, read_to_end};

#[tokio::test]
async fn a_request_under_way_is_answered_and_nobody_else_is_let_in() {
    let server = Server::start().await;
    let waiting = tokio::spawn(server.call("action", "acts:wait", json!({})).send());
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    server.latch.entered.notified().await;
    server.shutdown.cancel();
    assert_eq!(
        read_to_end(&mut idle).await,
        "",
        "an idle connection is closed"
    );
    assert!(!server.serving.is_finished());
    assert!(TcpStream::connect(server.address).await.is_err());
    server.latch.release.notify_one();
    let answer = waiting.await.unwrap().unwrap().text().await.unwrap();
    assert!(answer.contains("released"), "{answer}");
    server.serving.await.unwrap();
}

#[tokio::test]
async fn what_does_not_end_in_time_is_dropped() {
    let mut setup = Setup::default();
    setup.options.drain_timeout = Duration::from_millis(50);
    let server = Server::start_with(setup).await;
    let waiting = tokio::spawn(server.call("action", "acts:wait", json!({})).send());
    server.latch.entered.notified().await;
    server.shutdown.cancel();
    pass_time(&server.clock, server.serving).await.unwrap();
    let ended = waiting.await.unwrap();
    assert!(ended.is_err() || ended.unwrap().status() == 503);
}

#[tokio::test]
async fn sockets_end_with_the_server() {
    let server = Server::start().await;
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{}/api/sync", server.address))
            .await
            .unwrap();
    server.shutdown.cancel();
    let closing = async {
        use futures_util::StreamExt;
        while let Some(Ok(_)) = socket.next().await {}
    };
    tokio::join!(server.connections.drain(), closing);
    server.serving.await.unwrap();
}

#[tokio::test]
async fn health_says_that_the_server_is_ending() {
    let server = Server::start().await;
    let waiting = tokio::spawn(server.call("action", "acts:wait", json!({})).send());
    server.latch.entered.notified().await;
    // Half a request is a request under way: its connection outlives the listener.
    let mut asking = TcpStream::connect(server.address).await.unwrap();
    asking
        .write_all(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
        )
        .await
        .unwrap();
    let mut first = [0; 16];
    tokio::io::AsyncReadExt::read_exact(&mut asking, &mut first)
        .await
        .unwrap();
    server.shutdown.cancel();
    asking
        .write_all(b"xGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let answer = read_to_end(&mut asking).await;
    assert!(
        answer.contains("HTTP/1.1 200 ") && !answer.contains("\"status\":\"ok\""),
        "{answer}"
    );
    server.latch.release.notify_one();
    waiting.await.unwrap().unwrap();
    server.serving.await.unwrap();
}
