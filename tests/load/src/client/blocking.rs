//! One call over a connection of its own, waited for: load's requests to a server that speaks nothing but WebSocket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value as Json;

use super::connection::handshake;
use super::{answers, frames, messages};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Calls a mutation and returns its result.
pub fn mutate(address: SocketAddr, path: &str, args: &Json) -> anyhow::Result<Json> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(&handshake(address))?;
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = answers::end_of_handshake(&bytes)? {
            break end;
        }
        read_more(&mut stream, &mut bytes)?;
    };
    bytes.drain(..end);
    let mut out = Vec::new();
    frames::text(&mut out, messages::connect);
    let args = args.to_string();
    frames::text(&mut out, |out| {
        messages::mutation(out, 0, path, |out| out.extend_from_slice(args.as_bytes()));
    });
    stream.write_all(&out)?;
    loop {
        let Ok(frame) = frames::next(&bytes) else {
            bail!("the server sent a bad frame");
        };
        let Some(frame) = frame else {
            read_more(&mut stream, &mut bytes)?;
            continue;
        };
        if let Some(result) = result(frame.payload, path)? {
            return Ok(result);
        }
        let used = frame.bytes;
        bytes.drain(..used);
    }
}

/// The result that a message holds, if it is an answer.
fn result(message: &[u8], path: &str) -> anyhow::Result<Option<Json>> {
    let mut message: Json = match serde_json::from_slice(message) {
        Ok(message) => message,
        // A ping or another frame of no concern.
        Err(_) => return Ok(None),
    };
    match (message["type"].as_str(), message["success"].as_bool()) {
        (Some("MutationResponse"), Some(true)) => Ok(Some(message["result"].take())),
        (Some("MutationResponse"), _) => bail!("{path} failed: {}", message["result"]),
        _ => Ok(None),
    }
}

fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut more = [0; 4 << 10];
    let read = stream
        .read(&mut more)
        .context("the server does not answer")?;
    if read == 0 {
        bail!("the server closed the connection");
    }
    bytes.extend_from_slice(&more[..read]);
    Ok(())
}
