//! A server that answers every call at once and does nothing: it measures the client's own speed and cost. It shows
//! that other runs do not measure the client.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, bail};

use crate::client::frames;
use crate::client::messages::number_after;

const HANDSHAKE: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
/// The most bytes read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Answers until standard input ends. Says `listening PORT` when it is ready.
pub fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening {}", listener.local_addr()?.port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A connection that breaks ends; its client sees that.
            std::thread::spawn(move || answer(stream));
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn answer(mut stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut is_open = false;
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&buffer[..read]);
        let mut out = Vec::new();
        let mut used = 0;
        if !is_open {
            let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") else {
                continue;
            };
            is_open = true;
            used = end + 4;
            out.extend_from_slice(HANDSHAKE);
        }
        while let Some((payload, length)) =
            frames::next_masked(&bytes[used..]).context("a bad frame")?
        {
            used += length;
            respond(payload, &mut out)?;
        }
        bytes.drain(..used);
        stream.write_all(&out)?;
    }
}

/// Answers a call; other messages have no request and no answer.
fn respond(message: &[u8], out: &mut Vec<u8>) -> anyhow::Result<()> {
    let Some((request, _)) = number_after(message, br#""requestId":"#) else {
        return Ok(());
    };
    let answer = format!(
        r#"{{"type":"MutationResponse","requestId":{request},"success":true,"result":0,"logLines":[]}}"#
    );
    let Ok(length @ ..126) = u8::try_from(answer.len()) else {
        bail!("an answer of {} bytes", answer.len());
    };
    out.extend_from_slice(&[0x81, length]);
    out.extend_from_slice(answer.as_bytes());
    Ok(())
}
