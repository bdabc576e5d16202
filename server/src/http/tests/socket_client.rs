//! A client of the sync protocol over a real socket, which says only what a test tells it to.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::harness::Server;

const SESSION: &str = "3f2b1c9e-5d4a-4c3b-8a7f-0123456789ab";

pub struct SocketClient {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// The code and reason of a close; none for a close without a code.
pub type Closed = Option<(u16, String)>;

impl SocketClient {
    /// Opens a connection, with these headers in its request, and says Connect.
    pub async fn connect(server: &Server, headers: &[(&'static str, &str)]) -> SocketClient {
        let address = format!("ws://{}/api/sync", server.address);
        let mut request = address.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = connect_async(request).await.unwrap();
        let mut client = SocketClient { socket };
        client
            .say(json!({ "type": "Connect", "sessionId": SESSION, "connectionCount": 0 }))
            .await;
        client
    }

    pub async fn say(&mut self, message: Json) {
        // A server that has closed already takes nothing more; the test reads its messages when it asks.
        let _ = self.socket.send(Message::text(message.to_string())).await;
    }

    /// Authenticates as the `kind` of token says.
    pub async fn authenticate(&mut self, base: u32, kind: &str, value: &str) {
        self.say(json!({ "type": "Authenticate", "baseVersion": base, "tokenType": kind, "value": value }))
            .await;
    }

    pub async fn watch(&mut self, path: &str) {
        let add = json!({ "type": "Add", "queryId": 0, "udfPath": path, "args": [{}] });
        let modify = json!({ "type": "ModifyQuerySet", "baseVersion": 0, "newVersion": 1, "modifications": [add] });
        self.say(modify).await;
    }

    /// Calls a mutation or an action.
    pub async fn call(&mut self, kind: &str, request: u32, path: &str) {
        self.say(json!({ "type": kind, "requestId": request, "udfPath": path, "args": [{}] }))
            .await;
    }

    /// The next message, or how the server closed.
    pub async fn next(&mut self) -> Result<Json, Closed> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map(|it| (it.code.into(), it.reason.to_string())));
                }
                Some(Ok(_)) => {}
                ended => panic!("the connection ended without a close: {ended:?}"),
            }
        }
    }

    /// The next message of a kind; others are passed over.
    pub async fn next_of(&mut self, kind: &str) -> Json {
        loop {
            let message = self.next().await.unwrap();
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// How the server closes, and everything it says before.
    pub async fn until_closed(&mut self) -> (Vec<Json>, Closed) {
        let mut said = Vec::new();
        loop {
            match self.next().await {
                Ok(message) => said.push(message),
                Err(closed) => return (said, closed),
            }
        }
    }

    /// The Transition that acknowledges this many Authenticates.
    pub async fn identified(&mut self, version: u64) -> Json {
        loop {
            let message = self.next_of("Transition").await;
            if message["endVersion"]["identity"] == version {
                return message;
            }
        }
    }
}
