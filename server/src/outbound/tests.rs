//! Requests to servers of this machine: redirects, addresses, proxies, bodies.

use std::collections::HashMap;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, LOCATION};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

use super::resolver::Found;
use super::*;

/// Answers `/echo` with what it was asked, `/to/STATUS/URL` with a redirect, `/loop/N` with a redirect to `/loop/N-1`.
async fn answer(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let mut response = Response::new(Body::empty());
    if let Some(status) = path.strip_prefix("/to/") {
        *response.status_mut() = status.parse::<StatusCode>().unwrap();
        let location = HeaderValue::from_str(&query).unwrap();
        response.headers_mut().insert(LOCATION, location);
        return response;
    }
    if let Some(left) = path
        .strip_prefix("/loop/")
        .map(|n| n.parse::<u32>().unwrap())
        && left > 0
    {
        *response.status_mut() = StatusCode::FOUND;
        let location = format!("/loop/{}", left - 1).parse().unwrap();
        response.headers_mut().insert(LOCATION, location);
        return response;
    }
    if path == "/gzip" {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&[b'a'; 100_000]).unwrap();
        let encoding = HeaderValue::from_static("gzip");
        response.headers_mut().insert(CONTENT_ENCODING, encoding);
        *response.body_mut() = gzip.finish().unwrap().into();
        return response;
    }
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let header = |name: &str| {
        let value = parts.headers.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let echo = json!({
        "uri": parts.uri.to_string(),
        "method": parts.method.as_str(),
        "body": String::from_utf8(body.to_vec()).unwrap(),
        "authorization": header("authorization"),
        "type": header("content-type"),
        "x": header("x-own"),
    });
    *response.body_mut() = echo.to_string().into();
    response
}

async fn server() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// A server that promises ten bytes and sends five.
async fn cut() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut head = [0; 4_096];
        let _ = socket.read(&mut head).await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst";
        socket.write_all(answer).await.unwrap();
    });
    address
}

fn open() -> Outbound {
    Outbound::new(OutboundOptions {
        is_open: true,
        ..OutboundOptions::default()
    })
}

fn request(url: &str) -> OutboundRequest {
    OutboundRequest {
        url: Url::parse(url).unwrap(),
        method: Method::GET,
        headers: HeaderMap::new(),
        body: RequestBody::Nothing,
        redirect: Redirect::Follow,
    }
}

fn post(url: &str, body: RequestBody) -> OutboundRequest {
    let mut request = request(url);
    request.method = Method::POST;
    request.body = body;
    for (name, value) in [
        ("authorization", "Bearer t"),
        ("content-type", "text/x"),
        ("x-own", "1"),
    ] {
        request.headers.insert(name, value.parse().unwrap());
    }
    request
}

async fn read(response: OutboundResponse) -> Result<Vec<u8>, OutboundError> {
    let mut all = Vec::new();
    let Some(mut body) = response.body else {
        return Ok(all);
    };
    while let Some(chunk) = body.next().await {
        all.extend_from_slice(&chunk?);
    }
    Ok(all)
}

async fn echo(outbound: &Outbound, request: OutboundRequest) -> Result<Json, OutboundError> {
    let response = outbound.send(request).await?;
    Ok(serde_json::from_slice(&read(response).await?).unwrap())
}

fn streamed() -> RequestBody {
    let parts = ["stre", "amed"].map(|part| Ok(Bytes::from_static(part.as_bytes())));
    RequestBody::Stream(Box::pin(stream::iter(parts)))
}

fn bytes() -> RequestBody {
    RequestBody::Bytes(Bytes::from_static(b"sent"))
}

/// Accepts connections, and says nothing.
async fn silent() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap(), listener)
}

/// The other limit is far away, so each case ends by its own.
#[tokio::test]
async fn a_connection_and_a_silence_have_their_time_and_no_more() {
    let (far, near) = (Duration::from_secs(3_600), Duration::from_millis(50));
    let (address, _listener) = silent().await;
    for (scheme, connect, silence) in [("http", far, near), ("https", near, far)] {
        let outbound = Outbound::new(OutboundOptions {
            is_open: true,
            connect_time_max: connect,
            silence_time_max: silence,
            ..OutboundOptions::default()
        });
        let sent = outbound
            .send(request(&format!("{scheme}://{address}/")))
            .await;
        let error = sent.err().unwrap();
        assert!(
            matches!(error, OutboundError::TooSlow { .. }),
            "{scheme}: {error}"
        );
    }
}

