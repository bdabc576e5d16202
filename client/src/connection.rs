//! One WebSocket that speaks the sync protocol.

use futures_util::{SinkExt, StreamExt};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use vestibule_schema::wire::{ClientMessage, MessageError, ServerMessage};

/// A connection to a server, message by message: no reconnecting, no state.
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
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

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

impl Connection {
    /// Opens a WebSocket to `url`, as in `ws://127.0.0.1:3210/api/sync`.
    pub async fn open(url: &str) -> Result<Connection, ConnectionError> {
        let (socket, _) = connect_async(url).await.map_err(Box::new)?;
        Ok(Connection { socket })
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
            match self.socket.next().await.transpose().map_err(Box::new)? {
                Some(Message::Text(text)) => return Ok(ServerMessage::parse(&text)?),
                Some(Message::Close(frame)) => {
                    let close = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                    return Err(ConnectionError::Closed(close));
                }
                Some(
                    Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_),
                ) => {}
                None => return Err(ConnectionError::Closed(None)),
            }
        }
    }
}
