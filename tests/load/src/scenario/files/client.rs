//! One client: a connection that stays open, over which files go one after the other, at their own pace or a slow one.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use memchr::memmem;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};

use super::content::Content;
use crate::client::answers;
use crate::scenario::http_actions::kind_of_refusal;

/// How long nothing may come or go.
const STILL_MAX: Duration = Duration::from_secs(60);
/// The most bytes that go at once.
const PIECE_BYTES_MAX: usize = 64 << 10;
/// Pieces a second of a slow client.
const PIECES_PER_SECOND: u64 = 10;
/// A slow client's buffers in the system, which would else swallow whole files.
const SLOW_BUFFER_BYTES: usize = 16 << 10;
/// The longest header of an answer.
const HEADER_BYTES_MAX: usize = 8 << 10;

/// Takes the bytes that have just gone, and says whether to go on.
pub type GoesOn<'a> = &'a dyn Fn(u64) -> bool;

/// A client and its connection.
pub struct Client {
    stream: TcpStream,
    slow: Option<u64>,
}

/// Why a file was not moved.
#[derive(Debug, thiserror::Error)]
pub enum NotMoved {
    /// The run is over.
    #[error("the run is over")]
    Over,
    /// The connection broke, or stood still.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The server refused, or sent something else.
    #[error("{0}")]
    Refused(String),
}

impl NotMoved {
    /// Its kind, as reports count it.
    pub fn kind(&self) -> String {
        match self {
            NotMoved::Io(error) => format!("connection lost: {:?}", error.kind()),
            other => other.to_string(),
        }
    }
}

impl Client {
    /// Connects. A slow client moves no more than so many bytes a second.
    pub fn connect(address: SocketAddr, slow: Option<u64>) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(STILL_MAX))?;
        stream.set_write_timeout(Some(STILL_MAX))?;
        if slow.is_some() {
            set_socket_recv_buffer_size(&stream, SLOW_BUFFER_BYTES)?;
            set_socket_send_buffer_size(&stream, SLOW_BUFFER_BYTES)?;
        }
        Ok(Client { stream, slow })
    }

    /// Sends a file to an upload URL, and tells its id.
    pub fn upload(
        &mut self,
        path: &str,
        content: &Content,
        goes_on: GoesOn,
    ) -> Result<String, NotMoved> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: load\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
            content.bytes
        );
        self.stream.write_all(head.as_bytes())?;
        let start = Instant::now();
        let mut sent = 0;
        while sent < content.bytes {
            let piece = content.piece(sent, self.piece_bytes());
            self.stream.write_all(piece)?;
            sent += piece.len() as u64;
            self.went(start, sent, piece.len(), goes_on)?;
        }
        let mut answer = Vec::new();
        loop {
            if let Some(answer) = answers::next(&answer)? {
                let told: Option<serde_json::Value> = serde_json::from_slice(answer.body).ok();
                let id = told.and_then(|told| Some(told["storageId"].as_str()?.to_string()));
                return id.ok_or_else(|| NotMoved::Refused(kind_of_refusal(answer.body)));
            }
            self.read_more(&mut answer, PIECE_BYTES_MAX)?;
        }
    }

    /// Reads a file, and compares it with what it has to be.
    pub fn download(
        &mut self,
        path: &str,
        content: &Content,
        goes_on: GoesOn,
    ) -> Result<(), NotMoved> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: load\r\n\r\n");
        self.stream.write_all(head.as_bytes())?;
        let start = Instant::now();
        let mut buffer = Vec::new();
        self.read_header(&mut buffer, content.bytes)?;
        let mut read = 0;
        loop {
            if !content.is_at(read, &buffer) {
                return Err(NotMoved::Refused("other bytes than were stored".into()));
            }
            read += buffer.len() as u64;
            self.went(start, read, buffer.len(), goes_on)?;
            if read == content.bytes {
                return Ok(());
            }
            buffer.clear();
            self.read_more(&mut buffer, self.piece_bytes())?;
        }
    }

    /// Reads the header of an answer that must be a file of `bytes`, and leaves what came behind it in `buffer`.
    fn read_header(&mut self, buffer: &mut Vec<u8>, bytes: u64) -> Result<(), NotMoved> {
        let end = loop {
            if let Some(end) = memmem::find(buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if buffer.len() > HEADER_BYTES_MAX {
                return Err(NotMoved::Refused("a header without an end".into()));
            }
            // No more of the file than a slow client takes at once comes with it.
            self.read_more(buffer, self.piece_bytes().min(HEADER_BYTES_MAX))?;
        };
        let header = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let status = header.lines().next().unwrap_or_default().to_string();
        if !status.contains(" 200") {
            return Err(NotMoved::Refused(status));
        }
        if !header.contains(&format!("\r\ncontent-length: {bytes}\r\n")) {
            return Err(NotMoved::Refused("a file of another length".into()));
        }
        buffer.drain(..end);
        Ok(())
    }

    fn read_more(&mut self, buffer: &mut Vec<u8>, most: usize) -> io::Result<()> {
        let kept = buffer.len();
        buffer.resize(kept + most, 0);
        let read = self.stream.read(&mut buffer[kept..]);
        buffer.truncate(kept + read.as_ref().copied().unwrap_or(0));
        match read? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn piece_bytes(&self) -> usize {
        let slow = self.slow.map(|rate| (rate / PIECES_PER_SECOND).max(1));
        let slow = slow.and_then(|bytes| usize::try_from(bytes).ok());
        slow.unwrap_or(PIECE_BYTES_MAX).min(PIECE_BYTES_MAX)
    }

    /// A piece went, `all` bytes since `start`: waits until the next one may.
    fn went(
        &self,
        start: Instant,
        all: u64,
        piece: usize,
        goes_on: GoesOn,
    ) -> Result<(), NotMoved> {
        if !goes_on(piece as u64) {
            return Err(NotMoved::Over);
        }
        if let Some(rate) = self.slow {
            let due = start + Duration::from_secs_f64(all as f64 / rate as f64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }
}
