//! The WebSocket under a connection: text in, text out, and how it ends.

use std::borrow::Cow;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Bytes, Message, Utf8Bytes};

use super::budget::{InFlight, Metered, Purse};
use super::options::{FRAGMENT_BYTES_MAX, SyncOptions};
use crate::clock::{Clock, timeout};

/// How the server ends a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Close {
    /// `None` closes without a status, as after an AuthError.
    code: Option<u16>,
    reason: Cow<'static, str>,
}

impl Close {
    pub fn without_code() -> Close {
        Close {
            code: None,
            reason: "".into(),
        }
    }

    /// The client connects again, after a pause that its kind of reason calls for.
    pub fn try_again(reason: &'static str) -> Close {
        Close {
            code: Some(1013),
            reason: reason.into(),
        }
    }

    pub fn internal() -> Close {
        Close {
            code: Some(1011),
            reason: "InternalServerError".into(),
        }
    }

    pub fn going_away() -> Close {
        Close {
            code: Some(1001),
            reason: "ServerShuttingDown".into(),
        }
    }

    pub fn with(code: u16, reason: &'static str) -> Close {
        Close {
            code: Some(code),
            reason: reason.into(),
        }
    }
}

/// An incoming event.
#[derive(Debug)]
pub(super) enum Incoming {
    Text(Utf8Bytes),
    /// A sign of life and nothing more.
    Alive,
    /// The client has closed, or its connection has ended.
    Left,
    /// It broke the rules of WebSockets.
    Broken(Close),
    /// A message is longer than any may be.
    TooLong,
}

/// Sending failed or took too long: the client is gone.
#[derive(Debug)]
pub(super) struct Gone;

pub(super) struct Socket<S> {
    stream: WebSocketStream<Metered<S>>,
    /// In milliseconds, since every connection has one.
    stall_millis_max: u64,
    clock: Arc<dyn Clock>,
    /// Something waits to be flushed.
    is_dirty: bool,
    /// Nothing more can be read as messages.
    is_broken: bool,
}

