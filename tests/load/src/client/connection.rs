//! One connection: a handshake, and then frames in and out over a socket that never blocks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::frames::{self, Kind};
use super::{answers, messages};

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The sync protocol, over a WebSocket at `/api/sync`.
    Sync,
    /// HTTP/1.1, one request after the other.
    Http,
}

/// A connection to the server.
pub struct Connection {
    /// Its number, from 0.
    pub number: usize,
    stream: TcpStream,
    protocol: Protocol,
    phase: Phase,
    /// The beginning of a frame of which the rest is still to come.
    rest: Vec<u8>,
    /// The beginning of a message of several frames.
    message: Vec<u8>,
    /// The bytes to write, from `written` on.
    out: Vec<u8>,
    written: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There is no connection yet, or no answer to its handshake.
    Opening,
    Open,
}

/// News of a connection.
pub enum News<'m> {
    /// Messages may follow: the server has answered the handshake, where there is one.
    Open,
    /// A message, or the body of an HTTP answer.
    Message(&'m [u8]),
}

impl Connection {
    /// Begins to connect. On a WebSocket, `Connect` of a new session is the first message.
    pub fn begin(
        number: usize,
        address: SocketAddr,
        protocol: Protocol,
        registry: &Registry,
    ) -> io::Result<Connection> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, Token(number), interest)?;
        Ok(Connection {
            number,
            stream,
            protocol,
            phase: Phase::Opening,
            rest: Vec::new(),
            message: Vec::new(),
            out: match protocol {
                Protocol::Sync => handshake(address),
                Protocol::Http => Vec::new(),
            },
            written: 0,
        })
    }

    /// Queues a text message, which `write` writes. [`Connection::flush`] sends what is queued, all at once.
    pub fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        frames::text(&mut self.out, write);
    }

    /// Queues bytes as they are: an HTTP request.
    pub fn send_bytes(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.out);
    }

    /// Writes as much of what is queued as the system takes.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => self.written += bytes,
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Takes the event of a connection, and hands on its news.
    pub fn happened(
        &mut self,
        event: &Event,
        scratch: &mut [u8],
        mut news: impl FnMut(&mut Connection, News<'_>),
    ) -> io::Result<()> {
        if self.protocol == Protocol::Http && self.phase == Phase::Opening && event.is_writable() {
            self.phase = Phase::Open;
            news(self, News::Open);
        }
        match event.is_readable() || event.is_error() || event.is_read_closed() {
            true => self.receive(scratch, event.is_read_closed(), news),
            false => Ok(()),
        }
    }

    /// Reads everything there is and hands each piece of it on. `scratch` is the read buffer; all connections share it,
    /// so that an idle one holds no memory.
    fn receive(
        &mut self,
        scratch: &mut [u8],
        until_end: bool,
        mut news: impl FnMut(&mut Connection, News<'_>),
    ) -> io::Result<()> {
        loop {
            let kept = self.rest.len();
            if kept + kept / 2 >= scratch.len() {
                return self.receive_huge(news);
            }
            scratch[..kept].copy_from_slice(&self.rest);
            self.rest.clear();
            let room = scratch.len() - kept;
            let read = match self.stream.read(&mut scratch[kept..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if is_later(&error) => 0,
                Err(error) if error.kind() == ErrorKind::Interrupted => 0,
                Err(error) => return Err(error),
            };
            let bytes = &scratch[..kept + read];
            let used = self.read_bytes(bytes, &mut news)?;
            self.rest.extend_from_slice(&bytes[used..]);
            // Less than was asked for is all there is; the next bytes come with an event of their own.
            if read == 0 || (read < room && !until_end) {
                return Ok(());
            }
        }
    }

    /// As [`Connection::receive`], for a message that is longer than what connections share.
    fn receive_huge(&mut self, mut news: impl FnMut(&mut Connection, News<'_>)) -> io::Result<()> {
        let mut all = std::mem::take(&mut self.rest);
        let ended = match self.stream.read_to_end(&mut all) {
            Ok(_) => true,
            Err(error) if is_later(&error) => false,
            Err(error) => return Err(error),
        };
        let used = self.read_bytes(&all, &mut news)?;
        all.drain(..used);
        self.rest = all;
        match ended {
            true => Err(ErrorKind::UnexpectedEof.into()),
            false => Ok(()),
        }
    }

    /// Reads what is whole in `bytes`, and returns how much that is.
    fn read_bytes(
        &mut self,
        bytes: &[u8],
        news: &mut impl FnMut(&mut Connection, News<'_>),
    ) -> io::Result<usize> {
        match (self.protocol, self.phase) {
            (Protocol::Http, _) => self.read_answers(bytes, news),
            (Protocol::Sync, Phase::Open) => self.read_frames(bytes, news),
            (Protocol::Sync, Phase::Opening) => {
                let Some(used) = answers::end_of_handshake(bytes)? else {
                    return Ok(0);
                };
                self.phase = Phase::Open;
                self.send(messages::connect);
                news(self, News::Open);
                Ok(used + self.read_frames(&bytes[used..], news)?)
            }
        }
    }

    fn read_answers(
        &mut self,
        bytes: &[u8],
        news: &mut impl FnMut(&mut Connection, News<'_>),
    ) -> io::Result<usize> {
        let mut used = 0;
        while let Some(answer) = answers::next(&bytes[used..])? {
            used += answer.bytes;
            news(self, News::Message(answer.body));
        }
        Ok(used)
    }

    fn read_frames(
        &mut self,
        bytes: &[u8],
        news: &mut impl FnMut(&mut Connection, News<'_>),
    ) -> io::Result<usize> {
        let mut used = 0;
        while let Some(frame) = frames::next(&bytes[used..]).map_err(|_| bad_frame())? {
            used += frame.bytes;
            match frame.kind {
                Kind::Text => news(self, News::Message(frame.payload)),
                Kind::Part { ends } => {
                    self.message.extend_from_slice(frame.payload);
                    if ends {
                        let message = std::mem::take(&mut self.message);
                        news(self, News::Message(&message));
                    }
                }
                Kind::Ping => frames::pong(&mut self.out, frame.payload),
                Kind::Pong => {}
                Kind::Close => return Err(closed(frame.payload)),
            }
        }
        Ok(used)
    }

    /// Whether messages may follow.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// The socket, to be taken off the event loop.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}

/// Asks for a WebSocket. A key need not be secret or new; it shows that the other side knows of WebSockets.
pub(super) fn handshake(address: SocketAddr) -> Vec<u8> {
    format!(
        "GET /api/sync HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dmVzdGlidWxlIGxvYWQhIQ==\r\n\r\n"
    )
    .into_bytes()
}

fn is_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::NotConnected
    )
}

fn bad_frame() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "the server sent a bad frame")
}

fn closed(payload: &[u8]) -> io::Error {
    let reason = match payload {
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            format!("closed with {code} {}", String::from_utf8_lossy(reason))
        }
        _ => "closed without a reason".to_string(),
    };
    io::Error::new(ErrorKind::ConnectionAborted, reason)
}
