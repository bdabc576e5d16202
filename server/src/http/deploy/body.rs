//! Bodies of pushes: large, and compressed.

use std::io::Read;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING};
use axum::http::request::Parts;
use brotli::Decompressor;
use bytes::Bytes;
use flate2::read::{GzDecoder, ZlibDecoder};
use serde::de::DeserializeOwned;

use super::{BodyKey, may_change};
use crate::auth::AdminKeyError;
use crate::http::Http;
use crate::http::respond::{self, WireError};

/// Longest body of a push, before and after it is decompressed.
pub const PUSH_BYTES_MAX: usize = 200_000_000;
/// Bytes that are held by a decompressor at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Brotli,
    Gzip,
    Deflate,
}

impl Encoding {
    fn of(parts: &Parts) -> Result<Encoding, WireError> {
        let Some(name) = parts.headers.get(CONTENT_ENCODING) else {
            return Ok(Encoding::Identity);
        };
        match name
            .to_str()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
            .as_str()
        {
            "identity" | "" => Ok(Encoding::Identity),
            "br" => Ok(Encoding::Brotli),
            "gzip" | "x-gzip" => Ok(Encoding::Gzip),
            "deflate" => Ok(Encoding::Deflate),
            other => Err(WireError::bad_body(format!(
                "The Content-Encoding {other:?} is not understood: use br, gzip or deflate."
            ))),
        }
    }

    fn decode(self, bytes: Bytes, limit: usize) -> Result<Bytes, WireError> {
        match self {
            Encoding::Identity => Ok(bytes),
            Encoding::Brotli => read(Decompressor::new(&*bytes, BUFFER_BYTES), limit),
            Encoding::Gzip => read(GzDecoder::new(&*bytes), limit),
            Encoding::Deflate => read(ZlibDecoder::new(&*bytes), limit),
        }
    }
}

fn read(decoder: impl Read, limit: usize) -> Result<Bytes, WireError> {
    let mut text = Vec::new();
    // One byte more tells a body that is too long from one that just fits.
    let mut bounded = decoder.take(limit as u64 + 1);
    bounded.read_to_end(&mut text).map_err(|error| {
        WireError::bad_body(format!("The body cannot be decompressed: {error}."))
    })?;
    match text.len() > limit {
        true => Err(WireError::bad_body(format!(
            "The body is longer than {limit} bytes when it is decompressed."
        ))),
        false => Ok(text.into()),
    }
}

impl Http {
    /// Reads the body of a push whose admin key may change things. The key stands in the header, in the address or, for
    /// bodies that are not large, in the body.
    pub(super) async fn read_push<T: DeserializeOwned + Send + 'static>(
        &self,
        request: Request,
    ) -> Result<T, WireError> {
        let (parts, body) = request.into_parts();
        let has_key = parts.headers.contains_key(AUTHORIZATION)
            || self.admin_key_in_address(&parts).is_some();
        if has_key {
            self.verify_deployer(&parts).await?;
            return self
                .read_encoded(&parts, body, PUSH_BYTES_MAX)
                .await?
                .parse();
        }
        let limit = self.options.body_bytes_max;
        let read = self.read_encoded(&parts, body, limit).await?;
        let BodyKey { admin_key } = read.parse_ref()?;
        let key = admin_key.ok_or_else(|| respond::admin_key(&AdminKeyError::NotAdmin))?;
        let admin = self.verify_admin_key(&parts, &key)?;
        may_change(&parts, admin)?;
        read.parse()
    }

    async fn read_encoded(
        &self,
        parts: &Parts,
        body: Body,
        limit: usize,
    ) -> Result<Decoded, WireError> {
        let encoding = Encoding::of(parts)?;
        let read = self.read_body(&parts.headers, body, limit).await?;
        let mut share = self.budget.share();
        let bytes = read.bytes.clone();
        let decoding = tokio::task::spawn_blocking(move || encoding.decode(bytes, limit));
        let text = decoding.await.map_err(|_| WireError::internal())??;
        drop(read);
        share
            .grow_to(text.len())
            .map_err(|_| WireError::too_many_requests())?;
        Ok(Decoded {
            text,
            _share: share,
        })
    }
}

/// A body in plain, with its share of the budget.
struct Decoded {
    text: Bytes,
    _share: crate::http::budget::BodyShare,
}

impl Decoded {
    fn parse<T: DeserializeOwned>(self) -> Result<T, WireError> {
        self.parse_ref()
    }

    fn parse_ref<T: DeserializeOwned>(&self) -> Result<T, WireError> {
        serde_json::from_slice(&self.text).map_err(respond::wrong_json)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    #[test]
    fn bodies_are_read_in_every_encoding_and_bounded() {
        let text = br#"{"functions":"convex/"}"#.repeat(100);
        let mut brotli = Vec::new();
        brotli::CompressorWriter::new(&mut brotli, 4_096, 5, 20)
            .write_all(&text)
            .unwrap();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&text).unwrap();
        let mut deflate = ZlibEncoder::new(Vec::new(), Compression::fast());
        deflate.write_all(&text).unwrap();
        let cases = [
            (Encoding::Identity, text.clone()),
            (Encoding::Brotli, brotli),
            (Encoding::Gzip, gzip.finish().unwrap()),
            (Encoding::Deflate, deflate.finish().unwrap()),
        ];
        for (encoding, bytes) in cases {
            let bytes = Bytes::from(bytes);
            assert_eq!(encoding.decode(bytes.clone(), text.len()).unwrap(), text);
            if encoding != Encoding::Identity {
                let refused = encoding.decode(bytes.clone(), text.len() - 1).unwrap_err();
                assert!(refused.message.contains("longer than"), "{refused:?}");
                assert!(encoding.decode(bytes.slice(..10), text.len()).is_err());
            }
        }
    }
}
