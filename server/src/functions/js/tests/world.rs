//! A server of this machine for actions to talk to. It answers when a test, or another request, tells it to.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;

/// The server.
pub(crate) struct World {
    pub address: SocketAddr,
    pub signs: Arc<Signs>,
}

/// The events there.
#[derive(Default)]
pub(crate) struct Signs {
    /// `/silent` or `/held` is being asked.
    pub entered: Sign,
    /// `/held` may go on.
    pub release: Sign,
    /// The client of `/silent` has gone.
    pub left: Sign,
    /// `/told` was asked.
    pub told: Sign,
}

/// Counts how often an event happened; each waiter takes one count.
pub(crate) struct Sign(Semaphore);

impl Default for Sign {
    fn default() -> Sign {
        Sign(Semaphore::new(0))
    }
}

impl Sign {
    pub fn give(&self) -> StatusCode {
        self.0.add_permits(1);
        StatusCode::OK
    }

    pub async fn given(&self) -> StatusCode {
        self.0.acquire().await.unwrap().forget();
        StatusCode::OK
    }
}

struct Leaving(Arc<Signs>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.left.give();
    }
}

impl World {
    pub async fn start() -> World {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let signs = Arc::new(Signs::default());
        let router = Router::new().fallback(answer).with_state(signs.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        World { address, signs }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn answer(State(signs): State<Arc<Signs>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match parts.uri.path() {
        "/silent" => {
            let _leaving = Leaving(signs.clone());
            signs.entered.give();
            std::future::pending().await
        }
        "/held" => {
            let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"one"))]);
            let second = stream::once(async move {
                signs.release.given().await;
                Ok(Bytes::from_static(b"two"))
            });
            Body::from_stream(first.chain(second)).into_response()
        }
        "/entered" => signs.entered.given().await.into_response(),
        "/release" => signs.release.give().into_response(),
        "/released" => signs.release.given().await.into_response(),
        "/enter" => signs.entered.give().into_response(),
        "/told" => signs.told.give().into_response(),
        "/empty" => StatusCode::NO_CONTENT.into_response(),
        _ => {
            let method = parts.method.to_string();
            let authorization = parts.headers.get("authorization");
            let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let body = String::from_utf8(body.to_vec()).unwrap();
            let told = serde_json::json!([method, body, authorization]);
            ([("x-own", "1")], told.to_string()).into_response()
        }
    }
}
