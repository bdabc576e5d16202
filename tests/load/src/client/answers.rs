//! Answers over HTTP/1.1, to handshakes and to requests.

use std::io::{self, ErrorKind};

use memchr::memmem;

/// Bytes of an answer's header; a longer one is none of ours.
const HEADER_BYTES_MAX: usize = 8 << 10;
const END: &[u8] = b"\r\n\r\n";

/// One answer at the beginning of some bytes.
pub struct Answer<'b> {
    /// Its body.
    pub body: &'b [u8],
    /// How many bytes it takes with its header.
    pub bytes: usize,
}

/// The answer that `bytes` begins with, if all of it is there. Its body has to have a length that is told.
pub fn next(bytes: &[u8]) -> io::Result<Option<Answer<'_>>> {
    let Some(header) = header(bytes)? else {
        return Ok(None);
    };
    let start = header.len() + END.len();
    let length = length(header).ok_or_else(|| broken("an answer of no told length"))?;
    let end = start.saturating_add(length);
    let body = bytes.get(start..end);
    Ok(body.map(|body| Answer { body, bytes: end }))
}

/// Where the answer to a handshake ends, if all of it is there and it is a yes.
pub fn end_of_handshake(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(header) = header(bytes)? else {
        return Ok(None);
    };
    if header.starts_with(b"HTTP/1.1 101 ") {
        return Ok(Some(header.len() + END.len()));
    }
    let line = header.split(|byte| *byte == b'\r').next().unwrap_or(header);
    let line = String::from_utf8_lossy(line);
    Err(io::Error::new(
        ErrorKind::ConnectionRefused,
        format!("the handshake was answered with {line}"),
    ))
}

fn header(bytes: &[u8]) -> io::Result<Option<&[u8]>> {
    match memmem::find(bytes, END) {
        Some(end) => Ok(Some(&bytes[..end])),
        None if bytes.len() <= HEADER_BYTES_MAX => Ok(None),
        None => Err(broken("an answer whose header has no end")),
    }
}

fn length(header: &[u8]) -> Option<usize> {
    let mut lines = header.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse().ok())?
    })
}

fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the server sent {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_once_all_of_it_is_there() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Type: x\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1";
        let whole = bytes.len() - 8;
        for cut in 0..whole {
            assert!(next(&bytes[..cut]).unwrap().is_none());
        }
        let answer = next(bytes).unwrap().unwrap();
        assert_eq!((answer.body, answer.bytes), (&b"hello"[..], whole));
        assert!(next(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn a_handshake_is_taken_up_or_refused() {
        let yes = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00";
        assert_eq!(end_of_handshake(yes).unwrap(), Some(yes.len() - 2));
        assert_eq!(end_of_handshake(&yes[..30]).unwrap(), None);
        let no = end_of_handshake(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap_err();
        assert!(no.to_string().ends_with("HTTP/1.1 503 Service Unavailable"));
    }
}
