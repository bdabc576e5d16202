//! Character sets and base64.

use data_encoding::{BASE64, BASE64_NOPAD};
use encoding_rs::{DecoderResult, Encoding, ISO_2022_JP, REPLACEMENT, UTF_8};

use super::arguments::Arguments;
use super::{Answer, HostError, HostValue, dom_exception, range_error, type_error};

/// Bytes that a multi-byte character set may hold back at the end of a chunk.
const PENDING_BYTES_MAX: usize = 3;

pub fn call(name: &str, arguments: &Arguments) -> Option<Answer> {
    Some(match name {
        "name" => name_of(arguments),
        "encode" => encode(arguments),
        "decode" => decode(arguments),
        "pending" => pending(arguments),
        "atob" => atob(arguments),
        "btoa" => btoa(arguments),
        "multipart" => multipart(arguments),
        _ => return None,
    })
}

/// `(label)`: the lower-case name of the character set.
fn name_of(arguments: &Arguments) -> Answer {
    let label = arguments.text(0)?;
    Encoding::for_label(label.as_bytes())
        .filter(|encoding| *encoding != REPLACEMENT)
        .map(|encoding| HostValue::String(encoding.name().to_ascii_lowercase()))
        .ok_or_else(|| {
            range_error(format!(
                "The encoding label provided ('{label}') is invalid."
            ))
        })
}

/// `(text)`: its bytes in UTF-8.
fn encode(arguments: &Arguments) -> Answer {
    Ok(HostValue::Bytes(arguments.text(0)?.as_bytes().to_vec()))
}

/// `(name, bytes, is_fatal, strips_bom)`: the text of bytes that end with a whole character.
fn decode(arguments: &Arguments) -> Answer {
    let encoding = encoding(arguments)?;
    let bytes = arguments.bytes(1)?;
    let (is_fatal, strips_bom) = (arguments.flag(2), arguments.flag(3));
    let bytes = if strips_bom {
        without_bom(encoding, bytes)
    } else {
        bytes
    };
    let text = if is_fatal {
        encoding
            .decode_without_bom_handling_and_without_replacement(bytes)
            .ok_or_else(|| type_error("The encoded data was not valid."))?
    } else {
        encoding.decode_without_bom_handling(bytes).0
    };
    Ok(HostValue::String(text.into_owned()))
}

/// `(name, bytes)`: how many bytes at the end begin a character that is not complete.
fn pending(arguments: &Arguments) -> Answer {
    let encoding = encoding(arguments)?;
    let bytes = arguments.bytes(1)?;
    let held = if encoding == ISO_2022_JP {
        // Its shift state reaches over the whole text, so all of it waits for the end.
        bytes.len()
    } else {
        let complete = text_so_far(encoding, bytes);
        (0..=PENDING_BYTES_MAX.min(bytes.len()))
            .find(|held| {
                let whole = &bytes[..bytes.len() - held];
                encoding.decode_without_bom_handling(whole).0 == complete
            })
            .unwrap_or(0)
    };
    Ok(HostValue::Number(held as f64))
}

/// The text that a decoder gives when more bytes may follow.
fn text_so_far(encoding: &'static Encoding, bytes: &[u8]) -> String {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let capacity = decoder.max_utf8_buffer_length(bytes.len()).unwrap_or(0);
    let mut text = String::with_capacity(capacity);
    let mut rest = bytes;
    loop {
        let (result, read) = decoder.decode_to_string_without_replacement(rest, &mut text, false);
        rest = &rest[read..];
        match result {
            DecoderResult::InputEmpty => return text,
            DecoderResult::OutputFull => text.reserve(rest.len() * 3 + 16),
            DecoderResult::Malformed(_, _) => text.push('\u{FFFD}'),
        }
    }
}

fn without_bom<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> &'a [u8] {
    match Encoding::for_bom(bytes) {
        Some((of_bom, length)) if of_bom == encoding => &bytes[length..],
        _ => bytes,
    }
}

fn encoding(arguments: &Arguments) -> Result<&'static Encoding, HostError> {
    let name = arguments.text(0)?;
    if name == "utf-8" {
        return Ok(UTF_8);
    }
    Encoding::for_label(name.as_bytes()).ok_or_else(|| range_error("Unknown encoding"))
}

/// `(text)`: the bytes of base64 text, as a string with a character a byte.
fn atob(arguments: &Arguments) -> Answer {
    let mut text: String = arguments
        .text(0)?
        .chars()
        .filter(|char| !matches!(char, ' ' | '\t' | '\n' | '\x0C' | '\r'))
        .collect();
    if text.len().is_multiple_of(4) {
        for _ in 0..2 {
            if text.ends_with('=') {
                text.pop();
            }
        }
    }
    let bytes = forgiving().decode(text.as_bytes()).map_err(|_| {
        dom_exception(
            "InvalidCharacterError",
            "The string to be decoded is not correctly encoded.",
        )
    })?;
    Ok(HostValue::String(
        bytes.into_iter().map(char::from).collect(),
    ))
}

/// Base64 without padding whose last bits may be anything.
fn forgiving() -> data_encoding::Encoding {
    let mut specification = BASE64_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.encoding().expect("a valid specification")
}

/// `(text)`: the base64 of a string with a character a byte.
fn btoa(arguments: &Arguments) -> Answer {
    let bytes: Option<Vec<u8>> = arguments
        .text(0)?
        .chars()
        .map(|char| u8::try_from(u32::from(char)).ok())
        .collect();
    let bytes = bytes.ok_or_else(|| {
        dom_exception(
            "InvalidCharacterError",
            "The string to be encoded contains characters outside of the Latin1 range.",
        )
    })?;
    Ok(HostValue::String(BASE64.encode(&bytes)))
}

/// Most parts of one form.
const PARTS_MAX: usize = 10_000;

/// `(bytes, boundary)`: of each part where its head begins and ends and where its content does, as JSON. Null if malformed.
fn multipart(arguments: &Arguments) -> Answer {
    let (bytes, boundary) = (arguments.bytes(0)?, arguments.text(1)?);
    let parts = parts(bytes, format!("\r\n--{boundary}").as_bytes());
    Ok(parts.map_or(HostValue::Null, |parts| {
        HostValue::String(serde_json::to_string(&parts).expect("numbers are JSON"))
    }))
}

fn parts(bytes: &[u8], separator: &[u8]) -> Option<Vec<[usize; 4]>> {
    // The first separator may begin the body, without a line's end before it.
    let mut at = if bytes.starts_with(&separator[2..]) {
        separator.len() - 2
    } else {
        find(bytes, separator, 0)? + separator.len()
    };
    let mut parts = Vec::new();
    while !bytes[at..].starts_with(b"--") {
        let padding = bytes[at..]
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'));
        at += padding.count();
        if !bytes[at..].starts_with(b"\r\n") || parts.len() == PARTS_MAX {
            return None;
        }
        let head = at + 2;
        // A part without headers has an empty line at once.
        let blank = find(bytes, b"\r\n\r\n", at)?;
        let start = blank + 4;
        let end = find(bytes, separator, start - 2)?;
        parts.push([head, blank.max(head), start, end.max(start)]);
        at = end + separator.len();
    }
    Some(parts)
}

fn find(bytes: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += bytes
            .get(at..)?
            .iter()
            .position(|byte| *byte == wanted[0])?;
        if bytes[at..].starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
}
