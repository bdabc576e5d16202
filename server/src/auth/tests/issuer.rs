//! A provider on this machine that answers as told, and counts what it is asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio_util::task::AbortOnDropHandle;

pub const DISCOVERY: &str = "/.well-known/openid-configuration";
pub const KEYS: &str = "/keys";

/// The issuer's answer at one path.
#[derive(Clone)]
pub enum Answer {
    Body {
        content_type: Option<&'static str>,
        cache_control: Option<&'static str>,
        bytes: Vec<u8>,
    },
    Status(u16),
    Redirect(String),
    /// The beginning of a body, and then nothing.
    Stall,
}

pub struct TestIssuer {
    pub url: String,
    shared: Arc<Shared>,
    _server: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<BTreeMap<String, Answer>>,
    asked: Mutex<BTreeMap<String, usize>>,
}

impl Answer {
    pub fn json(json: Json) -> Answer {
        Answer::body(Some("application/json"), json.to_string().into_bytes())
    }

    pub fn body(content_type: Option<&'static str>, bytes: Vec<u8>) -> Answer {
        Answer::Body {
            content_type,
            cache_control: None,
            bytes,
        }
    }

    pub fn cached(json: Json, cache_control: &'static str) -> Answer {
        Answer::Body {
            content_type: Some("application/json; charset=utf-8"),
            cache_control: Some(cache_control),
            bytes: json.to_string().into_bytes(),
        }
    }

    fn response(self) -> Response<Body> {
        match self {
            Answer::Body {
                content_type,
                cache_control,
                bytes,
            } => {
                let mut response = Response::new(Body::from(bytes));
                let headers = [
                    (header::CONTENT_TYPE, content_type),
                    (header::CACHE_CONTROL, cache_control),
                ];
                for (name, value) in headers {
                    if let Some(value) = value {
                        let value = HeaderValue::from_static(value);
                        response.headers_mut().insert(name, value);
                    }
                }
                response
            }
            Answer::Status(status) => status_of(status),
            Answer::Redirect(to) => {
                let mut response = status_of(302);
                let to = HeaderValue::from_str(&to).unwrap();
                response.headers_mut().insert(header::LOCATION, to);
                response
            }
            Answer::Stall => {
                let beginning =
                    futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from("{"))]);
                let rest = futures_util::stream::pending();
                let body = futures_util::StreamExt::chain(beginning, rest);
                let mut response = Response::new(Body::from_stream(body));
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(header::CONTENT_TYPE, json);
                response
            }
        }
    }
}

fn status_of(status: u16) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

impl TestIssuer {
    /// Answers 404 everywhere, until told otherwise.
    pub async fn start() -> TestIssuer {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared: Arc<Shared> = Arc::default();
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        TestIssuer {
            url,
            shared,
            _server: AbortOnDropHandle::new(server),
        }
    }

    /// An honest OIDC provider with these keys.
    pub async fn with_keys(keys: &[Json]) -> TestIssuer {
        let issuer = TestIssuer::start().await;
        issuer.answer(DISCOVERY, Answer::json(issuer.discovery()));
        issuer.answer(KEYS, Answer::json(json!({ "keys": keys })));
        issuer
    }

    pub fn discovery(&self) -> Json {
        json!({"issuer": self.url, "jwks_uri": format!("{}{KEYS}", self.url)})
    }

    pub fn answer(&self, path: &str, answer: Answer) {
        self.shared.answers.lock().insert(path.to_owned(), answer);
    }

    /// How often `path` was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.shared.asked.lock().get(path).copied().unwrap_or(0)
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    OriginalUri(uri): OriginalUri,
) -> Response<Body> {
    *shared
        .asked
        .lock()
        .entry(uri.path().to_owned())
        .or_default() += 1;
    let answer = shared.answers.lock().get(uri.path()).cloned();
    answer.unwrap_or(Answer::Status(404)).response()
}
