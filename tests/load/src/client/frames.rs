//! WebSocket frames as a client writes and reads them.
//!
//! A client has to mask its messages, and may choose the key. With a key of zero the bytes stay as they are, so a
//! message is copied once and never changed. Incoming frames are looked at in the read buffer.

/// Opcodes.
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// The first byte's bit that ends a message, and the second's that says that a frame is masked.
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const KEY: [u8; 4] = [0; 4];
/// The longest header that a client writes: two bytes, eight of length, four of key.
const HEADER_BYTES_MAX: usize = 14;

/// Appends a text message to `out`, which `write` writes itself.
pub fn text(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    frame(out, TEXT, write);
}

/// Appends the answer to a ping.
pub fn pong(out: &mut Vec<u8>, payload: &[u8]) {
    frame(out, PONG, |out| out.extend_from_slice(payload));
}

fn frame(out: &mut Vec<u8>, opcode: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    // Nearly all messages have a two-byte length, so its place is kept free and the rest moved if need be.
    out.extend_from_slice(&[FIN | opcode, 0, 0, 0]);
    out.extend_from_slice(&KEY);
    let body = out.len();
    write(out);
    let length = out.len() - body;
    if let Ok(length) = u16::try_from(length)
        && length >= 126
    {
        out[start + 1] = MASKED | 126;
        out[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
        return;
    }
    let mut header = [0; HEADER_BYTES_MAX];
    header[0] = FIN | opcode;
    let bytes = if length < 126 {
        header[1] = MASKED | length as u8;
        6
    } else {
        header[1] = MASKED | 127;
        header[2..10].copy_from_slice(&(length as u64).to_be_bytes());
        HEADER_BYTES_MAX
    };
    out.splice(start..body, header[..bytes].iter().copied());
}

/// The kind of a frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole text message.
    Text,
    /// A part of one; the last when `ends`.
    Part {
        /// Whether the message ends with it.
        ends: bool,
    },
    /// To be answered with a pong.
    Ping,
    /// Nothing to do.
    Pong,
    /// The server closes.
    Close,
}

/// One frame at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'b> {
    /// Its kind.
    pub kind: Kind,
    /// Its payload.
    pub payload: &'b [u8],
    /// How many bytes it takes with its header.
    pub bytes: usize,
}

/// The other side broke the rules of WebSockets.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame breaks the rules of WebSockets")]
pub struct Broken;

/// The frame that `bytes` begins with, if all of it is there.
pub fn next(bytes: &[u8]) -> Result<Option<Frame<'_>>, Broken> {
    let [first, second, ..] = *bytes else {
        return Ok(None);
    };
    if second & MASKED != 0 || first & 0x70 != 0 {
        return Err(Broken);
    }
    let Some((header, end)) = extent(bytes, second)? else {
        return Ok(None);
    };
    let Some(payload) = bytes.get(header..end) else {
        return Ok(None);
    };
    let ends = first & FIN != 0;
    let kind = match (first & 0x0f, ends) {
        (TEXT, true) => Kind::Text,
        (TEXT | CONTINUATION, ends) => Kind::Part { ends },
        (CLOSE, true) => Kind::Close,
        (PING, true) => Kind::Ping,
        (PONG, true) => Kind::Pong,
        _ => return Err(Broken),
    };
    Ok(Some(Frame {
        kind,
        payload,
        bytes: end,
    }))
}

/// The payload of the masked frame that `bytes` begins with, if all of it is there, and how many bytes the frame takes.
/// It reads only this client's frames: a key of zero.
pub fn next_masked(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Broken> {
    let [_, second, ..] = *bytes else {
        return Ok(None);
    };
    let Some((header, end)) = extent(bytes, second & !MASKED)? else {
        return Ok(None);
    };
    let end = end + KEY.len();
    let Some(rest) = bytes.get(header..end) else {
        return Ok(None);
    };
    match rest.strip_prefix(&KEY) {
        Some(payload) => Ok(Some((payload, end))),
        None => Err(Broken),
    }
}

/// Where a frame's header ends, without a key, and the frame, if its length is there.
fn extent(bytes: &[u8], second: u8) -> Result<Option<(usize, usize)>, Broken> {
    let (header, length) = match second {
        126 => match bytes.get(2..4) {
            Some(length) => (4, u64::from(u16::from_be_bytes([length[0], length[1]]))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10) {
            Some(length) => {
                let length = length.try_into().expect("eight bytes");
                (10, u64::from_be_bytes(length))
            }
            None => return Ok(None),
        },
        length => (2, u64::from(length)),
    };
    let length = usize::try_from(length).map_err(|_| Broken)?;
    // Room for a key behind it, too.
    let end = length
        .checked_add(header)
        .filter(|end| *end < usize::MAX - KEY.len());
    Ok(Some((header, end.ok_or(Broken)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_any_length_is_framed() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let message = vec![b'x'; length];
            let mut out = Vec::new();
            text(&mut out, |out| out.extend_from_slice(&message));
            let whole = out.len();
            assert_eq!(next_masked(&out), Ok(Some((&message[..], whole))));
            for cut in 0..whole.min(20) {
                assert_eq!(next_masked(&out[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn a_frame_is_read_once_all_of_it_is_there() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let mut bytes = vec![0x81];
            match length {
                0..126 => bytes.push(length as u8),
                126..65_536 => {
                    bytes.push(126);
                    bytes.extend((length as u16).to_be_bytes());
                }
                _ => {
                    bytes.push(127);
                    bytes.extend((length as u64).to_be_bytes());
                }
            }
            bytes.resize(bytes.len() + length, b'y');
            for cut in [0, 1, 2, 3, 9, bytes.len() - 1] {
                let cut = cut.min(bytes.len() - 1);
                assert_eq!(next(&bytes[..cut]), Ok(None));
            }
            let whole = bytes.len();
            bytes.extend([0x89, 0]);
            let frame = next(&bytes).unwrap().unwrap();
            assert_eq!((frame.kind, frame.bytes), (Kind::Text, whole));
            assert_eq!(frame.payload.len(), length);
            let ping = next(&bytes[whole..]).unwrap().unwrap();
            assert_eq!((ping.kind, ping.bytes), (Kind::Ping, 2));
        }
    }

    #[test]
    fn a_masked_frame_from_a_server_is_refused() {
        assert_eq!(next(&[0x81, 0x80, 0, 0, 0, 0]), Err(Broken));
    }
}
