//! One WebSocket that speaks the sync protocol.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use futures_util::{SinkExt, StreamExt};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use vestibule_schema::wire::{ClientMessage, MESSAGE_BYTES_MAX, MessageError, ServerMessage};

/// The client's name in its messages to the server.
const CLIENT_NAME: &str = concat!("vestibule-rust-", env!("CARGO_PKG_VERSION"));

/// A connection to a server, message by message: no reconnecting, no state. [`Client`](crate::Client) is built over it.
///
/// ```no_run
/// use vestibule_client::Connection;
/// use vestibule_schema::wire::{ClientMessage, ModifyQuerySet};
///
/// # async fn run() -> Result<(), vestibule_client::ConnectionError> {
/// let mut connection = Connection::open("ws://127.0.0.1:3210/api/sync").await?;
/// let nothing = ModifyQuerySet { base_version: 0, new_version: 1, modifications: Vec::new() };
/// connection.send(&ClientMessage::ModifyQuerySet(nothing)).await?;
/// println!("{:?}", connection.next().await?);
/// # Ok(())
/// # }
/// ```
pub struct Connection {
    socket: Socket,
    has_unflushed: bool,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why a connection cannot go on.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// The socket failed, or could not be opened.
    #[error("the connection failed: {0}")]
    Socket(#[from] Box<tungstenite::Error>),
    /// The server closed it.
    #[error("the server closed the connection{}", .0.as_ref().map_or(String::new(), |(code, reason)| format!(": {code} {reason}")))]
    Closed(Option<(u16, String)>),
    /// The server sent something that is not a message.
    #[error("the server sent a message that cannot be read: {0}")]
    Message(#[from] MessageError),
    /// A message to be sent holds arguments that are not values.
    #[error("the message cannot be sent: {0}")]
    Unsendable(#[from] serde_json::Error),
}

/// A message or event from the server.
pub(crate) enum Heard {
    Message(ServerMessage),
    /// A sign of life and nothing more.
    Alive,
}

impl Connection {
    /// Opens a WebSocket to `url`, as in `ws://127.0.0.1:3210/api/sync`.
    pub async fn open(url: &str) -> Result<Connection, ConnectionError> {
        let mut request = url.into_client_request().map_err(Box::new)?;
        let name = HeaderValue::from_static(CLIENT_NAME);
        request.headers_mut().insert("Convex-Client", name);
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let socket = open_socket(request, config).await.map_err(Box::new)?;
        Ok(Connection {
            socket,
            has_unflushed: false,
        })
    }

    /// Sends a message.
    pub async fn send(&mut self, message: &ClientMessage) -> Result<(), ConnectionError> {
        let text = message.to_json()?;
        Ok(self
            .socket
            .send(Message::text(text))
            .await
            .map_err(Box::new)?)
    }

    /// The next message.
    pub async fn next(&mut self) -> Result<ServerMessage, ConnectionError> {
        loop {
            if let Heard::Message(message) = poll_fn(|cx| self.poll_heard(cx)).await? {
                return Ok(message);
            }
        }
    }

    /// The next sign of life.
    pub(crate) fn poll_heard(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Heard, ConnectionError>> {
        let received = ready!(self.socket.poll_next_unpin(cx));
        Poll::Ready(match received.transpose().map_err(Box::new)? {
            Some(Message::Text(text)) => Ok(Heard::Message(ServerMessage::parse(&text)?)),
            Some(Message::Close(frame)) => {
                let close = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                Err(ConnectionError::Closed(close))
            }
            Some(Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_)) => {
                Ok(Heard::Alive)
            }
            None => Err(ConnectionError::Closed(None)),
        })
    }

    /// Sends the messages in `outbox`, as far as the socket takes them. Ready only when the socket has failed.
    pub(crate) fn poll_send_all(
        &mut self,
        cx: &mut Context<'_>,
        outbox: &mut VecDeque<ClientMessage>,
    ) -> Poll<ConnectionError> {
        match self.send_all(cx, outbox) {
            Err(error) => Poll::Ready(error),
            Ok(()) => Poll::Pending,
        }
    }

    fn send_all(
        &mut self,
        cx: &mut Context<'_>,
        outbox: &mut VecDeque<ClientMessage>,
    ) -> Result<(), ConnectionError> {
        while !outbox.is_empty() {
            match self.socket.poll_ready_unpin(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(ready) => ready.map_err(Box::new)?,
            }
            if let Some(message) = outbox.pop_front() {
                let text = Message::text(message.to_json()?);
                self.socket.start_send_unpin(text).map_err(Box::new)?;
                self.has_unflushed = true;
            }
        }
        if self.has_unflushed
            && let Poll::Ready(flushed) = self.socket.poll_flush_unpin(cx)
        {
            flushed.map_err(Box::new)?;
            self.has_unflushed = false;
        }
        Ok(())
    }

    /// Says goodbye.
    pub(crate) async fn close(mut self) -> Result<(), ConnectionError> {
        Ok(self.socket.close(None).await.map_err(Box::new)?)
    }
}

/// Opens a socket, without TLS: `wss` addresses are refused.
#[cfg(not(feature = "tls"))]
async fn open_socket(
    request: Request,
    config: WebSocketConfig,
) -> Result<Socket, tungstenite::Error> {
    use tokio_tungstenite::connect_async_with_config;

    let (socket, _) = connect_async_with_config(request, Some(config), true).await?;
    Ok(socket)
}

/// Opens a socket. TLS is this crate's own, roots and cryptography, whatever else the program holds.
#[cfg(feature = "tls")]
async fn open_socket(
    request: Request,
    config: WebSocketConfig,
) -> Result<Socket, tungstenite::Error> {
    use std::sync::{Arc, LazyLock};

    use tokio_tungstenite::{Connector, connect_async_tls_with_config};

    static TLS: LazyLock<Arc<rustls::ClientConfig>> = LazyLock::new(|| {
        let roots = rustls::RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    });
    let connector = Connector::Rustls(TLS.clone());
    let opened = connect_async_tls_with_config(request, Some(config), true, Some(connector));
    let (socket, _) = opened.await?;
    Ok(socket)
}
