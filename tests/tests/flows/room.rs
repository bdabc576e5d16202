//! A server whose system lets it hold few files open. It raises the limit, tells the consequences, and answers for its
//! health when it is full.

use std::io::{Read, Write};
use std::net::TcpStream;

/// Sets the soft and the hard limit before the chat starts.
fn limited(data: &std::path::Path, soft: u32, hard: u32) -> vestibule_tests::process::ChatOptions {
    let program = env!("CARGO_BIN_EXE_chat-under-test");
    let script = format!("ulimit -Sn {soft}; ulimit -Hn {hard}; exec {program} \"$@\"");
    vestibule_tests::process::ChatOptions::new("/bin/sh", data).arguments(&[
        "-c",
        &script,
        "chat",
        "--listen",
        "127.0.0.1:0",
    ])
}

/// Opens a WebSocket, or says what it is answered.
fn open(address: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET /api/sync HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    (stream, String::from_utf8_lossy(&answer[9..]).into_owned())
}

#[tokio::test]
async fn the_soft_limit_is_raised_and_a_full_server_is_alive_and_not_ready() {
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("log");
    let options = limited(data.path(), 150, 300)
        .log(&log)
        .variable("VESTIBULE_LOG", "info");
    let running = options.start().unwrap();
    let [most] = running
        .metrics(&["vestibule_http_connections_max"])
        .await
        .unwrap()[..]
    else {
        panic!("one metric was asked for");
    };
    assert!(most > 150.0 && most < 300.0, "{most}");
    let address = running.url().strip_prefix("http://").unwrap().to_string();
    let mut sockets = Vec::new();
    let refused = loop {
        let (socket, status) = open(&address);
        if status != "101" {
            break status;
        }
        sockets.push(socket);
        assert!(sockets.len() <= most as usize, "more are open than may be");
    };
    assert_eq!(refused, "503");
    assert!(sockets.len() > 150, "{} fit", sockets.len());
    let ask = async |path: &str| {
        let client = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .build()
            .unwrap();
        let answer = client
            .get(format!("{}{path}", running.url()))
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(ask("/healthz").await.0, 200, "it is alive");
    let (status, why) = ask("/readyz").await;
    assert_eq!((status, why.contains("full")), (503, true), "{why}");
    let (status, metrics) = ask("/metrics").await;
    assert!(status == 200 && metrics.contains("vestibule_http_refused_connections_total"));
    let (status, why) = ask("/api/query").await;
    assert_eq!(
        (status, why.contains("TooManyConnections")),
        (503, true),
        "{why}"
    );
    drop(sockets);
    while ask("/readyz").await.0 != 200 {
        tokio::task::yield_now().await;
    }
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("raised the limit of open files"), "{said}");
    assert_eq!(
        said.matches("as many are open as may be").count(),
        1,
        "{said}"
    );
}