#[tokio::test]
async fn redirects_change_the_request_as_the_standard_says() {
    let (here, there) = (server().await, server().await);
    let outbound = open();
    for (status, method, expected_method, keeps_body) in [
        (301, "POST", "GET", false),
        (302, "POST", "GET", false),
        (303, "POST", "GET", false),
        (307, "POST", "POST", true),
        (308, "POST", "POST", true),
        (301, "PUT", "PUT", true),
        (302, "DELETE", "DELETE", true),
        (303, "PUT", "GET", false),
    ] {
        for (target, is_same_origin) in [
            ("/echo".to_owned(), true),
            (format!("http://{there}/echo"), false),
        ] {
            let mut request = post(&format!("http://{here}/to/{status}?{target}"), bytes());
            request.method = method.parse().unwrap();
            let told = echo(&outbound, request).await.unwrap();
            let label = format!("{status} {method} {target}: {told}");
            assert_eq!(told["method"], expected_method, "{label}");
            assert_eq!(
                told["body"],
                if keeps_body { "sent" } else { "" },
                "{label}"
            );
            assert_eq!(told["type"].is_string(), keeps_body, "{label}");
            assert_eq!(told["authorization"].is_string(), is_same_origin, "{label}");
            assert_eq!(told["x"], "1", "{label}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_a_stream_is_sent_once() {
    let here = server().await;
    let outbound = open();
    let told = echo(&outbound, post(&format!("http://{here}/echo"), streamed())).await;
    assert_eq!(told.unwrap()["body"], "streamed");
    let told = echo(
        &outbound,
        post(&format!("http://{here}/to/303?/echo"), streamed()),
    )
    .await;
    assert_eq!(told.unwrap()["body"], "");
    let again = echo(
        &outbound,
        post(&format!("http://{here}/to/307?/echo"), streamed()),
    )
    .await;
    assert_eq!(again, Err(OutboundError::BodyTwice));
    let broken = stream::iter([Err(OutboundError::RequestBody("no more".into()))]);
    let broken = RequestBody::Stream(Box::pin(broken));
    let failed = echo(&outbound, post(&format!("http://{here}/echo"), broken)).await;
    assert_eq!(failed, Err(OutboundError::RequestBody("no more".into())));
}

#[tokio::test]
async fn redirects_are_followed_twenty_times_or_not_at_all() {
    let here = server().await;
    let outbound = open();
    let at = |path: &str| request(&format!("http://{here}{path}"));
    let followed = outbound.send(at("/loop/20")).await.unwrap();
    assert!(followed.is_redirected && followed.url.path() == "/loop/0");
    let refused = outbound.send(at("/loop/21")).await.err().unwrap();
    assert_eq!(refused.to_string(), "fetch too many redirects");
    let manual = OutboundRequest {
        redirect: Redirect::Manual,
        ..at("/loop/1")
    };
    let manual = outbound.send(manual).await.unwrap();
    assert_eq!((manual.status.as_u16(), manual.is_redirected), (302, false));
    assert_eq!(manual.headers["location"], "/loop/0");
    let error = OutboundRequest {
        redirect: Redirect::Error,
        ..at("/loop/1")
    };
    assert_eq!(
        outbound.send(error).await.err(),
        Some(OutboundError::UnexpectedRedirect)
    );
    for location in [
        "ftp://x/",
        "http://",
        "http://user:pass@127.0.0.1/",
        "file:///etc/passwd",
    ] {
        let refused = outbound
            .send(at(&format!("/to/302?{location}")))
            .await
            .err();
        assert_eq!(refused, Some(OutboundError::RedirectLocation), "{location}");
    }
}

#[tokio::test]
async fn bodies_are_decompressed_and_told_when_they_break_off() {
    let here = server().await;
    let outbound = open();
    let gzip = outbound
        .send(request(&format!("http://{here}/gzip")))
        .await
        .unwrap();
    assert!(gzip.headers.get("content-encoding").is_none());
    assert_eq!(read(gzip).await.unwrap(), vec![b'a'; 100_000]);
    let cut = outbound
        .send(request(&format!("http://{}/", cut().await)))
        .await
        .unwrap();
    let error = read(cut).await.unwrap_err();
    assert!(matches!(error, OutboundError::Body { .. }), "{error}");
    let mut head = request(&format!("http://{here}/gzip"));
    head.method = Method::HEAD;
    assert!(outbound.send(head).await.unwrap().body.is_none());
}

// ---- addresses ---------------------------------------------------------------------------------------------------

/// Names whose addresses change with each look-up, as a hostile server's do.
#[derive(Default)]
struct Rebinding(Mutex<HashMap<String, Vec<Vec<&'static str>>>>);

impl Rebinding {
    fn with(name: &str, answers: &[&[&'static str]]) -> Arc<Rebinding> {
        let answers = answers.iter().map(|answer| answer.to_vec()).collect();
        Arc::new(Rebinding(Mutex::new(HashMap::from([(
            name.to_owned(),
            answers,
        )]))))
    }
}

impl Names for Rebinding {
    fn find(&self, host: &str) -> Found {
        let mut names = self.0.lock();
        let answer = names.get_mut(host).map(|answers| answers.remove(0));
        let addresses = answer.unwrap_or_default().into_iter();
        let addresses: Vec<IpAddr> = addresses.map(|text| text.parse().unwrap()).collect();
        Box::pin(async move { Ok(addresses) })
    }
}

fn careful(allowed: &[&str], names: Arc<dyn Names>) -> Outbound {
    let options = OutboundOptions {
        allowed: allowed.iter().map(|text| text.parse().unwrap()).collect(),
        ..OutboundOptions::default()
    };
    Outbound::with_names(options, names)
}

fn address_of(error: Option<OutboundError>) -> String {
    match error {
        Some(OutboundError::Address { address, .. }) => address.to_string(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn every_spelling_of_an_address_means_that_address() {
    let outbound = careful(&[], Arc::new(Rebinding::default()));
    for (host, expected) in [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0177.0.0.01", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("169.254.169.254", "169.254.169.254"),
        ("0xa9fea9fe", "169.254.169.254"),
        ("[::1]", "::1"),
        ("[::ffff:127.0.0.1]", "127.0.0.1"),
        ("[::ffff:7f00:1]", "127.0.0.1"),
        ("[::ffff:a00:1]", "10.0.0.1"),
        ("[fd00::1]", "fd00::1"),
        ("%31%32%37.0.0.1", "127.0.0.1"),
        ("１２７.0.0.1", "127.0.0.1"),
    ] {
        let refused = outbound
            .send(request(&format!("http://{host}/")))
            .await
            .err();
        assert_eq!(address_of(refused), expected, "{host}");
    }
}

#[tokio::test]
async fn a_refusal_names_the_flag_that_allows_the_address() {
    let outbound = careful(&[], Arc::new(Rebinding::default()));
    let refused = outbound
        .send(request("http://10.0.0.1/"))
        .await
        .err()
        .unwrap();
    assert_eq!(
        refused.to_string(),
        "fetch failed: 10.0.0.1 is at 10.0.0.1, a private address, where functions may not go. \
         Start the server with --fetch-allow 10.0.0.1 to allow it."
    );
    let unknown = outbound
        .send(request("http://nowhere.test/"))
        .await
        .err()
        .unwrap();
    assert_eq!(
        unknown.to_string(),
        "fetch failed: the name nowhere.test cannot be resolved"
    );
}

#[tokio::test]
async fn the_connection_goes_to_the_address_that_was_checked() {
    let here = server().await;
    let url = format!("http://rebound.test:{}/echo", here.port());
    // The name means an allowed address first, and a private one when it is looked up again.
    let names = Rebinding::with("rebound.test", &[&["127.0.0.1"], &["10.0.0.1"]]);
    let outbound = careful(&["127.0.0.1"], names.clone());
    assert!(echo(&outbound, request(&url)).await.is_ok());
    assert_eq!(
        names.0.lock()["rebound.test"].len(),
        1,
        "it was looked up once"
    );
    let fresh = careful(&["127.0.0.1"], names);
    assert_eq!(
        address_of(fresh.send(request(&url)).await.err()),
        "10.0.0.1"
    );
    // Of several addresses only the allowed ones are tried.
    let names = Rebinding::with(
        "rebound.test",
        &[&["10.0.0.1", "::ffff:10.0.0.2", "127.0.0.1"]],
    );
    let outbound = careful(&["127.0.0.1"], names);
    assert!(echo(&outbound, request(&url)).await.is_ok());
}

#[tokio::test]
async fn a_redirect_leads_to_no_address_that_may_not_be_asked() {
    let here = server().await;
    let names = Rebinding::with("inside.test", &[&["10.0.0.1"]]);
    let outbound = careful(&["127.0.0.1"], names);
    for (target, expected) in [
        ("http://10.0.0.1/", "10.0.0.1"),
        ("http://0xa9fea9fe/", "169.254.169.254"),
        ("http://inside.test/", "10.0.0.1"),
        ("//127.0.0.2/", "127.0.0.2"),
    ] {
        let refused = outbound
            .send(request(&format!("http://{here}/to/302?{target}")))
            .await;
        assert_eq!(address_of(refused.err()), expected, "{target}");
    }
}

#[tokio::test]
async fn our_own_origins_are_asked_without_a_network() {
    let other = server().await;
    let own = Own::at(Origins {
        cloud: "https://api.example".to_owned(),
        site: "http://10.0.0.5:3211".to_owned(),
    });
    let server: Arc<dyn OwnServer> = Arc::new(Ourselves { other });
    own.answer_by(Arc::downgrade(&server));
    let outbound = Outbound::new(OutboundOptions {
        own,
        // A proxy is not asked either.
        proxies: ProxyVariables {
            http: Some("http://127.0.0.1:1".to_owned()),
            https: Some("http://127.0.0.1:1".to_owned()),
            no: Some("127.0.0.1".to_owned()),
            ..ProxyVariables::default()
        },
        ..OutboundOptions::default()
    });
    let mut posted = request("http://10.0.0.5:3211/hook?x=1");
    posted.method = Method::POST;
    posted.body = RequestBody::Bytes("hello".into());
    let told = echo(&outbound, posted).await.unwrap();
    assert_eq!(told, json!(["Site", "/hook?x=1", "10.0.0.5:3211", "hello"]));
    let told = echo(&outbound, request("https://api.example/version"));
    assert_eq!(
        told.await.unwrap(),
        json!(["Api", "/version", "api.example", ""])
    );
    let led = outbound.send(request("https://api.example/away"));
    assert_eq!(address_of(led.await.err()), "127.0.0.1");
    drop(server);
    let gone = outbound.send(request("http://10.0.0.5:3211/hook"));
    assert!(
        gone.await.is_err(),
        "a server that has ended answers nothing"
    );
}

/// A server that tells how it was asked, and leads away to a place that is not its own.
struct Ourselves {
    other: SocketAddr,
}

impl OwnServer for Ourselves {
    fn ask(
        &self,
        face: Face,
        path: String,
        request: http::Request<Option<ByteStream>>,
    ) -> OwnAnswer {
        let other = self.other;
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let mut text = String::new();
            if let Some(mut body) = body {
                while let Some(bytes) = body.try_next().await.unwrap() {
                    text.push_str(std::str::from_utf8(&bytes).unwrap());
                }
            }
            let host = parts.headers["host"].to_str().unwrap();
            let told = json!([format!("{face:?}"), path, host, text]).to_string();
            let chunks = futures_util::stream::once(std::future::ready(Ok(Bytes::from(told))));
            let mut response = http::Response::new(Box::pin(chunks) as ByteStream);
            if path == "/away" {
                *response.status_mut() = StatusCode::FOUND;
                let location = format!("http://{other}/echo").parse().unwrap();
                response.headers_mut().insert("location", location);
            }
            response
        })
    }
}

#[tokio::test]
async fn a_proxy_decides_where_requests_go_that_it_carries() {
    let proxy = server().await;
    let outbound = Outbound::new(OutboundOptions {
        proxies: ProxyVariables {
            http: Some(format!("http://{proxy}")),
            no: Some("10.0.0.2".to_owned()),
            ..ProxyVariables::default()
        },
        ..OutboundOptions::default()
    });
    let told = echo(&outbound, request("http://10.0.0.1/inside"))
        .await
        .unwrap();
    assert_eq!(told["uri"], "http://10.0.0.1/inside");
    let straight = outbound.send(request("http://10.0.0.2/")).await.err();
    assert_eq!(address_of(straight), "10.0.0.2");
}
