//! The current socket: none, one that is being opened, or an open one.

use std::collections::VecDeque;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;
use vestibule_schema::wire::ClientMessage;

use crate::connection::{Connection, ConnectionError, Heard};
use crate::error::ConnectError;

type Opening = Pin<Box<dyn Future<Output = Result<Box<Connection>, ConnectError>> + Send>>;

/// The socket.
pub(crate) enum Socket {
    None,
    Opening(Opening),
    Open(Box<Connection>),
}

/// The events of the socket.
pub(crate) enum SocketEvent {
    Opened(Result<Box<Connection>, ConnectError>),
    Heard(Result<Heard, ConnectionError>),
}

/// Opens a connection, within `open_max`.
pub(crate) async fn open(url: String, open_max: Duration) -> Result<Box<Connection>, ConnectError> {
    let opened = timeout(open_max, Connection::open(&url)).await;
    let connection = opened.map_err(|_| ConnectError::TimedOut(open_max))??;
    Ok(Box::new(connection))
}

impl Socket {
    /// The next thing that happens on it. Nothing is lost when it is given up before it returns.
    pub async fn next(&mut self, outbox: &mut VecDeque<ClientMessage>) -> SocketEvent {
        let connection = match self {
            Socket::None => return pending().await,
            Socket::Opening(opening) => return SocketEvent::Opened(opening.await),
            Socket::Open(connection) => connection,
        };
        // Reading goes on while there is something to write: a server that waits for us to read would never take it.
        poll_fn(|cx| {
            if let Poll::Ready(heard) = connection.poll_heard(cx) {
                return Poll::Ready(SocketEvent::Heard(heard));
            }
            connection
                .poll_send_all(cx, outbox)
                .map(|error| SocketEvent::Heard(Err(error)))
        })
        .await
    }
}
