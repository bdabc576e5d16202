//! Files over HTTP: sent to upload URLs, read at their own, whole and in parts, by every permitted client.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use parking_lot::Mutex;
use reqwest::{Method, Response};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::harness::{Server, Setup, answer, assert_refused, json_of, read_to_end};
use crate::files::FilesOptions;

fn upload_url(server: &Server) -> String {
    server.files.generate_upload_url(None)
}

async fn upload(server: &Server, content_type: &str, content: &str) -> String {
    let request = reqwest::Client::new()
        .post(upload_url(server))
        .header("content-type", content_type)
        .body(content.to_string());
    let (status, body) = answer(request).await;
    assert_eq!(status, 200, "{body}");
    body["storageId"].as_str().unwrap().to_string()
}

async fn url_of(server: &Server, id: &str) -> String {
    server.files.url_now(id.to_string()).await.unwrap().unwrap()
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

fn digest(content: &str) -> String {
    format!("sha-256={}", BASE64.encode(&Sha256::digest(content)))
}

#[tokio::test]
async fn a_file_that_is_sent_is_read_at_its_url() {
    let server = Server::start().await;
    let id = upload(&server, "text/plain", "hello").await;
    let url = url_of(&server, &id).await;
    let whole = reqwest::get(&url).await.unwrap();
    assert_eq!(whole.status(), 200);
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-length", "5"),
        ("accept-ranges", "bytes"),
        ("cache-control", "private, max-age=2592000"),
        ("digest", &digest("hello")),
        ("x-content-type-options", "nosniff"),
        ("content-disposition", ""),
    ] {
        assert_eq!(header(&whole, name), value, "{name}");
    }
    let etag = header(&whole, "etag").to_string();
    assert_eq!(whole.text().await.unwrap(), "hello");
    let client = reqwest::Client::new();
    let head = client.head(&url).send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), header(&head, "content-length")),
        (200, "5")
    );
    let same = client
        .get(&url)
        .header("if-none-match", etag)
        .send()
        .await
        .unwrap();
    assert_eq!(same.status(), 304);
    let part = client
        .get(&url)
        .header("range", "bytes=1-3")
        .send()
        .await
        .unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(header(&part, "content-range"), "bytes 1-3/5");
    assert_eq!(
        (header(&part, "content-length"), header(&part, "digest")),
        ("3", "")
    );
    assert_eq!(part.text().await.unwrap(), "ell");
    for range in ["bytes=5-", "bytes=0-1,2-3"] {
        let beyond = client
            .get(&url)
            .header("range", range)
            .send()
            .await
            .unwrap();
        assert_eq!(beyond.status(), 416, "{range}");
        assert_eq!(header(&beyond, "content-range"), "bytes */5");
    }
    for range in ["x=0-1", "bytes=x"] {
        let all = client
            .get(&url)
            .header("range", range)
            .send()
            .await
            .unwrap();
        assert_eq!(all.status(), 200, "{range}");
        assert_eq!(all.text().await.unwrap(), "hello", "{range}");
    }
}

#[tokio::test]
async fn what_a_browser_would_run_comes_as_a_download() {
    let server = Server::start().await;
    for content_type in ["text/html", "image/svg+xml"] {
        let id = upload(&server, content_type, "<script>alert(1)</script>").await;
        let page = reqwest::get(url_of(&server, &id).await).await.unwrap();
        assert_eq!(header(&page, "content-type"), content_type);
        assert_eq!(header(&page, "content-disposition"), "attachment");
        assert!(header(&page, "content-security-policy").starts_with("sandbox"));
    }
    let image = upload(&server, "image/png", "png").await;
    let image = reqwest::get(url_of(&server, &image).await).await.unwrap();
    assert_eq!(header(&image, "content-disposition"), "");
}

#[tokio::test]
async fn addresses_that_name_no_file_are_told_apart() {
    let server = Server::start().await;
    let get = |path: &str| server.get(&format!("/api/storage/{path}"));
    for path in [
        "x",
        "..%2f..%2fsecret",
        "%00",
        "{01234567-89ab-cdef-8123-456789abcdef}",
    ] {
        assert_refused(get(path), 400, "InvalidStoragePath").await;
    }
    let (_, body) = answer(get("x")).await;
    let message = body["message"].as_str().unwrap();
    assert!(
        message.starts_with("Invalid storage path: \"x\"."),
        "{message}"
    );
    assert_refused(
        get("01234567-89ab-4def-8123-456789abcdef"),
        404,
        "FileNotFound",
    )
    .await;
    let id = upload(&server, "text/plain", "gone").await;
    let url = url_of(&server, &id).await;
    server.files.delete_now(id).await.unwrap();
    assert_eq!(reqwest::get(url).await.unwrap().status(), 404);
}

