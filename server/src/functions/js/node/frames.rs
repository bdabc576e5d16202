//! Messages to and from a process of Node.js: a header with two lengths, a JSON text, and bytes that belong to it.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Largest text of one message: a result, escaped, and then some.
pub const TEXT_BYTES_MAX: usize = 128 << 20;
/// Most bytes that come with a message: those of a body.
const BYTES_MAX: usize = 64 << 20;
const HEADER_BYTES: usize = 8;

/// A message to a process.
#[derive(Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum ToNode<'m> {
    /// The first one.
    Setup {
        root: &'m str,
        temporary: &'m str,
        variables: &'m BTreeMap<String, String>,
        /// Whether the addresses of connections are judged.
        is_checked: bool,
        bodies: Bodies,
    },
    /// Runs a function. `args` is JSON text.
    Start {
        call: u64,
        path: &'m str,
        name: &'m str,
        args: &'m str,
    },
    /// Evaluates a module, and lists what it registers.
    Analyze { call: u64, path: &'m str },
    /// An operation has ended.
    Complete {
        call: u64,
        operation: u64,
        is_ok: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<Json>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error_class: Option<String>,
        /// The data of an application error, as JSON text.
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<String>,
    },
    /// Nobody waits for a call any more.
    End { call: u64 },
    /// For each address that was asked about, why it is refused.
    Judged {
        judgement: u64,
        refusals: Vec<Option<String>>,
    },
    /// Asks for a sign of life.
    Ping,
}

/// The bound of one body, and its refusal.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bodies {
    pub bytes_max: usize,
    pub refusal: String,
}

/// A message from a process.
#[derive(Debug, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum FromNode {
    /// It can take calls.
    Ready,
    /// The answer to a ping.
    Pong {
        resident_bytes: u64,
        cpu_micros: u64,
    },
    /// May it connect to these addresses?
    Judge {
        judgement: u64,
        host: String,
        port: u16,
        addresses: Vec<String>,
    },
    /// A call begins an operation.
    Operation {
        call: u64,
        operation: u64,
        name: String,
        args: Vec<Json>,
    },
    /// A call logs.
    Console {
        call: u64,
        level: String,
        messages: Vec<String>,
        #[serde(default)]
        stack: Option<String>,
    },
    /// A call has returned this JSON text.
    Returned { call: u64, text: String },
    /// A call has thrown.
    Threw {
        call: u64,
        name: String,
        message: String,
        stack: String,
        #[serde(default)]
        data: Option<String>,
        /// It could not load its module.
        #[serde(default)]
        failed_to_load: bool,
    },
}

/// The frame of a message and of the bytes that belong to it.
pub fn frame(message: &ToNode<'_>, bytes: &[u8]) -> Bytes {
    let text = serde_json::to_vec(message).expect("messages are JSON");
    let mut frame = Vec::with_capacity(HEADER_BYTES + text.len() + bytes.len());
    for length in [text.len(), bytes.len()] {
        let length = u32::try_from(length).expect("results and bodies are bounded below this");
        frame.extend_from_slice(&length.to_le_bytes());
    }
    frame.extend_from_slice(&text);
    frame.extend_from_slice(bytes);
    frame.into()
}

/// Reads the next message. Fails at the end, and on what is no message.
pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(FromNode, Vec<u8>)> {
    let (text, bytes) = (from.read_u32_le().await?, from.read_u32_le().await?);
    let bounded = |length: u32, max: usize| match usize::try_from(length) {
        Ok(length) if length <= max => Ok(length),
        _ => Err(io::Error::other(format!(
            "a message of {length} bytes is too large"
        ))),
    };
    let text = exactly(from, bounded(text, TEXT_BYTES_MAX)?).await?;
    let bytes = exactly(from, bounded(bytes, BYTES_MAX)?).await?;
    let message = serde_json::from_slice(&text)?;
    Ok((message, bytes))
}

async fn exactly(from: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_comes_with_its_bytes_and_what_is_none_is_an_error() {
        let text = br#"{"type":"operation","call":1,"operation":2,"name":"storage.store","args":["a/b",null]}"#;
        let mut frame = Vec::new();
        frame.extend_from_slice(&(text.len() as u32).to_le_bytes());
        frame.extend_from_slice(&3_u32.to_le_bytes());
        frame.extend_from_slice(text);
        frame.extend_from_slice(b"abc");
        let mut from = &frame[..];
        let (message, bytes) = read(&mut from).await.unwrap();
        assert!(matches!(message, FromNode::Operation { operation: 2, .. }));
        assert_eq!(bytes, b"abc");
        assert!(read(&mut from).await.is_err(), "the end");
        let mut endless = &[255_u8; 8][..];
        let refused = read(&mut endless).await.unwrap_err();
        assert!(refused.to_string().contains("too large"), "{refused}");
    }

    #[test]
    fn a_frame_has_the_lengths_of_its_parts() {
        let frame = frame(&ToNode::End { call: 7 }, b"xy");
        let text = br#"{"type":"end","call":7}"#;
        assert_eq!(frame[..4], (text.len() as u32).to_le_bytes());
        assert_eq!(frame[4..8], 2_u32.to_le_bytes());
        assert_eq!(&frame[8..8 + text.len()], text);
        assert_eq!(&frame[8 + text.len()..], b"xy");
    }
}