/// The read buffer: messages are small, and idle connections are many.
const READ_BUFFER_BYTES: usize = 2 << 10;
/// Written messages gather up to this size before they are handed to the system without a flush.
const WRITE_BUFFER_BYTES: usize = 16 << 10;

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// A socket over `io`; its messages count towards `inbound`.
    pub async fn new(
        io: S,
        options: &SyncOptions,
        inbound: Purse,
        clock: Arc<dyn Clock>,
    ) -> Socket<S> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_message_size(Some(options.frame_bytes_max))
            .max_frame_size(Some(options.frame_bytes_max));
        let stream =
            WebSocketStream::from_raw_socket(Metered::new(io, inbound), Role::Server, Some(config))
                .await;
        Socket {
            stream,
            stall_millis_max: u64::try_from(options.stall_max.as_millis()).unwrap_or(u64::MAX),
            clock,
            is_dirty: false,
            is_broken: false,
        }
    }

    /// The next message. Cancel-safe.
    pub async fn receive(&mut self) -> Incoming {
        match self.stream.next().await {
            Some(Ok(message)) => {
                self.stream.get_mut().message_ended();
                incoming(message)
            }
            Some(Err(error)) => {
                self.is_broken = true;
                self.stream.get_mut().discard();
                broken(error)
            }
            None => Incoming::Left,
        }
    }

    /// The next message if it is there already.
    pub fn receive_now(&mut self) -> Option<Incoming> {
        self.receive().now_or_never()
    }

    /// Queues a message; [`Socket::flush`] sends what is queued.
    pub async fn feed(&mut self, text: String) -> Result<(), Gone> {
        self.is_dirty = true;
        if text.len() <= FRAGMENT_BYTES_MAX {
            return self.feed_message(Message::text(text)).await;
        }
        let bytes = Bytes::from(text);
        let fragments = bytes.len().div_ceil(FRAGMENT_BYTES_MAX);
        for at in 0..fragments {
            let start = at * FRAGMENT_BYTES_MAX;
            let end = bytes.len().min(start + FRAGMENT_BYTES_MAX);
            let opcode = OpCode::Data(if at == 0 { Data::Text } else { Data::Continue });
            let frame = Frame::message(bytes.slice(start..end), opcode, at + 1 == fragments);
            self.feed_message(Message::Frame(frame)).await?;
        }
        Ok(())
    }

    /// Asks the client for a sign of life.
    pub async fn probe(&mut self) -> Result<(), Gone> {
        self.is_dirty = true;
        self.feed_message(Message::Ping(Bytes::new())).await
    }

    async fn feed_message(&mut self, message: Message) -> Result<(), Gone> {
        self.while_taken(Self::poll_ready).await?;
        self.stream.start_send_unpin(message).map_err(|_| Gone)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), tungstenite::Error>> {
        self.stream.poll_ready_unpin(cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), tungstenite::Error>> {
        self.stream.poll_flush_unpin(cx)
    }

    /// Waits for as long as the client takes something: a long message takes its time on a slow line.
    async fn while_taken(
        &mut self,
        poll: impl Fn(&mut Self, &mut Context<'_>) -> Poll<Result<(), tungstenite::Error>>,
    ) -> Result<(), Gone> {
        let clock = self.clock.clone();
        let stall_max = Duration::from_millis(self.stall_millis_max);
        loop {
            let taken = self.stream.get_ref().written;
            let polled = poll_fn(|cx| poll(self, cx));
            match timeout(&*clock, stall_max, polled).await {
                Some(done) => return done.map_err(|_| Gone),
                None if self.stream.get_ref().written == taken => return Err(Gone),
                None => {}
            }
        }
    }

    /// The budget that the bytes of the last message take, until it is dropped.
    pub fn take_in_flight(&mut self) -> InFlight {
        self.stream.get_mut().take_in_flight()
    }

    /// Whether a long message came nearer to its end since this was last asked.
    pub fn take_progress(&mut self) -> bool {
        self.stream.get_mut().take_progress()
    }

    /// Sends what is queued, all at once.
    pub async fn flush(&mut self) -> Result<(), Gone> {
        if !std::mem::take(&mut self.is_dirty) {
            return Ok(());
        }
        self.while_taken(Self::poll_flush).await
    }

    /// Closes, and waits a moment for the client to agree, so that nothing sent before is lost on the way.
    pub async fn close(mut self, close: Close) {
        let frame = close.code.map(|code| CloseFrame {
            code: CloseCode::from(code),
            reason: Utf8Bytes::from(close.reason.into_owned()),
        });
        let clock = self.clock.clone();
        let goodbye = async {
            if self.stream.close(frame).await.is_ok() {
                self.read_to_end().await;
            }
        };
        // A client that does not answer is left: dropping the stream closes the socket.
        let _ = timeout(&*clock, CLOSE_WAIT, goodbye).await;
    }

    /// Agrees to the client's close.
    pub async fn part(mut self) {
        let clock = self.clock.clone();
        let _ = timeout(&*clock, CLOSE_WAIT, self.read_to_end()).await;
    }

    /// Reads the incoming bytes, so that the system does not take back what was sent.
    async fn read_to_end(&mut self) {
        while let Some(Ok(_)) = self.stream.next().await {}
        if self.is_broken {
            // Not an array: the end of every connection would keep room for it.
            let mut rest = vec![0; READ_BUFFER_BYTES];
            while matches!(self.stream.get_mut().read(&mut rest).await, Ok(1..)) {}
        }
    }
}

const CLOSE_WAIT: Duration = Duration::from_secs(2);

fn incoming(message: Message) -> Incoming {
    match message {
        Message::Text(text) => Incoming::Text(text),
        Message::Binary(_) => Incoming::Broken(Close::with(1003, "BinaryNotSupported")),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Incoming::Alive,
        Message::Close(_) => Incoming::Left,
    }
}

fn broken(error: tungstenite::Error) -> Incoming {
    match error {
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { .. }) => Incoming::TooLong,
        tungstenite::Error::Io(error) if error.kind() == io::ErrorKind::QuotaExceeded => {
            Incoming::Broken(Close::try_again("InboundBytesExceeded"))
        }
        tungstenite::Error::Utf8(_) => Incoming::Broken(Close::with(1007, "InvalidUtf8")),
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Incoming::Left,
        tungstenite::Error::Protocol(_) => Incoming::Broken(Close::with(1002, "ProtocolError")),
        _ => Incoming::Left,
    }
}