#[tokio::test]
async fn an_upload_url_is_good_for_an_hour_and_here_alone() {
    let server = Server::start().await;
    let send = |query: &str| {
        let path = format!("/api/storage/upload{query}");
        server.ask(Method::POST, &path).body("x")
    };
    for query in ["", "?token=", "?token=abc", "?token=../../x"] {
        assert_refused(send(query), 401, "InvalidStorageToken").await;
    }
    let url = upload_url(&server);
    server.clock.advance(Duration::from_secs(3_599));
    let client = reqwest::Client::new();
    let sent = client.post(&url).body("x").send().await.unwrap();
    assert_eq!(sent.status(), 200);
    server.clock.advance(Duration::from_secs(1));
    assert_refused(client.post(&url).body("x"), 401, "StorageTokenExpired").await;
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_refused_request_has_one_line_in_the_log_with_its_code() {
    let server = Server::start().await;
    let url = upload_url(&server);
    let id = upload(&server, "text/plain", "hello").await;
    let file = url_of(&server, &id).await;
    let client = reqwest::Client::new();
    let storage = |path: &str| server.get(&format!("/api/storage/{path}"));
    let nothing = "01234567-89ab-4def-8123-456789abcdef";
    let part = "/api/import/upload_part?uploadToken=../secret&partNumber=1";
    let key = format!("Convex {}", server.admin_key());
    let part = server.ask(Method::POST, part).header("authorization", key);
    let log = Lines::default();
    let writer = log.clone();
    let kept = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let _keeping = tracing::subscriber::set_default(kept);
    for (request, code) in [
        (
            server.ask(Method::POST, "/api/storage/upload?token=secret"),
            "InvalidStorageToken",
        ),
        (
            client
                .post(&url)
                .header("digest", digest("other"))
                .body("x"),
            "Sha256Mismatch",
        ),
        (storage("secret"), "InvalidStoragePath"),
        (storage(nothing), "FileNotFound"),
        (
            client.get(&file).header("range", "bytes=9-"),
            "InvalidRange",
        ),
        (part.body("x"), "UploadNotFound"),
    ] {
        let status = request.send().await.unwrap().status();
        assert!(status.is_client_error(), "{code}: {status}");
        let told = String::from_utf8(std::mem::take(&mut *log.0.lock())).unwrap();
        let refused: Vec<&str> = told
            .lines()
            .filter(|line| line.contains("refused"))
            .collect();
        assert_eq!(refused.len(), 1, "{code}: {told}");
        assert!(refused[0].contains(code), "{code}: {told}");
        assert!(!refused[0].contains("secret"), "{told}");
    }
}

#[tokio::test]
async fn an_announced_digest_must_be_that_of_the_content() {
    let server = Server::start().await;
    let send = |digest: &str| {
        let request = reqwest::Client::new().post(upload_url(&server));
        request.header("digest", digest).body("hello")
    };
    let (status, _) = answer(send(&digest("hello"))).await;
    assert_eq!(status, 200);
    let (status, _) = answer(send(&format!("md5=x, SHA-256={}", &digest("hello")[8..]))).await;
    assert_eq!(status, 200);
    assert_refused(send(&digest("other")), 400, "Sha256Mismatch").await;
    assert_refused(send("sha-256=short"), 400, "InvalidSha256").await;
}

#[tokio::test]
async fn pages_of_other_origins_may_send_and_read() {
    let server = Server::start().await;
    let url = upload_url(&server);
    let client = reqwest::Client::new();
    let preflight = client
        .request(Method::OPTIONS, &url)
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type, digest");
    let preflight = preflight.send().await.unwrap();
    assert_eq!(
        header(&preflight, "access-control-allow-headers"),
        "content-type, digest"
    );
    let sent = client
        .post(&url)
        .header("origin", "https://app.example")
        .body("x");
    let sent = sent.send().await.unwrap();
    assert_eq!(
        header(&sent, "access-control-allow-origin"),
        "https://app.example"
    );
}

#[tokio::test]
async fn an_upload_passes_the_gate_first_and_a_refused_one_stores_nothing() {
    let setup = Setup {
        provision_with: Some("users:ensure"),
        ..Setup::default()
    };
    let server = Server::start_with(setup).await;
    let client = reqwest::Client::new();
    let send = |url: String, subject: &str| {
        let token = server.token(subject);
        client.post(url).bearer_auth(token).body("hello")
    };
    let (status, body) = answer(send(upload_url(&server), "mallory")).await;
    assert_eq!(
        (status.as_u16(), body["code"].as_str()),
        (403, Some("NotProvisioned"))
    );
    let bad_token = client
        .post(upload_url(&server))
        .bearer_auth("x")
        .body("hello");
    let (status, _) = answer(bad_token).await;
    assert_eq!(status, 401);
    assert_eq!(stored(&server), 0);
    let (status, _) = answer(send(upload_url(&server), "ada")).await;
    assert_eq!(status, 200);
    assert_eq!(stored(&server), 1);
}

#[tokio::test]
async fn an_upload_url_serves_the_identity_that_asked_for_it() {
    let server = Server::start().await;
    let issuer = format!("http://{}", server.address);
    let ada = vestibule_schema::identity::IdentityKey::new(format!("{issuer}|ada"));
    let url = server.files.generate_upload_url(Some(&ada));
    let client = reqwest::Client::new();
    let as_eve = client.post(&url).bearer_auth(server.token("eve")).body("x");
    assert_refused(as_eve, 401, "InvalidStorageToken").await;
    assert_eq!(stored(&server), 0);
    for request in [
        client.post(&url).bearer_auth(server.token("ada")).body("x"),
        client.post(&url).body("x"),
    ] {
        assert_eq!(answer(request).await.0, 200);
    }
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_while_it_arrives() {
    let setup = Setup {
        files: FilesOptions {
            file_bytes_max: Some(100_000),
            ..FilesOptions::default()
        },
        ..Setup::default()
    };
    let server = Server::start_with(setup).await;
    let send = |bytes: usize| {
        let request = reqwest::Client::new().post(upload_url(&server));
        request.body(vec![7; bytes])
    };
    assert_eq!(answer(send(100_000)).await.0, 200);
    assert_refused(send(100_001), 413, "FileTooLarge").await;
    assert_eq!(stored(&server), 1);
}

#[tokio::test]
async fn an_upload_that_is_cut_anywhere_leaves_nothing() {
    let server = Server::start().await;
    let url = upload_url(&server);
    let (_, path) = url.split_once("//").unwrap().1.split_once('/').unwrap();
    let head = format!("POST /{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n");
    for sent in [0, 1, 70_000, 199_999] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![7; sent]).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{sent}: {answer}");
    }
    let id = upload(&server, "text/plain", "whole").await;
    assert!(!id.is_empty());
    // Temporary files are removed beside.
    while stored(&server) != 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn functions_see_files_as_everybody_does() {
    let server = Server::start().await;
    let stored = server.call("action", "files:keep", json!({ "text": "hello" }));
    let id = json_of(stored.send().await.unwrap()).await["value"].clone();
    let url = server.call("query", "files:url", json!({ "id": id }));
    let url = json_of(url.send().await.unwrap()).await["value"].clone();
    let text = reqwest::get(url.as_str().unwrap()).await.unwrap();
    assert_eq!(text.text().await.unwrap(), "hello");
    let deleted = server.call("mutation", "files:remove", json!({ "id": id }));
    assert_eq!(
        json_of(deleted.send().await.unwrap()).await["status"],
        "success"
    );
    let url = server.call("query", "files:url", json!({ "id": id }));
    assert_eq!(
        json_of(url.send().await.unwrap()).await["value"],
        json!(null)
    );
    let again = server.call("mutation", "files:remove", json!({ "id": id }));
    let again = json_of(again.send().await.unwrap()).await;
    let message = again["errorMessage"].as_str().unwrap();
    assert!(message.contains("not found"), "{message}");
}

/// How many files the server's directory holds.
fn stored(server: &Server) -> usize {
    let shards = std::fs::read_dir(server.dir.path().join("files")).unwrap();
    let contents = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    contents.count()
}
